/** How the clients of a group get the messages of a topic, where the operator has said so. Source: MessageRequestModeManager. */
export interface RequestModeConfig {
  readonly group: string
  readonly topic: string
  readonly mode: 'PULL' | 'POP'
  /** With POP: how many more clients' queues each client shares; 0 or less: all of them. */
  readonly popShareQueueNum: number
}

export class RequestModes {
  readonly #byTopic = new Map<string, Map<string, RequestModeConfig>>()

  get(topic: string, group: string): RequestModeConfig | undefined {
    return this.#byTopic.get(topic)?.get(group)
  }

  *all(): IterableIterator<RequestModeConfig> {
    for (const groups of this.#byTopic.values()) yield* groups.values()
  }

  set(config: RequestModeConfig): void {
    const groups = this.#byTopic.get(config.topic) ?? new Map<string, RequestModeConfig>()
    groups.set(config.group, config)
    this.#byTopic.set(config.topic, groups)
  }

  clear(): void {
    this.#byTopic.clear()
  }
}

export function isRequestModeConfig(value: unknown): value is RequestModeConfig {
  if (typeof value !== 'object' || value === null) return false
  const { group, topic, mode, popShareQueueNum } = value as Record<string, unknown>
  const isMode = mode === 'PULL' || mode === 'POP'
  return typeof group === 'string' && typeof topic === 'string' && isMode && Number.isSafeInteger(popShareQueueNum)
}
