/**
 * A copy of this member's log up to a committed entry, in a directory that opens like any other.
 *
 *   committed entries ──checked, piece by piece──► files ──► configuration entries ──► synced ──► hard state, last
 *
 * The copy goes on as a group of its own: its last entries, of a term that this log has not reached, say who its members are, under
 * identities that are not bound yet, one voter more or less at a time (R13): who joins later goes through them like any others. The
 * directory belongs to nobody until it is opened; then it is that member's.
 *
 * Keeps:
 *   - every entry is read as for a follower, checksums and all; what cannot be read ends the backup.
 *   - nothing is trimmed here meanwhile, one piece is in memory, and no more is read than the budget of followers allows.
 *   - a directory without hard state is no member's: until the end there is none, and a backup that fails takes its files away.
 */
import { assert, type Clock, type Logger } from '@dledger-ts/base'
import { encodeConfiguration } from '../configuration-codec.ts'
import { invalid, type NodeSettings } from '../config.ts'
import type { Disk } from '../disk/disk.ts'
import { storageFailed } from '../disk/watched-disk.ts'
import { DLedgerError } from '../errors.ts'
import { HardStateFile } from '../hard-state/hard-state-file.ts'
import { SegmentedLog } from '../log/segmented-log.ts'
import type { Configuration } from '../raft/configuration.ts'
import type { MemberId } from '../raft/messages.ts'
import type { ControlEnvelope } from '../state-machine.ts'
import { BatchBuilder } from './batch-builder.ts'
import type { CatchUpBudget } from './catch-up-budget.ts'
import type { ReadEntries } from './log-reading.ts'
import { makeDirectoryDurably, type OpenedMember, UNTAKEN } from './open-member.ts'

/** What a backup holds of the log; entries that name its members follow. */
export interface BackedUp {
  readonly firstIndex: number
  readonly lastIndex: number
}

export interface BackupOptions {
  readonly disk: Disk
  /** Where it goes. */
  readonly directory: string
  /** Who the copy's members are. */
  readonly members: readonly MemberId[]
  readonly member: OpenedMember
  readonly settings: NodeSettings
  readonly clock: Clock
  readonly logger: Logger
  readonly controlEnvelope: ControlEnvelope
  readonly budget: CatchUpBudget
  readonly commitIndex: number
  /** In force there; null when no entry says so. */
  readonly configuration: Configuration | null
  readonly readEntries: ReadEntries
  /** Told once, after everything is closed. */
  readonly onEnd: (error: Error | null, backedUp: BackedUp | null) => void
}

export class Backup {
  readonly #options: BackupOptions
  readonly #lastIndex: number
  #copy: SegmentedLog | null = null
  /** Whatever is in the directory is of this backup. */
  #ownsFiles = false
  #ended = false

  constructor(options: BackupOptions) {
    this.#options = options
    this.#lastIndex = options.commitIndex
  }

