/**
 * The memory of all queues' tails together.
 *
 * Keeps: after a checkpoint has written its queues the tails hold at most `bytesMax`, unwritten entries aside. Each may have an equal
 * share; the one written longest ago gives first.
 */
import { assert } from '@dledger-ts/base'
import type { ConsumeQueue } from './consume-queue.ts'
import { CONSUME_QUEUE_ENTRY_BYTES } from './entry-codec.ts'

/** What a tail costs beside its bytes. */
const TAIL_CHARGE_BYTES = 256
/** Tails asked to shrink for each one written: some have nothing to give, for their entries are not written yet. */
const SHRUNK_AT_ONCE_MAX = 4

export class TailBudget {
  readonly #bytesMax: number
  /** Bytes charged, in the order in which the queues were written last. */
  #charged = new Map<ConsumeQueue, number>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Entries of a queue were written. */
  written(queue: ConsumeQueue): void {
    this.#release(queue)
    this.#charge(queue)
    const share = Math.floor(this.#bytesMax / this.#charged.size) - TAIL_CHARGE_BYTES
    const countMax = Math.max(0, Math.floor(share / CONSUME_QUEUE_ENTRY_BYTES))
    for (let left = SHRUNK_AT_ONCE_MAX; this.#bytes > this.#bytesMax && left > 0; left--) {
      const [oldest] = this.#charged.keys()
      assert(oldest !== undefined, 'the queue that was written is among those charged')
      this.#release(oldest)
      oldest.shrinkTail(countMax)
      if (oldest.tailBytes > 0) this.#charge(oldest)
    }
  }

  clear(): void {
    this.#charged = new Map()
    this.#bytes = 0
  }

  #charge(queue: ConsumeQueue): void {
    const bytes = queue.tailBytes + TAIL_CHARGE_BYTES
    this.#charged.set(queue, bytes)
    this.#bytes += bytes
  }

  #release(queue: ConsumeQueue): void {
    this.#bytes -= this.#charged.get(queue) ?? 0
    this.#charged.delete(queue)
  }
}
