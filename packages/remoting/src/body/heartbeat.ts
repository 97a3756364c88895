/** Who a client is: its producer groups, its consumer groups and what they subscribe. */
import type { DialectValue } from './dialect.ts'
import { asArray, asObject, asText, booleanOr, numberOr, parseObject, textOr, texts } from './reader.ts'

export interface SubscriptionData {
  topic: string
  /** `*` for everything, tags joined by `||`, or an SQL92 expression. */
  subString: string
  tagsSet: string[]
  /** Java hashes of the tags. */
  codeSet: number[]
  /** Milliseconds of the client when it was built; a newer one replaces an older one. */
  subVersion: number
  /** `TAG` or `SQL92`. */
  expressionType: string
  classFilterMode: boolean
}

/** Enum values are taken as they are: old clients send names that newer ones dropped. */
export interface ConsumerData {
  groupName: string
  /** CONSUME_ACTIVELY (pull, lite), CONSUME_PASSIVELY (push), CONSUME_POP. */
  consumeType: string
  /** CLUSTERING or BROADCASTING. */
  messageModel: string
  /** CONSUME_FROM_LAST_OFFSET, CONSUME_FROM_FIRST_OFFSET, CONSUME_FROM_TIMESTAMP, or a deprecated name. */
  consumeFromWhere: string
  subscriptionDataSet: SubscriptionData[]
  unitMode: boolean
}

export interface HeartbeatData {
  clientID: string
  producerDataSet: { groupName: string }[]
  consumerDataSet: ConsumerData[]
  /** 0: every heartbeat is complete. Else a hash of the subscriptions, and `withoutSub` ones leave them out. */
  heartbeatFingerprint: number
  withoutSub: boolean
}

/** The body of CHECK_CLIENT_CONFIG. */
export interface CheckClientConfig {
  clientId: string
  group: string
  namespace: string | undefined
  subscriptionData: SubscriptionData
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeHeartbeat(body: Buffer): HeartbeatData {
  const object = parseObject(body, 'a heartbeat')
  return {
    clientID: asText(object['clientID'], 'clientID'),
    producerDataSet: asArray(object['producerDataSet'], 'producerDataSet').map((producer) => ({
      groupName: asText(asObject(producer, 'a producer')['groupName'], 'groupName'),
    })),
    consumerDataSet: asArray(object['consumerDataSet'], 'consumerDataSet').map(readConsumerData),
    heartbeatFingerprint: numberOr(object['heartbeatFingerprint'], 0, 'heartbeatFingerprint'),
    withoutSub: booleanOr(object['withoutSub'], false, 'withoutSub'),
  }
}

export function encodeHeartbeat(heartbeat: HeartbeatData): Buffer {
  return Buffer.from(
    JSON.stringify({
      clientID: heartbeat.clientID,
      consumerDataSet: heartbeat.consumerDataSet.map((consumer) => ({
        consumeFromWhere: consumer.consumeFromWhere,
        consumeType: consumer.consumeType,
        groupName: consumer.groupName,
        messageModel: consumer.messageModel,
        subscriptionDataSet: consumer.subscriptionDataSet.map(orderedSubscription),
        unitMode: consumer.unitMode,
      })),
      heartbeatFingerprint: heartbeat.heartbeatFingerprint,
      producerDataSet: heartbeat.producerDataSet,
      withoutSub: heartbeat.withoutSub,
    }),
  )
}

function readSubscriptionData(value: DialectValue | undefined): SubscriptionData {
  const object = asObject(value, 'a subscription')
  return {
    topic: asText(object['topic'], 'topic'),
    subString: textOr(object['subString'], '*', 'subString'),
    tagsSet: texts(object['tagsSet'], 'tagsSet'),
    // The Go client writes them as texts.
    codeSet: asArray(object['codeSet'], 'codeSet').map((code) => (typeof code === 'object' ? 0 : Number(code)) | 0),
    subVersion: numberOr(object['subVersion'], 0, 'subVersion'),
    expressionType: textOr(object['expressionType'], 'TAG', 'expressionType'),
    classFilterMode: booleanOr(object['classFilterMode'], false, 'classFilterMode'),
  }
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeCheckClientConfig(body: Buffer): CheckClientConfig {
  const object = parseObject(body, 'a client check')
  return {
    clientId: asText(object['clientId'], 'clientId'),
    group: asText(object['group'], 'group'),
    namespace: textOr(object['namespace'], undefined, 'namespace'),
    subscriptionData: readSubscriptionData(object['subscriptionData']),
  }
}

export function encodeCheckClientConfig(check: CheckClientConfig): Buffer {
  const { clientId, group, namespace, subscriptionData } = check
  return Buffer.from(
    JSON.stringify({ clientId, group, namespace, subscriptionData: orderedSubscription(subscriptionData) }),
  )
}

function readConsumerData(value: DialectValue): ConsumerData {
  const object = asObject(value, 'a consumer')
  return {
    groupName: asText(object['groupName'], 'groupName'),
    consumeType: textOr(object['consumeType'], 'CONSUME_PASSIVELY', 'consumeType'),
    messageModel: textOr(object['messageModel'], 'CLUSTERING', 'messageModel'),
    consumeFromWhere: textOr(object['consumeFromWhere'], 'CONSUME_FROM_LAST_OFFSET', 'consumeFromWhere'),
    subscriptionDataSet: asArray(object['subscriptionDataSet'], 'subscriptionDataSet').map(readSubscriptionData),
    unitMode: booleanOr(object['unitMode'], false, 'unitMode'),
  }
}

function orderedSubscription(subscription: SubscriptionData): SubscriptionData {
  const { classFilterMode, codeSet, expressionType, subString, subVersion, tagsSet, topic } = subscription
  return { classFilterMode, codeSet, expressionType, subString, subVersion, tagsSet, topic }
}
