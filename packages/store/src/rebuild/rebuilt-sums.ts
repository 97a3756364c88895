/**
 * The sums of the entries that a rebuild writes.
 *
 *   begin: what was said of the queues is removed ──► add, store, add, store … ──► end
 *
 * Keeps: what a checkpoint writes meanwhile is summed by it (`ConsumeQueue.sum`), what lies before by the rebuild, and no sum is of both:
 * each segment ends, at the latest, where the queue's own sum began.
 */
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import { CONSUME_QUEUE_ENTRY_BYTES } from '../consume-queue/entry-codec.ts'
import { RunningSum, type Segment } from '../consume-queue/entry-sums.ts'
import type { SumRows } from '../consume-queue/sum-rows.ts'
import { inLanes } from '../lanes.ts'

type Callback = (error: Error | null) => void

/** A queue whose entries are summed as they are written. */
interface Summed {
  readonly running: RunningSum
  /** The queue's own sum vouches for what comes from here on. */
  readonly end: number
}

export class RebuiltSums {
  readonly #rows: SumRows
  /** Queues of which all is written again, and from where on their own sums begin anew. */
  readonly #renewed = new Map<ConsumeQueue, number>()
  /** Null for a queue whose sums stay as they are. */
  readonly #summed = new Map<ConsumeQueue, Summed | null>()
  #isBegun = false
  #ended: (readonly [ConsumeQueue, Segment])[] = []

  /** @param renewed all of their entries are going to be written. Of others only those are summed that came without sums. */
  constructor(rows: SumRows, renewed: Iterable<ConsumeQueue>) {
    this.#rows = rows
    for (const queue of renewed) {
      queue.sum.restart(queue.writtenOffset)
      this.#renewed.set(queue, queue.writtenOffset)
    }
  }

  /** To be called before entries are written; removes what was said of them, once. */
  begin(callback: Callback): void {
    if (this.#isBegun) return callback(null)
    this.#isBegun = true
    const renewed = [...this.#renewed]
    const remove = (i: number, done: Callback): void => {
      const [queue, before] = renewed[i] as (typeof renewed)[number]
      this.#rows.removeBefore(queue, before, done)
    }
    inLanes({ count: renewed.length, lanes: 1, begin: remove }, callback)
  }

  /** These entries are written. For each queue in the order of its entries, without a gap. */
  add(queue: ConsumeQueue, from: number, entries: Buffer): void {
    let summed = this.#summed.get(queue)
    if (summed === undefined) {
      const isSummed = this.#renewed.has(queue) || queue.minIsUnknown
      summed = isSummed ? { running: new RunningSum(from), end: queue.sum.from } : null
      this.#summed.set(queue, summed)
    }
    if (summed === null) return
    const { running, end } = summed
    const bytes = Math.min(entries.length, (end - from) * CONSUME_QUEUE_ENTRY_BYTES)
    if (bytes <= 0) return
    running.add(entries.subarray(0, bytes), this.#rows.entriesPerFile, (segment) => this.#ended.push([queue, segment]))
    if (running.to === end) this.#end(queue, running)
  }

  /** What is written so far is vouched for, but for what goes on. */
  store(callback: Callback): void {
    const ended = this.#ended
    this.#ended = []
    if (ended.length === 0) callback(null)
    else this.#rows.store(ended, callback)
  }

  /** Nothing more is written. */
  end(callback: Callback): void {
    for (const [queue, summed] of this.#summed) if (summed !== null) this.#end(queue, summed.running)
    this.store(callback)
  }

  #end(queue: ConsumeQueue, running: RunningSum): void {
    const { from, to, sum } = running
    if (from === to) return
    this.#ended.push([queue, { from, to, sum }])
    running.restart(to)
  }
}
