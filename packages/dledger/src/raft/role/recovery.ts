/**
 * A member that may have lost what it acknowledged before a sync, until it is intact again.
 *
 *   follows a leader ──Recover──► answered: the leader's last index ──► holds everything up to it ──► made durable ──► intact
 *
 * Keeps:
 *   R25 it is intact only when it holds everything up to the last index that the leader it follows, in this very term, named in
 *       answer to a question of this life; or when it was elected itself, for then its log is the newest of all that count.
 *
 * Whatever it acknowledged in an earlier life and was committed with that lies in the leader's log, for a leader is elected by
 * intact members or by all; what it acknowledged to this leader in this term lies below the leader's last index.
 */
import { assert } from '@dledger-ts/base'
import type { MemberState } from '../member-state.ts'
import type { MemberId, RecoverResponse } from '../messages.ts'

export class Recovery {
  readonly #state: MemberState
  #leader: MemberId | null = null
  #term = -1
  /** Of the question to this leader in this term. */
  #nonce = 0
  /** What the leader answered; null while it has not. */
  #target: number | null = null
  /** That answer. */
  #answer: RecoverResponse | null = null
  /** The driver is making durable that it is intact. */
  #ends = false

  constructor(state: MemberState) {
    this.#state = state
  }

  /** The leader of the present term was heard: it is asked at once, and again (`repeats`) until it has answered. */
  heard(leader: MemberId, { repeats }: { readonly repeats: boolean }): void {
    if (!this.#state.recovering || this.#ends) return
    const isKnown = leader === this.#leader && this.#term === this.#state.term
    if (isKnown && (!repeats || this.#target !== null)) return
    if (!isKnown) {
      this.#leader = leader
      this.#term = this.#state.term
      this.#nonce++
      if (!this.#state.faults.has('recovering-by-old-leader')) this.#target = null
    }
    if (this.#target === null) this.#ask(leader)
  }

  #ask(leader: MemberId): void {
    const { self, storeId, term, incarnation } = this.#state
    this.#state.send({ type: 'Recover', from: self, to: leader, storeId, term, incarnation, nonce: this.#nonce })
  }

  /** For the planted fault only: anybody who believes to lead may be asked. */
  askAnybody(peer: MemberId): void {
    if (!this.#state.recovering || !this.#state.faults.has('recovering-by-old-leader')) return
    this.#nonce++
    this.#ask(peer)
  }

  answered(message: RecoverResponse): void {
    const { recovering, faults, term, incarnation } = this.#state
    if (!recovering || this.#ends || this.#target !== null) return
    const isThisQuestion = message.incarnation === incarnation && message.nonce === this.#nonce
    if (!isThisQuestion && !faults.has('recover-answer-without-nonce')) return
    const isOfThisLeader = message.from === this.#leader && message.term === term && this.#term === term
    if (!isOfThisLeader && !faults.has('recovering-by-old-leader')) return
    this.#target = message.lastIndex
    this.#answer = message
  }

  /** Its log equals the leader's up to `heldIndex`. */
  holds(leader: MemberId, heldIndex: number): void {
    if (!this.#state.recovering || this.#ends || this.#target === null || heldIndex < this.#target) return
    const isTheLeader = leader === this.#leader && this.#term === this.#state.term
    if (!isTheLeader && !this.#state.faults.has('recovering-by-old-leader')) return
    const answer = this.#answer
    assert(answer?.term === this.#state.term, 'a member is intact by what the leader of its term answered')
    assert(answer.from === leader, 'a member is intact by what the leader that it follows answered')
    assert(answer.incarnation === this.#state.incarnation, 'a member is intact by an answer to this life of it')
    this.#end()
  }

  /** It was elected, by intact members or by all: as a leader it counts itself, as anything else when that is durable. */
  elected(): void {
    if (this.#state.recovering) this.#end()
  }

  #end(): void {
    if (this.#ends) return
    this.#ends = true
    this.#state.outbox.makeIntact()
  }

  /** What was held is synced, and the hard state says that it is intact. */
  ended(): void {
    this.#state.recovering = false
  }
}
