/**
 * The driver of one member: one core, one log, one transport.
 *
 *   messages, proposals, disk completions, ticks ──► LogNode ──► Raft ──► output ──► log, peers, state machine
 *
 * One pass of the event loop is one batch: what arrived in it is proposed together, written together, sent to each follower
 * in one frame and answered together. No promises here; the disk, the network, time and randomness are injected, so that a
 * simulation can own them.
 *
 * Keeps:
 *   D1  Nothing that depends on the term, the vote or the log leaves before that is durable (raft/output.ts says what does).
 *   D2  Entries reach the state machine in log order, once, and only when committed.
 *   D3  A proposal is told its outcome exactly once: applied, refused, or unknown.
 *   D4  After a failed write or sync, or a broken invariant, the member says so and takes no further part.
 */
import { assert } from '@dledger-ts/base'
import { checkNames, checkSettings, invalid } from '../config.ts'
import { DLedgerError } from '../errors.ts'
import type { LostRange } from '../log/lost-ranges.ts'
import type { MembershipChange } from '../raft/membership-change.ts'
import type { MemberId } from '../raft/messages.ts'
import type { RoleState } from '../raft/output.ts'
import type { Raft } from '../raft/raft.ts'
import { StorageHealth } from '../raft/storage-health.ts'
import type { CommittedEntry, Proposal } from '../state-machine.ts'
import type { BackedUp } from './backup.ts'
import { type BackupRequest, Backups } from './backups.ts'
import { takeClassicRole } from './classic-role.ts'
import { CatchUpBudget } from './catch-up-budget.ts'
import { ChangeWatch } from './change-watch.ts'
import { abandonStart, Closing } from './closing.ts'
import { committedEntries } from './committed-entries.ts'
import type { TransferCallback } from './handing-over.ts'
import { HardStateRoom } from './hard-state-room.ts'
import { HotTail } from './hot-tail.ts'
import { Inputs } from './inputs.ts'
import { closed, Life } from './life.ts'
import { LogReading, type ReadCallback } from './log-reading.ts'
import type { ChangeCallback, Followed } from './members.ts'
import type { LogNodeOptions } from './node-options.ts'
import type { NodeStatus } from './node-status.ts'
import { type OpenedMember, openMember } from './open-member.ts'
import { PendingProposals } from './pending-proposals.ts'
import type { PlantedDriverFault } from './planted-driver-faults.ts'
import type { ReadRequest } from './reading.ts'
import { buildRooms, makeMembers, type Rooms, type Wiring } from './rooms.ts'
import { type StartingPoint, startingPoint } from './starting.ts'
import { type StorageState, StorageWatch } from './storage-watch.ts'
import { Switching } from './switching.ts'
import { WakeUps } from './wake-ups.ts'

const NO_FAULTS: ReadonlySet<PlantedDriverFault> = new Set()

export class LogNode {
  readonly #options: LogNodeOptions
  readonly #life: Life
  readonly #wakeUps: WakeUps
  readonly #hot: HotTail
  readonly #watch: StorageWatch
  readonly #hardStateRoom: HardStateRoom
  readonly #budget: CatchUpBudget
  readonly #pending = new PendingProposals()
  readonly #changes = new ChangeWatch()
  readonly #logReading: LogReading
  readonly #backups: Backups
  #member!: OpenedMember
  #switching!: Switching
  #closing!: Closing
  #inputs!: Inputs
  /** What rests on the log in force. */
  #rooms!: Rooms
  #role: RoleState = { role: 'FOLLOWER', term: 0, leader: null, ready: false }
  /** A tick has passed, or the leadership has changed: the membership may have a next step. */
  #membersDue = false
  #passScheduled = false
  #storageFailed = false
  /** What the core knows of the storage here. */
  #health = 0

