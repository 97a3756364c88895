/**
 * Settings by namespace and key, which tools put and old clients ask for. Kept in memory only: a namesrv writes nothing.
 *
 * Keeps: whoever reaches a namesrv may put settings, so their number and their length are bounded; a namespace that has become empty
 * counts like a setting, for it is remembered.
 */
/** Of which each entry of `ORDER_TOPIC_CONFIG` says how many ordered queues a topic has on which broker. */
export const ORDER_TOPIC_NAMESPACE = 'ORDER_TOPIC_CONFIG'
/** Namespaces and keys. */
const ENTRIES_MAX = 100_000
/** Of their texts, and of values. */
const CHARS_MAX = 32 * 1024 * 1024

export class KeyValueTable {
  readonly #namespaces = new Map<string, Map<string, string>>()
  #entries = 0
  #chars = 0

  /** @returns false, changing nothing, when there is no room for it. */
  put(namespace: string, key: string, value: string): boolean {
    const table = this.#namespaces.get(namespace)
    const before = table?.get(key)
    const entries = this.#entries + (table === undefined ? 1 : 0) + (before === undefined ? 1 : 0)
    const added = (table === undefined ? namespace.length : 0) + (before === undefined ? key.length : -before.length)
    const chars = this.#chars + added + value.length
    // What makes no more of it is taken also where there is no room.
    if ((entries > ENTRIES_MAX && entries > this.#entries) || (chars > CHARS_MAX && chars > this.#chars)) return false
    this.#entries = entries
    this.#chars = chars
    if (table === undefined) this.#namespaces.set(namespace, new Map([[key, value]]))
    else table.set(key, value)
    return true
  }

  get(namespace: string, key: string): string | undefined {
    return this.#namespaces.get(namespace)?.get(key)
  }

  delete(namespace: string, key: string): void {
    const table = this.#namespaces.get(namespace)
    const value = table?.get(key)
    if (table === undefined || value === undefined) return
    table.delete(key)
    this.#entries--
    this.#chars -= key.length + value.length
  }

  /** @returns all of a namespace, or undefined when nothing was ever put there. */
  list(namespace: string): ReadonlyMap<string, string> | undefined {
    return this.#namespaces.get(namespace)
  }
}
