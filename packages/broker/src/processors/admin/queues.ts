/**
 * What tools ask of a topic's queues: GET_TOPIC_STATS_INFO (202), QUERY_CONSUME_TIME_SPAN (303), QUERY_CONSUME_QUEUE (321).
 *
 * Every member answers from what it has applied.
 *
 * Source: AdminBrokerProcessor.
 */
import {
  type Connection,
  createResponse,
  encodeConsumeQueueView,
  encodeConsumeTimeSpans,
  encodeTopicStats,
  GetTopicStatsRequest,
  QueryConsumeQueueRequest,
  QueryConsumeTimeSpanRequest,
  type QueueTimeSpan,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  topicOffsetEntry,
} from '@dledger-ts/remoting'
import { ExpressionError } from '../../filter/expression-error.ts'
import { subscriptionData } from '../../client-manager/subscription.ts'
import type { BrokerContext } from '../../context.ts'
import type { Processor } from '../registry.ts'
import type { Scans } from './scans.ts'

/** Entries of one answer at most. */
const ENTRIES_MAX = 10_000

export function queueProcessors(context: BrokerContext, scans: Scans): [number, Processor][] {
  const { config, store, topics, statistics, clock } = context
  const { brokerName } = config

  function noTopic(topic: string): RemotingCommand {
    return createResponse(ResponseCode.TOPIC_NOT_EXIST, `topic[${topic}] not exist`)
  }

  async function topicStats(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { topic } = GetTopicStatsRequest.decode(request.extFields)
    const found = topics.find(topic)
    if (found === undefined) return noTopic(topic)
    const queues = await scans.run(Math.max(found.writeQueueNums, found.readQueueNums), async (queueId) => {
      const maxOffset = store.maxOffset(topic, queueId)
      const lastUpdateTimestamp = await scans.storeTime(topic, queueId, maxOffset - 1)
      const minOffset = store.minOffset(topic, queueId)
      return topicOffsetEntry({ brokerName, queueId, topic }, { lastUpdateTimestamp, maxOffset, minOffset })
    })
    const body = encodeTopicStats(queues, statistics.topicPutTps(topic))
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
  }

  async function consumeTimeSpan(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { topic, group } = QueryConsumeTimeSpanRequest.decode(request.extFields)
    const found = topics.find(topic)
    if (found === undefined) return noTopic(topic)
    const spans = await scans.run(found.writeQueueNums, async (queueId): Promise<QueueTimeSpan> => {
      const timeAt = (queueOffset: number) => scans.storeTime(topic, queueId, queueOffset)
      const maxOffset = store.maxOffset(topic, queueId)
      const consumed = store.consumerOffset(group, topic, queueId) ?? -1
      const minTimeStamp = await timeAt(store.minOffset(topic, queueId))
      const nextTime = consumed < maxOffset ? await timeAt(Math.max(consumed, store.minOffset(topic, queueId))) : 0
      return {
        consumeTimeStamp: consumed > 0 ? await timeAt(consumed - 1) : minTimeStamp,
        delayTime: nextTime > 0 ? Math.max(0, clock.nowMs() - nextTime) : 0,
        maxTimeStamp: await timeAt(maxOffset - 1),
        messageQueue: { brokerName, queueId, topic },
        minTimeStamp,
      }
    })
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeConsumeTimeSpans(spans))
  }

  async function consumeQueue(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { topic, queueId, index, count, consumerGroup } = QueryConsumeQueueRequest.decode(request.extFields)
    const wanted = Math.max(0, Math.min(count, ENTRIES_MAX))
    const entries = await store.queueEntries(topic, queueId, index, wanted)
    if (entries === undefined) {
      return createResponse(ResponseCode.SYSTEM_ERROR, `${queueId}@${topic} is not exist!`)
    }
    const subscription =
      consumerGroup === undefined ? undefined : context.consumers.group(consumerGroup)?.subscriptions.get(topic)
    const filter = subscription?.filter ?? null
    const remark =
      entries.length === 0 && wanted > 0 ? `Index ${index} of ${queueId}@${topic} is not exist!` : undefined
    const body = encodeConsumeQueueView({
      filterData:
        consumerGroup !== undefined && subscription === undefined
          ? `${consumerGroup}@${topic} is not online!`
          : filter === null
            ? undefined
            : JSON.stringify({ expression: subscription?.expression, dead: filter instanceof ExpressionError }),
      maxQueueIndex: store.maxOffset(topic, queueId),
      minQueueIndex: store.minOffset(topic, queueId),
      queueData: entries.map((entry) => ({
        physicOffset: entry.physicalOffset,
        physicSize: entry.size,
        tagsCode: entry.tagsCode,
      })),
      subscriptionData: subscription === undefined ? undefined : subscriptionData(subscription),
    })
    return createResponse(ResponseCode.SUCCESS, remark, undefined, body)
  }

  return [
    [RequestCode.GET_TOPIC_STATS_INFO, { served: 'here', handle: topicStats }],
    [RequestCode.QUERY_CONSUME_TIME_SPAN, { served: 'here', handle: consumeTimeSpan }],
    [RequestCode.QUERY_CONSUME_QUEUE, { served: 'here', handle: consumeQueue }],
  ]
}
