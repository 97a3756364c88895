/**
 * Ordered pops of the leader: what one entry makes of a queue's batch, and of where its group stands.
 *
 * Keeps: for one queue and group one entry is under way; each is made of what the one before left.
 */
import type { StoreMachine } from '../apply.ts'
import { StoreError } from '../errors.ts'
import type { ChangeProposer } from '../metadata/change-proposals.ts'
import type { ConsumerOffsets } from '../metadata/consumer-offsets.ts'
import type { OrderedBatch, OrderedQueue } from '../metadata/pop-orders.ts'
import {
  acknowledged,
  batchAt,
  blockedUntil,
  type EarlierPops,
  invisibleUntil,
  type OrderedPop,
  popped,
} from './ordered-batch.ts'

/** Entries that wait for the one before them at most, of all queues; beyond, what is asked is refused with BUSY. */
const WAITING_MAX = 10_000
const ATTEMPT_ID_LENGTH_MAX = 256

export interface OrderedPopsOptions {
  readonly machine: StoreMachine
  readonly changes: ChangeProposer
  readonly offsets: ConsumerOffsets
}

interface Outcome<T> {
  /** Null changes nothing. */
  readonly change: { readonly batch: OrderedBatch | null; readonly offset: number } | null
  readonly result: T
}

export class OrderedPops {
  readonly #options: OrderedPopsOptions
  /** The last that was asked of each queue that has something under way. */
  readonly #tails = new Map<string, Promise<unknown>>()
  #waiting = 0

  constructor(options: OrderedPopsOptions) {
    this.#options = options
  }

  /** As it is applied here; it may change before what is made of it is proposed. */
  batch(queue: OrderedQueue): OrderedBatch | undefined {
    const { machine, offsets } = this.#options
    return batchAt(machine.metadata.popOrders.get(queue), offsets.get(queue.group, queue.topic, queue.queueId))
  }

  /**
   * Messages are given out.
   *
   * @returns how often each was before, without those that are acknowledged; null when the queue is blocked by then, or the
   *   group stands elsewhere.
   */
  pop(queue: OrderedQueue, pop: OrderedPop): Promise<EarlierPops | null> {
    if ((pop.attemptId?.length ?? 0) > ATTEMPT_ID_LENGTH_MAX) {
      const what = `the name of a pop has more than ${ATTEMPT_ID_LENGTH_MAX} characters`
      return Promise.reject(new StoreError(what, { code: 'INVALID', what }))
    }
    return this.#change(queue, (batch, offset) => {
      if (offset !== pop.fromOffset) return { change: null, result: null }
      if (blockedUntil(batch, pop.attemptId, pop.poppedMs) > 0) return { change: null, result: null }
      const after = popped(batch, pop)
      const first = after.batch.entries[0]
      if (after.earlier.size === 0 || first === undefined) return { change: null, result: after.earlier }
      return { change: { batch: after.batch, offset: first.queueOffset }, result: after.earlier }
    })
  }

  /** @returns false when the pop of that time gave out none of these messages, or they are acknowledged. */
  acknowledge(queue: OrderedQueue, queueOffsets: readonly number[], poppedMs: number): Promise<boolean> {
    return this.#change(queue, (batch) => {
      const change = batch === undefined ? null : acknowledged(batch, { queueOffsets, poppedMs })
      return { change, result: change !== null }
    })
  }

  /** @returns as `acknowledge`. */
  changeInvisible(
    queue: OrderedQueue,
    message: { readonly queueOffset: number; readonly poppedMs: number; readonly untilMs: number },
  ): Promise<boolean> {
    return this.#change(queue, (batch, offset) => {
      const after = batch === undefined ? null : invisibleUntil(batch, message)
      return { change: after === null ? null : { batch: after, offset }, result: after !== null }
    })
  }

  async #change<T>(
    queue: OrderedQueue,
    decide: (batch: OrderedBatch | undefined, offset: number) => Outcome<T>,
  ): Promise<T> {
    if (this.#waiting >= WAITING_MAX) {
      throw new StoreError(`${WAITING_MAX} ordered pops wait for their entry`, { code: 'BUSY' })
    }
    const key = `${queue.group}\0${queue.topic}\0${queue.queueId}`
    const before = this.#tails.get(key)
    const own = this.#after(before, queue, decide)
    this.#tails.set(key, own)
    this.#waiting++
    try {
      return await own
    } finally {
      this.#waiting--
      if (this.#tails.get(key) === own) this.#tails.delete(key)
    }
  }

  async #after<T>(
    before: Promise<unknown> | undefined,
    queue: OrderedQueue,
    decide: (batch: OrderedBatch | undefined, offset: number) => Outcome<T>,
  ): Promise<T> {
    // What became of it is its caller's; here it only has to be over.
    await before?.catch(() => undefined)
    const { machine, changes, offsets } = this.#options
    const { role } = machine
    if (!role.ready) throw new StoreError('this member does not lead', { code: 'NOT_LEADER', leader: role.leader })
    const offset = offsets.get(queue.group, queue.topic, queue.queueId)
    if (offset === undefined) {
      const what = `group ${queue.group} stands nowhere in queue ${queue.queueId} of ${queue.topic}`
      throw new StoreError(what, { code: 'INVALID', what })
    }
    const { change, result } = decide(batchAt(machine.metadata.popOrders.get(queue), offset), offset)
    if (change === null) return result
    const { group, topic, queueId } = queue
    const failed = offsets.proposed([group, topic, queueId, change.offset])
    try {
      await changes.propose({ kind: 'popOrder', group, topic, queueId, ...change })
    } catch (error) {
      failed()
      throw error
    }
    return result
  }
}
