/**
 * Offsets of groups moved by tools: INVOKE_BROKER_TO_RESET_OFFSET (222), CLONE_GROUP_OFFSET (314), and
 * QUERY_CORRECTION_OFFSET (308), which tells where a group may go on.
 *
 * Keeps: a reset counts once it is answered, whether consumers are online or not: their pulls of each queue are answered 21 with the new
 * offset until one comes from there (told-resets.ts), and what they commit before that does not count, unless it is that very offset.
 * A leader that dies in between may have them told twice.
 * With useServerSideResetOffset=false the consumers that are online are told to move themselves (220), as before Apache's 5.0.
 *
 * Source: AdminBrokerProcessor, ConsumerOffsetManager, Broker2Client.
 */
import {
  CloneGroupOffsetRequest,
  type Connection,
  createResponse,
  encodeResetOffsets,
  encodeResetOffsetsForC,
  QueryCorrectionOffsetRequest,
  type QueueOffset,
  type RemotingCommand,
  RequestCode,
  ResetClientOffsetRequest,
  ResetOffsetRequest,
  ResponseCode,
} from '@dledger-ts/remoting'
import type { TopicConfig } from '@dledger-ts/store'
import type { BrokerContext } from '../context.ts'
import { Scans } from './admin/scans.ts'
import type { Processor } from './registry.ts'

/** Java's Long.MAX_VALUE: go on where you are. */
const NO_CORRECTION = '9223372036854775807'
/** V3_0_7_SNAPSHOT: what clients before it do not know. */
export const VERSION_WITH_OFFSET_COMMANDS = 28

/** Told after a group was moved: who waits for messages of the topic looks again. */
export type GroupMoved = (group: string, topic: string, queueIds: Iterable<number>) => void

