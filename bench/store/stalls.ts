/**
 * How long the event loop stood: a timer that ought to come every TICK_MS, and how much later it came.
 *
 * On a machine that is busy with other work a thread also stands because nobody gives it a core. Linux tells for how long (schedstat); that is
 * taken off, so the figure is what this process did to itself: its own work, garbage collection, calls that wait for a disk. What is left
 * in it of other work is waiting for this process's own threads when these have no core, those of the garbage collector above all
 * (`node --single-threaded-gc` has none).
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { createHistogram } from 'node:perf_hooks'

const TICK_MS = 2
const MICROS = 1_000

export interface Stalls {
  /** The longest. */
  readonly stallMs: number
  readonly stallP999Ms: number
  /** The longest with the waiting for a core in it. */
  readonly stallWallMs: number
  /** Of the time observed, the share in which the main thread could have run and had no core, in percent. */
  readonly starvedPercent: number
}

export class StallWatch {
  readonly #own = createHistogram()
  readonly #wall = createHistogram()
  readonly #waited = new WaitForCore()
  #tickedMs = performance.now()
  #waitedMs = 0
  #takenMs = this.#tickedMs
  #takenWaitedMs = 0

  constructor() {
    this.#waitedMs = this.#waited.ms()
    this.#takenWaitedMs = this.#waitedMs
    setInterval(() => this.#tick(), TICK_MS).unref()
  }

  /** Since the call before. */
  take(): Stalls {
    this.#tick()
    const [own, wall] = [this.#own, this.#wall]
    const observedMs = Math.max(1, this.#tickedMs - this.#takenMs)
    const stalls: Stalls = {
      stallMs: Math.round(own.max / MICROS),
      stallP999Ms: Math.round(own.percentile(99.9) / MICROS),
      stallWallMs: Math.round(wall.max / MICROS),
      starvedPercent: Math.round((100 * (this.#waitedMs - this.#takenWaitedMs)) / observedMs),
    }
    own.reset()
    wall.reset()
    this.#takenMs = this.#tickedMs
    this.#takenWaitedMs = this.#waitedMs
    return stalls
  }

  #tick(): void {
    const nowMs = performance.now()
    const waitedMs = this.#waited.ms()
    const lateMs = Math.max(0, nowMs - this.#tickedMs - TICK_MS)
    const ownMs = Math.max(0, lateMs - (waitedMs - this.#waitedMs))
    this.#tickedMs = nowMs
    this.#waitedMs = waitedMs
    // A histogram takes nothing below 1.
    this.#wall.record(Math.max(1, Math.round(lateMs * MICROS)))
    this.#own.record(Math.max(1, Math.round(ownMs * MICROS)))
  }
}

/** For how long the main thread could have run and had no core; 0 where the system does not tell. */
class WaitForCore {
  readonly #target = Buffer.alloc(128)
  readonly #fd: number

  constructor() {
    try {
      this.#fd = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r')
      process.on('exit', () => closeSync(this.#fd))
    } catch {
      this.#fd = -1
    }
  }

  ms(): number {
    if (this.#fd < 0) return 0
    const count = readSync(this.#fd, this.#target, 0, this.#target.length, 0)
    // Nanoseconds on a core, nanoseconds waiting for one, times it was given one.
    return Number(this.#target.toString('latin1', 0, count).split(' ')[1]) / 1e6
  }
}
