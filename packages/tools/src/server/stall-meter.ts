/**
 * How long an event loop stood, from a timer and how much later it came than it was due. Pure: told what the clocks say.
 *
 * A thread also stands because other programs have all cores; that time is told apart, so a stall is what the process did to itself:
 * its own work, garbage collection, calls that wait.
 *
 * An idle loop is looked at seldom, so that it stays idle. A stall that begins and ends between two looks is then not seen; the loop is looked
 * at closely from the look on that finds it at work.
 */

/** Between two looks at a loop that works. A stall shows shorter than it was by up to this. */
const CLOSE_MS = 10
/** At an idle one; and for so long it is looked at closely before it may count as idle again. */
const SELDOM_MS = 500
/** A loop works that had something to do, and a core to do it, for more than this share of the time. */
const WORKS_SHARE = 0.05
/** The longest stall is told of the last six spans of this length, the current one in it. */
const SPAN_MS = 10_000
const SPANS = 6

/** All since any moment of the past, growing. */
export interface LoopTimes {
  readonly nowMs: number
  /** In which the loop had something to do. */
  readonly activeMs: number
  /** In which its thread could have run and had no core. */
  readonly starvedMs: number
}

export class StallMeter {
  readonly #stalled: (ms: number) => void
  readonly #longest = Array.from({ length: SPANS }, () => 0)
  #span: number
  #dueMs: number
  #starvedMs: number
  #since: LoopTimes
  #isClose = false

  /** @param stalled is told of every look, 0 where the loop was in time. */
  constructor(begun: LoopTimes, stalled: (ms: number) => void) {
    this.#stalled = stalled
    this.#since = begun
    this.#starvedMs = begun.starvedMs
    this.#span = spanOf(begun.nowMs)
    this.#dueMs = begun.nowMs + SELDOM_MS
  }

  /** When to look next. */
  get dueMs(): number {
    return this.#dueMs
  }

  look(times: LoopTimes): void {
    const lateMs = Math.max(0, times.nowMs - this.#dueMs)
    const stallMs = Math.max(0, lateMs - (times.starvedMs - this.#starvedMs))
    this.#starvedMs = times.starvedMs
    this.#forget(times.nowMs)
    const slot = this.#span % SPANS
    this.#longest[slot] = Math.max(this.#longest[slot] as number, stallMs)
    this.#stalled(stallMs)
    const elapsedMs = times.nowMs - this.#since.nowMs
    if (elapsedMs >= SELDOM_MS) {
      const activeMs = times.activeMs - this.#since.activeMs
      const workedMs = activeMs - (times.starvedMs - this.#since.starvedMs)
      this.#isClose = workedMs > elapsedMs * WORKS_SHARE
      this.#since = times
    }
    this.#dueMs = times.nowMs + (this.#isClose ? CLOSE_MS : SELDOM_MS)
  }

  /** Of the last 50 to 60 seconds. */
  longestMs(nowMs: number): number {
    this.#forget(nowMs)
    return Math.max(...this.#longest)
  }

  #forget(nowMs: number): void {
    const span = spanOf(nowMs)
    for (let old = Math.max(this.#span + 1, span - SPANS + 1); old <= span; old++) this.#longest[old % SPANS] = 0
    this.#span = span
  }
}

function spanOf(nowMs: number): number {
  return Math.floor(nowMs / SPAN_MS)
}
