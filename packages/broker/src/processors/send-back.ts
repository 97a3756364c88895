/**
 * CONSUMER_SEND_MSG_BACK (36): a consumer could not handle a message and wants it again later.
 *
 * Keeps: the new message is the old one with one more try counted; after the last try it goes to the group's dead letters.
 * Any code but 0 means that it was not put back as far as we know, and the client then publishes it itself.
 *
 * Source: AbstractSendMessageProcessor.consumerSendMsgBack.
 */
import {
  addPropertyIfAbsent,
  decodeRecord,
  dlqTopic,
  getProperty,
  isWritable,
  type MessageRecord,
  offsetMsgId,
  PropertyName,
  retryTopic,
  setProperty,
} from '@dledger-ts/protocol'
import {
  type Connection,
  ConsumerSendMsgBackRequest,
  createResponse,
  type ProcessorResult,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import type { SubscriptionGroupConfig } from '@dledger-ts/store'
import type { BrokerContext } from '../context.ts'
import { refusalOf } from '../refusal.ts'
import { RETRY_QUEUES } from '../topics/topic-table.ts'
import type { Processor } from './registry.ts'
import { VERSION_WITH_OWN_RETRY_LIMIT } from './retry-limit.ts'

/** The delay level of the first try; each further one waits a level longer. */
const FIRST_RETRY_LEVEL = 3

export function sendBackProcessors(context: BrokerContext): [number, Processor][] {
  const handle = (connection: Connection, request: RemotingCommand) => sendBack(context, connection, request)
  return [[RequestCode.CONSUMER_SEND_MSG_BACK, { served: 'leader', handle }]]
}

async function sendBack(
  context: BrokerContext,
  connection: Connection,
  request: RemotingCommand,
): Promise<ProcessorResult> {
  const header = ConsumerSendMsgBackRequest.decode(request.extFields)
  const { config, groups, topics, store } = context
  const group = groups.findOrCreate(header.group)
  if (group === undefined) {
    const remark = `subscription group not exist, ${header.group}`
    return createResponse(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, remark)
  }
  if (!isWritable(config.brokerPermission)) {
    return createResponse(ResponseCode.NO_PERMISSION, `the broker[${config.brokerIP1}] sending message is forbidden`)
  }
  if (group.retryQueueNums <= 0) return createResponse(ResponseCode.SUCCESS)

  const bytes = header.offset < 0 ? undefined : await store.messageAt(header.offset)
  if (bytes === undefined) {
    return createResponse(ResponseCode.SYSTEM_ERROR, `look message by offset failed, ${header.offset}`)
  }
  const record = decodeRecord(bytes)
  // Else a group could have any message of the log put before it.
  const message = { topic: record.topic, action: 'read', group: header.group } as const
  const refusal = context.access.refusalOfMessage(connection, request, message)
  if (refusal !== null) return refusal
  const isDead = header.delayLevel < 0 || record.reconsumeTimes >= retryLimit(request, header, group)
  const target = isDead
    ? await topics.createForRetry(dlqTopic(header.group), RETRY_QUEUES, false)
    : await topics.createForRetry(retryTopic(header.group), group.retryQueueNums, header.unitMode)
  if (!isWritable(target.perm)) {
    const remark = `the topic[${target.topicName}] sending message is forbidden`
    return createResponse(ResponseCode.NO_PERMISSION, remark)
  }
  const delayLevel = isDead
    ? 0
    : header.delayLevel === 0
      ? FIRST_RETRY_LEVEL + record.reconsumeTimes
      : header.delayLevel
  return new Promise((resolve) => {
    store.put(
      {
        ...record,
        topic: target.topicName,
        // A retry topic that was there before may have fewer queues than its group wants.
        queueId: isDead ? 0 : context.random.below(Math.max(1, Math.min(group.retryQueueNums, target.writeQueueNums))),
        storeHost: context.storeHost,
        reconsumeTimes: record.reconsumeTimes + 1,
        properties: propertiesForRetry(record, delayLevel),
      },
      {
        stored: () => {
          context.statistics.sentBack(
            header.group,
            getProperty(record.properties, PropertyName.RETRY_TOPIC) ?? record.topic,
          )
          resolve(createResponse(ResponseCode.SUCCESS))
        },
        putFailed: (error) => {
          if (error.code === 'NOT_LEADER' && context.retryOnLeader(connection, request)) return resolve(undefined)
          // The client takes any code for "publish it myself"; a 14 sends it to another broker, which it does not need.
          const { remark } = refusalOf(error, request.version)
          resolve(createResponse(ResponseCode.SYSTEM_ERROR, remark))
        },
      },
    )
  })
}

function retryLimit(
  request: RemotingCommand,
  header: ConsumerSendMsgBackRequest,
  group: SubscriptionGroupConfig,
): number {
  const own = request.version >= VERSION_WITH_OWN_RETRY_LIMIT ? header.maxReconsumeTimes : undefined
  return own ?? group.retryMaxTimes
}

function propertiesForRetry(record: MessageRecord, delayLevel: number): string {
  let properties = addPropertyIfAbsent(record.properties, PropertyName.RETRY_TOPIC, record.topic)
  const originId = offsetMsgId(record.storeHost, record.physicalOffset)
  properties = addPropertyIfAbsent(properties, PropertyName.ORIGIN_MESSAGE_ID, originId)
  properties = setProperty(properties, PropertyName.WAIT, 'false')
  return setProperty(properties, PropertyName.DELAY, String(delayLevel))
}
