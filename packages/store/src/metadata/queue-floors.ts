/**
 * Where queues begin whose topic was deleted: messages before are deleted, also for a topic that is created under this name later.
 * Their queue offsets are not given out again, so what somebody still says of a deleted message never concerns a new one.
 *
 * Keeps: a floor never goes back.
 */
import { assert } from '@dledger-ts/base'

export class QueueFloors {
  #topics = new Map<string, Map<number, number>>()

  /** 0 for a queue whose topic was never deleted. */
  get(topic: string, queueId: number): number {
    return this.#topics.get(topic)?.get(queueId) ?? 0
  }

  set(topic: string, queueId: number, queueOffset: number): void {
    assert(queueOffset >= this.get(topic, queueId), 'a floor never goes back')
    const queues = this.#topics.get(topic)
    if (queues === undefined) this.#topics.set(topic, new Map([[queueId, queueOffset]]))
    else queues.set(queueId, queueOffset)
  }

  *all(): Iterable<readonly [topic: string, queueId: number, queueOffset: number]> {
    for (const [topic, queues] of this.#topics) {
      for (const [queueId, queueOffset] of queues) yield [topic, queueId, queueOffset]
    }
  }

  clear(): void {
    this.#topics = new Map()
  }
}
