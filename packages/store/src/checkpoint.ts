/**
 * Writing behind: brings the ConsumeQueue files and the metadata database up to an applied index.
 *
 *   queue entries written ──► one batch: metadata, queue ends, checkpoint        often, nothing synced: the page cache outlives a
 *                                                                                process, and the batch says in which boot it was
 *   files written so far synced ──► one synced batch that says so                rarely: by time, by amount, before the log is
 *                                                                                trimmed, at a clean stop
 *
 * Keeps:
 *   C1  Nothing is written that the local log does not hold synced: a checkpoint never runs ahead of `durable(index)`.
 *   C2  A checkpoint says exactly the state after its index; queue files may hold more, which is applied again and
 *       overwritten with the same bytes.
 *   C3  Files hold what a checkpoint says, after a killed process: up to its index; after a power cut: up to the index that it
 *       says to be synced. What lies between is then written again from the log (queue-repairs.ts), and until that is done no
 *       checkpoint names this boot or claims more to be synced.
 *   C4  The first failure is final.
 *
 * Callbacks instead of promises, so that a simulation owns every step.
 */
import { assert, type Clock, type Logger } from '@dledger-ts/base'
import { isDiskFull } from '@dledger-ts/dledger'
import type { ApacheCheckpointFiles } from './apache/checkpoint-files.ts'
import { type AppliedMark, NOTHING_APPLIED, type StoreMachine } from './apply.ts'
import type { ConsumeQueue } from './consume-queue/consume-queue.ts'
import type { QueueFiles } from './consume-queue/queue-files.ts'
import type { SumRows } from './consume-queue/sum-rows.ts'
import { TailBudget } from './consume-queue/tail-budget.ts'
import { StoreError } from './errors.ts'
import { CHECKPOINT_KEY, encodeCheckpoint, encodeQueue, queueKey } from './kept-rows.ts'
import { inLanes } from './lanes.ts'
import type { MetadataStore, MetadataWrite } from './metadata/metadata-store.ts'
import { restoreKept } from './restore-kept.ts'

/** Applied and unwritten queue entries or metadata writes beyond this start a checkpoint at once. */
const UNWRITTEN_BATCHES_MAX = 65_536
const UNWRITTEN_ROWS_MAX = 262_144
/** So that what cannot be written yet, for it is not synced, does not start one checkpoint after the other. */
const UNWRITTEN_BATCHES_MIN = 64
/** Queue files written to at once. */
const WRITES_MAX = 16
/** Memory of the tails of all queues. */
const TAIL_BYTES_MAX = 32 * 1024 * 1024
/** What a power cut makes to be read from the log again: that many bytes, or what came in that time, and what syncing takes. */
const SYNC_LOG_BYTES = 256 * 1024 * 1024
const SYNC_INTERVAL_MS = 60_000

export interface CheckpointerOptions {
  readonly machine: StoreMachine
  readonly files: QueueFiles
  readonly sums: SumRows
  readonly metadata: MetadataStore
  /** Keeps what it needs in the metadata, by itself; it is given that, or told that all is void. */
  readonly keyIndex: { restore(value: Buffer): void; discard(): void } | null
  readonly clock: Clock
  readonly logger: Logger
  readonly intervalMs: number
  /** This boot of the machine; empty when it is not known, which then counts as another one at each start. */
  readonly bootId: string
  /** Gives the first entry that must stay in the log for what is pending; called before a batch says what is synced. */
  readonly firstNeeded: (callback: (index: number) => void) => void
  /** A synced batch has the minima of these queues. */
  readonly minimaKept: (queues: readonly ConsumeQueue[]) => void
  /** What Apache's tools read; null for none. */
  readonly apacheFiles: ApacheCheckpointFiles | null
  readonly onFailed: (error: Error) => void
}

/** What a power cut may have taken from files, though the database has it. */
export interface Unsynced {
  readonly queues: ReadonlySet<ConsumeQueue>
  readonly synced: AppliedMark
  readonly kept: AppliedMark
}

type Callback = (error: Error | null) => void

