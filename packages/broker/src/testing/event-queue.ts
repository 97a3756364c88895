/** Events in the order they came; a test waits for the next one instead of sleeping. */
export class EventQueue<Event> {
  readonly #events: Event[] = []
  readonly #waiters: ((event: Event) => void)[] = []

  push(event: Event): void {
    const waiter = this.#waiters.shift()
    if (waiter === undefined) this.#events.push(event)
    else waiter(event)
  }

  /** Events that nobody took yet. */
  get size(): number {
    return this.#events.length
  }

  next(): Promise<Event> {
    const event = this.#events.shift()
    if (event !== undefined) return Promise.resolve(event)
    return new Promise((resolve) => {
      this.#waiters.push(resolve)
    })
  }
}
