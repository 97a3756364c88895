/** Consumer offsets by group, topic and queue id. */
export class OffsetTable {
  #groups = new Map<string, Map<string, Map<number, number>>>()

  get(group: string, topic: string, queueId: number): number | undefined {
    return this.#groups.get(group)?.get(topic)?.get(queueId)
  }

  set(group: string, topic: string, queueId: number, offset: number): void {
    let topics = this.#groups.get(group)
    if (topics === undefined) {
      topics = new Map()
      this.#groups.set(group, topics)
    }
    let queues = topics.get(topic)
    if (queues === undefined) {
      queues = new Map()
      topics.set(topic, queues)
    }
    queues.set(queueId, offset)
  }

  ofGroup(group: string): ReadonlyMap<string, ReadonlyMap<number, number>> {
    return this.#groups.get(group) ?? new Map()
  }

  groups(): Iterable<string> {
    return this.#groups.keys()
  }

  delete(group: string, topic: string, queueId: number): void {
    const topics = this.#groups.get(group)
    const queues = topics?.get(topic)
    if (topics === undefined || queues === undefined) return
    queues.delete(queueId)
    if (queues.size === 0) topics.delete(topic)
    if (topics.size === 0) this.#groups.delete(group)
  }

  /** @returns the topics and queues in which the group had an offset. */
  deleteGroup(group: string): [topic: string, queueId: number][] {
    const deleted: [string, number][] = []
    for (const [topic, queues] of this.ofGroup(group)) {
      for (const queueId of queues.keys()) deleted.push([topic, queueId])
    }
    this.#groups.delete(group)
    return deleted
  }

  /** @returns the groups and queues that had an offset of the topic. */
  deleteTopic(topic: string): [group: string, queueId: number][] {
    const deleted: [string, number][] = []
    for (const [group, topics] of this.#groups) {
      for (const queueId of topics.get(topic)?.keys() ?? []) deleted.push([group, queueId])
      topics.delete(topic)
      if (topics.size === 0) this.#groups.delete(group)
    }
    return deleted
  }

  clear(): void {
    this.#groups = new Map()
  }
}