export class Checkpointer {
  readonly #options: CheckpointerOptions
  readonly #defer: (callback: () => void) => void
  readonly #tails = new TailBudget(TAIL_BYTES_MAX)
  #durableIndex = -1
  #batchesSince = 0
  #cancelTimer: (() => void) | null = null
  #cancelSyncTimer: (() => void) | null = null
  /** A batch is being made. */
  #running = false
  /** Files are being synced. */
  #syncing = false
  #waiters: Callback[] = []
  #clearFirst = false
  #held = false
  #failure: Error | null = null
  #closed = false
  /** What the database has, and the files in the page cache. */
  #kept = NOTHING_APPLIED
  /** What a synced batch says of files that are synced. */
  #synced = NOTHING_APPLIED
  #syncedAtMs: number
  /** Files are synced as soon as they hold this entry; -1 for no wish. */
  #wantedIndex = -1
  /** Files are synced up to there; the next batch says so. */
  #claim: AppliedMark | null = null
  /** Queues with entries written since files were synced. */
  #written = new Set<ConsumeQueue>()
  /** Queues with minima that no synced batch has. */
  #newMinima: ConsumeQueue[] = []
  #unsynced: Unsynced | null = null

  constructor(options: CheckpointerOptions) {
    this.#options = options
    this.#defer = (callback) => options.clock.defer(callback)
    this.#syncedAtMs = options.clock.monotonicMs()
  }

  get failure(): Error | null {
    return this.#failure
  }

  /** What the files hold, those that are broken aside. */
  get kept(): AppliedMark {
    return this.#kept
  }

  /** What survives a power cut. */
  get synced(): AppliedMark {
    return this.#synced
  }

  /** After `load`: what must be written again from the log before anything of it is read from files. */
  get unsynced(): Unsynced | null {
    return this.#unsynced
  }

