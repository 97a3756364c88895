/** The methods of a store, in order, with their errors; the types that they take and give are in api.ts. */
import type { MessageRecord } from '@dledger-ts/protocol'
import type { EventEmitter } from 'node:events'
import type { Copies } from './copies.ts'
import type { FollowOptions } from './follow.ts'
import type { MessageInput } from './message-input.ts'
import type { AccessEdit, ReadonlyAccess } from './metadata/access-changes.ts'
import type { SubscriptionGroupConfig } from './metadata/subscription-group-config.ts'
import type { TopicConfig } from './metadata/topic-config.ts'
import type { RequestModeConfig } from './metadata/request-modes.ts'
import type { OrderedPops } from './pop/ordered-pops.ts'
import type { Pops } from './pop/pops.ts'
import type { RecallRequest } from './timer/timer-recall.ts'
import type { EndTransaction, HalfMessagesPage, HalfMessagesRequest } from './transaction/transactions.ts'
import type { StoreEvents, StoreStatistics } from './statistics.ts'
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

/** What a `MessageStore` does. */
export interface MessageStoreApi extends AsyncDisposable {
  // ---- what it tells of itself
  readonly events: EventEmitter<StoreEvents>
  /** Numbers of this moment. Asks the file system how much is free; costs a look at each queue. */
  statistics(): StoreStatistics
  /** The same now and after each interval, in ms; ends with its signal and with the store. */
  statisticsEvery(
    intervalMs: number,
    options?: { signal?: AbortSignal },
  ): AsyncGenerator<StoreStatistics, void, undefined>

  // ---- role
  status(): StoreStatus
  /** A leader whose no-op is applied: it takes writes. */
  isReady(): boolean
  /** One after the last byte of all that is applied; `status` has it too, with much else that is made anew for each look. */
  maxPhysicalOffset(): number
  /**
   * Much of the log is being applied again (`status().rebuild`), on a lone member, a follower or a leader that is not ready yet. Reads of what
   * is applied are answered. What is not known before all is applied is REBUILDING: the end of a queue, an offset, that there is no such
   * message, whether a topic or a group is there. `minOffset`, `topics` and `groups` are as far as the log was applied.
   */
  isRebuilding(): boolean
  /**
   * Resolves when all that was acknowledged before the call, by any member, is applied here. Nothing is appended for it.
   *
   * @throws StoreError NOT_LEADER (none is known, or it changed meanwhile), TIMEOUT, BUSY, CLOSED.
   */
  caughtUp(): Promise<void>
  /** The other members, as a leader sees them; another member knows nothing of them. */
  replicas(): Promise<readonly Replica[]>
  /** Of a master and its slaves (`classic`). */
  readonly copies: Copies
  onRoleChange(listener: RoleChangeListener): () => void
  /** Resolves once some leader takes writes as seen from here: this member is ready, or follows a known leader. */
  whenSettled(options?: { signal?: AbortSignal }): Promise<StoreStatus>
  /** Flushes what is coalesced, then asks the best follower (or `target`) to take over; resolves once another leads. */
  transferLeadership(target?: string): Promise<boolean>
  /** Hands over the leadership where there is somebody, syncs, closes. Idempotent. */
  close(): Promise<void>

