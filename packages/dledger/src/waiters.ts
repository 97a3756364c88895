/**
 * Those who wait for the log to get somewhere, woken at each progress to look again.
 *
 * Keeps: who gave up, and who got what it waited for, is forgotten at once; nobody waits for what cannot come any more.
 */
export class Waiters {
  readonly #whyNever: () => Error | null
  readonly #waiting = new Set<() => void>()

  /** @param whyNever why nothing can be waited for any more; null while it can. */
  constructor(whyNever: () => Error | null) {
    this.#whyNever = whyNever
  }

  get count(): number {
    return this.#waiting.size
  }

  /** Something has changed. */
  wake(): void {
    if (this.#waiting.size === 0) return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const look of waiting) look()
  }

  /** @throws the reason of `signal`, or why nothing can come any more. */
  async until(condition: () => boolean, signal?: AbortSignal): Promise<void> {
    while (!condition()) {
      signal?.throwIfAborted()
      const why = this.#whyNever()
      if (why !== null) throw why
      await this.#change(signal)
    }
  }

  #change(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        this.#waiting.delete(look)
        signal?.removeEventListener('abort', look)
        resolve()
      }
      this.#waiting.add(look)
      signal?.addEventListener('abort', look, { once: true })
    })
  }
}
