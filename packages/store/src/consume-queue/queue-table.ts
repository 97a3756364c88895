/** All ConsumeQueues by topic and queue id. */
import { ConsumeQueue } from './consume-queue.ts'

export class QueueTable {
  #topics = new Map<string, Map<number, ConsumeQueue>>()
  /** Messages come in runs of one queue: the last one looked up is asked first. */
  #last: ConsumeQueue | undefined

  /** Hot. */
  find(topic: string, queueId: number): ConsumeQueue | undefined {
    const last = this.#last
    if (last !== undefined && last.queueId === queueId && last.topic === topic) return last
    const found = this.#topics.get(topic)?.get(queueId)
    if (found !== undefined) this.#last = found
    return found
  }

  findOrMake(topic: string, queueId: number): ConsumeQueue {
    return this.find(topic, queueId) ?? this.add(new ConsumeQueue(topic, queueId))
  }

  add(queue: ConsumeQueue): ConsumeQueue {
    let queues = this.#topics.get(queue.topic)
    if (queues === undefined) {
      queues = new Map()
      this.#topics.set(queue.topic, queues)
    }
    queues.set(queue.queueId, queue)
    return queue
  }

  get count(): number {
    let count = 0
    for (const queues of this.#topics.values()) count += queues.size
    return count
  }

  ofTopic(topic: string): Iterable<ConsumeQueue> {
    return this.#topics.get(topic)?.values() ?? []
  }

  *all(): Iterable<ConsumeQueue> {
    for (const queues of this.#topics.values()) yield* queues.values()
  }

  clear(): void {
    this.#topics = new Map()
    this.#last = undefined
  }
}
