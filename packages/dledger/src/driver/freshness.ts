/**
 * How old the state that is applied here may be at most: a bound that holds whatever the other members do.
 *
 * A moment of this member's own clock and a commit index belong together (raft.ts, `freshRound`): once that index is applied,
 * everything that was committed anywhere at that moment can be read here. That stays true, so it is never forgotten.
 */
import type { Clock } from '@dledger-ts/base'
import { CLOCK_DRIFT_MAX, elapsedMs, type Moment } from './moments.ts'

interface Known {
  readonly at: Moment
  readonly commitIndex: number
}

export class Freshness {
  readonly #clock: Clock
  #held: Moment | null = null
  /** Waits for its entries to be applied; and the newest known beside it, so that a member that is always behind gets on. */
  #due: Known | null = null
  #next: Known | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @returns whether more can be said now. */
  learned(known: Known, appliedIndex: number): boolean {
    if (this.#due === null) this.#due = known
    else this.#next = known
    return this.applied(appliedIndex)
  }

  /** Hot: once for each batch applied. @returns whether more can be said now. */
  applied(index: number): boolean {
    let isNews = false
    while (this.#due !== null && this.#due.commitIndex <= index) {
      this.#held = this.#due.at
      this.#due = this.#next
      this.#next = null
      isNews = true
    }
    return isNews
  }

  /** @returns milliseconds, however slow this clock runs; infinite while nothing is known. */
  get stalenessMs(): number {
    return this.#held === null ? Number.POSITIVE_INFINITY : elapsedMs(this.#clock, this.#held) / (1 - CLOCK_DRIFT_MAX)
  }
}