  constructor(options: LogNodeOptions) {
    const { clock, settings, logger, disk, controlEnvelope, ticker } = options
    this.#options = options
    this.#life = new Life({ onFailed: (error) => this.#fail(error), schedulePass: () => this.#schedulePass() })
    const wake = (ticks: number, nowMs: number): void => this.#tick(ticks, nowMs)
    this.#wakeUps = new WakeUps({ clock, settings, ticker, wake, overdue: () => this.#overdue() })
    this.#hot = new HotTail(settings.hotBytesMax)
    this.#watch = new StorageWatch(disk, clock, options)
    this.#hardStateRoom = new HardStateRoom(() => this.#member, logger)
    this.#budget = new CatchUpBudget(settings.catchUpBytesPerSecond, settings.heartbeatMs)
    this.#logReading = new LogReading({
      clock,
      life: this.#life,
      hot: this.#hot,
      log: () => this.#member.log,
      isSwitching: () => this.#switching.isUnderWay,
      onFailed: (error) => this.#fail(error),
    })
    this.#backups = new Backups({
      clock,
      logger,
      disk,
      settings,
      controlEnvelope,
      budget: this.#budget,
      life: this.#life,
      isSwitching: () => this.#switching.isUnderWay,
    })
  }

  /** Opens the directory (synchronously, recovering it), then joins the group. @throws nothing: `callback` gets the error. */
  start(callback: (error: Error | null) => void): void {
    const { settings, group, self, bootstrapVoters, joins = false } = this.#options
    assert(this.#life.state === 'new', 'a member is started once')
    try {
      checkSettings(settings)
      checkNames(group, self, bootstrapVoters, joins)
      this.#member = openMember(this.#options, this.#watch.disk)
      this.#watch.reserve.opened()
    } catch (error) {
      callback(error as Error)
      return
    }
    // After a plain process kill the kept bytes may be in the page cache only: nothing counts before they are synced.
    this.#member.log.sync((error) => {
      if (error !== null) return this.#abandonStart(error, callback)
      takeClassicRole(this.#options, this.#member, (refused) => {
        if (refused !== null) return this.#abandonStart(refused, callback)
        try {
          this.#assemble()
          this.#join(callback)
        } catch (failure) {
          this.#abandonStart(failure as Error, callback)
        }
      })
    })
  }

  #abandonStart(error: Error, callback: (error: Error) => void): void {
    abandonStart({ member: this.#member, clock: this.#options.clock, error }, () => callback(error))
  }

  // ------------------------------------------------------------------------------------------------ what it is and does

  get status(): NodeStatus {
    const { log, hardState } = this.#member
    const { raft, applying, reading, scrubber, members } = this.#rooms
    const { voters, learners, formers = [] } = raft.configuration()
    return {
      ...this.#role,
      self: this.#options.self,
      group: this.#options.group,
      storeId: hardState.storeId,
      firstIndex: log.firstIndex,
      lastIndex: log.lastIndex,
      commitIndex: applying.commitIndex,
      appliedIndex: applying.appliedIndex,
      storage: this.#storageState,
      restoring: applying.isRestoring,
      recovering: raft.isRecovering,
      hotBytes: this.#hot.bytes,
      stalenessMs: this.#life.isRunning ? reading.stalenessMs : null,
      lost: log.lostRanges().map(({ firstIndex, lastIndex, pos }) => ({ firstIndex, lastIndex, pos })),
      scrub: scrubber.progress,
      peers: members.peers(),
      voters,
      learners,
      formers,
    }
  }

  get #storageState(): StorageState {
    if (this.#storageFailed) return 'failed'
    if (this.#watch.isSlow) return 'slow'
    return this.#watch.lacksRoom || this.#lacksRoom ? 'full' : 'ok'
  }

  /** Something found no room, and waits for it. */
  get #lacksRoom(): boolean {
    return this.#member.log.isFull || this.#member.hardStateIsFull
  }

  get role(): RoleState {
    return this.#role
  }

  get commitIndex(): number {
    return this.#rooms.applying.commitIndex
  }

  get appliedIndex(): number {
    return this.#rooms.applying.appliedIndex
  }

  /** The oldest entry that this member keeps; `status` has it too, with much else that is made anew for each look. */
  get firstIndex(): number {
    return this.#member.log.firstIndex
  }

  get lastIndex(): number {
    return this.#member.log.lastIndex
  }

  /** Damaged and not repaired yet, in order; `status` has these too. */
  get lost(): readonly LostRange[] {
    return this.#member.log.lostRanges()
  }

  /** The entry that the data file of this byte begins with; null while that cannot be told. Reads a header, synchronously. */
  firstIndexInFileOf(pos: number): number | null {
    const { log } = this.#member
    if (!this.#life.isRunning || this.#switching.isUnderWay || pos < log.startPos) return null
    return log.firstIndexIn(pos - (pos % log.fileBytes))
  }

  /** Entries below this are to be forgotten as soon as nothing keeps them; 0 when no trim entry was applied since the start. */
  get forgetBefore(): number {
    return this.#rooms.trimming.before
  }

  /** The term of the entry at `index`; -1 where the log does not have it and it is not the one before its first. */
  termAt(index: number): number {
    return this.#rooms.raft.termAt(index)
  }

  isTermGuessed(index: number): boolean {
    const ranges = this.#member.log.lostRanges()
    return ranges.some((range) => range.termRuns === null && range.firstIndex <= index && index <= range.lastIndex)
  }

  /** The last entry that at least so many followers of this leader hold, durably as they promise; -1 for none. */
  heldBy(count: number): number {
    const { raft } = this.#rooms
    const held = raft.peers.map((id) => raft.matchIndexOf(id) ?? -1).sort((a, b) => b - a)
    return held[count - 1] ?? -1
  }

  /** Bytes of the log behind the entry at `index`, which is kept, or the one before the first. */
  bytesAfter(index: number): number {
    const { log } = this.#member
    return index >= log.lastIndex ? 0 : log.endPos - log.locate(Math.max(index + 1, log.firstIndex))
  }

  /** A slave hears this master from now on, though its own log may name another. */
  follow(master: Followed): void {
    if (this.#life.isOpen) this.#rooms.members.follow(master)
  }

  /** A master stops: another copy was made one. */
  outdated(why: string): void {
    if (this.#life.isOpen) this.#rooms.members.outdated(why)
  }

  /** A state that was given to this member is being taken over. */
  get isRestoring(): boolean {
    return this.#rooms.applying.isRestoring
  }

  get storeId(): string {
    return this.#member.hardState.storeId
  }

  /** Nothing but a repair lets this member apply the next entry, or lead. */
  get isHeldUp(): boolean {
    const { log } = this.#member
    const next = this.appliedIndex + 1
    return log.configurationIsLost || (this.#options.stateMachine !== null && log.firstLostFrom(next) === next)
  }

  /** Its log is being replaced by the one it was given: what arrives meanwhile is as if it had been lost. */
  get isSwitching(): boolean {
    return this.#switching.isUnderWay
  }

  get raft(): Raft {
    return this.#rooms.raft
  }

  /** Milliseconds by this member's clock for which nobody else can lead. */
  get leaseRemainingMs(): number {
    return this.#life.isRunning ? this.#rooms.reading.leaseRemainingMs : 0
  }

  /** What `peer` advertised when it last connected. */
  advertisedOf(peer: MemberId): string | null {
    if (peer === this.#options.self) return this.#options.advertised
    return this.#rooms.members.advertisedOf(peer)
  }

  // ------------------------------------------------------------------------------------------------ what it is asked

  /** Queues a read for this pass of the event loop. Its outcome is never told from within this call. */
  readIndex(request: ReadRequest): void {
    if (!this.#life.isOpen) {
      this.#options.clock.defer(() => request.failed(closed()))
      return
    }
    this.#rooms.reading.queue(request)
    this.#schedulePass()
  }

  /** Queues a proposal for this pass of the event loop. Its outcome is never told from within this call. Hot. */
  propose(proposal: Proposal): void {
    if (!this.#life.isOpen) {
      this.#options.clock.defer(() => {
        proposal.failed(closed())
      })
      return
    }
    if (this.#rooms.proposing.queue(proposal)) this.#schedulePass()
  }

  /** Reads committed entries [firstIndex, lastIndex] of one term, at least one, until `bytesMax`. */
  read(firstIndex: number, lastIndex: number, bytesMax: number, callback: ReadCallback): void {
    this.#logReading.read(firstIndex, lastIndex, bytesMax, callback)
  }

  /** As `read`, as the state machine was given them. Entries of one term, at least one; what is asked for is applied. */
  readApplied(
    firstIndex: number,
    lastIndex: number,
    bytesMax: number,
    callback: (error: Error | null, entries: readonly CommittedEntry[] | null) => void,
  ): void {
    assert(firstIndex <= lastIndex && lastIndex <= this.appliedIndex, 'entries that are read were applied')
    this.#logReading.read(firstIndex, lastIndex, bytesMax, (error, batch) => {
      if (error !== null || batch === null) return callback(error, null)
      const last = Math.min(lastIndex, batch.firstIndex + batch.count - 1)
      callback(null, committedEntries(batch, firstIndex, last))
    })
  }

  /** Reads the applied entry that starts at byte `pos`, checked; null when none does. For readers of raw bytes that were wrong. */
  readAppliedAt(pos: number, callback: (error: Error | null, entry: CommittedEntry | null) => void): void {
    this.#logReading.findAt(pos, this.appliedIndex, (error, found) => {
      if (error !== null || found === null) return callback(error, null)
      callback(null, committedEntries(found.batch, found.index, found.index)[0] as CommittedEntry)
    })
  }

  /** Reads raw log bytes at a position: not checked. */
  readBytes(
    pos: number,
    size: number,
    callback: (error: Error | null, bytes: Buffer | null) => void,
    target?: Buffer,
  ): void {
    this.#logReading.readBytes(pos, size, callback, target)
  }

  /**
   * Hands the leadership to a follower, the best one for null. Proposals wait meanwhile.
   *
   * @param done told when the other leads, or with the error: NOT_LEADER, INVALID for whom it cannot be handed to, TIMEOUT when
   *   the other did not take over within an election timeout and this member goes on, CLOSED.
   */
  transferLeadership(target: MemberId | null, done: TransferCallback): void {
    if (!this.#life.isOpen) {
      this.#options.clock.defer(() => done(closed()))
      return
    }
    this.#rooms.handingOver.transfer(target, this.#role, done)
    this.#schedulePass()
  }

  /**
   * Proposes that every member forgets the entries below `before`, in whole files and as far as it has them in its checkpoint.
   *
   * @returns the place of the entry that says so; it has happened here some time after that is applied.
   * @throws DLedgerError NOT_LEADER, CLOSED, INVALID: nothing was proposed.
   */
  trimBefore(before: number): { readonly index: number; readonly term: number } {
    if (!this.#life.isOpen) throw closed()
    if (!Number.isSafeInteger(before) || before < 0) throw invalid(`${before} is no index to trim before`)
    const { term, role, leader } = this.#role
    const { trimProposals } = this.#rooms
    if (!trimProposals.propose(Math.min(before, trimProposals.neededFrom))) {
      const text = 'this member does not lead, or takes no writes now'
      throw new DLedgerError(text, { code: 'NOT_LEADER', leader: role === 'LEADER' ? null : leader })
    }
    return { index: this.#member.log.lastIndex, term }
  }

  /** Age is a reason to forget at any hour, for some looks from now on. @throws DLedgerError NOT_LEADER, CLOSED. */
  forgetExpired(): void {
    if (!this.#life.isOpen) throw closed()
    const { role, leader } = this.#role
    if (role !== 'LEADER') throw new DLedgerError('this member does not lead', { code: 'NOT_LEADER', leader })
    this.#rooms.retention.passOverHours()
  }

  /** What is written beside the log found no room: it is given the reserve, if there is one, and no data is taken for as long. */
  makeRoom(): void {
    if (!this.#life.isRunning) return
    this.#watch.giveReserve()
    this.#member.log.claimsAhead = !this.#watch.reserve.isOut
    this.#schedulePass()
  }

  /**
   * Copies what is committed here into an empty directory, as the log of a group of its own with these members.
   *
   * @param onEnd told once; the directory has none of the files when it is told an error.
   * @returns a function that gives the backup up, for which `onEnd` is told the reason.
   */
  backup(
    request: BackupRequest,
    onEnd: (error: Error | null, backedUp: BackedUp | null) => void,
  ): (reason: Error) => void {
    const { raft, trimming, sending } = this.#rooms
    const source = {
      member: this.#member,
      raft,
      trimming,
      commitIndex: this.commitIndex,
      readEntries: sending.readEntries.bind(sending),
    }
    return this.#backups.begin(request, source, onEnd)
  }

  /**
   * Adds or removes a member, or changes its role; this member must lead. Adding a voter takes until it has caught up.
   *
   * @param callback told once, never within this call: null when the change is committed, NOT_LEADER or INVALID when nothing was
   *   changed, TIMEOUT when it may still happen; asking again goes on with it.
   * @returns what ends the wait, with TIMEOUT.
   */
  changeMembership(change: MembershipChange, callback: ChangeCallback): () => void {
    if (!this.#life.isOpen) {
      this.#options.clock.defer(() => callback(closed()))
      return () => {}
    }
    const cancel = this.#rooms.members.change(change, callback)
    this.#membersDue = true
    this.#schedulePass()
    return cancel
  }

  /**
   * Hands over the leadership, syncs and closes. Queued proposals fail with CLOSED, waiting ones with TIMEOUT.
   * The callback's error is a final sync that failed, or a disk that hangs (`storageHangMs`); everything is released all the
   * same.
   */
  close(callback: (error: Error | null) => void): void {
    const { state } = this.#life
    if (state === 'closed' || state === 'new') return callback(null)
    if (state === 'failed') return this.#closing.closeFiles(callback)
    assert(state === 'open', 'a member is closed once')
    this.#life.enter('closing')
    const { handingOver, proposing, members, reading } = this.#rooms
    this.#life.guarded(() => handingOver.abandon(closed()))
    this.#life.guarded(() => {
      proposing.failQueued(closed())
      members.abandon('the log was closed')
    })
    this.#life.guarded(() => reading.failAll(closed()))
    this.#closing.handOver(() => {
      this.#inputs.takeNoEntries()
      this.#logReading.takeNoMore()
      this.#rooms.writer.stopWaiting()
      this.#stopParts()
      this.#closing.closeFiles(callback)
    })
  }

  // ------------------------------------------------------------------------------------------------ start

  #assemble(): void {
    const common = { node: this.#options, member: this.#member, life: this.#life, rooms: () => this.#rooms }
    const schedulePass = (): void => this.#schedulePass()
    this.#switching = new Switching({
      ...common,
      disk: this.#watch.disk,
      term: () => this.#rooms.raft.status().term,
      mayBegin: () => this.#inputs.takesEntries,
      isStill: () => this.#isStill && !this.#rooms.trimming.isUnderWay,
      waitsForRepair: () => this.#rooms.writer.waitsForRepair,
      onLeaving: () => this.#leaveLog(),
      onReplaced: (point) => this.#onLogReplaced(point),
      onFailed: (error) => this.#fail(error),
      schedulePass,
    })
    this.#closing = new Closing({
      ...common,
      watch: this.#watch,
      pending: this.#pending,
      role: () => this.#role,
      isQuiet: () => this.#isQuiet && (!this.#switching.isUnderWay || this.#member.hardStateIsFull),
      isSwitching: () => this.#switching.isUnderWay,
      stopParts: () => this.#stopParts(),
      schedulePass,
    })
    this.#inputs = new Inputs({
      ...common,
      role: () => this.#role,
      isSwitching: () => this.#switching.isUnderWay,
      schedulePass,
      // What calls back from within a pass finds time that is lived through already, or is about to be.
      inputCame: () => void (this.#life.isAtWork || this.#wakeUps.inputCame()),
      heartbeatCame: () => void (this.#life.isAtWork || this.#wakeUps.heartbeatCame()),
      onFailed: (error) => this.#fail(error),
    })
    this.#buildRooms(startingPoint(this.#options, this.#member))
  }

  #buildRooms(point: StartingPoint): void {
    const wiring: Wiring = {
      node: this.#options,
      faults: this.#options.plantedDriverFaults ?? NO_FAULTS,
      member: this.#member,
      life: this.#life,
      logReading: this.#logReading,
      hot: this.#hot,
      pending: this.#pending,
      budget: this.#budget,
      watch: this.#watch,
      membersOf: (raft) => {
        if (this.#rooms === undefined) return makeMembers(wiring, raft, () => this.#rooms)
        this.#rooms.members.coreReplaced(raft)
        return this.#rooms.members
      },
      role: () => this.#role,
      onRole: (role) => this.#onRole(role),
      schedulePass: () => this.#schedulePass(),
      onWhole: (incoming) => this.#switching.begin(incoming),
      onFailed: (error) => this.#fail(error),
    }
    this.#rooms = buildRooms(wiring, point)
    this.#role = { role: 'FOLLOWER', term: this.#rooms.raft.status().term, leader: null, ready: false }
    this.#wakeUps.leaderless()
    const { firstIndex, startPos, lastIndex, endPos } = this.#member.log
    this.#options.stateMachine?.logStarts?.(firstIndex, startPos)
    this.#options.stateMachine?.logEnds?.(lastIndex, endPos)
  }

  #join(callback: (error: Error | null) => void): void {
    const { members } = this.#rooms
    this.#options.transport.start(members.hello, this.#inputs, (error) => {
      if (error !== null) return this.#abandonStart(error, callback)
      this.#life.enter('open')
      this.#rooms.durability.started()
      this.#wakeUps.start()
      this.#life.guarded(() => {
        const { raft, applying } = this.#rooms
        members.refresh()
        applying.synced(this.#member.log.lastIndex)
        this.#switching.restore()
        // Nobody else can be heard, so there is nothing to wait for; but for what it may have promised to a leader that was removed.
        if (raft.isLoneVoter && !this.#options.settings.leaseReads) raft.campaign()
      })
      this.#schedulePass()
      callback(null)
    })
  }

  // ------------------------------------------------------------------------------------------------ another member's log

  #leaveLog(): void {
    this.#rooms.writer.stop()
    this.#rooms.installReceiver.close()
    this.#backups.abortAll(invalid('the log was replaced by that of another member meanwhile'))
  }

  #onLogReplaced(point: StartingPoint): void {
    const noLeader = new DLedgerError('this member is not the leader', { code: 'NOT_LEADER', leader: null })
    this.#rooms.proposing.failQueued(noLeader)
    this.#rooms.reading.failAll(noLeader)
    this.#hot.clear()
    this.#buildRooms(point)
  }

  // ------------------------------------------------------------------------------------------------ one tick

  #tick(ticks: number, nowMs: number): void {
    if (!this.#life.isRunning) return
    // A refill for no time at all would take what is left.
    if (ticks > 0) this.#budget.refill(ticks * this.#options.settings.tickMs)
    this.#life.guarded(() => this.#live(ticks, nowMs))
    this.#membersDue = true
    this.#pass()
  }

  /** This member is behind: its followers hear of it at once, whatever has arrived here meanwhile and takes its time to be handled. */
  #overdue(): void {
    if (!this.#life.isRunning || this.#switching.isUnderWay) return
    this.#life.guarded(() => {
      this.#rooms.raft.beat()
      this.#rooms.outputs.drain(null)
    })
  }

  /** A leader refuses proposals long before its state machine is so far behind: it is so after a start, or where it is too slow. */
  get #behind(): number {
    const { applying } = this.#rooms
    const isBehind = applying.unappliedBytes(this.#member.log.endPos) > 2 * this.#options.settings.unappliedBytesMax
    return isBehind || applying.isRestoring ? StorageHealth.BEHIND : 0
  }

  #live(ticks: number, nowMs: number): void {
    const { log } = this.#member
    const { raft, installReceiver, installSender, sending, reading, repairing, scrubber, retention } = this.#rooms
    const { reserve } = this.#watch
    if (log.waitsForRoom || this.#member.hardStateIsFull) this.#watch.giveReserve()
    log.claimsAhead = !reserve.isOut
    if (log.isFull) log.retryFull()
    installReceiver.wake({ mayRetry: !reserve.isOut })
    const roomHealth = this.#hardStateRoom.look({ leads: this.#role.role === 'LEADER' })
    this.#health = this.#watch.look(nowMs, log) | roomHealth | (log.isFull ? StorageHealth.FULL : 0) | this.#behind
    raft.storageHealth(this.#health)
    if (this.#switching.isUnderWay) return
    for (let i = 0; i < ticks; i++) raft.tick()
    sending.refilled()
    installSender.heartbeat()
    this.#pending.expire(nowMs)
    reading.tick(nowMs)
    this.#rooms.outputs.drain(null)
    repairing.wake()
    scrubber.wake(nowMs)
    retention.wake(nowMs, this.#options.clock.nowMs())
  }

  // ------------------------------------------------------------------------------------------------ one pass

  #schedulePass(): void {
    if (this.#passScheduled) return
    this.#passScheduled = true
    this.#options.clock.defer(() => this.#pass())
  }

  #pass(): void {
    this.#passScheduled = false
    if (!this.#life.isRunning) return
    this.#life.guarded(() => {
      this.#rooms.outputs.drain(null)
      if (this.#switching.isUnderWay) return
      const { raft, proposing, reading, applying, members, trimming } = this.#rooms
      this.#noticeFull()
      proposing.proposeQueued()
      reading.ask()
      applying.apply()
      this.#rooms.outputs.drain(null)
      members.refresh()
      if (this.#membersDue && this.#life.isOpen) {
        this.#membersDue = false
        members.step()
      }
      trimming.trim()
      // Whatever the core takes for hot is kept: it sends that without asking for it. What waits to be applied is not: what the
      // core has dropped is durable and committed, so it can be read from the disk again.
      this.#hot.shrink(raft.hotFirstIndex - 1)
      this.#tellChanges()
    })
  }

  #tellChanges(): void {
    const { log } = this.#member
    const { applying, raft } = this.#rooms
    const { isRecovering, configurationIndex } = raft
    if (this.#changes.hasChanged(log, this.#storageState, applying.isRestoring, isRecovering, configurationIndex)) {
      this.#options.onProgress?.()
    }
  }

  /** At once: data must not use up what is left for the log's own entries. */
  #noticeFull(): void {
    this.#watch.logGrew(this.#member.log)
    const lacksRoom = this.#lacksRoom || this.#watch.lacksRoom
    if (!lacksRoom || (this.#health & StorageHealth.FULL) !== 0) return
    this.#health |= StorageHealth.FULL
    this.#rooms.raft.storageHealth(this.#health)
  }

  #onRole(role: RoleState): void {
    const before = this.#role
    const { proposing } = this.#rooms
    this.#role = role
    this.#membersDue = true
    if (role.role !== 'FOLLOWER' || role.leader === null) this.#wakeUps.leaderless()
    proposing.roleChanged(before, role)
    if (before.role === 'LEADER' && (role.role !== 'LEADER' || role.term !== before.term)) {
      this.#pending.abandon('was waiting when the leadership was lost; it may still be committed')
    }
    if (before.role !== role.role || before.ready !== role.ready || before.leader !== role.leader) {
      this.#options.logger.info({ ...role, self: this.#options.self }, 'role changed')
    }
    this.#options.stateMachine?.roleChanged(role)
    this.#options.observer?.elected(role)
    this.#closing.roleChanged(role)
    if (!proposing.isEmpty) this.#schedulePass()
    this.#options.onProgress?.()
  }

  // ------------------------------------------------------------------------------------------------ stop

  /** No write and no read of the log is under way, and no change of the hard state that others wait for. */
  get #isQuiet(): boolean {
    // What waits for room was told to nobody.
    const isWritten = !this.#rooms.durability.writesTermOrVote || this.#member.hardStateIsFull
    return this.#rooms.writer.quiet && isWritten && this.#logReading.isIdle
  }

  /** The same, but for what waits for entries that the others may have trimmed: only another log ends that wait. */
  get #isStill(): boolean {
    const { writer, durability } = this.#rooms
    return (writer.quiet || writer.waitsForRepair) && !durability.writesTermOrVote && this.#logReading.isIdle
  }

  #fail(error: Error): void {
    if (this.#life.isOver) return
    const wasLeader = this.#role.role === 'LEADER'
    this.#storageFailed = error instanceof DLedgerError && error.code === 'STORAGE_FAILED'
    this.#options.logger.error({ err: error }, 'the member stops')
    if (wasLeader) this.#tellSuccessor()
    this.#life.enter('failed')
    this.#stopParts()
    this.#rooms.writer.stop()
    this.#role = { role: 'FOLLOWER', term: this.#role.term, leader: null, ready: false }
    const { handingOver, proposing, members, reading } = this.#rooms
    this.#tellAll([
      () => handingOver.abandon(closed()),
      () => proposing.failQueued(closed()),
      () => members.abandon('the member stopped'),
      () => reading.failAll(closed()),
      () => this.#pending.abandon('was waiting when the member stopped; it may still be committed'),
      () => this.#options.stateMachine?.roleChanged(this.#role),
    ])
    this.#options.onFatal(error)
  }

  /** Whoever throws here does not keep the others from learning it. */
  #tellAll(told: readonly (() => void)[]): void {
    for (const tell of told) {
      try {
        tell()
      } catch (failure) {
        this.#options.logger.error({ err: failure }, 'somebody threw when told that the member stops')
      }
    }
  }

  /** TimeoutNow needs no disk: the best follower can stand at once. */
  #tellSuccessor(): void {
    const { raft } = this.#rooms
    const { transport, logger } = this.#options
    try {
      raft.transferLeadership(null)
      for (let output = raft.takeOutput(); output !== null; output = raft.takeOutput()) {
        for (const message of output.send) {
          if (message.type === 'TimeoutNow') transport.send(message, null)
        }
      }
    } catch (error) {
      logger.warn({ err: error }, 'the leadership could not be handed over')
    }
  }

  /** Ends whatever acts on its own. Idempotent. */
  #stopParts(): void {
    const { installSender, installReceiver } = this.#rooms
    this.#tellAll([
      () => this.#wakeUps.stop(),
      () => this.#closing.stop(),
      () => installSender.stop(),
      () => installReceiver.close(),
      () => this.#switching.stop(),
      () => this.#watch.reserve.stop(),
      () => this.#backups.abortAll(closed()),
    ])
  }
}
