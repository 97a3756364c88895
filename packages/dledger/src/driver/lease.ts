/**
 * A leader's certainty that nobody else leads yet, without asking anybody: each voter that answered a heartbeat has promised to
 * vote for nobody else for an election timeout (raft R17).
 *
 * Keeps:
 *   - It ends before the first of those promises can: counted from before the round was sent, less what ticks are gathered
 *     by and the drift of both clocks. A pause or a suspended machine does not prolong it, for it is looked at when it is used.
 *   - It ends for the whole term with the first TimeoutNow: whoever got that may be elected at any time later.
 */
import type { Clock } from '@dledger-ts/base'
import type { NodeSettings } from '../config.ts'
import { CLOCK_DRIFT_MAX, elapsedMs, type Moment } from './moments.ts'
import type { PlantedDriverFault } from './planted-driver-faults.ts'

/**
 * A voter has lived through all but one heartbeat's time, at most, when it hears the leader, so up to so many ticks that it counts
 * afterwards had passed before; one more is under way, and one is counted early at most.
 *
 * @returns milliseconds by this member's clock.
 */
export function leaseDurationMs(settings: Pick<NodeSettings, 'tickMs' | 'heartbeatMs' | 'electionTimeoutMs'>): number {
  const { tickMs } = settings
  const electionTicks = Math.round(settings.electionTimeoutMs / tickMs)
  const heartbeatTicks = Math.max(1, Math.round(settings.heartbeatMs / tickMs))
  return ((electionTicks - heartbeatTicks - 2) * tickMs * (1 - CLOCK_DRIFT_MAX)) / (1 + CLOCK_DRIFT_MAX)
}

export class Lease {
  readonly #clock: Clock
  readonly #durationMs: number
  readonly #faults: ReadonlySet<PlantedDriverFault>
  #term = -1
  #round = 0
  /** When `#round`, which a majority has answered, was sent. */
  #since: Moment | null = null
  #isVoid = false

  constructor(clock: Clock, settings: NodeSettings, faults: ReadonlySet<PlantedDriverFault>) {
    this.#faults = faults
    this.#clock = clock
    this.#durationMs = settings.leaseReads ? leaseDurationMs(settings) : 0
  }

  /** A majority has answered `round`. */
  confirmed(term: number, round: number, sentAt: Moment): void {
    if (this.#durationMs <= 0) return
    if (term !== this.#term) {
      this.#term = term
      this.#isVoid = false
    } else if (round <= this.#round) return
    this.#round = round
    this.#since = sentAt
  }

  /** Somebody was asked to take over in this term. */
  handedOver(term: number): void {
    if (this.#faults.has('lease-survives-hand-over')) return
    this.#term = term
    this.#round = 0
    this.#since = null
    this.#isVoid = true
  }

  /** It may have ended since. */
  wasGiven(term: number): boolean {
    return term === this.#term && this.#since !== null && !this.#isVoid
  }

  holds(term: number): boolean {
    return this.remainingMs(term) > 0
  }

  /** @returns milliseconds, 0 or less when there is none. */
  remainingMs(term: number): number {
    if (this.#since === null || !this.wasGiven(term)) return 0
    if (this.#faults.has('lease-ignores-suspension')) {
      return this.#durationMs - (this.#clock.monotonicMs() - this.#since.monotonicMs)
    }
    return this.#durationMs - elapsedMs(this.#clock, this.#since)
  }
}
