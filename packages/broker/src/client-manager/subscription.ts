/**
 * What a consumer group wants of one topic, and which ConsumeQueue entries that is.
 *
 * A tag matches by the 32-bit hash alone; the client compares the text again. An expression is evaluated here and nowhere else.
 * Source: FilterAPI, ExpressionMessageFilter.
 */
import { tagsCode } from '@dledger-ts/protocol'
import type { SubscriptionData } from '@dledger-ts/remoting'
import type { CompiledExpressions } from '../filter/compiled-expressions.ts'
import { EXPRESSION_CHARS_MAX } from '../filter/parser.ts'
import type { ExpressionError } from '../filter/expression-error.ts'
import type { Sql92 } from '../filter/sql92.ts'

const EXPRESSION_TAG = 'TAG'

export interface Subscription {
  readonly topic: string
  readonly expressionType: string
  /** `*`, or tags joined by `||`, or an expression. */
  readonly expression: string
  /** Milliseconds of the client's clock when it last changed; newer wins. */
  readonly subVersion: number
  /** Hash codes of the tags; null takes every message. */
  readonly tagCodes: ReadonlySet<number> | null
  /** What an expression that is no tags says of a message, or what is wrong with it; null for tags. */
  readonly filter: Sql92 | ExpressionError | null
}

/** What a heartbeat says of one topic; a subscription to nothing is left out. */
export function subscriptionsOf(data: readonly SubscriptionData[], expressions: CompiledExpressions): Subscription[] {
  const subscriptions: Subscription[] = []
  for (const one of data) {
    const expression = one.classFilterMode ? '*' : one.subString
    const type = one.classFilterMode ? EXPRESSION_TAG : one.expressionType
    const subscription = buildSubscription({ ...one, expression, expressionType: type }, expressions)
    if (subscription !== null) subscriptions.push(subscription)
  }
  return subscriptions
}

/** As tools show it. */
export function subscriptionData({ topic, expressionType, expression, subVersion }: Subscription): SubscriptionData {
  const isByTags = isTagType(expressionType) && expression !== '*'
  const tags = isByTags ? expression.split('||').map((tag) => tag.trim()) : []
  const tagsSet = [...new Set(tags.filter((tag) => tag !== ''))]
  const codeSet = tagsSet.map((tag) => tagsCode(tag))
  return { classFilterMode: false, codeSet, expressionType, subString: expression, subVersion, tagsSet, topic }
}

interface SubscriptionText {
  readonly topic: string
  readonly expression: string | undefined
  readonly expressionType: string | undefined
  readonly subVersion: number
}

/** A subscription as its text says. @returns null when the text names no tag at all, like `||`, or is longer than any expression. */
export function buildSubscription(
  { topic, expression, expressionType, subVersion }: SubscriptionText,
  expressions: CompiledExpressions,
): Subscription | null {
  if (!isTagType(expressionType)) {
    const text = expression ?? ''
    const filter = expressions.compiled(expressionType, text)
    return { topic, expressionType, expression: text, subVersion, tagCodes: null, filter }
  }
  const byTags = { topic, expressionType: EXPRESSION_TAG, subVersion, filter: null }
  if (expression === undefined || expression === '' || expression === '*') {
    return { ...byTags, expression: '*', tagCodes: null }
  }
  if (expression.length > EXPRESSION_CHARS_MAX) return null
  const tagCodes = new Set<number>()
  for (const part of expression.split('||')) {
    const tag = part.trim()
    if (tag !== '') tagCodes.add(tagsCode(tag))
  }
  return tagCodes.size === 0 ? null : { ...byTags, expression, tagCodes }
}

/** Whether a subscription is by tags: by default it is. */
export function isTagType(expressionType: string | undefined): expressionType is undefined | '' | 'TAG' {
  return expressionType === undefined || expressionType === '' || expressionType === EXPRESSION_TAG
}

/** Everything of a topic: for pulls whose subscription is newer than what the broker knows; the client filters again. */
export function everything(topic: string): Subscription {
  return { topic, expressionType: EXPRESSION_TAG, expression: '*', subVersion: 0, tagCodes: null, filter: null }
}
