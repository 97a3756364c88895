/**
 * Who leads: the role of a member, and how it changes. Timers, pre-votes, votes, and the leader that is followed.
 *
 *   FOLLOWER ──timeout──► PRE_CANDIDATE ──majority──► CANDIDATE ──majority──► LEADER
 *       ▲                       │                         │                     │
 *       └───────────────────────┴── a leader, a higher term, no majority heard ─┘
 *
 * What a role does stands in `role/`. Keeps R1 (one vote in a term), R12 and R17 (stickiness and its promise), R19 (who may stand), and
 * that there is a campaign, a leadership or somebody followed exactly where the role says so. Sources: Ongaro §3.4, §4.2.3, §9.6.
 */
import { assert } from '@dledger-ts/base'
import type { MemberState } from './member-state.ts'
import type {
  AppendEntries,
  Heartbeat,
  MemberId,
  Message,
  PreVote,
  PreVoteResponse,
  RequestVote,
  RequestVoteResponse,
  TimeoutNow,
} from './messages.ts'
import type { Role, RoleState } from './output.ts'
import { Campaign } from './role/candidate.ts'
import { Following } from './role/follower.ts'
import { isSlow } from './role/handover.ts'
import { Leadership } from './role/leader.ts'
import type { Recovery } from './role/recovery.ts'

export class Elections {
  readonly #state: MemberState
  readonly #recovery: Recovery
  #role: Role = 'FOLLOWER'
  #leader: MemberId | null = null
  #leadership: Leadership | null = null
  /** Set in the roles PRE_CANDIDATE and CANDIDATE only. */
  #campaign: Campaign | null = null
  #following: Following | null = null
  #electionElapsed = 0
  #electionTimeout = 0
  /** Ticks since the leader was heard: stickiness. */
  #leaderElapsed = 0
  /** This pre-vote began because the connection was lost, so others may begin theirs in the same moment. */
  #campaignIsHasty = false
  #reported: RoleState
  /** Peers say that it was removed: it does not stand until it hears a leader. */
  #isDismissed = false

  constructor(state: MemberState, recovery: Recovery) {
    this.#state = state
    this.#recovery = recovery
    this.#reported = { role: this.#role, term: state.options.hardState.term, leader: null, ready: false }
    this.#restartElectionTimer()
    // Nobody else could lead: nothing to wait for. But under leases whoever led before it was removed may still read by a promise of
    // this member's, which it does not remember.
    if (state.membership.selfIsLoneVoter && state.options.leaseReads !== true) this.#electionTimeout = 1
  }

  get role(): Role {
    return this.#role
  }

  /** Whom this member takes for the leader of its term; itself when it leads. */
  get leader(): MemberId | null {
    return this.#leader
  }

  /** Set in the role LEADER only. */
  get leadership(): Leadership | null {
    return this.#leadership
  }

  /** The leader of this term, once it was heard; kept through a pre-vote, for a term has one leader. */
  get following(): Following | null {
    return this.#following
  }

