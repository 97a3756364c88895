/** Which client holds which queue for its group: what the applied entries say, without time. */
export class LockTable {
  #groups = new Map<string, Map<string, Map<number, string>>>()
  #count = 0

  get count(): number {
    return this.#count
  }

  holder(group: string, topic: string, queueId: number): string | undefined {
    return this.#groups.get(group)?.get(topic)?.get(queueId)
  }

  /** `clientId` null frees the queue. */
  set(group: string, topic: string, queueId: number, clientId: string | null): void {
    let topics = this.#groups.get(group)
    if (topics === undefined) {
      if (clientId === null) return
      topics = new Map()
      this.#groups.set(group, topics)
    }
    let queues = topics.get(topic)
    if (queues === undefined) {
      if (clientId === null) return
      queues = new Map()
      topics.set(topic, queues)
    }
    const before = queues.size
    if (clientId === null) queues.delete(queueId)
    else queues.set(queueId, clientId)
    this.#count += queues.size - before
    if (queues.size === 0) topics.delete(topic)
    if (topics.size === 0) this.#groups.delete(group)
  }

  *all(): Iterable<readonly [group: string, topic: string, queueId: number, clientId: string]> {
    for (const [group, topics] of this.#groups) {
      for (const [topic, queues] of topics) {
        for (const [queueId, clientId] of queues) yield [group, topic, queueId, clientId]
      }
    }
  }

  clear(): void {
    this.#groups = new Map()
    this.#count = 0
  }
}
