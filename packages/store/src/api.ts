/**
 * What the store takes and gives: the types that other packages see. The methods are those of `MessageStore`.
 *
 * Visible means applied: every read here answers from entries that are committed and applied on this member.
 */
import type { MessageRecord, RecordFields } from '@dledger-ts/protocol'
import type { EventEmitter } from 'node:events'
import type { StoreError } from './errors.ts'
import type { FollowOptions } from './follow.ts'
import type { MessageInput } from './message-input.ts'
import type { SubscriptionGroupConfig } from './metadata/subscription-group-config.ts'
import type { TopicConfig } from './metadata/topic-config.ts'
import type { RecallRequest } from './timer/timer-recall.ts'
import type { StoreEvents, StoreStatistics } from './statistics.ts'
import type { EndTransaction, HalfMessagesPage, HalfMessagesRequest } from './transaction/transactions.ts'

/** A message to store: a record without its place. `topic` and `queueId` are the real ones, also for delayed messages. */
export type NewMessage = RecordFields

/** Where a message was stored; all members hold it at this place. */
export interface PutResult {
  /** Topic and queue of the record: for a delayed message those of its delay level. */
  readonly topic: string
  readonly queueId: number
  /** The queue of the message itself: of a delayed one that to which it will be delivered. */
  readonly wantedQueueId: number
  /** Where the bare record starts in the log; the offset in message ids. */
  readonly physicalOffset: number
  /** The place in the queue; 0 for prepared and rolled back messages, which have none. */
  readonly queueOffset: number
  readonly storeTimestamp: number
  readonly recordBytes: number
}

/** Told the outcome of a put exactly once, never from within the call to `put`. */
export interface PutListener {
  /** Committed and applied here: consumers see it. */
  stored(result: PutResult): void
  /** `error.code` says whether the outcome is known: TIMEOUT means it may be stored. */
  putFailed(error: StoreError): void
}

export interface PutBatchListener {
  /** One result for each message, in order. */
  stored(results: readonly PutResult[]): void
  /** The first failure, after all outcomes are known. A batch of which some messages are stored fails with TIMEOUT. */
  putFailed(error: StoreError): void
}

export type GetStatus =
  | 'FOUND'
  | 'NO_MATCHED_MESSAGE'
  | 'MESSAGE_WAS_REMOVING'
  | 'NO_MATCHED_LOGIC_QUEUE'
  | 'NO_MESSAGE_IN_QUEUE'
  | 'OFFSET_OVERFLOW_ONE'
  | 'OFFSET_OVERFLOW_BADLY'
  | 'OFFSET_TOO_SMALL'
  | 'OFFSET_FOUND_NULL'

export interface GetRequest {
  readonly topic: string
  readonly queueId: number
  /** The first message wanted; counts messages of this queue. */
  readonly queueOffset: number
  readonly maxCount: number
  /** Stop before the sum of record sizes passes this; the first message is returned even if it alone is larger. */
  readonly maxBytes: number
  /** Tag codes (int32) that are wanted; null for every message. A message without a tag has code 0. */
  readonly tagFilter: ReadonlySet<number> | null
}

/** A `GetRequest` of which only the topic is needed: queue 0, from 0, at most 32 messages and 256 KiB, every tag. */
export type ReadRequest = Pick<GetRequest, 'topic'> & Partial<GetRequest>

export interface GetResult {
  readonly status: GetStatus
  /** Where to go on. */
  readonly nextBeginOffset: number
  readonly minOffset: number
  /** One after the newest visible message. */
  readonly maxOffset: number
  /** Whole records, oldest first, as slices of long-lived buffers: one after another they are the body of a pull answer. */
  readonly records: readonly Buffer[]
  /** Sum of the record sizes. */
  readonly recordBytes: number
}

export type GetCallback = (error: StoreError | null, result: GetResult | null) => void

export interface QueryRequest {
  readonly topic: string
  /** One of the keys of the messages wanted, or their unique id. */
  readonly key: string
  /** At least 1; no query gives more than 1,000 messages, or more than 8 MiB of several. */
  readonly maxCount: number
  /** Store timestamps wanted, both included, ms. Default: all. */
  readonly beginTime?: number
  readonly endTime?: number
  /** The key is a unique id; messages that have it among their keys are not meant. Default false. */
  readonly uniqueKeyOnly?: boolean
}

export interface QueryResult {
  /** Whole records, newest first. */
  readonly records: readonly Buffer[]
  /** Sum of the record sizes. */
  readonly recordBytes: number
  /** Whether there are no others, but for those beyond `maxCount`: false while a part of the index is built, or where a bound ended the search. */
  readonly isComplete: boolean
  /** Of the newest message with a key; 0 when there is none. */
  readonly lastStoreTimestamp: number
  readonly lastPhysicalOffset: number
}

/** Messages that became visible; called once for each, after the whole batch they came in is visible. */
export interface MessageArrivalListener {
  /** Hot. `tagsCode` as in the ConsumeQueue entry: a tag's hash, 0 without one. */
  messageArrived(topic: string, queueId: number, tagsCode: number, queueOffset: number): void
}

/** LOWER: the first message not older than the time. UPPER: the last message not newer. */
export type OffsetBoundary = 'LOWER' | 'UPPER'

/** RocketMQ's DataVersion. Compared as a whole; grows with every change and with every new leader. */
export interface DataVersion {
  /** Changes since the group was founded. */
  readonly counter: number
  /** The Raft term of the newest applied entry. */
  readonly stateVersion: number
  /** When the newest change was made, by its leader's clock. */
  readonly timestamp: number
}

