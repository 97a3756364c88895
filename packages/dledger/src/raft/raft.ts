/**
 * The Raft core of one member: no clock, no randomness of its own, no I/O, no payloads, no promises.
 *
 *   tick, step, propose, persisted, applied, … ──►  Raft  ──►  takeOutput(): hard state, ranges, messages, commit index, role
 *
 * It takes every input to its place: what a member is (`member-state.ts`), who leads (`elections.ts`), what a role does (`role/`).
 * Outputs are handled as `output.ts` says, each completely before the next AppendEntries is stepped.
 *
 * Keeps:
 *   R1  term never decreases; at most one vote in a term, across crashes too.
 *   R2  firstIndex - 1 <= appliedIndex <= commitIndex <= lastIndex, durableIndex <= lastIndex; the first three never decrease.
 *   R3  a leader commits by counting only entries of its own term, and counts itself only for what is durable here.
 *   R4  no message reveals a term or vote that is not durable.
 *   R5  an acknowledgement names only what is durable here and equal to the leader's log, now and not once.
 *   R6  truncation starts above commitIndex, only where an entry of the present leader differs from ours.
 *   R7  a leader only appends; the first entry of its term is its no-op; it is ready only when that is applied.
 *   R8  terms in the log never decrease with the index, and none is above the member's own.
 *   R9  a follower's commitIndex stays within what it has compared with the leader's log.
 *   R10 the newest configuration entry in the log counts; whoever it binds to a store identity is heard under no other.
 *   R11 bytes under way to a peer stay within the window; sizes are kept for the newest entries only.
 *   R24 a recovering member does not count for commit; its vote counts only where all voters grant theirs (role/candidate.ts).
 *   R25 a recovering member becomes intact by what the leader that it follows in this term said in this life (role/recovery.ts).
 *   R12 while a leader is heard, no pre-vote and no vote is granted but at that leader's own wish.
 *   R13 two successive configurations differ by one voter at most.
 *   R14 who is no voter of the configuration is counted nowhere: not a learner, not another store under a voter's name.
 *   R15 one change of the configuration at a time, after an entry of the leader's own term is committed.
 *   R16 a read index is confirmed by a heartbeat round that began after the read came; each read is answered once.
 *   R17 where leases are on, a voter keeps R12 for an election timeout after it last heard any leader, or started: whatever
 *       happens to its term, its connections and its process.
 *   R18 a leader hands over unasked only to a voter that is heard, well and level, and not again and again.
 *   R19 a member whose storage is slow does not stand for election, and does not lead for long.
 *   R20 a peer that needs what was trimmed is sent no entries until it says that it has this log's files.
 *   R21 what is trimmed was applied.
 *   R22, R23 lost entries: lost-entries.ts.
 */
import { assert } from '@dledger-ts/base'
import type { Configuration } from './configuration.ts'
import { Elections } from './elections.ts'
import type { LostEntries } from './lost-entries.ts'
import { MemberState } from './member-state.ts'
import { makesSense } from './message-check.ts'
import type {
  AppendEntries,
  AppendEntriesResponse,
  Heartbeat,
  HeartbeatResponse,
  MemberId,
  Message,
  ReadIndex,
  ReadIndexResponse,
  Recover,
  RecoverResponse,
} from './messages.ts'
import type { LogShape, Output, ProposalKind, RaftOptions, ReadRefusal, Refusal } from './output.ts'
import { NO_FAULTS, type PlantedFault } from './planted-faults.ts'
import type { MembershipChange, NextStep } from './membership-change.ts'
import { Following } from './role/follower.ts'
import { isSlow } from './role/handover.ts'
import { ForwardedReads } from './role/forwarded-reads.ts'
import type { NeededBy } from './role/leader.ts'
import { StorageHealth } from './storage-health.ts'
import { Recovery } from './role/recovery.ts'
import type { RaftStatus } from './status.ts'
import { NOTHING_ACCEPTED, type StepResult } from './step-result.ts'

const SIZES_UNKNOWN: readonly number[] = []
const NOBODY: readonly MemberId[] = []

export class Raft {
  readonly #state: MemberState
  readonly #elections: Elections
  readonly #forwardedReads: ForwardedReads
  readonly #recovery: Recovery
  #ignoredMessages = 0
  #refusedIdentities = 0

