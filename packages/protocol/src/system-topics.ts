/**
 * The topics and groups that every broker has, and which of them a client may not write to.
 *
 * Source: org.apache.rocketmq.common.topic.TopicValidator, org.apache.rocketmq.broker.topic.TopicConfigManager.
 */
import { SYSTEM_GROUP_PREFIX, SYSTEM_TOPIC_PREFIX } from './names.ts'
import { Permission } from './permission.ts'

export const SystemTopic = {
  AUTO_CREATE: 'TBW102',
  SELF_TEST: 'SELF_TEST_TOPIC',
  BENCHMARK: 'BenchmarkTest',
  OFFSET_MOVED_EVENT: 'OFFSET_MOVED_EVENT',
  SCHEDULE: 'SCHEDULE_TOPIC_XXXX',
  TRACE: 'RMQ_SYS_TRACE_TOPIC',
  TRANSACTION_HALF: 'RMQ_SYS_TRANS_HALF_TOPIC',
  TRANSACTION_OP_HALF: 'RMQ_SYS_TRANS_OP_HALF_TOPIC',
  TRANSACTION_CHECK_MAX_TIME: 'TRANS_CHECK_MAX_TIME_TOPIC',
  ROCKSDB_TRANSACTION_HALF: 'RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC',
  ROCKSDB_TRANSACTION_OP_HALF: 'RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC',
  CHECKPOINT: 'CHECKPOINT_TOPIC',
  WHEEL_TIMER: 'rmq_sys_wheel_timer',
} as const

const SYSTEM_TOPICS: ReadonlySet<string> = new Set<string>(
  Object.values(SystemTopic).filter((topic) => topic !== SystemTopic.WHEEL_TIMER),
)

const NOT_ALLOWED_SEND_TOPICS: ReadonlySet<string> = new Set<string>([
  SystemTopic.SCHEDULE,
  SystemTopic.TRANSACTION_HALF,
  SystemTopic.TRANSACTION_OP_HALF,
  SystemTopic.TRANSACTION_CHECK_MAX_TIME,
  SystemTopic.ROCKSDB_TRANSACTION_HALF,
  SystemTopic.ROCKSDB_TRANSACTION_OP_HALF,
  SystemTopic.SELF_TEST,
  SystemTopic.OFFSET_MOVED_EVENT,
])

export const SystemGroup = {
  TOOLS_CONSUMER: 'TOOLS_CONSUMER',
  FILTER_SERVER_CONSUMER: 'FILTERSRV_CONSUMER',
  SELF_TEST_CONSUMER: 'SELF_TEST_C_GROUP',
  ONS_HTTP_PROXY: 'CID_ONS-HTTP-PROXY',
  ONSAPI_PULL: 'CID_ONSAPI_PULL',
  ONSAPI_PERMISSION: 'CID_ONSAPI_PERMISSION',
  ONSAPI_OWNER: 'CID_ONSAPI_OWNER',
  TRANSACTION_CHECK: 'CID_RMQ_SYS_TRANS',
} as const

export function isSystemTopic(topic: string): boolean {
  return topic.startsWith(SYSTEM_TOPIC_PREFIX) || SYSTEM_TOPICS.has(topic)
}

/** Whether a client's send to this topic is refused with NO_PERMISSION. */
export function isNotAllowedSendTopic(topic: string): boolean {
  return NOT_ALLOWED_SEND_TOPICS.has(topic)
}

export function isSystemGroup(group: string): boolean {
  return group.startsWith(SYSTEM_GROUP_PREFIX) || (Object.values(SystemGroup) as string[]).includes(group)
}

export interface SystemTopicConfig {
  topic: string
  readQueueNums: number
  writeQueueNums: number
  perm: number
}

export interface SystemTopicOptions {
  clusterName: string
  brokerName: string
  autoCreateTopicEnable: boolean
  clusterTopicEnable: boolean
  brokerTopicEnable: boolean
  traceTopicEnable: boolean
  /** Queues of TBW102, from which new topics take theirs. */
  defaultTopicQueueNums: number
  /** Queues of SCHEDULE_TOPIC_XXXX: one for each delay level. */
  delayLevelCount: number
  reviveQueueNum: number
}

/** @returns the topics that a broker with these settings makes at its first start. */
export function systemTopicConfigs(options: SystemTopicOptions): SystemTopicConfig[] {
  const readWrite = Permission.READ | Permission.WRITE
  const named = (enabled: boolean) => (enabled ? readWrite | Permission.INHERIT : Permission.INHERIT)
  const configs = [
    config(SystemTopic.SELF_TEST, 1, readWrite),
    config(SystemTopic.BENCHMARK, 1024, readWrite),
    config(options.clusterName, 16, named(options.clusterTopicEnable)),
    config(options.brokerName, 1, named(options.brokerTopicEnable)),
    config(SystemTopic.OFFSET_MOVED_EVENT, 1, readWrite),
    config(SystemTopic.SCHEDULE, options.delayLevelCount, readWrite),
    config(`${options.clusterName}_REPLY_TOPIC`, 1, readWrite),
    config(`${SYSTEM_TOPIC_PREFIX}REVIVE_LOG_${options.clusterName}`, options.reviveQueueNum, readWrite),
    config(`${SYSTEM_TOPIC_PREFIX}SYNC_BROKER_MEMBER_${options.brokerName}`, 1, Permission.INHERIT),
    config(SystemTopic.TRANSACTION_HALF, 1, readWrite),
    config(SystemTopic.TRANSACTION_OP_HALF, 1, readWrite),
    config(SystemTopic.TRANSACTION_CHECK_MAX_TIME, 1, readWrite),
    config(SystemTopic.WHEEL_TIMER, 1, readWrite),
  ]
  if (options.autoCreateTopicEnable) {
    configs.push(config(SystemTopic.AUTO_CREATE, options.defaultTopicQueueNums, readWrite | Permission.INHERIT))
  }
  if (options.traceTopicEnable) configs.push(config(SystemTopic.TRACE, 1, readWrite))
  return configs
}

function config(topic: string, queueNums: number, perm: number): SystemTopicConfig {
  return { topic, readQueueNums: queueNums, writeQueueNums: queueNums, perm }
}
