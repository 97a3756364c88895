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
import { assert, type Clock, type Logger, type Random } from '@dledger-ts/base'
import type { NodeSettings } from '../config.ts'
import { checkNames, checkSettings, handoverOptions, invalid } from '../config.ts'
import { decodeConfiguration, encodeConfiguration } from '../configuration-codec.ts'
import type { Disk } from '../disk/disk.ts'
import { DLedgerError } from '../errors.ts'
import { HotTail } from './hot-tail.ts'
import { ENTRY_HEADER_BYTES, EntryChannel, type EntryBatch } from '../log/entry-batch.ts'
import { channelAt, checkBatch, sliceBatch } from '../log/entry-codec.ts'
import { type ScrubProgress, Scrubber } from '../log/scrubber.ts'
import { Applying } from './applying.ts'
import { type BackedUp, Backup } from './backup.ts'
import { BatchBuilder } from './batch-builder.ts'
import { Durability } from './durability.ts'
import { HandingOver, type TransferCallback } from './handing-over.ts'
import { type LogMark, LogWriter } from './log-writer.ts'
import type { NodeObserver } from './observer.ts'
import { type OpenedMember, openMember } from './open-member.ts'
import { PendingProposals } from './pending-proposals.ts'
import type { PlantedDriverFault } from './planted-driver-faults.ts'
import { type ChangeCallback, Members, type PeerStatus } from './members.ts'
import { Proposing } from './proposing.ts'
import { Repairing } from './repairing.ts'
import { Reading, type ReadRequest } from './reading.ts'
import { Sending } from './sending.ts'
import { CatchUpBudget } from './catch-up-budget.ts'
import { ChangeWatch } from './change-watch.ts'
import { InstallReceiver } from './install-receiver.ts'
import { canBeHandedOver, InstallSender } from './install-sender.ts'
import { Restoring } from './restoring.ts'
import { Retention } from './retention.ts'
import { moveIn } from './staging.ts'
import { encodeTrim, Trimming } from './trimming.ts'
import { SharedTicker, type Ticker } from './ticker.ts'
import { UncheckedEntries } from './unchecked-entries.ts'
import { type StorageState, StorageWatch } from './storage-watch.ts'
import type { Incoming } from '../hard-state/hard-state-codec.ts'
import type { Learner, Member } from '../raft/configuration.ts'
import type { MembershipChange } from '../raft/membership-change.ts'
import type { InstallAck, InstallOffer, InstallPiece, MemberId, Message } from '../raft/messages.ts'
import type { Output, RoleState } from '../raft/output.ts'
import type { PlantedFault } from '../raft/planted-faults.ts'
import { Raft } from '../raft/raft.ts'
import { StorageHealth } from '../raft/storage-health.ts'
import type { ControlEnvelope, Proposal, StateMachine } from '../state-machine.ts'
import { WIRE_VERSION } from '../transport/greeting.ts'
import type { Hello, Refusal, Transport } from '../transport/transport.ts'

/** A timer may be this share of a tick early, and its tick counts all the same. */
const TICK_EARLY_MAX = 0.25

export interface LogNodeOptions {
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly transport: Transport
  readonly logger: Logger
  /** Of this member alone; made when missing. */
  readonly directory: string
  readonly group: string
  readonly self: MemberId
  /** Bootstraps an empty group only; afterwards the membership in the log counts. */
  readonly bootstrapVoters: readonly MemberId[]
  /** An empty member joins a group that is there: it waits until that names it, and is no bootstrap voter. Default false. */
  readonly joins?: boolean
  readonly settings: NodeSettings
  /** Null: entries are only kept and read. */
  readonly stateMachine: StateMachine | null
  readonly controlEnvelope: ControlEnvelope
  /** Told to the peers; free text. */
  readonly advertised: string
  /** Who owns the directory: this process. */
  readonly owner: DirectoryOwner
  readonly newStoreId: () => string
  /** Shared by members of one process that wake together; default: one of its own. */
  readonly ticker?: Ticker
  /** For those who watch; none by default. */
  readonly observer?: NodeObserver
  /** Something was applied, or the role changed. */
  readonly onProgress?: () => void
  /** The member has stopped for good after a storage failure or a broken invariant. */
  readonly onFatal: (error: Error) => void
  /**
   * Takes a recovering member for intact: only for a group whose members all lost power under ASYNC_FLUSH and of which one never
   * returns. Acknowledged entries may be lost. Default false.
   */
  readonly assumeIntact?: boolean
  /** Simulation only. */
  readonly plantedDriverFaults?: ReadonlySet<PlantedDriverFault>
  readonly plantedFaults?: ReadonlySet<PlantedFault>
}

/** Identifies this process and this boot of the machine, for the directory lock. */
export interface DirectoryOwner {
  readonly pid: number
  readonly processStart: string
  readonly bootId: string
  /** Whether the process that wrote a lock file still lives. */
  isAlive(pid: number, processStart: string, bootId: string): boolean
}

export interface NodeStatus extends RoleState {
  readonly self: MemberId
  readonly group: string
  readonly storeId: string
  readonly firstIndex: number
  readonly lastIndex: number
  readonly commitIndex: number
  readonly appliedIndex: number
  /** A state received from another member is being taken in: nothing is applied meanwhile. */
  readonly restoring: boolean
  /** It may lack what it acknowledged before a power cut, and does not count until a leader has made it whole. */
  readonly recovering: boolean
  /** How old the state that is applied here may be at most, in milliseconds; null while that is not known. */
  readonly stalenessMs: number | null
  /** Bytes of entries held in memory: the newest `hotBytesMax`, and what is not durable or not committed yet. */
  readonly hotBytes: number
  readonly peers: readonly PeerStatus[]
  readonly storage: StorageState
  /** Entries whose bytes are damaged here, ascending: they are not served until they are repaired from a peer. */
  readonly lost: readonly { readonly firstIndex: number; readonly lastIndex: number; readonly pos: number }[]
  readonly scrub: ScrubProgress
  /** The newest configuration in this member's log, with the store identities that it binds. */
  readonly voters: readonly Member[]
  readonly learners: readonly Learner[]
}

/** How long a member that has failed, or could not start, waits for what its disk has under way. */
const CLOSE_AFTER_FAILURE_MS_MAX = 1_000

/** `finishing`: the last sync of a clean stop is under way, nothing more is taken in. */
type State = 'new' | 'open' | 'closing' | 'finishing' | 'closed' | 'failed'

type ReadCallback = (error: Error | null, batch: EntryBatch | null) => void