  /** @param faults simulation only. */
  constructor(options: RaftOptions, faults: ReadonlySet<PlantedFault> = NO_FAULTS) {
    assert(options.heartbeatTicks > 0, 'a heartbeat is at least a tick')
    assert(options.heartbeatTicks < options.electionTicks, 'heartbeats come faster than elections')
    this.#state = new MemberState(options, faults)
    this.#forwardedReads = new ForwardedReads(this.#state)
    this.#recovery = new Recovery(this.#state)
    this.#elections = new Elections(this.#state, this.#recovery)
  }

  /** One tick (`tickMs`) has passed. */
  tick(): void {
    this.#elections.tick()
  }

  /** A leader tells its followers of itself now, beside what its ticks bring: they came late, and have not been counted yet. */
  beat(): void {
    this.#elections.leadership?.beat()
  }

  /**
   * Takes a message from a peer. What makes no sense, comes from strangers or from a wiped disk is counted and ignored.
   *
   * @param sizes of the entries that an AppendEntries carries, header included; without them these entries count as cold here.
   * @throws AssertionError when the message proves that a safety property is broken: a second leader in our own term, or a
   *   leader that lacks what is committed.
   */
  step(message: Message, sizes: readonly number[] = SIZES_UNKNOWN): StepResult {
    const { membership, faults, self } = this.#state
    if (message.to !== self || message.from === self || !makesSense(message)) return this.#ignore()
    const standing = membership.standingOf(message.from, message.storeId)
    if (standing === 'OTHER_STORE' && !faults.has('identity-ignored')) {
      // Another store may lead, or be elected, by a configuration that is not known here yet.
      if (!this.#mayHaveReplaced(message)) {
        this.#refusedIdentities++
        return NOTHING_ACCEPTED
      }
    }
    if (standing === 'MEMBER') membership.heard(message.from, message.storeId)
    if (standing === 'UNKNOWN' && !this.#mayBeNewer(message)) return this.#ignore()
    switch (message.type) {
      case 'AppendEntries':
        return this.#appendEntries(message, sizes)
      case 'AppendEntriesResponse':
        this.#appendEntriesResponse(message)
        break
      case 'Heartbeat':
        this.#heartbeat(message)
        break
      case 'HeartbeatResponse':
        this.#heartbeatResponse(message)
        break
      case 'PreVote':
        this.#elections.preVote(message)
        break
      case 'PreVoteResponse':
        this.#elections.preVoteResponse(message)
        break
      case 'RequestVote':
        this.#elections.requestVote(message)
        break
      case 'RequestVoteResponse':
        this.#elections.requestVoteResponse(message)
        break
      case 'TimeoutNow':
        this.#elections.timeoutNow(message)
        break
      case 'Recover':
        this.#recover(message)
        break
      case 'RecoverResponse':
        this.#recoverResponse(message)
        break
      case 'ReadIndex':
        this.#readIndex(message)
        break
      case 'ReadIndexResponse':
        this.#readIndexResponse(message)
        break
      case 'RepairRequest':
      case 'RepairResponse':
      case 'InstallOffer':
      case 'InstallPiece':
      case 'InstallAck':
        // The driver's own.
        return this.#ignore()
    }
    return NOTHING_ACCEPTED
  }

  /** As `hears`, for what only a leader says: it may be newer than the configuration known here. */
  hearsAsLeader(message: Message): boolean {
    const { membership, faults, self } = this.#state
    if (message.to !== self || message.from === self || !makesSense(message)) {
      this.#ignoredMessages++
      return false
    }
    if (membership.standingOf(message.from, message.storeId) !== 'OTHER_STORE') return true
    // Whom this member follows in this term leads, by whatever store the log here still knows it: what it gives may be all that helps.
    if (this.#elections.leader === message.from && this.#elections.following?.leaderStoreId === message.storeId)
      return true
    if (faults.has('identity-ignored')) return true
    this.#refusedIdentities++
    return false
  }

  /**
   * Appends entries of the present term to the leader's log.
   *
   * The leader's first proposal is its no-op, made as soon as its role is output. A configuration counts from here on.
   *
   * @param sizes whole sizes, the 48-byte header included.
   */
  propose(
    kind: ProposalKind,
    sizes: readonly number[],
    configuration?: Configuration,
  ): { firstIndex: number; term: number } | Refusal {
    return this.#elections.leadership === null
      ? 'NOT_LEADER'
      : this.#elections.leadership.propose(kind, sizes, configuration)
  }

  /**
   * Asks up to which index reading is linearizable from now on; a follower asks its leader. The answer is among an output's
   * `reads`, unless it gets lost on the way: then `forgetRead` ends the wait.
   *
   * @param token never used before by this member, in any life of its process.
   * @returns null when it was taken, else why not.
   */
  readIndex(token: number): ReadRefusal | null {
    if (this.#elections.leadership !== null) return this.#elections.leadership.readIndex(null, token)
    if (this.#elections.role !== 'FOLLOWER' || this.#elections.leader === null) return 'NOT_LEADER'
    return this.#forwardedReads.ask(this.#elections.leader, token) ? null : 'BUSY'
  }

  /** Nobody waits for the answer any more. Only for reads that a follower has forwarded. */
  forgetRead(token: number): void {
    this.#forwardedReads.forget(token)
  }

  /** The follower's driver has read an appended configuration entry; call it before the next input. */
  configurationAppended(index: number, configuration: Configuration): void {
    const { log, membership, lost } = this.#state
    assert(index <= log.lastIndex, 'an appended configuration is in the log')
    membership.append(index, configuration, lost.configurationIsLost)
    this.#elections.leadership?.configurationChanged()
  }

  /** Everything handed out up to this `persistSeq` is durable. */
  persisted(seq: number): void {
    this.#state.persisted(seq)
    this.#elections.leadership?.maybeCommit()
    this.#elections.following?.acknowledgeDurable()
    this.#noticeHeld()
  }

  get lastIndex(): number {
    return this.#state.log.lastIndex
  }

  /** Entries were found lost, or were filled in: `lost` is what is lost now. */
  entriesLost(lost: LostEntries): void {
    this.#state.lost = lost
    this.#elections.reconsider()
    this.#elections.leadership?.maybeCommit()
    this.#elections.following?.acknowledgeDurable()
    this.#noticeHeld()
  }

  /** The terms of lost entries were not known; they were filled in, and these are the runs of the whole log. */
  termsLearned(runs: LogShape['termRuns']): void {
    this.#state.log.relearn(runs)
  }

  /** A configuration entry that was lost when the log was opened was filled in. */
  configurationRestored(index: number, configuration: Configuration): void {
    this.#state.membership.restore(index, configuration)
    this.#elections.leadership?.configurationChanged()
  }

  /** Is a message that the core has no part in from a member of this group? What is not is counted. */
  hears(message: Message): boolean {
    const { membership, self } = this.#state
    if (message.to !== self || message.from === self || !makesSense(message)) {
      this.#ignore()
      return false
    }
    const standing = membership.standingOf(message.from, message.storeId)
    if (standing === 'OTHER_STORE') this.#refusedIdentities++
    if (standing === 'UNKNOWN') this.#ignore()
    return standing !== 'OTHER_STORE' && standing !== 'UNKNOWN'
  }

  /** The newest hard state handed out is durable: newer ones too, if one was handed out while an older was being written. */
  hardStatePersisted(): void {
    this.#state.hardStatePersisted()
    this.#elections.countVotes()
  }

  /** What `becomesIntact` asked for is done: what is here is synced, and the hard state says that this member is intact. */
  intact(): void {
    this.#recovery.ended()
    this.#elections.following?.acknowledgeIntact()
    this.#elections.countVotes()
  }

  /** Leader: a follower holds what is committed and has not been told that it is. */
  get owesCommitNotice(): boolean {
    return this.#elections.leadership?.owesCommitNotice ?? false
  }

  /** Leader: tells those followers; entries that are sent tell them, too. */
  tellCommit(): void {
    this.#elections.leadership?.tellCommit()
  }

  /** Entries up to `index` are applied. */
  applied(index: number): void {
    this.#state.applied(index)
    this.#elections.leadership?.applied()
  }

  /** The log's files start with this entry now: everything below was applied and is gone. */
  trimmed(firstIndex: number): void {
    this.#state.trimmed(firstIndex)
  }

  /** Up to which entry a member is known to have this leader's log, durably; null where it is not known, or this is no leader. */
  matchIndexOf(id: MemberId): number | null {
    const peer = this.#elections.leadership?.peers.find((one) => one.id === id)
    return peer === undefined || peer.matchIndex < 0 ? null : peer.matchIndex
  }

  /** What every member of a leader's configuration is known to have durably, none of it lost again; -1 for others than leaders. */
  matchedByAll(): number {
    if (this.#elections.leadership === null) return -1
    let index = this.#state.log.durableIndex
    for (const peer of this.#elections.leadership.peers) {
      // What it has lost it asks for.
      if (peer.health > 0 && (peer.health & StorageHealth.TAINTED) !== 0) return -1
      index = Math.min(index, peer.matchIndex)
    }
    return index
  }

  /** A member of a leader's configuration says that entries of its log are damaged. */
  someoneHasLost(): boolean {
    const peers = this.#elections.leadership?.peers ?? []
    return peers.some((peer) => peer.health > 0 && (peer.health & StorageHealth.TAINTED) !== 0)
  }

  /** Followers that need entries from before the start of this leader's log. */
  peersToInstall(): readonly MemberId[] {
    return this.#elections.leadership?.peersToInstall() ?? NOBODY
  }

  /** The follower's log is known to equal this leader's up to `index`, unless that is beyond its end: asks whether it does. */
  installed(peer: MemberId, index: number): void {
    this.#elections.leadership?.installed(peer, index)
  }

  /**
   * Entries that a `ColdRead` asked for are in the driver's hands; the append that carries them is in the next output.
   *
   * @param count 0 when they could not be read.
   */
  coldRead(peer: MemberId, firstIndex: number, count: number, bytes: number): void {
    this.#elections.leadership?.coldRead(peer, firstIndex, count, bytes)
  }

  /** A connection to `peer` works: what was sent on an older one may be lost. */
  peerConnected(peer: MemberId, storeId: string): void {
    this.#state.membership.connected(peer, storeId)
    if (this.#elections.following?.leader === peer) this.#recovery.heard(peer, { repeats: true })
    this.#recovery.askAnybody(peer)
    this.#elections.connected(peer)
  }

  /** This member's own connection to `peer` was reset or refused. If that is the leader, it may be dead: asks at once. */
  peerLost(peer: MemberId): void {
    this.#state.membership.lost(peer)
    this.#elections.lostConnection(peer)
  }

  /**
   * Hands the leadership to `target`, or to the follower that matches best. Proposals are refused with TRANSFERRING until it
   * took over, or for one election timeout; the driver keeps them meanwhile. The target asks for pre-votes first, so a try
   * that cannot succeed changes nothing.
   *
   * @returns false if this is no leader, already handing over, or there is nobody to hand over to.
   */
  transferLeadership(target: MemberId | null): boolean {
    return this.#elections.leadership !== null && this.#elections.leadership.transfer(target)
  }

  /** This leader is handing over: nothing is proposed until that is over. */
  get isTransferring(): boolean {
    return this.#elections.leadership !== null && this.#elections.leadership.transferTarget !== null
  }

  /** What the driver sees of the storage here, whenever it changes: bits of `StorageHealth`, 0 for nothing wrong. */
  storageHealth(bits: number): void {
    this.#state.storageHealth = bits
  }

  /** How full the driver sees the disk here, 0 to 100. */
  diskUsage(percent: number): void {
    this.#state.diskUsage = percent
  }

  /** As a leader sees it: how full the fullest disk of those who answer is, 0 to 100. */
  fullestDisk(): number {
    return this.#elections.leadership?.fullestDisk() ?? this.#state.diskUsage
  }

  /** As a leader sees it: from where on followers who answer still need the log. */
  neededByFollowers(): readonly NeededBy[] {
    return this.#elections.leadership?.neededByFollowers() ?? []
  }

  /** Starts a pre-vote now. For tests and scenarios. */
  campaign(): void {
    this.#elections.campaign()
  }

  /** @returns what is to be done, once; null when there is nothing. */
  takeOutput(): Output | null {
    this.#elections.leadership?.collect()
    this.#forwardedReads.follow(this.#elections.role === 'FOLLOWER' ? this.#elections.leader : null)
    return this.#state.takeOutput(this.#elections.takeRoleIfChanged())
  }

  status(): RaftStatus {
    const { log, membership } = this.#state
    return {
      self: this.#state.self,
      role: this.#elections.role,
      term: this.#state.term,
      votedFor: this.#state.votedFor,
      leader: this.#elections.leader,
      ready: this.#elections.leadership?.ready ?? false,
      recovering: this.#state.recovering,
      firstIndex: log.firstIndex,
      lastIndex: log.lastIndex,
      lastTerm: log.lastTerm,
      durableIndex: log.durableIndex,
      commitIndex: this.#state.commitIndex,
      appliedIndex: this.#state.appliedIndex,
      hotFirstIndex: log.hot.firstIndex,
      hotBytes: log.hot.bytes,
      configurationIndex: membership.index,
      transferTarget: this.#elections.leadership?.transferTarget ?? null,
      storageHealth: this.#state.storageHealth,
      ignoredMessages: this.#ignoredMessages,
      refusedIdentities: this.#refusedIdentities,
      peers: (this.#elections.leadership?.peers ?? []).map((peer) => ({
        id: peer.id,
        isVoter: peer.isVoter,
        isLeaving: peer.leavesAt !== -1,
        state: peer.state,
        matchIndex: peer.matchIndex,
        nextIndex: peer.nextIndex,
        inflightBytes: peer.inflightBytes,
        ticksSinceHeard: peer.ticksSinceHeard,
        health: peer.health,
        recovering: peer.recovering,
      })),
    }
  }

  /** It may lack what it acknowledged in an earlier life. */
  get isRecovering(): boolean {
    return this.#state.recovering
  }

  get storageIsSlow(): boolean {
    return isSlow(this.#state.storageHealth)
  }

  /** Follower: the entry at which the leader's log differs, where the one before is lost and so nothing is cut; infinite for none. */
  get blockedFrom(): number {
    return this.#elections.following?.blockedFrom ?? Number.POSITIVE_INFINITY
  }

  /** Leader: the newest heartbeat round that a majority has answered; 0 for none. */
  get confirmedRound(): number {
    return this.#elections.leadership?.confirmedRound ?? 0
  }

  /**
   * Whoever has applied `freshCommit` sees everything that was committed when this member sent this heartbeat round, as a leader,
   * or its answer to it, as a follower. 0 while nothing is known. Both are of the present term.
   */
  get freshRound(): number {
    return this.#elections.leadership?.freshRound ?? this.#elections.following?.freshRound ?? 0
  }

  get freshCommit(): number {
    return this.#elections.leadership === null
      ? (this.#elections.following?.freshCommit ?? -1)
      : this.#state.commitIndex
  }

  /** Nobody else has a vote in the newest configuration, and this member has. */
  get isLoneVoter(): boolean {
    return this.#state.membership.selfIsLoneVoter
  }

  /** The newest configuration in the log, or the bootstrap one. */
  configuration(): Configuration {
    return this.#state.membership.configuration
  }

  /** @returns for a ready leader: its configuration with the identities it has heard bound; null if there is nothing to bind now. */
  configurationToPropose(): Configuration | null {
    return this.#elections.leadership?.configurationToPropose() ?? null
  }

  /** @returns the next step towards a change of the membership; null when this member does not lead. */
  nextStep(change: MembershipChange): NextStep | null {
    return this.#elections.leadership?.nextStep(change) ?? null
  }

  /**
   * Whom this member talks to: those of its configuration; a leader also those removed that do not know yet. A new array with each
   * change.
   */
  get peers(): readonly MemberId[] {
    return this.#elections.leadership?.memberIds ?? this.#state.membership.peers
  }

  /**
   * Where this member's log ends, if it takes itself for one of its group's, or leads it or may be needed yet to lead it: whoever is
   * behind that must hear it, though its own log may not name it.
   */
  standsAt(): { readonly lastTerm: number; readonly lastIndex: number } | null {
    const { membership, commitIndex, log } = this.#state
    const stands =
      this.#elections.leadership !== null || membership.selfIsNamed || membership.selfMayCampaign(commitIndex)
    return stands && log.lastIndex >= 0 ? { lastTerm: log.lastTerm, lastIndex: log.lastIndex } : null
  }

  /**
   * Whether a log that ends thus goes beyond what is known to be committed here. If so it holds all that is committed here
   * (Ongaro §3.6.3), and its configuration is none that a committed one here has replaced.
   */
  isBehind(lastTerm: number, lastIndex: number): boolean {
    const { log, commitIndex } = this.#state
    if (commitIndex < 0) return true
    const term = log.termAt(commitIndex)
    return lastTerm > term || (lastTerm === term && lastIndex > commitIndex)
  }

  /** The stores that the newest configuration binds. */
  boundStores(): readonly string[] {
    return this.#state.membership.boundStores()
  }

  /** The newest configuration's entry; -1 while the bootstrap configuration counts. */
  get configurationIndex(): number {
    return this.#state.membership.index
  }

  /** The configuration in force names this member by its store. */
  get isBound(): boolean {
    return this.#state.membership.selfIsBound
  }

  /** Whether the configuration in force names `id`. */
  isNamed(id: MemberId): boolean {
    return this.#state.membership.memberOf(id) !== undefined
  }

  /** Whether an earlier configuration of the log names `id`. */
  wasNamed(id: MemberId): boolean {
    return this.#state.membership.wasNamed(id)
  }

  /** The store that counts as `id`; null: none yet, or no member. */
  boundStoreOf(id: MemberId): string | null {
    return this.#state.membership.boundStoreOf(id)
  }

  /** A leader: whether the store that counts as `id` was heard within an election timeout. Null for others, who cannot say. */
  hearsStoreOf(id: MemberId): boolean | null {
    return this.#elections.leadership?.hears(id) ?? null
  }

  /** A peer says that the configuration at `index` does not name this member: no election is asked for until a leader is heard. */
  dismissed(index: number): void {
    if (index > this.#state.membership.index) this.#elections.dismissed()
  }

  /**
   * This store goes on as another member, after an old image of it was recognised: the log stays, what was promised under the
   * old identity is void, and it waits until a configuration names it. Outputs of before name the old identity: drop their messages.
   */
  renamed(storeId: string): void {
    this.#state.storeId = storeId
    this.#state.membership.renamed(storeId)
    this.#elections.renamed()
  }

  /** The newest configuration entry up to `index`; null while the bootstrap configuration counts there. */
  configurationUpTo(index: number): { readonly index: number; readonly configuration: Configuration } | null {
    return this.#state.membership.newestUpTo(index)
  }

  /** @returns -1 where the log does not know. */
  termAt(index: number): number {
    return this.#state.log.termAt(index)
  }

  /** First entry whose size is kept here: appends above are sent without a cold read, so the driver keeps the bytes from here on. */
  get hotFirstIndex(): number {
    return this.#state.log.hot.firstIndex
  }

  /** What is too dear to assert at each step. */
  checkInvariants(): void {
    const { log, term, appliedIndex, commitIndex, options, membership } = this.#state
    log.checkInvariants()
    assert(log.lastTerm <= term, 'no entry is of a term above the own')
    assert(log.firstIndex - 1 <= appliedIndex, 'what was trimmed was applied')
    assert(appliedIndex <= commitIndex, 'only what is committed is applied')
    assert(commitIndex <= log.lastIndex, 'what is committed is in the log')
    assert(membership.index <= log.lastIndex, 'the configuration in force is in the log')
    assert(
      log.hot.bytes <= options.hotBytesMax || log.hot.firstIndex > Math.min(log.durableIndex, commitIndex),
      'what is durable and committed is kept hot only within the limit',
    )
    this.#elections.checkInvariants()
  }

  // Entries and heartbeats of a leader.

  #appendEntries(message: AppendEntries, sizes: readonly number[]): StepResult {
    const state = this.#state
    if (message.term < state.term) {
      if (
        state.faults.has('old-term-append-accepted') &&
        this.#elections.leadership === null &&
        !state.outbox.changesLog
      ) {
        return new Following(state, message.from, message.storeId).append(message, sizes)
      }
      // So that a leader that was deposed while it was cut off learns of it.
      state.send({
        type: 'AppendEntriesResponse',
        from: state.self,
        to: message.from,
        storeId: state.storeId,
        term: state.term,
        success: false,
        matchIndex: -1,
        prevIndex: message.prevIndex,
        lastIndex: state.log.lastIndex,
        conflictTerm: 0,
        conflictFirstIndex: 0,
        incarnation: state.incarnation,
        recovering: state.recovering,
      })
      return NOTHING_ACCEPTED
    }
    const following = this.#elections.follow(message)
    if (following === null) return NOTHING_ACCEPTED
    assert(!state.outbox.changesLog, 'the output is taken before the next AppendEntries')
    // Which of the entries here are the leader's cannot be told: they are filled in first.
    if (state.lost.termsUnknown) return NOTHING_ACCEPTED
    this.#recovery.heard(message.from, { repeats: false })
    const result = following.append(message, sizes)
    this.#noticeHeld()
    return result
  }

  #heartbeat(message: Heartbeat): void {
    const state = this.#state
    if (message.term < state.term) {
      state.send({
        type: 'HeartbeatResponse',
        from: state.self,
        to: message.from,
        storeId: state.storeId,
        term: state.term,
        round: message.round,
        incarnation: state.incarnation,
        health: state.storageHealth,
        diskUsage: state.diskUsage,
      })
      return
    }
    const following = this.#elections.follow(message)
    if (following === null) return
    following.heartbeat(message)
    this.#recovery.heard(message.from, { repeats: true })
  }

  // Answers to a leader.

  #appendEntriesResponse(message: AppendEntriesResponse): void {
    if (this.#elections.isOfThisTerm(message)) this.#elections.leadership?.appendEntriesResponse(message)
  }

  #heartbeatResponse(message: HeartbeatResponse): void {
    if (this.#elections.isOfThisTerm(message)) this.#elections.leadership?.heartbeatResponse(message)
  }

  // Recovering members.

  #recover(message: Recover): void {
    if (!this.#elections.isOfThisTerm(message) && !this.#state.faults.has('recovering-by-old-leader')) return
    this.#elections.leadership?.recover(message)
  }

  #recoverResponse(message: RecoverResponse): void {
    if (message.term > this.#state.term) this.#elections.adoptTerm(message.term)
    this.#recovery.answered(message)
    this.#noticeHeld()
  }

  /** More of the leader's log may be held here than before. */
  #noticeHeld(): void {
    if (!this.#state.recovering) return
    if (this.#elections.following !== null)
      this.#recovery.holds(this.#elections.following.leader, this.#elections.following.heldIndex)
    else if (this.#state.faults.has('recovering-by-old-leader')) this.#recovery.holds('', this.#state.log.durableIndex)
  }

  // Reads.

  #readIndex(message: ReadIndex): void {
    const state = this.#state
    if (
      this.#elections.leadership !== null &&
      this.#elections.leadership.readIndex(message.from, message.token) === null
    )
      return
    state.send({
      type: 'ReadIndexResponse',
      from: state.self,
      to: message.from,
      storeId: state.storeId,
      term: state.term,
      token: message.token,
      index: -1,
    })
  }

  #readIndexResponse(message: ReadIndexResponse): void {
    this.#forwardedReads.answered(message)
    if (message.term > this.#state.term) this.#elections.adoptTerm(message.term)
  }

  /**
   * Of one whose store is not the one that counts here. As a candidate only where an entry binds the other one: its log has to go as
   * far as this one to get a vote, and so holds that entry, if it is committed, and another after it.
   */
  #mayHaveReplaced({ type, from }: Message): boolean {
    if (type === 'AppendEntries' || type === 'Heartbeat') return true
    if (type !== 'PreVote' && type !== 'RequestVote') return false
    return (this.#state.membership.memberOf(from)?.storeId ?? null) !== null
  }

  /** A leader, a candidate or a member on its way out may be known only by a configuration that is not known here. */
  #mayBeNewer({ type, from }: Message): boolean {
    // A leader that removed itself hands over.
    if (from === this.#elections.leader) return true
    switch (type) {
      case 'AppendEntries':
      case 'Heartbeat':
      case 'PreVote':
      case 'RequestVote':
        return true
      case 'AppendEntriesResponse':
      case 'HeartbeatResponse':
        return this.#elections.leadership !== null
      default:
        return false
    }
  }

  #ignore(): StepResult {
    this.#ignoredMessages++
    return NOTHING_ACCEPTED
  }
}
