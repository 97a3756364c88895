/** Tables of offsets by queue, between brokers, tools and clients. */
import { type DialectValue, objectKeyedTable } from './dialect.ts'
import { type MessageQueue, messageQueueText, readMessageQueue } from './message-queue.ts'
import { asObject, numberOr, parseObject } from './reader.ts'

export type QueueOffset = readonly [queue: MessageQueue, offset: number]

/** A ResetOffsetBody. The Go client cuts it up as text: no spaces, keys in this order. */
export function encodeResetOffsets(offsets: readonly QueueOffset[]): Buffer {
  return Buffer.from(`{"offsetTable":${tableText(offsets)}}`)
}

/** The same for clients in C++, which read no objects as keys. */
export function encodeResetOffsetsForC(offsets: readonly QueueOffset[]): Buffer {
  const offsetTable = offsets.map(([{ brokerName, queueId, topic }, offset]) => ({
    brokerName,
    offset,
    queueId,
    topic,
  }))
  return Buffer.from(JSON.stringify({ offsetTable }))
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeResetOffsets(body: Buffer): QueueOffset[] {
  return readTable(parseObject(body, 'offsets')['offsetTable'])
}

/** What one client says of its queues: a GetConsumerStatusBody with `messageQueueTable` only. @throws RemotingError `BAD_BODY`. */
export function decodeClientOffsets(body: Buffer): QueueOffset[] {
  return readTable(parseObject(body, 'the state of a client')['messageQueueTable'])
}

/** What all clients of a group say, by client id. */
export function encodeConsumerStatus(clients: ReadonlyMap<string, readonly QueueOffset[]>): Buffer {
  const table = [...clients].map(([clientId, offsets]) => `${JSON.stringify(clientId)}:${tableText(offsets)}`).join(',')
  return Buffer.from(`{"consumerTable":{${table}},"messageQueueTable":{}}`)
}

function tableText(offsets: readonly QueueOffset[]): string {
  return objectKeyedTable(offsets.map(([queue, offset]) => [messageQueueText(queue), String(offset)]))
}

/** Without a queue it is an ordinary object. */
function readTable(value: DialectValue | undefined): QueueOffset[] {
  if (value === undefined || value === null) return []
  if (!(value instanceof Map)) {
    asObject(value, 'a table of offsets')
    return []
  }
  return [...value].map(([queue, offset]) => [readMessageQueue(queue), numberOr(offset, 0, 'an offset')])
}
