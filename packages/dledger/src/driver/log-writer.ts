/**
 * Brings entries into the log's files and tells when they are durable.
 *
 * Keeps:
 *   W1  Operations reach the log in the order in which they are submitted; a truncation waits until no write and no sync is
 *       under way, and everything submitted later waits behind it.
 *   W2  One fdatasync is under way at most; all that was written while it ran shares the next one (group commit).
 *   W3  `durable` is told in order. SYNC_FLUSH: after the sync that covers it. ASYNC_FLUSH: when it is in the page cache, but a
 *       configuration after the sync that covers it: members that lost it together would elect a leader without a voter that it
 *       made, and that one may be the only one that has synced what was acknowledged.
 *   W4  The durable hint on disk never points beyond what is synced, nor beyond a truncation that has begun, nor beyond the index
 *       units that are in the files: those of small batches wait for others, but not for long.
 *   W5  The first failure is final: nothing is retried, nothing more is told durable.
 *   W6  A stop waits for what is under way, never for room on the disk (the log's, its index's, or the hard state's before a
 *       truncation) or for a repair: what waits for that was promised to nobody.
 *       Nor does another log that takes the place of this one as a whole wait for a repair, which may never come.
 */
import { assert, type Clock } from '@dledger-ts/base'
import { DLedgerError } from '../errors.ts'
import type { EntryBatch } from '../log/entry-batch.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import type { PlantedDriverFault } from './planted-driver-faults.ts'

/** How long index units wait in memory for others. Until they are written, no durable hint goes beyond them. */
const INDEX_HELD_MS = 100

/** The end of the log after some entry: what a durable hint says. */
export interface LogMark {
  readonly index: number
  readonly endPos: number
  readonly chain: number
  readonly term: number
}

interface Operation {
  readonly seq: number
  readonly truncateFrom: number | null
  readonly batches: readonly EntryBatch[]
}

interface WrittenMark extends LogMark {
  readonly seq: number
  readonly bringsConfiguration: boolean
}

export interface LogWriterOptions {
  readonly log: SegmentedLog
  readonly syncBeforeDurable: boolean
  readonly asyncFlushIntervalMs: number
  readonly clock: Clock
  readonly faults: ReadonlySet<PlantedDriverFault>
  /** Everything up to this operation keeps the promise of the flush mode. */
  readonly onDurable: (seq: number) => void
  /** Everything up to this mark is synced, by a sync that took so long. */
  readonly onSynced: (mark: LogMark, tookMs: number) => void
  /** A durable hint may point to this mark. */
  readonly onHint: (mark: LogMark) => void
  /** Lowers the durable hint below `index` and calls back when that is durable. */
  readonly beforeTruncate: (index: number, callback: () => void) => void
  /** The durable hint waits for room on the disk. */
  readonly hintWaitsForRoom: () => boolean
  readonly onIdle: () => void
  readonly onFailed: (error: Error) => void
}

export class LogWriter {
  readonly #options: LogWriterOptions
  readonly #waiting: Operation[] = []
  #writesUnderWay = 0
  /** Those among them that are of nothing but index units, which recovery builds again. */
  #indexWritesUnderWay = 0
  #truncating = false
  #syncing = false
  #written: WrittenMark | null = null
  #syncedSeq = 0
  /** The newest operation written that brings a configuration. */
  #configurationSeq = 0
  #syncWaiters: { readonly seq: number; readonly callback: () => void }[] = []
  #cancelAsyncFlush: (() => void) | null = null
  #cancelIndexWrite: (() => void) | null = null
  /** Synced, but their index units are not all in the files: the oldest and the newest such mark since the last hint. */
  #nextHint: LogMark | null = null
  #newestHint: LogMark | null = null
  #failed = false
  #closed = false
  #waitsNoMore = false

  constructor(options: LogWriterOptions) {
    this.#options = options
  }

  /** False while an operation waits: the end of the log is not final and nothing can be placed after it. */
  get placeable(): boolean {
    return this.#waiting.length === 0 && !this.#truncating
  }

  /** The lowest entry that a truncation which has not happened yet will remove; infinite when there is none. */
  get truncatesFrom(): number {
    let from = Number.POSITIVE_INFINITY
    for (const operation of this.#waiting) {
      if (operation.truncateFrom !== null && operation.truncateFrom < from) from = operation.truncateFrom
    }
    return from
  }

  submit(seq: number, truncateFrom: number | null, batches: readonly EntryBatch[]): void {
    if (this.#failed) return
    if (truncateFrom !== null) this.#dropOvertaken(truncateFrom)
    this.#waiting.push({ seq, truncateFrom, batches })
    this.#next()
  }

  /** What waits for a repair that nobody can give any more is void with all behind it, once the log is to be cut there or before. */
  #dropOvertaken(from: number): void {
    const waitsFrom = this.#waiting[0]?.truncateFrom ?? null
    if (waitsFrom !== null && from <= waitsFrom && this.waitsForRepair) this.#waiting.length = 0
  }

