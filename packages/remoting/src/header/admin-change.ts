/** What tools change of groups, and what they want of a client through its broker. */
import { RequestCode } from '../codes.ts'
import { boolean, defaulted, header, type HeaderOf, int32, int64, optional, string } from './header.ts'

export const DeleteSubscriptionGroupRequest = header(RequestCode.DELETE_SUBSCRIPTIONGROUP, {
  groupName: string,
  cleanOffset: defaulted(boolean, false),
})
export type DeleteSubscriptionGroupRequest = HeaderOf<typeof DeleteSubscriptionGroupRequest>

/** Without `readable` it only asks. */
export const GroupForbiddenRequest = header(RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN, {
  group: string,
  topic: string,
  readable: optional(boolean),
})
export type GroupForbiddenRequest = HeaderOf<typeof GroupForbiddenRequest>

const resetOffset = {
  topic: string,
  group: string,
  /** Negative: all of the topic. */
  queueId: defaulted(int32, -1),
  /** Negative: the end of the queue. */
  timestamp: int64,
  /** Exactly there, for one queue. */
  offset: optional(int64),
  isForce: defaulted(boolean, false),
}

export const ResetOffsetRequest = header(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, resetOffset)
export type ResetOffsetRequest = HeaderOf<typeof ResetOffsetRequest>

/** Broker to client, one-way, with the offsets in its body. */
export const ResetClientOffsetRequest = header(RequestCode.RESET_CONSUMER_CLIENT_OFFSET, resetOffset)
export type ResetClientOffsetRequest = HeaderOf<typeof ResetClientOffsetRequest>

export const CloneGroupOffsetRequest = header(RequestCode.CLONE_GROUP_OFFSET, {
  srcGroup: string,
  destGroup: string,
  topic: optional(string),
  offline: defaulted(boolean, false),
})
export type CloneGroupOffsetRequest = HeaderOf<typeof CloneGroupOffsetRequest>

export const QueryCorrectionOffsetRequest = header(RequestCode.QUERY_CORRECTION_OFFSET, {
  filterGroups: optional(string),
  compareGroup: string,
  topic: string,
})
export type QueryCorrectionOffsetRequest = HeaderOf<typeof QueryCorrectionOffsetRequest>

const consumerStatus = { topic: string, group: string, clientAddr: optional(string) }

export const GetConsumerStatusRequest = header(RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, consumerStatus)
export type GetConsumerStatusRequest = HeaderOf<typeof GetConsumerStatusRequest>

/** Broker to client. */
export const GetClientStatusRequest = header(RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT, consumerStatus)
export type GetClientStatusRequest = HeaderOf<typeof GetClientStatusRequest>

export const GetConsumerRunningInfoRequest = header(RequestCode.GET_CONSUMER_RUNNING_INFO, {
  consumerGroup: string,
  clientId: string,
  jstackEnable: defaulted(boolean, false),
})
export type GetConsumerRunningInfoRequest = HeaderOf<typeof GetConsumerRunningInfoRequest>

export const ConsumeMessageDirectlyRequest = header(RequestCode.CONSUME_MESSAGE_DIRECTLY, {
  consumerGroup: string,
  clientId: optional(string),
  /** The id of its place in the log. */
  msgId: optional(string),
  brokerName: optional(string),
  topic: optional(string),
  topicSysFlag: optional(int32),
  groupSysFlag: optional(int32),
})
export type ConsumeMessageDirectlyRequest = HeaderOf<typeof ConsumeMessageDirectlyRequest>

export const ResumeCheckHalfMessageRequest = header(RequestCode.RESUME_CHECK_HALF_MESSAGE, {
  topic: optional(string),
  msgId: string,
})
export type ResumeCheckHalfMessageRequest = HeaderOf<typeof ResumeCheckHalfMessageRequest>
