/**
 * What a producer is given to call a delayed message back: its topic, the broker group, its time, and its unique id.
 *
 *   base64, alphabet of URLs, padded:  v1 <topic> <broker name> <time, ms> <unique id>
 *
 * Keeps: nothing is believed because a handle says so; it only names what to look for.
 *
 * Source: org.apache.rocketmq.common.producer.RecallMessageHandle.
 */
const VERSION = 'v1'
const SEPARATOR = ' '
const FIELD_COUNT = 5
/** Longer than a topic, a broker name, a time and an id can be together. */
const HANDLE_TEXT_MAX = 4_096

export interface RecallHandle {
  readonly topic: string
  readonly brokerName: string
  /** When the message is delivered. Apache's broker gives TIMER_OUT_MS + 1, whatever the time that was asked for. */
  readonly deliverMs: number
  readonly uniqKey: string
}

export function encodeRecallHandle({ topic, brokerName, deliverMs, uniqKey }: RecallHandle): string {
  const text = [VERSION, topic, brokerName, String(deliverMs), uniqKey].join(SEPARATOR)
  return Buffer.from(text).toString('base64').replaceAll('+', '-').replaceAll('/', '_')
}

/** @returns undefined for what is no handle; a time that is no number is NaN. */
export function decodeRecallHandle(handle: string): RecallHandle | undefined {
  if (handle.length > HANDLE_TEXT_MAX || !/^[\w-]+={0,2}$/.test(handle)) return undefined
  const parts = Buffer.from(handle, 'base64url').toString().split(SEPARATOR)
  const [version, topic, brokerName, time, uniqKey] = parts
  if (version !== VERSION || parts.length < FIELD_COUNT) return undefined
  if (topic === undefined || brokerName === undefined || time === undefined || uniqKey === undefined) return undefined
  return { topic, brokerName, deliverMs: /^\d{1,15}$/.test(time) ? Number(time) : Number.NaN, uniqKey }
}
