/**
 * What was woken runs at the end of the pass of the event loop, in the order in which it was woken. When thousands are woken at once they are
 * spread over several passes, so that what else the process does, above all what the members of a group tell each other, is not kept waiting.
 *
 * Keeps: each runs once; nothing is scheduled while nothing is woken.
 */
import type { Clock } from '@dledger-ts/base'

/** Of one pass; the one that runs when it ends comes on top. Short beside a heartbeat. */
const PASS_MS_MAX = 10

export class WokenTurns<Item> {
  readonly #clock: Clock
  readonly #run: (item: Item) => void
  #woken: Item[] = []

  constructor(clock: Clock, run: (item: Item) => void) {
    this.#clock = clock
    this.#run = run
  }

  push(item: Item): void {
    if (this.#woken.length === 0) this.#clock.defer(this.#pass)
    this.#woken.push(item)
  }

  readonly #pass = (): void => {
    // What is woken by what runs waits for the next pass.
    const { length } = this.#woken
    const sinceMs = this.#clock.monotonicMs()
    let ran = 0
    while (ran < length) {
      this.#run(this.#woken[ran++] as Item)
      if (this.#clock.monotonicMs() - sinceMs >= PASS_MS_MAX) break
    }
    this.#woken = ran === this.#woken.length ? [] : this.#woken.slice(ran)
    if (this.#woken.length > 0) this.#clock.defer(this.#pass)
  }
}
