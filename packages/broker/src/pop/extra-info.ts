/**
 * The strings by which a client says later which pop it means: it puts them together from the answer to the pop, or finds them in
 * the property POP_CK of a message that came again. Pure.
 *
 *   extraInfo       startOffset popTime invisibleTime reviveQid retryFlag brokerName queueId [queueOffset]
 *   startOffsetInfo retryFlag queueId startOffset;…
 *   msgOffsetInfo   retryFlag queueId offset,offset,…;…
 *   orderCountInfo  retryFlag qo<queueId>%<offset> count;…;retryFlag queueId count
 *
 * Keeps: each retryFlag and queueId stands once in an answer; clients fail on a second one. Source: ExtraInfoUtil.
 */
import { RemotingError } from '@dledger-ts/remoting'
import { retryFlagOf } from './retry-topics.ts'

/** The reviveQid that tells pops in order from others. Source: KeyBuilder.POP_ORDER_REVIVE_QUEUE. */
export const ORDER_REVIVE_QID = 999
/** Longer times of invisibility are refused. */
export const INVISIBLE_MS_MAX = 365 * 24 * 3_600_000

/** What an acknowledgement needs of it. */
export interface ExtraInfo {
  readonly popTime: number
  readonly invisibleTime: number
  readonly reviveQid: number
}

/** @throws RemotingError `BAD_HEADER`. */
export function parseExtraInfo(text: string, requestCode: number): ExtraInfo {
  const [startOffset, popTime, invisibleTime, reviveQid] = text.split(' ', 4).map(countOf)
  if (startOffset === null || popTime == null || invisibleTime == null || reviveQid == null) {
    throw badExtraInfo(text, requestCode)
  }
  if (!Number.isSafeInteger(popTime + invisibleTime)) throw badExtraInfo(text, requestCode)
  return { popTime, invisibleTime, reviveQid }
}

/** What the answer to a pop says of one queue. */
export interface PoppedOf {
  /** The real topic: a retry topic for what came again. */
  readonly topic: string
  readonly queueId: number
  readonly startOffset: number
  readonly queueOffsets: readonly number[]
}

export interface PopNames {
  readonly popTime: number
  readonly invisibleTime: number
  readonly reviveQid: number
  readonly brokerName: string
}

export function buildExtraInfo(names: PopNames, popped: Omit<PoppedOf, 'queueOffsets'>, queueOffset: number): string {
  const { popTime, invisibleTime, reviveQid, brokerName } = names
  const { topic, queueId, startOffset } = popped
  const flag = retryFlagOf(topic)
  return `${startOffset} ${popTime} ${invisibleTime} ${reviveQid} ${flag} ${brokerName} ${queueId} ${queueOffset}`
}

export function startOffsetInfo(all: readonly PoppedOf[]): string {
  return all.map(({ topic, queueId, startOffset }) => `${retryFlagOf(topic)} ${queueId} ${startOffset}`).join(';')
}

export function msgOffsetInfo(all: readonly PoppedOf[]): string {
  return all
    .map(({ topic, queueId, queueOffsets }) => `${retryFlagOf(topic)} ${queueId} ${queueOffsets.join(',')}`)
    .join(';')
}

/** @param earlier how often each message was popped before. */
export function orderCountInfo(topic: string, queueId: number, earlier: ReadonlyMap<number, number>): string {
  const flag = retryFlagOf(topic)
  const parts: string[] = []
  for (const [queueOffset, count] of earlier) {
    if (count > 0) parts.push(`${flag} qo${queueId}%${queueOffset} ${count}`)
  }
  // Older clients know only the least of a queue.
  parts.push(`${flag} ${queueId} ${Math.min(...earlier.values())}`)
  return parts.join(';')
}

function countOf(text: string): number | null {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  return Number.isSafeInteger(value) ? value : null
}

function badExtraInfo(text: string, requestCode: number): RemotingError {
  const reason = `"${text.slice(0, 64)}" names no pop`
  return new RemotingError(`bad header: extraInfo ${reason}`, {
    code: 'BAD_HEADER',
    requestCode,
    field: 'extraInfo',
    reason,
  })
}
