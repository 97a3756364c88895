export type {
  DataVersion,
  GetCallback,
  GetRequest,
  GetResult,
  GetStatus,
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
  Replica,
  ReadRequest,
  RecordFilter,
  RoleChangeListener,
  StoreStatus,
} from './api.ts'
export type { Copies, CopyStanding, MasterStanding } from './copies.ts'
export { setAsideDirectories } from './set-aside.ts'
export { StoreError, type StoreErrorDetail } from './errors.ts'
export type { FollowOptions } from './follow.ts'
export type { MessageInput } from './message-input.ts'
export type { MessageStoreApi } from './message-store-api.ts'
export { MessageStore } from './message-store.ts'
export { MemoryMetadata } from './metadata/memory-metadata.ts'
export type { MetadataStore, MetadataWrite } from './metadata/metadata-store.ts'
export { defaultSubscriptionGroupConfig, type SubscriptionGroupConfig } from './metadata/subscription-group-config.ts'
export type { MessageStoreOptions } from './options.ts'
export type { AttachedLog } from './log-port.ts'
export { StoreCore, type StoreCoreEvents, type StoreCoreOptions } from './store-core.ts'
export { defaultTopicConfig, type TopicConfig } from './metadata/topic-config.ts'
export { BATCH_COUNT_MAX, QUEUE_COUNT_MAX } from './put-checks.ts'
export type { RecallRequest } from './timer/timer-recall.ts'
export type { Amount } from './message-count.ts'
export type { KeyIndexProgress } from './key-index/key-index.ts'
export type { RebuildProgress } from './rebuild/full-rebuild.ts'
export type { SendsProgress } from './send-once/stored-sends.ts'
export type { RepairStatus } from './rebuild/queue-repairs.ts'
export type { RepeatedSends, StoreEvents, StoreStatistics } from './statistics.ts'
export type { HalfMessageRow } from './metadata/half-messages.ts'
export type { EndTransaction, HalfMessagesPage, HalfMessagesRequest } from './transaction/transactions.ts'
export type { PoppedHandle, PoppedMessage, PoppedName, PoppedPage } from './metadata/popped-messages.ts'
export type { OrderedBatch, OrderedEntry, OrderedQueue } from './metadata/pop-orders.ts'
export type { AccessChange, AccessEdit, ReadonlyAccess } from './metadata/access-changes.ts'
export {
  type AccessEntry,
  type AccessPolicies,
  type AccessPolicy,
  type AccessUser,
  isAccessName,
  subjectOf,
} from './metadata/access-table.ts'
export type { RequestModeConfig } from './metadata/request-modes.ts'
export { blockedUntil, isAcknowledged } from './pop/ordered-batch.ts'
export type { EarlierPops, OrderedPop } from './pop/ordered-batch.ts'
export type { OrderedPops } from './pop/ordered-pops.ts'
export type { PoppedQueue, PopRequest, Pops } from './pop/pops.ts'
