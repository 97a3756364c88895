/**
 * One timer for the nearest of many times of the wall clock.
 *
 * Keeps: no timer while nothing is awaited, and at most one; a time further away than what is awaited changes nothing.
 */
import type { Clock } from '@dledger-ts/base'

/** Longest sleep of one timer; Node's own limit is 2^31 - 1 ms. Whoever is woken too early waits again. */
const SLEEP_MS_MAX = 3_600_000

export class NearestTime {
  readonly #clock: Clock
  readonly #reached: () => void
  #cancelTimer: (() => void) | null = null
  #timeMs = Number.POSITIVE_INFINITY

  /** @param reached called once for each time that comes, or a sleep before; nothing is awaited then. */
  constructor(clock: Clock, reached: () => void) {
    this.#clock = clock
    this.#reached = reached
  }

  /** `reached` is called at this time, or earlier. */
  wakeAt(timeMs: number): void {
    if (this.#cancelTimer !== null && this.#timeMs <= timeMs) return
    this.#cancelTimer?.()
    this.#timeMs = timeMs
    const delayMs = Math.min(Math.max(1, timeMs - this.#clock.nowMs()), SLEEP_MS_MAX)
    this.#cancelTimer = this.#clock.after(delayMs, () => {
      this.cancel()
      this.#reached()
    })
  }

  cancel(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#timeMs = Number.POSITIVE_INFINITY
  }
}
