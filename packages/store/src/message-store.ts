/**
 * Messages over the replicated log: the public face of this package.
 *
 *   put ──► log ──► committed ──► apply ──► ConsumeQueues, metadata ──► get, listeners
 *
 * On disk, below one directory: `commitlog/dledger-<self>/` the log, the only truth; `consumequeue/` and `metadata/` what
 * applying it yields, which can be deleted and is built again.
 *
 * Keeps: what is opened here is closed here; nothing listens on a network unless other members are named.
 */
import { EventEmitter } from 'node:events'
import { join } from 'node:path'
import type { Clock } from '@dledger-ts/base'
import { DLedger, DLedgerError } from '@dledger-ts/dledger'
import { groupNameError, hostAddress, type MessageRecord, topicNameError } from '@dledger-ts/protocol'
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
  QueueKey,
  ReadRequest,
  RoleChangeListener,
  StoreStatus,
} from './api.ts'
import { readApacheConfig } from './apache/config-files.ts'
import { holdsApacheTerm } from './apache/log-directory.ts'
import { readQueueEnds } from './apache/queue-ends.ts'
import { StoreError } from './errors.ts'
import { Arrivals, follow, type FollowOptions } from './follow.ts'
import { storeErrorOf, storeErrorOfDraft } from './log-errors.ts'
import { MessageCount } from './message-count.ts'
import { type MessageInput, messageOf } from './message-input.ts'
import type { MessageStoreApi } from './message-store-api.ts'
import { isGroupConfig, isTopicConfig } from './metadata/change.ts'
import type { MetadataStore } from './metadata/metadata-store.ts'
import type { TableVersion } from './metadata/state.ts'
import type { SubscriptionGroupConfig } from './metadata/subscription-group-config.ts'
import type { TopicConfig } from './metadata/topic-config.ts'
import {
  type CheckedOptions,
  checkOptions,
  commitLogDirectory,
  logOptions,
  type MessageStoreOptions,
  openMetadata,
} from './options.ts'
import { refusePlainCommitLog } from './plain-commit-log.ts'
import { type StoreEvents, statisticsEvery, type StoreStatistics } from './statistics.ts'
import type { Pops } from './pop/pops.ts'
import { StoreCore } from './store-core.ts'
import type { RecallRequest } from './timer/timer-recall.ts'
import type { EndTransaction, HalfMessagesPage, HalfMessagesRequest } from './transaction/transactions.ts'

/** How long a stop or a transfer waits for coalesced offsets to be applied. */
const FLUSH_OFFSETS_TIMEOUT_MS = 1_000

/** The answer of a store that indexes no keys. */
const READ_DEFAULTS = { queueId: 0, queueOffset: 0, maxCount: 32, maxBytes: 256 * 1024, tagFilter: null }
/** Of messages that a program stores without saying where they come from. */
const NO_HOST = hostAddress('0.0.0.0', 0)
const NOTHING_INDEXED: QueryResult = {
  records: [],
  recordBytes: 0,
  isComplete: false,
  lastStoreTimestamp: 0,
  lastPhysicalOffset: 0,
}

export class MessageStore implements MessageStoreApi {
  readonly #core: StoreCore
  readonly #log: DLedger
  readonly #metadata: MetadataStore
  readonly #options: CheckedOptions
  readonly #clock: Clock
  readonly #roleListeners = new Listeners<RoleChangeListener>()
  readonly #topicListeners = new Listeners<() => void>()
  readonly #creatingTopics = new Map<string, Promise<TopicConfig>>()
  readonly #creatingGroups = new Map<string, Promise<SubscriptionGroupConfig>>()
  #roleWaiters: (() => void)[] = []
  #closing: Promise<void> | null = null
  readonly events = new EventEmitter<StoreEvents>()
  readonly #closingSignal = new AbortController()
  readonly #arrivals: Arrivals
  readonly #read = new MessageCount()

  private constructor(options: CheckedOptions, core: StoreCore, log: DLedger, metadata: MetadataStore) {
    this.#options = options
    this.#core = core
    this.#log = log
    this.#metadata = metadata
    this.#clock = options.clock
    this.#arrivals = new Arrivals((listener) => core.machine.onMessages(listener))
    core.attach(log, {
      roleChanged: () => this.#roleChanged(),
      topicsChanged: () => {
        this.#topicListeners.each((listener) => listener())
        this.events.emit('topics')
      },
    })
  }

