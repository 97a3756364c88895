export { type BatchMessage, encodeBatchBody, splitBatchBody } from './batch.ts'
export { DEFAULT_MESSAGE_DELAY_LEVEL, delayOfLevel, parseDelayLevels } from './delay-levels.ts'
export { ProtocolError, type ProtocolErrorDetail } from './errors.ts'
export { formatHostAddress, formatIp, type HostAddress, hostAddress, isIpv6, parseHostAddress } from './host-address.ts'
export { indexHash, javaHash, tagsCode } from './java-hash.ts'
export { offsetMsgId, parseOffsetMsgId, UniqKeyGenerator } from './message-id.ts'
export {
  DLQ_TOPIC_PREFIX,
  dlqTopic,
  groupNameError,
  isDlqTopic,
  isRetryTopic,
  RETRY_TOPIC_PREFIX,
  retryTopic,
  SYSTEM_TOPIC_PREFIX,
  topicNameError,
} from './names.ts'
export { isInherited, isReadable, isWritable, Permission } from './permission.ts'
export {
  addPropertyIfAbsent,
  appendProperties,
  decodeProperties,
  encodeProperties,
  getProperty,
  hasProperty,
  PROPERTIES_BYTES_MAX,
  removeProperty,
  setProperty,
} from './properties.ts'
export { PropertyName } from './property-names.ts'
export {
  checkRecord,
  checkRecordBody,
  decodeRecord,
  decodeRecords,
  type MessageRecord,
  RECORD_BYTES_MIN,
  RECORD_MAGIC_V1,
  RECORD_MAGIC_V2,
  recordBody,
  recordBodyLength,
  recordBornTimestamp,
  recordBytes,
  recordCrc,
  RecordDraft,
  type RecordFields,
  recordFlag,
  recordPhysicalOffset,
  type RecordPlace,
  recordPreparedTransactionOffset,
  recordProperties,
  recordPropertiesAt,
  recordPropertiesSlice,
  recordProperty,
  recordPropertyMap,
  recordQueueId,
  recordQueueOffset,
  recordReconsumeTimes,
  recordStoreTimestamp,
  recordSysFlag,
  recordTags,
  recordHasTopic,
  recordTopic,
  recordTopicAt,
  recordTopicLength,
  recordTotalSize,
  writeRecordPlace,
} from './record.ts'
export {
  compressionBits,
  compressionOf,
  isQueued,
  MessageSysFlag,
  transactionType,
  withTransactionType,
} from './sys-flag.ts'
export {
  isNotAllowedSendTopic,
  isSystemGroup,
  isSystemTopic,
  SystemGroup,
  SystemTopic,
  type SystemTopicConfig,
  systemTopicConfigs,
  type SystemTopicOptions,
} from './system-topics.ts'
export { readText, textBytes, writeText } from './text.ts'
