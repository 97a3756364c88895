/** Requests as RocketMQ's clients make them, and what their answers say. */
import { decodeRecords, encodeBatchBody, encodeProperties, getProperty, MessageSysFlag } from '@dledger-ts/protocol'
import {
  AckMessageRequest,
  ChangeInvisibleTimeRequest,
  CheckTransactionStateRequest,
  CreateTopicRequest,
  decodeLockBatchResponse,
  DeleteTopicRequest,
  encodeHeartbeat,
  encodeLockBatchRequest,
  EndTransactionRequest,
  type ExtFields,
  PopMessageRequest,
  PullMessageRequest,
  PullSysFlag,
  QueryConsumerOffsetRequest,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  SendMessageRequestV2,
  UpdateConsumerOffsetRequest,
} from '@dledger-ts/remoting'
import { traitProperties } from './filters.ts'
import type { HalfMessage } from './transactions.ts'
import type { Handle } from './pops.ts'
import type { SeenRecord } from './queues.ts'
import type { Way } from './steps.ts'

export const PRODUCER_GROUP = 'producers'
const PULL_GROUP = 'pullers'
const POP_GROUP = 'poppers'
export const ORDERED_GROUP = 'orderers'
const LOCK_GROUP = 'lockers'
const BROKER_NAME = 'b'

export interface Request {
  readonly code: number
  readonly fields: ExtFields
  readonly body?: Buffer | undefined
}

/** What makes it the message that it is. */
export function propertiesOf(way: Way, id: string): string {
  const pairs: [string, string][] = [['UNIQ_KEY', id.replaceAll(' ', '_')], ...traitProperties(id)]
  if (way.kind === 'level') pairs.push(['DELAY', String(way.level)])
  if (way.kind === 'timer') pairs.push(['TIMER_DELAY_MS', String(way.ms)])
  if (way.kind === 'half') pairs.push(['TRAN_MSG', 'true'], ['PGROUP', PRODUCER_GROUP])
  return encodeProperties(pairs)
}

export function sendRequest(topic: string, queueId: number, body: Buffer, properties: string): Request {
  return send(RequestCode.SEND_MESSAGE_V2, { topic, queueId, body, properties, batch: false })
}

export function batchRequest(
  topic: string,
  queueId: number,
  messages: readonly (readonly [Buffer, string])[],
): Request {
  const body = encodeBatchBody(messages.map(([inner, properties]) => ({ flag: 0, body: inner, properties })))
  return send(RequestCode.SEND_BATCH_MESSAGE, { topic, queueId, body, properties: '', batch: true })
}

interface Sending {
  readonly topic: string
  readonly queueId: number
  readonly body: Buffer
  readonly properties: string
  readonly batch: boolean
}

function send(code: number, { topic, queueId, body, properties, batch }: Sending): Request {
  const fields = SendMessageRequestV2.encode({
    producerGroup: PRODUCER_GROUP,
    topic,
    defaultTopic: 'TBW102',
    defaultTopicQueueNums: 1,
    queueId,
    sysFlag: 0,
    bornTimestamp: 1_700_000_000_000,
    flag: 0,
    properties,
    reconsumeTimes: 0,
    unitMode: false,
    batch,
  })
  return { code, fields, body }
}

export function endTransactionRequest(half: HalfMessage, outcome: 'commit' | 'rollback', isAsked = false): Request {
  const fields = EndTransactionRequest.encode({
    topic: half.sent.queue.topic,
    producerGroup: PRODUCER_GROUP,
    tranStateTableOffset: half.halfOffset,
    commitLogOffset: half.physicalOffset,
    commitOrRollback: outcome === 'commit' ? MessageSysFlag.TRANSACTION_COMMIT : MessageSysFlag.TRANSACTION_ROLLBACK,
    fromTransactionCheck: isAsked,
  })
  return { code: RequestCode.END_TRANSACTION, fields }
}

/** Who it is that is to be asked for its half messages. */
export function heartbeatRequest(clientId: string): Request {
  const body = encodeHeartbeat({
    clientID: clientId,
    producerDataSet: [{ groupName: PRODUCER_GROUP }],
    consumerDataSet: [],
    heartbeatFingerprint: 0,
    withoutSub: false,
  })
  return { code: RequestCode.HEART_BEAT, fields: {}, body }
}

export interface Question {
  readonly body: string
  readonly topic: string
  readonly queueId: number
  readonly physicalOffset: number
  readonly halfOffset: number
  /** How often it was asked for, this time included. */
  readonly times: number
}

export function questionOf({ extFields, bodyBytes }: RemotingCommand): Question {
  const { commitLogOffset, tranStateTableOffset } = CheckTransactionStateRequest.decode(extFields)
  const [{ body, topic, queueId, properties } = { body: Buffer.alloc(0), topic: '', queueId: -1, properties: '' }] =
    decodeRecords(bodyBytes)
  return {
    body: nameOf(body),
    topic,
    queueId,
    physicalOffset: commitLogOffset,
    halfOffset: tranStateTableOffset,
    times: Number(getProperty(properties, 'TRANSACTION_CHECK_TIMES')),
  }
}

