/**
 * Messages over the replicated log: the public face of this package.
 *
 *   put ──► log ──► committed ──► apply ──► ConsumeQueues, metadata ──► get, listeners
 */
import type { Clock, Logger } from '@dledger-ts/base'
import type {
  DataVersion,
  GetCallback,
  GetRequest,
  MessageArrivalListener,
  NewMessage,
  OffsetBoundary,
  PutBatchListener,
  PutListener,
  PutResult,
  QueueKey,
  RoleChangeListener,
  StoreStatus,
} from './api.ts'
import type { SubscriptionGroupConfig } from './metadata/subscription-group-config.ts'
import type { TopicConfig } from './metadata/topic-config.ts'

export interface MessageStoreOptions {
  /** Everything lies below it: `commitlog/`, `consumequeue/`, `metadata/`. */
  readonly dir: string
  /** `<dir>/commitlog` when absent; the log itself is in `dledger-<self>` below it. */
  readonly commitLogDir?: string
  /** This member's id, like `n0`. */
  readonly self?: string
  readonly group?: string
  /** All members that found the group, this one included. Absent or one: no network is used. */
  readonly peers?: readonly { readonly id: string; readonly host: string; readonly port: number }[]
  /** Told to the other members: the address on which this member's broker serves clients. */
  readonly advertised?: string
  readonly flushDiskType?: 'SYNC_FLUSH' | 'ASYNC_FLUSH'
  /** Size of a log file; fixed when the group is created. Apache: mappedFileSizeCommitLog. */
  readonly fileBytes?: number
  /** Size of a ConsumeQueue file, a multiple of 20. Apache: mappedFileSizeConsumeQueue. */
  readonly consumeQueueFileBytes?: number
  /** Delays by level; the same on all members. */
  readonly messageDelayLevel?: string
  readonly tickMs?: number
  readonly heartbeatMs?: number
  readonly electionTimeoutMs?: number
  readonly clock?: Clock
  readonly logger?: Logger
  /** The member has stopped for good after a storage failure or a broken invariant. */
  readonly onFatal?: (error: Error) => void
}

/** What a `MessageStore` does. */
export interface MessageStoreApi extends AsyncDisposable {
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
  /** Stores one message; delayed ones (property DELAY >= 1) wait in the queue of their level. Hot. */
  put(message: NewMessage, listener: PutListener): void
  /** Stores messages of one queue with consecutive queue offsets, proposed together. */
  putBatch(messages: readonly NewMessage[], listener: PutBatchListener): void
  /** `put` as a promise. */
  store(message: NewMessage): Promise<PutResult>
  /** Reads messages of one queue; the callback may run before this returns (newest messages are in memory). */
  getMessages(request: GetRequest, callback: GetCallback): void
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
