/** A clock that goes on only while somebody waits, and then as fast as it can. */
import type { Clock } from '@dledger-ts/base'

export const START_MS = 1_700_000_000_000
/**
 * Passes of the event loop without an end before time goes on. What is in memory or on a disk in memory is there by then, so looking at a store
 * takes no time, in which its log would come to say that more of it is synced.
 */
const IDLE_PASSES = 10
const STEP_MS = 10
const LONG_STEP_MS = 50
/** Who waits longer than this waits for ever. */
const WAIT_MS_MAX = 120_000

interface Timer {
  readonly atMs: number
  readonly callback: () => void
}

export class SteppingClock implements Clock {
  #nowMs: number
  #timers: Timer[] = []
  readonly #waitsForOthers: boolean

  /** @param waitsForOthers something works outside of the event loop (a real database) and is given real time for it. */
  constructor(nowMs = START_MS, waitsForOthers = false) {
    this.#nowMs = nowMs
    this.#waitsForOthers = waitsForOthers
  }

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback }
    // Behind those of the same time.
    let at = this.#timers.length
    while (at > 0 && (this.#timers[at - 1] as Timer).atMs > timer.atMs) at--
    this.#timers.splice(at, 0, timer)
    return () => {
      const found = this.#timers.indexOf(timer)
      if (found >= 0) this.#timers.splice(found, 1)
    }
  }

  defer(callback: () => void): void {
    setImmediate(callback)
  }

  /** Moves the time; timers run in order, each at its time. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms
    for (let next = this.#timers[0]; next !== undefined && next.atMs <= endMs; next = this.#timers[0]) {
      this.#timers.shift()
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.callback()
    }
    this.#nowMs = endMs
  }

  /** Lets what is asked for end, however much time it needs. @throws Error when it does not end. */
  async passing<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false
    const settled = promise.finally(() => {
      isSettled = true
    })
    settled.catch(() => {})
    const endMs = this.#nowMs + WAIT_MS_MAX
    while (!isSettled) {
      for (let i = 0; i < IDLE_PASSES && !isSettled; i++) await pass()
      if (this.#waitsForOthers && !isSettled) await turn()
      if (isSettled) break
      if (this.#nowMs > endMs) throw new Error('HANG: it did not end')
      this.advance(STEP_MS)
    }
    return settled
  }

  /** Lets time pass, and what it brings happen. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += LONG_STEP_MS) {
      this.advance(LONG_STEP_MS)
      for (let i = 0; i < IDLE_PASSES; i++) await pass()
    }
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0))
}

function pass(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