/** @param filter what is wanted; everything without it. */
export function pullRequest(
  topic: string,
  queueId: number,
  queueOffset: number,
  filter: { readonly type: string; readonly expression: string } = { type: 'TAG', expression: '*' },
): Request {
  const fields = PullMessageRequest.encode({
    consumerGroup: PULL_GROUP,
    topic,
    queueId,
    queueOffset,
    maxMsgNums: 32,
    sysFlag: PullSysFlag.SUBSCRIPTION,
    commitOffset: 0,
    suspendTimeoutMillis: 0,
    subscription: filter.expression,
    subVersion: 0,
    expressionType: filter.type,
  })
  return { code: RequestCode.PULL_MESSAGE, fields }
}

export function commitOffsetRequest(topic: string, queueId: number, commitOffset: number): Request {
  const fields = UpdateConsumerOffsetRequest.encode({ consumerGroup: PULL_GROUP, topic, queueId, commitOffset })
  return { code: RequestCode.UPDATE_CONSUMER_OFFSET, fields }
}

export function queryOffsetRequest(topic: string, queueId: number): Request {
  const fields = QueryConsumerOffsetRequest.encode({ consumerGroup: PULL_GROUP, topic, queueId })
  return { code: RequestCode.QUERY_CONSUMER_OFFSET, fields }
}

export function popRequest(topic: string, maxMsgNums: number, invisibleTime: number): Request {
  return pop({ consumerGroup: POP_GROUP, order: false, topic, maxMsgNums, invisibleTime })
}

export function orderedPopRequest(topic: string, maxMsgNums: number, invisibleTime: number): Request {
  return pop({ consumerGroup: ORDERED_GROUP, order: true, topic, maxMsgNums, invisibleTime })
}

interface Popping {
  readonly consumerGroup: string
  readonly order: boolean
  readonly topic: string
  readonly maxMsgNums: number
  readonly invisibleTime: number
}

function pop({ consumerGroup, order, topic, maxMsgNums, invisibleTime }: Popping): Request {
  const fields = PopMessageRequest.encode({
    consumerGroup,
    topic,
    queueId: -1,
    maxMsgNums,
    invisibleTime,
    pollTime: 0,
    bornTime: 0,
    initMode: 0,
    expType: 'TAG',
    exp: '*',
    order,
  })
  return { code: RequestCode.POP_MESSAGE, fields }
}

export function ackRequest({ topic, queueId, queueOffset, extraInfo }: Handle, consumerGroup = POP_GROUP): Request {
  const fields = AckMessageRequest.encode({ consumerGroup, topic, queueId, extraInfo, offset: queueOffset })
  return { code: RequestCode.ACK_MESSAGE, fields }
}

/** The lowest bit of a set: each message is named alone. */
const FIRST_BIT = 'AQ=='

export function batchAckRequest(handles: readonly Handle[]): Request {
  const acks = handles.map(({ topic, queueId, queueOffset, extraInfo }) => {
    const [, popTime, invisibleTime, reviveQueueId, retry = '0'] = extraInfo.split(' ')
    return {
      c: POP_GROUP,
      t: retry === '0' ? topic : topic.slice(`%RETRY%${POP_GROUP}_`.length),
      r: retry,
      so: queueOffset,
      q: queueId,
      rq: Number(reviveQueueId),
      pt: Number(popTime),
      it: Number(invisibleTime),
      b: FIRST_BIT,
    }
  })
  return {
    code: RequestCode.BATCH_ACK_MESSAGE,
    fields: {},
    body: Buffer.from(JSON.stringify({ brokerName: BROKER_NAME, acks })),
  }
}

export function changeInvisibleRequest(handle: Handle, invisibleTime: number): Request {
  const { topic, queueId, queueOffset, extraInfo } = handle
  const fields = ChangeInvisibleTimeRequest.encode({
    consumerGroup: POP_GROUP,
    topic,
    queueId,
    extraInfo,
    offset: queueOffset,
    invisibleTime,
  })
  return { code: RequestCode.CHANGE_MESSAGE_INVISIBLETIME, fields }
}

export function lockRequest(clientId: string, topic: string, queueIds: readonly number[]): Request {
  return { code: RequestCode.LOCK_BATCH_MQ, fields: {}, body: lockBody(clientId, topic, queueIds) }
}

export function unlockRequest(clientId: string, topic: string, queueIds: readonly number[]): Request {
  return { code: RequestCode.UNLOCK_BATCH_MQ, fields: {}, body: lockBody(clientId, topic, queueIds) }
}

function lockBody(clientId: string, topic: string, queueIds: readonly number[]): Buffer {
  const mqSet = queueIds.map((queueId) => ({ brokerName: BROKER_NAME, queueId, topic }))
  return encodeLockBatchRequest({ clientId, consumerGroup: LOCK_GROUP, mqSet, onlyThisBroker: false })
}

/** The queues that the client holds now. */
export function lockedQueues({ bodyBytes }: RemotingCommand): number[] {
  return decodeLockBatchResponse(bodyBytes).map(({ queueId }) => queueId)
}

