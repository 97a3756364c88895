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
import type { NodeSettings } from './config.ts'
import { checkNames, checkSettings, entryBodyBytesMax, invalid } from './config.ts'
import { decodeConfiguration, encodeConfiguration } from './configuration-codec.ts'
import type { Disk } from './disk/disk.ts'
import { DLedgerError } from './errors.ts'
import { HotTail, offsetIn } from './hot-tail.ts'
import { ENTRY_HEADER_BYTES, EntryChannel, type EntryBatch } from './log/entry-batch.ts'
import { checkBatch, sliceBatch } from './log/entry-codec.ts'
import { BatchBuilder } from './batch-builder.ts'
import { LogWriter, type LogMark } from './log-writer.ts'
import { type OpenedMember, openMember } from './open-member.ts'
import { failEach, PendingProposals } from './pending-proposals.ts'
import type { PlantedDriverFault } from './planted-driver-faults.ts'
import type { Configuration } from './raft/configuration.ts'
import type { MemberId, Message } from './raft/messages.ts'
import type { ColdRead, Output, ProposalKind, RoleState } from './raft/output.ts'
import type { PlantedFault } from './raft/planted-faults.ts'
import { Raft } from './raft/raft.ts'
import type { CommittedEntry, ControlEnvelope, Proposal, StateMachine } from './state-machine.ts'
import type { Hello, Transport } from './transport/transport.ts'

/** Entries and bytes applied in one pass at most, so that applying a long log does not hold up heartbeats. */
const APPLY_COUNT_MAX = 4096
const APPLY_BYTES_MAX = 8 * 1024 * 1024
/** Entries proposed as one batch at most. */
const PROPOSE_COUNT_MAX = 1024
const WIRE_VERSION = 1
/** Configuration entries remembered beside the durable hint; only the newest two matter. */
const CONFIGURATIONS_KEPT = 16

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
  readonly settings: NodeSettings
  /** Null: entries are only kept and read. */
  readonly stateMachine: StateMachine | null
  readonly controlEnvelope: ControlEnvelope
  /** Told to the peers; free text. */
  readonly advertised: string
  /** Who owns the directory: this process. */
  readonly owner: DirectoryOwner
  readonly newStoreId: () => string
  /** Something was applied, or the role changed. */
  readonly onProgress?: () => void
  /** The member has stopped for good after a storage failure or a broken invariant. */
  readonly onFatal: (error: Error) => void
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

export interface PeerStatus {
  readonly id: MemberId
  readonly connected: boolean
  /** What the peer said of itself; null until it has connected once. */
  readonly advertised: string | null
}

export interface NodeStatus extends RoleState {
  readonly self: MemberId
  readonly group: string
  readonly storeId: string
  readonly firstIndex: number
  readonly lastIndex: number
  readonly commitIndex: number
  readonly appliedIndex: number
  readonly peers: readonly PeerStatus[]
}

/** `finishing`: the last sync of a clean stop is under way, nothing more is taken in. */
type State = 'new' | 'open' | 'closing' | 'finishing' | 'closed' | 'failed'

type ReadCallback = (error: Error | null, batch: EntryBatch | null) => void

export class LogNode {
  readonly #options: LogNodeOptions
  readonly #settings: NodeSettings
  readonly #faults: ReadonlySet<PlantedDriverFault>
  readonly #peers = new Map<MemberId, { connected: boolean; hello: Hello | null }>()
  #state: State = 'new'
  #member!: OpenedMember
  #raft!: Raft
  #writer!: LogWriter
  #builder!: BatchBuilder
  #hot: HotTail
  readonly #pending = new PendingProposals()
  #queued: Proposal[] = []
  #queuedBytes = 0
  #built: EntryBatch[] = []
  #noopDue = false
  /** The leadership has just become ready: identities may be waiting to be bound. */
  #bindDue = false
  #passScheduled = false
  #role: RoleState = { role: 'FOLLOWER', term: 0, leader: null, ready: false }
  #commitIndex = -1
  #appliedIndex = -1
  /** Entries of the log as it is now are synced up to here. */
  #syncedIndex = -1
  /** What the state machine was told to be durable. */
  #toldDurable = -1
  #applyReading = false
  /** Reads of the log under way: the files stay open for them. */
  #reads = 0
  /** False once a close waits for the disk to be quiet: a leader that goes on sending must not hold it up. */
  #takesEntries = true
  readonly #coldBatches = new Map<MemberId, EntryBatch>()
  #heldMessages: Message[] = []
  #hardStateWrites = 0
  #hint: LogMark | null = null
  #hintAtMs = Number.NEGATIVE_INFINITY
  #lastTickMs = 0
  #cancelTick: (() => void) | null = null
  #roleWaiters: (() => void)[] = []

