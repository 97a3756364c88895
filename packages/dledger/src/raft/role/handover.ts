/**
 * When and to whom a leader hands over unasked: because its own storage is not well, or because another member is preferred.
 *
 * Counted in ticks, looked at once a heartbeat. It says whom to try; the leadership does it and tells how the try ended.
 *
 * Keeps:
 *   R18 the leadership goes unasked only to a voter that is heard, whose storage is well, that has applied most of its log, and
 *       whose log is level with the leader's but for what is under way; to the preferred one only after it was all that for `stableTicks` without a break.
 *       After a transfer, and after a try that failed, comes a wait, twice as long after each failure in a row.
 */
import { StorageHealth } from '../storage-health.ts'
import type { MemberId } from '../messages.ts'
import type { Progress } from '../progress.ts'

export interface HandoverOptions {
  /** Leads whenever it can; null: nobody does rather than another. */
  readonly preferredLeader: MemberId | null
  /** How long the preferred leader must have been well, heard and level without a break. */
  readonly stableTicks: number
  /** From a transfer, or a try that failed, to the next try for the sake of preference. */
  readonly retryTicks: number
  /** The same where this leader's own storage is not well: shorter, for the group suffers meanwhile. */
  readonly unwellRetryTicks: number
  /** A leader whose storage is slow for so long without a break steps down, also when nobody is there to hand over to. */
  readonly slowTicksMax: number
}

/** A wait is doubled so often at most. */
const DOUBLINGS_MAX = 5

export interface Candidates {
  readonly peers: readonly Progress[]
  /** Whether a peer is a voter and could take over within a round trip or two. */
  readonly isFit: (peer: Progress) => boolean
  /** This member's own storage. */
  readonly health: number
}

export class Handover {
  readonly #options: HandoverOptions
  readonly #hasHysteresis: boolean
  #ticksSinceTry: number
  #failures = 0
  /** For how long the preferred leader has been fit. */
  #fitTicks = 0

  /** @param cameByTransfer the former leader handed over to this one: nobody hands the leadership on at once. */
  constructor(
    options: HandoverOptions,
    { cameByTransfer, hasHysteresis }: { readonly cameByTransfer: boolean; readonly hasHysteresis: boolean },
  ) {
    this.#options = options
    this.#hasHysteresis = hasHysteresis
    this.#ticksSinceTry = cameByTransfer ? 0 : Number.POSITIVE_INFINITY
  }

  /** A transfer was begun, unasked or not. */
  tried(): void {
    this.#ticksSinceTry = 0
  }

  /** The transfer did not happen in time. */
  failed(): void {
    this.#ticksSinceTry = 0
    if (this.#failures < DOUBLINGS_MAX) this.#failures++
  }

  /** `ticks` have passed since the last call. @returns whom to hand over to now, or null. */
  next(ticks: number, { peers, isFit, health }: Candidates): Progress | null {
    const { preferredLeader, stableTicks, retryTicks, unwellRetryTicks } = this.#options
    this.#ticksSinceTry += ticks
    let preferred: Progress | null = null
    if (preferredLeader !== null) for (const peer of peers) if (peer.id === preferredLeader) preferred = peer
    if (preferred === null || !isFit(preferred)) this.#fitTicks = 0
    else this.#fitTicks += ticks
    const isUnwell = health !== 0
    const wait = (isUnwell ? unwellRetryTicks : retryTicks) * 2 ** this.#failures
    if (this.#ticksSinceTry < wait && this.#hasHysteresis) return null
    if (isUnwell) return bestOf(peers, isFit)
    return this.#fitTicks > 0 && (this.#fitTicks >= stableTicks || !this.#hasHysteresis) ? preferred : null
  }
}

function bestOf(peers: readonly Progress[], isFit: (peer: Progress) => boolean): Progress | null {
  let best: Progress | null = null
  for (const peer of peers) {
    if (isFit(peer) && (best === null || peer.matchIndex > best.matchIndex)) best = peer
  }
  return best
}

/** Slow storage keeps a member from standing for election: what it would have to persist does not get through. */
export function isSlow(health: number): boolean {
  return (health & StorageHealth.SLOW) !== 0
}
