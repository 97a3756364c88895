/**
 * Who may pop, and what of: the checks in Apache's order; the first that fails answers.
 *
 * Source: PopMessageProcessor, NotificationProcessor, PollingInfoProcessor.
 */
import { isReadable } from '@dledger-ts/protocol'
import { ResponseCode } from '@dledger-ts/remoting'
import type { SubscriptionGroupConfig, TopicConfig } from '@dledger-ts/store'
import type { BrokerContext } from '../context.ts'
import { isReadForbidden } from '../processors/group-changes.ts'

export interface Admitted {
  readonly topic: TopicConfig
  readonly group: SubscriptionGroupConfig
}

export interface Refused {
  readonly code: number
  readonly remark: string
}

export interface PopWish {
  readonly consumerGroup: string
  readonly topic: string
  /** Negative: any. */
  readonly queueId: number
}

export function admit(context: BrokerContext, wish: PopWish, remoteAddress: string): Admitted | Refused {
  const topic = context.topics.find(wish.topic)
  if (topic === undefined) return topicNotExist(wish.topic)
  if (!isReadable(topic.perm)) {
    return { code: ResponseCode.NO_PERMISSION, remark: `the topic[${wish.topic}] peeking message is forbidden` }
  }
  if (wish.queueId >= topic.readQueueNums) {
    return { code: ResponseCode.INVALID_PARAMETER, remark: illegalQueue(wish, topic, remoteAddress) }
  }
  const group = context.groups.findOrCreate(wish.consumerGroup)
  if (group === undefined) {
    const remark = `subscription group [${wish.consumerGroup}] does not exist`
    return { code: ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, remark }
  }
  if (!group.consumeEnable) {
    return { code: ResponseCode.NO_PERMISSION, remark: `subscription group no permission, ${wish.consumerGroup}` }
  }
  if (isReadForbidden(context, wish.consumerGroup, wish.topic)) {
    const remark = `the consumer group[${wish.consumerGroup}] is forbidden for topic[${wish.topic}]`
    return { code: ResponseCode.NO_PERMISSION, remark }
  }
  return { topic, group }
}

export function brokerForbids(context: BrokerContext, what: string): Refused | null {
  const { brokerPermission, brokerIP1 } = context.config
  if (isReadable(brokerPermission)) return null
  return { code: ResponseCode.NO_PERMISSION, remark: `the broker[${brokerIP1}] ${what} is forbidden` }
}

export function topicNotExist(topic: string): Refused {
  return { code: ResponseCode.TOPIC_NOT_EXIST, remark: `topic[${topic}] not exist, apply first please!` }
}

export function illegalQueue(
  { topic, queueId }: Pick<PopWish, 'topic' | 'queueId'>,
  { readQueueNums }: TopicConfig,
  remoteAddress: string,
): string {
  return `queueId[${queueId}] is illegal, topic:[${topic}] topicConfig.readQueueNums:[${readQueueNums}] consumer:[${remoteAddress}]`
}