  /**
   * Opens or makes a store. Resolves when the member runs; a group of one takes messages by then, others elect first.
   *
   * @throws StoreError INVALID (a setting, a directory in use or of another group), CORRUPT, UNSUPPORTED, STORAGE_FAILED;
   * nothing stays open then.
   */
  static async open(given: MessageStoreOptions): Promise<MessageStore> {
    const options = checkOptions(given)
    // Opening the metadata database writes to it: what would be refused is refused before.
    const forLog = logOptions(options)
    refusePlainCommitLog(options.disk, commitLogDirectory(given))
    refuse(() => DLedger.check(forLog))
    const metadata = given.metadata ?? (await openMetadata(options))
    let core: StoreCore | null = null
    // A member that fails while it opens (an entry that this program does not know) must not be waited for.
    let failOpening: (error: Error) => void = () => {}
    const failed = new Promise<never>((_, reject) => {
      failOpening = reject
    })
    let opened: MessageStore | null = null
    const onFatal = (error: Error): void => {
      failOpening(error)
      options.onFatal(error)
      opened?.events.emit('failed', error)
    }
    failed.catch(() => {})
    try {
      core = new StoreCore({ ...options, metadata, onFailed: onFatal, takesOverApache: true })
      const { machine, envelope } = core
      // Loading removes derived files that are not ours.
      const isApaches = holdsApacheTerm(options.disk, forLog.directory)
      const queueEnds = isApaches ? readQueueEnds(options.disk, options.consumeQueueDirectory) : []
      await settled((callback) => core?.load(callback))
      const isOwn = machine.appliedIndex >= 0 && machine.metadata.origin === 'own'
      if (!isOwn && machine.metadata.origin !== 'imported') {
        core.useApacheFiles(readApacheConfig(options.disk, join(given.dir, 'config')), queueEnds)
      }
      const wanted = { ...forLog, stateMachine: machine, controlEnvelope: envelope, onFatal }
      const log = await Promise.race([DLedger.open(wanted), failed])
      if (options.apacheFiles.opened()) options.logger.info({}, 'the store was not closed when it was open last')
      opened = new MessageStore(options, core, log, metadata)
      await core.takeUpSends()
      return opened
    } catch (error) {
      await closed(core)
      await settled((callback) => metadata.close(callback))
      throw error instanceof DLedgerError ? storeErrorOf(error) : error
    }
  }

  // ------------------------------------------------------------------------------------------------ what it tells of itself

  statistics(): StoreStatistics {
    const { machine, keyIndex } = this.#core
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
    const { role } = this.#core.machine
    return {
      ...this.#log.status(),
      ...role,
      ready: this.#core.isReady,
      leaderAddress: role.leader === null ? null : this.#log.advertisedOf(role.leader),
      maxPhysicalOffset: this.#core.machine.applied.physicalEnd,
    }
  }

  isReady(): boolean {
    return this.#core.isReady
  }

  onRoleChange(listener: RoleChangeListener): () => void {
    return this.#roleListeners.add(listener)
  }

  async whenSettled(options: { signal?: AbortSignal } = {}): Promise<StoreStatus> {
    const isSettled = (): boolean => {
      const { role, leader } = this.#core.machine.role
      return this.#core.isReady || (role === 'FOLLOWER' && leader !== null)
    }
    while (!isSettled()) {
      options.signal?.throwIfAborted()
      this.#requireOpen()
      await this.#nextRoleChange(options.signal)
    }
    return this.status()
  }