  constructor(options: LogNodeOptions) {
    this.#options = options
    this.#settings = options.settings
    this.#faults = options.plantedDriverFaults ?? new Set()
    this.#hot = new HotTail(options.settings.hotBytesMax)
  }

  /** Opens the directory (synchronously, recovering it), then joins the group. @throws nothing: `callback` gets the error. */
  start(callback: (error: Error | null) => void): void {
    assert(this.#state === 'new', 'a member is started once')
    try {
      checkSettings(this.#settings)
      checkNames(this.#options.group, this.#options.self, this.#options.bootstrapVoters)
      this.#member = openMember(this.#options)
    } catch (error) {
      callback(error as Error)
      return
    }
    // After a plain process kill the kept bytes may be in the page cache only: nothing counts before they are synced.
    this.#member.log.sync((error) => {
      if (error !== null) {
        this.#member.abandon()
        return callback(error)
      }
      try {
        this.#assemble()
        this.#join(callback)
      } catch (failure) {
        this.#member.abandon()
        callback(failure as Error)
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
      commitIndex: this.#commitIndex,
      appliedIndex: this.#appliedIndex,
      peers: [...this.#peers].map(([id, peer]) => ({
        id,
        connected: peer.connected,
        advertised: peer.hello?.advertised ?? null,
      })),
    }
  }

  get role(): RoleState {
    return this.#role
  }

  get commitIndex(): number {
    return this.#commitIndex
  }

  get appliedIndex(): number {
    return this.#appliedIndex
  }

  get raft(): Raft {
    return this.#raft
  }

  /** What `peer` advertised when it last connected. */
  advertisedOf(peer: MemberId): string | null {
    if (peer === this.#options.self) return this.#options.advertised
    return this.#peers.get(peer)?.hello?.advertised ?? null
  }

  /** Queues a proposal for this pass of the event loop. Its outcome is never told from within this call. Hot. */
  propose(proposal: Proposal): void {
    if (this.#state !== 'open') {
      this.#options.clock.defer(() => {
        proposal.failed(closed())
      })
      return
    }
    if (this.#queuedBytes > this.#settings.uncommittedBytesMax) {
      this.#options.clock.defer(() => proposal.failed(this.#refusal('BUSY')))
      return
    }
    this.#queued.push(proposal)
    this.#queuedBytes += proposal.bodyBytes
    this.#schedulePass()
  }

  /** Reads committed entries [firstIndex, lastIndex] of one term, at least one, until `bytesMax`. */
  read(firstIndex: number, lastIndex: number, bytesMax: number, callback: ReadCallback): void {
    if (this.#filesAreClosed) {
      this.#options.clock.defer(() => callback(closed(), null))
      return
    }
    const hot = this.#hot.find(firstIndex)
    if (hot !== undefined) {
      this.#options.clock.defer(() => callback(null, hot))
      return
    }
    this.#readLog(firstIndex, this.#lastColdIndex(lastIndex), bytesMax, callback)
  }

