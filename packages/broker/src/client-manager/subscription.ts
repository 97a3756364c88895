/**
 * What a consumer group wants of one topic, and which ConsumeQueue entries that is.
 *
 * A tag matches by the 32-bit hash alone; the client compares the text again. Source: FilterAPI, ExpressionMessageFilter.
 */
import { tagsCode } from '@dledger-ts/protocol'
import type { SubscriptionData } from '@dledger-ts/remoting'

export const EXPRESSION_TAG = 'TAG'

export interface Subscription {
  readonly topic: string
  readonly expressionType: string
  /** `*`, or tags joined by `||`, or an expression. */
  readonly expression: string
  /** Milliseconds of the client's clock when it last changed; newer wins. */
  readonly subVersion: number
  /** Hash codes of the tags; null takes every message. */
  readonly tagCodes: ReadonlySet<number> | null
}

/** What a heartbeat says of one topic; a subscription to nothing is left out. */
export function subscriptionsOf(data: readonly SubscriptionData[]): Subscription[] {
  const subscriptions: Subscription[] = []
  for (const one of data) {
    const expression = one.classFilterMode ? '*' : one.subString
    const subscription = buildSubscription(one.topic, expression, one.expressionType, one.subVersion)
    if (subscription !== null) subscriptions.push(subscription)
  }
  return subscriptions
}

/** A subscription as its text says. @returns null when the text names no tag at all, like `||`. */
export function buildSubscription(
  topic: string,
  expression: string | undefined,
  expressionType: string | undefined,
  subVersion: number,
): Subscription | null {
  const type = expressionType === undefined || expressionType === '' ? EXPRESSION_TAG : expressionType
  if (type !== EXPRESSION_TAG) {
    return { topic, expressionType: type, expression: expression ?? '', subVersion, tagCodes: null }
  }
  if (expression === undefined || expression === '' || expression === '*') {
    return { topic, expressionType: type, expression: '*', subVersion, tagCodes: null }
  }
  const tagCodes = new Set<number>()
  for (const part of expression.split('||')) {
    const tag = part.trim()
    if (tag !== '') tagCodes.add(tagsCode(tag))
  }
  return tagCodes.size === 0 ? null : { topic, expressionType: type, expression, subVersion, tagCodes }
}

/** Everything of a topic: for pulls whose subscription is newer than what the broker knows; the client filters again. */
export function everything(topic: string): Subscription {
  return { topic, expressionType: EXPRESSION_TAG, expression: '*', subVersion: 0, tagCodes: null }
}
