/**
 * One leadership, from its election to its end: proposals, commit, the majority's attention, changes of the membership. What goes
 * to each follower is of `replication.ts`, handing over of `transfer.ts`.
 *
 * Keeps:
 *   - R3  it commits by counting only entries of its own term, and counts itself only for what is durable here.
 *   - R7  it only appends to its log; the first entry of its term is the no-op, and until that is applied it takes no data.
 *   - R19 a leader whose storage stays slow leads no longer than `slowTicksMax`.
 *   - R16 a read is answered after a heartbeat round that began after it came and that a majority answered.
 *   - R15 one change of the configuration at a time, after an entry of its own term is committed (Ongaro §4.1, erratum of 2015); a
 *     leader that removed itself goes on, uncounted, until that is committed, then hands over and steps down.
 */
import { assert } from '@dledger-ts/base'
import type { Configuration } from '../configuration.ts'
import type { MemberState } from '../member-state.ts'
import type { AppendEntriesResponse, HeartbeatResponse, MemberId, Recover } from '../messages.ts'
import type { ProposalKind, ReadRefusal, Refusal } from '../output.ts'
import { Progress } from '../progress.ts'
import { StorageHealth } from '../storage-health.ts'
import { isSlow } from './handover.ts'
import { highestReachedBy, majorityOf } from '../quorum.ts'
import { ReadRounds } from './read-rounds.ts'
import { Replication } from './replication.ts'
import { Transfer } from './transfer.ts'
import { nextStep, type MembershipChange, type NextStep } from '../membership-change.ts'

/** Election timeouts for which a removed member that is not heard is told of its removal. */
const LEAVING_TIMEOUTS_MAX = 4

/** A follower and the next entry that it needs; nothing of its log is known while it is given files. */
export interface NeededBy {
  readonly id: MemberId
  readonly nextIndex: number
  readonly isGivenFiles: boolean
}

export class Leadership {
  readonly term: number
  readonly #state: MemberState
  /** -1 until the driver has proposed it. */
  #noopIndex = -1
  #ready = false
  readonly #commitIndexAtElection: number
  #peers: Progress[] = []
  /** The configuration's peers for which `#peers` was made. */
  #peerIds: readonly MemberId[] = []
  #memberIds: readonly MemberId[] = []
  #memberIdsOf: readonly Progress[] = []
  #matches = new Float64Array(0)
  readonly #reads: ReadRounds
  #round = 0
  /** The round that the last tick began; others were begun for reads. */
  #tickRound = 0
  /** A majority has answered it, or a later one. */
  #confirmedRound = 0
  /** Begun when this leader was ready and not confirmed yet; 0 for none. And the last such round that was. */
  #testedRound = 0
  #freshRound = 0
  #heartbeatElapsed = 0
  readonly #replication: Replication
  readonly #transfer: Transfer
  /** How long the storage here has been slow without a break. */
  #slowTicks = 0
  /** It is no voter any more, and that is committed: it hands over for good. */
  #leavesForGood = false

  /** @param cameByTransfer the former leader handed over to this member. */
  constructor(state: MemberState, { cameByTransfer }: { readonly cameByTransfer: boolean }) {
    this.#state = state
    this.#replication = new Replication(state)
    this.#transfer = new Transfer(state, { cameByTransfer })
    this.#reads = new ReadRounds(state)
    this.term = state.term
    this.#commitIndexAtElection = state.commitIndex
    this.configurationChanged()
    if (state.faults.has('noop-omitted')) this.#ready = true
  }

  get ready(): boolean {
    return this.#ready
  }

  /** The newest heartbeat round that a majority has answered; 0 for none. */
  get confirmedRound(): number {
    return this.#confirmedRound
  }

  /** As `confirmedRound`, of those begun when this leader was ready: what it had committed then is all that was. */
  get freshRound(): number {
    return this.#freshRound
  }

  get transferTarget(): MemberId | null {
    return this.#transfer.target?.id ?? null
  }

  /** A new array with each change. */
  get memberIds(): readonly MemberId[] {
    if (this.#memberIdsOf !== this.#peers) {
      this.#memberIdsOf = this.#peers
      this.#memberIds = this.#peers.map((peer) => peer.id)
    }
    return this.#memberIds
  }

