/**
 * A clock that tests move by hand: callbacks run in order of their time, ties in order of their making.
 */
import type { Clock } from '@dledger-ts/base'

interface Timer {
  readonly atMs: number
  readonly callback: () => void
}

export class ManualClock implements Clock {
  #nowMs: number
  #timers: Timer[] = []
  #deferred: (() => void)[] = []

  constructor(nowMs = 1_700_000_000_000) {
    this.#nowMs = nowMs
  }

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

  defer(callback: () => void): void {
    this.#deferred.push(callback)
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#timers.length
  }

  get hasDeferred(): boolean {
    return this.#deferred.length > 0
  }

  /** Ends this pass of the event loop. */
  runDeferred(): void {
    const deferred = this.#deferred
    this.#deferred = []
    for (const callback of deferred) callback()
  }

  /** Something takes so long: no callback runs meanwhile. */
  spend(byMs: number): void {
    this.#nowMs += byMs
  }

  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs
    for (;;) {
      this.runDeferred()
      const next = this.#timers.reduce<Timer | null>((a, b) => (a === null || b.atMs < a.atMs ? b : a), null)
      if (next === null || next.atMs > untilMs) break
      this.#timers = this.#timers.filter((other) => other !== next)
      this.#nowMs = next.atMs
      next.callback()
    }
    this.#nowMs = untilMs
  }
}
