/**
 * Messages of a delay level on their way in and out: in, they stand in SCHEDULE_TOPIC_XXXX, queue level - 1, with their real
 * topic and queue as properties; out, they are put into those with everything else kept, DELAY included (consumers read it to
 * choose the next retry level).
 *
 * Source: org.apache.rocketmq.broker.util.HookUtils.transformDelayLevelMessage, ScheduleMessageService.messageTimeUp.
 */
import {
  appendProperties,
  decodeRecord,
  getProperty,
  isQueued,
  MessageSysFlag,
  PROPERTIES_BYTES_MAX,
  PropertyName,
  RecordDraft,
  removeProperty,
  setProperty,
  SystemTopic,
  textBytes,
  topicNameError,
  withTransactionType,
} from '@dledger-ts/protocol'
import type { NewMessage } from './api.ts'
import {
  type Delivered,
  DELIVERED_PROPERTY_BYTES_MAX,
  withDelivered,
  withoutForeignDelivered,
} from './delivered-property.ts'
import { StoreError } from './errors.ts'

/** What the longest topic takes of the record that delivers a message, beside what is added to its properties. */
const DESTINATION_BYTES_MAX = 256

/**
 * The draft of a delayed message in the queue of its level; null for one that is not delayed. Hot for those: one search.
 *
 * @throws StoreError TOO_LARGE when what would be delivered later could not be stored.
 */
export function delayed(
  message: NewMessage,
  delayLevelsMs: readonly number[],
  recordBytesMax: number,
): RecordDraft | null {
  const wanted = getProperty(message.properties, PropertyName.DELAY)
  if (wanted === undefined || !isQueued(message.sysFlag)) return null
  if (message.topic === SystemTopic.TRANSACTION_HALF || message.topic === SystemTopic.SCHEDULE) return null
  const level = Math.min(Math.floor(Number(wanted)), delayLevelsMs.length)
  if (!(level >= 1)) return null

  let properties = removeProperty(message.properties, PropertyName.TIMER_DELAY_SEC)
  properties = removeProperty(properties, PropertyName.TIMER_DELAY_MS)
  properties = removeProperty(properties, PropertyName.TIMER_DELIVER_MS)
  properties = setProperty(properties, PropertyName.REAL_TOPIC, message.topic)
  properties = setProperty(properties, PropertyName.REAL_QUEUE_ID, String(message.queueId))
  const draft = new RecordDraft({ ...message, topic: SystemTopic.SCHEDULE, queueId: level - 1, properties })
  checkDelivery(draft, DELIVERED_PROPERTY_BYTES_MAX, recordBytesMax)
  return draft
}

/**
 * The draft that delivers a stored record into its real queue, and names what it ends.
 *
 * A record without a real destination (nobody here makes one) is ended by a rolled back record, which no consumer sees.
 *
 * @param added properties for the delivered message alone.
 */
export function delivery(record: Buffer, delivered: Delivered, added = ''): RecordDraft {
  const stored = decodeRecord(record)
  const topic = getProperty(stored.properties, PropertyName.REAL_TOPIC)
  const queueId = Number(getProperty(stored.properties, PropertyName.REAL_QUEUE_ID))
  if (topic === undefined || topicNameError(topic) !== undefined || !(Number.isInteger(queueId) && queueId >= 0)) {
    const sysFlag = withTransactionType(stored.sysFlag, MessageSysFlag.TRANSACTION_ROLLBACK)
    return new RecordDraft({ ...stored, sysFlag, properties: withDelivered('', delivered) })
  }
  const properties = withDelivered(withoutForeignDelivered(stored.properties), delivered)
  return new RecordDraft({ ...stored, topic, queueId, properties: appendProperties(properties, added) })
}

/** @throws StoreError TOO_LARGE for a message whose delivery could not be stored. @param grownBytes what delivery adds. */
export function checkDelivery(draft: RecordDraft, grownBytes: number, recordBytesMax: number): void {
  check('properties', textBytes(draft.fields.properties) + grownBytes, PROPERTIES_BYTES_MAX)
  check('record', draft.bytes + grownBytes + DESTINATION_BYTES_MAX, recordBytesMax)
}

function check(what: string, bytes: number, bytesMax: number): void {
  if (bytes <= bytesMax) return
  throw new StoreError(`${what} of a delayed message: ${bytes} bytes, at most ${bytesMax}`, {
    code: 'TOO_LARGE',
    what,
    bytes,
    bytesMax,
  })
}