  /** @throws DLedgerError INVALID for a directory that holds anything; nothing was changed. STORAGE_FAILED. */
  start(): void {
    const { disk, directory, member, settings, clock, logger } = this.#options
    if (filesBelow(disk, directory).length > 0) throw invalid(`${directory}: a backup goes to an empty directory`)
    this.#ownsFiles = true
    if (!disk.existsSync(directory)) makeDirectoryDurably(disk, directory)
    const { beforeFirst } = member.log
    this.#copy = SegmentedLog.open({
      disk,
      directory,
      fileBytes: settings.fileBytes,
      indexFileBytes: settings.indexFileBytes,
      zeroFillBytes: 0,
      durableHint: null,
      checksummedFrom: member.log.checksummedFrom,
      beforeFirst: beforeFirst.index < 0 ? null : beforeFirst,
      configurationIndexes: [],
      // A backup that finds no room ends: its reader is not kept waiting, nor is trimming.
      failsWhenFull: true,
      defer: (callback) => clock.defer(callback),
      logger,
    })
    this.#next()
  }

  /** Gives up and takes the files away. Idempotent. */
  abort(reason: Error): void {
    this.#end(reason)
  }

  /** What throws on the way ends this backup, not the member, nor the process that hears the disk. */
  #guarded(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #next(): void {
    const { readEntries, settings, clock, budget } = this.#options
    const copy = this.#copy
    if (this.#ended || copy === null) return
    if (copy.lastIndex >= this.#lastIndex) return this.#nameMembers(copy)
    if (!budget.isOpen) {
      clock.after(settings.heartbeatMs, () => this.#guarded(() => this.#next()))
      return
    }
    const firstIndex = copy.lastIndex + 1
    readEntries(firstIndex, this.#lastIndex, settings.catchUpPieceBytes, (batch) => {
      if (this.#ended) return
      if (batch === null) return this.#end(unreadable(firstIndex))
      budget.take(batch.bytes.length)
      this.#guarded(() =>
        copy.append(batch, (error) => {
          if (error === null) this.#guarded(() => this.#next())
          else this.#fail('write', error)
        }),
      )
    })
  }

  #nameMembers(copy: SegmentedLog): void {
    const { member, members, configuration, controlEnvelope } = this.#options
    const term = member.hardState.term + 1
    const builder = new BatchBuilder(copy, controlEnvelope)
    const steps = stepsTo(members, configuration?.voters.map(({ id }) => id) ?? null)
    for (const ids of steps) {
      const voters = ids.map((id) => ({ id, storeId: null, address: null }))
      const payload = encodeConfiguration({ voters, learners: [] })
      const isLast = ids === steps.at(-1)
      copy.append(builder.wrapControl('configuration', payload, term), (error) => {
        if (error !== null) this.#fail('write', error)
        else if (isLast && !this.#ended) this.#sync(copy, term)
      })
    }
  }

  #sync(copy: SegmentedLog, term: number): void {
    copy.sync((error) => {
      if (error !== null) this.#fail('sync', error)
      else if (!this.#ended) this.#makeHardState(copy, term)
    })
  }

  #makeHardState(copy: SegmentedLog, term: number): void {
    const { disk, directory, member } = this.#options
    const { hardState, log } = member
    try {
      assert(log.firstIndex === copy.firstIndex, 'nothing is trimmed during a backup')
      HardStateFile.createSync(disk, `${directory}/hard-state`, {
        group: hardState.group,
        member: UNTAKEN,
        storeId: UNTAKEN,
        incarnation: 0,
        term,
        votedFor: null,
        fileBytes: hardState.fileBytes,
        checksummedFrom: hardState.checksummedFrom,
        bootId: null,
        asyncAcks: false,
        cleanStop: true,
        recovering: false,
        durableHint: { index: copy.lastIndex, endPos: copy.endPos, chain: copy.lastChain, term },
        beforeFirst: hardState.beforeFirst,
        configurationIndexes: [...copy.configurationIndexes()],
        baseConfiguration: hardState.baseConfiguration ?? null,
      }).closeSync()
    } catch (error) {
      return this.#fail('write', error as Error)
    }
    this.#end(null)
  }

  /** The disk of the copy is not watched as the member's own is: its errors are named here. */
  #fail(operation: string, error: Error): void {
    this.#end(error instanceof DLedgerError ? error : storageFailed(operation, this.#options.directory, error))
  }

  #end(error: Error | null): void {
    if (this.#ended) return
    this.#ended = true
    const { disk, directory, onEnd, logger } = this.#options
    const copy = this.#copy
    copy?.close()
    if (error === null && copy !== null) {
      return onEnd(null, { firstIndex: copy.firstIndex, lastIndex: this.#lastIndex })
    }
    try {
      if (this.#ownsFiles) for (const path of filesBelow(disk, directory)) disk.removeSync(path)
    } catch (failure) {
      logger.warn({ err: failure, directory }, 'what a backup had written could not be removed')
    }
    onEnd(error, null)
  }
}

/** Sets of voters, each with one more or one less than the one before, until they are `wanted`. */
export function stepsTo(wanted: readonly MemberId[], present: readonly MemberId[] | null): readonly MemberId[][] {
  if (present === null) return [[...wanted]]
  let voters = [...present]
  const steps = [voters]
  for (const id of wanted) {
    if (!present.includes(id)) steps.push((voters = [...voters, id]))
  }
  for (const id of present) {
    if (!wanted.includes(id)) steps.push((voters = voters.filter((each) => each !== id)))
  }
  return steps
}

/** Files of a directory, and of those in it where a log has its own. */
function filesBelow(disk: Disk, directory: string): string[] {
  const found: string[] = []
  for (const name of disk.listSync(directory)) {
    const path = `${directory}/${name}`
    if (name !== 'data' && name !== 'index') found.push(path)
    else found.push(...disk.listSync(path).map((file) => `${path}/${file}`))
  }
  return found
}

function unreadable(index: number): DLedgerError {
  return new DLedgerError(`entry ${index} is damaged here, so there is no backup of it; ask another member`, {
    code: 'CORRUPT',
    file: 'log',
    at: -1,
  })
}
