/**
 * Messages that are delayed by any time, on their way in and out: in, they stand in rmq_sys_wheel_timer, queue 0, with their
 * real topic and queue and the time (TIMER_OUT_MS) as properties; out, they are put into those with everything else kept.
 *
 * TIMER_OUT_MS is as Apache writes it: the time wanted, cut down to the precision, one precision earlier when it is a multiple;
 * such a timer is due one precision later. So it is never early, and late by less than the precision.
 *
 * Source: org.apache.rocketmq.broker.util.HookUtils.transformTimerMessage, TimerMessageStore.convert.
 */
import {
  decodeRecord,
  getProperty,
  indexHash,
  isQueued,
  PropertyName,
  ProtocolError,
  RecordDraft,
  recordProperty,
  recordStoreTimestamp,
  recordTotalSize,
  setProperty,
  SystemTopic,
} from '@dledger-ts/protocol'
import type { NewMessage } from '../api.ts'
import { checkDelivery, delivery } from '../delayed-message.ts'
import {
  type Delivered,
  DELIVERED_PROPERTY_BYTES_MAX,
  withDelivered,
  withoutForeignDelivered,
} from '../delivered-property.ts'
import { StoreError } from '../errors.ts'
import type { TimerRow } from '../metadata/timers.ts'

/** What the three properties that delay a message have in common; told apart only when it is there. */
const DELAYS_PREFIX = 'TIMER_DEL'
const NUMBER_TEXT = /^[+-]?\d{1,18}$/
/** What TIMER_ENQUEUE_MS and TIMER_DEQUEUE_MS add to the delivered message. */
const BOOKKEEPING_BYTES_MAX = 2 * (PropertyName.TIMER_DEQUEUE_MS.length + 2 + 16)

export interface TimerSettings {
  /** Timers are as exact as this. The same on all members is best, but nothing breaks when it is not. */
  readonly timerPrecisionMs: number
  readonly timerMaxDelayMs: number
}

/**
 * The draft of a message that is to be delivered later; null for every other one, also when its time has passed. A message with
 * a delay level is none: the level wins. Hot for the others: one search.
 *
 * @throws StoreError INVALID for a time that is no number or too far ahead, and for the timers' own topic; TOO_LARGE as for delay levels.
 */
export function timed(
  message: NewMessage,
  { timerPrecisionMs, timerMaxDelayMs }: TimerSettings,
  nowMs: number,
  recordBytesMax: number,
): RecordDraft | null {
  if (message.topic === SystemTopic.WHEEL_TIMER) throw invalid(`${message.topic} is not for messages`)
  if (!message.properties.includes(DELAYS_PREFIX) || !isQueued(message.sysFlag)) return null
  if (message.topic === SystemTopic.TRANSACTION_HALF) return null
  // It was delivered by a timer and comes again, back from a consumer.
  if (getProperty(message.properties, PropertyName.TIMER_OUT_MS) !== undefined) return null
  const deliverMs = deliverTime(message.properties, nowMs)
  if (deliverMs === undefined) return null
  if (getProperty(message.properties, PropertyName.TIMER_DEL_UNIQKEY) !== undefined) {
    throw invalid('a timer is called back by its handle, not by a message')
  }
  if (deliverMs <= nowMs) return null
  if (deliverMs - nowMs > timerMaxDelayMs) {
    throw invalid(`a message may be delayed by ${timerMaxDelayMs} ms, not by ${deliverMs - nowMs}`)
  }
  const outMs = outTime(deliverMs, timerPrecisionMs)
  let properties = setProperty(message.properties, PropertyName.TIMER_OUT_MS, String(outMs))
  properties = setProperty(properties, PropertyName.REAL_TOPIC, message.topic)
  properties = setProperty(properties, PropertyName.REAL_QUEUE_ID, String(message.queueId))
  const draft = new RecordDraft({ ...message, topic: SystemTopic.WHEEL_TIMER, queueId: 0, properties })
  checkDelivery(draft, DELIVERED_PROPERTY_BYTES_MAX + BOOKKEEPING_BYTES_MAX, recordBytesMax)
  return draft
}

/** TIMER_OUT_MS of a message that is to be delivered at `deliverMs`. */
export function outTime(deliverMs: number, precisionMs: number): number {
  const cut = deliverMs - (deliverMs % precisionMs)
  return cut === deliverMs ? cut - precisionMs : cut
}

