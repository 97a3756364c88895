/**
 * The wake-ups of drivers: one timer for all that share a ticker and a period, and all of them in one pass.
 *
 * So the heartbeats of many groups come up together and leave in one frame, and a process with many idle groups wakes as often
 * as one with a single group.
 *
 * Keeps:
 *   - after a stall, input that already arrived is heard before the time that passed: it is not the peers' silence;
 *   - what others wait for, and what needs no input, does not wait for that: a flood of input makes the pass of the event loop long;
 *   - one who throws keeps no other from waking, now or later;
 *   - one who is alone and is woken by its input as often needs the timer only where that input stays away: it waits longer each
 *     time, and nobody is told that less time has passed than has.
 */
import type { Clock } from '@dledger-ts/base'
import { tellEach } from './tell-each.ts'

export interface Ticker {
  /**
   * Calls back about every `periodMs`, the first time within it, never from within this call.
   *
   * @param callback its argument: for how many periods it was meant to wait, 1 where it does not ride on its input.
   * @param overdue called first when it is late: at once, while the callback waits for what has arrived meanwhile.
   */
  every(periodMs: number, callback: (periods: number) => void, overdue?: () => void): Wakings
}

/** The wake-ups of one who asked for them. */
export interface Wakings {
  /** Idempotent. */
  end(): void
  /**
   * Input has come. Where the timer waits longer than a period and half of one has passed, the callback is called from within this
   * call: what is counted in periods from that input on begins after them.
   */
  heard(): void
  /**
   * Input has come that comes about once a period: the callback is called from within this call where half of one has passed, and
   * the timer wakes nobody for `periods` from the last call on. Without effect for one who shares a ticker and a period with others.
   */
  ride(periods: number): void
  /** That input will not come again: the timer is due within a period. */
  hurry(): void
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

  every(periodMs: number, callback: (periods: number) => void, overdue: () => void = () => {}): Wakings {
    let beat = this.#beats.get(periodMs)
    if (beat === undefined) {
      beat = new Beat(this.#clock, periodMs, this.#afterOverdue)
      this.#beats.set(periodMs, beat)
    }
    return beat.add({ callback, overdue })
  }
}

interface Listener {
  readonly callback: (periods: number) => void
  readonly overdue: () => void
}

class Beat {
  readonly #clock: Clock
  readonly #periodMs: number
  readonly #afterOverdue: () => void
  readonly #listeners = new Set<Listener>()
  #lastMs = 0
  /** How long after `#lastMs` the next one is due. */
  #periods = 1
  #cancelTimer: (() => void) | null = null
  /** Counts the times it began anew, so that what was deferred before is known to be void. */
  #run = 0

  constructor(clock: Clock, periodMs: number, afterOverdue: () => void) {
    this.#clock = clock
    this.#periodMs = periodMs
    this.#afterOverdue = afterOverdue
  }

  add(listener: Listener): Wakings {
    this.#listeners.add(listener)
    if (this.#listeners.size === 1) {
      this.#lastMs = this.#clock.monotonicMs()
      this.#run++
      this.#arm()
    } else this.#hurry()
    return {
      end: () => this.#remove(listener),
      heard: () => {
        if (this.#periods > 1) this.#catchUp(this.#periods)
      },
      ride: (periods) => this.#ride(periods),
      hurry: () => this.#hurry(),
    }
  }

  #remove(listener: Listener): void {
    if (!this.#listeners.delete(listener) || this.#listeners.size > 0) return
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#periods = 1
  }

  get #dueMs(): number {
    return this.#lastMs + this.#periods * this.#periodMs
  }

  #isLate(nowMs: number): boolean {
    return (nowMs - this.#dueMs) * 4 > this.#periodMs
  }

  #ride(periods: number): void {
    if (this.#listeners.size === 1) this.#catchUp(periods)
  }

  /** @param periods to wait from now on, unless who is called hurries. What is late waits for all the input there is: the timer sees to it. */
  #catchUp(periods: number): void {
    const nowMs = this.#clock.monotonicMs()
    if (this.#isLate(nowMs)) return
    const waited = this.#periods
    // The timer stays as it is: Node.js wakes for one that was cancelled all the same, so it looks again when it goes off.
    this.#periods = periods
    if ((nowMs - this.#lastMs) * 2 < this.#periodMs) return
    this.#lastMs = nowMs
    this.#beat(this.#run, waited)
  }

  #hurry(): void {
    if (this.#periods === 1) return
    const passedMs = this.#clock.monotonicMs() - this.#lastMs
    this.#periods = Math.max(1, Math.min(this.#periods, Math.ceil(passedMs / this.#periodMs)))
    this.#cancelTimer?.()
    this.#arm()
  }

  #arm(): void {
    const run = this.#run
    const delayMs = Math.max(0, Math.ceil(this.#dueMs - this.#clock.monotonicMs()))
    this.#cancelTimer = this.#clock.after(delayMs, () => {
      this.#cancelTimer = null
      const nowMs = this.#clock.monotonicMs()
      if (this.#periods > 1 && nowMs < this.#dueMs) return this.#arm()
      const isLate = this.#isLate(nowMs)
      const periods = isLate ? 1 : this.#periods
      this.#lastMs = nowMs
      this.#periods = 1
      if (isLate) this.#clock.defer(() => this.#beat(run, 1))
      // The next time counts from now on, however long what was deferred takes to come.
      try {
        if (isLate) this.#overdue()
        else this.#beat(run, periods)
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

  #beat(run: number, periods: number): void {
    if (run !== this.#run || this.#listeners.size === 0) return
    tellEach(this.#listeners, ({ callback }) => callback(periods))
  }
}
