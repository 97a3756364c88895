/**
 * Settings by namespace and key, which tools put and old clients ask for. Kept in memory only: a namesrv writes nothing.
 */
/** Of which each entry of `ORDER_TOPIC_CONFIG` says how many ordered queues a topic has on which broker. */
export const ORDER_TOPIC_NAMESPACE = 'ORDER_TOPIC_CONFIG'
const ENTRIES_MAX = 100_000

export class KeyValueTable {
  readonly #namespaces = new Map<string, Map<string, string>>()
  #count = 0

  /** @returns false when the table is full and the key is new. */
  put(namespace: string, key: string, value: string): boolean {
    const table = this.#namespaces.get(namespace) ?? new Map<string, string>()
    if (!table.has(key)) {
      if (this.#count >= ENTRIES_MAX) return false
      this.#count++
    }
    table.set(key, value)
    this.#namespaces.set(namespace, table)
    return true
  }

  get(namespace: string, key: string): string | undefined {
    return this.#namespaces.get(namespace)?.get(key)
  }

  delete(namespace: string, key: string): void {
    if (this.#namespaces.get(namespace)?.delete(key) === true) this.#count--
  }

  /** @returns all of a namespace, or undefined when nothing was ever put there. */
  list(namespace: string): ReadonlyMap<string, string> | undefined {
    return this.#namespaces.get(namespace)
  }
}