  get peers(): readonly Progress[] {
    return this.#peers
  }

  /** @returns false when it must step down: a majority was not heard for an election timeout, it is no voter any more, or the storage hangs. */
  tick(): boolean {
    const { options } = this.#state
    for (const peer of this.#peers) {
      peer.ticksSinceHeard++
      if (peer.isPromoted) peer.catchUp(this.#state.log.lastIndex, options.electionTicks)
    }
    this.#dropThoseGone()
    if (!this.#hearsMajority()) return false
    if (this.#isStuck()) return false
    this.#transfer.tick()
    if (this.#isDone()) return false
    if (++this.#heartbeatElapsed >= options.heartbeatTicks) {
      this.#heartbeatElapsed = 0
      this.#beginRound()
      this.#tickRound = this.#round
      this.#transfer.heartbeat(this.#peers, this.#ready)
    }
    return true
  }

  /** A heartbeat round at once. What its ticks judge they judge later: it may be that this is the last round. */
  beat(): void {
    this.#beginRound()
  }

  propose(
    kind: ProposalKind,
    sizes: readonly number[],
    configuration: Configuration | undefined,
  ): { firstIndex: number; term: number } | Refusal {
    const state = this.#state
    const log = state.log
    assert(sizes.length > 0, 'a proposal has entries')
    if (kind === 'noop') {
      assert(this.#noopIndex === -1, 'a leader proposes one no-op')
      assert(sizes.length === 1, 'the no-op is one entry')
    } else {
      if (!this.#ready && !(kind === 'configuration' && state.faults.has('change-before-own-term'))) return 'NOT_READY'
      if (this.#transfer.target !== null) return 'TRANSFERRING'
    }
    if (kind === 'configuration') {
      assert(configuration !== undefined && sizes.length === 1, 'a configuration proposal is one entry')
      if (!this.#mayChange) return 'NOT_READY'
    }
    if (kind === 'data' && (state.storageHealth & StorageHealth.FULL) !== 0) return 'DISK_FULL'
    if (kind === 'data' && this.#isBusy(sizes)) return 'BUSY'
    const firstIndex = log.lastIndex + 1
    state.append(sizes.length, state.term, sizes)
    if (kind === 'noop') this.#noopIndex = firstIndex
    if (configuration !== undefined && kind === 'configuration') {
      state.membership.append(firstIndex, configuration)
      this.configurationChanged()
    }
    if (state.faults.has('ack-before-durable')) this.maybeCommit()
    return { firstIndex, term: state.term }
  }

  /** @param from who asked; null for this member. @returns null when it was taken. */
  readIndex(from: MemberId | null, token: number): Exclude<ReadRefusal, 'NOT_LEADER'> | null {
    if (!this.#ready) return 'NOT_READY'
    return this.#reads.add(from, token) ? null : 'BUSY'
  }

  /** Who waits for an answer of this leadership is told that there will be none. */
  end(): void {
    this.#reads.refuseAll()
  }

  /** @returns whether it became ready by this. */
  applied(): boolean {
    if (this.#ready || this.#noopIndex === -1 || this.#state.appliedIndex < this.#noopIndex) return false
    this.#ready = true
    return true
  }

  appendEntriesResponse(message: AppendEntriesResponse): void {
    const peer = this.#heard(message.from, message.storeId)
    if (peer === null || !this.#isOfThisLife(peer, message)) return
    if (!message.success) return this.#replication.refused(peer, message)
    if (!this.#replication.acknowledged(peer, message)) return
    this.maybeCommit()
    this.#transfer.proceed()
  }

  /** A recovering member asks how much it has to hold. */
  recover(message: Recover): void {
    const state = this.#state
    const peer = this.#heard(message.from, message.storeId)
    if (peer === null || !this.#isOfThisLife(peer, { incarnation: message.incarnation, recovering: true })) return
    state.send({
      type: 'RecoverResponse',
      from: state.self,
      to: peer.id,
      storeId: state.storeId,
      term: state.term,
      incarnation: message.incarnation,
      nonce: message.nonce,
      lastIndex: state.log.lastIndex,
    })
  }

  /**
   * What a recovering member acknowledged in an earlier life may be gone: it is forgotten, and late words of that life with it.
   *
   * @returns false for words of an earlier life.
   */
  #isOfThisLife(peer: Progress, said: { readonly incarnation: number; readonly recovering: boolean }): boolean {
    const keepsMatch = this.#state.faults.has('match-kept-across-recovery')
    if (said.incarnation < peer.incarnation) return keepsMatch
    const countsAgain = peer.recovering && !said.recovering
    if (said.incarnation > peer.incarnation) {
      peer.incarnation = said.incarnation
      peer.recovering = said.recovering
      if (said.recovering && !keepsMatch) peer.forget(this.#state.log.lastIndex + 1)
    } else if (countsAgain) {
      // It stays so for the rest of this life, whatever comes late.
      peer.recovering = false
    }
    // It may have acknowledged before all that is to be committed, and in an idle group nothing follows.
    if (countsAgain) this.maybeCommit()
    return true
  }

  heartbeatResponse(message: HeartbeatResponse): void {
    const peer = this.#heard(message.from, message.storeId)
    if (peer === null || message.round <= peer.answeredRound || message.round > this.#round) return
    peer.answeredRound = message.round
    peer.answeredIncarnation = message.incarnation
    peer.health = message.health
    peer.diskUsage = message.diskUsage
    this.#countAnswers()
    // Rounds begun for reads may follow each other closely: only one answer after each tick tells what gets lost.
    if (peer.pacedRound === this.#tickRound) return
    peer.pacedRound = this.#tickRound
    this.#replication.answered(peer)
  }

  coldRead(from: MemberId, firstIndex: number, count: number, bytes: number): void {
    const peer = this.#find(from)
    if (peer !== null) this.#replication.coldRead(peer, firstIndex, count, bytes)
  }

  connected(id: MemberId): void {
    const peer = this.#find(id)
    if (peer === null) return
    peer.isOther = this.#state.membership.otherStoreOf(id) !== null
    peer.probe(peer.nextIndex, false)
  }

  /**
   * What this leader changes by itself, one step at a time: binds identities that were heard, makes another store that came under
   * the name of a silent member a learner in its place, promotes who has caught up.
   *
   * @returns null when there is nothing to change, or not yet.
   */
  configurationToPropose(): Configuration | null {
    const { membership, options } = this.#state
    if (!this.#mayChange || this.#transfer.target !== null) return null
    const extended = membership.extendedByHeard()
    if (extended !== null) return extended
    for (const peer of this.#peers) {
      const otherStoreId = peer.isOther && peer.leavesAt === -1 ? membership.otherStoreOf(peer.id) : null
      if (otherStoreId !== null && peer.ticksSinceHeard >= options.electionTicks) {
        return membership.replaced(peer.id, otherStoreId)
      }
    }
    for (const peer of this.#peers) {
      // It has its own entry as a learner durably, so it knows under which store it may vote.
      const knowsItself = peer.matchIndex >= membership.index
      const bound = membership.memberOf(peer.id)?.storeId ?? null
      if (!peer.isPromoted || !peer.caughtUp || !knowsItself || bound === null) continue
      if (peer.ticksSinceHeard < options.electionTicks) return membership.promoted(peer.id)
    }
    return null
  }

  /** @returns the next step towards what an operator wants; WAITS also while another change is on its way. */
  nextStep(change: MembershipChange): NextStep {
    const { membership, commitIndex } = this.#state
    const next = nextStep(membership.configuration, change)
    if (next.kind === 'REFUSED') return next
    if (next.kind === 'DONE') return membership.index <= commitIndex ? next : { kind: 'WAITS' }
    if (next.kind === 'WAITS' || !this.#mayChange || this.#transfer.target !== null) return { kind: 'WAITS' }
    if (!this.#wouldHearMajority(next.configuration)) {
      return { kind: 'REFUSED', why: 'no majority of the voters that it leaves is heard' }
    }
    return next
  }

  /** Whether this member was heard within an election timeout. */
  hears(id: MemberId): boolean {
    const peer = this.#find(id)
    return peer !== null && peer.ticksSinceHeard < this.#state.options.electionTicks
  }

  peersToInstall(): readonly MemberId[] {
    return this.#peers.filter((peer) => peer.state === 'INSTALL').map((peer) => peer.id)
  }

  /** What followers who answer still need from here on. */
  neededByFollowers(): readonly NeededBy[] {
    return this.#peers.filter(this.#isHeard).map((peer) => ({
      id: peer.id,
      nextIndex: peer.matchIndex + 1,
      isGivenFiles: peer.state === 'INSTALL',
    }))
  }

  /** How full the fullest disk of those who answer is, 0 to 100, this member's included. */
  fullestDisk(): number {
    return this.#peers
      .filter(this.#isHeard)
      .reduce((most, { diskUsage }) => Math.max(most, diskUsage), this.#state.diskUsage)
  }

  readonly #isHeard = (peer: Progress): boolean => peer.ticksSinceHeard < this.#state.options.electionTicks

  installed(id: MemberId, index: number): void {
    const peer = this.#find(id)
    if (peer !== null) this.#replication.installed(peer, index)
  }

  /** @returns whether it tries to. */
  transfer(target: MemberId | null): boolean {
    return this.#transfer.begin(target, this.#peers)
  }

  /** Nothing gets through to the disk here any more, and so nothing this leader does would outlive it. */
  #isStuck(): boolean {
    const { options, membership, faults, storageHealth } = this.#state
    this.#slowTicks = isSlow(storageHealth) ? this.#slowTicks + 1 : 0
    if (this.#slowTicks < options.handover.slowTicksMax || membership.selfIsLoneVoter) return false
    return !faults.has('hung-leader-keeps-heartbeating')
  }

  /** Commits what a majority has, if it is of this term (Ongaro §3.6.2). This member's own disk may be the last to have it. */
  maybeCommit(): void {
    const { log, membership, faults, term } = this.#state
    let voters = 0
    for (const peer of this.#peers) {
      if (peer.recovering && !faults.has('recovering-counted')) continue
      if (peer.isVoter || faults.has('learner-counted')) this.#matches[voters++] = peer.matchIndex
    }
    if (membership.selfIsVoter || faults.has('removed-leader-counts-itself')) {
      this.#matches[voters++] = faults.has('ack-before-durable') ? log.lastIndex : this.#state.heldIndex
    }
    let needed = majorityOf(membership.voterCount)
    if (faults.has('off-by-one-quorum') && needed > 1) needed--
    if (voters < needed) return
    const index = highestReachedBy(this.#matches, voters, needed)
    if (index <= this.#state.commitIndex) return
    if (log.termAt(index) !== term && !faults.has('commit-old-term-by-counting')) return
    this.#state.commitTo(index)
  }

  /** Adds and removes peers as the newest configuration says. */
  configurationChanged(): void {
    const { membership } = this.#state
    if (membership.peers === this.#peerIds) return
    this.#peerIds = membership.peers
    const before = this.#peers
    this.#peers = this.#peerIds.map((id) => this.#progressOf(id, before))
    for (const peer of before) {
      // Who is gone is told so; another store in its place is another member.
      if (membership.memberOf(peer.id) !== undefined || peer.isOther) continue
      if (peer.leavesAt === -1) peer.leavesAt = membership.index
      peer.isVoter = false
      peer.isPromoted = false
      this.#peers.push(peer)
    }
    this.#matches = new Float64Array(this.#peers.length + 1)
    this.#transfer.peersChanged(this.#peers)
    this.#countAnswers()
  }

  /** Sends each peer what it can take now: once for all that was proposed since. */
  collect(): void {
    // The first append of a leadership carries its no-op.
    if (this.#noopIndex === -1) return
    if (this.#reads.isDue) this.#beginRoundForReads()
    for (const peer of this.#peers) {
      if (peer.isOther) continue
      const sent = this.#replication.send(peer)
      if (!sent && this.#state.options.tellsCommitWhenAsked !== true && this.#owesCommit(peer)) this.#heartbeat(peer)
    }
  }

  /** A follower holds what is committed and has not been told that it is. Hot. */
  get owesCommitNotice(): boolean {
    for (const peer of this.#peers) if (this.#owesCommit(peer)) return true
    return false
  }

  /** Tells those to whom a commit is owed, without a new heartbeat round. */
  tellCommit(): void {
    for (const peer of this.#peers) if (this.#owesCommit(peer)) this.#heartbeat(peer)
  }

  #owesCommit(peer: Progress): boolean {
    return !peer.isOther && Math.min(this.#state.commitIndex, peer.matchIndex) > peer.toldCommit
  }

  checkInvariants(): void {
    const { log, options, membership } = this.#state
    assert(membership.peers === this.#peerIds, 'a leader replicates to the members of its configuration')
    assert(
      this.#noopIndex < log.firstIndex || log.termAt(this.#noopIndex) === this.term,
      'the no-op is of the term of its leader',
    )
    assert(
      this.#noopIndex < log.firstIndex || log.runFirstIndex(this.#noopIndex) === this.#noopIndex,
      'the first entry of a term is its no-op',
    )
    assert(
      !this.#ready || (this.#noopIndex !== -1 && this.#state.appliedIndex >= this.#noopIndex),
      'a ready leader has applied its no-op',
    )
    const { commitIndex } = this.#state
    assert(
      commitIndex === this.#commitIndexAtElection || log.termAt(commitIndex) === this.term,
      'a leader commits by counting only entries of its own term',
    )
    for (const peer of this.#peers) {
      assert(peer.matchIndex < peer.nextIndex, 'what is matched was sent')
      assert(peer.matchIndex <= log.lastIndex, 'what is matched is in the log')
      assert(peer.nextIndex <= log.lastIndex + 1, 'what was sent is in the log')
      assert(
        peer.inflightBytes <= options.inflightBytesMax || peer.inflightCount === 1,
        'bytes under way stay within the window',
      )
    }
  }

  #beginRound(): void {
    this.#round++
    if (this.#ready && this.#testedRound === 0) {
      this.#testedRound = this.#round
      for (const peer of this.#peers) {
        peer.answeredBefore = peer.answeredRound
        peer.incarnationBefore = peer.answeredIncarnation
      }
    }
    for (const peer of this.#peers) this.#heartbeat(peer)
    this.#countAnswers()
  }

  #beginRoundForReads(): void {
    const { membership, faults } = this.#state
    if (membership.selfIsLoneVoter || faults.has('read-without-round')) {
      this.#reads.begun(this.#round)
      this.#reads.confirmed(this.#round)
      return
    }
    this.#reads.begun(this.#round + 1)
    this.#beginRound()
  }

  /** The newest round that a majority of the voters has answered, this member included. */
  #countAnswers(): void {
    const { membership } = this.#state
    let voters = 0
    for (const peer of this.#peers) {
      if (peer.isVoter || this.#state.faults.has('learner-counted')) this.#matches[voters++] = peer.answeredRound
    }
    if (membership.selfIsVoter) this.#matches[voters++] = this.#round
    const needed = majorityOf(membership.voterCount)
    const confirmed = voters < needed ? 0 : highestReachedBy(this.#matches, voters, needed)
    if (confirmed <= this.#confirmedRound) return
    this.#confirmedRound = confirmed
    this.#reads.confirmed(confirmed)
    if (this.#testedRound === 0 || confirmed < this.#testedRound) return
    this.#freshRound = this.#testedRound
    this.#testedRound = 0
    for (const peer of this.#peers) {
      peer.freshRound = peer.answeredBefore
      peer.freshIncarnation = peer.incarnationBefore
    }
  }

  #isBusy(sizes: readonly number[]): boolean {
    const uncommitted = this.#state.log.hot.bytesAbove(this.#state.commitIndex)
    if (uncommitted === 0) return false
    let bytes = uncommitted
    for (const size of sizes) bytes += size
    return bytes > this.#state.options.uncommittedBytesMax
  }

  #hearsMajority(): boolean {
    const { membership } = this.#state
    let heard = membership.selfIsVoter ? 1 : 0
    for (const peer of this.#peers) if (peer.isVoter && this.#isHeard(peer)) heard++
    return heard >= majorityOf(membership.voterCount)
  }

  #find(id: MemberId): Progress | null {
    for (const peer of this.#peers) if (peer.id === id) return peer
    return null
  }

  #heard(id: MemberId, storeId: string): Progress | null {
    const peer = this.#find(id)
    if (peer === null || (peer.storeId !== null && peer.storeId !== storeId)) {
      if (peer === null || !this.#state.faults.has('identity-ignored')) return null
    }
    peer.ticksSinceHeard = 0
    return peer
  }

  /** An entry of this term is committed, and so is the change before. */
  get #mayChange(): boolean {
    const { membership, commitIndex, faults } = this.#state
    const isSettled = this.#ready || (faults.has('change-before-own-term') && this.#noopIndex !== -1)
    return isSettled && (membership.index <= commitIndex || faults.has('second-change-before-commit'))
  }

  #progressOf(id: MemberId, before: readonly Progress[]): Progress {
    const { membership, log, faults } = this.#state
    const storeId = membership.boundStoreOf(id)
    let peer = before.find((each) => each.id === id)
    if (
      peer !== undefined &&
      peer.storeId !== null &&
      peer.storeId !== storeId &&
      !faults.has('replacement-keeps-match')
    ) {
      peer = undefined
    }
    peer ??= new Progress(id, storeId, log.lastIndex + 1)
    peer.storeId = storeId
    peer.isVoter = membership.isVoter(id)
    peer.isPromoted = membership.configuration.learners.some((learner) => learner.id === id && learner.promote)
    peer.isOther = membership.otherStoreOf(id) !== null
    peer.leavesAt = -1
    peer.leaveRound = -1
    return peer
  }

  #wouldHearMajority({ voters }: Configuration): boolean {
    const { self } = this.#state
    const heard = voters.filter((voter) => voter.id === self || this.hears(voter.id)).length
    return heard >= majorityOf(voters.length)
  }

  /** A removed member is kept until it answers after it was told that its removal is committed, or stays silent. */
  #dropThoseGone(): void {
    const silentTicks = LEAVING_TIMEOUTS_MAX * this.#state.options.electionTicks
    let gone = false
    for (const peer of this.#peers) {
      if (peer.leavesAt === -1) continue
      if (peer.leaveRound === -1 && peer.toldCommit >= peer.leavesAt) peer.leaveRound = this.#round
      if ((peer.leaveRound !== -1 && peer.answeredRound > peer.leaveRound) || peer.ticksSinceHeard > silentTicks)
        gone = true
    }
    if (!gone) return
    this.#peers = this.#peers.filter((peer) => {
      if (peer.leavesAt === -1) return true
      const knows = peer.leaveRound !== -1 && peer.answeredRound > peer.leaveRound
      return !knows && peer.ticksSinceHeard <= silentTicks
    })
  }

  /** @returns whether this leader, no voter any more, has handed over or cannot. */
  #isDone(): boolean {
    const { membership, commitIndex } = this.#state
    if (membership.selfIsVoter || membership.index > commitIndex) return false
    if (!this.#leavesForGood) {
      this.#leavesForGood = true
      if (this.#transfer.target === null) this.transfer(null)
    }
    return this.#transfer.target === null
  }

  #heartbeat(peer: Progress): void {
    const state = this.#state
    if (peer.isOther) return
    // Not beyond what it matches: it commits this without comparing anything.
    const commitIndex = Math.min(state.commitIndex, peer.matchIndex)
    if (commitIndex > peer.toldCommit) peer.toldCommit = commitIndex
    state.send({
      type: 'Heartbeat',
      from: state.self,
      to: peer.id,
      storeId: state.storeId,
      term: state.term,
      commitIndex,
      round: this.#round,
      leaderCommit: state.commitIndex,
      freshRound: peer.freshRound,
      freshIncarnation: peer.freshIncarnation,
    })
  }
}
