/** Messages that consumers pop: the broker decides which, and keeps them from others until they are acknowledged. */
import { RequestCode } from '../codes.ts'
import { boolean, defaulted, header, type HeaderOf, int32, int64, optional, string } from './header.ts'

/** Where a group begins that has popped nothing of a queue yet. Source: org.apache.rocketmq.common.constant.ConsumeInitMode. */
export const ConsumeInitMode = { MIN: 0, MAX: 1 } as const

/** Asks for messages of one queue, or of all (-1); the broker may hold the answer until `bornTime` + `pollTime`. */
export const PopMessageRequest = header(RequestCode.POP_MESSAGE, {
  consumerGroup: string,
  topic: string,
  queueId: int32,
  maxMsgNums: int32,
  invisibleTime: int64,
  pollTime: int64,
  /** Milliseconds of the client's clock; 0 or absent: when the broker gets it. */
  bornTime: defaulted(int64, 0),
  initMode: int32,
  expType: optional(string),
  exp: optional(string),
  order: defaulted(boolean, false),
  attemptId: optional(string),
})
export type PopMessageRequest = HeaderOf<typeof PopMessageRequest>

/** The first four are sent with every answer 0, 209 and 210: clients fail without them. */
export const PopMessageResponse = header(RequestCode.POP_MESSAGE, {
  popTime: int64,
  invisibleTime: int64,
  reviveQid: int32,
  restNum: int64,
  startOffsetInfo: optional(string),
  msgOffsetInfo: optional(string),
  orderCountInfo: optional(string),
})
export type PopMessageResponse = HeaderOf<typeof PopMessageResponse>

export const AckMessageRequest = header(RequestCode.ACK_MESSAGE, {
  consumerGroup: string,
  topic: string,
  queueId: int32,
  extraInfo: string,
  offset: int64,
})
export type AckMessageRequest = HeaderOf<typeof AckMessageRequest>

export const ChangeInvisibleTimeRequest = header(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, {
  consumerGroup: string,
  topic: string,
  queueId: int32,
  extraInfo: string,
  offset: int64,
  invisibleTime: int64,
})
export type ChangeInvisibleTimeRequest = HeaderOf<typeof ChangeInvisibleTimeRequest>

/** Sent with every answer, also with a refusal: clients read it before they look at the code. */
export const ChangeInvisibleTimeResponse = header(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, {
  popTime: int64,
  invisibleTime: int64,
  reviveQid: int32,
})
export type ChangeInvisibleTimeResponse = HeaderOf<typeof ChangeInvisibleTimeResponse>

/** Asks for what a pop would find next, of one queue or of all (-1); it stays there. Answered as a pop is. */
export const PeekMessageRequest = header(RequestCode.PEEK_MESSAGE, {
  consumerGroup: string,
  topic: string,
  queueId: int32,
  maxMsgNums: int32,
})
export type PeekMessageRequest = HeaderOf<typeof PeekMessageRequest>

/** Asks whether there is something to pop; held like a pop. */
export const NotificationRequest = header(RequestCode.NOTIFICATION, {
  consumerGroup: string,
  topic: string,
  queueId: int32,
  pollTime: int64,
  bornTime: defaulted(int64, 0),
  order: defaulted(boolean, false),
  attemptId: optional(string),
})
export type NotificationRequest = HeaderOf<typeof NotificationRequest>

export const NotificationResponse = header(RequestCode.NOTIFICATION, { hasMsg: boolean, pollingFull: boolean })
export type NotificationResponse = HeaderOf<typeof NotificationResponse>

/** How many pops of a group wait for messages of a queue. */
export const PollingInfoRequest = header(RequestCode.POLLING_INFO, {
  consumerGroup: string,
  topic: string,
  queueId: int32,
})
export type PollingInfoRequest = HeaderOf<typeof PollingInfoRequest>

export const PollingInfoResponse = header(RequestCode.POLLING_INFO, { pollingNum: int32 })
export type PollingInfoResponse = HeaderOf<typeof PollingInfoResponse>