export class LogNode {
  readonly #options: LogNodeOptions
  readonly #settings: NodeSettings
  readonly #faults: ReadonlySet<PlantedDriverFault>
  #state: State = 'new'
  #member!: OpenedMember
  #raft!: Raft
  #writer!: LogWriter
  #proposing!: Proposing
  #applying!: Applying
  #reading!: Reading
  #sending!: Sending
  #handingOver!: HandingOver
  #durability!: Durability
  #trimming!: Trimming
  #retention!: Retention
  #unchecked!: UncheckedEntries
  #repairing!: Repairing
  #scrubber!: Scrubber
  #installSender!: InstallSender
  #installReceiver!: InstallReceiver
  readonly #budget: CatchUpBudget
  readonly #backups = new Set<Backup>()
  #restoring: Restoring | null = null
  /** A received log is taking the place of the own one: nothing is heard, said or read meanwhile. */
  #isSwitching = false
  #members!: Members
  readonly #hot: HotTail
  readonly #watch: StorageWatch
  readonly #pending = new PendingProposals()
  readonly #changes = new ChangeWatch()
  #noopDue = false
  /** A tick has passed, or the leadership has changed: the membership may have a next step. */
  #membersDue = false
  #passScheduled = false
  #role: RoleState = { role: 'FOLLOWER', term: 0, leader: null, ready: false }
  /** Reads of the log under way: the files stay open for them. */
  #reads = 0
  /** False once a close waits for the disk to be quiet: a leader that goes on sending must not hold it up. */
  #takesEntries = true
  #lastTickMs = 0
  #storageFailed = false
  /** What the core knows of the storage here. */
  #health = 0
  #cancelTick: (() => void) | null = null
  #roleWaiters: (() => void)[] = []

  constructor(options: LogNodeOptions) {
    this.#options = options
    this.#settings = options.settings
    this.#faults = options.plantedDriverFaults ?? new Set()
    this.#hot = new HotTail(options.settings.hotBytesMax)
    this.#watch = new StorageWatch(options.disk, options.clock, options)
    this.#budget = new CatchUpBudget(options.settings.catchUpBytesPerSecond, options.settings.heartbeatMs)
  }

  /** Opens the directory (synchronously, recovering it), then joins the group. @throws nothing: `callback` gets the error. */
  start(callback: (error: Error | null) => void): void {
    assert(this.#state === 'new', 'a member is started once')
    try {
      checkSettings(this.#settings)
      checkNames(this.#options.group, this.#options.self, this.#options.bootstrapVoters, this.#options.joins === true)
      this.#member = openMember(this.#options, this.#watch.disk)
    } catch (error) {
      callback(error as Error)
      return
    }
    // After a plain process kill the kept bytes may be in the page cache only: nothing counts before they are synced.
    this.#member.log.sync((error) => {
      if (error !== null) return this.#abandonStart(() => callback(error))
      try {
        this.#assembleAtStart()
        this.#join(callback)
      } catch (failure) {
        this.#abandonStart(() => callback(failure as Error))
      }
    })
  }

  get status(): NodeStatus {
    const log = this.#member.log
    return {
      ...this.#role,
      self: this.#options.self,
      group: this.#options.group,
      storeId: this.#member.hardState.storeId,
      firstIndex: log.firstIndex,
      lastIndex: log.lastIndex,
      commitIndex: this.#applying.commitIndex,
      appliedIndex: this.#applying.appliedIndex,
      storage: this.#storageState,
      restoring: this.#applying.isRestoring,
      recovering: this.#raft.isRecovering,
      hotBytes: this.#hot.bytes,
      stalenessMs: this.#isRunning ? this.#reading.stalenessMs : null,
      lost: log.lostRanges().map(({ firstIndex, lastIndex, pos }) => ({ firstIndex, lastIndex, pos })),
      scrub: this.#scrubber.progress,
      peers: this.#members.peers(),
      voters: this.#raft.configuration().voters,
      learners: this.#raft.configuration().learners,
    }
  }

  get #storageState(): StorageState {
    if (this.#storageFailed) return 'failed'
    if (this.#watch.isSlow) return 'slow'
    return this.#watch.lacksRoom || this.#member.log.isFull ? 'full' : 'ok'
  }

  get role(): RoleState {
    return this.#role
  }

  get commitIndex(): number {
    return this.#applying.commitIndex
  }

  get appliedIndex(): number {
    return this.#applying.appliedIndex
  }

  /** The oldest entry that this member keeps; `status` has it too, with much else that is made anew for each look. */
  get firstIndex(): number {
    return this.#member.log.firstIndex
  }

  get lastIndex(): number {
    return this.#member.log.lastIndex
  }

  /** A state that was given to this member is being taken over. */
  get isRestoring(): boolean {
    return this.#applying.isRestoring
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
    return this.#isSwitching
  }

  get raft(): Raft {
    return this.#raft
  }

  /** Milliseconds by this member's clock for which nobody else can lead. */
  get leaseRemainingMs(): number {
    return this.#isRunning ? this.#reading.leaseRemainingMs : 0
  }

  /** Queues a read for this pass of the event loop. Its outcome is never told from within this call. */
  readIndex(request: ReadRequest): void {
    if (this.#state !== 'open') {
      this.#options.clock.defer(() => request.failed(closed()))
      return
    }
    this.#reading.queue(request)
    this.#schedulePass()
  }

  /** What `peer` advertised when it last connected. */
  advertisedOf(peer: MemberId): string | null {
    if (peer === this.#options.self) return this.#options.advertised
    return this.#members.advertisedOf(peer)
  }

  /** Queues a proposal for this pass of the event loop. Its outcome is never told from within this call. Hot. */
  propose(proposal: Proposal): void {
    if (this.#state !== 'open') {
      this.#options.clock.defer(() => {
        proposal.failed(closed())
      })
      return
    }
    if (this.#proposing.queue(proposal)) this.#schedulePass()
  }

  /** Reads committed entries [firstIndex, lastIndex] of one term, at least one, until `bytesMax`. */
  read(firstIndex: number, lastIndex: number, bytesMax: number, callback: ReadCallback): void {
    if (this.#filesAreClosed) {
      this.#options.clock.defer(() => callback(closed(), null))
      return
    }
    if (this.#isSwitching) {
      this.#options.clock.after(1, () => this.read(firstIndex, lastIndex, bytesMax, callback))
      return
    }
    const hot = this.#hot.find(firstIndex)
    if (hot !== undefined) {
      this.#options.clock.defer(() => callback(null, hot))
      return
    }
    // What is hot may not be in the files yet, where even the entries that it replaces may stand: it is never read there.
    this.#readLog(firstIndex, Math.min(lastIndex, this.#hot.firstIndex - 1), bytesMax, callback)
  }

  /** Reads raw log bytes at a position. */
  readBytes(pos: number, size: number, callback: (error: Error | null, bytes: Buffer | null) => void): void {
    if (this.#filesAreClosed) {
      this.#options.clock.defer(() => callback(closed(), null))
      return
    }
    if (this.#isSwitching) {
      this.#options.clock.after(1, () => this.readBytes(pos, size, callback))
      return
    }
    const target = Buffer.allocUnsafe(size)
    this.#member.log.readBytes(pos, size, target, (error: Error | null) => {
      this.#reads--
      callback(error, error === null ? target : null)
    })
    this.#reads++
  }

