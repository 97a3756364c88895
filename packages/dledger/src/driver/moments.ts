/**
 * When things happened on this machine, and how long ago that is at most.
 *
 * The monotonic clock stands still while a machine is suspended and runs a little fast or slow; the wall clock can be set. What
 * has passed is the larger of what the two say, so that a suspended machine never takes the past for the present; a wall clock
 * set forward only makes this member more careful.
 */
import type { Clock } from '@dledger-ts/base'

/** Clocks of members run at most this share fast or slow. */
export const CLOCK_DRIFT_MAX = 0.02
/** Rounds remembered. Those that matter are seldom older than three. */
const ROUNDS_KEPT = 256

export interface Moment {
  readonly monotonicMs: number
  readonly wallMs: number
}

/** The wall clock may lag behind the monotonic one by this much and this share; by more, it was set back. */
const WALL_LAG_MS = 50
const WALL_LAG_SHARE = 0.05

/**
 * @returns milliseconds by this machine's clocks, which may run slow: see `CLOCK_DRIFT_MAX`. Infinite when the wall clock was set
 *   back meanwhile, for then nothing tells of a suspension.
 */
export function elapsedMs(clock: Clock, since: Moment): number {
  const monotonicMs = clock.monotonicMs() - since.monotonicMs
  const wallMs = clock.nowMs() - since.wallMs
  if (wallMs < monotonicMs * (1 - WALL_LAG_SHARE) - WALL_LAG_MS) return Number.POSITIVE_INFINITY
  return Math.max(monotonicMs, wallMs)
}

/** When this member first sent each heartbeat round of a term, or its answer to it. */
export class RoundTimes {
  readonly #clock: Clock
  readonly #rounds = new Float64Array(ROUNDS_KEPT)
  readonly #monotonicMs = new Float64Array(ROUNDS_KEPT)
  readonly #wallMs = new Float64Array(ROUNDS_KEPT)
  #term = -1

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Call it before the message leaves. */
  sent(term: number, round: number): void {
    if (term !== this.#term) {
      this.#term = term
      this.#rounds.fill(-1)
    }
    const at = round % ROUNDS_KEPT
    if (this.#rounds[at] === round) return
    this.#rounds[at] = round
    this.#monotonicMs[at] = this.#clock.monotonicMs()
    this.#wallMs[at] = this.#clock.nowMs()
  }

  /** @returns null for a round that was never sent, or too long ago. */
  find(term: number, round: number): Moment | null {
    const at = round % ROUNDS_KEPT
    if (term !== this.#term || this.#rounds[at] !== round) return null
    return { monotonicMs: this.#monotonicMs[at] as number, wallMs: this.#wallMs[at] as number }
  }
}