export interface QueueKey {
  readonly topic: string
  readonly queueId: number
}

export interface StoreStatus {
  readonly role: 'FOLLOWER' | 'PRE_CANDIDATE' | 'CANDIDATE' | 'LEADER'
  readonly term: number
  readonly self: string
  readonly group: string
  readonly leader: string | null
  /** What the leader advertised: the address on which its broker serves clients. */
  readonly leaderAddress: string | null
  /** A leader whose no-op is applied: it takes writes. */
  readonly ready: boolean
  readonly storeId: string
  readonly firstIndex: number
  readonly lastIndex: number
  readonly commitIndex: number
  readonly appliedIndex: number
  /** One after the last byte of the newest applied record. */
  readonly maxPhysicalOffset: number
  readonly peers: readonly { readonly id: string; readonly connected: boolean; readonly advertised: string | null }[]
}

export interface RoleChangeListener {
  /** After every change of role, term, leader or readiness. */
  roleChanged(status: StoreStatus): void
}

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
  /** `put` as a promise; topic and body are enough. @throws StoreError NOT_LEADER, TIMEOUT, BUSY, DISK_FULL, TOO_LARGE, INVALID, CLOSED. */
  store(message: MessageInput): Promise<PutResult>
  /**
   * Stores a prepared message of a transaction: it waits in the half topic until `endTransaction`. The properties name the
   * producer's group (PGROUP). What could not be stored at its end is refused now.
   */
  putHalf(message: NewMessage, listener: PutListener): void
  /** Half messages that are pending, oldest first. They are not in memory; a page has 500 at most. */
  halfMessages(request: HalfMessagesRequest): Promise<HalfMessagesPage>
  /** @returns the record that ends it; null when no such half message is pending. @throws StoreError INVALID for another's. */
  endTransaction(request: EndTransaction): Promise<PutResult | null>
  /** The producers of these half messages (500 at most) were asked once more for the outcome. */
  countCheck(physicalOffsets: readonly number[], checkedMs: number): Promise<void>
  /** Reads messages of one queue; the callback may run before this returns (newest messages are in memory). */
  getMessages(request: GetRequest, callback: GetCallback): void
  /** `getMessages` as a promise. @throws StoreError CORRUPT, STORAGE_FAILED, CLOSED. */
  get(request: ReadRequest): Promise<GetResult>
  /**
   * The messages of a queue from some place on, those that are there and those that come, on any member. Ends with its signal and with
   * the store. Bodies are slices of larger buffers: copy what is kept for long.
   *
   * @throws StoreError INVALID, CORRUPT, STORAGE_FAILED.
   */
  follow(options: FollowOptions): AsyncGenerator<MessageRecord, void, undefined>
  /** One after the newest visible message; 0 for a queue without messages. */
  maxOffset(topic: string, queueId: number): number
  minOffset(topic: string, queueId: number): number
  offsetByTimestamp(topic: string, queueId: number, timestamp: number, boundary: OffsetBoundary): Promise<number>
  /** Store timestamp of the oldest message of a queue; -1 when it has none. */
  earliestStoreTime(topic: string, queueId: number): Promise<number>
  /** Store timestamp of one message; -1 when there is none. */
  storeTimeAt(topic: string, queueId: number, queueOffset: number): Promise<number>
  /** The whole record that starts at `physicalOffset`, or undefined when none does. */
  messageAt(physicalOffset: number): Promise<Buffer | undefined>
  /** Messages by key, newest first. @throws StoreError INVALID, BUSY, STORAGE_FAILED. Finds nothing when keys are not indexed. */
  query(request: QueryRequest): Promise<QueryResult>
  /** The newest message of a topic with this unique id. */
  messageByUniqueId(topic: string, uniqueId: string): Promise<Buffer | undefined>
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
  deleteTopic(topic: string): Promise<void>
  putGroup(config: SubscriptionGroupConfig): Promise<void>
  createGroup(config: SubscriptionGroupConfig): Promise<SubscriptionGroupConfig>
  deleteGroup(group: string): Promise<void>
  /** Of the topic table. */
  dataVersion(): DataVersion
  groupDataVersion(): DataVersion
  /** Called after the topic table changed, once for each applied batch. */
  onTopicsChanged(listener: () => void): () => void

  // ---- consumer offsets
  /** The leader answers with what was committed last, appended or not. Undefined when nothing was committed. */
  consumerOffset(group: string, topic: string, queueId: number): number | undefined
  /** Last write wins, a negative offset is dropped. Appended within 200 ms. @throws StoreError NOT_LEADER, BUSY, INVALID. */
  commitConsumerOffset(group: string, topic: string, queueId: number, offset: number): void
  /** Appends what is coalesced now; resolves when it is applied. */
  flushConsumerOffsets(): Promise<void>
  /** All offsets of a group: topic -> queue id -> offset. */
  consumerOffsets(group: string): ReadonlyMap<string, ReadonlyMap<number, number>>

  // ---- queue locks
  /** Locks or renews. @returns those queues of the request that `clientId` holds now. */
  lockQueues(group: string, clientId: string, queues: readonly QueueKey[]): Promise<readonly QueueKey[]>
  unlockQueues(group: string, clientId: string, queues: readonly QueueKey[]): Promise<void>
}