  /** Reads raw log bytes at a position. */
  readBytes(pos: number, size: number, callback: (error: Error | null, bytes: Buffer | null) => void): void {
    if (this.#filesAreClosed) {
      this.#options.clock.defer(() => callback(closed(), null))
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
    return this.#state === 'finishing' || this.#state === 'closed'
  }

  #readLog(firstIndex: number, lastIndex: number, bytesMax: number, callback: ReadCallback): void {
    this.#member.log.read(firstIndex, lastIndex, bytesMax, (error, batch) => {
      this.#reads--
      callback(error, batch)
    })
    this.#reads++
  }

  /** Asks a follower (the best one for null) to take over. @returns false when this member is not the leader. */
  transferLeadership(target: MemberId | null): boolean {
    if (this.#state !== 'open') return false
    const begun = this.#raft.transferLeadership(target)
    this.#schedulePass()
    return begun
  }

  /**
   * Hands over the leadership, syncs and closes. Queued proposals fail with CLOSED, waiting ones with TIMEOUT.
   * The callback's error is a failed final sync; everything is released all the same.
   */
  close(callback: (error: Error | null) => void): void {
    if (this.#state === 'closed' || this.#state === 'new') return callback(null)
    if (this.#state === 'failed') return this.#release(() => callback(null))
    assert(this.#state === 'open', 'a member is closed once')
    this.#state = 'closing'
    this.#guarded(() => this.#failQueued())
    const stop = (): void => {
      this.#takesEntries = false
      this.#stopParts()
      // Not within this call: it may come from a callback in the middle of a pass.
      this.#options.clock.defer(() => this.#whenQuiet(() => this.#finish(callback)))
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

  #assemble(): void {
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
    this.#appliedIndex = machine?.appliedIndex ?? log.firstIndex - 1
    this.#commitIndex = this.#appliedIndex
    this.#hint = hardState.durableHint
    this.#raft = new Raft(
      {
        self: this.#options.self,
        selfStoreId: hardState.storeId,
        bootstrapVoters: this.#options.bootstrapVoters,
        heartbeatTicks: this.#heartbeatTicks,
        electionTicks: Math.max(2, Math.round(this.#settings.electionTimeoutMs / this.#settings.tickMs)),
        random: this.#options.random,
        inflightBytesMax: this.#settings.inflightBytesMax,
        appendBytesMax: this.#settings.appendBytesMax,
        uncommittedBytesMax: this.#settings.uncommittedBytesMax,
        hotBytesMax: this.#settings.hotBytesMax,
        hardState: { term: hardState.term, votedFor: hardState.votedFor },
        log: this.#member.shape,
        appliedIndex: this.#appliedIndex,
      },
      this.#options.plantedFaults,
    )
    this.#role = { role: 'FOLLOWER', term: this.#raft.status().term, leader: null, ready: false }
    this.#builder = new BatchBuilder(log, this.#options.controlEnvelope)
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
      onSynced: (mark) => this.#guarded(() => this.#onSynced(mark)),
      beforeTruncate: (index, callback) => this.#guarded(() => this.#lowerHint(index, callback)),
      onIdle: () => {
        if (this.#noopDue || this.#queued.length > 0) this.#schedulePass()
      },
      onFailed: (error) => this.#fail(error),
    })
  }

  #join(callback: (error: Error | null) => void): void {
    const hello: Hello = {
      wireVersion: WIRE_VERSION,
      group: this.#options.group,
      member: this.#options.self,
      storeId: this.#member.hardState.storeId,
      fileBytes: this.#settings.fileBytes,
      advertised: this.#options.advertised,
    }
    for (const id of this.#options.bootstrapVoters) {
      if (id !== this.#options.self) this.#peers.set(id, { connected: false, hello: null })
    }
    this.#options.transport.start(
      hello,
      {
        judge: (theirs) => this.#whyAnotherStore(theirs),
        message: (message, payload) => this.#onMessage(message, payload),
        peerConnected: (peer, theirs) => this.#onPeerConnected(peer, theirs),
        peerLost: (peer) => this.#onPeerLost(peer),
        peerRefused: (peer, why) => this.#onPeerRefused(peer, why),
      },
      (error) => {
        if (error !== null) {
          this.#member.abandon()
          return callback(error)
        }
        this.#state = 'open'
        this.#lastTickMs = this.#options.clock.monotonicMs()
        this.#armTick()
        this.#syncedIndex = this.#member.log.lastIndex
        this.#guarded(() => {
          this.#tellDurable()
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
    if (this.#state !== 'open' && this.#state !== 'closing') return
    this.#guarded(() => {
      if (message.type === 'AppendEntries' && message.count > 0) {
        if (!this.#takesEntries) return
        this.#onEntries(message, payload)
      } else this.#raft.step(message)
      if (message.type === 'Heartbeat' || message.type === 'HeartbeatResponse') {
        // The traffic of an idle group: it asks for nothing that a pass could gather, unless it tells of a commit.
        this.#drain(null)
        return
      }
      this.#schedulePass()
    })
  }

  #onEntries(message: Extract<Message, { type: 'AppendEntries' }>, payload: Buffer | null): void {
    let batch: EntryBatch
    try {
      if (payload === null) throw new Error('the entries are missing')
      batch = checkBatch(payload, {
        firstIndex: message.prevIndex + 1,
        term: message.entriesTerm,
        count: message.count,
        fileBytes: this.#settings.fileBytes,
      })
    } catch (error) {
      // Damaged on the way or never well formed: as if it had been lost. The leader repeats it.
      this.#options.logger.warn({ err: error, from: message.from }, 'entries from a peer were refused')
      return
    }
    // What was collected before belongs to earlier inputs; this one's append must be seen alone.
    this.#drain(null)
    this.#raft.step(message, batch.sizes)
    this.#drain(batch)
  }

  /** A wiped or restored disk comes under its old name with another identity: what it promised before is forgotten. */
  #whyAnotherStore(hello: Hello): string | null {
    const bound = this.#raft.configuration().voters.find((voter) => voter.id === hello.member)?.storeId ?? null
    if (bound === null || bound === hello.storeId) return null
    return (
      `group ${hello.group} knows ${hello.member} by store ${bound}, but it comes with store ${hello.storeId}: ` +
      'its disk was replaced, so it may not vote under its old name'
    )
  }

  #onPeerConnected(id: MemberId, hello: Hello): void {
    if (this.#state !== 'open' && this.#state !== 'closing') return
    const peer = this.#peers.get(id)
    if (peer === undefined) return
    peer.connected = true
    peer.hello = hello
    this.#guarded(() => this.#raft.peerConnected(id))
    this.#schedulePass()
  }

  #onPeerLost(id: MemberId): void {
    if (this.#state !== 'open' && this.#state !== 'closing') return
    const peer = this.#peers.get(id)
    if (peer !== undefined) peer.connected = false
    this.#guarded(() => this.#raft.peerLost(id))
    this.#schedulePass()
  }

  #onPeerRefused(id: MemberId, why: string): void {
    this.#options.logger.error({ peer: id, why }, 'a peer does not fit')
    // A member that has nothing yet was set up wrongly; one that holds entries of a group stays with it.
    if (this.#member.log.lastIndex === -1) this.#fail(invalid(why))
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
    this.#cancelTick = this.#options.clock.after(this.#wakeMs, () => {
      const lateMs = this.#options.clock.monotonicMs() - this.#lastTickMs - this.#wakeMs
      // After a stall, messages that already arrived are heard before the time that passed: it is not the leader's silence.
      if (lateMs * 2 > this.#settings.tickMs) this.#options.clock.defer(() => this.#tick())
      else this.#tick()
    })
  }

  #tick(): void {
    if (this.#state !== 'open' && this.#state !== 'closing') return
    const nowMs = this.#options.clock.monotonicMs()
    const passed = Math.round((nowMs - this.#lastTickMs) / this.#settings.tickMs)
    this.#lastTickMs = nowMs
    this.#guarded(() => {
      for (let i = 0; i < Math.min(Math.max(1, passed), this.#heartbeatTicks); i++) this.#raft.tick()
      this.#pending.expire(nowMs)
      this.#drain(null)
      this.#bindIdentities()
    })
    this.#pass()
    if (this.#state === 'open' || this.#state === 'closing') this.#armTick()
  }

  // ------------------------------------------------------------------------------------------------ one pass

  #schedulePass(): void {
    if (this.#passScheduled) return
    this.#passScheduled = true
    this.#options.clock.defer(() => this.#pass())
  }

  #pass(): void {
    this.#passScheduled = false
    if (this.#state !== 'open' && this.#state !== 'closing') return
    this.#guarded(() => {
      this.#drain(null)
      this.#proposeQueued()
      this.#apply()
      this.#drain(null)
      if (this.#bindDue) {
        this.#bindDue = false
        this.#bindIdentities()
      }
      // Whatever the core takes for hot is kept: it sends that without asking for it.
      this.#hot.shrink(Math.min(this.#appliedIndex, this.#raft.hotFirstIndex - 1))
    })
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
      this.#proposeControl('noop', Buffer.alloc(0))
      this.#drain(null)
    }
  }

  #handle(output: Output, carried: EntryBatch | null): void {
    if (output.hardState !== null) this.#writeTermAndVote(output.hardState.term, output.hardState.votedFor)
    if (output.persistSeq > 0) this.#persist(output, carried)
    for (const message of output.send) this.#send(message)
    this.#heldMessages.push(...output.sendAfterHardState)
    if (this.#hardStateWrites === 0 || this.#faults.has('reply-before-hard-state')) this.#sendHeld()
    for (const read of output.coldReads) this.#readCold(read)
    if (output.commitIndex > this.#commitIndex) {
      this.#commitIndex = output.commitIndex
      this.#schedulePass()
    }
    if (output.role !== null) this.#onRole(output.role)
  }

  #persist(output: Output, carried: EntryBatch | null): void {
    const { truncateFrom, append } = output
    if (truncateFrom !== null) this.#syncedIndex = Math.min(this.#syncedIndex, truncateFrom - 1)
    if (truncateFrom !== null && !this.#faults.has('hot-tail-not-truncated')) {
      this.#hot.truncateFrom(truncateFrom)
      this.#coldBatches.clear()
    }
    let batches: readonly EntryBatch[] = []
    if (append !== null) {
      batches = carried === null ? this.#built : [sliceBatch(carried, append.firstIndex)]
      this.#built = []
      assert(batches[0]?.firstIndex === append.firstIndex, 'the batch at hand is the one the core appended')
      for (const batch of batches) this.#hot.push(batch)
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
        this.#checkOwnIdentity(configuration)
      }
      at += size
    }
  }

  #checkOwnIdentity(configuration: Configuration): void {
    const bound = configuration.voters.find((voter) => voter.id === this.#options.self)?.storeId ?? null
    const own = this.#member.hardState.storeId
    if (bound === null || bound === own) return
    throw invalid(
      `${this.#options.directory}: the group ${this.#options.group} knows ${this.#options.self} by store ${bound}, ` +
        `but this store is ${own}: its disk was replaced or restored, so it may not vote under its old name`,
    )
  }

  #send(message: Message): void {
    if (message.type !== 'AppendEntries' || message.count === 0) {
      this.#options.transport.send(message, null)
      return
    }
    const payload = this.#payloadOf(message.to, message.prevIndex + 1, message.count)
    // Gone from memory meanwhile: as if the frame had been lost.
    if (payload !== null) this.#options.transport.send(message, payload)
  }

  #payloadOf(peer: MemberId, firstIndex: number, count: number): Buffer[] | null {
    const hot = this.#hot.slices(firstIndex, count)
    if (hot !== undefined) return hot
    const cold = this.#coldBatches.get(peer)
    if (cold === undefined || cold.firstIndex > firstIndex || cold.firstIndex + cold.count < firstIndex + count)
      return null
    this.#coldBatches.delete(peer)
    return [cold.bytes.subarray(offsetIn(cold, firstIndex), offsetIn(cold, firstIndex + count))]
  }

  #sendHeld(): void {
    if (this.#heldMessages.length === 0) return
    const held = this.#heldMessages
    this.#heldMessages = []
    for (const message of held) this.#send(message)
  }

  #readCold(read: ColdRead): void {
    const answer = (error: Error | null, batch: EntryBatch | null): void => {
      if (this.#state !== 'open' && this.#state !== 'closing') return
      if (error !== null) return this.#fail(error)
      this.#guarded(() => {
        if (batch === null) return this.#raft.coldRead(read.peer, read.firstIndex, 0, 0)
        this.#coldBatches.set(read.peer, batch)
        this.#raft.coldRead(read.peer, batch.firstIndex, batch.count, batch.bytes.length)
        this.#drain(null)
        this.#coldBatches.delete(read.peer)
      })
      this.#schedulePass()
    }
    // An entry whose write is still under way is not in the file yet, but it is hot.
    const hot = this.#hot.find(read.firstIndex)
    if (hot !== undefined) {
      const part = hotPart(hot, read)
      this.#options.clock.defer(() => answer(null, part))
      return
    }
    this.#readLog(read.firstIndex, this.#lastColdIndex(read.lastIndex), read.bytesMax, answer)
  }

  // ------------------------------------------------------------------------------------------------ proposals

  #proposeQueued(): void {
    if (this.#queued.length === 0) return
    const queue = this.#queued
    this.#queued = []
    this.#queuedBytes = 0
    // No leader that takes writes is here before these are over, however long the disk takes.
    if (!this.#writer.placeable || this.#noopDue) {
      return this.#refuse(queue, this.#refusal(this.#role.role === 'LEADER' ? 'NOT_READY' : 'NOT_LEADER'))
    }
    const bodyBytesMax = entryBodyBytesMax(this.#settings)
    const tooLarge: Proposal[] = []
    let at = 0
    try {
      while (at < queue.length) {
        const chunk: Proposal[] = []
        let bytes = 0
        while (at < queue.length && chunk.length < PROPOSE_COUNT_MAX && bytes < this.#settings.appendBytesMax) {
          const proposal = queue[at++] as Proposal
          if (proposal.bodyBytes > bodyBytesMax) {
            tooLarge.push(proposal)
            continue
          }
          bytes += ENTRY_HEADER_BYTES + proposal.bodyBytes
          chunk.push(proposal)
        }
        if (chunk.length > 0) this.#proposeChunk(chunk)
      }
    } catch (error) {
      // The member stops, which tells them.
      this.#queued.push(...tooLarge, ...queue.slice(at))
      throw error
    }
    failEach(tooLarge, (proposal) => proposal.failed(tooLargeError(proposal.bodyBytes, bodyBytesMax)))
  }

  #proposeChunk(chunk: readonly Proposal[]): void {
    const sizes = chunk.map((proposal) => ENTRY_HEADER_BYTES + proposal.bodyBytes)
    const placed = this.#raft.propose('data', sizes)
    if (typeof placed === 'string') return this.#refuse(chunk, this.#refusal(placed))
    assert(placed.firstIndex === this.#member.log.lastIndex + 1, 'a proposal follows the end of the log')
    const deadlineMs = this.#options.clock.monotonicMs() + this.#settings.proposalTimeoutMs
    let pending = 0
    try {
      this.#built.push(
        this.#builder.build(placed.firstIndex, placed.term, sizes, (i, target, bodyAt, pos) => {
          const proposal = chunk[i] as Proposal
          const place = this.#pending.add(placed.firstIndex + i, placed.term, pos, deadlineMs, proposal)
          pending++
          proposal.encodeBody(target, bodyAt, place)
        }),
      )
    } catch (error) {
      this.#queued.push(...chunk.slice(pending))
      throw error
    }
    this.#drain(null)
    if (this.#faults.has('acknowledged-before-commit')) this.#pending.applied(this.#member.log.lastIndex)
  }

  #proposeControl(kind: Exclude<ProposalKind, 'data'>, payload: Buffer, configuration?: Configuration): void {
    const wrapped = this.#builder.wrapControl(kind, payload, this.#role.term)
    const placed = this.#raft.propose(kind, [wrapped.bytes.length], configuration)
    if (typeof placed === 'string') return
    assert(placed.firstIndex === wrapped.firstIndex && placed.term === wrapped.term, 'a control entry follows the log')
    this.#built.push(wrapped)
    this.#drain(null)
  }

  #refusal(why: 'NOT_LEADER' | 'TRANSFERRING' | 'BUSY' | 'NOT_READY'): DLedgerError {
    if (why === 'BUSY') {
      return new DLedgerError(
        `more than ${this.#settings.uncommittedBytesMax} bytes wait to be committed; try again later`,
        { code: 'BUSY', uncommittedBytes: this.#settings.uncommittedBytesMax },
      )
    }
    const leader = this.#role.role === 'LEADER' ? null : this.#role.leader
    const text =
      why === 'TRANSFERRING'
        ? 'this member is handing over the leadership'
        : why === 'NOT_READY'
          ? 'this member has just become leader and does not take writes yet'
          : `this member is not the leader${leader === null ? '; none is known' : `; ${leader} is`}`
    return new DLedgerError(text, { code: 'NOT_LEADER', leader })
  }

  #failQueued(): void {
    const queue = this.#queued
    this.#queued = []
    this.#queuedBytes = 0
    this.#refuse(queue, closed())
  }

  /** Every one of them is told, also when one throws. */
  #refuse(proposals: readonly Proposal[], error: DLedgerError): void {
    failEach(proposals, (proposal) => proposal.failed(error))
  }

  // ------------------------------------------------------------------------------------------------ apply

  #apply(): void {
    let count = 0
    let bytes = 0
    while (this.#appliedIndex < this.#commitIndex && !this.#applyReading) {
      const batch = this.#hot.find(this.#appliedIndex + 1)
      if (batch === undefined) {
        this.#applyFromDisk()
        return
      }
      if (count >= APPLY_COUNT_MAX || bytes >= APPLY_BYTES_MAX) {
        this.#schedulePass()
        return
      }
      count += batch.count
      bytes += batch.bytes.length
      this.#applyBatch(batch)
    }
  }

  #applyBatch(batch: EntryBatch): void {
    const from = this.#appliedIndex + 1
    const to = Math.min(this.#commitIndex, batch.firstIndex + batch.count - 1)
    const machine = this.#options.stateMachine
    if (machine !== null) {
      const entries: CommittedEntry[] = []
      let at = offsetIn(batch, from)
      for (let index = from; index <= to; index++) {
        const size = batch.sizes[index - batch.firstIndex] as number
        entries.push({
          index,
          term: batch.term,
          pos: batch.positions[index - batch.firstIndex] as number,
          kind: kindOf(channelAt(batch.bytes, at)),
          body: batch.bytes.subarray(at + ENTRY_HEADER_BYTES, at + size),
        })
        at += size
      }
      machine.apply(entries)
    }
    this.#afterApply(to)
  }

  #afterApply(index: number): void {
    this.#appliedIndex = index
    this.#raft.applied(index)
    this.#pending.applied(index)
    this.#options.onProgress?.()
    this.#tellDurable()
  }

  /** Only what is applied, and so committed, is told durable: what is synced beyond may still be truncated and replaced. */
  #tellDurable(): void {
    const index = Math.min(this.#syncedIndex, this.#appliedIndex)
    if (index <= this.#toldDurable) return
    this.#toldDurable = index
    this.#options.stateMachine?.durable(index)
  }

  #applyFromDisk(): void {
    const from = this.#appliedIndex + 1
    const to = this.#lastColdIndex(this.#commitIndex)
    if (this.#options.stateMachine === null) {
      this.#afterApply(to)
      this.#schedulePass()
      return
    }
    this.#applyReading = true
    this.#readLog(from, to, APPLY_BYTES_MAX, (error, batch) => {
      this.#applyReading = false
      if (this.#state !== 'open' && this.#state !== 'closing') return
      if (error !== null) return this.#fail(error)
      this.#guarded(() => {
        assert(batch !== null && batch.firstIndex === from, 'a committed entry can be read')
        this.#applyBatch(batch)
      })
      this.#schedulePass()
    })
  }

  /** What is hot may not be in the files yet, where even the entries that it replaces may stand: it is never read there. */
  #lastColdIndex(index: number): number {
    return Math.min(index, this.#hot.firstIndex - 1)
  }

  // ------------------------------------------------------------------------------------------------ hard state, role

  #writeTermAndVote(term: number, votedFor: MemberId | null): void {
    this.#hardStateWrites++
    this.#member.writeHardState({ term, votedFor }, (error) => {
      this.#hardStateWrites--
      if (error !== null) return this.#fail(error)
      if (this.#hardStateWrites > 0 || (this.#state !== 'open' && this.#state !== 'closing')) return
      this.#guarded(() => {
        this.#sendHeld()
        this.#raft.hardStatePersisted()
      })
      this.#schedulePass()
    })
  }

  #onSynced(mark: LogMark): void {
    this.#syncedIndex = Math.min(mark.index, this.#writer.truncatesFrom - 1)
    this.#tellDurable()
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs - this.#hintAtMs < this.#settings.tickMs * 2) return
    this.#hintAtMs = nowMs
    this.#hint = { index: mark.index, endPos: mark.endPos, chain: mark.chain }
    this.#member.writeHardState({ durableHint: this.#hint, ...this.#configurationIndexes(mark.index) }, (error) => {
      if (error !== null) this.#fail(error)
    })
  }

  /** Those up to a durable hint are kept with it, so that recovery need not read the log to find them. */
  #configurationIndexes(hintIndex: number): { configurationIndexes: readonly number[] } {
    const indexes = this.#member.log.configurationIndexes().filter((index) => index <= hintIndex)
    return { configurationIndexes: indexes.slice(-CONFIGURATIONS_KEPT) }
  }

  #lowerHint(index: number, callback: () => void): void {
    if (this.#hint === null || this.#hint.index < index) {
      this.#options.clock.defer(callback)
      return
    }
    // What is kept lies below the old hint, so it is synced; an empty log has nothing to vouch for.
    this.#hint = index > this.#member.log.firstIndex ? this.#member.log.hintBefore(index) : null
    const indexes = this.#hint === null ? { configurationIndexes: null } : this.#configurationIndexes(this.#hint.index)
    this.#member.writeHardState({ durableHint: this.#hint, ...indexes }, (error) => {
      if (error !== null) return this.#fail(error)
      callback()
    })
  }

  #onRole(role: RoleState): void {
    const before = this.#role
    this.#role = role
    if (role.ready) this.#bindDue = true
    if (before.role === 'LEADER' && (role.role !== 'LEADER' || role.term !== before.term)) {
      this.#noopDue = false
      this.#pending.abandon('was waiting when the leadership was lost; it may still be committed')
    }
    if (role.role === 'LEADER' && (before.role !== 'LEADER' || role.term !== before.term)) this.#noopDue = true
    if (before.role !== role.role || before.ready !== role.ready || before.leader !== role.leader) {
      this.#options.logger.info({ ...role, self: this.#options.self }, 'role changed')
    }
    this.#options.stateMachine?.roleChanged(role)
    for (const waiter of this.#roleWaiters) waiter()
    this.#options.onProgress?.()
  }

  /** Binds the store identities of members that have been heard and are not bound yet. */
  #bindIdentities(): void {
    if (!this.#role.ready || !this.#writer.placeable || this.#state !== 'open') return
    const configuration = this.#raft.configurationToPropose()
    if (configuration !== null) this.#proposeControl('configuration', encodeConfiguration(configuration), configuration)
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
    this.#options.logger.error({ err: error }, 'the member stops')
    if (wasLeader) this.#tellSuccessor()
    this.#state = 'failed'
    this.#stopParts()
    this.#writer.stop()
    this.#role = { role: 'FOLLOWER', term: this.#role.term, leader: null, ready: false }
    // Whoever throws here does not keep the others from learning it.
    const told = [
      () => this.#failQueued(),
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
  }

  #whenQuiet(callback: () => void): void {
    const quiet = this.#writer.quiet && this.#hardStateWrites === 0 && this.#reads === 0
    if (this.#state === 'failed' || quiet) return callback()
    this.#options.clock.after(1, () => this.#whenQuiet(callback))
  }

  #finish(callback: (error: Error | null) => void): void {
    const done = (error: Error | null): void => this.#release(() => callback(error))
    if (this.#state !== 'failed') this.#state = 'finishing'
    this.#guarded(() => this.#pending.abandon('was waiting when the log was closed; it may still be committed'))
    if (this.#state === 'failed') return done(null)
    this.#writer.flush((error, mark) => {
      if (error !== null) return done(error)
      const durableHint = mark === null ? this.#hint : { index: mark.index, endPos: mark.endPos, chain: mark.chain }
      const indexes = durableHint === null ? {} : this.#configurationIndexes(durableHint.index)
      this.#member.writeHardState({ durableHint, cleanStop: true, ...indexes }, done)
    })
  }

  #release(callback: () => void): void {
    this.#state = 'closed'
    this.#stopParts()
    this.#writer.stop()
    this.#member.release()
    this.#options.transport.close(callback)
  }
}

