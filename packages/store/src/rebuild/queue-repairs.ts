/**
 * ConsumeQueues whose files do not hold what they must: built again from the log, in the background, while everything else is
 * served.
 *
 *   after a power cut: what was not synced        ─┐
 *   found at start, or by a read: wrong, missing  ─┴─► one scan of the log at a time ──► whole again, waiting readers go on
 *
 * Keeps:
 *   Q1  While a queue is broken, its entries are read from memory only; whoever needs others waits, but not long.
 *   Q2  Only what a checkpoint says to be in files is built; what is newer is in memory and goes its usual way.
 *   Q3  A queue that is found wrong at the same place again right after it was built is not built once more: then the log itself, or a
 *       rule, is wrong, and readers are told.
 */
import type { Clock, Logger } from '@dledger-ts/base'
import type { AppliedMark, StoreMachine } from '../apply.ts'
import type { Unsynced } from '../checkpoint.ts'
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import { StoreError } from '../errors.ts'
import type { AppliedEntries, ScanConsumer, ScanProgress, ScanRange } from './log-scan.ts'
import type { Rebuilder } from './rebuilder.ts'

/** Readers of a broken queue wait so long. */
const WAIT_MS = 1_000
/** After an attempt that failed, for the log is damaged there and waits for its own repair. */
const RETRY_MS = 10_000
const PROGRESS_LOG_MS = 10_000
/** Queues named in one line of the log. */
const NAMED_MAX = 8

type Callback = (error: StoreError | null) => void

export interface QueueRepairsOptions {
  readonly machine: StoreMachine
  readonly rebuilder: Rebuilder
  readonly log: AppliedEntries
  readonly clock: Clock
  readonly logger: Logger
  /** What the files hold by the newest checkpoint. */
  readonly kept: () => AppliedMark
}

export interface RepairStatus {
  /** Queues that are read from memory only. */
  readonly queues: number
  /** Of the scan under way; null between two. */
  readonly progress: ScanProgress | null
}

export class QueueRepairs {
  readonly #options: QueueRepairsOptions
  /** Broken, not being built yet, and why. */
  #waiting = new Map<ConsumeQueue, string>()
  #building: ReadonlySet<ConsumeQueue> = new Set()
  #readers = new Map<ConsumeQueue, Set<Callback>>()
  /** Why queues were built before. */
  readonly #builtFor = new Map<ConsumeQueue, string>()
  #progress: ScanProgress | null = null
  #progressLoggedMs = 0
  #running = false
  #attached = false
  #stopped = false
  #cancelRetry: (() => void) | null = null

  constructor(options: QueueRepairsOptions) {
    this.#options = options
  }

