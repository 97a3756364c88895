/** Clients: their life, their groups. Heartbeats (34), locks (41, 42) and 46 have a body and no header. */
import { RequestCode } from '../codes.ts'
import { header, type HeaderOf, named, optional, string } from './header.ts'

export const HeartbeatResponse = header(RequestCode.HEART_BEAT, {
  isSupportHeartBeatV2: named('IS_SUPPORT_HEART_BEAT_V2', optional(string)),
  isSubChange: named('IS_SUB_CHANGE', optional(string)),
})
export type HeartbeatResponse = HeaderOf<typeof HeartbeatResponse>

export const UnregisterClientRequest = header(RequestCode.UNREGISTER_CLIENT, {
  clientID: string,
  producerGroup: optional(string),
  consumerGroup: optional(string),
})
export type UnregisterClientRequest = HeaderOf<typeof UnregisterClientRequest>

/** Answered with a body that lists the client ids, see `body/consumer-list.ts`. */
export const GetConsumerListRequest = header(RequestCode.GET_CONSUMER_LIST_BY_GROUP, { consumerGroup: string })
export type GetConsumerListRequest = HeaderOf<typeof GetConsumerListRequest>

/** Broker to client, one-way: the members of the group changed, rebalance. */
export const NotifyConsumerIdsChangedRequest = header(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, {
  consumerGroup: string,
})
export type NotifyConsumerIdsChangedRequest = HeaderOf<typeof NotifyConsumerIdsChangedRequest>