  /** Takes up what is kept. @param callback gets an error only for what must not be overwritten: a newer format, a failed read. */
  load(callback: Callback): void {
    this.#options.metadata.load((error, rows) => {
      if (error !== null && !isCorrupt(error)) return callback(error)
      try {
        if (error !== null) throw error
        this.#takeUp(rows)
      } catch (failure) {
        if (!isCorrupt(failure)) return callback(failure as Error)
        this.#options.logger.warn(
          { err: failure },
          'the derived state is damaged: all of it is built again from the log',
        )
        this.#options.machine.forget()
        this.discard()
      }
      callback(null)
    })
  }

  applied(): void {
    this.#batchesSince++
    if (!this.#running && this.#isMuch()) return this.#run(false)
    if (this.#cancelTimer !== null || this.#running || this.#closed) return
    this.#cancelTimer = this.#options.clock.after(this.#options.intervalMs, () => {
      this.#cancelTimer = null
      if (!this.#running) this.#run(false)
    })
  }

  durable(index: number): void {
    if (index > this.#durableIndex) this.#durableIndex = index
  }

  /** Files are synced as soon as a checkpoint has what is applied now: the log waits for it. */
  syncNext(): void {
    this.#syncAt(this.#options.machine.appliedIndex)
  }

  /** One that is being written may be of before. */
  #syncAt(index: number): void {
    if (index > this.#wantedIndex) this.#wantedIndex = index
  }

  /** What may have been lost (`unsynced`) is in the files again. */
  recovered(): void {
    this.#unsynced = null
    this.#maybeSync()
  }

  /** What the database has is not the state, and goes before anything is written. */
  get isVoid(): boolean {
    return this.#clearFirst
  }

  /** No checkpoint is written from `ready` on, until `release`. */
  hold(ready: () => void): void {
    this.#held = true
    this.whenIdle(() => {
      if (!this.#clearFirst) return ready()
      this.#options.metadata.clear(CHECKPOINT_KEY, (error) => {
        if (error !== null) return this.#fail(error)
        this.#clearFirst = false
        ready()
      })
    })
  }

  release(): void {
    this.#held = false
    if (this.#options.machine.isAhead) this.applied()
  }

  /** The kept state is void: removes the files now and the rest before anything else is written. */
  discard(): void {
    this.#clearFirst = true
    this.discardFiles()
  }

  /** The files are void; what becomes of the database is the caller's matter. */
  discardFiles(): void {
    this.#kept = NOTHING_APPLIED
    this.#synced = NOTHING_APPLIED
    this.#claim = null
    this.#written = new Set()
    this.#newMinima = []
    this.#wantedIndex = -1
    this.#unsynced = null
    this.#tails.clear()
    this.#options.files.discardAllSync()
    this.#options.apacheFiles?.discarded()
    this.#options.keyIndex?.discard()
  }

  /** Writes everything that may be written and syncs it; for a clean stop. */
  flush(callback: Callback): void {
    if (this.#failure !== null) return callback(this.#failure)
    const again = (error: Error | null): void => (error === null ? this.flush(callback) : callback(error))
    if (this.#running || this.#syncing) {
      this.#waiters.push(again)
    } else if (this.#claim !== null || this.#options.machine.hasMark(this.#durableIndex)) {
      this.#waiters.push(again)
      this.#run(true)
    } else if (this.#kept.index > this.#synced.index && this.#unsynced === null) {
      this.#waiters.push(again)
      this.#sync()
    } else {
      callback(null)
    }
  }

  /** Calls back when nothing is written or synced; the files may be closed then. */
  whenIdle(callback: () => void): void {
    if (this.#running || this.#syncing) this.#waiters.push(() => this.whenIdle(callback))
    else callback()
  }

  /** No checkpoint begins by itself after this. */
  stop(): void {
    this.#closed = true
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#cancelSyncTimer?.()
    this.#cancelSyncTimer = null
  }

  // ------------------------------------------------------------------------------------------------ writing

  #run(evenClosed: boolean): void {
    assert(!this.#running, 'one checkpoint is written at a time')
    if (this.#failure !== null || this.#held || (this.#closed && !evenClosed)) return
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#running = true
    this.#batchesSince = 0
    if (!this.#clearFirst) return this.#write()
    this.#options.metadata.clear(CHECKPOINT_KEY, (error) => {
      if (error !== null) return this.#done(error)
      this.#clearFirst = false
      this.#write()
    })
  }

  #write(): void {
    const { machine, files, sums } = this.#options
    const mark = machine.takeMark(this.#durableIndex)
    if (mark === undefined) return this.#claim === null ? this.#done(null) : this.#writeBatch(this.#kept, [])
    const dirty = machine.takeDirtyQueues()
    const rows: MetadataWrite[] = []
    const writeQueue = (i: number, done: Callback): void => {
      const queue = dirty[i] as ConsumeQueue
      const from = queue.writtenOffset
      const to = queue.writableBefore(mark.physicalEnd)
      if (to < queue.nextOffset) machine.markDirty(queue)
      const addRow = (): void => {
        if (queue.minIsNew) this.#newMinima.push(queue)
        rows.push(rowOf(queue, to))
      }
      if (to === from) {
        if (queue.minIsNew) addRow()
        return done(null)
      }
      queue.keptLastPhysicalOffset = queue.physicalOffsetAt(to - 1)
      const entries = queue.copyEntries(from, to)
      files.write(queue, from, entries, (error) => {
        if (error !== null) return done(error)
        queue.sum.add(entries, sums.entriesPerFile, (segment) => rows.push(sums.ended(queue, segment)))
        queue.written(to)
        // The minimum may have come while the file was written.
        addRow()
        this.#written.add(queue)
        this.#tails.written(queue)
        done(null)
      })
    }
    inLanes({ count: dirty.length, lanes: WRITES_MAX, begin: writeQueue }, (error) => {
      if (error !== null) return this.#done(error)
      if (this.#newMinima.length > 0) this.#syncAt(mark.index)
      machine.metadata.takeWrites(mark.index, this.#defer, (writes) => this.#writeBatch(mark, rows.concat(writes)))
    })
  }

  #writeBatch(mark: AppliedMark, rows: MetadataWrite[]): void {
    const { metadata, bootId, firstNeeded, minimaKept, machine, apacheFiles } = this.#options
    const claim = this.#claim
    const synced = claim ?? this.#synced
    rows.push({
      key: CHECKPOINT_KEY,
      value: encodeCheckpoint({ mark, synced, bootId: this.#unsynced === null ? bootId : '' }),
    })
    if (claim === null) return metadata.write(rows, { sync: false }, (error) => this.#batchWritten(error, mark))
    const minima = this.#newMinima
    this.#newMinima = []
    firstNeeded((needed) => {
      metadata.write(rows, { sync: true }, (error) => {
        if (error === null) {
          this.#claim = null
          this.#synced = claim
          this.#syncedAtMs = this.#options.clock.monotonicMs()
          machine.mayForget(Math.min(claim.index, needed - 1))
          minimaKept(minima)
        }
        if (error !== null || apacheFiles === null) return this.#batchWritten(error, mark)
        apacheFiles.write(claim, (failure) => this.#batchWritten(failure, mark))
      })
    })
  }

  #batchWritten(error: Error | null, mark: AppliedMark): void {
    if (error !== null) return this.#done(error)
    this.#options.sums.written()
    this.#options.machine.metadata.written(this.#defer, () => {
      this.#kept = mark
      this.#done(null)
    })
  }

  #done(error: Error | null): void {
    this.#running = false
    if (error !== null) return this.#fail(error)
    // What was applied meanwhile, or was not synced in the log yet, waits for the next one.
    if (this.#options.machine.isAhead) {
      this.#batchesSince = Math.max(0, this.#batchesSince - 1)
      this.applied()
    }
    this.#maybeSync()
    this.#tell(null)
  }

  #fail(error: Error): void {
    this.#failure = error
    // Without room at its end a store has only more to apply at its next start.
    if (!this.#closed || !isDiskFull(error)) this.#options.onFailed(error)
    this.#tell(error)
  }

  #tell(error: Error | null): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter(error)
  }

  #isMuch(): boolean {
    if (this.#batchesSince >= UNWRITTEN_BATCHES_MAX) return true
    return (
      this.#batchesSince >= UNWRITTEN_BATCHES_MIN && this.#options.machine.metadata.pendingWrites >= UNWRITTEN_ROWS_MAX
    )
  }

  // ------------------------------------------------------------------------------------------------ syncing

  /** After a checkpoint: syncs its files when it is time to, or sees to it that this comes. */
  #maybeSync(): void {
    if (this.#closed || this.#held || this.#failure !== null || this.#syncing || this.#running) return
    if (this.#claim !== null) return this.#run(false)
    if (this.#unsynced !== null || this.#kept.index <= this.#synced.index) return
    const waitMs = this.#syncedAtMs + SYNC_INTERVAL_MS - this.#options.clock.monotonicMs()
    const isMuch = this.#kept.physicalEnd - this.#synced.physicalEnd >= SYNC_LOG_BYTES
    const isWanted = this.#wantedIndex >= 0 && this.#kept.index >= this.#wantedIndex
    if (isWanted || isMuch || waitMs <= 0) return this.#sync()
    this.#cancelSyncTimer ??= this.#options.clock.after(Math.ceil(waitMs), () => {
      this.#cancelSyncTimer = null
      this.#maybeSync()
    })
  }

  /** Syncs what is in the files by now, while checkpoints go on. */
  #sync(): void {
    assert(!this.#syncing && !this.#running && this.#unsynced === null, 'files are synced when they are whole')
    this.#cancelSyncTimer?.()
    this.#cancelSyncTimer = null
    this.#syncing = true
    const mark = this.#kept
    if (mark.index >= this.#wantedIndex) this.#wantedIndex = -1
    const ends: [ConsumeQueue, number][] = []
    for (const queue of this.#written) ends.push([queue, queue.writtenOffset])
    this.#written = new Set()
    this.#options.files.sync((error) => {
      this.#syncing = false
      if (error !== null) return this.#fail(error)
      for (const [queue, end] of ends) queue.syncedOffset = end
      this.#claim = mark
      this.#maybeSync()
      this.#tell(null)
    })
  }

  // ------------------------------------------------------------------------------------------------ taking up

  #takeUp(rows: readonly { readonly key: string; readonly value: Buffer }[]): void {
    const { machine, files, keyIndex, logger, bootId } = this.#options
    const kept = restoreKept(rows, { machine, keyIndex, logger })
    if (kept === null) return this.discard()
    const { mark, synced } = kept
    this.#kept = mark
    this.#synced = synced
    if (mark.index === synced.index) return
    const queues = new Set<ConsumeQueue>()
    for (const queue of machine.queues.all()) {
      if (queue.keptLastPhysicalOffset < synced.physicalEnd) continue
      queues.add(queue)
      files.writtenBefore(queue, queue.syncedOffset, queue.writtenOffset)
    }
    this.#written = new Set(queues)
    if (bootId !== '' && bootId === kept.bootId) return
    for (const queue of queues) queue.isBroken = true
    this.#unsynced = { queues, synced, kept: mark }
  }
}

/** @param nextOffset one after the newest entry that the checkpoint has. */
function rowOf(queue: ConsumeQueue, nextOffset: number): MetadataWrite {
  const { keptLastPhysicalOffset: lastPhysicalOffset, syncedOffset } = queue
  // What was deleted since may be more than the checkpoint has.
  const minOffset = Math.min(queue.minOffset, nextOffset)
  queue.minIsNew = minOffset < queue.minOffset
  queue.keptMinOffset = minOffset
  const firstPhysicalOffset = minOffset === nextOffset ? -1 : queue.firstPhysicalOffset
  // Where nothing counts the file may be made anew, without what was before.
  if (minOffset === nextOffset) queue.sum.restart(nextOffset)
  const { from: sumFrom, sum } = queue.sum
  const kept = { nextOffset, minOffset, firstPhysicalOffset, lastPhysicalOffset, syncedOffset, sumFrom, sum }
  return { key: queueKey(queue.topic, queue.queueId), value: encodeQueue(kept) }
}

function isCorrupt(error: unknown): boolean {
  return error instanceof StoreError && error.code === 'CORRUPT'
}
