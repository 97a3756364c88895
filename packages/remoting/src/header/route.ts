/** What clients and tools ask a namesrv. */
import { RequestCode } from '../codes.ts'
import { boolean, header, type HeaderOf, int32, optional, string } from './header.ts'

/**
 * Asks where the queues of a topic are. Answered with a TopicRouteData body, or TOPIC_NOT_EXIST. The JavaScript client was seen
 * to ask without a topic, and counts on the latter.
 */
export const GetRouteInfoRequest = header(RequestCode.GET_ROUTEINFO_BY_TOPIC, {
  topic: optional(string),
  acceptStandardJsonOnly: optional(boolean),
})
export type GetRouteInfoRequest = HeaderOf<typeof GetRouteInfoRequest>

export const GetTopicsByClusterRequest = header(RequestCode.GET_TOPICS_BY_CLUSTER, { cluster: string })
export type GetTopicsByClusterRequest = HeaderOf<typeof GetTopicsByClusterRequest>

export const DeleteTopicInNamesrvRequest = header(RequestCode.DELETE_TOPIC_IN_NAMESRV, {
  topic: string,
  clusterName: optional(string),
})
export type DeleteTopicInNamesrvRequest = HeaderOf<typeof DeleteTopicInNamesrvRequest>

/** Body: a TopicRouteData of which the queues are taken. */
export const RegisterTopicRequest = header(RequestCode.REGISTER_TOPIC_IN_NAMESRV, { topic: string })
export type RegisterTopicRequest = HeaderOf<typeof RegisterTopicRequest>

export const WipeWritePermRequest = header(RequestCode.WIPE_WRITE_PERM_OF_BROKER, { brokerName: string })
export type WipeWritePermRequest = HeaderOf<typeof WipeWritePermRequest>
export const WipeWritePermResponse = header(RequestCode.WIPE_WRITE_PERM_OF_BROKER, { wipeTopicCount: int32 })
export type WipeWritePermResponse = HeaderOf<typeof WipeWritePermResponse>

export const AddWritePermRequest = header(RequestCode.ADD_WRITE_PERM_OF_BROKER, { brokerName: string })
export type AddWritePermRequest = HeaderOf<typeof AddWritePermRequest>
export const AddWritePermResponse = header(RequestCode.ADD_WRITE_PERM_OF_BROKER, { addTopicCount: int32 })
export type AddWritePermResponse = HeaderOf<typeof AddWritePermResponse>

export const GetBrokerMemberGroupRequest = header(RequestCode.GET_BROKER_MEMBER_GROUP, {
  clusterName: string,
  brokerName: string,
})
export type GetBrokerMemberGroupRequest = HeaderOf<typeof GetBrokerMemberGroupRequest>
