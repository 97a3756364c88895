/**
 * The life of clients: HEART_BEAT (34), UNREGISTER_CLIENT (35), CHECK_CLIENT_CONFIG (46), GET_CONSUMER_LIST_BY_GROUP (38).
 *
 * Keeps: every member keeps its own table from the heartbeats that it gets, so a new leader serves at once; only the leader
 * writes groups and retry topics down. Who is in a group is not told while the log is applied again: clients keep the queues that they
 * have, and by the end all have said that they are there.
 *
 * Source: ClientManageProcessor, ConsumerManageProcessor.
 */
import { retryTopic } from '@dledger-ts/protocol'
import {
  type Connection,
  type ConsumerData,
  createResponse,
  decodeCheckClientConfig,
  decodeHeartbeat,
  encodeConsumerIdList,
  GetConsumerListRequest,
  HeartbeatResponse,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  UnregisterClientRequest,
} from '@dledger-ts/remoting'
import { StoreError } from '@dledger-ts/store'
import type { ClientInfo } from '../client-manager/consumer-table.ts'
import { isTagType, subscriptionsOf } from '../client-manager/subscription.ts'
import type { BrokerContext } from '../context.ts'
import { ExpressionError } from '../filter/expression-error.ts'
import type { Processor } from './registry.ts'

export function clientProcessors(context: BrokerContext): [number, Processor][] {
  const { consumers, producers, clock } = context

  async function heartbeat(connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const data = decodeHeartbeat(request.bodyBytes)
    const client: ClientInfo = { clientId: data.clientID, language: request.language, version: request.version }
    const nowMs = clock.monotonicMs()
    const isV1 = data.heartbeatFingerprint === 0
    let isSubscriptionWanted = isV1
    const created: Promise<void>[] = []
    for (const consumer of data.consumerDataSet) {
      if (context.config.rejectPullConsumerEnable && consumer.consumeType === 'CONSUME_ACTIVELY') continue
      if (context.groups.findOrCreate(consumer.groupName) === undefined) continue
      if (context.store.isReady()) created.push(createGroupAndRetryTopic(context, consumer))
      const subscriptions = subscriptionsOf(consumer.subscriptionDataSet, context.expressions)
      const isUnknown = consumers.register(
        connection,
        client,
        { ...consumer, subscriptions },
        { nowMs, fingerprint: data.heartbeatFingerprint, keepSubscriptions: data.withoutSub },
      )
      if (isUnknown) isSubscriptionWanted = true
    }
    for (const { groupName } of data.producerDataSet) producers.register(connection, client, groupName, nowMs)
    await Promise.all(created)
    return HeartbeatResponse.response(ResponseCode.SUCCESS, {
      isSupportHeartBeatV2: 'true',
      isSubChange: String(isSubscriptionWanted),
    })
  }

  function unregister(connection: Connection, request: RemotingCommand): RemotingCommand {
    const { producerGroup, consumerGroup } = UnregisterClientRequest.decode(request.extFields)
    if (producerGroup !== undefined) producers.unregister(connection, producerGroup)
    if (consumerGroup !== undefined) consumers.unregister(connection, consumerGroup)
    return createResponse(ResponseCode.SUCCESS, undefined, {})
  }

  function consumerList(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const { consumerGroup } = GetConsumerListRequest.decode(request.extFields)
    const clientIds = consumers.group(consumerGroup)?.clientIds() ?? []
    return clientIds.length === 0
      ? createResponse(ResponseCode.SYSTEM_ERROR, `no consumer for this group, ${consumerGroup}`)
      : createResponse(ResponseCode.SUCCESS, undefined, {}, encodeConsumerIdList(clientIds))
  }

  function checkConfig(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const { subscriptionData } = decodeCheckClientConfig(request.bodyBytes)
    const { expressionType, subString } = subscriptionData
    if (isTagType(expressionType)) return createResponse(ResponseCode.SUCCESS)
    if (!context.config.enablePropertyFilter) {
      const remark = `The broker does not support consumer to filter message by ${expressionType}`
      return createResponse(ResponseCode.SYSTEM_ERROR, remark)
    }
    const compiled = context.expressions.compiled(expressionType, subString)
    if (!(compiled instanceof ExpressionError)) return createResponse(ResponseCode.SUCCESS)
    return createResponse(ResponseCode.SUBSCRIPTION_PARSE_FAILED, `Invalid MessageSelector. ${compiled.message}`)
  }

  return [
    [RequestCode.HEART_BEAT, { served: 'here', whileRebuilding: true, handle: heartbeat }],
    [RequestCode.UNREGISTER_CLIENT, { served: 'here', whileRebuilding: true, handle: unregister }],
    [RequestCode.GET_CONSUMER_LIST_BY_GROUP, { served: 'here', handle: consumerList }],
    [RequestCode.CHECK_CLIENT_CONFIG, { served: 'here', whileRebuilding: true, handle: checkConfig }],
  ]
}

/** Clients find the retry topic only at their next look at the route, so it is there before the heartbeat is answered. */
async function createGroupAndRetryTopic(context: BrokerContext, consumer: ConsumerData): Promise<void> {
  const topic = retryTopic(consumer.groupName)
  if (context.store.groups().has(consumer.groupName) && context.topics.find(topic) !== undefined) return
  try {
    const group = await context.groups.create(consumer.groupName)
    if (group !== undefined) await context.topics.createForRetry(topic, group.retryQueueNums, consumer.unitMode)
  } catch (error) {
    // The next heartbeat tries again; the table of members does not depend on it.
    if (!(error instanceof StoreError)) throw error
    context.logger.info({ err: error, group: consumer.groupName }, 'a group was not written down yet')
  }
}
