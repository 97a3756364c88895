/** What tools ask a broker, and what changes nothing. */
import { RequestCode } from '../codes.ts'
import { boolean, defaulted, header, type HeaderOf, int32, int64, optional, string } from './header.ts'

export const GetTopicConfigRequest = header(RequestCode.GET_TOPIC_CONFIG, { topic: string })
export type GetTopicConfigRequest = HeaderOf<typeof GetTopicConfigRequest>

export const GetGroupConfigRequest = header(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, { group: string })
export type GetGroupConfigRequest = HeaderOf<typeof GetGroupConfigRequest>

export const GetTopicStatsRequest = header(RequestCode.GET_TOPIC_STATS_INFO, { topic: string })
export type GetTopicStatsRequest = HeaderOf<typeof GetTopicStatsRequest>

export const GetConsumerConnectionsRequest = header(RequestCode.GET_CONSUMER_CONNECTION_LIST, { consumerGroup: string })
export type GetConsumerConnectionsRequest = HeaderOf<typeof GetConsumerConnectionsRequest>

export const GetProducerConnectionsRequest = header(RequestCode.GET_PRODUCER_CONNECTION_LIST, { producerGroup: string })
export type GetProducerConnectionsRequest = HeaderOf<typeof GetProducerConnectionsRequest>

/** `topicList` has topics joined by semicolons; without it, and without `topic`, all that the group has offsets of. */
export const GetConsumeStatsRequest = header(RequestCode.GET_CONSUME_STATS, {
  consumerGroup: string,
  topic: optional(string),
  topicList: optional(string),
})
export type GetConsumeStatsRequest = HeaderOf<typeof GetConsumeStatsRequest>

export const GetBrokerConsumeStatsRequest = header(RequestCode.GET_BROKER_CONSUME_STATS, {
  isOrder: defaulted(boolean, false),
})
export type GetBrokerConsumeStatsRequest = HeaderOf<typeof GetBrokerConsumeStatsRequest>

export const QueryTopicConsumeByWhoRequest = header(RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, { topic: string })
export type QueryTopicConsumeByWhoRequest = HeaderOf<typeof QueryTopicConsumeByWhoRequest>

export const QueryTopicsByConsumerRequest = header(RequestCode.QUERY_TOPICS_BY_CONSUMER, { group: string })
export type QueryTopicsByConsumerRequest = HeaderOf<typeof QueryTopicsByConsumerRequest>

export const QuerySubscriptionByConsumerRequest = header(RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER, {
  group: string,
  topic: string,
})
export type QuerySubscriptionByConsumerRequest = HeaderOf<typeof QuerySubscriptionByConsumerRequest>

export const QueryConsumeTimeSpanRequest = header(RequestCode.QUERY_CONSUME_TIME_SPAN, { topic: string, group: string })
export type QueryConsumeTimeSpanRequest = HeaderOf<typeof QueryConsumeTimeSpanRequest>

/** `index` is a queue offset. */
export const QueryConsumeQueueRequest = header(RequestCode.QUERY_CONSUME_QUEUE, {
  topic: string,
  queueId: int32,
  index: int64,
  count: int32,
  consumerGroup: optional(string),
})
export type QueryConsumeQueueRequest = HeaderOf<typeof QueryConsumeQueueRequest>

export const ViewBrokerStatsRequest = header(RequestCode.VIEW_BROKER_STATS_DATA, {
  statsName: string,
  statsKey: string,
})
export type ViewBrokerStatsRequest = HeaderOf<typeof ViewBrokerStatsRequest>

/** `version` is a DataVersion in JSON. */
export const GetBrokerConfigResponse = header(RequestCode.GET_BROKER_CONFIG, { version: string })
export type GetBrokerConfigResponse = HeaderOf<typeof GetBrokerConfigResponse>