  /** Calls back when all that is written now is synced, whatever the mode; never within this call, and not after a failure. */
  whenSynced(callback: () => void): void {
    const seq = this.#written?.seq ?? 0
    if (seq <= this.#syncedSeq) return this.#options.clock.defer(callback)
    this.#syncWaiters.push({ seq, callback })
    this.#sync()
  }

  #tellSynced(): void {
    if (this.#syncWaiters.length === 0) return
    const waiters = this.#syncWaiters
    this.#syncWaiters = waiters.filter(({ seq }) => seq > this.#syncedSeq)
    for (const { seq, callback } of waiters) if (seq <= this.#syncedSeq) callback()
  }

  /** A stop has begun, nothing more is submitted: what can only wait counts for nothing from here on (W6). */
  stopWaiting(): void {
    this.#waitsNoMore = true
  }

  /**
   * Syncs everything written, whatever the mode; for a clean stop.
   *
   * @param callback `isAll`: nothing was given up that waited, index units aside.
   */
  flush(callback: (error: Error | null, mark: LogMark | null, isAll: boolean) => void): void {
    assert(this.quiet, 'a final flush comes after the last write')
    const isAll = this.placeable && this.#writesUnderWay === this.#indexWritesUnderWay
    this.#waiting.length = 0
    this.#closed = true
    this.#cancelTimers()
    const { log } = this.#options
    const mark = this.#written
    const sync = (): void =>
      log.sync((error) => callback(error, mark === null || mark.index > log.indexWrittenTo ? null : mark, isAll))
    if (log.holdsIndex && !log.isFull)
      log.writeLastUnits((error) => (error === null ? sync() : callback(error, null, false)))
    else sync()
  }

  #cancelTimers(): void {
    this.#cancelAsyncFlush?.()
    this.#cancelIndexWrite?.()
  }

  /** From now on nothing is written, synced or told; what is under way ends unheard. Idempotent. */
  stop(): void {
    this.#failed = true
    this.#cancelTimers()
  }

  /** Nothing is under way on the log, nor going to be. */
  get quiet(): boolean {
    if (this.#truncating) return this.#waitsNoMore && this.#options.hintWaitsForRoom()
    if (this.#syncing) return false
    if (this.#waitsNoMore && this.#isBlocked) return true
    return this.#waiting.length === 0 && this.#writesUnderWay === 0
  }

  /** Nothing is under way, and what is first in the line is a truncation that waits for the repair of the entry before it. */
  get waitsForRepair(): boolean {
    if (this.#truncating || this.#syncing || this.#writesUnderWay > 0) return false
    const from = this.#waiting[0]?.truncateFrom ?? null
    return from !== null && !this.#canEndBefore(from)
  }

  /** What is first in the line waits for room on the disk, or for a repair. */
  get #isBlocked(): boolean {
    return this.#writesUnderWay > 0 ? this.#options.log.waitsForRoom : this.waitsForRepair
  }

  #next(): void {
    while (this.#waiting.length > 0 && !this.#truncating && !this.#failed) {
      const operation = this.#waiting[0] as Operation
      if (operation.truncateFrom !== null) {
        const from = operation.truncateFrom
        if (this.#writesUnderWay > 0 || this.#syncing || !this.#canEndBefore(from)) return
        this.#truncating = true
        this.#options.beforeTruncate(from, () => {
          if (this.#failed) return
          this.#truncating = false
          // What was good may have rotted while the hint was written.
          if (!this.#canEndBefore(from)) return this.#afterProgress()
          this.#guarded(() => this.#options.log.truncateFrom(from))
          // They may name what was just removed.
          this.#written = null
          this.#nextHint = null
          this.#newestHint = null
          this.#waiting.shift()
          this.#append(operation)
          this.#next()
          this.#afterProgress()
        })
        return
      }
      this.#waiting.shift()
      this.#append(operation)
    }
  }

  /** The log cannot end with an entry that is damaged: its repair comes first, and then `resume`. */
  #canEndBefore(index: number): boolean {
    let can = false
    this.#guarded(() => {
      can = this.#options.log.canEndBefore(index)
    })
    return can
  }

  /** Entries were repaired. */
  resume(): void {
    this.#next()
  }

  #append(operation: Operation): void {
    const { log } = this.#options
    if (operation.batches.length === 0) {
      // A truncation is synced when it returns.
      this.#written = {
        seq: operation.seq,
        index: log.lastIndex,
        endPos: log.endPos,
        chain: log.lastChain,
        term: log.lastTerm,
        bringsConfiguration: false,
      }
      this.#syncedSeq = operation.seq
      this.#tellSynced()
      if (!this.#failed) this.#options.onDurable(operation.seq)
      return
    }
    const last = operation.batches.length - 1
    const newestConfiguration = log.configurationIndexes().at(-1)
    operation.batches.forEach((batch, i) => {
      if (this.#failed) return
      if (!log.isContinuedBy(batch)) {
        // The terms agreed, so the logs should have: one of them is not what was acknowledged.
        return this.#fail(diverged(batch.firstIndex))
      }
      this.#writesUnderWay++
      let mark: WrittenMark | null = null
      const written = (error: Error | null): void => {
        this.#writesUnderWay--
        if (error !== null) return this.#fail(error)
        this.#hint()
        if (mark !== null) this.#onWritten(mark)
        this.#next()
        this.#afterProgress()
      }
      this.#guarded(() => log.append(batch, written))
      if (i === last)
        mark = {
          seq: operation.seq,
          index: log.lastIndex,
          endPos: log.endPos,
          chain: log.lastChain,
          term: log.lastTerm,
          bringsConfiguration: log.configurationIndexes().at(-1) !== newestConfiguration,
        }
    })
  }

  #onWritten(mark: WrittenMark): void {
    if (this.#failed) return
    this.#written = mark
    this.#armIndexWrite()
    if (mark.bringsConfiguration) this.#configurationSeq = mark.seq
    if (this.#options.syncBeforeDurable) {
      if (this.#options.faults.has('durable-before-sync')) this.#options.onDurable(mark.seq)
      this.#sync()
      return
    }
    if (this.#owesSync) return this.#sync()
    this.#options.onDurable(mark.seq)
    this.#armAsyncFlush()
  }

  #armIndexWrite(): void {
    if (this.#cancelIndexWrite !== null || !this.#options.log.holdsIndex || this.#closed || this.#failed) return
    this.#cancelIndexWrite = this.#options.clock.after(INDEX_HELD_MS, () => {
      this.#cancelIndexWrite = null
      this.#writeIndex()
    })
  }

  #writeIndex(): void {
    const { log } = this.#options
    if (this.#failed || this.#closed || !log.holdsIndex) return
    if (this.#truncating) return this.#armIndexWrite()
    this.#writesUnderWay++
    this.#indexWritesUnderWay++
    log.writeIndex((error) => {
      this.#writesUnderWay--
      this.#indexWritesUnderWay--
      if (error !== null) return this.#fail(error)
      this.#hint()
      this.#next()
      this.#afterProgress()
    })
  }

  /** Offers the newest mark whose index units are written, of the two that are known to wait for theirs. */
  #hint(): void {
    const { indexWrittenTo } = this.#options.log
    const [next, newest] = [this.#nextHint, this.#newestHint]
    if (next === null || newest === null || next.index > indexWrittenTo) return
    const isAll = newest.index <= indexWrittenTo
    this.#nextHint = isAll ? null : newest
    this.#newestHint = isAll ? null : newest
    if (!this.#failed) this.#options.onHint(isAll ? newest : next)
  }

  /** What was written counts only with the next sync. */
  get #owesSync(): boolean {
    return this.#options.syncBeforeDurable || this.#configurationSeq > this.#syncedSeq
  }

  #armAsyncFlush(): void {
    if (this.#cancelAsyncFlush !== null || this.#closed || this.#failed) return
    this.#cancelAsyncFlush = this.#options.clock.after(this.#options.asyncFlushIntervalMs, () => {
      this.#cancelAsyncFlush = null
      this.#sync()
    })
  }

