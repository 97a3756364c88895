/** Which queue a message goes to. Pure. */
import { javaHash } from '@dledger-ts/protocol'
import type { MessageQueue } from '@dledger-ts/remoting'
import type { TopicRoute } from '../route/topic-route.ts'

/** Chooses one of the queues, always the same for the same queues and message. */
export type QueueSelector = (queues: readonly MessageQueue[], key: string) => MessageQueue

/** Messages of one key go to one queue, as long as the topic keeps its queues. Source: SelectMessageQueueByHash. */
export const selectByHash: QueueSelector = (queues, key) => {
  return queues[Math.abs(javaHash(key) % queues.length)] as MessageQueue
}

/** Takes the queues of a topic in turn. */
export class RoundRobin {
  #next: number

  /** @param first anything: so that not every producer begins with the same queue. */
  constructor(first: number) {
    this.#next = first
  }

  /**
   * Hot.
   *
   * @param avoid the brokers that just failed: used only where no other has a leader.
   * @returns undefined when no queue's broker has a leader.
   */
  choose(route: TopicRoute, avoid: ReadonlySet<string> | null): MessageQueue | undefined {
    const { writeQueues } = route
    let ofAvoided: MessageQueue | undefined
    let ofAvoidedAt = 0
    for (let tried = 0; tried < writeQueues.length; tried++) {
      this.#next = this.#next >= Number.MAX_SAFE_INTEGER ? 0 : this.#next + 1
      const queue = writeQueues[this.#next % writeQueues.length] as MessageQueue
      if (route.masterOf(queue.brokerName) === undefined) continue
      if (avoid === null || !avoid.has(queue.brokerName)) return queue
      if (ofAvoided === undefined) {
        ofAvoided = queue
        ofAvoidedAt = this.#next
      }
    }
    if (ofAvoided !== undefined) this.#next = ofAvoidedAt
    return ofAvoided
  }
}
