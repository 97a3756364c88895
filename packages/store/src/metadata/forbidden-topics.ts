/** What groups may not do with single topics: flags as Apache's, of which bit 2 forbids to read. Source: SubscriptionGroupManager. */
export class ForbiddenTopics {
  readonly #groups = new Map<string, Map<string, number>>()

  /** 0 where nothing is forbidden. */
  get(group: string, topic: string): number {
    return this.#groups.get(group)?.get(topic) ?? 0
  }

  /** By group and topic; without zeros. */
  all(): ReadonlyMap<string, ReadonlyMap<string, number>> {
    return this.#groups
  }

  set(group: string, topic: string, flags: number): void {
    const topics = this.#groups.get(group) ?? new Map<string, number>()
    if (flags === 0) topics.delete(topic)
    else topics.set(topic, flags)
    if (topics.size === 0) this.#groups.delete(group)
    else this.#groups.set(group, topics)
  }

  /** @returns the topics of which something was forbidden. */
  deleteGroup(group: string): string[] {
    const topics = [...(this.#groups.get(group)?.keys() ?? [])]
    this.#groups.delete(group)
    return topics
  }

  clear(): void {
    this.#groups.clear()
  }
}