export function createTopicRequest(topic: string, queues: number): Request {
  const fields = CreateTopicRequest.encode({
    topic,
    defaultTopic: 'TBW102',
    readQueueNums: queues,
    writeQueueNums: queues,
    perm: 6,
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: 0,
    order: false,
    force: false,
  })
  return { code: RequestCode.UPDATE_AND_CREATE_TOPIC, fields }
}

export function deleteTopicRequest(topic: string): Request {
  return { code: RequestCode.DELETE_TOPIC_IN_BROKER, fields: DeleteTopicRequest.encode({ topic }) }
}

// ---------------------------------------------------------------------------------------------------- answers

/** Answers that say for certain that nothing was done. */
export const REFUSALS: ReadonlySet<number> = new Set([
  ResponseCode.SYSTEM_BUSY,
  ResponseCode.MESSAGE_ILLEGAL,
  ResponseCode.SERVICE_NOT_AVAILABLE,
  ResponseCode.NO_PERMISSION,
  ResponseCode.TOPIC_NOT_EXIST,
  ResponseCode.INVALID_PARAMETER,
])
/** Bodies are padded; this names the message. */
export function nameOf(body: Buffer): string {
  const text = body.toString()
  const end = text.indexOf('|')
  return end < 0 ? text : text.slice(0, end)
}

/** Where its record is in the log, as an offset message id says. */
export function physicalOffsetOf(msgId: string): number {
  return Number(BigInt(`0x${msgId.slice(-16)}`))
}

export interface PullAnswer {
  readonly code: number
  readonly records: readonly SeenRecord[]
  readonly minOffset: number
  readonly maxOffset: number
  readonly nextOffset: number
}

const PULL_RESULTS: ReadonlySet<number> = new Set([
  ResponseCode.SUCCESS,
  ResponseCode.PULL_NOT_FOUND,
  ResponseCode.PULL_OFFSET_MOVED,
  ResponseCode.PULL_RETRY_IMMEDIATELY,
])

/** @returns null for an answer that is no result of a pull. */
export function pullAnswerOf({ code, extFields, bodyBytes }: RemotingCommand): PullAnswer | null {
  if (!PULL_RESULTS.has(code)) return null
  const records = code === ResponseCode.SUCCESS ? decodeRecords(bodyBytes) : []
  return {
    code,
    records: records.map(({ body, queueOffset, storeTimestamp }) => ({
      body: nameOf(body),
      queueOffset,
      storeTimestamp,
    })),
    minOffset: Number(extFields?.['minOffset']),
    maxOffset: Number(extFields?.['maxOffset']),
    nextOffset: Number(extFields?.['nextBeginOffset']),
  }
}

export interface Popped extends Handle {
  /** As it lies in the topic itself; null: it comes again, by way of a retry topic. */
  readonly record: SeenRecord | null
}

export function poppedOf({ code, extFields, bodyBytes }: RemotingCommand, group = POP_GROUP): Popped[] {
  if (code !== ResponseCode.SUCCESS) return []
  const startOffsets = new Map<string, string>()
  for (const one of (extFields?.['startOffsetInfo'] ?? '').split(';')) {
    const at = one.lastIndexOf(' ')
    startOffsets.set(one.slice(0, at), one.slice(at + 1))
  }
  const [poppedMs, invisibleMs] = [Number(extFields?.['popTime']), Number(extFields?.['invisibleTime'])]
  const revive = extFields?.['reviveQid']
  return decodeRecords(bodyBytes).map(({ topic, body, queueId, queueOffset, storeTimestamp, properties }) => {
    const name = nameOf(body)
    const start = startOffsets.get(`0 ${queueId}`)
    const own = `${start} ${poppedMs} ${invisibleMs} ${revive} 0 ${BROKER_NAME} ${queueId} ${queueOffset}`
    const extraInfo = getProperty(properties, 'POP_CK') ?? own
    const [, , , , flag = '0', , realQueue, realOffset] = extraInfo.split(' ')
    return {
      body: name,
      extraInfo,
      topic: flag === '0' ? topic : `%RETRY%${group}${flag === '1' ? '_' : '+'}${topic}`,
      queueId: Number(realQueue),
      queueOffset: Number(realOffset),
      poppedMs,
      untilMs: poppedMs + invisibleMs,
      record: flag === '0' ? { body: name, queueOffset, storeTimestamp } : null,
    }
  })
}

/** The handle under which a message is out after its time was changed. */
export function changedHandle(former: Handle, { extFields }: RemotingCommand): Handle {
  const [poppedMs, invisibleMs] = [Number(extFields?.['popTime']), Number(extFields?.['invisibleTime'])]
  const parts = former.extraInfo.split(' ')
  parts[1] = String(poppedMs)
  parts[2] = String(invisibleMs)
  parts[3] = extFields?.['reviveQid'] ?? '0'
  return { ...former, extraInfo: parts.join(' '), poppedMs, untilMs: poppedMs + invisibleMs }
}
