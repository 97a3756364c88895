/**
 * Entries from a leader on their way to the core: `Sending` the other way round.
 *
 * Keeps: the core sees no entry whose bytes were not checked, none that has no place on the disk, and none of a term that the disk
 * does not know yet, so that a hard state that is older than the log has lost something; what fails is as if it had been lost on
 * the way, and the leader repeats it.
 */
import type { Logger } from '@dledger-ts/base'
import { decodeConfiguration } from '../configuration-codec.ts'
import { ENTRY_HEADER_BYTES, EntryChannel, type EntryBatch } from '../log/entry-batch.ts'
import { channelAt, checkBatch } from '../log/entry-codec.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import type { AppendEntries } from '../raft/messages.ts'
import type { RoleState } from '../raft/output.ts'
import type { Raft } from '../raft/raft.ts'
import type { ControlEnvelope } from '../state-machine.ts'
import type { UncheckedEntries } from './unchecked-entries.ts'

export interface ReceivingOptions {
  readonly log: SegmentedLog
  readonly raft: Raft
  readonly unchecked: UncheckedEntries
  readonly fileBytes: number
  readonly controlEnvelope: ControlEnvelope
  readonly logger: Logger
  readonly role: () => RoleState
  /** The highest term that is on the disk. */
  readonly durableTerm: () => number
  /** Of what the disk keeps free for entries that free more. */
  readonly hasRoomFor: (bytes: number) => boolean
  /** Handles what the core has put out; an append among it is of these entries. */
  readonly drain: (carried: EntryBatch | null) => void
}

export class Receiving {
  readonly #options: ReceivingOptions

  constructor(options: ReceivingOptions) {
    this.#options = options
  }

  /** An AppendEntries that carries entries. Hot. */
  received(message: AppendEntries, payload: Buffer | null): void {
    const { log, raft, logger, role, durableTerm, hasRoomFor, drain } = this.#options
    let batch: EntryBatch | null
    try {
      batch = this.#checked(message, payload)
    } catch (error) {
      // Damaged on the way or never well formed.
      logger.warn({ err: error, from: message.from }, 'entries from a peer were refused')
      return
    }
    if (batch === null) return
    if (!log.hasRoomFor(batch) || !hasRoomFor(batch.bytes.length)) {
      // Only a new leader is heard, once: answered without its entries, it would send the next ones at once, and so on for as long
      // as the disk is full.
      if (message.term > role().term) raft.step({ ...message, count: 0, entriesTerm: 0, bytes: 0 })
      return
    }
    if (message.term > durableTerm()) {
      // The term first; the leader hears of that before it sends the entries again.
      raft.step({ ...message, count: 0, entriesTerm: 0, bytes: 0 })
      return
    }
    // What was collected before belongs to earlier inputs; this one's append must be seen alone.
    drain(null)
    raft.step(message, batch.sizes)
    drain(batch)
  }

  /** The core has taken these entries into its log: it learns of the configurations among them. */
  appended(batch: EntryBatch): void {
    const { raft, controlEnvelope } = this.#options
    let at = 0
    for (let i = 0; i < batch.count; i++) {
      const size = batch.sizes[i] as number
      if (channelAt(batch.bytes, at) === EntryChannel.CONFIGURATION) {
        const body = batch.bytes.subarray(at + ENTRY_HEADER_BYTES, at + size)
        raft.configurationAppended(batch.firstIndex + i, decodeConfiguration(controlEnvelope.unwrap(body)))
      }
      at += size
    }
  }

  /** @returns null for what cannot be taken yet. @throws for what is damaged. */
  #checked(message: AppendEntries, payload: Buffer | null): EntryBatch | null {
    const { log, unchecked, fileBytes } = this.#options
    if (payload === null) throw new Error('the entries are missing')
    const expected = {
      firstIndex: message.prevIndex + 1,
      term: message.entriesTerm,
      count: message.count,
      fileBytes,
    }
    if (!unchecked.mayTake(message, payload, expected)) return null
    return checkBatch(payload, { ...expected, checksummedFrom: log.checksummedFrom })
  }
}
