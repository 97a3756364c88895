/**
 * The time that passes, told to a member in ticks, some at each wake-up.
 *
 * Keeps:
 *   - one wake-up lives through the ticks of one heartbeat, or of as many as have passed for a follower: nothing in between is due
 *     that soon, and waking is what an idle member costs.
 *   - ticks are counted on one time line, so that they never run ahead of this member's clock by more than a part of one: the
 *     promises that leases rest on are counted in them.
 *   - after a stall that made it late no more than one heartbeat is lived through at once; what is beyond that is forgotten;
 *   - a follower wakes with the heartbeats of its leader. All but one heartbeat's time is lived through before any message is heard,
 *     for promises and roles that begin with it are counted from it. Where heartbeats stay away it wakes before an election could be due.
 */
import type { Clock } from '@dledger-ts/base'
import type { NodeSettings } from '../config.ts'
import { SharedTicker, type Ticker, type Wakings } from './ticker.ts'

/** A timer may be this share of a tick early, and its tick counts all the same. */
const TICK_EARLY_MAX = 0.25

/** Heartbeats that may stay away until a follower wakes by itself. */
const RIDE_PERIODS_MAX = 4

type TickSettings = Pick<NodeSettings, 'tickMs' | 'heartbeatMs'>

export function heartbeatTicksOf({ tickMs, heartbeatMs }: TickSettings): number {
  return Math.max(1, Math.round(heartbeatMs / tickMs))
}

export interface WakeUpsOptions {
  readonly clock: Clock
  readonly settings: TickSettings & Pick<NodeSettings, 'electionTimeoutMs'>
  /** Shared by members that wake together; default: one of its own. */
  readonly ticker: Ticker | undefined
  /** @param ticks that have passed; 0 for a timer that was early. @param nowMs monotonic. */
  readonly wake: (ticks: number, nowMs: number) => void
  /** A wake-up is late, and comes once what arrived meanwhile is heard: what peers wait for is due now. */
  readonly overdue: () => void
}

export class WakeUps {
  readonly #options: WakeUpsOptions
  readonly #heartbeatTicks: number
  /** Milliseconds between two wake-ups: one heartbeat in whole ticks. */
  readonly periodMs: number
  readonly #ridePeriods: number
  #lastTickMs = 0
  #wakings: Wakings | null = null

  constructor(options: WakeUpsOptions) {
    this.#options = options
    this.#heartbeatTicks = heartbeatTicksOf(options.settings)
    this.periodMs = this.#heartbeatTicks * options.settings.tickMs
    const periodsToElection = Math.floor(options.settings.electionTimeoutMs / this.periodMs)
    this.#ridePeriods = Math.min(RIDE_PERIODS_MAX, periodsToElection - 1)
  }

  start(): void {
    const { clock, wake, overdue } = this.#options
    const ticker = this.#options.ticker ?? new SharedTicker(clock)
    this.#lastTickMs = clock.monotonicMs()
    const passed = (periods = 1): void => {
      const nowMs = clock.monotonicMs()
      wake(this.#ticksPassed(nowMs, periods * this.#heartbeatTicks), nowMs)
    }
    this.#wakings = ticker.every(this.periodMs, passed, overdue)
  }

  /** A message has come, or a peer or its loss, and is heard after this call. */
  inputCame(): void {
    this.#wakings?.heard()
  }

  /** The same for a heartbeat of the leader. */
  heartbeatCame(): void {
    if (this.#ridePeriods > 1) this.#wakings?.ride(this.#ridePeriods)
  }

  /** There is no leader whose heartbeats could wake this member. */
  leaderless(): void {
    this.#wakings?.hurry()
  }

  /** Idempotent. */
  stop(): void {
    const wakings = this.#wakings
    this.#wakings = null
    wakings?.end()
  }

  #ticksPassed(nowMs: number, ticksMax: number): number {
    const { tickMs } = this.#options.settings
    const passed = Math.max(0, Math.floor((nowMs - this.#lastTickMs) / tickMs + TICK_EARLY_MAX))
    if (passed > ticksMax) {
      this.#lastTickMs = nowMs
      return ticksMax
    }
    this.#lastTickMs += passed * tickMs
    return passed
  }
}
