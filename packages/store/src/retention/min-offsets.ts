/**
 * Minima of the ConsumeQueues: after the head of the log was trimmed, the oldest entry of each queue whose record is still there.
 *
 *   the log starts later ──► queue by queue: binary search ──► minimum ──► in a synced checkpoint ──► files below it removed
 *
 * Keeps:
 *   - a minimum never goes back, and never passes an entry whose record is in the log.
 *   - a file goes only when a synced checkpoint says that nothing in it counts; the newest file of a queue stays, as Apache's does,
 *     unless the topic was deleted.
 *   - few queues are looked at at a time, so that thousands of them hold up nothing. Until then a minimum is too low, which harms
 *     nobody; a read of what is gone has the queue looked at at once (`settle`).
 *
 * Source: org.apache.rocketmq.store.ConsumeQueue, correctMinOffset.
 */
import type { Clock, Logger } from '@dledger-ts/base'
import type { StoreMachine } from '../apply.ts'
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import type { CheckedEntries } from '../consume-queue/checked-entries.ts'
import { CONSUME_QUEUE_ENTRY_BYTES, entryPhysicalOffset, entrySize } from '../consume-queue/entry-codec.ts'
import { isNotThere, type QueueFiles } from '../consume-queue/queue-files.ts'
import type { SumRows } from '../consume-queue/sum-rows.ts'
import { StoreError } from '../errors.ts'
import { inLanes } from '../lanes.ts'
import type { QueueRepairs } from '../rebuild/queue-repairs.ts'

/** Queues looked at at the same time … */
const LOOKED_AT_MAX = 16
/** … and begun in one pass of the event loop: those in memory are done at once. */
const BEGUN_IN_PASS = 256
/** When so few entries are left to search, they are read at once. */
const BLOCK_COUNT = 204
/** Queues whose files are removed in one pass of the event loop. */
const REMOVED_IN_PASS = 32

const STAYS = 'files of a queue that count no more cannot be removed'
const UNWRITTEN = 'entries below its end were never written'

type Callback = (error: StoreError | null) => void

export interface MinOffsetsOptions {
  readonly machine: StoreMachine
  readonly files: QueueFiles
  readonly entries: CheckedEntries
  readonly sums: SumRows
  /** `whenWhole` calls back when a queue's files can be read. */
  readonly repairs: Pick<QueueRepairs, 'damaged' | 'whenWhole'>
  readonly clock: Clock
  readonly logger: Logger
}

export class MinOffsets {
  readonly #options: MinOffsetsOptions
  /** Queues to be looked at, and how many were. */
  #stale: ConsumeQueue[] = []
  #next = 0
  #underWay = 0
  #isScheduled = false
  readonly #waiters = new Map<ConsumeQueue, Callback[]>()
  /** Queues whose files below the minimum may go. */
  #removable: ConsumeQueue[] = []
  #isRemoving = false
  #stopped = false

  constructor(options: MinOffsetsOptions) {
    this.#options = options
  }

  /** Whether queues may have minima that are too low. */
  get isBusy(): boolean {
    return this.#underWay > 0 || this.#next < this.#stale.length
  }

  /** The log starts later than before, or a state was taken up: looks at all queues. */
  sweep(): void {
    this.#stale = []
    this.#next = 0
    for (const queue of this.#options.machine.queues.all()) {
      // One that is being built comes when it is whole.
      if (this.#isStale(queue) && !queue.isBroken) this.#stale.push(queue)
    }
    this.#schedule()
  }

  /** Calls back, at once or later, when the minimum of a queue is the one for the log as it starts now. */
  settle(queue: ConsumeQueue, callback: Callback): void {
    if (!this.#isStale(queue)) return callback(null)
    const waiters = this.#waiters.get(queue)
    if (waiters !== undefined) {
      waiters.push(callback)
      return
    }
    const all = [callback]
    this.#waiters.set(queue, all)
    const found: Callback = (error) => {
      this.#waiters.delete(queue)
      for (const waiter of all) waiter(error)
    }
    this.#options.repairs.whenWhole(queue, (error) => {
      if (error === null) this.#search(queue, found)
      else found(error)
    })
  }

