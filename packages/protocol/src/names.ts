/**
 * What topics and groups may be called, and the prefixes that give a name a meaning.
 *
 * Source: org.apache.rocketmq.common.topic.TopicValidator; the remarks are what tools show, word for word.
 */
export const RETRY_TOPIC_PREFIX = '%RETRY%'
export const DLQ_TOPIC_PREFIX = '%DLQ%'
export const SYSTEM_TOPIC_PREFIX = 'rmq_sys_'
export const SYSTEM_GROUP_PREFIX = 'CID_RMQ_SYS_'

const TOPIC_CHARS_MAX = 127
const RETRY_OR_DLQ_TOPIC_CHARS_MAX = 255
const GROUP_CHARS_MAX = 120
const ALLOWED = '^[%|a-zA-Z0-9_-]+$'

export function retryTopic(group: string): string {
  return RETRY_TOPIC_PREFIX + group
}

export function dlqTopic(group: string): string {
  return DLQ_TOPIC_PREFIX + group
}

export function isRetryTopic(topic: string): boolean {
  return topic.startsWith(RETRY_TOPIC_PREFIX)
}

export function isDlqTopic(topic: string): boolean {
  return topic.startsWith(DLQ_TOPIC_PREFIX)
}

/** @returns why `topic` is no topic name, in Apache's words, or undefined when it is one. */
export function topicNameError(topic: string): string | undefined {
  if (isBlank(topic)) return 'The specified topic is blank.'
  // A group's retries of what it popped may stand under `%RETRY%group+topic`.
  if (!hasOnlyAllowedChars(isRetryTopic(topic) ? topic.replace('+', '') : topic)) {
    return `The specified topic: ${topic}, contains illegal characters, allowing only ${ALLOWED}`
  }
  if (isRetryTopic(topic) || isDlqTopic(topic)) {
    if (topic.length <= RETRY_OR_DLQ_TOPIC_CHARS_MAX) return undefined
    return `The specified topic is DLQ or Retry topic: ${topic}, and it's longer than topic max length: ${RETRY_OR_DLQ_TOPIC_CHARS_MAX}`
  }
  if (topic.length <= TOPIC_CHARS_MAX) return undefined
  return `The specified topic: ${topic}, is longer than topic max length: ${TOPIC_CHARS_MAX}`
}

/** @returns why `group` is no group name, in Apache's words, or undefined when it is one. */
export function groupNameError(group: string): string | undefined {
  if (isBlank(group)) return 'The specified group is blank.'
  if (group.length > GROUP_CHARS_MAX) {
    return `The specified group: ${group}, is longer than group max length: ${GROUP_CHARS_MAX}`
  }
  if (!hasOnlyAllowedChars(group)) {
    return `The specified group: ${group}, contains illegal characters, allowing only ${ALLOWED}`
  }
  return undefined
}

function isBlank(name: string): boolean {
  return name.trim() === ''
}

/** Letters, digits, `%`, `|`, `_` and `-`. Hot: a scan, not a regular expression. */
function hasOnlyAllowedChars(name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const c = name.charCodeAt(i)
    const isLetter = (c >= 0x61 && c <= 0x7a) || (c >= 0x41 && c <= 0x5a)
    const isDigit = c >= 0x30 && c <= 0x39
    if (!isLetter && !isDigit && c !== 0x25 && c !== 0x7c && c !== 0x5f && c !== 0x2d) return false
  }
  return true
}
