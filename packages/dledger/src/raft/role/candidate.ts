/**
 * The votes of one campaign: a pre-vote, or the election in the term that it opened.
 *
 * Keeps: each voter counts once, this member only when its own vote is durable.
 *   R24 a majority counts of intact votes only; those of recovering members count where all voters grant theirs.
 */
import type { MemberState } from '../member-state.ts'
import type { MemberId, PreVoteResponse, RequestVoteResponse } from '../messages.ts'
import { majorityOf } from '../quorum.ts'

export class Campaign {
  /** The term asked for. */
  readonly term: number
  readonly isPreVote: boolean
  /** The present leader asked for it: stickiness does not apply. */
  readonly leaderAgrees: boolean
  readonly #state: MemberState
  readonly #granted = new Set<MemberId>()
  /** Those among them that are not recovering. */
  readonly #intact = new Set<MemberId>()
  readonly #askedAgain = new Set<MemberId>()

  constructor(state: MemberState, kind: { readonly isPreVote: boolean; readonly leaderAgrees: boolean }) {
    this.#state = state
    this.isPreVote = kind.isPreVote
    this.leaderAgrees = kind.leaderAgrees
    this.term = kind.isPreVote ? state.term + 1 : state.term
  }

  granted({ from, recovering }: PreVoteResponse | RequestVoteResponse): void {
    this.#granted.add(from)
    if (!recovering || this.#state.faults.has('recovering-votes')) this.#intact.add(from)
  }

  hasGranted(voter: MemberId): boolean {
    return this.#granted.has(voter)
  }

  /**
   * Counted over the voters of the configuration that is in force now. A majority of intact members has a member that holds
   * what is committed, and so have all voters together; a majority of others may have lost it.
   */
  get isWon(): boolean {
    const { membership, hardStateIsDurable, recovering, faults } = this.#state
    let votes = membership.selfIsVoter && (this.isPreVote || hardStateIsDurable) ? 1 : 0
    let intactVotes = recovering && !faults.has('recovering-votes') ? 0 : votes
    for (const peer of membership.voterPeers) {
      if (this.#granted.has(peer)) votes++
      if (this.#intact.has(peer)) intactVotes++
    }
    if (faults.has('learner-counted')) {
      for (const peer of membership.peers) if (!membership.isVoter(peer) && this.#granted.has(peer)) intactVotes++
    }
    return intactVotes >= majorityOf(membership.voterCount) || votes === membership.voterCount
  }

  askAll(): void {
    const { membership, faults } = this.#state
    for (const peer of faults.has('learner-counted') ? membership.peers : membership.voterPeers) this.ask(peer)
  }

  /**
   * Asks once more, whom this has not been done with: two that ask whenever they are asked, and whose refusals are not heard because
   * they do not count each other's stores, would do so for ever.
   */
  askAgain(peer: MemberId): void {
    if (this.#granted.has(peer) || this.#askedAgain.has(peer)) return
    this.#askedAgain.add(peer)
    this.ask(peer)
  }

  ask(peer: MemberId): void {
    const state = this.#state
    state.send({
      type: this.isPreVote ? 'PreVote' : 'RequestVote',
      from: state.self,
      to: peer,
      storeId: state.storeId,
      term: this.term,
      lastIndex: state.log.lastIndex,
      lastTerm: state.log.lastTerm,
      leaderAgrees: this.leaderAgrees,
    })
  }
}