  // ---- messages
  /** Stores one message; delayed ones (property DELAY >= 1, or a time) wait in the topic of their kind. Hot. */
  put(message: NewMessage, listener: PutListener): void
  /** Stores messages of one queue with consecutive queue offsets, proposed together. */
  putBatch(messages: readonly NewMessage[], listener: PutBatchListener): void
  /**
   * Calls back a message that is delayed by any time (TIMER_DELAY_SEC, TIMER_DELAY_MS, TIMER_DELIVER_MS).
   *
   * @returns whether it was pending and is not delivered now; false when it is delivered or being delivered, or unknown.
   */
  recallTimer(request: RecallRequest): Promise<boolean>
  /** Messages that were popped and are in flight; the leader's. */
  readonly pops: Pops
  /** Messages that were popped in order; the leader's. */
  readonly orderedPops: OrderedPops
  /** `put` as a promise; topic and body are enough. @throws StoreError NOT_LEADER, TIMEOUT, BUSY, DISK_FULL, TOO_LARGE, INVALID, CLOSED. */
  store(message: MessageInput): Promise<PutResult>
  /**
   * Stores a prepared message of a transaction: it waits in the half topic until `endTransaction`. The properties name the
   * producer's group (PGROUP). What could not be stored at its end is refused now.
   */
  putHalf(message: NewMessage, listener: PutListener): void
  /** Half messages that are pending, oldest first. They are not in memory; a page has 500 at most. */
  halfMessages(request: HalfMessagesRequest): Promise<HalfMessagesPage>
  /** @see Transactions.halfMessage */
  halfMessage(physicalOffset: number): Promise<MessageRecord | undefined>
  /** @returns the record that ends it; null when no such half message is pending. @throws StoreError INVALID for another's. */
  endTransaction(request: EndTransaction): Promise<PutResult | null>
  /** The producers of these half messages (500 at most) were asked once more for the outcome. */
  countCheck(physicalOffsets: readonly number[], checkedMs: number): Promise<void>
  /** Has a producer asked from the beginning again, also for what was given up. @see Transactions.resume */
  resumeHalfMessage(physicalOffset: number): Promise<boolean>
  /** Reads messages of one queue; the callback may run before this returns (newest messages are in memory). */
  getMessages(request: GetRequest, callback: GetCallback): void
  /** `getMessages` as a promise. @throws StoreError REBUILDING, BUSY, CORRUPT, STORAGE_FAILED, CLOSED. */
  get(request: ReadRequest): Promise<GetResult>
  /**
   * The messages of a queue from some place on, those that are there and those that come, on any member. Ends with its signal and with
   * the store. Bodies are slices of larger buffers: copy what is kept for long.
   *
   * @throws StoreError INVALID, CORRUPT, STORAGE_FAILED.
   */
  follow(options: FollowOptions): AsyncGenerator<MessageRecord, void, undefined>
  /** One after the newest visible message; 0 for a queue without messages. @throws StoreError REBUILDING. */
  maxOffset(topic: string, queueId: number): number
  minOffset(topic: string, queueId: number): number
  /** Where the queue began: 0, or behind the messages of a deleted topic of this name. */
  queueFloor(topic: string, queueId: number): number
  offsetByTimestamp(topic: string, queueId: number, timestamp: number, boundary: OffsetBoundary): Promise<number>
  /** Store timestamp of the oldest message of a queue; -1 when it has none. */
  earliestStoreTime(topic: string, queueId: number): Promise<number>
  /** Store timestamp of the oldest record of the log; -1 where it has none. */
  oldestStoreTime(): Promise<number>
  /** Store timestamp of one message; -1 when there is none. */
  storeTimeAt(topic: string, queueId: number, queueOffset: number): Promise<number>
  /** The whole record that starts at `physicalOffset`, or undefined when none of a message does. */
  messageAt(physicalOffset: number): Promise<Buffer | undefined>
  /** Messages by key, newest first. @throws StoreError INVALID, BUSY, STORAGE_FAILED. Finds nothing when keys are not indexed. */
  query(request: QueryRequest): Promise<QueryResult>
  /**
   * The newest message of a topic with this unique id; undefined when there is none, or keys are not indexed.
   *
   * @throws StoreError as `query`; BUSY also while a part of the index is built, or where a damaged part of the log may have it.
   */
  messageByUniqueId(topic: string, uniqueId: string): Promise<Buffer | undefined>
  /**
   * Entries of a queue from `from` on, `count` at most: none where the queue has none there, undefined where there is no such queue.
   *
   * @throws StoreError CORRUPT, STORAGE_FAILED, BUSY, CLOSED.
   */
  queueEntries(topic: string, queueId: number, from: number, count: number): Promise<readonly QueueEntry[] | undefined>
  /** Of each delay level (from 1) that was used: how many entries of its queue are delivered. */
  delayOffsets(): ReadonlyMap<number, number>
  /** Whether the record at this queue offset is in memory: Apache's "not swapped out". False when there is none. */
  isInMemory(topic: string, queueId: number, queueOffset: number): boolean
  onMessages(listener: MessageArrivalListener): () => void

