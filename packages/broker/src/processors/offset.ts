/**
 * Offsets: of consumer groups (14, 15) and of queues (29, 30, 31, 32).
 *
 * Keeps: a follower says what it stores or that it does not know; only a leader says that there is none.
 *
 * Source: ConsumerManageProcessor, AdminBrokerProcessor.
 */
import {
  type Connection,
  createResponse,
  GetEarliestStoreTimeRequest,
  GetEarliestStoreTimeResponse,
  GetMaxOffsetRequest,
  GetMaxOffsetResponse,
  GetMinOffsetRequest,
  GetMinOffsetResponse,
  QueryConsumerOffsetRequest,
  QueryConsumerOffsetResponse,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  SearchOffsetRequest,
  SearchOffsetResponse,
  UpdateConsumerOffsetRequest,
} from '@dledger-ts/remoting'
import type { BrokerContext } from '../context.ts'
import type { Processor } from './registry.ts'

export function offsetProcessors(context: BrokerContext): [number, Processor][] {
  const { store, topics } = context

  function queryConsumerOffset(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const header = QueryConsumerOffsetRequest.decode(request.extFields)
    const found = offsetForConsumer(context, header)
    return typeof found === 'number'
      ? QueryConsumerOffsetResponse.response(ResponseCode.SUCCESS, { offset: found })
      : createResponse(found.code, found.remark)
  }

  function updateConsumerOffset(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const header = UpdateConsumerOffsetRequest.decode(request.extFields)
    const { consumerGroup, topic, queueId, commitOffset } = header
    if (context.groups.findOrCreate(consumerGroup) === undefined) {
      const remark = `Group ${consumerGroup} not exist!`
      return createResponse(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, remark)
    }
    const found = topics.find(topic)
    if (found === undefined) return createResponse(ResponseCode.TOPIC_NOT_EXIST, `Topic ${topic} not exist!`)
    // Apache keeps it for any number. A topic may have had more queues than now.
    if (queueId >= Math.max(found.readQueueNums, found.writeQueueNums) && store.maxOffset(topic, queueId) === 0) {
      const remark = `queueId[${queueId}] is illegal, topic:[${topic}] has no such queue`
      return createResponse(ResponseCode.INVALID_PARAMETER, remark)
    }
    store.commitConsumerOffset(consumerGroup, topic, queueId, commitOffset)
    return createResponse(ResponseCode.SUCCESS)
  }

  async function searchOffset(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { topic, queueId, timestamp, boundaryType } = SearchOffsetRequest.decode(request.extFields)
    const boundary = boundaryType?.toUpperCase() === 'UPPER' ? 'UPPER' : 'LOWER'
    const offset = await store.offsetByTimestamp(topic, queueId, timestamp, boundary)
    return SearchOffsetResponse.response(ResponseCode.SUCCESS, { offset })
  }

  function maxOffset(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const { topic, queueId } = GetMaxOffsetRequest.decode(request.extFields)
    const offset = store.maxOffset(topic, queueId)
    return GetMaxOffsetResponse.response(ResponseCode.SUCCESS, { offset })
  }

  function minOffset(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const { topic, queueId } = GetMinOffsetRequest.decode(request.extFields)
    const offset = store.minOffset(topic, queueId)
    return GetMinOffsetResponse.response(ResponseCode.SUCCESS, { offset })
  }

  async function earliestStoreTime(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { topic, queueId } = GetEarliestStoreTimeRequest.decode(request.extFields)
    const timestamp = await store.earliestStoreTime(topic, queueId)
    return GetEarliestStoreTimeResponse.response(ResponseCode.SUCCESS, { timestamp })
  }

  return [
    [RequestCode.QUERY_CONSUMER_OFFSET, { served: 'here', handle: queryConsumerOffset }],
    [RequestCode.UPDATE_CONSUMER_OFFSET, { served: 'leader', handle: updateConsumerOffset }],
    [RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, { served: 'here', handle: searchOffset }],
    [RequestCode.GET_MAX_OFFSET, { served: 'here', handle: maxOffset }],
    [RequestCode.GET_MIN_OFFSET, { served: 'here', handle: minOffset }],
    [RequestCode.GET_EARLIEST_MSG_STORETIME, { served: 'here', handle: earliestStoreTime }],
  ]
}

/**
 * Where a group goes on in a queue.
 *
 * A group that never committed begins at 0 (in a topic that was deleted and created again, where that began) while the queue still has its first message and that is recent: a consumer that wants
 * "the last offset" then does not skip what was sent before it started. Every client relies on this rule.
 */
function offsetForConsumer(
  { store }: BrokerContext,
  header: QueryConsumerOffsetRequest,
): number | { code: number; remark: string } {
  const { consumerGroup, topic, queueId } = header
  const stored = store.consumerOffset(consumerGroup, topic, queueId)
  if (stored !== undefined && stored >= 0) return stored
  if (!store.isReady()) {
    return { code: ResponseCode.SYSTEM_ERROR, remark: 'this broker does not lead and does not know the offset' }
  }
  if (header.setZeroIfNotFound === false) {
    return { code: ResponseCode.QUERY_NOT_FOUND, remark: 'Not found, do not set to zero, maybe this group boot first' }
  }
  const first = store.queueFloor(topic, queueId)
  if (store.minOffset(topic, queueId) <= first && store.isInMemory(topic, queueId, first)) return first
  return {
    code: ResponseCode.QUERY_NOT_FOUND,
    remark: 'Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first',
  }
}
