export {
  type AclEntryInfo,
  type AclInfo,
  type AclPolicyInfo,
  decodeAclInfo,
  decodeAclInfos,
  decodeUserInfo,
  decodeUserInfos,
  encodeAclInfo,
  encodeAclInfos,
  encodeUserInfo,
  encodeUserInfos,
  type UserInfo,
} from './body/access.ts'
export {
  type AssignmentQuery,
  decodeAssignmentQuery,
  decodeRequestMode,
  encodeAssignment,
  encodeRequestModes,
  type RequestMode,
  type RequestModeSetting,
} from './body/assignment.ts'
export { type BatchAck, type BatchAckRequest, decodeBatchAck } from './body/batch-ack.ts'
export { normalizedIp, parseAddress, type SocketAddress } from './address.ts'
export { type DataVersion, dataVersionText, decodeDataVersion, equalDataVersions } from './body/data-version.ts'
export { type DialectObject, dialectText, type DialectValue, objectKeyedTable, parseDialect } from './body/dialect.ts'
export {
  type CheckClientConfig,
  type ConsumerData,
  decodeCheckClientConfig,
  decodeHeartbeat,
  encodeCheckClientConfig,
  encodeHeartbeat,
  type HeartbeatData,
  type SubscriptionData,
} from './body/heartbeat.ts'
export {
  type BrokerStatsData,
  type ClientConnection,
  type ConsumeQueueView,
  type ConsumerConnections,
  type ConsumerOffsets,
  consumerOffsetsEntry,
  type ConsumeStatsList,
  consumeStatsText,
  encodeAllConsumerOffsets,
  encodeBrokerStatsData,
  encodeConsumeQueueView,
  encodeConsumerConnections,
  encodeConsumeStatsList,
  encodeConsumeTimeSpans,
  encodeDelayOffsets,
  encodeGroupList,
  encodeHaOfMaster,
  encodeHaOfSlave,
  encodeProducerConnections,
  encodeProducerTable,
  encodeSubscriptionOf,
  encodeTopicStats,
  type HaConnection,
  type ProducerInfo,
  type QueueTimeSpan,
  type StatsItem,
  topicOffsetEntry,
} from './body/inspection.ts'
export {
  decodeConsumerIdList,
  decodeKvTable,
  decodeTopicList,
  encodeConsumerIdList,
  encodeKvTable,
  encodeTopicList,
  type TopicList,
} from './body/lists.ts'
export {
  decodeLockBatchRequest,
  decodeLockBatchResponse,
  encodeLockBatchRequest,
  encodeLockBatchResponse,
  type LockBatchRequest,
} from './body/lock.ts'
export { type MessageQueue, messageQueueText, readMessageQueue } from './body/message-queue.ts'
export {
  decodeRegisterBrokerBody,
  encodeCompressedRegisterBrokerBody,
  encodeRegisterBrokerBody,
  type RegisterBrokerBody,
} from './body/register-broker.ts'
export {
  type BrokerData,
  type BrokerMemberGroup,
  type ClusterInfo,
  decodeBrokerMemberGroup,
  decodeClusterInfo,
  decodeTopicRouteData,
  encodeBrokerMemberGroup,
  encodeClusterInfo,
  encodeTopicRouteData,
  type QueueData,
  type TopicRouteData,
} from './body/route.ts'
export { decodeProperties } from './body/properties.ts'
export {
  decodeClientOffsets,
  decodeResetOffsets,
  encodeConsumerStatus,
  encodeResetOffsets,
  encodeResetOffsetsForC,
  type QueueOffset,
} from './body/queue-offsets.ts'
export {
  decodeSubscriptionGroup,
  decodeSubscriptionGroupList,
  encodeSubscriptionGroup,
  encodeSubscriptionGroupList,
  type SubscriptionGroup,
  subscriptionGroupText,
} from './body/subscription-group.ts'
export {
  decodeTopicConfigTable,
  decodeTopicConfigList,
  encodeTopicConfigTable,
  encodeTopicConfigList,
  type TopicConfig,
  topicConfig,
  type TopicConfigTable,
  topicConfigText,
} from './body/topic-config.ts'
export { RemotingClient, type RemotingClientOptions } from './client.ts'
export { RequestCode, ResponseCode } from './codes.ts'
export {
  type CommandBody,
  createRequest,
  createResponse,
  decodeCommand,
  type ExtFields,
  OUR_LANGUAGE,
  OUR_VERSION,
  type Releasable,
  RemotingCommand,
  SerializeType,
} from './command.ts'
export { Connection, type ConnectionCounters, type ConnectionLimits, DEFAULT_CONNECTION_LIMITS } from './connection.ts'
export { RemotingError, type RemotingErrorDetail } from './errors.ts'
export { encodeFrames, FRAME_BYTES_MAX, FrameDecoder, type FrameSink } from './frame.ts'
export { AclRequest, UserRequest } from './header/access.ts'
export {
  CloneGroupOffsetRequest,
  ConsumeMessageDirectlyRequest,
  DeleteSubscriptionGroupRequest,
  GetClientStatusRequest,
  GetConsumerRunningInfoRequest,
  GetConsumerStatusRequest,
  GroupForbiddenRequest,
  QueryCorrectionOffsetRequest,
  ResetClientOffsetRequest,
  ResetOffsetRequest,
  ResumeCheckHalfMessageRequest,
} from './header/admin-change.ts'
export {
  GetConsumerListRequest,
  HeartbeatResponse,
  NotifyConsumerIdsChangedRequest,
  UnregisterClientRequest,
} from './header/client.ts'
export {
  boolean,
  defaulted,
  type Field,
  Header,
  header,
  type HeaderFields,
  type HeaderOf,
  type HeaderValue,
  int32,
  int64,
  named,
  optional,
  string,
} from './header/header.ts'
export {
  DeleteKvConfigRequest,
  GetKvConfigRequest,
  GetKvConfigResponse,
  GetKvListRequest,
  PutKvConfigRequest,
} from './header/key-value.ts'
export {
  GetEarliestStoreTimeRequest,
  GetEarliestStoreTimeResponse,
  GetMaxOffsetRequest,
  GetMaxOffsetResponse,
  GetMinOffsetRequest,
  GetMinOffsetResponse,
  QueryConsumerOffsetRequest,
  QueryConsumerOffsetResponse,
  SearchOffsetRequest,
  SearchOffsetResponse,
  UpdateConsumerOffsetRequest,
} from './header/offset.ts'
export {
  AckMessageRequest,
  ChangeInvisibleTimeRequest,
  ChangeInvisibleTimeResponse,
  ConsumeInitMode,
  NotificationRequest,
  NotificationResponse,
  PollingInfoRequest,
  PollingInfoResponse,
  PeekMessageRequest,
  PopMessageRequest,
  PopMessageResponse,
} from './header/pop.ts'
export {
  GetBrokerConfigResponse,
  GetBrokerConsumeStatsRequest,
  GetConsumeStatsRequest,
  GetConsumerConnectionsRequest,
  GetGroupConfigRequest,
  GetProducerConnectionsRequest,
  GetTopicConfigRequest,
  GetTopicStatsRequest,
  QueryConsumeQueueRequest,
  QueryConsumeTimeSpanRequest,
  QuerySubscriptionByConsumerRequest,
  QueryTopicConsumeByWhoRequest,
  QueryTopicsByConsumerRequest,
  ViewBrokerStatsRequest,
} from './header/inspection.ts'
export { PullMessageRequest, PullMessageResponse, PullSysFlag } from './header/pull.ts'
export { QueryMessageRequest, QueryMessageResponse, ViewMessageRequest } from './header/query.ts'
export { RecallMessageRequest, RecallMessageResponse } from './header/recall.ts'
export {
  BrokerHeartbeatRequest,
  QueryDataVersionRequest,
  QueryDataVersionResponse,
  RegisterBrokerRequest,
  RegisterBrokerResponse,
  UnregisterBrokerRequest,
} from './header/registration.ts'
export { JoinAsSlaveRequest, JoinAsSlaveResponse } from './header/slave.ts'
export {
  AddWritePermRequest,
  AddWritePermResponse,
  DeleteTopicInNamesrvRequest,
  GetBrokerMemberGroupRequest,
  GetRouteInfoRequest,
  GetTopicsByClusterRequest,
  RegisterTopicRequest,
  WipeWritePermRequest,
  WipeWritePermResponse,
} from './header/route.ts'
export {
  ConsumerSendMsgBackRequest,
  PushReplyMessageRequest,
  sendMessageHeader,
  SendMessageRequest,
  SendMessageRequestV2,
  SendMessageResponse,
  SendResponseText,
} from './header/send.ts'
export { CreateTopicRequest, DeleteTopicRequest } from './header/topic.ts'
export { CheckTransactionStateRequest, EndTransactionRequest } from './header/transaction.ts'
export type { ResponseHandler } from './pending-requests.ts'
export type { Processor, ProcessorResult, ProcessorTable } from './processor.ts'
export { RemotingServer, type RemotingServerCounters, type RemotingServerOptions } from './server.ts'
export {
  type Credentials,
  isSignedWith,
  SignatureField,
  type SigningKey,
  signingKey,
  signRequest,
} from './signature.ts'
export { type Sockets, tcpSockets } from './sockets.ts'
export { NO_CLIENT_TLS, NO_SERVER_TLS, type TlsClientKeys, type TlsServerKeys } from './tls/keys.ts'
export { Tls, type TlsOptions } from './tls/tls.ts'
