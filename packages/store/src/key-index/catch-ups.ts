/**
 * Queries that wait until what was applied when they came is taken up.
 *
 * Keeps: each is called back once, after CATCH_UP_MS_MAX at the latest, and at once when much of the log is still to be read.
 */
import type { Clock } from '@dledger-ts/base'

/** A query waits for what must be read from the log's files if it is not more than this. */
const NEAR_BYTES = 8 * 1024 * 1024
/** … and for no longer than this. */
const CATCH_UP_MS_MAX = 1_000

export type CatchUpCallback = (isCaughtUp: boolean) => void

interface Waiter {
  readonly pos: number
  readonly callback: CatchUpCallback
}

export class CatchUps {
  readonly #clock: Clock
  #waiters: Waiter[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get count(): number {
    return this.#waiters.length
  }

  /** Calls back once everything before `pos` is taken up; with false when that would take long. */
  wait(pos: number, callback: CatchUpCallback): void {
    const tooLong = (): void => {
      this.#waiters = this.#waiters.filter((other) => other !== waiter)
      callback(false)
    }
    const cancel = this.#clock.after(CATCH_UP_MS_MAX, tooLong)
    const waiter: Waiter = {
      pos,
      callback: (isCaughtUp) => {
        cancel()
        callback(isCaughtUp)
      },
    }
    this.#waiters.push(waiter)
  }

  /** Everything before `pos` is taken up and nothing more can be now; those that wait for more stay only if `mayStay`. */
  tell(pos: number, mayStay: boolean): void {
    const all = this.#waiters
    this.#waiters = []
    for (const waiter of all) {
      if (waiter.pos > pos && mayStay) this.#waiters.push(waiter)
      else waiter.callback(waiter.pos <= pos)
    }
  }

  /** The log's files are read from `pos` on: what takes long is not waited for. */
  tellThoseFarAhead(pos: number): void {
    const far = this.#waiters.filter((waiter) => waiter.pos - pos > NEAR_BYTES)
    if (far.length === 0) return
    this.#waiters = this.#waiters.filter((waiter) => waiter.pos - pos <= NEAR_BYTES)
    for (const { callback } of far) callback(false)
  }

  /** Nobody waits any longer. */
  giveUp(): void {
    const all = this.#waiters
    this.#waiters = []
    for (const { callback } of all) callback(false)
  }
}
