/**
 * Takes messages out of queues for one pop.
 *
 *   read ──► one entry of the log: these are in flight, the group goes on behind them ──► given to the client
 *
 * Keeps:
 *   K1  nothing is given to a client before the log has that it is in flight;
 *   K2  of one queue, one pop of a group takes at a time; another one passes it by.
 */
import { assert } from '@dledger-ts/base'
import { recordQueueOffset } from '@dledger-ts/protocol'
import {
  blockedUntil,
  type GetResult,
  isAcknowledged,
  type PoppedQueue,
  type RecordFilter,
  StoreError,
} from '@dledger-ts/store'
import type { BrokerContext } from '../context.ts'
import { orderCountInfo, type PoppedOf } from './extra-info.ts'
import type { PopQueue, PopQueues } from './pop-queues.ts'

export interface TakeRequest {
  readonly group: string
  readonly queues: readonly PopQueue[]
  readonly maxCount: number
  readonly tagCodes: ReadonlySet<number> | null
  readonly recordFilter: RecordFilter | null
  readonly initMode: number
  readonly popTime: number
  readonly invisibleTime: number
  /** Of a pop in order; null for one that is not. */
  readonly order: { readonly attemptId: string | null } | null
}

/** What was taken of one queue. */
export interface TakenQueue extends PoppedOf {
  readonly records: readonly Buffer[]
  /** Of a pop in order: how often the messages were taken before. */
  readonly orderCountInfo: string | null
}

export interface Taken {
  readonly queues: readonly TakenQueue[]
  /** Messages that are left in the queues looked at, matching or not. */
  readonly restNum: number
  /** A queue gives out more in order from then on; null when none is blocked. */
  readonly blockedUntilMs: number | null
  /** Whether the group went on in some queue without a message for it: there may be one behind. */
  readonly isPassed: boolean
  /** Queues that another pop was at work on. */
  readonly passedBy: readonly PopQueue[]
}

interface ReadQueue {
  readonly queue: PopQueue
  readonly offset: number
  readonly result: GetResult
}

export class PopTaker {
  readonly #context: BrokerContext
  readonly #queues: PopQueues

  constructor(context: BrokerContext, queues: PopQueues) {
    this.#context = context
    this.#queues = queues
  }

  /** @throws StoreError */
  async take(request: TakeRequest): Promise<Taken> {
    const { store } = this.#context
    if (!store.isReady()) {
      const { role, leader } = store.status()
      throw new StoreError(`this member is ${role}`, { code: 'NOT_LEADER', leader })
    }
    const locked: PopQueue[] = []
    const passedBy = request.queues.filter((queue) => this.#queues.isLocked(request.group, queue))
    try {
      const taken =
        request.order === null
          ? await this.#takeAny(request, locked)
          : await this.#takeInOrder(request, request.order.attemptId, locked)
      return { ...taken, passedBy }
    } finally {
      for (const queue of locked) this.#queues.unlock(request.group, queue)
    }
  }

  async #takeAny(request: TakeRequest, locked: PopQueue[]): Promise<Omit<Taken, 'passedBy'>> {
    const { store } = this.#context
    const { group, popTime, invisibleTime } = request
    const limits = this.#limits(request)
    const reads: ReadQueue[] = []
    const passed: ReadQueue[] = []
    let restNum = 0
    for (const queue of request.queues) {
      const read = limits.isUsedUp() ? null : await this.#read(request, queue, limits, locked)
      if (read === null) {
        restNum += this.#queues.rest(group, queue)
        continue
      }
      restNum += Math.max(0, read.result.maxOffset - read.result.nextBeginOffset)
      if (read.result.records.length > 0) reads.push(read)
      else if (read.result.nextBeginOffset !== read.offset) passed.push(read)
    }
    for (const { queue, result } of passed) {
      store.commitConsumerOffset(group, queue.topic, queue.queueId, result.nextBeginOffset)
    }
    if (reads.length === 0) return { queues: [], restNum, blockedUntilMs: null, isPassed: passed.length > 0 }
    const taken = await store.pops.popQueues({
      group,
      untilMs: popTime + invisibleTime,
      poppedMs: popTime,
      queues: reads.map(({ queue, result }): PoppedQueue => ({
        ...queue,
        queueOffsets: result.records.map((record) => recordQueueOffset(record)),
        nextOffset: result.nextBeginOffset,
      })),
    })
    const queues = reads.map(({ queue, offset, result }, i) => {
      const ours = new Set(taken[i])
      return takenOf(
        queue,
        offset,
        result.records.filter((record) => ours.has(recordQueueOffset(record))),
        null,
      )
    })
    return { queues: queues.filter(hasMessages), restNum, blockedUntilMs: null, isPassed: true }
  }

