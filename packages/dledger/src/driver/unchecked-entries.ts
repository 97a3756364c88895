/**
 * Entries without checksums from a leader: those that Apache's DLedger wrote, for a member that lags behind its own takeover, or
 * that comes new into such a group.
 *
 * Keeps: they are taken only behind nothing but entries without checksums, and only when the hard state says durably up to where
 * (recovery would take them for damage otherwise). Until then they count as lost; the leader repeats them.
 */
import type { Logger } from '@dledger-ts/base'
import type { EntryBatch } from '../log/entry-batch.ts'
import { checkBatch, decodeEntryHeader, type ExpectedBatch, isUnchecked } from '../log/entry-codec.ts'
import type { AppendEntries } from '../raft/messages.ts'
import type { OpenedMember } from './open-member.ts'

export interface UncheckedEntriesOptions {
  readonly member: OpenedMember
  readonly logger: Logger
  readonly onFailed: (error: Error) => void
}

export class UncheckedEntries {
  readonly #options: UncheckedEntriesOptions
  #writes = false

  constructor(options: UncheckedEntriesOptions) {
    this.#options = options
  }

  /**
   * Hot: once per AppendEntries; looks at one header.
   *
   * @returns false for entries that cannot be taken yet: they are to be dropped.
   */
  mayTake(message: AppendEntries, payload: Buffer, expected: ExpectedBatch): boolean {
    const { log } = this.#options.member
    const end = expected.firstIndex + expected.count
    if (end <= log.checksummedFrom || log.lastChain !== 0) return true
    const header = decodeEntryHeader(payload, 0)
    if (header === null || !isUnchecked(header)) return true
    // Throws for what is wrong with them otherwise.
    const batch: EntryBatch = checkBatch(payload, { ...expected, checksummedFrom: end })
    this.#raise(Math.max(batch.firstIndex + batch.count, message.commitIndex + 1))
    return false
  }

  #raise(index: number): void {
    if (this.#writes) return
    this.#writes = true
    const { member, logger, onFailed } = this.#options
    logger.info({ below: index }, 'entries without checksums are taken from the leader')
    member.writeHardState({ checksummedFrom: index }, (error) => {
      this.#writes = false
      if (error !== null) return onFailed(error)
      member.log.raiseChecksummedFrom(index)
    })
  }
}
