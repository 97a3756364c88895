/** What a consumer wants of a topic: all messages, or those with one of some tags. Pure. */
import { javaHash } from '@dledger-ts/protocol'
import type { SubscriptionData } from '@dledger-ts/remoting'
import { check } from '../errors.ts'

export const ALL_TAGS = '*'

/**
 * @param expression `*`, or tags joined by `||`.
 * @param version grows with every change: the milliseconds of this client.
 * @throws ClientError `INVALID` for an expression of no tags.
 */
export function subscriptionData(topic: string, expression: string, version: number): SubscriptionData {
  const wanted = expression.trim()
  const tags = wanted === '' || wanted === ALL_TAGS ? [] : splitTags(wanted)
  check(wanted === '' || wanted === ALL_TAGS || tags.length > 0, `no tags in "${expression}"`)
  return {
    topic,
    subString: tags.length === 0 ? ALL_TAGS : wanted,
    tagsSet: tags,
    codeSet: [...new Set(tags.map(javaHash))],
    subVersion: version,
    expressionType: 'TAG',
    classFilterMode: false,
  }
}

function splitTags(expression: string): string[] {
  const tags = expression.split('||').map((tag) => tag.trim())
  return [...new Set(tags.filter((tag) => tag !== ''))]
}

/** Brokers choose by the hash of the tag, so what they send may have another tag of the same hash. Hot. */
export function wantsTag(subscription: SubscriptionData, tag: string | undefined): boolean {
  if (subscription.tagsSet.length === 0) return true
  return tag !== undefined && subscription.tagsSet.includes(tag)
}
