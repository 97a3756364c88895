/**
 * Time as a dependency: everything that waits or asks the time is given a `Clock`, so a simulation can own it.
 */
export interface Clock {
  /** Wall-clock milliseconds since the epoch. May jump; never used for safety or elapsed time. */
  nowMs(): number
  /** Milliseconds that only go forward, from an arbitrary start. */
  monotonicMs(): number
  /** Calls `callback` once, `delayMs` from now. @returns a function that cancels it, idempotent. */
  after(delayMs: number, callback: () => void): () => void
  /** Calls `callback` at the end of this pass of the event loop, after the input that already arrived in it. */
  defer(callback: () => void): void
}

/** The clock of this process. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs)
    return () => clearTimeout(timer)
  },
  defer: (callback) => {
    setImmediate(callback)
  },
}

/** The hour of the day, 0 to 23, in the time zone of this process. @param timeMs of the wall clock. */
export function localHourOf(timeMs: number): number {
  return new Date(timeMs).getHours()
}