  get #filesAreClosed(): boolean {
    const failedWithoutFiles = this.#state === 'failed' && this.#isSwitching
    return this.#state === 'finishing' || this.#state === 'closed' || failedWithoutFiles
  }

  #readLog(firstIndex: number, lastIndex: number, bytesMax: number, callback: ReadCallback, isSecond = false): void {
    const { log } = this.#member
    if (firstIndex < log.firstIndex) {
      this.#options.clock.defer(() => callback(log.trimmed(`entry ${firstIndex}`), null))
      return
    }
    log.read(firstIndex, lastIndex, bytesMax, (error, batch) => {
      this.#reads--
      if (!isCorrupt(error) || !this.#isRunning || log.firstLostFrom(firstIndex) === firstIndex)
        return callback(error, batch)
      // Found out what is wrong, what is good is read: up to the damage, or with an index that was put right.
      this.#guarded(() => {
        const wasWrong = log.examine(firstIndex, lastIndex)
        // What was wrong when it was read may have been put right since, for another read: once more then, and no further.
        if (wasWrong || !isSecond) this.#readLog(firstIndex, lastIndex, bytesMax, callback, !wasWrong)
        else callback(error, null)
      })
    })
    this.#reads++
  }

  /**
   * Hands the leadership to a follower, the best one for null. Proposals wait meanwhile.
   *
   * @param done told when the other leads, or with the error: NOT_LEADER, INVALID for whom it cannot be handed to, TIMEOUT when
   *   the other did not take over within an election timeout and this member goes on, CLOSED.
   */
  transferLeadership(target: MemberId | null, done: TransferCallback): void {
    if (this.#state !== 'open') {
      this.#options.clock.defer(() => done(closed()))
      return
    }
    this.#handingOver.transfer(target, this.#role, done)
    this.#schedulePass()
  }

  /**
   * Proposes that every member forgets the entries below `before`, in whole files and as far as it has them in its checkpoint.
   *
   * @returns the place of the entry that says so; it has happened here some time after that is applied.
   * @throws DLedgerError NOT_LEADER, CLOSED, INVALID: nothing was proposed.
   */
  trimBefore(before: number): { readonly index: number; readonly term: number } {
    if (this.#state !== 'open') throw closed()
    if (!Number.isSafeInteger(before) || before < 0) throw invalid(`${before} is no index to trim before`)
    const { term, role, leader } = this.#role
    if (!this.#proposeTrim(Math.min(before, this.#neededFrom))) {
      const text = 'this member does not lead, or takes no writes now'
      throw new DLedgerError(text, { code: 'NOT_LEADER', leader: role === 'LEADER' ? null : leader })
    }
    return { index: this.#member.log.lastIndex, term }
  }

  /**
   * Copies what is committed here into an empty directory, as the log of a group of its own with these members.
   *
   * @param onEnd told once; the directory has none of the files when it is told an error.
   * @returns a function that gives the backup up, for which `onEnd` is told the reason.
   */
  backup(
    { directory, members }: { readonly directory: string; readonly members: readonly MemberId[] },
    onEnd: (error: Error | null, backedUp: BackedUp | null) => void,
  ): (reason: Error) => void {
    const { clock, logger, controlEnvelope } = this.#options
    let ended = false
    const commitIndex = this.commitIndex
    const backup = new Backup({
      disk: this.#options.disk,
      directory,
      members,
      member: this.#member,
      settings: this.#settings,
      clock,
      logger,
      controlEnvelope,
      budget: this.#budget,
      commitIndex,
      configuration: this.#raft.configurationUpTo(commitIndex)?.configuration ?? null,
      readEntries: (firstIndex, lastIndex, bytesMax, callback) =>
        this.#sending.readEntries(firstIndex, lastIndex, bytesMax, callback),
      onEnd: (error, backedUp) => {
        if (ended) return
        ended = true
        if (this.#backups.delete(backup)) trimming.release()
        clock.defer(() => onEnd(error, backedUp))
      },
    })
    const trimming = this.#trimming
    trimming.hold()
    this.#backups.add(backup)
    const begin = (): void => {
      if (ended) return
      if (this.#state !== 'open' || this.#isSwitching) return backup.abort(closed())
      // What is being removed now is not there to be copied.
      if (trimming.isUnderWay) return void clock.after(1, begin)
      try {
        backup.start()
      } catch (error) {
        backup.abort(error as Error)
      }
    }
    begin()
    return (reason) => backup.abort(reason)
  }

  #proposeTrim(before: number): boolean {
    const mayPropose = this.#role.role === 'LEADER' && this.#writer.placeable && !this.#noopDue
    if (!mayPropose || !this.#proposing.proposeControl('trim', encodeTrim(before))) return false
    this.#schedulePass()
    return true
  }

  /** From where on the log must stay: a state that cannot be handed over must be built from entries, by every member. */
  get #neededFrom(): number {
    const { stateMachine } = this.#options
    // Entries that a member has lost it gets from the others' logs alone: it is not behind, so nothing is installed there.
    if (this.#raft.someoneHasLost()) return 0
    if (stateMachine === null || canBeHandedOver(stateMachine)) return Number.POSITIVE_INFINITY
    return this.#raft.matchedByAll() + 1
  }

  /**
   * Adds or removes a member, or changes its role; this member must lead. Adding a voter takes until it has caught up.
   *
   * @param callback told once, never within this call: null when the change is committed, NOT_LEADER or INVALID when nothing was
   *   changed, TIMEOUT when it may still happen; asking again goes on with it.
   * @returns what ends the wait, with TIMEOUT.
   */
  changeMembership(change: MembershipChange, callback: ChangeCallback): () => void {
    if (this.#state !== 'open') {
      this.#options.clock.defer(() => callback(closed()))
      return () => {}
    }
    const cancel = this.#members.change(change, callback)
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
    if (this.#state === 'closed' || this.#state === 'new') return callback(null)
    if (this.#state === 'failed') return this.#closeFiles(callback)
    assert(this.#state === 'open', 'a member is closed once')
    this.#state = 'closing'
    this.#guarded(() => this.#handingOver.abandon(closed()))
    this.#guarded(() => {
      this.#proposing.failQueued(closed())
      this.#members.abandon('the log was closed')
    })
    this.#guarded(() => this.#reading.failAll(closed()))
    const stop = (): void => {
      this.#takesEntries = false
      this.#writer.stopWaiting()
      this.#stopParts()
      this.#closeFiles(callback)
    }
    const alone = this.#raft.configuration().voters.length === 1
    if (this.#role.role !== 'LEADER' || alone) return stop()
    if (!this.#raft.transferLeadership(null) && this.#raft.status().transferTarget === null) return stop()
    let stopped = false
    const once = (): void => {
      if (stopped) return
      stopped = true
      cancel()
      stop()
    }
    const cancel = this.#options.clock.after(2 * this.#settings.electionTimeoutMs, once)
    this.#roleWaiters.push(() => {
      if (this.#role.role !== 'LEADER' && this.#role.leader !== null) once()
    })
    this.#schedulePass()
  }

  // ------------------------------------------------------------------------------------------------ start

  #assembleAtStart(): void {
    const { hardState, log } = this.#member
    const machine = this.#options.stateMachine
    if (machine !== null && machine.appliedIndex > log.lastIndex) {
      this.#options.logger.warn(
        { appliedIndex: machine.appliedIndex, lastIndex: log.lastIndex },
        'the applied state is beyond the log: it is discarded and built again',
      )
      machine.discard()
      assert(machine.appliedIndex === -1, 'a discarded state has nothing applied')
    }
    const appliedIndex = machine?.appliedIndex ?? log.firstIndex - 1
    if (appliedIndex < log.firstIndex - 1 && hardState.incoming?.phase !== 'RESTORING') {
      throw invalid(
        `${this.#options.directory}: the state ends with entry ${appliedIndex}, but the log starts with ${log.firstIndex}: ` +
          'what is between them was trimmed, so the state can only come from another member',
      )
    }
    // What came by an install was committed; the state that belongs to it may still be on its way into the state machine.
    const { incoming } = hardState
    const installedIndex = incoming?.phase === 'RESTORING' ? (incoming.hint?.index ?? -1) : -1
    this.#assemble({ appliedIndex, commitIndex: Math.min(Math.max(appliedIndex, installedIndex), log.lastIndex) })
  }

  #assemble({ appliedIndex, commitIndex }: { readonly appliedIndex: number; readonly commitIndex: number }): void {
    const { hardState, log } = this.#member
    this.#raft = new Raft(
      {
        self: this.#options.self,
        selfStoreId: hardState.storeId,
        bootstrapVoters: hardState.mustBeNamed
          ? this.#options.bootstrapVoters.filter((id) => id !== this.#options.self)
          : this.#options.bootstrapVoters,
        mustBeNamed: hardState.mustBeNamed ?? false,
        knownStores: new Map(Object.entries(hardState.knownPeers ?? {}).map(([id, { storeId }]) => [id, storeId])),
        heartbeatTicks: this.#heartbeatTicks,
        electionTicks: Math.max(2, Math.round(this.#settings.electionTimeoutMs / this.#settings.tickMs)),
        random: this.#options.random,
        handover: handoverOptions(this.#settings),
        inflightBytesMax: this.#settings.inflightBytesMax,
        appendBytesMax: this.#settings.appendBytesMax,
        uncommittedBytesMax: this.#settings.uncommittedBytesMax,
        hotBytesMax: this.#settings.hotBytesMax,
        leaseReads: this.#settings.leaseReads,
        hardState: { term: hardState.term, votedFor: hardState.votedFor },
        incarnation: hardState.incarnation,
        recovering: hardState.recovering,
        log: this.#member.shape,
        appliedIndex,
        commitIndex,
      },
      this.#options.plantedFaults,
    )
    this.#role = { role: 'FOLLOWER', term: this.#raft.status().term, leader: null, ready: false }
    this.#assembleRooms(appliedIndex, commitIndex)
    this.#assembleCatchUp()
    this.#writer = new LogWriter({
      log,
      syncBeforeDurable: this.#settings.flushDiskType === 'SYNC_FLUSH',
      asyncFlushIntervalMs: this.#settings.asyncFlushIntervalMs,
      clock: this.#options.clock,
      faults: this.#faults,
      onDurable: (seq) => {
        this.#guarded(() => this.#raft.persisted(seq))
        this.#schedulePass()
      },
      onSynced: (mark, tookMs) => this.#guarded(() => this.#onSynced(mark, tookMs)),
      beforeTruncate: (index, callback) => this.#guarded(() => this.#durability.lower(index, callback)),
      onIdle: () => {
        if (this.#noopDue || !this.#proposing.isEmpty) this.#schedulePass()
      },
      onFailed: (error) => this.#fail(error),
    })
  }

  #assembleRooms(appliedIndex: number, commitIndex: number): void {
    const { log } = this.#member
    const { clock, transport, controlEnvelope, stateMachine } = this.#options
    this.#applying = new Applying({
      hot: this.#hot,
      stateMachine,
      appliedIndex,
      commitIndex: Math.max(appliedIndex, commitIndex),
      isRestoring: this.#member.hardState.incoming?.phase === 'RESTORING' && stateMachine !== null,
      readCold: (firstIndex, lastIndex, bytesMax, callback) =>
        this.#readCold(firstIndex, lastIndex, bytesMax, callback),
      onApplied: (index) => {
        this.#raft.applied(index)
        this.#pending.applied(index)
        this.#reading.applied(index)
        this.#options.onProgress?.()
      },
      firstLostFrom: (index) => log.firstLostFrom(index),
      onTrim: (body) => this.#trimming.applied(body),
      schedulePass: () => this.#schedulePass(),
    })
    const { electionTimeoutMs } = this.#settings
    this.#handingOver = new HandingOver({ clock, self: this.#options.self, electionTimeoutMs, raft: this.#raft })
    this.#reading = new Reading({
      settings: this.#settings,
      clock,
      random: this.#options.random,
      raft: this.#raft,
      faults: this.#faults,
      role: () => this.#role,
      commitIndex: () => this.#applying.commitIndex,
      appliedIndex: () => this.#applying.appliedIndex,
    })
    this.#proposing = new Proposing({
      settings: this.#settings,
      clock,
      raft: this.#raft,
      builder: new BatchBuilder(log, controlEnvelope),
      pending: this.#pending,
      isPlaceable: () => this.#writer.placeable,
      role: () => this.#role,
      lastIndex: () => log.lastIndex,
      unappliedBytes: () => this.#applying.unappliedBytes(log.endPos),
      waitsForSuccessor: () => this.#handingOver.waits(this.#role),
      onProposed: () => {
        this.#drain(null)
        if (this.#faults.has('acknowledged-before-commit')) this.#pending.applied(log.lastIndex)
      },
    })
    this.#sending = new Sending({
      transport,
      observer: this.#options.observer,
      hot: this.#hot,
      raft: this.#raft,
      beforeSend: (message) => this.#reading.sending(message),
      budget: this.#budget,
      readCold: (firstIndex, lastIndex, bytesMax, callback) =>
        this.#readCold(firstIndex, lastIndex, bytesMax, callback),
      storeId: () => this.#member.hardState.storeId,
      later: (callback) =>
        clock.defer(() => {
          this.#whileRunning(callback)
        }),
      onRead: () => this.#drain(null),
    })
    this.#durability = new Durability({
      member: this.#member,
      settings: this.#settings,
      clock,
      onTermAndVoteDurable: () =>
        this.#whileRunning(() => {
          this.#sending.sendHeld()
          this.#raft.hardStatePersisted()
        }),
      onFailed: (error) => this.#fail(error),
    })
    this.#trimming = new Trimming({
      member: this.#member,
      raft: this.#raft,
      applying: this.#applying,
      stateMachine,
      controlEnvelope,
      logger: this.#options.logger,
      faults: this.#faults,
      whileRunning: (work) => this.#whileRunning(work),
      onFailed: (error) => this.#fail(error),
    })
    this.#repairing = new Repairing({
      log,
      raft: this.#raft,
      hot: this.#hot,
      transport,
      logger: this.#options.logger,
      self: this.#options.self,
      storeId: () => this.#member.hardState.storeId,
      connectedPeers: () =>
        this.#members
          .peers()
          .filter((peer) => peer.connected)
          .map(({ id }) => id),
      readCold: (firstIndex, lastIndex, bytesMax, callback) =>
        this.#readCold(firstIndex, lastIndex, bytesMax, callback),
      onConfiguration: (index, body) => {
        const configuration = decodeConfiguration(controlEnvelope.unwrap(body))
        this.#raft.configurationRestored(index, configuration)
      },
      onRepaired: () => {
        this.#writer.resume()
        this.#schedulePass()
      },
    })
    this.#scrubber = new Scrubber({
      bytesPerSecond: this.#settings.scrubBytesPerSecond,
      intervalMs: this.#settings.scrubIntervalMs,
      firstIndex: () => log.firstIndex,
      lastIndex: () => Math.min(this.appliedIndex, this.#hot.firstIndex - 1),
      activeFrom: () => log.endPos - (log.endPos % log.fileBytes),
      nextGood: (index) => log.firstGoodFrom(index),
      read: (firstIndex, lastIndex, bytesMax, callback) => this.#readCold(firstIndex, lastIndex, bytesMax, callback),
    })
    this.#unchecked = new UncheckedEntries({
      member: this.#member,
      logger: this.#options.logger,
      onFailed: (error) => this.#fail(error),
    })
    if (this.#members === undefined) this.#members = this.#makeMembers()
    else this.#members.coreReplaced(this.#raft)
  }

  #makeMembers(): Members {
    const { clock, transport } = this.#options
    return new Members(
      {
        self: this.#options.self,
        group: this.#options.group,
        member: this.#member,
        transport,
        clock,
        logger: this.#options.logger,
        expected: this.#options.bootstrapVoters,
        newStoreId: this.#options.newStoreId,
        faults: this.#faults,
        role: () => this.#role,
        commitIndex: () => this.commitIndex,
        propose: (configuration) =>
          this.#writer.placeable &&
          !this.#noopDue &&
          this.#proposing.proposeControl('configuration', encodeConfiguration(configuration), configuration),
        onFailed: (error) => this.#fail(error),
        onChanged: () => this.#whileRunning(() => {}),
      },
      this.#raft,
      this.#hello(),
    )
  }

  #hello(): Hello {
    const { hardState } = this.#member
    return {
      wireVersion: WIRE_VERSION,
      group: this.#options.group,
      member: this.#options.self,
      storeId: hardState.storeId,
      fileBytes: this.#settings.fileBytes,
      advertised: this.#options.advertised,
      incarnation: hardState.incarnation,
      leaseReads: this.#settings.leaseReads,
    }
  }

  #assembleCatchUp(): void {
    const { clock, transport, stateMachine, logger, self, directory } = this.#options
    const { disk } = this.#watch
    const shared = {
      member: this.#member,
      raft: this.#raft,
      settings: this.#settings,
      transport,
      logger,
      self,
      role: () => this.#role,
      commitIndex: () => this.commitIndex,
      whileRunning: (work: () => void) => this.#whileRunning(work),
    }
    this.#installSender = new InstallSender({
      ...shared,
      stateMachine,
      budget: this.#budget,
      readEntries: (firstIndex, lastIndex, bytesMax, callback) =>
        this.#sending.readEntries(firstIndex, lastIndex, bytesMax, callback),
    })
    this.#retention = new Retention({
      settings: this.#settings,
      disk,
      directory,
      raft: this.#raft,
      log: this.#member.log,
      neededByInstall: (peer) => this.#installSender.neededBy(peer),
      leadsInTerm: () => (this.#role.ready && this.#state === 'open' ? this.#role.term : null),
      keptFrom: () => this.#neededFrom,
      propose: (before) => this.#proposeTrim(before),
    })
    this.#installReceiver = new InstallReceiver({
      ...shared,
      disk,
      directory,
      checksummedFrom: this.#member.hardState.checksummedFrom,
      defer: (callback) => clock.defer(callback),
      hasStateMachine: stateMachine !== null,
      appliedIndex: () => this.appliedIndex,
      faults: this.#faults,
      onWhole: (incoming) => this.#switchTo(incoming),
      onFailed: (error) => this.#fail(error),
    })
  }

  // ------------------------------------------------------------------------------------------------ another member's log

  /** A received log is whole: it takes the place of the own one as soon as nothing is under way on that. */
  #switchTo(incoming: Incoming): void {
    this.#isSwitching = true
    this.#whenStill(() => {
      if (!this.#takesEntries) {
        // A stop does not begin it: the next start goes on with what was received.
        this.#isSwitching = false
        return
      }
      if (!this.#installReceiver.isStillBetter(incoming)) {
        this.#isSwitching = false
        this.#installReceiver.abandoned()
        return
      }
      this.#member.writeHardState({ incoming: { ...incoming, phase: 'SWITCHING' } }, (error) => {
        if (error !== null) return this.#fail(error)
        this.#whenStill(() => this.#replaceFiles({ ...incoming, phase: 'SWITCHING' }))
      })
    })
  }

  /** Calls back, within a guard, when no write, no read and no change of the hard state that others wait for is under way. */
  #whenStill(callback: () => void): void {
    const { clock } = this.#options
    if (!this.#isRunning) return
    const isStill =
      this.#writer.quiet && !this.#durability.writesTermOrVote && this.#reads === 0 && !this.#trimming.isUnderWay
    if (isStill) this.#guarded(callback)
    else clock.after(1, () => this.#whenStill(callback))
  }

  #replaceFiles(incoming: Incoming): void {
    const { directory, logger } = this.#options
    const { disk } = this.#watch
    const [appliedIndex, over] = [this.appliedIndex, this.#installReceiver.overAck(incoming.hint?.index ?? -1)]
    const term = this.#raft.status().term
    this.#writer.stop()
    this.#installReceiver.close()
    this.#abortBackups(invalid('the log was replaced by that of another member meanwhile'))
    this.#member.closeLog()
    const change = moveIn(disk, directory, { settings: this.#settings, incoming })
    this.#member.writeHardState(change, (error) => {
      if (error !== null) return this.#fail(error)
      if (!this.#isRunning) return
      this.#guarded(() => {
        this.#member.reopenLog()
        const { log } = this.#member
        logger.info(
          { firstIndex: log.firstIndex, lastIndex: log.lastIndex },
          'the files of another member are in place',
        )
        this.#proposing.failQueued(noLeader())
        this.#reading.failAll(noLeader())
        this.#hot.clear()
        this.#assemble({
          appliedIndex: Math.max(appliedIndex, this.#options.stateMachine === null ? log.firstIndex - 1 : -1),
          commitIndex: log.lastIndex,
        })
        this.#isSwitching = false
        this.#applying.synced(log.lastIndex)
        this.#options.stateMachine?.roleChanged(this.#role)
        this.#restore()
        if (over !== null) this.#tellOver(over, term)
      })
      this.#schedulePass()
    })
  }

  #tellOver(
    { to, id, index }: { readonly to: MemberId; readonly id: number; readonly index: number },
    term: number,
  ): void {
    const { transport, self } = this.#options
    const { storeId } = this.#member.hardState
    transport.send(
      { type: 'InstallAck', from: self, to, storeId, term, id, nextIndex: 0, stateAt: -1, isOver: true, index },
      null,
    )
  }

  /** Takes the received state in, if one waits for that. */
  #restore(): void {
    const { stateMachine, directory } = this.#options
    const { disk } = this.#watch
    const { incoming } = this.#member.hardState
    if (incoming?.phase !== 'RESTORING' || incoming.snapshot === null) return
    if (stateMachine === null || this.appliedIndex >= incoming.snapshot.index) {
      // Taken in already: a crash came before that was remembered.
      if (this.#applying.isRestoring) this.#applying.restored(this.appliedIndex)
      this.#member.writeHardState({ incoming: null }, (error) => {
        if (error !== null) this.#fail(error)
      })
      return
    }
    this.#restoring = new Restoring({
      disk,
      directory,
      member: this.#member,
      stateMachine,
      snapshot: incoming.snapshot,
      whileRunning: (work) => this.#whileRunning(work),
      onRestored: (index) => {
        this.#restoring = null
        this.#applying.restored(index)
      },
      onFailed: (error) => this.#fail(error),
    })
    this.#restoring.start()
  }

  /** What was waited for has come: it counts while the member runs, and gives a pass something to do. */
  #whileRunning(work: () => void): void {
    if (!this.#isRunning) return
    this.#guarded(work)
    this.#schedulePass()
  }

  get #isRunning(): boolean {
    return this.#state === 'open' || this.#state === 'closing'
  }

  #readCold(
    firstIndex: number,
    lastIndex: number,
    bytesMax: number,
    callback: (batch: EntryBatch | null) => void,
  ): void {
    this.#readLog(firstIndex, lastIndex, bytesMax, (error, batch) => {
      if (!this.#isRunning) return
      // Trimmed while it was read: as if it could not be.
      const isLost = isCorrupt(error) && this.#member.log.firstLostFrom(firstIndex) === firstIndex
      if (error !== null && !isLost && !isTrimmed(error)) return this.#fail(error)
      this.#whileRunning(() => callback(batch))
    })
  }

  /** Whoever is told that a start failed may try again at once; a disk that hangs does not keep the news back for ever. */
  #abandonStart(tell: () => void): void {
    let told = false
    const once = (): void => {
      if (told) return
      told = true
      cancel()
      tell()
    }
    const cancel = this.#options.clock.after(CLOSE_AFTER_FAILURE_MS_MAX, once)
    this.#member.abandon(once)
  }

  #join(callback: (error: Error | null) => void): void {
    this.#options.transport.start(
      this.#members.hello,
      {
        judge: (theirs) => this.#members.judge(theirs),
        message: (message, payload) => this.#onMessage(message, payload),
        peerConnected: (peer, theirs) => this.#onPeerConnected(peer, theirs),
        peerLost: (peer) => this.#onPeerLost(peer),
        peerRefused: (peer, refusal) => this.#onPeerRefused(peer, refusal),
      },
      (error) => {
        if (error !== null) return this.#abandonStart(() => callback(error))
        this.#state = 'open'
        this.#durability.started()
        this.#lastTickMs = this.#options.clock.monotonicMs()
        this.#armTick()
        this.#guarded(() => {
          this.#members.refresh()
          this.#applying.synced(this.#member.log.lastIndex)
          this.#restore()
          const voters = this.#raft.configuration().voters
          // Nobody else can be heard, so there is nothing to wait for.
          if (voters.length === 1 && voters[0]?.id === this.#options.self) this.#raft.campaign()
        })
        this.#schedulePass()
        callback(null)
      },
    )
  }

  // ------------------------------------------------------------------------------------------------ inputs

  #onMessage(message: Message, payload: Buffer | null): void {
    if (!this.#isRunning || this.#isSwitching) return
    this.#guarded(() => {
      if (message.type === 'InstallOffer' || message.type === 'InstallPiece' || message.type === 'InstallAck') {
        this.#onInstall(message, payload)
        return
      }
      if (message.type === 'AppendEntries' && message.count > 0) {
        if (!this.#takesEntries) return
        this.#onEntries(message, payload)
      } else if (message.type === 'RepairRequest') this.#repairing.requested(message)
      else if (message.type === 'RepairResponse') this.#repairing.answered(message, payload)
      else this.#raft.step(message)
      if (message.type === 'Heartbeat' || message.type === 'HeartbeatResponse') {
        // The traffic of an idle group: it asks for nothing that a pass could gather, unless it tells of a commit.
        this.#drain(null)
        this.#reading.heard()
        return
      }
      this.#schedulePass()
    })
  }

  #onInstall(message: InstallOffer | InstallPiece | InstallAck, payload: Buffer | null): void {
    if (!this.#takesEntries) return
    if (!(message.type === 'InstallAck' ? this.#raft.hears(message) : this.#raft.hearsAsLeader(message))) return
    if (message.type === 'InstallOffer') this.#installReceiver.offered(message, payload)
    else if (message.type === 'InstallPiece') this.#installReceiver.received(message, payload)
    else if (this.#role.role === 'LEADER') this.#installSender.acknowledged(message)
    this.#schedulePass()
  }

  #onEntries(message: Extract<Message, { type: 'AppendEntries' }>, payload: Buffer | null): void {
    let batch: EntryBatch
    try {
      if (payload === null) throw new Error('the entries are missing')
      const firstIndex = message.prevIndex + 1
      const expected = {
        firstIndex,
        term: message.entriesTerm,
        count: message.count,
        fileBytes: this.#settings.fileBytes,
      }
      if (!this.#unchecked.mayTake(message, payload, expected)) return
      batch = checkBatch(payload, { ...expected, checksummedFrom: this.#member.log.checksummedFrom })
    } catch (error) {
      // Damaged on the way or never well formed: as if it had been lost. The leader repeats it.
      this.#options.logger.warn({ err: error, from: message.from }, 'entries from a peer were refused')
      return
    }
    if (!this.#member.log.hasRoomFor(batch)) {
      // As if it had been lost: nothing is acknowledged that has no place on the disk. Only a new leader is heard, once: answered
      // without its entries, it would send the next ones at once, and so on for as long as the disk is full.
      if (message.term > this.#role.term) this.#raft.step({ ...message, count: 0, entriesTerm: 0, bytes: 0 })
      return
    }
    // What was collected before belongs to earlier inputs; this one's append must be seen alone.
    this.#drain(null)
    this.#raft.step(message, batch.sizes)
    this.#drain(batch)
  }

  #onPeerConnected(id: MemberId, hello: Hello): void {
    this.#whileRunning(() => {
      this.#members.connected(id, hello)
      this.#options.observer?.peerChanged(id, true)
      this.#options.onProgress?.()
    })
  }

  #onPeerLost(id: MemberId): void {
    this.#whileRunning(() => {
      this.#members.lost(id)
      this.#options.observer?.peerChanged(id, false)
      this.#options.onProgress?.()
    })
  }

  #onPeerRefused(id: MemberId, refusal: Refusal): void {
    this.#whileRunning(() => {
      // A member that has nothing yet was set up wrongly; one that holds entries of a group stays with it.
      if (this.#members.refused(id, refusal) && this.#member.log.lastIndex === -1) this.#fail(invalid(refusal.why))
    })
  }

  get #heartbeatTicks(): number {
    return Math.max(1, Math.round(this.#settings.heartbeatMs / this.#settings.tickMs))
  }

  /**
   * One wake-up lives through the ticks of one heartbeat: nothing in between is due that soon, and waking is what an idle
   * member costs. After a stall no more than that is lived through at once.
   */
  get #wakeMs(): number {
    return this.#heartbeatTicks * this.#settings.tickMs
  }

  #armTick(): void {
    const ticker = this.#options.ticker ?? new SharedTicker(this.#options.clock)
    this.#cancelTick = ticker.every(this.#wakeMs, () => this.#tick())
  }

  /**
   * Ticks are counted on one time line, so that they never run ahead of this member's clock by more than a part of one: the
   * promises that leases rest on are counted in them. After a stall, what is not lived through is forgotten.
   */
  #ticksPassed(nowMs: number): number {
    const { tickMs } = this.#settings
    const passed = Math.max(0, Math.floor((nowMs - this.#lastTickMs) / tickMs + TICK_EARLY_MAX))
    if (passed > this.#heartbeatTicks) {
      this.#lastTickMs = nowMs
      return this.#heartbeatTicks
    }
    this.#lastTickMs += passed * tickMs
    return passed
  }

  #tick(): void {
    if (!this.#isRunning) return
    const nowMs = this.#options.clock.monotonicMs()
    const ticks = this.#ticksPassed(nowMs)
    this.#budget.refill(this.#wakeMs)
    this.#guarded(() => {
      const { log } = this.#member
      if (log.isFull) log.retryFull()
      this.#installReceiver.retryFull()
      this.#health = this.#watch.look(nowMs) | (log.isFull ? StorageHealth.FULL : 0)
      this.#raft.storageHealth(this.#health)
      if (this.#isSwitching) return
      for (let i = 0; i < ticks; i++) this.#raft.tick()
      this.#sending.refilled()
      this.#installSender.heartbeat()
      this.#pending.expire(nowMs)
      this.#reading.tick(nowMs)
      this.#drain(null)
      this.#repairing.wake()
      this.#scrubber.wake(nowMs)
      this.#retention.wake(nowMs, this.#options.clock.nowMs())
    })
    this.#membersDue = true
    this.#pass()
  }

  // ------------------------------------------------------------------------------------------------ one pass

  #schedulePass(): void {
    if (this.#passScheduled) return
    this.#passScheduled = true
    this.#options.clock.defer(() => this.#pass())
  }

  #pass(): void {
    this.#passScheduled = false
    if (!this.#isRunning) return
    this.#guarded(() => {
      this.#drain(null)
      if (this.#isSwitching) return
      this.#noticeFull()
      this.#proposing.proposeQueued(this.#noopDue)
      this.#reading.ask()
      this.#applying.apply()
      this.#drain(null)
      this.#members.refresh()
      if (this.#membersDue && this.#state === 'open') {
        this.#membersDue = false
        this.#members.step()
      }
      this.#trimming.trim()
      // Whatever the core takes for hot is kept: it sends that without asking for it. What waits to be applied is not: what the
      // core has dropped is durable and committed, so it can be read from the disk again.
      this.#hot.shrink(this.#raft.hotFirstIndex - 1)
      this.#tellChanges()
    })
  }

  #tellChanges(): void {
    const { log } = this.#member
    const { isRestoring } = this.#applying
    const { isRecovering, configurationIndex } = this.#raft
    if (this.#changes.hasChanged(log, this.#storageState, isRestoring, isRecovering, configurationIndex)) {
      this.#options.onProgress?.()
    }
  }

  /** At once: data must not use up what is left for the log's own entries. */
  #noticeFull(): void {
    if (!this.#member.log.isFull || (this.#health & StorageHealth.FULL) !== 0) return
    this.#health |= StorageHealth.FULL
    this.#raft.storageHealth(this.#health)
  }

  #drain(carried: EntryBatch | null): void {
    for (;;) {
      const output = this.#raft.takeOutput()
      if (output === null) break
      this.#handle(output, carried)
      carried = null
    }
    if (this.#noopDue && this.#writer.placeable) {
      this.#noopDue = false
      this.#proposing.proposeControl('noop', Buffer.alloc(0))
    }
  }

  #handle(output: Output, carried: EntryBatch | null): void {
    if (output.hardState !== null) this.#durability.writeTermAndVote(output.hardState.term, output.hardState.votedFor)
    if (output.persistSeq > 0) this.#persist(output, carried)
    for (const message of output.send) this.#sending.send(message)
    this.#sending.hold(output.sendAfterHardState)
    if (!this.#durability.writesTermOrVote || this.#faults.has('reply-before-hard-state')) this.#sending.sendHeld()
    for (const read of output.coldReads) this.#sending.read(read)
    if (this.#applying.committed(output.commitIndex)) this.#schedulePass()
    if (output.role !== null) this.#onRole(output.role)
    for (const { token, index } of output.reads) this.#reading.answered(token, index)
    if (output.becomesIntact) this.#becomeIntact()
  }

  /** A recovering member holds again what it may have lost. */
  #becomeIntact(): void {
    this.#writer.whenSynced(() =>
      this.#durability.becomeIntact(() =>
        this.#whileRunning(() => {
          this.#options.logger.info({ self: this.#options.self }, 'recovered: this member counts again')
          this.#raft.intact()
        }),
      ),
    )
  }

  #persist(output: Output, carried: EntryBatch | null): void {
    const { truncateFrom, append } = output
    if (truncateFrom !== null) this.#applying.truncated(truncateFrom)
    if (truncateFrom !== null && !this.#faults.has('hot-tail-not-truncated')) {
      this.#hot.truncateFrom(truncateFrom)
      this.#sending.truncated()
    }
    let batches: readonly EntryBatch[] = []
    if (append !== null) {
      batches = carried === null ? this.#proposing.takeBuilt() : [sliceBatch(carried, append.firstIndex)]
      assert(batches[0]?.firstIndex === append.firstIndex, 'the batch at hand is the one the core appended')
      for (const batch of batches) {
        this.#hot.push(batch)
        this.#options.observer?.appended(batch.firstIndex, batch.count, batch.bytes.length, batch.term)
      }
    }
    this.#writer.submit(output.persistSeq, truncateFrom, batches)
    if (carried !== null) for (const batch of batches) this.#noticeConfigurations(batch)
  }

  #noticeConfigurations(batch: EntryBatch): void {
    let at = 0
    for (let i = 0; i < batch.count; i++) {
      const size = batch.sizes[i] as number
      if (channelAt(batch.bytes, at) === EntryChannel.CONFIGURATION) {
        const body = batch.bytes.subarray(at + ENTRY_HEADER_BYTES, at + size)
        const configuration = decodeConfiguration(this.#options.controlEnvelope.unwrap(body))
        this.#raft.configurationAppended(batch.firstIndex + i, configuration)
      }
      at += size
    }
  }

  // ------------------------------------------------------------------------------------------------ role

  #onSynced(mark: LogMark, tookMs: number): void {
    this.#options.observer?.synced(mark.index, tookMs)
    this.#applying.synced(Math.min(mark.index, this.#writer.truncatesFrom - 1))
    this.#durability.synced(mark)
  }

  #onRole(role: RoleState): void {
    const before = this.#role
    this.#role = role
    this.#membersDue = true
    if (before.role === 'LEADER' && (role.role !== 'LEADER' || role.term !== before.term)) {
      this.#noopDue = false
      this.#pending.abandon('was waiting when the leadership was lost; it may still be committed')
    }
    if (role.role === 'LEADER' && (before.role !== 'LEADER' || role.term !== before.term)) this.#noopDue = true
    if (before.role !== role.role || before.ready !== role.ready || before.leader !== role.leader) {
      this.#options.logger.info({ ...role, self: this.#options.self }, 'role changed')
    }
    this.#options.stateMachine?.roleChanged(role)
    this.#options.observer?.elected(role)
    for (const waiter of this.#roleWaiters) waiter()
    if (!this.#proposing.isEmpty) this.#schedulePass()
    this.#options.onProgress?.()
  }

  // ------------------------------------------------------------------------------------------------ stop

  #guarded(work: () => void): void {
    if (this.#state === 'failed' || this.#state === 'closed') return
    try {
      work()
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #fail(error: Error): void {
    if (this.#state === 'failed' || this.#state === 'closed') return
    const wasLeader = this.#role.role === 'LEADER'
    this.#storageFailed = error instanceof DLedgerError && error.code === 'STORAGE_FAILED'
    this.#options.logger.error({ err: error }, 'the member stops')
    if (wasLeader) this.#tellSuccessor()
    this.#state = 'failed'
    this.#stopParts()
    this.#writer.stop()
    this.#role = { role: 'FOLLOWER', term: this.#role.term, leader: null, ready: false }
    // Whoever throws here does not keep the others from learning it.
    const told = [
      () => this.#handingOver.abandon(closed()),
      () => this.#proposing.failQueued(closed()),
      () => this.#members.abandon('the member stopped'),
      () => this.#reading.failAll(closed()),
      () => this.#pending.abandon('was waiting when the member stopped; it may still be committed'),
      () => this.#options.stateMachine?.roleChanged(this.#role),
    ]
    for (const tell of told) {
      try {
        tell()
      } catch (failure) {
        this.#options.logger.error({ err: failure }, 'somebody threw when told that the member stops')
      }
    }
    this.#options.onFatal(error)
  }

  /** TimeoutNow needs no disk: the best follower can stand at once. */
  #tellSuccessor(): void {
    try {
      this.#raft.transferLeadership(null)
      for (let output = this.#raft.takeOutput(); output !== null; output = this.#raft.takeOutput()) {
        for (const message of output.send) {
          if (message.type === 'TimeoutNow') this.#options.transport.send(message, null)
        }
      }
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'the leadership could not be handed over')
    }
  }

  #stopParts(): void {
    this.#cancelTick?.()
    this.#cancelTick = null
    this.#roleWaiters = []
    this.#installSender?.stop()
    this.#installReceiver?.close()
    this.#restoring?.abort()
    this.#abortBackups(closed())
  }

  #abortBackups(reason: Error): void {
    for (const backup of this.#backups) backup.abort(reason)
  }

  /** Waits until the disk is quiet, but not for ever. */
  #closeFiles(callback: (error: Error | null) => void): void {
    const { clock, logger, transport } = this.#options
    const wasFailed = this.#state === 'failed'
    const waitMs = wasFailed ? CLOSE_AFTER_FAILURE_MS_MAX : this.#settings.storageHangMs
    let ended = false
    const end = (error: Error | null): void => {
      if (ended) return
      ended = true
      cancel()
      transport.close(() => callback(error))
    }
    const cancel = clock.after(waitMs, () => {
      const error = this.#watch.unfinished(waitMs)
      logger.error({ err: error }, 'closing does not wait for the disk any longer')
      this.#guarded(() => this.#pending.abandon('was waiting when the log was closed; it may still be committed'))
      this.#release(() => {})
      // What failed before was told then.
      end(wasFailed ? null : error)
    })
    // Not within this call: it may come from a callback in the middle of a pass.
    clock.defer(() => this.#whenQuiet(() => this.#finish((error) => this.#release(() => end(error)))))
  }

  #whenQuiet(callback: () => void): void {
    if (this.#state === 'closed') return
    const isStill = this.#writer.quiet && !this.#durability.writesTermOrVote && this.#reads === 0
    const quiet = isStill && !this.#isSwitching
    if (this.#state === 'failed' || quiet) return callback()
    this.#options.clock.after(1, () => this.#whenQuiet(callback))
  }

  #finish(done: (error: Error | null) => void): void {
    if (this.#state !== 'failed') this.#state = 'finishing'
    this.#guarded(() => this.#pending.abandon('was waiting when the log was closed; it may still be committed'))
    if (this.#state === 'failed') return done(null)
    this.#writer.flush((error, mark, isAll) => {
      if (this.#state === 'closed') return
      if (error !== null) return done(error)
      if (!isAll) this.#options.logger.warn({}, 'what waited for room on the disk, or for a repair, was given up')
      this.#durability.stopped(mark, isAll, done)
    })
  }

  #release(callback: () => void): void {
    this.#state = 'closed'
    this.#stopParts()
    this.#writer.stop()
    this.#member.release(callback)
  }
}

function noLeader(): DLedgerError {
  return new DLedgerError('this member is not the leader', { code: 'NOT_LEADER', leader: null })
}

function isTrimmed(error: Error): boolean {
  return error instanceof DLedgerError && error.code === 'TRIMMED'
}

function isCorrupt(error: Error | null): boolean {
  return error instanceof DLedgerError && error.detail.code === 'CORRUPT'
}

function closed(): DLedgerError {
  return new DLedgerError('the log is closed', { code: 'CLOSED' })
}