  #sync(): void {
    const mark = this.#written
    if (this.#syncing || this.#truncating || this.#failed || this.#closed) return
    if (mark === null || mark.seq <= this.#syncedSeq) return
    // A truncation at the head of the line goes first; it syncs what it leaves.
    if (this.#waiting.length > 0) return
    this.#syncing = true
    const begunMs = this.#options.clock.monotonicMs()
    this.#options.log.sync((error) => {
      this.#syncing = false
      if (error !== null && !this.#options.faults.has('sync-error-ignored')) return this.#fail(error)
      if (this.#failed) return
      const owed = this.#owesSync
      this.#syncedSeq = mark.seq
      this.#tellSynced()
      this.#options.onSynced(mark, this.#options.clock.monotonicMs() - begunMs)
      this.#nextHint ??= mark
      this.#newestHint = mark
      this.#hint()
      if (this.#options.syncBeforeDurable) this.#options.onDurable(mark.seq)
      else if (owed && !this.#owesSync) this.#options.onDurable((this.#written ?? mark).seq)
      this.#next()
      if (this.#owesSync) this.#sync()
      // A flush that was due meanwhile was skipped.
      else if (this.#written !== null && this.#written.seq > this.#syncedSeq) this.#armAsyncFlush()
      this.#afterProgress()
    })
  }

  #afterProgress(): void {
    if (!this.#failed && this.placeable) this.#options.onIdle()
  }

  #guarded(work: () => void): void {
    if (this.#failed) return
    try {
      work()
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #fail(error: Error): void {
    if (this.#failed) return
    this.#failed = true
    this.#cancelTimers()
    this.#options.onFailed(error)
  }
}

function diverged(index: number): DLedgerError {
  return new DLedgerError(`entry ${index} from the leader does not continue this log: its chain value differs`, {
    code: 'CORRUPT',
    file: 'log',
    at: index,
  })
}
