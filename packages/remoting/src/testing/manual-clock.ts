/**
 * A clock whose timers tests move by hand. Sockets are real in these tests, so the end of a pass of the event loop is, too.
 */
import type { Clock } from '@dledger-ts/base'

interface Timer {
  readonly atMs: number
  readonly callback: () => void
}

export class ManualClock implements Clock {
  #nowMs = 1_700_000_000_000
  #timers: Timer[] = []

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  /** Sockets are real in these tests, so the pass of the event loop is, too. */
  defer(callback: () => void): void {
    setImmediate(callback)
  }

  get timerCount(): number {
    return this.#timers.length
  }

  /** Runs what falls due, oldest first. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs
    for (;;) {
      const [next] = this.#timers.filter((timer) => timer.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)
      if (next === undefined) break
      this.#timers = this.#timers.filter((other) => other !== next)
      this.#nowMs = next.atMs
      next.callback()
    }
    this.#nowMs = untilMs
  }
}