  async #takeInOrder(
    request: TakeRequest,
    attemptId: string | null,
    locked: PopQueue[],
  ): Promise<Omit<Taken, 'passedBy'>> {
    const { store } = this.#context
    const { group, popTime, invisibleTime } = request
    const limits = this.#limits(request)
    const queues: TakenQueue[] = []
    let restNum = 0
    let blockedUntilMs: number | null = null
    let isPassed = false
    for (const queue of request.queues) {
      const batch = store.orderedPops.batch({ group, ...queue })
      const untilMs = blockedUntil(batch, attemptId, popTime)
      if (untilMs > 0) {
        // What is behind a blocked queue's messages is not to be had, so it does not count.
        blockedUntilMs = Math.min(blockedUntilMs ?? untilMs, untilMs)
        continue
      }
      const read = limits.isUsedUp() ? null : await this.#read(request, queue, limits, locked)
      if (read === null) {
        restNum += this.#queues.rest(group, queue)
        continue
      }
      const { offset, result } = read
      restNum += Math.max(0, result.maxOffset - result.nextBeginOffset)
      const fresh = result.records.filter((record) => !isAcknowledged(batch, recordQueueOffset(record)))
      if (fresh.length === 0) {
        if (result.nextBeginOffset === offset) continue
        isPassed = true
        store.commitConsumerOffset(group, queue.topic, queue.queueId, result.nextBeginOffset)
        continue
      }
      const earlier = await store.orderedPops.pop(
        { group, ...queue },
        {
          fromOffset: offset,
          queueOffsets: fresh.map((record) => recordQueueOffset(record)),
          nextOffset: result.nextBeginOffset,
          untilMs: popTime + invisibleTime,
          poppedMs: popTime,
          attemptId,
        },
      )
      if (earlier === null || earlier.size === 0) continue
      const given = fresh.filter((record) => earlier.has(recordQueueOffset(record)))
      queues.push(takenOf(queue, offset, given, orderCountInfo(queue.topic, queue.queueId, earlier)))
    }
    return { queues, restNum, blockedUntilMs, isPassed }
  }

  /** Locks a queue and reads from where the group stands. @returns null when another pop is at work on it, or nothing is new. */
  async #read(request: TakeRequest, queue: PopQueue, limits: Limits, locked: PopQueue[]): Promise<ReadQueue | null> {
    const { store } = this.#context
    if (!this.#queues.lock(request.group, queue)) return null
    locked.push(queue)
    let offset = this.#queues.beginning(request.group, queue, request.initMode)
    if (offset === store.maxOffset(queue.topic, queue.queueId)) return null
    let result = await this.#get(request, queue, offset, limits)
    if (result.records.length === 0 && isElsewhere(result) && result.nextBeginOffset !== offset) {
      // Messages were removed, or there are fewer than the group knew of.
      offset = result.nextBeginOffset
      store.commitConsumerOffset(request.group, queue.topic, queue.queueId, offset)
      result = await this.#get(request, queue, offset, limits)
    }
    limits.countLeft -= result.records.length
    limits.bytesLeft -= result.recordBytes
    return { queue, offset, result }
  }

  #get(request: TakeRequest, queue: PopQueue, queueOffset: number, limits: Limits): Promise<GetResult> {
    return new Promise((resolve, reject) => {
      this.#context.store.getMessages(
        {
          ...queue,
          queueOffset,
          maxCount: limits.countLeft,
          maxBytes: limits.bytesLeft,
          tagFilter: request.tagCodes,
          recordFilter: request.recordFilter,
        },
        (error, result) => {
          if (error !== null) return reject(error)
          assert(result !== null, 'a read has an error or a result')
          resolve(result)
        },
      )
    })
  }

  #limits({ maxCount }: TakeRequest): Limits {
    return new Limits(maxCount, this.#context.config.maxTransferBytesOnMessageInMemory)
  }
}

/** What one pop may still take. */
class Limits {
  countLeft: number
  bytesLeft: number

  constructor(count: number, bytes: number) {
    this.countLeft = count
    this.bytesLeft = bytes
  }

  isUsedUp(): boolean {
    return this.countLeft <= 0 || this.bytesLeft <= 0
  }
}

function takenOf(
  { topic, queueId }: PopQueue,
  startOffset: number,
  records: readonly Buffer[],
  orderCountInfo: string | null,
): TakenQueue {
  const queueOffsets = records.map((record) => recordQueueOffset(record))
  return { topic, queueId, startOffset, queueOffsets, records, orderCountInfo }
}

function hasMessages({ records }: TakenQueue): boolean {
  return records.length > 0
}

function isElsewhere({ status }: GetResult): boolean {
  return status === 'OFFSET_TOO_SMALL' || status === 'OFFSET_OVERFLOW_BADLY' || status === 'OFFSET_FOUND_NULL'
}
