/**
 * Messages over the replicated log: the public face of this package.
 *
 *   put ──► log ──► committed ──► apply ──► ConsumeQueues, metadata ──► get, listeners
 *
 * On disk, below one directory: `commitlog/dledger-<self>/` the log, the only truth; `consumequeue/` and `metadata/` what
 * applying it yields, which can be deleted and is built again.
 *
 * Keeps: nothing listens on a network unless other members are named. Opening and closing are in store-parts.ts; what the methods
 * keep true is said where they lead to.
 */
import { EventEmitter } from 'node:events'
import type { Clock } from '@dledger-ts/base'
import { type DLedger, DLedgerError, nodeDisk } from '@dledger-ts/dledger'
import { hostAddress, type MessageRecord, recordTopic } from '@dledger-ts/protocol'
import { logIds } from './apache/log-directory.ts'
import type {
  DataVersion,
  GetCallback,
  GetRequest,
  GetResult,
  MessageArrivalListener,
  NewMessage,
  OffsetBoundary,
  PutBatchListener,
  PutListener,
  PutResult,
  QueryRequest,
  QueryResult,
  QueueEntry,
  QueueKey,
  ReadRequest,
  Replica,
  RoleChangeListener,
  StoreStatus,
} from './api.ts'
import { Copies } from './copies.ts'
import { StoreError } from './errors.ts'
import { Arrivals, follow, type FollowOptions } from './follow.ts'
import { storeErrorOf, storeErrorOfDraft } from './log-errors.ts'
import { Listeners } from './listeners.ts'
import { MessageCount } from './message-count.ts'
import { type MessageInput, messageOf } from './message-input.ts'
import type { MessageStoreApi } from './message-store-api.ts'
import type { AccessEdit, ReadonlyAccess } from './metadata/access-changes.ts'
import { CHANGE_TOPIC } from './metadata/change.ts'
import { ConfigTables } from './metadata/config-tables.ts'
import type { SubscriptionGroupConfig } from './metadata/subscription-group-config.ts'
import type { TopicConfig } from './metadata/topic-config.ts'
import { type CheckedOptions, commitLogDirectory, type MessageStoreOptions } from './options.ts'
import { type StoreEvents, statisticsEvery, type StoreStatistics } from './statistics.ts'
import type { RequestModeConfig } from './metadata/request-modes.ts'
import type { OrderedPops } from './pop/ordered-pops.ts'
import type { Pops } from './pop/pops.ts'
import { PartialState } from './rebuild/partial-state.ts'
import { replicasOf } from './replicas.ts'
import { RoleChanges } from './role-changes.ts'
import type { StoreCore } from './store-core.ts'
import { closeStore, flushOffsetsBriefly, openStore, settled, type StoreParts } from './store-parts.ts'
import type { RecallRequest } from './timer/timer-recall.ts'
import type { EndTransaction, HalfMessagesPage, HalfMessagesRequest } from './transaction/transactions.ts'

const READ_DEFAULTS = { queueId: 0, queueOffset: 0, maxCount: 32, maxBytes: 256 * 1024, tagFilter: null }
/** Of messages that a program stores without saying where they come from. */
const NO_HOST = hostAddress('0.0.0.0', 0)
/** The answer of a store that indexes no keys. */
const NOTHING_INDEXED: QueryResult = {
  records: [],
  recordBytes: 0,
  isComplete: false,
  lastStoreTimestamp: 0,
  lastPhysicalOffset: 0,
}

export class MessageStore implements MessageStoreApi {
  readonly #parts: StoreParts
  readonly #core: StoreCore
  readonly #log: DLedger
  readonly #options: CheckedOptions
  readonly #clock: Clock
  readonly #copies: Copies
  readonly #tables: ConfigTables
  readonly #roles: RoleChanges
  readonly #partial: PartialState
  readonly #topicListeners = new Listeners<() => void>()
  #closing: Promise<void> | null = null
  readonly events = new EventEmitter<StoreEvents>()
  readonly #closingSignal = new AbortController()
  readonly #arrivals: Arrivals
  readonly #read = new MessageCount()

