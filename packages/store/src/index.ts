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
  QueueKey,
  RoleChangeListener,
  StoreStatus,
} from './api.ts'
export { StoreError, type StoreErrorDetail } from './errors.ts'
export type { MessageStoreApi, MessageStoreOptions } from './message-store.ts'
export { defaultSubscriptionGroupConfig, type SubscriptionGroupConfig } from './metadata/subscription-group-config.ts'
export { defaultTopicConfig, type TopicConfig } from './metadata/topic-config.ts'