  /** One tick (`tickMs`) has passed. */
  tick(): void {
    if (this.#leadership !== null) {
      // The majority was not heard for an election timeout.
      if (!this.#leadership.tick()) this.#becomeFollower(null)
      return
    }
    this.#leaderElapsed++
    this.#electionElapsed++
    if (this.#electionElapsed < this.#electionTimeout) return
    this.#restartElectionTimer()
    if (this.#mayCampaign) this.#askForPreVotes({ leaderAgrees: false, isHasty: false })
    else this.#leader = null
  }

  /** Starts a pre-vote now. */
  campaign(): void {
    if (this.#leadership !== null || !this.#mayCampaign) return
    this.#restartElectionTimer()
    this.#askForPreVotes({ leaderAgrees: false, isHasty: false })
  }

  /** A connection to `peer` works: what was sent on an older one may be lost. */
  connected(peer: MemberId): void {
    this.#leadership?.connected(peer)
    if (this.#campaign !== null && this.#state.membership.isVoter(peer) && !this.#campaign.hasGranted(peer)) {
      this.#campaign.ask(peer)
    }
  }

  /** The connection to `peer` was reset or refused. If that is the leader, it may be dead: asks at once. */
  lostConnection(peer: MemberId): void {
    if (this.#role !== 'FOLLOWER' || this.#leader !== peer) return
    // What it was promised, it may be reading by.
    if (this.#state.options.leaseReads === true) return
    this.#leaderElapsed = this.#state.options.electionTicks
    if (!this.#mayCampaign) return
    this.#restartElectionTimer()
    this.#askForPreVotes({ leaderAgrees: false, isHasty: true })
  }

  /** A peer says that this member was removed: it asks for no election until it hears a leader. */
  dismissed(): void {
    if (this.#leadership !== null || this.#hearsLeader()) return
    this.#isDismissed = true
    if (this.#campaign !== null) this.#becomeFollower(null)
  }

  /** Entries were found lost: whoever may not stand any more gives up. */
  reconsider(): void {
    if (this.#campaign !== null && !this.#mayCampaign) this.#becomeFollower(null)
  }

  /** What it promised and was promised under another identity is void. */
  renamed(): void {
    this.#following = null
    this.#becomeFollower(null)
  }

  /** Something that a vote waits for became durable, or the own vote became worth more. */
  countVotes(): void {
    const campaign = this.#campaign
    if (campaign === null || !campaign.isWon) return
    if (campaign.isPreVote) this.#askForVotes(campaign.leaderAgrees)
    else this.#becomeLeader()
  }

  takeRoleIfChanged(): RoleState | null {
    const { term } = this.#state
    const ready = this.#leadership?.ready ?? false
    const last = this.#reported
    if (last.role === this.#role && last.term === term && last.leader === this.#leader && last.ready === ready) {
      return null
    }
    this.#reported = { role: this.#role, term, leader: this.#leader, ready }
    return this.#reported
  }

  checkInvariants(): void {
    const { term, self, votedFor, log } = this.#state
    assert((this.#role === 'LEADER') === (this.#leadership !== null), 'a leader has a leadership')
    assert(
      (this.#role === 'PRE_CANDIDATE' || this.#role === 'CANDIDATE') === (this.#campaign !== null),
      'a candidate has a campaign',
    )
    assert(this.#following === null || this.#following.term === term, 'a leader is followed in its term')
    assert(
      this.#following === null || this.#following.verifiedIndex <= log.lastIndex,
      'what was compared is in the log',
    )
    if (this.#role === 'LEADER') assert(this.#leader === self, 'a leader knows itself')
    if (this.#role === 'CANDIDATE') assert(votedFor === self, 'a candidate votes for itself')
    if (this.#leadership !== null) {
      assert(this.#leadership.term === term, 'a leadership is of one term')
      this.#leadership.checkInvariants()
    }
  }

  // The leader and the term.

  /** Whoever sends appends or heartbeats in our term, or in a higher one, leads it. */
  follow(message: AppendEntries | Heartbeat): Following | null {
    if (message.term > this.#state.term && !this.adoptTerm(message.term)) return null
    assert(this.#leadership === null, 'one leader in a term')
    this.#becomeFollower(message.from)
    this.#leaderElapsed = 0
    this.#electionElapsed = 0
    this.#isDismissed = false
    if (this.#following === null) this.#following = new Following(this.#state, message.from, message.storeId)
    assert(
      this.#following.leader === message.from && this.#following.leaderStoreId === message.storeId,
      'one leader in a term is followed',
    )
    return this.#following
  }

  /** The term comes before anything else: a higher one ends what we are, a lower one is an answer to what we were. */
  isOfThisTerm(message: Message): boolean {
    if (message.term > this.#state.term) this.adoptTerm(message.term)
    else if (message.term === this.#state.term) return true
    else return this.#state.faults.has('stale-response-counted')
    return false
  }

  /** In the present term. */
  #becomeFollower(leader: MemberId | null): void {
    if (this.#role !== 'FOLLOWER') {
      this.#role = 'FOLLOWER'
      this.#leadership?.end()
      this.#leadership = null
      this.#campaign = null
      this.#campaignIsHasty = false
      this.#restartElectionTimer()
    }
    this.#leader = leader
  }

  /** Enters a higher term, as a follower of nobody yet. @returns false if it does not: a planted fault. */
  adoptTerm(term: number): boolean {
    if (this.#leadership !== null && this.#state.faults.has('no-step-down-on-higher-term')) return false
    this.#state.enterTerm(term)
    this.#following = null
    this.#becomeFollower(null)
    return true
  }

  // Asked by others.

  preVote(message: PreVote): void {
    const state = this.#state
    const granted =
      message.term > state.term &&
      (message.leaderAgrees || !this.#hearsLeader()) &&
      state.membership.selfMayGrant &&
      state.isUpToDate(message.lastIndex, message.lastTerm) &&
      !this.#takesPrecedence(message)
    state.send({
      type: 'PreVoteResponse',
      from: state.self,
      to: message.from,
      storeId: state.storeId,
      term: granted ? message.term : state.term,
      granted,
      recovering: state.recovering,
    })
    // Whoever asks hears no leader now, even if it did when we asked it: it may grant ours now.
    if (granted || !state.membership.isVoter(message.from)) return
    if (this.#campaign?.isPreVote === true) this.#campaign.askAgain(message.from)
  }

  /**
   * When the leader's process dies, all lose their connection in the same moment, and would all become candidates of one
   * term and split the vote. Of equal logs the smaller id goes first, once; the next try is at a random time again.
   */
  #takesPrecedence(message: PreVote): boolean {
    const { log, self } = this.#state
    return (
      this.#campaignIsHasty &&
      this.#role === 'PRE_CANDIDATE' &&
      self < message.from &&
      message.lastTerm === log.lastTerm &&
      message.lastIndex === log.lastIndex
    )
  }

  preVoteResponse(message: PreVoteResponse): void {
    if (!message.granted) {
      if (message.term > this.#state.term) this.adoptTerm(message.term)
      return
    }
    if (this.#campaign === null || !this.#campaign.isPreVote || message.term !== this.#campaign.term) return
    this.#campaign.granted(message)
    this.countVotes()
  }

  requestVote(message: RequestVote): void {
    const state = this.#state
    if (message.term > state.term || state.options.leaseReads === true) {
      // Not even the term: a member that was cut off must not unseat a leader that is heard.
      if (this.#hearsLeader() && !message.leaderAgrees) return
      if (message.term > state.term && !this.adoptTerm(message.term)) return
    }
    const hasVote =
      (state.votedFor === message.from && state.votedForStore === message.storeId) ||
      (state.votedFor === null && this.#following === null) ||
      state.faults.has('votes-twice')
    const granted =
      message.term === state.term &&
      hasVote &&
      state.membership.selfMayGrant &&
      state.isUpToDate(message.lastIndex, message.lastTerm)
    if (granted) {
      state.vote(message.from, message.storeId)
      // A late copy from the one that has won by this vote changes nothing.
      if (this.#following === null) this.#becomeFollower(null)
      this.#restartElectionTimer()
    }
    state.send({
      type: 'RequestVoteResponse',
      from: state.self,
      to: message.from,
      storeId: state.storeId,
      term: state.term,
      granted,
      recovering: state.recovering,
    })
  }

  requestVoteResponse(message: RequestVoteResponse): void {
    if (!this.isOfThisTerm(message) || !message.granted) return
    if (this.#campaign === null || this.#campaign.isPreVote) return
    this.#campaign.granted(message)
    this.countVotes()
  }

  timeoutNow(message: TimeoutNow): void {
    if (message.term !== this.#state.term || this.#role !== 'FOLLOWER' || this.#leader !== message.from) return
    if (!this.#mayCampaign) return
    this.#restartElectionTimer()
    this.#askForPreVotes({ leaderAgrees: true, isHasty: false })
  }

  // Standing for election.

  /** A voter that was not told of its removal, whose storage gets anything done; a lone one has no one to leave it to. */
  get #mayCampaign(): boolean {
    const { membership, storageHealth, commitIndex, isTainted, lost } = this.#state
    if (this.#isDismissed || !membership.selfMayCampaign(commitIndex)) return false
    if (isTainted && (!membership.selfIsLoneVoter || lost.configurationIsLost)) return false
    return !isSlow(storageHealth) || membership.selfIsLoneVoter
  }

  #hearsLeader(): boolean {
    if (this.#leadership !== null) return true
    // Under leases the promise outlives the term in which it was given, and a restart: nobody knows whom it was given before.
    if (this.#state.options.leaseReads === true) return this.#leaderElapsed < this.#state.options.electionTicks
    return this.#leader !== null && this.#leaderElapsed < this.#state.options.electionTicks
  }

  #askForPreVotes(kind: { readonly leaderAgrees: boolean; readonly isHasty: boolean }): void {
    this.#role = 'PRE_CANDIDATE'
    this.#leader = null
    this.#campaignIsHasty = kind.isHasty
    this.#campaign = new Campaign(this.#state, { isPreVote: true, leaderAgrees: kind.leaderAgrees })
    this.#campaign.askAll()
    this.countVotes()
  }

  #askForVotes(leaderAgrees: boolean): void {
    this.#state.enterTerm(this.#state.term + 1)
    this.#state.vote(this.#state.self, this.#state.storeId)
    this.#following = null
    this.#role = 'CANDIDATE'
    this.#campaignIsHasty = false
    this.#campaign = new Campaign(this.#state, { isPreVote: false, leaderAgrees })
    this.#restartElectionTimer()
    this.#campaign.askAll()
  }

  #becomeLeader(): void {
    assert(this.#state.votedFor === this.#state.self, 'a leader has its own vote')
    assert(
      !this.#state.isTainted || this.#state.membership.selfIsLoneVoter,
      'a member with lost entries wins no election',
    )
    const cameByTransfer = this.#campaign?.leaderAgrees ?? false
    this.#role = 'LEADER'
    this.#leader = this.#state.self
    this.#campaign = null
    this.#leadership = new Leadership(this.#state, { cameByTransfer })
    this.#recovery.elected()
    // It has promised nothing to anybody but itself, and that ends with its leadership.
    this.#leaderElapsed = this.#state.options.electionTicks
  }

  #restartElectionTimer(): void {
    const { electionTicks, random } = this.#state.options
    this.#electionElapsed = 0
    this.#electionTimeout = electionTicks + random.below(electionTicks + 1)
  }
}
