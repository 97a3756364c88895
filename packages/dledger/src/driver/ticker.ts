/**
 * The wake-ups of drivers: one timer for all that share a ticker and a period, and all of them in one pass.
 *
 * So the heartbeats of many groups come up together and leave in one frame, and a process with many idle groups wakes as often
 * as one with a single group.
 *
 * Keeps:
 *   - after a stall, input that already arrived is heard before the time that passed: it is not the peers' silence;
 *   - what others wait for, and what needs no input, does not wait for that: a flood of input makes the pass of the event loop long;
 *   - one who throws keeps no other from waking, now or later.
 */
import type { Clock } from '@dledger-ts/base'
import { tellEach } from './tell-each.ts'

export interface Ticker {
  /**
   * Calls back about every `periodMs`, the first time within it, never from within this call. @returns ends it; idempotent.
   *
   * @param overdue called first when it is late: at once, while the callback waits for what has arrived meanwhile.
   */
  every(periodMs: number, callback: () => void, overdue?: () => void): () => void
}

export class SharedTicker implements Ticker {
  readonly #clock: Clock
  readonly #afterOverdue: () => void
  readonly #beats = new Map<number, Beat>()

  /** @param afterOverdue called when all who are late together were told: what they say leaves together, and now. */
  constructor(clock: Clock, afterOverdue: () => void = () => {}) {
    this.#clock = clock
    this.#afterOverdue = afterOverdue
  }

  every(periodMs: number, callback: () => void, overdue: () => void = () => {}): () => void {
    let beat = this.#beats.get(periodMs)
    if (beat === undefined) {
      beat = new Beat(this.#clock, periodMs, this.#afterOverdue)
      this.#beats.set(periodMs, beat)
    }
    return beat.add({ callback, overdue })
  }
}

interface Listener {
  readonly callback: () => void
  readonly overdue: () => void
}

class Beat {
  readonly #clock: Clock
  readonly #periodMs: number
  readonly #afterOverdue: () => void
  readonly #listeners = new Set<Listener>()
  #lastMs = 0
  #cancelTimer: (() => void) | null = null
  /** Counts the times it began anew, so that what was deferred before is known to be void. */
  #run = 0

  constructor(clock: Clock, periodMs: number, afterOverdue: () => void) {
    this.#clock = clock
    this.#periodMs = periodMs
    this.#afterOverdue = afterOverdue
  }

  add(listener: Listener): () => void {
    this.#listeners.add(listener)
    if (this.#listeners.size === 1) {
      this.#lastMs = this.#clock.monotonicMs()
      this.#run++
      this.#arm()
    }
    return () => this.#remove(listener)
  }

  #remove(listener: Listener): void {
    if (!this.#listeners.delete(listener) || this.#listeners.size > 0) return
    this.#cancelTimer?.()
    this.#cancelTimer = null
  }

  #arm(): void {
    const run = this.#run
    this.#cancelTimer = this.#clock.after(this.#periodMs, () => {
      this.#cancelTimer = null
      const nowMs = this.#clock.monotonicMs()
      const isLate = (nowMs - this.#lastMs - this.#periodMs) * 4 > this.#periodMs
      this.#lastMs = nowMs
      if (isLate) this.#clock.defer(() => this.#beat(run))
      // The next time counts from now on, however long what was deferred takes to come.
      try {
        if (isLate) this.#overdue()
        else this.#beat(run)
      } finally {
        if (run === this.#run && this.#listeners.size > 0) this.#arm()
      }
    })
  }

  #overdue(): void {
    try {
      tellEach(this.#listeners, ({ overdue }) => overdue())
    } finally {
      this.#afterOverdue()
    }
  }

  #beat(run: number): void {
    if (run !== this.#run || this.#listeners.size === 0) return
    tellEach(this.#listeners, ({ callback }) => callback())
  }
}
