/** Messages to consumers. */
import { RequestCode } from '../codes.ts'
import { header, type HeaderOf, int32, int64, optional, string } from './header.ts'

/** The bits of a pull's sysFlag. Source: org.apache.rocketmq.common.sysflag.PullSysFlag. */
export const PullSysFlag = {
  COMMIT_OFFSET: 1,
  SUSPEND: 2,
  SUBSCRIPTION: 4,
  CLASS_FILTER: 8,
  LITE_PULL: 16,
} as const

/** Asks for messages of one queue from `queueOffset` on; the broker may hold the answer for `suspendTimeoutMillis`. */
export const PullMessageRequest = header(RequestCode.PULL_MESSAGE, {
  consumerGroup: string,
  topic: string,
  queueId: int32,
  queueOffset: int64,
  maxMsgNums: int32,
  sysFlag: int32,
  commitOffset: int64,
  suspendTimeoutMillis: int64,
  subscription: optional(string),
  subVersion: int64,
  expressionType: optional(string),
  maxMsgBytes: optional(int32),
  requestSource: optional(int32),
  /** Misspelt on the wire. */
  proxyFrowardClientId: optional(string),
})
export type PullMessageRequest = HeaderOf<typeof PullMessageRequest>

/** All of the first four are sent with every answer 0, 19, 20 and 21: clients fail without them. */
export const PullMessageResponse = header(RequestCode.PULL_MESSAGE, {
  suggestWhichBrokerId: int64,
  nextBeginOffset: int64,
  minOffset: int64,
  maxOffset: int64,
  offsetDelta: optional(int64),
  topicSysFlag: optional(int32),
  groupSysFlag: optional(int32),
  forbiddenType: optional(int32),
})
export type PullMessageResponse = HeaderOf<typeof PullMessageResponse>
