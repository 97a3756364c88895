/**
 * What a message must be to be put. Whatever gets past here and `RecordDraft` can be encoded, and its queue can have a directory.
 *
 * Keeps: a message of any shape is refused or stored; it never stops the member.
 */
import { type HostAddress, topicNameError } from '@dledger-ts/protocol'
import type { NewMessage } from './api.ts'
import { StoreError } from './errors.ts'
import { CHANGE_TOPIC } from './metadata/change.ts'

/** Queue ids are below this: a topic has so many directories at most. */
export const QUEUE_COUNT_MAX = 65_536
/** Messages of one batch at most. */
export const BATCH_COUNT_MAX = 16_384

/** Types that a caller without type checks may get wrong. Hot. @throws StoreError INVALID. */
export function checkMessage(message: NewMessage): void {
  if (!Buffer.isBuffer(message.body)) throw invalid('the body is a Buffer')
  if (typeof message.topic !== 'string') throw invalid('the topic is a text')
  if (typeof message.properties !== 'string') throw invalid('the properties are one text: name \\x01 value \\x02 …')
  if (!isHost(message.bornHost)) throw invalid('bornHost has an address of 4 or 16 bytes and a port')
  if (!isHost(message.storeHost)) throw invalid('storeHost has an address of 4 or 16 bytes and a port')
}

/** Topics become directories: a queue that is new has a proper name. @throws StoreError INVALID. */
export function checkNewQueue(topic: string, queueId: number): void {
  const wrong = topicNameError(topic)
  if (wrong !== undefined) throw invalid(wrong)
  if (topic === CHANGE_TOPIC) throw invalid(`${CHANGE_TOPIC} is not for messages`)
  if (Number.isInteger(queueId) && queueId >= 0 && queueId < QUEUE_COUNT_MAX) return
  throw invalid(`queue id ${queueId} is not a whole number from 0 to ${QUEUE_COUNT_MAX - 1}`)
}

/** The messages of one batch are for one queue. @throws StoreError INVALID. */
export function checkBatch(messages: readonly NewMessage[]): void {
  const first = messages[0]
  if (first === undefined) throw invalid('a batch has messages')
  if (messages.length > BATCH_COUNT_MAX) {
    throw invalid(`a batch of ${messages.length} messages is too large; ${BATCH_COUNT_MAX} are allowed`)
  }
  for (const { topic, queueId } of messages) {
    if (topic !== first.topic || queueId !== first.queueId) throw invalid('the messages of a batch are for one queue')
  }
}

export function invalid(what: string): StoreError {
  return new StoreError(what, { code: 'INVALID', what })
}

function isHost(host: HostAddress | undefined | null): boolean {
  if (host === undefined || host === null || !Buffer.isBuffer(host.address)) return false
  const { address, port } = host
  return (address.length === 4 || address.length === 16) && (port | 0) === port
}