  /** A synced checkpoint has the minima of these queues. */
  kept(queues: readonly ConsumeQueue[]): void {
    for (const queue of queues) this.#removable.push(queue)
    if (this.#isRemoving || this.#removable.length === 0) return
    this.#isRemoving = true
    this.#options.clock.defer(() => this.#remove())
  }

  /** Nothing is begun any more. */
  stop(): void {
    this.#stopped = true
    this.#stale = []
    this.#removable = []
  }

  // ------------------------------------------------------------------------------------------------ searching

  #isStale(queue: ConsumeQueue): boolean {
    return queue.firstPhysicalOffset >= 0 && queue.firstPhysicalOffset < this.#options.machine.logStartPos
  }

  #goOn(): void {
    this.#isScheduled = false
    for (let begun = 0; begun < BEGUN_IN_PASS && this.#underWay < LOOKED_AT_MAX; begun++) {
      const queue = this.#stale[this.#next]
      if (queue === undefined || this.#stopped) return
      this.#next++
      this.#underWay++
      this.settle(queue, (error) => {
        this.#underWay--
        this.#schedule()
        if (error === null || error.code === 'CLOSED') return
        const facts = { err: error, topic: queue.topic, queueId: queue.queueId }
        this.#options.logger.warn(facts, 'the minimum of a queue cannot be found')
      })
    }
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled || this.#stopped || this.#next === this.#stale.length) return
    this.#isScheduled = true
    this.#options.clock.defer(() => this.#goOn())
  }

