/**
 * A leader hands over: to whom, until when, and what it says to them. When it does so unasked, `handover.ts` decides.
 *
 *   target chosen ──► proposals wait ──► target level ──► TimeoutNow, once a heartbeat ──► it leads, or an election timeout is over
 *
 * Keeps: one transfer at a time, to a voter; nobody is asked to take over whose log is not level, and none is waited for longer
 * than an election timeout.
 */
import type { MemberState } from '../member-state.ts'
import type { MemberId } from '../messages.ts'
import type { Progress } from '../progress.ts'
import { StorageHealth } from '../storage-health.ts'
import { Handover } from './handover.ts'

export class Transfer {
  readonly #state: MemberState
  readonly #handover: Handover
  #target: Progress | null = null
  #elapsed = 0
  #timeoutNowSent = false

  /** @param cameByTransfer the former leader handed over to this member. */
  constructor(state: MemberState, { cameByTransfer }: { readonly cameByTransfer: boolean }) {
    this.#state = state
    this.#handover = new Handover(state.options.handover, {
      cameByTransfer,
      hasHysteresis: !state.faults.has('preferred-without-hysteresis'),
    })
  }

  /** Whom the leadership is on its way to. */
  get target(): Progress | null {
    return this.#target
  }

  /** To this member, or the best one for null. @returns whether it tries to. */
  begin(target: MemberId | null, peers: readonly Progress[]): boolean {
    if (this.#target !== null) return false
    const peer = target === null ? this.#bestMatched(peers) : (peers.find(({ id }) => id === target) ?? null)
    if (peer === null || !peer.isVoter) return false
    this.#transferTo(peer)
    return true
  }

  tick(): void {
    if (this.#target === null || ++this.#elapsed < this.#state.options.electionTicks) return
    this.#target = null
    this.#handover.failed()
  }

  /** Once a heartbeat: what was said may have been lost; and it may be time to hand over unasked. */
  heartbeat(peers: readonly Progress[], isReady: boolean): void {
    this.#timeoutNowSent = false
    this.proceed()
    this.#handOverUnasked(peers, isReady)
  }

  /** Tells the target to stand as soon as it is level. */
  proceed(): void {
    const state = this.#state
    const peer = this.#target
    if (peer === null || this.#timeoutNowSent || peer.matchIndex !== state.log.lastIndex) return
    this.#timeoutNowSent = true
    state.send({ type: 'TimeoutNow', from: state.self, to: peer.id, storeId: state.storeId, term: state.term })
  }

  /** Who is no voter any more is not handed to. */
  peersChanged(peers: readonly Progress[]): void {
    if (this.#target !== null && !(peers.includes(this.#target) && this.#target.isVoter)) this.#target = null
  }

  #transferTo(peer: Progress): void {
    this.#target = peer
    this.#elapsed = 0
    this.#timeoutNowSent = false
    this.#handover.tried()
    this.proceed()
  }

  #handOverUnasked(peers: readonly Progress[], isReady: boolean): void {
    const { options, faults, storageHealth } = this.#state
    // What is lost here, or is much, may be what it would have to apply before it is ready.
    const staysUnready = this.#state.isTainted || (storageHealth & StorageHealth.BEHIND) !== 0
    if (this.#target !== null || !(isReady || staysUnready)) return
    const health = faults.has('hung-leader-keeps-heartbeating') ? 0 : storageHealth
    const target = this.#handover.next(options.heartbeatTicks, { peers, isFit: this.#isFit, health })
    if (target !== null) this.#transferTo(target)
  }

  /** A voter that could lead: heard lately, its storage well, and what it lacks is under way to it. */
  readonly #isFit = (peer: Progress): boolean => {
    const { options, log, membership } = this.#state
    return (
      peer.health === 0 &&
      !peer.recovering &&
      membership.isVoter(peer.id) &&
      peer.ticksSinceHeard <= 2 * options.heartbeatTicks &&
      peer.ticksSinceHeard < options.electionTicks &&
      peer.state === 'REPLICATE' &&
      peer.matchIndex >= log.hot.firstIndex - 1 &&
      log.hot.bytesAbove(peer.matchIndex) <= options.inflightBytesMax
    )
  }

  /** Storage that is well goes before a longer log: what is slow cannot take part in an election. */
  #bestMatched(peers: readonly Progress[]): Progress | null {
    let best: Progress | null = null
    for (const peer of peers) {
      if (!peer.isVoter || peer.ticksSinceHeard >= this.#state.options.electionTicks) continue
      const isWell = peer.health <= 0 && !peer.recovering
      const bestIsWell = best !== null && best.health <= 0 && !best.recovering
      if (best === null || (isWell && !bestIsWell) || (isWell === bestIsWell && peer.matchIndex > best.matchIndex)) {
        best = peer
      }
    }
    return best
  }
}
