/** One queue as bodies name it, MQ in the documents: `{"brokerName":"b","queueId":0,"topic":"T"}`, in this order. */
import type { DialectValue } from './dialect.ts'
import { asObject, asText, numberOr } from './reader.ts'

export interface MessageQueue {
  brokerName: string
  queueId: number
  topic: string
}

export function readMessageQueue(value: DialectValue | undefined): MessageQueue {
  const object = asObject(value, 'a message queue')
  return {
    brokerName: asText(object['brokerName'], 'brokerName'),
    queueId: numberOr(object['queueId'], 0, 'queueId'),
    topic: asText(object['topic'], 'topic'),
  }
}

/** Key order and the absence of spaces matter: the Go client cuts some bodies as text. */
export function messageQueueText(queue: MessageQueue): string {
  return `{"brokerName":${JSON.stringify(queue.brokerName)},"queueId":${queue.queueId},"topic":${JSON.stringify(queue.topic)}}`
}
