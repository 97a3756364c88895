/**
 * What tools read of queues, groups and connections. Tables by queue are given as texts, so that a large one is put together piece by piece.
 *
 * Source: org.apache.rocketmq.remoting.protocol.admin, .body.
 */
import type { DataVersion } from './data-version.ts'
import { dataVersionText } from './data-version.ts'
import { objectKeyedTable } from './dialect.ts'
import type { SubscriptionData } from './heartbeat.ts'
import { type MessageQueue, messageQueueText } from './message-queue.ts'

/** One queue of a TopicStatsTable, as a pair of texts. */
export function topicOffsetEntry(
  queue: MessageQueue,
  { lastUpdateTimestamp, maxOffset, minOffset }: { lastUpdateTimestamp: number; maxOffset: number; minOffset: number },
): readonly [string, string] {
  return [messageQueueText(queue), JSON.stringify({ lastUpdateTimestamp, maxOffset, minOffset })]
}

export function encodeTopicStats(queues: Iterable<readonly [string, string]>, topicPutTps: number): Buffer {
  return Buffer.from(`{"offsetTable":${objectKeyedTable(queues)},"topicPutTps":${topicPutTps}}`)
}

export interface ConsumerOffsets {
  readonly brokerOffset: number
  readonly consumerOffset: number
  /** Store time of the last message that is consumed; 0 when it is not known. */
  readonly lastTimestamp: number
  readonly pullOffset: number
}

/** One queue of ConsumeStats, as a pair of texts. */
export function consumerOffsetsEntry(queue: MessageQueue, offsets: ConsumerOffsets): readonly [string, string] {
  const { brokerOffset, consumerOffset, lastTimestamp, pullOffset } = offsets
  return [messageQueueText(queue), JSON.stringify({ brokerOffset, consumerOffset, lastTimestamp, pullOffset })]
}

export function consumeStatsText(queues: Iterable<readonly [string, string]>, consumeTps: number): string {
  return `{"consumeTps":${consumeTps},"offsetTable":${objectKeyedTable(queues)}}`
}

export interface ConsumeStatsList {
  readonly brokerAddr: string
  /** Group, and the texts of its ConsumeStats. */
  readonly groups: readonly (readonly [group: string, statsTexts: readonly string[]])[]
  readonly totalDiff: number
  readonly totalInflightDiff: number
}

export function encodeConsumeStatsList(list: ConsumeStatsList): Buffer {
  const groups = list.groups.map(([group, texts]) => `{${JSON.stringify(group)}:[${texts.join(',')}]}`)
  const totals = `"totalDiff":${list.totalDiff},"totalInflightDiff":${list.totalInflightDiff}`
  const brokerAddr = JSON.stringify(list.brokerAddr)
  return Buffer.from(`{"brokerAddr":${brokerAddr},"consumeStatsList":[${groups.join(',')}],${totals}}`)
}

export interface ClientConnection {
  readonly clientAddr: string
  readonly clientId: string
  readonly language: string
  readonly version: number
}

export interface ConsumerConnections {
  readonly connectionSet: readonly ClientConnection[]
  readonly consumeFromWhere: string
  readonly consumeType: string
  readonly messageModel: string
  readonly subscriptions: readonly SubscriptionData[]
}

export function encodeConsumerConnections(connections: ConsumerConnections): Buffer {
  const { connectionSet, consumeFromWhere, consumeType, messageModel, subscriptions } = connections
  const subscriptionTable = Object.fromEntries(subscriptions.map((one) => [one.topic, one]))
  return Buffer.from(JSON.stringify({ connectionSet, consumeFromWhere, consumeType, messageModel, subscriptionTable }))
}

export function encodeProducerConnections(connectionSet: readonly ClientConnection[]): Buffer {
  return Buffer.from(JSON.stringify({ connectionSet }))
}

export interface ProducerInfo {
  readonly clientId: string
  readonly language: string
  readonly lastUpdateTimestamp: number
  readonly remoteIP: string
  readonly version: number
}

export function encodeProducerTable(
  groups: Iterable<readonly [group: string, members: readonly ProducerInfo[]]>,
): Buffer {
  return Buffer.from(JSON.stringify({ data: Object.fromEntries(groups) }))
}

export function encodeGroupList(groupList: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify({ groupList }))
}

export function encodeSubscriptionOf(
  group: string,
  topic: string,
  subscriptionData: SubscriptionData | undefined,
): Buffer {
  return Buffer.from(JSON.stringify({ group, subscriptionData, topic }))
}

