/**
 * Shares the passes of the event loop among queries: what one looks for lies in memory as a rule, so that nothing else would make it wait, and many at
 * once would keep the rest of the process waiting, above all what the members of a group tell each other.
 *
 * Keeps: in each pass those that begin have a bounded time together, and so have those that wait, in the order in which they began to wait.
 */
import type { Clock } from '@dledger-ts/base'

/** Short beside a heartbeat. */
const PASS_MS_MAX = 20

export class QueryTurns {
  readonly #clock: Clock
  readonly #waiting: (() => void)[] = []
  /** Since when there are queries at work in this pass; null when none was yet. */
  #sinceMs: number | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Whether the time of this pass is used up: asked again and again by a query at work. */
  get isOver(): boolean {
    if (this.#sinceMs === null) this.#begin()
    return this.#clock.monotonicMs() - (this.#sinceMs as number) >= PASS_MS_MAX
  }

  /** Resolves in a later pass, when it is this query's turn. */
  next(): Promise<void> {
    return new Promise((resolve) => void this.#waiting.push(resolve))
  }

  /** A query has its answer: the next one has what is left of the time. */
  ended(): void {
    if (this.#waiting.length > 0 && !this.isOver) this.#waiting.shift()?.()
  }

  #begin(): void {
    this.#sinceMs = this.#clock.monotonicMs()
    this.#clock.defer(this.#passEnds)
  }

  readonly #passEnds = (): void => {
    this.#sinceMs = null
    const first = this.#waiting.shift()
    if (first === undefined) return
    this.#begin()
    first()
  }
}
