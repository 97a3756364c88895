/**
 * Builds what is derived from a range of the log again, while everything else goes on.
 *
 * Keeps: files stay open for a rebuild until it has ended (`whenIdle`); after `stop` none begins and those under way end soon.
 */
import { StoreError } from '../errors.ts'
import type { StoreMachine } from '../apply.ts'
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import type { QueueFiles } from '../consume-queue/queue-files.ts'
import type { SumRows } from '../consume-queue/sum-rows.ts'
import {
  type AppliedEntries,
  indexAt,
  LogScan,
  type ScanConsumer,
  type ScanProgress,
  type ScanRange,
} from './log-scan.ts'
import { QueueEntriesWriter } from './queue-entries.ts'
import { RebuiltSums } from './rebuilt-sums.ts'

export interface RebuildRequest {
  /** Applied entries that are synced. */
  readonly range: ScanRange
  /** The ConsumeQueues that are written; `all`, or null for none. */
  readonly queues: ReadonlySet<ConsumeQueue> | 'all' | null
  /** The range has all entries of the queues: their sums are those of what is written now, whatever they were. */
  readonly renewsSums?: boolean
  /** What else takes part in the scan. */
  readonly consumers?: readonly ScanConsumer[]
  /** Called after each piece, about 512 KiB of the log. */
  readonly onProgress?: (progress: ScanProgress) => void
}

export interface RebuilderOptions {
  readonly machine: StoreMachine
  readonly files: QueueFiles
  readonly sums: SumRows
  readonly log: AppliedEntries
  readonly delayLevelsMs: readonly number[]
}

export class Rebuilder {
  readonly #options: RebuilderOptions
  #underWay = 0
  #stopped = false
  #waiters: (() => void)[] = []

  constructor(options: RebuilderOptions) {
    this.#options = options
  }

  /**
   * Reads the range once and writes the ConsumeQueue entries of its records: the same bytes at the same places as before, where
   * the queue table has them. Idempotent; not synced. Before the log is attached it must not be called.
   *
   * @param callback told once, later: null, or StoreError CORRUPT that names what is damaged or gone in the range, STORAGE_FAILED,
   *   CLOSED after `stop`.
   */
  rebuild(request: RebuildRequest, callback: (error: Error | null) => void): void {
    const { machine, files, sums, log, delayLevelsMs } = this.#options
    const { range, queues, renewsSums = false, consumers = [], onProgress } = request
    const all = [...consumers]
    if (queues !== null) {
      const only = queues === 'all' ? null : queues
      const rebuilt = new RebuiltSums(sums, renewsSums ? (only ?? machine.queues.all()) : [])
      all.unshift(new QueueEntriesWriter({ queues: machine.queues, files, sums: rebuilt, delayLevelsMs, only }))
    }
    const guard: ScanConsumer = {
      take: (_entries, done) => done(this.#stopped ? closed() : null),
      end: (done) => done(null),
    }
    this.#underWay++
    const scan = new LogScan({
      log,
      range,
      consumers: [guard, ...all],
      ...(onProgress === undefined ? {} : { onProgress }),
    })
    scan.start((error) => {
      this.#underWay--
      callback(error)
      if (this.#underWay > 0) return
      const waiters = this.#waiters
      this.#waiters = []
      for (const waiter of waiters) waiter()
    })
  }

  /** @see indexAt */
  indexAt(physicalOffset: number, callback: (error: Error | null, index: number) => void): void {
    indexAt(this.#options.log, physicalOffset, callback)
  }

  /** Those under way end with CLOSED at their next piece. Idempotent. */
  stop(): void {
    this.#stopped = true
  }

  /** Calls back when none is under way. */
  whenIdle(callback: () => void): void {
    if (this.#underWay === 0) callback()
    else this.#waiters.push(callback)
  }
}

function closed(): StoreError {
  return new StoreError('the store is closing', { code: 'CLOSED' })
}
