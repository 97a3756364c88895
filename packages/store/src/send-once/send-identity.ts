/**
 * What makes two sends the same: the topic that was meant and the unique id (property UNIQ_KEY) that the client gave.
 *
 * The same answer comes from the message that is put and from its record, so a record in the log is found by a later send:
 * a delayed message is known by its real topic, a delivery of the store's own is none's send.
 *
 * No sends in this sense are messages to retry and dead letter topics (a message keeps its id there), to the topics of half
 * messages, and those that carry transaction bits.
 */
import {
  getProperty,
  isDlqTopic,
  isRetryTopic,
  PropertyName,
  recordProperty,
  recordSysFlag,
  recordTopic,
  SystemTopic,
  transactionType,
} from '@dledger-ts/protocol'
import type { NewMessage } from '../api.ts'
import { deliveredOf } from '../delivered-property.ts'

const NOT_RECOGNISED: ReadonlySet<string> = new Set<string>([
  SystemTopic.SCHEDULE,
  SystemTopic.WHEEL_TIMER,
  SystemTopic.TRANSACTION_HALF,
  SystemTopic.TRANSACTION_OP_HALF,
  SystemTopic.TRANSACTION_CHECK_MAX_TIME,
])

/** @returns the id by which a repetition of this send is recognised, undefined when it is not. Hot where it is switched on. */
export function uniqueIdOf(message: NewMessage): string | undefined {
  if (!isRecognised(message.topic) || transactionType(message.sysFlag) !== 0) return undefined
  return getProperty(message.properties, PropertyName.UNIQ_KEY)
}

/** The key under which a send is known while it is under way. */
export function sendKey(topic: string, uniqueId: string): string {
  return `${topic}\0${uniqueId}`
}

/** @returns the topic for which this record was sent. Hot where it is switched on. */
export function sentTopicOf(record: Buffer, topic = recordTopic(record)): string | undefined {
  if (topic !== SystemTopic.SCHEDULE && topic !== SystemTopic.WHEEL_TIMER) return topic
  return recordProperty(record, PropertyName.REAL_TOPIC)
}

/** As `uniqueIdOf`, of the record of a message for `sentTopic`. Hot where it is switched on. */
export function uniqueIdOfRecord(record: Buffer, sentTopic: string | undefined): string | undefined {
  if (sentTopic === undefined || !isRecognised(sentTopic) || transactionType(recordSysFlag(record)) !== 0)
    return undefined
  if (deliveredOf(record) !== undefined) return undefined
  return recordProperty(record, PropertyName.UNIQ_KEY)
}

/** A 64-bit hash of a send's topic and id, as two int32. One object is used again and again. */
export class SendHash {
  high = 0
  low = 0

  /** Hot: no object is made. */
  take(topic: string, uniqueId: string): void {
    this.high = 0x9e3779b9 | 0
    this.low = 0x7f4a7c15 | 0
    this.#add(topic)
    this.#add('\0')
    this.#add(uniqueId)
    const { high, low } = this
    this.low = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ Math.imul(high ^ (high >>> 13), 0xc2b2ae35)
    this.high = Math.imul(high ^ (high >>> 16), 0x85ebca6b) ^ Math.imul(low ^ (low >>> 13), 0xc2b2ae35)
  }

  #add(text: string): void {
    let { high, low } = this
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      low = Math.imul(low ^ unit, 0x01000193)
      low ^= low >>> 15
      high = Math.imul(high ^ unit, 0x5bd1e995)
      high ^= high >>> 13
    }
    this.high = high
    this.low = low
  }
}

function isRecognised(topic: string): boolean {
  return !isRetryTopic(topic) && !isDlqTopic(topic) && !NOT_RECOGNISED.has(topic)
}
