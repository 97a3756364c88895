/**
 * Shares the passes of the event loop among many connections: what they have sent is handled for a bounded time in each pass, in the
 * order in which it came, so that the rest of the process is not kept waiting: above all what the members of a group tell each other.
 *
 * Keeps: nobody who waits is overtaken; who waits is called once, unless it withdraws.
 */
import type { Clock } from '@dledger-ts/base'

/** Of one pass; what one connection has read at once comes on top. Short beside a heartbeat. */
const PASS_MS_MAX = 20

/** Has something to handle. */
export interface Reader {
  takeTurn(): void
}

export class ReadingTurns {
  readonly #clock: Clock
  readonly #waiting = new Set<Reader>()
  /** Since when things are handled in this pass; null when nothing was yet. */
  #sinceMs: number | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Readers whose turn has not come. */
  get waitingCount(): number {
    return this.#waiting.size
  }

  /** Hot: once for each chunk. @returns whether it may go on now; else its `takeTurn` is called in a later pass. */
  mayRead(reader: Reader, nowMs: number): boolean {
    if (this.#sinceMs === null) {
      this.#sinceMs = nowMs
      this.#clock.defer(this.#passEnds)
    }
    if (this.#waiting.size === 0 && nowMs - this.#sinceMs < PASS_MS_MAX) return true
    this.#waiting.add(reader)
    return false
  }

  /** It is not there any more. */
  withdraw(reader: Reader): void {
    this.#waiting.delete(reader)
  }

  readonly #passEnds = (): void => {
    this.#sinceMs = null
    if (this.#waiting.size === 0) return
    const sinceMs = this.#clock.monotonicMs()
    this.#sinceMs = sinceMs
    this.#clock.defer(this.#passEnds)
    for (const reader of this.#waiting) {
      this.#waiting.delete(reader)
      reader.takeTurn()
      if (this.#clock.monotonicMs() - sinceMs >= PASS_MS_MAX) return
    }
  }
}