  async transferLeadership(target?: string): Promise<boolean> {
    this.#requireOpen()
    await this.#flushOffsetsBriefly()
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

  putHalf(message: NewMessage, listener: PutListener): void {
    this.#core.putter.putHalf(message, listener)
  }

  halfMessages(request: HalfMessagesRequest): Promise<HalfMessagesPage> {
    return this.#core.transactions.halfMessages(request)
  }

  endTransaction(request: EndTransaction): Promise<PutResult | null> {
    return this.#core.transactions.end(request)
  }

  countCheck(physicalOffsets: readonly number[], checkedMs: number): Promise<void> {
    return this.#core.transactions.countCheck(physicalOffsets, checkedMs)
  }

  recallTimer(request: RecallRequest): Promise<boolean> {
    return this.#core.recall.recall(request)
  }

  // Hot.
  getMessages(request: GetRequest, callback: GetCallback): void {
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
      maxOffset: (topic: string, queueId: number) => this.maxOffset(topic, queueId),
      minOffset: (topic: string, queueId: number) => this.minOffset(topic, queueId),
      pause: () => new Promise<void>((resolve) => this.#clock.defer(resolve)),
    }
    return follow(source, this.#arrivals, options)
  }

  maxOffset(topic: string, queueId: number): number {
    return this.#core.machine.queues.find(topic, queueId)?.nextOffset ?? 0
  }

  minOffset(topic: string, queueId: number): number {
    return this.#core.machine.queues.find(topic, queueId)?.minOffset ?? 0
  }

  offsetByTimestamp(topic: string, queueId: number, timestamp: number, boundary: OffsetBoundary): Promise<number> {
    return this.#core.reader.offsetByTimestamp(topic, queueId, timestamp, boundary)
  }

  earliestStoreTime(topic: string, queueId: number): Promise<number> {
    return this.#core.reader.earliestStoreTime(topic, queueId)
  }

  storeTimeAt(topic: string, queueId: number, queueOffset: number): Promise<number> {
    return this.#core.reader.storeTimeAt(topic, queueId, queueOffset)
  }

  messageAt(physicalOffset: number): Promise<Buffer | undefined> {
    return this.#core.reader.messageAt(physicalOffset)
  }

  async query(request: QueryRequest): Promise<QueryResult> {
    this.#requireOpen()
    const { maxCount } = request
    if (!(maxCount >= 1)) {
      const what = `maxCount is ${maxCount}; at least 1 is allowed`
      throw new StoreError(what, { code: 'INVALID', what })
    }
    return this.#core.queries?.query(request) ?? NOTHING_INDEXED
  }

  async messageByUniqueId(topic: string, uniqueId: string): Promise<Buffer | undefined> {
    const { records } = await this.query({ topic, key: uniqueId, maxCount: 1, uniqueKeyOnly: true })
    return records[0]
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
    return this.#core.machine.metadata.topics
  }

  groups(): ReadonlyMap<string, SubscriptionGroupConfig> {
    return this.#core.machine.metadata.groups
  }

  async putTopic(topic: TopicConfig): Promise<void> {
    checkTopic(topic)
    await this.#core.changes.propose({ kind: 'putTopic', topic })
  }

  async createTopic(topic: TopicConfig): Promise<TopicConfig> {
    checkTopic(topic)
    return createOnce(topic.topicName, this.topics(), this.#creatingTopics, () =>
      this.#core.changes.propose({ kind: 'createTopic', topic }),
    )
  }

  async deleteTopic(topicName: string): Promise<void> {
    if (this.topics().has(topicName)) await this.#core.changes.propose({ kind: 'deleteTopic', topicName })
  }

  async putGroup(group: SubscriptionGroupConfig): Promise<void> {
    checkGroup(group)
    await this.#core.changes.propose({ kind: 'putGroup', group })
  }

  async createGroup(group: SubscriptionGroupConfig): Promise<SubscriptionGroupConfig> {
    checkGroup(group)
    return createOnce(group.groupName, this.groups(), this.#creatingGroups, () =>
      this.#core.changes.propose({ kind: 'createGroup', group }),
    )
  }

  async deleteGroup(groupName: string): Promise<void> {
    if (this.groups().has(groupName)) await this.#core.changes.propose({ kind: 'deleteGroup', groupName })
  }

  dataVersion(): DataVersion {
    return this.#versionOf(this.#core.machine.metadata.topicsVersion)
  }

  groupDataVersion(): DataVersion {
    return this.#versionOf(this.#core.machine.metadata.groupsVersion)
  }

  onTopicsChanged(listener: () => void): () => void {
    return this.#topicListeners.add(listener)
  }

  // ------------------------------------------------------------------------------------------------ offsets and locks

  consumerOffset(group: string, topic: string, queueId: number): number | undefined {
    return this.#core.offsets.get(group, topic, queueId)
  }

  commitConsumerOffset(group: string, topic: string, queueId: number, offset: number): void {
    this.#core.offsets.commit(group, topic, queueId, offset)
  }

  flushConsumerOffsets(): Promise<void> {
    return settled((callback) => this.#core.offsets.flush(callback))
  }

  consumerOffsets(group: string): ReadonlyMap<string, ReadonlyMap<number, number>> {
    return this.#core.offsets.ofGroup(group)
  }

  lockQueues(group: string, clientId: string, queues: readonly QueueKey[]): Promise<readonly QueueKey[]> {
    return this.#core.locks.lock(group, clientId, queues)
  }

  unlockQueues(group: string, clientId: string, queues: readonly QueueKey[]): Promise<void> {
    return this.#core.locks.unlock(group, clientId, queues)
  }

  // ------------------------------------------------------------------------------------------------ inside

  #versionOf({ counter, timestamp }: TableVersion): DataVersion {
    return { counter, stateVersion: this.#core.machine.applied.term, timestamp }
  }

  #roleChanged(): void {
    const waiters = this.#roleWaiters
    this.#roleWaiters = []
    for (const waiter of waiters) waiter()
    if (this.#roleListeners.count === 0 && this.events.listenerCount('role') === 0) return
    const status = this.status()
    this.#roleListeners.each((listener) => listener.roleChanged(status))
    this.events.emit('role', status)
  }

  /** Resolves at the next change of role or when the store closes. */
  #nextRoleChange(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const aborted = (): void => reject(signal?.reason as Error)
      this.#roleWaiters.push(() => {
        signal?.removeEventListener('abort', aborted)
        resolve()
      })
      signal?.addEventListener('abort', aborted, { once: true })
    })
  }

  #requireOpen(): void {
    if (this.#closing !== null) throw new StoreError('the store is closed', { code: 'CLOSED' })
  }

  /** What consumers committed goes into the log before the leadership goes, but nobody waits long for it. */
  async #flushOffsetsBriefly(): Promise<void> {
    if (!this.isReady()) return
    let cancel = (): void => {}
    const timeout = new Promise<void>((resolve) => {
      cancel = this.#clock.after(FLUSH_OFFSETS_TIMEOUT_MS, resolve)
    })
    try {
      await Promise.race([this.flushConsumerOffsets(), timeout])
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'consumer offsets were not appended before the leadership goes')
    } finally {
      cancel()
    }
  }

  /** Offsets into the log, the leadership over, the log synced, what is derived written, then everything is given free. */
  async #close(): Promise<void> {
    this.#closingSignal.abort()
    this.#arrivals.wakeAll()
    this.#core.retire()
    await this.#flushOffsetsBriefly()
    let failure: unknown = null
    const attempt = async (work: () => Promise<void>): Promise<void> => {
      try {
        await work()
      } catch (error) {
        failure ??= error
      }
    }
    await attempt(() => this.#log.close())
    this.#core.stop()
    if (failure === null) {
      const { appliedIndex } = this.#core.machine
      await attempt(() => settled((callback) => this.#core.flush(appliedIndex, callback)))
    }
    await closed(this.#core)
    await attempt(() => settled((callback) => this.#metadata.close(callback)))
    if (failure === null) this.#options.apacheFiles.closed()
    this.events.emit('closed')
    if (failure !== null) throw failure instanceof DLedgerError ? storeErrorOf(failure) : failure
  }
}

/** Listeners that may be removed while they are told. */
class Listeners<Listener> {
  #all: readonly Listener[] = []

  get count(): number {
    return this.#all.length
  }

  add(listener: Listener): () => void {
    this.#all = [...this.#all, listener]
    return () => {
      this.#all = this.#all.filter((other) => other !== listener)
    }
  }

  each(tell: (listener: Listener) => void): void {
    for (const listener of this.#all) tell(listener)
  }
}

/** @returns what is there under `name`, created when it is not; callers at the same time share one creation. */
function createOnce<Config>(
  name: string,
  present: ReadonlyMap<string, Config>,
  creating: Map<string, Promise<Config>>,
  create: () => Promise<void>,
): Promise<Config> {
  const found = present.get(name)
  if (found !== undefined) return Promise.resolve(found)
  const underWay = creating.get(name)
  if (underWay !== undefined) return underWay
  const created = create()
    .then(() => {
      const config = present.get(name)
      if (config !== undefined) return config
      throw new StoreError(`${name} was deleted while it was created`, { code: 'TIMEOUT' })
    })
    .finally(() => creating.delete(name))
  creating.set(name, created)
  return created
}

/** @throws StoreError INVALID. */
function checkTopic(topic: TopicConfig): void {
  const what = isTopicConfig(topic) ? topicNameError(topic.topicName) : 'a topic has all fields of a TopicConfig'
  if (what !== undefined) throw new StoreError(what, { code: 'INVALID', what })
}

/** @throws StoreError INVALID. */
function checkGroup(group: SubscriptionGroupConfig): void {
  const what = isGroupConfig(group)
    ? groupNameError(group.groupName)
    : 'a group has all fields of a SubscriptionGroupConfig'
  if (what !== undefined) throw new StoreError(what, { code: 'INVALID', what })
}

function closed(core: StoreCore | null): Promise<void> {
  return new Promise((resolve) => {
    if (core === null) resolve()
    else core.close(resolve)
  })
}

/** A callback as a promise. */
function settled(begin: (callback: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    begin((error) => (error === null ? resolve() : reject(error)))
  })
}

function refuse(check: () => void): void {
  try {
    check()
  } catch (error) {
    throw error instanceof DLedgerError ? storeErrorOf(error) : error
  }
}
