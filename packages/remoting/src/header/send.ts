/** Messages from producers, and messages that consumers send back. */
import { RequestCode } from '../codes.ts'
import { quoted } from '../text.ts'
import { boolean, defaulted, header, type HeaderOf, int32, int64, named, optional, string } from './header.ts'

const sendFields = {
  producerGroup: string,
  topic: string,
  /** Whose settings a new topic takes: `TBW102`. */
  defaultTopic: string,
  defaultTopicQueueNums: int32,
  /** Negative: any queue. */
  queueId: int32,
  sysFlag: int32,
  bornTimestamp: int64,
  flag: int32,
  properties: optional(string),
  reconsumeTimes: optional(int32),
  unitMode: optional(boolean),
  maxReconsumeTimes: optional(int32),
  batch: optional(boolean),
  brokerName: named('bname', optional(string)),
}

/** A message, or with `batch` a body of several, under its long field names. */
export const SendMessageRequest = header(RequestCode.SEND_MESSAGE, sendFields)
export type SendMessageRequest = HeaderOf<typeof SendMessageRequest>

/** The same under one-letter names. */
export const SendMessageRequestV2 = header(RequestCode.SEND_MESSAGE_V2, {
  producerGroup: named('a', sendFields.producerGroup),
  topic: named('b', sendFields.topic),
  defaultTopic: named('c', sendFields.defaultTopic),
  defaultTopicQueueNums: named('d', sendFields.defaultTopicQueueNums),
  queueId: named('e', sendFields.queueId),
  sysFlag: named('f', sendFields.sysFlag),
  bornTimestamp: named('g', sendFields.bornTimestamp),
  flag: named('h', sendFields.flag),
  properties: named('i', sendFields.properties),
  reconsumeTimes: named('j', sendFields.reconsumeTimes),
  unitMode: named('k', sendFields.unitMode),
  maxReconsumeTimes: named('l', sendFields.maxReconsumeTimes),
  batch: named('m', sendFields.batch),
  brokerName: named('n', sendFields.brokerName),
})
export type SendMessageRequestV2 = HeaderOf<typeof SendMessageRequestV2>

/** @returns the declaration that a send code carries: 10 and 324 the long names, 310, 320 and 325 the short ones. */
export function sendMessageHeader(code: number): typeof SendMessageRequest | typeof SendMessageRequestV2 {
  return code === RequestCode.SEND_MESSAGE || code === RequestCode.SEND_REPLY_MESSAGE
    ? SendMessageRequest
    : SendMessageRequestV2
}

/** `msgId` is the offset message id, comma-joined for a batch; `queueId` the queue used; `queueOffset` that of the first. */
export const SendMessageResponse = header(RequestCode.SEND_MESSAGE, {
  msgId: string,
  queueId: int32,
  queueOffset: int64,
  transactionId: optional(string),
  batchUniqId: optional(string),
  recallHandle: optional(string),
  regionId: named('MSG_REGION', optional(string)),
  traceOn: named('TRACE_ON', optional(string)),
})
export type SendMessageResponse = HeaderOf<typeof SendMessageResponse>

/**
 * The same fields of an answer to one send as the text that `encode` and the JSON header would make of them: one for each stored message.
 * The recall handle is last.
 */
export class SendResponseText {
  readonly #region: string

  constructor(regionId: string, traceOn: string) {
    this.#region = `,"MSG_REGION":${quoted(regionId)},"TRACE_ON":${quoted(traceOn)}`
  }

  /** Hot. @param msgId hexadecimal: nothing in it is escaped. */
  fields(
    msgId: string,
    queueId: number,
    queueOffset: number,
    transactionId: string,
    recallHandle: string | undefined,
  ): string {
    const handle = recallHandle === undefined ? '' : `,"recallHandle":${quoted(recallHandle)}`
    return `{"msgId":"${msgId}","queueId":"${queueId}","queueOffset":"${queueOffset}","transactionId":${quoted(transactionId)}${this.#region}${handle}}`
  }
}

/** `offset` is the message's commit-log offset; `delayLevel` 0 lets the broker choose, -1 means the dead letter topic. */
export const ConsumerSendMsgBackRequest = header(RequestCode.CONSUMER_SEND_MSG_BACK, {
  offset: int64,
  group: string,
  delayLevel: int32,
  originMsgId: optional(string),
  originTopic: optional(string),
  unitMode: defaulted(boolean, false),
  maxReconsumeTimes: optional(int32),
  brokerName: named('bname', optional(string)),
})
export type ConsumerSendMsgBackRequest = HeaderOf<typeof ConsumerSendMsgBackRequest>

/** The answer of a client's request, relayed by the broker to the client that asked. Hosts are `ip:port`. */
export const PushReplyMessageRequest = header(RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT, {
  producerGroup: string,
  topic: string,
  defaultTopic: string,
  defaultTopicQueueNums: int32,
  queueId: int32,
  sysFlag: int32,
  bornTimestamp: int64,
  flag: int32,
  properties: optional(string),
  reconsumeTimes: optional(int32),
  unitMode: defaulted(boolean, false),
  bornHost: string,
  storeHost: string,
  storeTimestamp: int64,
})
export type PushReplyMessageRequest = HeaderOf<typeof PushReplyMessageRequest>
