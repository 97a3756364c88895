/**
 * Which queues a pop looks at, where its group stands in each, and which of them another pop is at work on.
 *
 * Source: PopMessageProcessor.getPopOffset, getInitOffset.
 */
import { isRetryTopic } from '@dledger-ts/protocol'
import { ConsumeInitMode } from '@dledger-ts/remoting'
import type { TopicConfig } from '@dledger-ts/store'
import type { BrokerContext } from '../context.ts'
import { POP_RETRY_QUEUES, popRetryTopicV1, popRetryTopicV2 } from './retry-topics.ts'

export interface PopQueue {
  readonly topic: string
  readonly queueId: number
}

export class PopQueues {
  readonly #context: BrokerContext
  /** Queues of groups that a pop is at work on. */
  readonly #locked = new Set<string>()

  constructor(context: BrokerContext) {
    this.#context = context
  }

  /** The topics in which messages of `topic` may come again to `group`; that in which they do now stands last. */
  retryTopics(topic: string, group: string): readonly string[] {
    const { enableRetryTopicV2, retrieveMessageFromPopRetryTopicV1 } = this.#context.config
    const v1 = popRetryTopicV1(topic, group)
    if (!enableRetryTopicV2) return [v1]
    const v2 = popRetryTopicV2(topic, group)
    return retrieveMessageFromPopRetryTopicV1 ? [v1, v2] : [v2]
  }

  /** In the order in which a pop looks at them: it begins with another queue each time, and with what comes again sometimes. */
  inOrder(topic: TopicConfig, group: string, queueId: number, isOrdered: boolean): readonly PopQueue[] {
    const { config, random } = this.#context
    const { topicName, readQueueNums } = topic
    const queues: PopQueue[] = []
    if (queueId >= 0) queues.push({ topic: topicName, queueId })
    else if (readQueueNums > 0) {
      const first = random.below(readQueueNums)
      for (let i = 0; i < readQueueNums; i++) queues.push({ topic: topicName, queueId: (first + i) % readQueueNums })
    }
    // What was popped in order comes again in its place.
    if (isOrdered) return queues
    const again = this.retryTopics(topicName, group)
      .filter((name) => this.#context.topics.find(name) !== undefined)
      .map((name) => ({ topic: name, queueId: POP_RETRY_QUEUES - 1 }))
    const isAgainFirst = random.below(100) < config.popFromRetryProbability
    return isAgainFirst ? [...again, ...queues] : [...queues, ...again]
  }

  /** Where the group goes on; undefined where it has not begun. */
  offset(group: string, { topic, queueId }: PopQueue): number | undefined {
    return this.#context.store.consumerOffset(group, topic, queueId)
  }

  /** Where the group goes on; one that has not begun begins now, and one that was moved takes that up. */
  beginning(group: string, queue: PopQueue, initMode: number): number {
    const moved = this.#context.store.takeReset(group, queue.topic, queue.queueId)
    if (moved !== undefined) return moved
    const known = this.offset(group, queue)
    if (known !== undefined) return known
    const offset = this.#firstOffset(queue, initMode)
    this.#context.store.commitConsumerOffset(group, queue.topic, queue.queueId, offset)
    return offset
  }

  /** Where a pop would begin that does not begin for the group. */
  next(group: string, queue: PopQueue): number {
    return this.offset(group, queue) ?? this.#context.store.minOffset(queue.topic, queue.queueId)
  }

  /** How many messages there are behind where the group stands; a group that has not begun has all before it. */
  rest(group: string, queue: PopQueue): number {
    const { store } = this.#context
    return Math.max(0, store.maxOffset(queue.topic, queue.queueId) - this.next(group, queue))
  }

  /** How far each queue reaches. */
  ends(queues: readonly PopQueue[]): ReadonlyMap<string, number> {
    const { store } = this.#context
    return new Map(queues.map((queue) => [keyOf('', queue), store.maxOffset(queue.topic, queue.queueId)]))
  }

  /**
   * @param ends     how far the queues reached when they were looked at.
   * @param passedBy those that were not looked at.
   * @returns whether another look may find more than that one did.
   */
  hasNew(
    group: string,
    queues: readonly PopQueue[],
    ends: ReadonlyMap<string, number>,
    passedBy: readonly PopQueue[],
  ): boolean {
    const notSeen = new Set(passedBy.map((queue) => keyOf('', queue)))
    return queues.some((queue) => {
      if (this.isLocked(group, queue)) return false
      const key = keyOf('', queue)
      const end = this.#context.store.maxOffset(queue.topic, queue.queueId)
      return end > (ends.get(key) ?? 0) || (notSeen.has(key) && this.rest(group, queue) > 0)
    })
  }

  /** @returns false when another pop is at work on the queue. */
  lock(group: string, queue: PopQueue): boolean {
    const key = keyOf(group, queue)
    if (this.#locked.has(key)) return false
    this.#locked.add(key)
    return true
  }

  isLocked(group: string, queue: PopQueue): boolean {
    return this.#locked.has(keyOf(group, queue))
  }

  unlock(group: string, queue: PopQueue): void {
    this.#locked.delete(keyOf(group, queue))
  }

  #firstOffset({ topic, queueId }: PopQueue, initMode: number): number {
    const { store } = this.#context
    const minOffset = Math.max(0, store.minOffset(topic, queueId))
    if (initMode === ConsumeInitMode.MIN || isRetryTopic(topic)) return minOffset
    // A young topic is consumed from its first message: none is skipped that was sent before the first pop.
    if (minOffset === 0 && store.isInMemory(topic, queueId, 0)) return 0
    return Math.max(0, store.maxOffset(topic, queueId) - 1)
  }
}

function keyOf(group: string, { topic, queueId }: PopQueue): string {
  return `${group}\0${topic}\0${queueId}`
}
