/**
 * Half messages on their way in and out: in, they stand in RMQ_SYS_TRANS_HALF_TOPIC, queue 0, with their real topic and queue as
 * properties and without the transaction bits of sysFlag (with them they would have no queue entry); out, committed, they are put
 * into those, or wait there for their delay.
 *
 * Source: org.apache.rocketmq.broker.transaction.queue.TransactionalMessageBridge.parseHalfMessageInner, EndTransactionProcessor.
 */
import {
  decodeRecord,
  getProperty,
  type HostAddress,
  MessageSysFlag,
  type MessageRecord,
  PropertyName,
  RecordDraft,
  recordProperty,
  recordQueueOffset,
  recordStoreTimestamp,
  recordTotalSize,
  setProperty,
  SystemTopic,
  topicNameError,
  withTransactionType,
} from '@dledger-ts/protocol'
import type { NewMessage } from '../api.ts'
import {
  DELIVERED_PROPERTY_BYTES_MAX,
  deliveredOf,
  type MovedHalf,
  withDelivered,
  withoutForeignDelivered,
} from '../delivered-property.ts'
import { CHANGE_TOPIC } from '../metadata/change.ts'
import type { HalfMessageRow } from '../metadata/half-messages.ts'

/** Apache's tag of a record in the op topic: the half messages in its body are ended. */
const OP_TAG = 'd'

/** What the record that ends a half message may have beside its own properties: our name for it, and what a delay adds. */
export const HALF_GROWTH_BYTES_MAX = DELIVERED_PROPERTY_BYTES_MAX + 256

/** What is put for a producer's prepared message. */
export function halfMessage(message: NewMessage): NewMessage {
  const { properties: given } = message
  const uniqKey = getProperty(given, PropertyName.UNIQ_KEY)
  let properties = uniqKey === undefined ? given : setProperty(given, PropertyName.TRANSACTION_ID, uniqKey)
  properties = setProperty(properties, PropertyName.REAL_TOPIC, message.topic)
  properties = setProperty(properties, PropertyName.REAL_QUEUE_ID, String(message.queueId))
  const sysFlag = withTransactionType(message.sysFlag, MessageSysFlag.TRANSACTION_NONE)
  return { ...message, topic: SystemTopic.TRANSACTION_HALF, queueId: 0, sysFlag, properties }
}

/** The row of a half message's record; undefined for a record without a destination or a producer. */
export function halfMessageRowOf(record: Buffer, physicalOffset: number): HalfMessageRow | undefined {
  const producerGroup = recordProperty(record, PropertyName.PRODUCER_GROUP)
  if (producerGroup === undefined || realTopicOf((name) => recordProperty(record, name)) === undefined) return undefined
  const seconds = Number(recordProperty(record, PropertyName.CHECK_IMMUNITY_TIME_IN_SECONDS) ?? -1)
  const immunityMs = seconds >= 0 && Number.isSafeInteger(seconds * 1_000) ? seconds * 1_000 : -1
  return {
    physicalOffset,
    recordOffset: physicalOffset,
    bytes: recordTotalSize(record),
    queueOffset: recordQueueOffset(record),
    producerGroup,
    storeTimestamp: recordStoreTimestamp(record),
    immunityMs,
    checkCount: 0,
    checkedMs: 0,
  }
}

/** A half message as it was put first. @param row null when it has ended: then `record` is that first one, or none. */
export function firstHalfMessage(record: Buffer, row: HalfMessageRow | null): MessageRecord | undefined {
  const stored = decodeRecord(record)
  if (stored.topic !== SystemTopic.TRANSACTION_HALF) return undefined
  if (row === null) return deliveredOf(record) === undefined ? stored : undefined
  const { physicalOffset, queueOffset, storeTimestamp } = row
  return {
    ...stored,
    physicalOffset,
    queueOffset,
    storeTimestamp,
    properties: withoutForeignDelivered(stored.properties),
  }
}

/** What is put when a half message is committed; a delay that it asks for begins now. */
export function committedMessage(record: Buffer): NewMessage {
  const stored = decodeRecord(record)
  const real = realTopicOf((name) => getProperty(stored.properties, name)) as RealTopic
  return {
    ...fieldsOf(stored),
    topic: real.topic,
    queueId: real.queueId,
    sysFlag: withTransactionType(stored.sysFlag, MessageSysFlag.TRANSACTION_COMMIT),
    preparedTransactionOffset: stored.physicalOffset,
    // TRAN_MSG stays, as in what Apache's broker writes.
    properties: withoutForeignDelivered(stored.properties),
  }
}

