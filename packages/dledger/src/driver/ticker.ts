/**
 * The wake-ups of drivers: one timer for all that share a ticker and a period, and all of them in one pass.
 *
 * So the heartbeats of many groups come up together and leave in one frame, and a process with many idle groups wakes as often
 * as one with a single group.
 *
 * Keeps: after a stall, input that already arrived is heard before the time that passed: it is not the peers' silence. One who throws
 * keeps no other from waking, now or later.
 */
import type { Clock } from '@dledger-ts/base'
import { tellEach } from './tell-each.ts'

export interface Ticker {
  /** Calls back about every `periodMs`, the first time within it, never from within this call. @returns ends it; idempotent. */
  every(periodMs: number, callback: () => void): () => void
}

export class SharedTicker implements Ticker {
  readonly #clock: Clock
  readonly #beats = new Map<number, Beat>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  every(periodMs: number, callback: () => void): () => void {
    let beat = this.#beats.get(periodMs)
    if (beat === undefined) {
      beat = new Beat(this.#clock, periodMs)
      this.#beats.set(periodMs, beat)
    }
    return beat.add({ callback })
  }
}

interface Listener {
  readonly callback: () => void
}

class Beat {
  readonly #clock: Clock
  readonly #periodMs: number
  readonly #listeners = new Set<Listener>()
  #lastMs = 0
  #cancelTimer: (() => void) | null = null
  /** Counts the times it began anew, so that what was deferred before is known to be void. */
  #run = 0

  constructor(clock: Clock, periodMs: number) {
    this.#clock = clock
    this.#periodMs = periodMs
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
      const lateMs = this.#clock.monotonicMs() - this.#lastMs - this.#periodMs
      if (lateMs * 4 > this.#periodMs) this.#clock.defer(() => this.#beat(run))
      else this.#beat(run)
    })
  }

  #beat(run: number): void {
    if (run !== this.#run || this.#listeners.size === 0) return
    this.#lastMs = this.#clock.monotonicMs()
    try {
      tellEach(this.#listeners, ({ callback }) => callback())
    } finally {
      if (run === this.#run && this.#listeners.size > 0) this.#arm()
    }
  }
}