export interface QueueTimeSpan {
  readonly consumeTimeStamp: number
  /** How old the next message to be consumed is; 0 when there is none. */
  readonly delayTime: number
  readonly maxTimeStamp: number
  readonly messageQueue: MessageQueue
  readonly minTimeStamp: number
}

export function encodeConsumeTimeSpans(spans: readonly QueueTimeSpan[]): Buffer {
  return Buffer.from(JSON.stringify({ consumeTimeSpanSet: spans }))
}

export interface ConsumeQueueView {
  readonly filterData: string | undefined
  readonly maxQueueIndex: number
  readonly minQueueIndex: number
  readonly queueData: readonly {
    readonly physicOffset: number
    readonly physicSize: number
    readonly tagsCode: number
  }[]
  readonly subscriptionData: SubscriptionData | undefined
}

export function encodeConsumeQueueView(view: ConsumeQueueView): Buffer {
  const { filterData, maxQueueIndex, minQueueIndex, subscriptionData } = view
  const queueData = view.queueData.map((one) => ({ eval: false, ...one }))
  return Buffer.from(JSON.stringify({ filterData, maxQueueIndex, minQueueIndex, queueData, subscriptionData }))
}

export interface StatsItem {
  readonly sum: number
  /** Of `sum`, each second. */
  readonly tps: number
  /** Of `sum`, each time that something was counted. */
  readonly avgpt: number
}

export interface BrokerStatsData {
  readonly statsDay: StatsItem
  readonly statsHour: StatsItem
  readonly statsMinute: StatsItem
}

export function encodeBrokerStatsData(data: BrokerStatsData): Buffer {
  const item = ({ avgpt, sum, tps }: StatsItem) => ({ avgpt, sum, tps })
  const { statsDay, statsHour, statsMinute } = data
  const items = { statsDay: item(statsDay), statsHour: item(statsHour), statsMinute: item(statsMinute) }
  return Buffer.from(JSON.stringify(items))
}

export interface HaConnection {
  readonly addr: string
  readonly slaveAckOffset: number
  readonly diff: number
  readonly inSync: boolean
}

/** HARuntimeInfo of a master. Speeds are not measured. */
export function encodeHaOfMaster(masterCommitLogMaxOffset: number, connections: readonly HaConnection[]): Buffer {
  const haConnectionInfo = connections.map(({ addr, diff, inSync, slaveAckOffset }) => ({
    addr,
    diff,
    inSync,
    slaveAckOffset,
    transferFromWhere: slaveAckOffset,
    transferredByteInSecond: 0,
  }))
  const inSyncSlaveNums = connections.filter(({ inSync }) => inSync).length
  return Buffer.from(
    JSON.stringify({
      haClientRuntimeInfo: {},
      haConnectionInfo,
      inSyncSlaveNums,
      master: true,
      masterCommitLogMaxOffset,
    }),
  )
}

/** HARuntimeInfo of a slave. Neither speeds nor the times of reads are measured. */
export function encodeHaOfSlave(masterAddr: string, maxOffset: number): Buffer {
  const unknown = { lastReadTimestamp: 0, lastWriteTimestamp: 0, masterFlushOffset: 0, transferredByteInSecond: 0 }
  const haClientRuntimeInfo = { activated: masterAddr !== '', masterAddr, maxOffset, ...unknown }
  return Buffer.from(
    JSON.stringify({
      haClientRuntimeInfo,
      haConnectionInfo: [],
      inSyncSlaveNums: 0,
      master: false,
      masterCommitLogMaxOffset: 0,
    }),
  )
}

/** The contents of Apache's consumerOffset.json: `topic@group` and the texts of its queues, `{"0":5}`. */
export function encodeAllConsumerOffsets(version: DataVersion, rows: Iterable<readonly [string, string]>): Buffer {
  const texts = [...rows].map(([key, queues]) => `${JSON.stringify(key)}:${queues}`)
  return Buffer.from(`{"dataVersion":${dataVersionText(version)},"offsetTable":{${texts.join(',')}}}`)
}

/** The contents of Apache's delayOffset.json. */
export function encodeDelayOffsets(
  version: DataVersion,
  levels: Iterable<readonly [level: number, offset: number]>,
): Buffer {
  const offsetTable = JSON.stringify(Object.fromEntries(levels))
  return Buffer.from(`{"dataVersion":${dataVersionText(version)},"offsetTable":${offsetTable}}`)
}
