/**
 * The wake-ups of drivers: one timer for all that share a ticker and a period, and all of them in one pass.
 *
 * So the heartbeats of many groups come up together and leave in one frame, and a process with many idle groups wakes as often
 * as one with a single group.
 *
 * Keeps:
 *   - after a stall, input that already arrived is heard before the time that passed: it is not the peers' silence. Who rides on input
 *     waits for longer than a period, so to a shorter stall than what is left of that wait this does not apply;
 *   - what others wait for, and what needs no input, does not wait for that: a flood of input makes the pass of the event loop long;
 *   - one who throws keeps no other from waking, now or later;
 *   - one who is alone and is woken by its input as often needs the timer only where that input stays away: it waits longer each time;
 *   - nobody is told of more periods than have passed since it was told last.
 */
import type { Clock } from '@dledger-ts/base'
import { tellEach } from './tell-each.ts'

export interface Ticker {
  /**
   * Calls back about every `periodMs`, the first time within it, never from within this call.
   *
   * @param callback its argument: how many periods have passed since the last call, or of a late one 1.
   * @param overdue called first when it is late: at once, while the callback waits for what has arrived meanwhile.
   */
  every(periodMs: number, callback: (periods: number) => void, overdue?: () => void): Wakings
}

/** The wake-ups of one who asked for them. */
export interface Wakings {
  /** Idempotent. */
  end(): void
  /**
   * Input has come. For one who rides, and has not been called for a period, it is called from within this call: what is counted in
   * periods from that input on begins after them. When the timer is due stays as it was.
   */
  heard(): void
  /**
   * Input has come that comes about once a period: the callback is called from within this call where three quarters of one have
   * passed, and the timer is due `periods` after the last call. Without effect for one who shares a ticker and a period with others.
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
  #dueMs = 0
  #rides = false
  /** What is late was put off until what has arrived is heard. */
  #isPutOff = false
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
      this.#run++
      this.#dueAfter(this.#clock.monotonicMs(), 1)
      this.#arm()
    } else this.#hurry()
    return {
      end: () => this.#remove(listener),
      heard: () => this.#heard(),
      ride: (periods) => this.#ride(periods),
      hurry: () => this.#hurry(),
    }
  }

  #remove(listener: Listener): void {
    if (!this.#listeners.delete(listener) || this.#listeners.size > 0) return
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#rides = false
  }

  #dueAfter(nowMs: number, periods: number): void {
    this.#lastMs = nowMs
    this.#dueMs = nowMs + periods * this.#periodMs
  }

  /** What is late waits for all the input there is: the timer sees to that. */
  #isLate(nowMs: number): boolean {
    return this.#isPutOff || (nowMs - this.#dueMs) * 4 > this.#periodMs
  }

  /** A quarter of a period is lateness, not a period begun. */
  #periodsPassed(nowMs: number): number {
    return Math.max(1, Math.ceil((nowMs - this.#lastMs) / this.#periodMs - 0.25))
  }

  #heard(): void {
    if (!this.#rides) return
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#lastMs < this.#periodMs || this.#isLate(nowMs)) return
    const passed = this.#periodsPassed(nowMs)
    this.#lastMs = nowMs
    this.#beat(this.#run, passed)
  }

  #ride(periods: number): void {
    if (this.#listeners.size !== 1) return
    const nowMs = this.#clock.monotonicMs()
    if (this.#isLate(nowMs)) return
    const passed = this.#periodsPassed(nowMs)
    const isDue = (nowMs - this.#lastMs) * 4 >= this.#periodMs * 3
    // The timer stays as it is: Node.js wakes for one that was cancelled all the same, so it looks again when it goes off.
    this.#rides = true
    this.#dueAfter(isDue ? nowMs : this.#lastMs, periods)
    if (isDue) this.#beat(this.#run, passed)
  }

  #hurry(): void {
    if (!this.#rides) return
    this.#rides = false
    const passed = Math.max(1, Math.ceil((this.#clock.monotonicMs() - this.#lastMs) / this.#periodMs))
    this.#dueMs = Math.min(this.#dueMs, this.#lastMs + passed * this.#periodMs)
    this.#arm()
  }

  #arm(): void {
    const run = this.#run
    this.#cancelTimer?.()
    this.#cancelTimer = this.#clock.after(Math.max(0, Math.ceil(this.#dueMs - this.#clock.monotonicMs())), () => {
      this.#cancelTimer = null
      const nowMs = this.#clock.monotonicMs()
      if (this.#rides && nowMs < this.#dueMs) return this.#arm()
      const isLate = this.#isLate(nowMs)
      const passed = this.#periodsPassed(nowMs)
      this.#rides = false
      // The next time counts from now on, however long what is put off takes to come.
      this.#dueAfter(nowMs, 1)
      if (isLate) this.#putOff(run)
      try {
        if (isLate) this.#overdue()
        else this.#beat(run, passed)
      } finally {
        if (run === this.#run && this.#listeners.size > 0) this.#arm()
      }
    })
  }

  #putOff(run: number): void {
    this.#isPutOff = true
    this.#clock.defer(() => {
      this.#isPutOff = false
      this.#beat(run, 1)
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
