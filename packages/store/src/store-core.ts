/**
 * The parts of a store and how they hang together, without the log's own driver: what a simulation runs, and what
 * `MessageStore` opens on a real log.
 *
 *   const core = new StoreCore(options)
 *   core.load(…)                       takes up what is kept
 *   open a log with `stateMachine: core.machine, controlEnvelope: core.envelope`
 *   core.attach(log)                   from here on it acts: delivers delayed messages, expires locks
 *
 * Keeps: before `attach` nothing is proposed and nothing is read from the log.
 */
import { dirname } from 'node:path'
import { background, type Clock, type Logger } from '@dledger-ts/base'
import type { Disk } from '@dledger-ts/dledger'
import { type HostAddress, SystemTopic } from '@dledger-ts/protocol'
import type { ApacheConfig } from './apache/config-files.ts'
import type { ApacheCheckpointFiles } from './apache/checkpoint-files.ts'
import { TakeOver } from './apache/take-over.ts'
import { StoreMachine } from './apply.ts'
import { Checkpointer } from './checkpoint.ts'
import { CheckedEntries } from './consume-queue/checked-entries.ts'
import { DiscardedFiles } from './consume-queue/discarded-files.ts'
import { QueueFiles } from './consume-queue/queue-files.ts'
import { SumRows } from './consume-queue/sum-rows.ts'
import { DiskRoom, withRoom } from './disk-room.ts'
import { StoreError } from './errors.ts'
import { RecordEnvelope } from './control-envelope.ts'
import { KeyIndex } from './key-index/key-index.ts'
import type { KeyIndexSettings } from './key-index/layout.ts'
import { KeyQueries } from './key-index/query.ts'
import { type AttachedLog, LogPort } from './log-port.ts'
import { BLANK_BYTES_MIN, ENTRY_HEADER_BYTES, physicalOffsetOf } from './log-place.ts'
import type { QueueEndRow } from './metadata/change.ts'
import { ChangeProposer } from './metadata/change-proposals.ts'
import { ConsumerOffsets } from './metadata/consumer-offsets.ts'
import type { MetadataStore } from './metadata/metadata-store.ts'
import { SealedMetadata } from './metadata/sealed-metadata.ts'
import { QueueLocks } from './metadata/queue-locks.ts'
import { OrderedPops } from './pop/ordered-pops.ts'
import { Pops } from './pop/pops.ts'
import { Putter } from './put.ts'
import { MessageReader } from './read.ts'
import { FullRebuild, type RebuildProgress } from './rebuild/full-rebuild.ts'
import { QueueChecks } from './rebuild/queue-checks.ts'
import { QueueRepairs } from './rebuild/queue-repairs.ts'
import { Rebuilder } from './rebuild/rebuilder.ts'
import { NeededEntries, UndeliveredMessages } from './retention/needed-entries.ts'
import { MinOffsets } from './retention/min-offsets.ts'
import { LevelMoves, movableHalfMessages, movableTimers } from './retention/movable.ts'
import { PendingMoves } from './retention/pending-moves.ts'
import { RowMoves } from './retention/row-moves.ts'
import { PutOnce } from './send-once/put-once.ts'
import { type SendsProgress, StoredSends } from './send-once/stored-sends.ts'
import { StateTransfer } from './snapshot/state-transfer.ts'
import type { RepeatedSends } from './statistics.ts'
import { DelayDelivery } from './timer/delay-delivery.ts'
import { RecordReader } from './timer/record-reader.ts'
import { TimerDelivery } from './timer/timer-delivery.ts'
import type { TimerSettings } from './timer/timer-message.ts'
import { TimerRecall } from './timer/timer-recall.ts'
import { Transactions } from './transaction/transactions.ts'