/** TIMER_OUT_MS of a message in the topic of the timers; null elsewhere. */
export function timerOutMs(topic: string, properties: string): number | null {
  if (topic !== SystemTopic.WHEEL_TIMER) return null
  const outMs = Number(getProperty(properties, PropertyName.TIMER_OUT_MS))
  return Number.isSafeInteger(outMs) ? outMs : null
}

/** The row of a timer's record; undefined for a record that is no timer (nobody here makes one in that topic). */
export function timerRowOf(record: Buffer, physicalOffset: number): TimerRow | undefined {
  const outMs = Number(recordProperty(record, PropertyName.TIMER_OUT_MS))
  if (!Number.isSafeInteger(outMs) || outMs < 0) return undefined
  const topic = recordProperty(record, PropertyName.REAL_TOPIC) ?? ''
  const uniqKey = recordProperty(record, PropertyName.UNIQ_KEY) ?? ''
  return { outMs, physicalOffset, bytes: recordTotalSize(record), idHash: timerIdHash(topic, uniqKey) }
}

export function timerIdHash(topic: string, uniqKey: string): number {
  return indexHash(`${topic}#${uniqKey}`)
}

/** The draft that delivers a timer's record. */
export function timerDelivery(record: Buffer, { outMs, physicalOffset }: TimerRow, nowMs: number): RecordDraft {
  let added = setProperty('', PropertyName.TIMER_ENQUEUE_MS, String(recordStoreTimestamp(record)))
  added = setProperty(added, PropertyName.TIMER_DEQUEUE_MS, String(nowMs))
  return delivery(record, { kind: 'timer', outMs, physicalOffset }, added)
}

/** The draft that puts a timer's record again, so that the log file in which it stands can go: it waits on at its new place. */
export function movedTimer(record: Buffer, { outMs, physicalOffset }: TimerRow): RecordDraft {
  const stored = decodeRecord(record)
  const delivered = { kind: 'timer', outMs, physicalOffset } as const
  return new RecordDraft({
    ...stored,
    properties: withDelivered(withoutForeignDelivered(stored.properties), delivered),
  })
}

/** The draft by which a message of a delay level waits on as a timer, due at the same time; null when there is no room for that. */
export function timerOfLevel(
  record: Buffer,
  delivered: Extract<Delivered, { readonly kind: 'level' }>,
  { dueMs, precisionMs, recordBytesMax }: { dueMs: number; precisionMs: number; recordBytesMax: number },
): RecordDraft | null {
  const stored = decodeRecord(record)
  let properties = withoutForeignDelivered(stored.properties)
  properties = setProperty(properties, PropertyName.TIMER_OUT_MS, String(outTime(dueMs, precisionMs)))
  const fields = { ...stored, topic: SystemTopic.WHEEL_TIMER, queueId: 0, properties }
  try {
    checkDelivery(new RecordDraft(fields), DELIVERED_PROPERTY_BYTES_MAX + BOOKKEEPING_BYTES_MAX, recordBytesMax)
  } catch (error) {
    if (!(error instanceof StoreError || error instanceof ProtocolError)) throw error
    return null
  }
  return new RecordDraft({ ...fields, properties: withDelivered(properties, delivered) })
}

/** @returns when the message is to be delivered, undefined when nothing says so. @throws StoreError INVALID. */
function deliverTime(properties: string, nowMs: number): number | undefined {
  const delaySec = getProperty(properties, PropertyName.TIMER_DELAY_SEC)
  if (delaySec !== undefined) return nowMs + numberOf(delaySec, PropertyName.TIMER_DELAY_SEC) * 1000
  const delayMs = getProperty(properties, PropertyName.TIMER_DELAY_MS)
  if (delayMs !== undefined) return nowMs + numberOf(delayMs, PropertyName.TIMER_DELAY_MS)
  const deliverMs = getProperty(properties, PropertyName.TIMER_DELIVER_MS)
  return deliverMs === undefined ? undefined : numberOf(deliverMs, PropertyName.TIMER_DELIVER_MS)
}

function numberOf(text: string, name: string): number {
  if (NUMBER_TEXT.test(text)) return Number(text)
  throw invalid(`${name} is ${JSON.stringify(text)}, no whole number`)
}

function invalid(what: string): StoreError {
  return new StoreError(what, { code: 'INVALID', what })
}
