/**
 * Where messages come again that were popped and not acknowledged: one topic for each group and topic, of one queue. Pure.
 *
 * The first version of the name is ambiguous where names have underscores, as it is in Apache's. Source: KeyBuilder, ExtraInfoUtil.
 */
import { isRetryTopic, retryTopic } from '@dledger-ts/protocol'

/** How strings for clients call where a message came from: a topic, or a retry topic of the first or second version. */
export type RetryFlag = '0' | '1' | '2'

export const POP_RETRY_QUEUES = 1

export function popRetryTopicV1(topic: string, group: string): string {
  return `${retryTopic(group)}_${topic}`
}

export function popRetryTopicV2(topic: string, group: string): string {
  return `${retryTopic(group)}+${topic}`
}

export function retryFlagOf(topic: string): RetryFlag {
  if (!isRetryTopic(topic)) return '0'
  return topic.includes('+') ? '2' : '1'
}

/** @returns the topic whose queue is meant; undefined for a flag that there is not. */
export function realTopic(topic: string, group: string, flag: string): string | undefined {
  switch (flag) {
    case '0':
      return topic
    case '1':
      return popRetryTopicV1(topic, group)
    case '2':
      return popRetryTopicV2(topic, group)
    default:
      return undefined
  }
}