  private constructor(parts: StoreParts) {
    const { options, core, log } = parts
    this.#parts = parts
    this.#options = options
    this.#core = core
    this.#log = log
    this.#clock = options.clock
    this.#copies = new Copies(log)
    this.#tables = new ConfigTables(core)
    this.#partial = new PartialState(core)
    this.#roles = new RoleChanges({
      core,
      events: this.events,
      status: () => this.status(),
      requireOpen: () => this.#requireOpen(),
    })
    this.#arrivals = new Arrivals((listener) => core.machine.onMessages(listener))
    core.attach(log, {
      roleChanged: () => this.#roles.changed(),
      topicsChanged: () => {
        this.#topicListeners.each((listener) => listener())
        this.events.emit('topics')
      },
    })
  }

  /** The ids of the members whose logs are in the directories of a store; none where there is none. */
  static logIds({
    dir,
    commitLogDir,
    disk = nodeDisk,
  }: Pick<MessageStoreOptions, 'dir' | 'commitLogDir' | 'disk'>): readonly string[] {
    return logIds({
      disk,
      dir,
      commitLogDir: commitLogDirectory({ dir, ...(commitLogDir === undefined ? {} : { commitLogDir }) }),
    })
  }

  /**
   * Opens or makes a store. Resolves when the member runs; a group of one takes messages by then (with `serveWhileRebuilding` it may
   * still be applying its log again: `isReady`, `whenSettled`), others elect first.
   *
   * @throws StoreError INVALID (a setting, a directory in use or of another group), CORRUPT, UNSUPPORTED, STORAGE_FAILED;
   * nothing stays open then.
   */
  static open(given: MessageStoreOptions): Promise<MessageStore> {
    let store: MessageStore | null = null
    return openStore(given, {
      opened: (parts) => (store = new MessageStore(parts)),
      failed: (error) => store?.events.emit('failed', error),
    })
  }

  // ------------------------------------------------------------------------------------------------ what it tells of itself

  statistics(): StoreStatistics {
    const { machine, keyIndex, fullRebuild, repairs } = this.#core
    const { firstIndex, lastIndex, commitIndex, appliedIndex, storage } = this.#log.status()
    return {
      applied: machine.visible,
      read: this.#read.amount(),
      topics: machine.metadata.topics.size,
      queues: machine.queues.count,
      log: {
        firstIndex,
        lastIndex,
        commitIndex,
        appliedIndex,
        bytes: Math.max(0, machine.applied.physicalEnd - machine.logStartPos),
      },
      checkpointIndex: machine.checkpointIndex,
      rebuild: fullRebuild.progress,
      repairs: repairs.status,
      keyIndex: keyIndex?.progress ?? null,
      repeatedSends: this.#core.repeatedSends(),
      hotBytes: machine.hot.bytes,
      disk: { freeBytes: this.#options.disk.freeBytesSync(this.#options.given.dir), state: storage },
    }
  }

  statisticsEvery(
    intervalMs: number,
    options: { signal?: AbortSignal } = {},
  ): AsyncGenerator<StoreStatistics, void, undefined> {
    return statisticsEvery({
      clock: this.#clock,
      intervalMs,
      signal: options.signal,
      take: () => this.statistics(),
      closing: this.#closingSignal.signal,
    })
  }

  // ------------------------------------------------------------------------------------------------ role

  status(): StoreStatus {
    const { fullRebuild, repairs } = this.#core
    const { role } = this.#core.machine
    return {
      ...this.#log.status(),
      ...role,
      ready: this.#core.isReady,
      leaderAddress: role.leader === null ? null : this.#log.advertisedOf(role.leader),
      maxPhysicalOffset: this.maxPhysicalOffset(),
      rebuild: fullRebuild.progress,
      repairs: repairs.status,
      sendsRead: this.#core.sendsRead,
    }
  }

  isReady(): boolean {
    return this.#core.isReady
  }

  maxPhysicalOffset(): number {
    return this.#core.machine.applied.physicalEnd
  }

  isRebuilding(): boolean {
    return this.#partial.isPartial
  }

  async caughtUp(): Promise<void> {
    this.#requireOpen()
    try {
      await this.#log.readIndex()
    } catch (error) {
      throw error instanceof DLedgerError ? storeErrorOf(error) : error
    }
  }

  replicas(): Promise<readonly Replica[]> {
    return replicasOf(this.#log, this.#core.machine.applied)
  }

  /** Of a master and its slaves. */
  get copies(): Copies {
    return this.#copies
  }

  onRoleChange(listener: RoleChangeListener): () => void {
    return this.#roles.listen(listener)
  }

  whenSettled(options: { signal?: AbortSignal } = {}): Promise<StoreStatus> {
    return this.#roles.whenSettled(options.signal)
  }

  async transferLeadership(target?: string): Promise<boolean> {
    this.#requireOpen()
    await flushOffsetsBriefly(this.#parts)
    try {
      await this.#log.transferLeadership(target ?? null)
      return true
    } catch (error) {
      if (!(error instanceof DLedgerError)) throw error
      this.#options.logger.info({ err: error, target }, 'the leadership was not handed over')
      return false
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  // ------------------------------------------------------------------------------------------------ messages

  // Hot.
  put(message: NewMessage, listener: PutListener): void {
    this.#core.putter.put(message, listener)
  }

  putBatch(messages: readonly NewMessage[], listener: PutBatchListener): void {
    this.#core.putter.putBatch(messages, listener)
  }

  store(input: MessageInput): Promise<PutResult> {
    return new Promise((stored, putFailed) => {
      const host = this.#options.storeHost ?? NO_HOST
      try {
        this.put(messageOf(input, { nowMs: this.#clock.nowMs(), host }), { stored, putFailed })
      } catch (error) {
        putFailed(error instanceof StoreError ? error : storeErrorOfDraft(error))
      }
    })
  }

  get pops(): Pops {
    return this.#core.pops
  }

  get orderedPops(): OrderedPops {
    return this.#core.orderedPops
  }

  putHalf(message: NewMessage, listener: PutListener): void {
    this.#core.putter.putHalf(message, listener)
  }

  async halfMessages(request: HalfMessagesRequest): Promise<HalfMessagesPage> {
    this.#partial.requireWhole()
    return this.#core.transactions.halfMessages(request)
  }

  async halfMessage(physicalOffset: number): Promise<MessageRecord | undefined> {
    this.#partial.requireWhole()
    return this.#core.transactions.halfMessage(physicalOffset)
  }

  endTransaction(request: EndTransaction): Promise<PutResult | null> {
    return this.#core.transactions.end(request)
  }

  countCheck(physicalOffsets: readonly number[], checkedMs: number): Promise<void> {
    return this.#core.transactions.countCheck(physicalOffsets, checkedMs)
  }

  resumeHalfMessage(physicalOffset: number): Promise<boolean> {
    return this.#core.transactions.resume(physicalOffset)
  }

  recallTimer(request: RecallRequest): Promise<boolean> {
    return this.#core.recall.recall(request)
  }

  // Hot.
  getMessages(request: GetRequest, callback: GetCallback): void {
    this.#partial.get(request, this.#readMessages, callback)
  }

  readonly #readMessages = (request: GetRequest, callback: GetCallback): void => {
    this.#core.reader.get(request, (error, result) => {
      if (result !== null) this.#read.add(result.records.length, result.recordBytes)
      callback(error, result)
    })
  }

  get(request: ReadRequest): Promise<GetResult> {
    return new Promise((resolve, reject) => {
      this.#requireOpen()
      this.getMessages({ ...READ_DEFAULTS, ...request }, (error, result) => {
        if (result === null) reject(error as StoreError)
        else resolve(result)
      })
    })
  }

  follow(options: FollowOptions): AsyncGenerator<MessageRecord, void, undefined> {
    this.#requireOpen()
    const source = {
      closing: this.#closingSignal.signal,
      get: (request: GetRequest) => this.get(request),
      // It waits at the end for what comes, wherever that is.
      maxOffset: (topic: string, queueId: number) => this.#core.machine.queues.find(topic, queueId)?.nextOffset ?? 0,
      minOffset: (topic: string, queueId: number) => this.minOffset(topic, queueId),
      pause: () => new Promise<void>((resolve) => this.#clock.defer(resolve)),
    }
    return follow(source, this.#arrivals, options)
  }

  maxOffset(topic: string, queueId: number): number {
    this.#partial.requireWhole()
    return this.#core.machine.queues.find(topic, queueId)?.nextOffset ?? 0
  }

  minOffset(topic: string, queueId: number): number {
    return this.#core.machine.queues.find(topic, queueId)?.minOffset ?? 0
  }

  queueFloor(topic: string, queueId: number): number {
    return this.#core.machine.metadata.floors.get(topic, queueId)
  }

  async offsetByTimestamp(
    topic: string,
    queueId: number,
    timestamp: number,
    boundary: OffsetBoundary,
  ): Promise<number> {
    this.#partial.requireWhole()
    return this.#core.reader.offsetByTimestamp(topic, queueId, timestamp, boundary)
  }

  earliestStoreTime(topic: string, queueId: number): Promise<number> {
    return this.#partial.unless(-1, () => this.#core.reader.earliestStoreTime(topic, queueId))
  }

  oldestStoreTime(): Promise<number> {
    return this.#core.reader.oldestStoreTime()
  }

  storeTimeAt(topic: string, queueId: number, queueOffset: number): Promise<number> {
    return this.#partial.unless(-1, () => this.#core.reader.storeTimeAt(topic, queueId, queueOffset))
  }

  async messageAt(physicalOffset: number): Promise<Buffer | undefined> {
    const record = await this.#partial.messageAt(physicalOffset, (at) => this.#core.reader.messageAt(at))
    // Changes of the state are records, too, and hold what nobody may read: the passwords of users.
    return record === undefined || recordTopic(record) === CHANGE_TOPIC ? undefined : record
  }

  async query(request: QueryRequest): Promise<QueryResult> {
    this.#requireOpen()
    const { maxCount } = request
    if (!(maxCount >= 1)) {
      const what = `maxCount is ${maxCount}; at least 1 is allowed`
      throw new StoreError(what, { code: 'INVALID', what })
    }
    const { queries } = this.#core
    return queries === null ? NOTHING_INDEXED : this.#partial.query(() => queries.query(request))
  }

  async messageByUniqueId(topic: string, uniqueId: string): Promise<Buffer | undefined> {
    const { records, isComplete } = await this.query({ topic, key: uniqueId, maxCount: 1, uniqueKeyOnly: true })
    if (records.length === 0 && !isComplete && this.#core.queries !== null) {
      this.#partial.requireWhole()
      const what = `it is not known whether there is a message ${uniqueId}: a part of the key index is being built, or of the log is damaged`
      throw new StoreError(what, { code: 'BUSY' })
    }
    return records[0]
  }

  queueEntries(
    topic: string,
    queueId: number,
    from: number,
    count: number,
  ): Promise<readonly QueueEntry[] | undefined> {
    return this.#core.reader.queueEntries(topic, queueId, from, count)
  }

  delayOffsets(): ReadonlyMap<number, number> {
    return this.#core.machine.metadata.delivered
  }

  isInMemory(topic: string, queueId: number, queueOffset: number): boolean {
    const physicalOffset = this.#core.reader.knownPhysicalOffset(topic, queueId, queueOffset)
    if (physicalOffset < 0) return false
    return this.#core.machine.applied.physicalEnd - physicalOffset <= this.#options.inMemoryBytes
  }

  onMessages(listener: MessageArrivalListener): () => void {
    return this.#core.machine.onMessages(listener)
  }

  // ------------------------------------------------------------------------------------------------ topics and groups

  topics(): ReadonlyMap<string, TopicConfig> {
    return this.#tables.topics
  }

  groups(): ReadonlyMap<string, SubscriptionGroupConfig> {
    return this.#tables.groups
  }

  requestMode(topic: string, group: string): RequestModeConfig | undefined {
    return this.#core.machine.metadata.requestModes.get(topic, group)
  }

  requestModes(): Iterable<RequestModeConfig> {
    return this.#core.machine.metadata.requestModes.all()
  }

  putRequestMode(config: RequestModeConfig): Promise<void> {
    return this.#tables.putRequestMode(config)
  }

  access(): ReadonlyAccess {
    return this.#tables.access
  }

  changeAccess(edit: AccessEdit): Promise<void> {
    return this.#tables.changeAccess(edit)
  }

  putTopic(topic: TopicConfig): Promise<void> {
    return this.#tables.putTopic(topic)
  }

  async createTopic(topic: TopicConfig): Promise<TopicConfig> {
    this.#partial.requireWhole()
    return this.#tables.createTopic(topic)
  }

  async deleteTopic(topicName: string): Promise<void> {
    this.#partial.requireWhole()
    const forget = (): void => this.#core.offsets.forgetTopic(topicName)
    await this.#forgetAround(forget, this.#tables.deleteTopic(topicName))
  }

  forgetExpired(): void {
    try {
      this.#log.forgetExpired()
    } catch (error) {
      throw error instanceof DLedgerError ? storeErrorOf(error) : error
    }
  }

  putGroup(group: SubscriptionGroupConfig): Promise<void> {
    return this.#tables.putGroup(group)
  }

  async createGroup(group: SubscriptionGroupConfig): Promise<SubscriptionGroupConfig> {
    this.#partial.requireWhole()
    return this.#tables.createGroup(group)
  }

  async deleteGroup(groupName: string): Promise<void> {
    this.#partial.requireWhole()
    return this.#tables.deleteGroup(groupName)
  }

  forbidden(group: string, topic: string): number {
    return this.#core.machine.metadata.forbidden.get(group, topic)
  }

  forbiddenTopics(): ReadonlyMap<string, ReadonlyMap<string, number>> {
    return this.#core.machine.metadata.forbidden.all()
  }

  putForbidden(group: string, topic: string, flags: number): Promise<void> {
    return this.#tables.putForbidden(group, topic, flags)
  }

  dataVersion(): DataVersion {
    return this.#tables.topicsVersion
  }

  groupDataVersion(): DataVersion {
    return this.#tables.groupsVersion
  }

  onTopicsChanged(listener: () => void): () => void {
    return this.#topicListeners.add(listener)
  }

  // ------------------------------------------------------------------------------------------------ offsets and locks

  consumerOffset(group: string, topic: string, queueId: number): number | undefined {
    this.#partial.requireWhole()
    return this.#core.offsets.get(group, topic, queueId)
  }

  commitConsumerOffset(group: string, topic: string, queueId: number, offset: number): void {
    this.#core.offsets.commit(group, topic, queueId, offset)
  }

  flushConsumerOffsets(): Promise<void> {
    return settled((callback) => this.#core.offsets.flush(callback))
  }

  consumerOffsets(group: string): ReadonlyMap<string, ReadonlyMap<number, number>> {
    this.#partial.requireWhole()
    return this.#core.offsets.ofGroup(group)
  }

  groupsWithOffsets(): ReadonlySet<string> {
    return this.#core.offsets.groups()
  }

  async deleteConsumerOffsets(group: string): Promise<void> {
    const forget = (): void => this.#core.offsets.forgetGroup(group)
    await this.#forgetAround(forget, this.#tables.deleteGroupOffsets(group))
  }

  resetConsumerOffsets(group: string, topic: string, offsets: ReadonlyMap<number, number>): Promise<void> {
    const rows = [...offsets].map(([queueId, offset]) => [group, topic, queueId, offset] as const)
    return settled((callback) => this.#core.offsets.reset(rows, callback))
  }

  // Hot.
  pendingReset(group: string, topic: string, queueId: number): number | undefined {
    // In the part of the log to come it may have ended.
    return this.#partial.isPartial ? undefined : this.#core.offsets.pendingReset(group, topic, queueId)
  }

  takeReset(group: string, topic: string, queueId: number): number | undefined {
    return this.#core.offsets.takeReset(group, topic, queueId)
  }

  lockQueues(group: string, clientId: string, queues: readonly QueueKey[]): Promise<readonly QueueKey[]> {
    return this.#core.locks.lock(group, clientId, queues)
  }

  unlockQueues(group: string, clientId: string, queues: readonly QueueKey[]): Promise<void> {
    return this.#core.locks.unlock(group, clientId, queues)
  }

  // ------------------------------------------------------------------------------------------------ inside

  /**
   * What was told of offsets that are being deleted is not appended behind the deletion: neither what waited when it was proposed, nor
   * what was told while it was under way, whatever became of it.
   */
  async #forgetAround(forget: () => void, deletion: Promise<void>): Promise<void> {
    forget()
    try {
      await deletion
    } finally {
      forget()
    }
  }

  #requireOpen(): void {
    if (this.#closing !== null) throw new StoreError('the store is closed', { code: 'CLOSED' })
  }

  async #close(): Promise<void> {
    this.#closingSignal.abort()
    this.#arrivals.wakeAll()
    await closeStore(this.#parts, () => this.events.emit('closed'))
  }
}