  /** Finds the first entry whose record starts at or after the log's start. */
  #search(queue: ConsumeQueue, callback: Callback): void {
    const { logStartPos } = this.#options.machine
    const { minOffset, tailFrom, nextOffset } = queue
    const memoryFrom = Math.max(minOffset, tailFrom)
    if (memoryFrom < nextOffset && queue.physicalOffsetAt(memoryFrom) < logStartPos) {
      let low = memoryFrom + 1
      let high = nextOffset
      while (low < high) {
        const middle = Math.floor((low + high) / 2)
        if (queue.physicalOffsetAt(middle) < logStartPos) low = middle + 1
        else high = middle
      }
      return this.#found(queue, low, low < nextOffset ? queue.physicalOffsetAt(low) : -1, callback)
    }
    this.#searchFiles(queue, { low: minOffset, high: memoryFrom, highPhysicalOffset: -1 }, callback)
  }

  /** The entry before `low` is below the start, that at `high` is not (or there is none). */
  #searchFiles(queue: ConsumeQueue, range: SearchRange, callback: Callback): void {
    const { repairs } = this.#options
    const { low, high } = range
    if (low === high) return this.#reached(queue, range, callback)
    const isLast = high - low <= BLOCK_COUNT
    const from = isLast ? low : Math.floor((low + high) / 2)
    this.#options.entries.read(queue, from, isLast ? high : from + 1, (error, entries) => {
      if (this.#stopped) return callback(closed())
      if (error !== null && queue.minIsUnknown && isNotThere(error)) {
        // Never built here: all that the log has of the queue is newer.
        return this.#searchFiles(
          queue,
          { ...range, low: Math.min(high, this.#options.files.nextFileOffset(from)) },
          callback,
        )
      }
      // Taken for an old one it would lead past entries that count.
      const damage = damageOf(error, entries)
      if (damage !== null && repairs.damaged(queue, damage)) {
        return repairs.whenWhole(queue, (failure) => {
          if (failure === null) this.#search(queue, callback)
          else callback(failure)
        })
      }
      if (error !== null || entries === null) return callback(unreadable(queue, from, error))
      const { logStartPos } = this.#options.machine
      const count = entries.length / CONSUME_QUEUE_ENTRY_BYTES
      // Built again it has all that the log has: what is still unwritten is of records that are gone.
      let i = 0
      while (i < count && entryPhysicalOffset(entries, i * CONSUME_QUEUE_ENTRY_BYTES) < logStartPos) i++
      if (i === count) return this.#searchFiles(queue, { ...range, low: from + count }, callback)
      const highPhysicalOffset = entryPhysicalOffset(entries, i * CONSUME_QUEUE_ENTRY_BYTES)
      this.#searchFiles(queue, { low: isLast ? from + i : low, high: from + i, highPhysicalOffset }, callback)
    })
  }

  #reached(queue: ConsumeQueue, { low, highPhysicalOffset }: SearchRange, callback: Callback): void {
    if (highPhysicalOffset >= 0 || low === queue.nextOffset) {
      return this.#found(queue, low, highPhysicalOffset, callback)
    }
    if (low >= queue.tailFrom) return this.#found(queue, low, queue.physicalOffsetAt(low), callback)
    // What was in memory when the search began is in the files only by now.
    this.#searchFiles(queue, { low, high: Math.max(low + 1, queue.tailFrom), highPhysicalOffset: -1 }, callback)
  }

  #found(queue: ConsumeQueue, minOffset: number, firstPhysicalOffset: number, callback: Callback): void {
    const { machine } = this.#options
    // The queue may belong to a state that was given up meanwhile.
    if (machine.queues.find(queue.topic, queue.queueId) !== queue) return callback(closed())
    if (minOffset >= queue.minOffset) {
      queue.forgetBefore(minOffset, firstPhysicalOffset)
      machine.markDirty(queue)
    }
    // The log may start later again.
    if (this.#isStale(queue)) return this.#search(queue, callback)
    callback(null)
  }

  // ------------------------------------------------------------------------------------------------ removing

  #remove(): void {
    if (this.#stopped) return
    const { files, sums, clock, machine, logger } = this.#options
    const queues = this.#removable.splice(0, REMOVED_IN_PASS)
    const remove = (i: number, done: (error: null) => void): void => {
      const queue = queues[i] as ConsumeQueue
      if (this.#stopped || machine.queues.find(queue.topic, queue.queueId) !== queue) return done(null)
      const removed = (error: Error | null): void => {
        // They are looked for again when the minimum moves on.
        if (error !== null) logger.warn({ err: error, topic: queue.topic, queueId: queue.queueId }, STAYS)
        done(null)
      }
      const floor = machine.metadata.floors.get(queue.topic, queue.queueId)
      const isEmpty = isDeleted(queue, floor)
      const from = isEmpty ? floor : files.keptFrom(queue, queue.keptMinOffset)
      const filesRemoved = (error: Error | null): void => {
        if (error === null && !this.#stopped) sums.removeBefore(queue, from, removed)
        else removed(error)
      }
      if (isEmpty) files.removeAll(queue, filesRemoved)
      else files.removeBelow(queue, queue.keptMinOffset, filesRemoved)
    }
    inLanes({ count: queues.length, lanes: 1, begin: remove }, () => {
      if (this.#removable.length > 0) clock.defer(() => this.#remove())
      else this.#isRemoving = false
    })
  }
}

interface SearchRange {
  readonly low: number
  readonly high: number
  /** -1 while it is not known. */
  readonly highPhysicalOffset: number
}

/** Whether a synced checkpoint has that all of a queue went with its topic, and nothing came since. */
function isDeleted({ keptMinOffset, writtenOffset, nextOffset }: ConsumeQueue, floor: number): boolean {
  return floor === nextOffset && keptMinOffset === nextOffset && writtenOffset === nextOffset
}

/** @returns what shows that a queue is to be built again; null for nothing. */
function damageOf(error: Error | null, entries: Buffer | null): string | null {
  if (error instanceof StoreError && error.code === 'CORRUPT') return error.message
  return entries !== null && hasUnwritten(entries) ? UNWRITTEN : null
}

function hasUnwritten(entries: Buffer): boolean {
  for (let at = 0; at < entries.length; at += CONSUME_QUEUE_ENTRY_BYTES) if (entrySize(entries, at) <= 0) return true
  return false
}

function unreadable(queue: ConsumeQueue, queueOffset: number, cause: Error | null): StoreError {
  const what = `queue ${queue.topic}/${queue.queueId} cannot be read at ${queueOffset}`
  return new StoreError(what, { code: 'STORAGE_FAILED', what }, { cause })
}

function closed(): StoreError {
  return new StoreError('the store is closed', { code: 'CLOSED' })
}