function channelAt(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at + 32)
}

function kindOf(channel: number): CommittedEntry['kind'] {
  if (channel === EntryChannel.NOOP) return 'noop'
  return channel === EntryChannel.CONFIGURATION ? 'configuration' : 'data'
}

function closed(): DLedgerError {
  return new DLedgerError('the log is closed', { code: 'CLOSED' })
}

function tooLargeError(bytes: number, bytesMax: number): DLedgerError {
  return new DLedgerError(`a body of ${bytes} bytes is too large; ${bytesMax} are allowed`, {
    code: 'TOO_LARGE',
    bytes,
    bytesMax,
  })
}

/** What a cold read asked for, cut from a hot batch: at least one entry, within the reader's bytes. */
function hotPart(hot: EntryBatch, { firstIndex, lastIndex, bytesMax }: ColdRead): EntryBatch {
  const rest = sliceBatch(hot, firstIndex)
  const countMax = Math.min(lastIndex - firstIndex + 1, rest.count)
  let count = 0
  let bytes = 0
  while (count < countMax && (count === 0 || bytes + (rest.sizes[count] as number) <= bytesMax)) {
    bytes += rest.sizes[count] as number
    count++
  }
  return {
    ...rest,
    count,
    bytes: rest.bytes.subarray(0, bytes),
    positions: rest.positions.slice(0, count),
    sizes: rest.sizes.slice(0, count),
  }
}
