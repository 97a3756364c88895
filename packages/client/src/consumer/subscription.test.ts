/** Tag expressions, and which tags they want. */
import { readFileSync } from 'node:fs'
import type { SubscriptionData } from '@dledger-ts/remoting'
import { describe, expect, it } from 'vitest'
import { subscriptionData, wantsTag } from './subscription.ts'

describe('a subscription', () => {
  it('is what the Java client puts into its heartbeat', () => {
    const text = readFileSync(new URL('../../../../test/vectors/client/heartbeat.json', import.meta.url), 'utf8')
    const body = JSON.parse(text) as { consumerDataSet: { subscriptionDataSet: SubscriptionData[] }[] }
    const recorded = body.consumerDataSet[0]?.subscriptionDataSet.find(({ subString }) => subString === 'TagA || Tx')
    expect(recorded).toBeDefined()
    expect(subscriptionData(recorded?.topic ?? '', 'TagA || Tx', recorded?.subVersion ?? 0)).toEqual(recorded)
  })

  it.each([
    { expression: '*', subString: '*', tags: [] },
    { expression: '', subString: '*', tags: [] },
    { expression: ' a ', subString: 'a', tags: ['a'] },
    { expression: 'a||b || a', subString: 'a||b || a', tags: ['a', 'b'] },
    { expression: 'a || || b', subString: 'a || || b', tags: ['a', 'b'] },
  ])('reads "$expression"', ({ expression, subString, tags }) => {
    const data = subscriptionData('T', expression, 5)
    expect([data.subString, data.tagsSet, data.subVersion]).toEqual([subString, tags, 5])
  })

  it('refuses an expression without a tag', () => {
    expect(() => subscriptionData('T', ' || ', 1)).toThrow('no tags in " || "')
  })

  it.each([
    { expression: '*', tag: undefined, wanted: true },
    { expression: '*', tag: 'a', wanted: true },
    { expression: 'Aa', tag: 'Aa', wanted: true },
    // The same hash.
    { expression: 'Aa', tag: 'BB', wanted: false },
    { expression: 'Aa', tag: undefined, wanted: false },
    { expression: 'a || b', tag: 'b', wanted: true },
  ])('of "$expression" wants $tag: $wanted', ({ expression, tag, wanted }) => {
    expect(wantsTag(subscriptionData('T', expression, 1), tag)).toBe(wanted)
  })
})