  // ---- topics and groups: read here, changed through the log; the promises resolve when the change is applied here
  topics(): ReadonlyMap<string, TopicConfig>
  groups(): ReadonlyMap<string, SubscriptionGroupConfig>
  /** Creates or replaces. */
  putTopic(config: TopicConfig): Promise<void>
  /** Creates it unless it is there already (also when another creation is under way); @returns what is there then. */
  createTopic(config: TopicConfig): Promise<TopicConfig>
  /** With its messages and consumers' offsets; queue offsets go on in a topic that is created under this name later. */
  deleteTopic(topic: string): Promise<void>
  /**
   * Log files that are old enough (`retentionMs`) go outside `retentionHours` too, at the next heartbeats.
   *
   * @throws StoreError NOT_LEADER, CLOSED.
   */
  forgetExpired(): void
  putGroup(config: SubscriptionGroupConfig): Promise<void>
  createGroup(config: SubscriptionGroupConfig): Promise<SubscriptionGroupConfig>
  deleteGroup(group: string): Promise<void>
  /** What a group may not do with a topic, as Apache's flags; 0 for nothing. */
  forbidden(group: string, topic: string): number
  /** The same by group and topic, without zeros. */
  forbiddenTopics(): ReadonlyMap<string, ReadonlyMap<string, number>>
  putForbidden(group: string, topic: string, flags: number): Promise<void>
  /** How the clients of a group get the messages of a topic; undefined where nobody has said so. */
  requestMode(topic: string, group: string): RequestModeConfig | undefined
  requestModes(): Iterable<RequestModeConfig>
  putRequestMode(config: RequestModeConfig): Promise<void>
  /** Who may call, and what each may do. What a name maps to is replaced when it changes, never altered. */
  access(): ReadonlyAccess
  /** One after another, each edit from what the ones before have left. @throws what `edit` throws; StoreError as a put, INVALID, BUSY. */
  changeAccess(edit: AccessEdit): Promise<void>
  /** Of the topic table. */
  dataVersion(): DataVersion
  groupDataVersion(): DataVersion
  /** Called after the topic table changed, once for each applied batch. */
  onTopicsChanged(listener: () => void): () => void

  // ---- consumer offsets
  /** The leader answers with what was committed last, appended or not. Undefined when nothing was committed. @throws StoreError REBUILDING. */
  consumerOffset(group: string, topic: string, queueId: number): number | undefined
  /** Last write wins, a negative offset is dropped. Appended within 200 ms. @throws StoreError NOT_LEADER, BUSY, INVALID. */
  commitConsumerOffset(group: string, topic: string, queueId: number, offset: number): void
  /** Appends what is coalesced now; resolves when it is applied. */
  flushConsumerOffsets(): Promise<void>
  /** Groups that have an offset of some queue. */
  groupsWithOffsets(): ReadonlySet<string>
  /** All offsets of a group: topic -> queue id -> offset. */
  consumerOffsets(group: string): ReadonlyMap<string, ReadonlyMap<number, number>>

  /** Forgets where a group stands, in all topics. */
  deleteConsumerOffsets(group: string): Promise<void>
  /**
   * Moves a group: it goes on at these offsets (by queue id), and what its consumers commit does not count until one stands there:
   * commits that very offset, or takes the reset.
   * Resolves when that is applied here.
   */
  resetConsumerOffsets(group: string, topic: string, offsets: ReadonlyMap<number, number>): Promise<void>
  /** Where a group goes on that was moved, while none of its consumers stands there; undefined otherwise, or where that is not known yet. Hot. */
  pendingReset(group: string, topic: string, queueId: number): number | undefined
  /** The same, and from now on one stands there: what they commit counts. A new leader may have it told again. @throws StoreError NOT_LEADER. */
  takeReset(group: string, topic: string, queueId: number): number | undefined

  // ---- queue locks
  /** Locks or renews. @returns those queues of the request that `clientId` holds now. */
  lockQueues(group: string, clientId: string, queues: readonly QueueKey[]): Promise<readonly QueueKey[]>
  unlockQueues(group: string, clientId: string, queues: readonly QueueKey[]): Promise<void>
}