/** What is put when nobody could tell the outcome for too long: it is kept where an operator finds it. */
export function abandonedMessage(record: Buffer): NewMessage {
  const stored = decodeRecord(record)
  const properties = withoutForeignDelivered(stored.properties)
  return { ...fieldsOf(stored), topic: SystemTopic.TRANSACTION_CHECK_MAX_TIME, queueId: 0, properties }
}

/**
 * What is put when a half message that was given up is to be asked for again: a new half message, as the producer sent the first.
 *
 * @param record of TRANS_CHECK_MAX_TIME_TOPIC. @returns undefined for any other, or one without a destination or a producer.
 */
export function resumedMessage(record: Buffer): NewMessage | undefined {
  const stored = decodeRecord(record)
  if (stored.topic !== SystemTopic.TRANSACTION_CHECK_MAX_TIME) return undefined
  const real = realTopicOf((name) => getProperty(stored.properties, name))
  const hasProducer = getProperty(stored.properties, PropertyName.PRODUCER_GROUP) !== undefined
  if (real === undefined || !hasProducer) return undefined
  const properties = withoutForeignDelivered(stored.properties)
  return halfMessage({ ...fieldsOf(stored), topic: real.topic, queueId: real.queueId, properties })
}

/** Apache's op record: the half message at this queue offset is ended. */
export function opMessage(queueOffset: number, host: HostAddress, nowMs: number): NewMessage {
  return {
    topic: SystemTopic.TRANSACTION_OP_HALF,
    queueId: 0,
    flag: 0,
    sysFlag: 0,
    bornTimestamp: nowMs,
    bornHost: host,
    storeHost: host,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.from(`${queueOffset},`),
    properties: setProperty('', PropertyName.TAGS, OP_TAG),
  }
}

/** The draft of a record that ends a half message. */
export function endingDraft(message: NewMessage, { physicalOffset, recordOffset }: HalfMessageRow): RecordDraft {
  return new RecordDraft({
    ...message,
    properties: withDelivered(message.properties, { kind: 'half', physicalOffset, recordOffset }),
  })
}

/** The draft that puts the record of a half message again, so that the log file in which it stands can go. */
export function movedHalfMessage(record: Buffer, row: HalfMessageRow): RecordDraft {
  const stored = decodeRecord(record)
  const properties = withDelivered(withoutForeignDelivered(stored.properties), { kind: 'halfMove', ...row })
  return new RecordDraft({ ...fieldsOf(stored), properties })
}

/** The row of a half message whose record was put again at `physicalOffset`; undefined as for `halfMessageRowOf`. */
export function movedHalfMessageRow(
  record: Buffer,
  physicalOffset: number,
  was: MovedHalf,
): HalfMessageRow | undefined {
  const row = halfMessageRowOf(record, physicalOffset)
  if (row === undefined) return undefined
  const { queueOffset, storeTimestamp, checkCount, checkedMs } = was
  return { ...row, physicalOffset: was.physicalOffset, queueOffset, storeTimestamp, checkCount, checkedMs }
}

interface RealTopic {
  readonly topic: string
  readonly queueId: number
}

function realTopicOf(property: (name: string) => string | undefined): RealTopic | undefined {
  const topic = property(PropertyName.REAL_TOPIC)
  const queueId = Number(property(PropertyName.REAL_QUEUE_ID))
  if (topic === undefined || topic === CHANGE_TOPIC || topicNameError(topic) !== undefined) return undefined
  return Number.isInteger(queueId) && queueId >= 0 ? { topic, queueId } : undefined
}

function fieldsOf(stored: MessageRecord): NewMessage {
  const { flag, sysFlag, bornTimestamp, bornHost, storeHost, reconsumeTimes, body, properties } = stored
  const { topic, queueId, preparedTransactionOffset } = stored
  return {
    topic,
    queueId,
    flag,
    sysFlag,
    bornTimestamp,
    bornHost,
    storeHost,
    reconsumeTimes,
    preparedTransactionOffset,
    body,
    properties,
  }
}
