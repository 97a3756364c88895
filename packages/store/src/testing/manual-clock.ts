/** A clock for tests: time stands still until it is moved; deferred work runs at the end of the real pass. */
import type { Clock } from '@dledger-ts/base'

interface Timer {
  readonly atMs: number
  readonly seq: number
  readonly callback: () => void
}

export class ManualClock implements Clock {
  #nowMs: number
  #seq = 0
  #timers: Timer[] = []

  constructor(nowMs = 1_700_000_000_000) {
    this.#nowMs = nowMs
  }

  get timerCount(): number {
    return this.#timers.length
  }

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, seq: this.#seq++, callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  defer(callback: () => void): void {
    setImmediate(callback)
  }

  /** Moves the time; timers run in order, each at its time. */
  advance(ms: number): void {
    const end = this.#nowMs + ms
    for (;;) {
      const due = this.#timers.filter((timer) => timer.atMs <= end)
      due.sort((a, b) => a.atMs - b.atMs || a.seq - b.seq)
      const next = due[0]
      if (next === undefined) break
      this.#timers = this.#timers.filter((other) => other !== next)
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.callback()
    }
    this.#nowMs = end
  }
}

/** Waits for a promise that needs time to pass. */
export async function passing<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  let isSettled = false
  const settled = promise.finally(() => {
    isSettled = true
  })
  while (!isSettled) {
    // A disk that works meanwhile is given the time that it takes for passing.
    await new Promise((resolve) => setTimeout(resolve, 0))
    if (!isSettled) clock.advance(1)
  }
  return settled
}

/** Lets everything that is ready run, many passes of the event loop. */
export async function passes(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** Waits for a condition that events bring about. @throws Error when it does not come true in time. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const startMs = performance.now()
  while (!condition()) {
    if (performance.now() - startMs > 20_000) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}