export interface StoreCoreOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly disk: Disk
  readonly metadata: MetadataStore
  readonly consumeQueueDirectory: string
  readonly consumeQueueFileBytes: number
  /** Null: keys are not indexed, and what was indexed before is left alone. */
  readonly keyIndex: KeyIndexSettings | null
  /** Size of a log file. */
  readonly fileBytes: number
  readonly delayLevelsMs: readonly number[]
  readonly timerSettings: TimerSettings
  readonly hotBytesMax: number
  /** @see GetRequest.limits */
  readonly inMemoryBytes: number
  readonly checkpointIntervalMs: number
  readonly storeHost: HostAddress | null
  /** This boot of the machine; empty when it is not known: then every start counts as one after a power cut. */
  readonly bootId: string
  /** What Apache's tools read beside the queues. Default none. */
  readonly apacheFiles?: ApacheCheckpointFiles | null
  /** @see StoreMachineOptions. Default false. */
  readonly takesOverApache?: boolean
  /** Recognises repeated sends; null when that is off. */
  readonly sendOnce?: { readonly windowMs: number; readonly idsMax: number; readonly timeoutMs: number } | null
  /** Told how far a start is that applies the log again. @see FullRebuild */
  readonly onRebuild?: ((progress: RebuildProgress) => void) | null
  /** Told how far the log is read for the sends of the last span. @see StoredSends */
  readonly onSendsRead?: ((progress: SendsProgress) => void) | null
  /** Writing what is derived failed: the member takes part until its next entry, then its log stops it. */
  readonly onFailed: (error: Error) => void
}

/** What is told to the outside; each after the state is complete. */
export interface StoreCoreEvents {
  roleChanged(): void
  topicsChanged(): void
}

export class StoreCore {
  readonly machine: StoreMachine
  readonly envelope: RecordEnvelope
  readonly putter: Putter
  readonly reader: MessageReader
  readonly changes: ChangeProposer
  readonly offsets: ConsumerOffsets
  readonly locks: QueueLocks
  /** Builds what is derived from a range of the log again. */
  readonly rebuilder: Rebuilder
  readonly keyIndex: KeyIndex | null
  readonly queries: KeyQueries | null
  /** Queues whose files are being built again. */
  readonly repairs: QueueRepairs
  /** The start that applies the log again. */
  readonly fullRebuild: FullRebuild
  readonly #checks: QueueChecks
  readonly #checkpointer: Checkpointer
  readonly #transfer: StateTransfer
  readonly #files: QueueFiles
  readonly #discarded: DiscardedFiles
  readonly #room: DiskRoom
  readonly #minOffsets: MinOffsets
  readonly recall: TimerRecall
  readonly transactions: Transactions
  readonly pops: Pops
  readonly orderedPops: OrderedPops
  readonly #delays: DelayDelivery
  readonly #takeOver: TakeOver
  readonly #sends: StoredSends | null
  readonly #once: PutOnce | null
  readonly #timers: TimerDelivery
  /** Told of trims. */
  readonly moves: PendingMoves
  readonly #port = new LogPort()
  #events: StoreCoreEvents | null = null
  #isRetired = false
  #epoch = -1