  get status(): RepairStatus {
    return { queues: this.#building.size + this.#waiting.size, progress: this.#progress }
  }

  /**
   * The log can be read. After a power cut: first writes again what came after the newest synced checkpoint.
   *
   * @param consumers take part in that. @param recovered told when that is done; not after `stop`.
   */
  start(unsynced: Unsynced | null, consumers: readonly ScanConsumer[], recovered: () => void): void {
    this.#attached = true
    if (unsynced === null) return this.#next()
    const { synced, kept, queues } = unsynced
    const range = {
      fromIndex: Math.max(synced.index + 1, this.#options.log.firstIndex),
      toIndex: kept.index,
      physicalEnd: kept.physicalEnd,
    }
    const why = `entries ${range.fromIndex} to ${range.toIndex} were not synced when the machine stopped`
    this.#build(queues, why, { range, consumers, done: recovered })
  }

  /** A queue's files are not what they must be. @returns whether it is worth waiting (`whenWhole`). */
  damaged(queue: ConsumeQueue, what: string): boolean {
    if (this.#stopped || this.#options.machine.queues.find(queue.topic, queue.queueId) !== queue) return false
    if (queue.isBroken) return true
    if (this.#builtFor.get(queue) === what) return false
    queue.isBroken = true
    this.#waiting.set(queue, what)
    this.#options.logger.warn(
      { topic: queue.topic, queueId: queue.queueId, what },
      'a queue is built again from the log',
    )
    this.#next()
    return true
  }

  /** Calls back, at once or later, when a queue can be read; with BUSY when that takes too long. */
  whenWhole(queue: ConsumeQueue, callback: Callback): void {
    if (!queue.isBroken) return callback(null)
    let readers = this.#readers.get(queue)
    if (readers === undefined) {
      readers = new Set()
      this.#readers.set(queue, readers)
    }
    const waiting = readers
    const told: Callback = (error) => {
      cancel()
      callback(error)
    }
    const cancel = this.#options.clock.after(WAIT_MS, () => {
      waiting.delete(told)
      callback(new StoreError(`queue ${queue.topic}/${queue.queueId} is being built again`, { code: 'BUSY' }))
    })
    waiting.add(told)
  }

  /** Nothing begins any more, and readers are told. Idempotent. */
  stop(): void {
    this.#stopped = true
    this.#cancelRetry?.()
    this.#cancelRetry = null
    const all = this.#readers
    this.#readers = new Map()
    for (const readers of all.values()) tellAll(readers, new StoreError('the store is closed', { code: 'CLOSED' }))
  }

  // ------------------------------------------------------------------------------------------------ building

  /** Builds the queues that were found to be broken, all in one scan. */
  #next(): void {
    if (this.#running || !this.#attached || this.#stopped || this.#waiting.size === 0) return
    const all = this.#waiting
    this.#waiting = new Map()
    for (const [queue, what] of all) this.#builtFor.set(queue, what)
    const queues = new Set(all.keys())
    this.#running = true
    this.#building = queues
    this.#rangeOf(queues, (error, range) => {
      this.#running = false
      const why = [...all.values()][0] as string
      if (error === null && range !== null) return this.#build(queues, why, { range, renewsSums: true })
      this.#building = new Set()
      this.#failed(queues, all, error)
    })
  }

  #build(
    queues: ReadonlySet<ConsumeQueue>,
    why: string,
    more: {
      readonly range: ScanRange
      readonly renewsSums?: boolean
      readonly consumers?: readonly ScanConsumer[]
      readonly done?: () => void
    },
  ): void {
    const { rebuilder, logger, clock } = this.#options
    const { range, renewsSums = false, consumers = [], done } = more
    const facts = {
      queues: queues.size,
      first: namesOf(queues),
      fromIndex: range.fromIndex,
      toIndex: range.toIndex,
      why,
    }
    logger.info(facts, 'queue files are built again')
    this.#running = true
    this.#building = queues
    this.#progressLoggedMs = clock.monotonicMs()
    const onProgress = (progress: ScanProgress): void => this.#progressed(progress)
    rebuilder.rebuild({ range, queues, renewsSums, consumers, onProgress }, (error) => {
      this.#running = false
      this.#progress = null
      this.#building = new Set()
      if (error !== null) {
        const again = (): void => this.#build(queues, why, more)
        return this.#failed(
          queues,
          done === undefined ? new Map([...queues].map((queue) => [queue, why])) : again,
          error,
        )
      }
      logger.info(facts, 'queue files are whole again')
      for (const queue of queues) this.#whole(queue)
      done?.()
      this.#next()
    })
  }

  #whole(queue: ConsumeQueue): void {
    queue.isBroken = false
    const readers = this.#readers.get(queue)
    this.#readers.delete(queue)
    if (readers !== undefined) tellAll(readers, null)
  }

  /** @param again what to do after a while: these queues with all others, or that. */
  #failed(
    queues: ReadonlySet<ConsumeQueue>,
    again: ReadonlyMap<ConsumeQueue, string> | (() => void),
    error: Error | null,
  ): void {
    // The log is closed first; the stop follows.
    if (this.#stopped || (error instanceof StoreError && error.code === 'CLOSED')) return
    const { logger, clock } = this.#options
    logger.error({ err: error, first: namesOf(queues), retryMs: RETRY_MS }, 'queue files cannot be built again now')
    this.#cancelRetry = clock.after(RETRY_MS, () => {
      this.#cancelRetry = null
      if (typeof again === 'function') return again()
      for (const [queue, what] of again) this.#waiting.set(queue, what)
      this.#next()
    })
    // While the whole scan after a power cut waits, single queues would claim to be whole too early.
    if (typeof again !== 'function') this.#next()
    else this.#running = true
  }

  /** From the oldest entry that one of the queues has to what the newest checkpoint says to be in files. */
  #rangeOf(queues: ReadonlySet<ConsumeQueue>, callback: (error: Error | null, range: ScanRange | null) => void): void {
    const { rebuilder, log, kept } = this.#options
    let first = Number.POSITIVE_INFINITY
    for (const queue of queues) {
      if (queue.firstPhysicalOffset >= 0) first = Math.min(first, queue.firstPhysicalOffset)
    }
    const { index: toIndex, physicalEnd } = kept()
    if (first === Number.POSITIVE_INFINITY) return callback(null, { fromIndex: toIndex + 1, toIndex, physicalEnd })
    rebuilder.indexAt(first, (error, index) => {
      if (error === null) return callback(null, { fromIndex: Math.max(index, log.firstIndex), toIndex, physicalEnd })
      // Gone, or damaged there: what the log still has.
      callback(null, { fromIndex: log.firstIndex, toIndex, physicalEnd })
    })
  }

  #progressed(progress: ScanProgress): void {
    this.#progress = progress
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs - this.#progressLoggedMs < PROGRESS_LOG_MS) return
    this.#progressLoggedMs = nowMs
    this.#options.logger.info({ ...progress, queues: this.#building.size }, 'queue files are being built again')
  }
}

function tellAll(readers: ReadonlySet<Callback>, error: StoreError | null): void {
  for (const reader of readers) reader(error)
}

function namesOf(queues: ReadonlySet<ConsumeQueue>): readonly string[] {
  return [...queues].slice(0, NAMED_MAX).map(({ topic, queueId }) => `${topic}/${queueId}`)
}