export function offsetResetProcessors(context: BrokerContext, moved: GroupMoved): [number, Processor][] {
  const { config, consumers, store, topics } = context
  const scans = new Scans(context.clock, store)

  async function resetOffset(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const header = ResetOffsetRequest.decode(request.extFields)
    const topic = topics.find(header.topic)
    if (!config.useServerSideResetOffset) return resetInClients(request, header, topic)
    if (topic === undefined) {
      return createResponse(ResponseCode.TOPIC_NOT_EXIST, `Topic ${header.topic} does not exist`)
    }
    if (!store.groups().has(header.group)) {
      return createResponse(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, `Group ${header.group} does not exist`)
    }
    const offsets = await targets(header, topic)
    if (typeof offsets === 'string') return createResponse(ResponseCode.SYSTEM_ERROR, offsets)
    await store.resetConsumerOffsets(header.group, header.topic, offsets)
    moved(header.group, header.topic, offsets.keys())
    const table = [...offsets].map(([queueId, offset]) => queueOffset(header.topic, queueId, offset))
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeResetOffsets(table))
  }

  /** @returns what is wrong with the wish, or where the group goes on. */
  async function targets(
    header: ResetOffsetRequest,
    topic: TopicConfig,
  ): Promise<string | ReadonlyMap<number, number>> {
    const { queueId, offset, timestamp } = header
    if (queueId >= 0) {
      if (queueId >= topic.readQueueNums) return `the topic has no queue ${queueId}`
      if (offset === undefined || offset === -1)
        return new Map([[queueId, await offsetAt(header.topic, queueId, timestamp)]])
      const min = store.minOffset(header.topic, queueId)
      const max = store.maxOffset(header.topic, queueId)
      if (offset >= min && offset <= max) return new Map([[queueId, offset]])
      return `Target offset ${offset} not in consume queue range [${min}-${max}]`
    }
    if (topic.readQueueNums === 0) return 'No queues to reset.'
    const offsets = new Map<number, number>()
    for (let id = 0; id < topic.readQueueNums; id++) offsets.set(id, await offsetAt(header.topic, id, timestamp))
    return offsets
  }

  async function offsetAt(topic: string, queueId: number, timestamp: number): Promise<number> {
    if (timestamp < 0) return store.maxOffset(topic, queueId)
    return Math.max(0, await store.offsetByTimestamp(topic, queueId, timestamp, 'LOWER'))
  }

  function queueOffset(topic: string, queueId: number, offset: number): QueueOffset {
    return [{ brokerName: config.brokerName, queueId, topic }, offset]
  }

  async function resetInClients(
    request: RemotingCommand,
    { topic, group, timestamp, isForce }: ResetOffsetRequest,
    topicConfig: TopicConfig | undefined,
  ): Promise<RemotingCommand> {
    if (topicConfig === undefined) {
      const remark = `[reset-offset] reset offset failed, no topic in this broker. topic=${topic}`
      return createResponse(ResponseCode.TOPIC_NOT_EXIST, remark)
    }
    const offsets: QueueOffset[] = []
    for (let queueId = 0; queueId < topicConfig.writeQueueNums; queueId++) {
      const present = store.consumerOffset(group, topic, queueId)
      if (present === undefined) {
        return createResponse(ResponseCode.SYSTEM_ERROR, `THe consumer group <${group}> not exist`)
      }
      const wanted = await offsetAt(topic, queueId, timestamp)
      offsets.push(queueOffset(topic, queueId, isForce ? wanted : Math.min(wanted, present)))
    }
    const members = [...(consumers.group(group)?.members.values() ?? [])]
    if (members.length === 0) {
      const remark = `Consumer not online, so can not reset offset, Group: ${group} Topic: ${topic} Timestamp: ${timestamp}`
      return createResponse(ResponseCode.CONSUMER_NOT_ONLINE, remark)
    }
    const old = members.find((member) => member.version < VERSION_WITH_OFFSET_COMMANDS)
    if (old !== undefined) {
      const remark = `the client does not support this feature. version=${old.version}`
      return createResponse(ResponseCode.SYSTEM_ERROR, remark)
    }
    const body = request.language === 'CPP' ? encodeResetOffsetsForC(offsets) : encodeResetOffsets(offsets)
    for (const { channel } of members) {
      channel.oneway(ResetClientOffsetRequest.request({ topic, group, timestamp, queueId: -1, isForce: false }, body))
    }
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeResetOffsets(offsets))
  }

  async function cloneGroupOffset(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { srcGroup, destGroup, topic, offline } = CloneGroupOffsetRequest.decode(request.extFields)
    const isOneTopic = topic !== undefined && topic.trim() !== ''
    const subscriptions = consumers.group(srcGroup)?.subscriptions
    for (const [name, offsets] of store.consumerOffsets(srcGroup)) {
      if (isOneTopic && name !== topic) continue
      if (topics.find(name) === undefined) continue
      // What the group does not consume any more is old.
      if (!offline && subscriptions !== undefined && subscriptions.size > 0 && !subscriptions.has(name)) continue
      const moving = new Map<number, number>()
      for (const [queueId, offset] of offsets) {
        if (store.pendingReset(destGroup, name, queueId) !== undefined) moving.set(queueId, offset)
        else store.commitConsumerOffset(destGroup, name, queueId, offset)
      }
      if (moving.size > 0) await store.resetConsumerOffsets(destGroup, name, moving)
    }
    await store.flushConsumerOffsets()
    return createResponse(ResponseCode.SUCCESS)
  }

  /** The least of what all groups have of each queue; none where the group that is compared stands before that. */
  async function correctionOffset(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { filterGroups, compareGroup, topic } = QueryCorrectionOffsetRequest.decode(request.extFields)
    const left = new Set(filterGroups?.split(','))
    const least = new Map<number, number>()
    const groups = [...store.groupsWithOffsets()].filter((group) => !left.has(group))
    await scans.run(groups.length, (i) => {
      const group = groups[i] as string
      for (const [queueId, offset] of store.consumerOffsets(group).get(topic) ?? []) {
        if (offset < store.minOffset(topic, queueId)) continue
        least.set(queueId, Math.min(least.get(queueId) ?? offset, offset))
      }
    })
    const compared = store.consumerOffsets(compareGroup).get(topic)
    const table = [...least].map(([queueId, offset]) => {
      const own = compared?.get(queueId)
      return `"${queueId}":${own !== undefined && offset > own ? NO_CORRECTION : offset}`
    })
    const body = Buffer.from(`{"correctionOffsets":{${table.join(',')}}}`)
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
  }

  return [
    [RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, { served: 'leader', handle: resetOffset }],
    [RequestCode.CLONE_GROUP_OFFSET, { served: 'leader', handle: cloneGroupOffset }],
    [RequestCode.QUERY_CORRECTION_OFFSET, { served: 'leader', handle: correctionOffset }],
  ]
}