  constructor(options: StoreCoreOptions) {
    const { clock, logger, storeHost, fileBytes, delayLevelsMs, timerSettings } = options
    const recordBytesMax = fileBytes - ENTRY_HEADER_BYTES - BLANK_BYTES_MIN
    const log = this.#port
    const takesOverApache = options.takesOverApache ?? false
    const sendOnce = options.sendOnce ?? null
    const sends =
      sendOnce === null
        ? null
        : new StoredSends({ ...sendOnce, clock, logger, onProgress: options.onSendsRead ?? null })
    const { hotBytesMax } = options
    const machine = new StoreMachine({ clock, delayLevelsMs, hotBytesMax, fileBytes, takesOverApache, sends })
    const room = new DiskRoom({
      clock,
      logger,
      freeBytes: () => options.disk.freeBytesSync(dirname(options.consumeQueueDirectory)),
      unwrittenBytes: () =>
        machine.applied.physicalEnd - Math.max(this.#checkpointer.kept.physicalEnd, machine.logStartPos),
      makeRoom: () => log.makeRoom(),
    })
    this.#room = room
    const files = new QueueFiles({
      disk: options.disk,
      directory: options.consumeQueueDirectory,
      fileBytes: options.consumeQueueFileBytes,
      room,
    })
    this.#discarded = new DiscardedFiles({
      disk: options.disk,
      directory: options.consumeQueueDirectory,
      clock,
      logger,
    })
    const metadata = new SealedMetadata(withRoom(options.metadata, room), clock)
    machine.metadata.attach(metadata)
    this.machine = machine
    this.#files = files
    this.envelope = new RecordEnvelope(storeHost, () => machine.nextStoreTimestamp())
    this.#sends = sends
    const sums = new SumRows(metadata, files.entriesPerFile)
    const entries = new CheckedEntries(files, sums)
    this.rebuilder = new Rebuilder({ machine, files, sums, log, delayLevelsMs })
    this.repairs = new QueueRepairs({
      machine,
      rebuilder: this.rebuilder,
      log,
      clock,
      logger,
      kept: () => this.#checkpointer.kept,
    })
    this.fullRebuild = new FullRebuild({
      machine,
      clock,
      logger,
      kept: () => this.#checkpointer.kept,
      lastIndex: () => log.lastIndex,
      onProgress: options.onRebuild ?? null,
    })
    this.#checks = new QueueChecks({ files, repairs: this.repairs, clock })
    const minOffsets = new MinOffsets({ machine, files, entries, sums, repairs: this.repairs, clock, logger })
    this.#minOffsets = minOffsets
    this.reader = new MessageReader({
      machine,
      files: entries,
      log,
      clock,
      fileBytes,
      inMemoryBytes: options.inMemoryBytes,
      minOffsets,
      repairs: this.repairs,
    })
    const once =
      sendOnce === null || sends === null
        ? null
        : new PutOnce({
            machine,
            sends,
            clock,
            logger,
            timeoutMs: sendOnce.timeoutMs,
            propose: (proposal) => log.propose(proposal),
            messageAt: (physicalOffset) => this.reader.messageAt(physicalOffset),
          })
    this.#once = once
    this.putter = new Putter({ machine, log, clock, delayLevelsMs, timerSettings, recordBytesMax, once })
    this.changes = new ChangeProposer({ machine, log, storeHost, recordBytesMax })
    this.offsets = new ConsumerOffsets({ machine, changes: this.changes, clock, logger })
    this.locks = new QueueLocks({ machine, changes: this.changes, clock, logger })
    const { timerPrecisionMs } = timerSettings
    this.#delays = new DelayDelivery({
      machine,
      reader: this.reader,
      putter: this.putter,
      timerPrecisionMs,
      recordBytesMax,
      clock,
      logger,
      delayLevelsMs,
    })
    const records = new RecordReader({ machine, log })
    this.#timers = new TimerDelivery({ machine, records, putter: this.putter, clock, logger, timerPrecisionMs })
    this.recall = new TimerRecall({
      machine,
      records,
      changes: this.changes,
      delivery: this.#timers,
      timerPrecisionMs,
    })
    this.pops = new Pops({ machine, changes: this.changes, putter: this.putter, offsets: this.offsets, clock })
    this.orderedPops = new OrderedPops({ machine, changes: this.changes, offsets: this.offsets })
    this.transactions = new Transactions({
      machine,
      records,
      putter: this.putter,
      changes: this.changes,
      clock,
      storeHost,
      messageAt: (physicalOffset) => this.reader.messageAt(physicalOffset),
      newestHalf: (uniqueId) => this.#newestHalf(uniqueId),
    })
    this.#takeOver = new TakeOver({ machine, reader: this.reader, changes: this.changes, clock, logger })
    // Whoever else reads records of what is pending stands here, too.
    const needs = [new UndeliveredMessages(machine, this.reader), machine.metadata.pendingFiles]
    const needed = new NeededEntries({ log, needs, logger })
    const { putter } = this
    this.moves = new PendingMoves({
      machine,
      log,
      needs,
      pending: [
        new LevelMoves(machine, this.reader, this.#delays),
        new RowMoves({ rows: movableTimers(machine, this.#timers, clock), records, putter }),
        new RowMoves({ rows: movableHalfMessages(machine), records, putter }),
      ],
      fileBytes,
      clock,
      logger,
      cleared: () => this.#checkpointer.syncNext(),
    })
    const onFailed = (error: Error): void => {
      machine.fail(error)
      options.onFailed(error)
    }
    const { disk, checkpointIntervalMs } = options
    this.keyIndex =
      options.keyIndex === null
        ? null
        : new KeyIndex({
            ...options.keyIndex,
            machine,
            log,
            logFileBytes: fileBytes,
            disk,
            metadata,
            clock,
            logger,
            writeIntervalMs: checkpointIntervalMs,
            onFailed,
          })
    this.queries =
      this.keyIndex === null ? null : new KeyQueries({ index: this.keyIndex, machine, reader: this.reader, clock })
    this.#checkpointer = new Checkpointer({
      machine,
      files,
      sums,
      metadata,
      keyIndex: this.keyIndex,
      clock,
      logger,
      bootId: options.bootId,
      apacheFiles: options.apacheFiles ?? null,
      intervalMs: checkpointIntervalMs,
      firstNeeded: (callback) => needed.firstNeeded(callback),
      minimaKept: (queues) => minOffsets.kept(queues),
      onFailed,
    })
    const onRestored = (): void => this.#restored(logger)
    this.#transfer = new StateTransfer({ machine, metadata, checkpointer: this.#checkpointer, clock, onRestored })
    machine.hook({
      applied: () => {
        this.#checkpointer.applied()
        this.#once?.applied()
        this.keyIndex?.applied()
        this.fullRebuild.applied()
      },
      durable: (index) => {
        this.#checkpointer.durable(index)
        this.keyIndex?.durable(index)
      },
      topicsChanged: () => this.#events?.topicsChanged(),
      delaysChanged: () => {
        this.#delays.wake()
        this.#timers.wake()
      },
      roleChanged: () => this.#roleChanged(),
      discarded: () => this.#checkpointer.discard(),
      openSnapshot: (callback) => this.#transfer.open(callback),
      restore: (index) => {
        this.fullRebuild.abandon()
        return this.#transfer.restore(index)
      },
      trimApplied: () => {
        this.#checkpointer.syncNext()
        this.moves.wake()
      },
      logStarts: () => {
        minOffsets.sweep()
        this.keyIndex?.removeBefore(physicalOffsetOf(machine.logStartPos))
      },
      logEnds: (lastIndex, endPos) => this.fullRebuild.logEnds(lastIndex, endPos),
    })
  }

  /** Takes up what is kept beside the log, or nothing. @see Checkpointer.load */
  load(callback: (error: Error | null) => void): void {
    this.#transfer.finish((failure) => {
      if (failure !== null) return callback(failure)
      this.#checkpointer.load((error) => {
        if (error === null) {
          this.keyIndex?.loaded()
          this.#checks.note(this.machine)
        }
        callback(error)
      })
    })
  }

  /** The state of another member was taken up: what hangs on it begins anew, as after a start. */
  #restored(logger: Logger): void {
    this.keyIndex?.loaded()
    if (!this.#port.isAttached) return
    this.#discarded.remove()
    this.#repair()
    this.keyIndex?.applied()
    background(this.takeUpSends(), 'reading the sends of the last span', logger)
    this.#events?.topicsChanged()
  }

  async #newestHalf(key: string): Promise<Buffer | undefined> {
    if (this.queries === null) return undefined
    const wanted = { topic: SystemTopic.TRANSACTION_HALF, key, maxCount: 1, uniqueKeyOnly: true }
    const { records, isComplete } = await this.queries.query(wanted)
    if (records.length > 0 || isComplete) return records[0]
    throw new StoreError(
      `it is not known whether there is a half message ${key}: a part of the key index is being built`,
      {
        code: 'BUSY',
      },
    )
  }

  #repair(): void {
    this.repairs.start(this.#checkpointer.unsynced, [], () => {
      this.#checkpointer.recovered()
      this.#minOffsets.sweep()
    })
  }

  /** What Apache's broker left beside a log that is taken over. Before `attach`. */
  useApacheFiles(config: ApacheConfig | null, queueEnds: readonly QueueEndRow[]): void {
    this.#takeOver.use(config, queueEnds)
  }

  /** A leader that takes messages. */
  get isReady(): boolean {
    return this.machine.role.ready && !this.#takeOver.isDue
  }

  attach(log: AttachedLog, events: StoreCoreEvents | null): void {
    this.#port.attach(log)
    this.#events = events
    this.keyIndex?.attach()
    this.#repair()
    this.#checks.start()
    this.#discarded.remove()
    this.#roleChanged()
  }

  /** Reads the sends of the last span from the log, so that their repetitions are recognised; nothing when that is off. */
  async takeUpSends(): Promise<void> {
    await this.#sends?.rebuild(this.#port, () => this.machine.appliedIndex)
  }

  /** How far the log is read for the sends of the last span; null when it is not. */
  get sendsRead(): SendsProgress | null {
    return this.#sends?.progress ?? null
  }

  /** Null where repeated sends are not recognised. */
  repeatedSends(): RepeatedSends | null {
    if (this.#sends === null || this.#once === null) return null
    const { count: known, forgottenEarly } = this.#sends
    return { known, repetitions: this.#once.repetitions, forgottenEarly }
  }

  /** Writes what is derived from entries up to `durableIndex`, which are synced, and syncs it. */
  flush(durableIndex: number, callback: (error: Error | null) => void): void {
    this.#checkpointer.durable(durableIndex)
    this.keyIndex?.durable(durableIndex)
    this.#checkpointer.flush((error) => {
      if (error !== null || this.keyIndex === null) callback(error)
      else this.keyIndex.flush(callback)
    })
  }

  /** The member is about to stop: what a leader does by itself ends, what it is asked still goes on. */
  retire(): void {
    this.#isRetired = true
    this.#takeOver.stop()
    this.#delays.stop()
    this.moves.stop()
    this.#timers.stop()
    this.locks.stop()
  }

  /** The log is closed: whatever a leader does ends here, and no checkpoint begins by itself any more. */
  stop(): void {
    this.retire()
    this.#checks.stop()
    this.#discarded.stop()
    this.repairs.stop()
    this.rebuilder.stop()
    this.#checkpointer.stop()
    this.#room.stop()
    this.keyIndex?.stop()
    this.machine.roleChanged({ role: 'FOLLOWER', term: this.machine.role.term, leader: null, ready: false })
  }

  /** Calls back when no checkpoint and nothing of the key index is under way. */
  whenIdle(callback: () => void): void {
    this.#checkpointer.whenIdle(() => {
      if (this.keyIndex === null) callback()
      else this.keyIndex.whenIdle(callback)
    })
  }

  /** Ends what a leader does, waits for a checkpoint under way, closes the files. The metadata store is its opener's to close. */
  close(callback: () => void): void {
    this.stop()
    this.#minOffsets.stop()
    this.whenIdle(() => {
      this.rebuilder.whenIdle(() => {
        this.reader.close(() => {
          this.#files.closeSync()
          this.#discarded.whenIdle(callback)
        })
      })
    })
  }

  checkInvariants(): void {
    this.machine.checkInvariants()
    this.keyIndex?.checkInvariants()
  }

  #roleChanged(): void {
    if (!this.#port.isAttached) return
    this.#once?.roleChanged()
    this.offsets.roleChanged()
    if (this.#epoch !== this.machine.epoch) {
      this.transactions.roleChanged()
      this.pops.roleChanged()
    }
    this.#epoch = this.machine.epoch
    if (!this.#isRetired) {
      this.locks.roleChanged()
      // Its entries come before everything that a client may ask for now.
      if (this.#takeOver.isDue) {
        this.#takeOver.roleChanged(() => this.#roleChanged())
      } else {
        this.#delays.roleChanged()
        this.#timers.roleChanged()
        this.moves.roleChanged()
      }
    }
    this.#events?.roleChanged()
  }
}
