/** Which entry of a user's policies decides, against a model that says it in one line for each rule. */
import type { AccessEntry, AccessPolicies } from '@dledger-ts/store'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Action, CompiledPolicies, type Decision, type Need } from './policies.ts'
import { parseResource, resourceText } from './resources.ts'

const CUSTOM = 'Custom'

function entry(resource: string, decision: 'Allow' | 'Deny' = 'Allow', more: Partial<AccessEntry> = {}): AccessEntry {
  return { resource, actions: ['Pub'], sourceIps: [], decision, ...more }
}

function policies(...entries: AccessEntry[]): AccessPolicies {
  return { subject: 'User:u', policies: [{ type: CUSTOM, entries }] }
}

const topic = (name: string, ...actions: Action[]): Need => ({ type: 'Topic', name, actions })

function decide(of: AccessPolicies, need: Need, ip = '10.0.0.1'): Decision {
  return new CompiledPolicies(of).decide(need, ip)
}

describe('the most specific entry decides', () => {
  test.each<[string, AccessEntry[], Decision]>([
    ['nothing', [], 'unmatched'],
    ['another topic', [entry('Topic:b')], 'unmatched'],
    ['another type', [entry('Group:abc')], 'unmatched'],
    ['the name', [entry('Topic:abc')], 'allowed'],
    ['the name, in another case', [entry('Topic:ABC')], 'unmatched'],
    ['the name before a longer prefix', [entry('Topic:ab*', 'Deny'), entry('Topic:abc')], 'allowed'],
    ['the longer prefix', [entry('Topic:a*'), entry('Topic:ab*', 'Deny')], 'denied'],
    ['a prefix before all of the type', [entry('Topic:*', 'Deny'), entry('Topic:a*')], 'allowed'],
    ['all of the type before everything', [entry('*'), entry('Topic:*', 'Deny')], 'denied'],
    ['everything', [entry('*')], 'allowed'],
    ['a denial among equals', [entry('Topic:abc'), entry('Topic:abc', 'Deny')], 'denied'],
    ['only what has the action', [entry('*'), entry('Topic:abc', 'Deny', { actions: ['Sub'] })], 'allowed'],
    ['All', [entry('Topic:abc', 'Allow', { actions: ['All'] })], 'allowed'],
    ['only where it comes from', [entry('Topic:abc', 'Allow', { sourceIps: ['10.0.0.2'] })], 'unmatched'],
    ['a network', [entry('*'), entry('Topic:abc', 'Deny', { sourceIps: ['10.0.0.0/31'] })], 'denied'],
  ])('%s', (_name, entries, expected) => {
    expect(decide(policies(...entries), topic('abc', 'Pub'))).toBe(expected)
  })

  test('one of several actions is enough', () => {
    expect(decide(policies(entry('Topic:abc')), topic('abc', 'Sub', 'Pub'))).toBe('allowed')
  })

  test('a default policy counts only where no custom one matches', () => {
    const both = (custom: AccessEntry): AccessPolicies => ({
      subject: 'User:u',
      policies: [
        { type: 'Default', entries: [entry('Topic:abc', 'Deny')] },
        { type: CUSTOM, entries: [custom] },
      ],
    })
    expect(decide(both(entry('*')), topic('abc', 'Pub'))).toBe('allowed')
    expect(decide(both(entry('Topic:x')), topic('abc', 'Pub'))).toBe('denied')
  })
})

test.each([
  ['topic:a', 'Topic:a'],
  ['TOPIC:*', 'Topic:*'],
  ['Topic:a*', 'Topic:a*'],
  ['Topic:a*b*', 'Topic:a*'],
  ['Topic:a*b', 'Topic:a*b'],
  ['*', '*'],
  ['Any:*', '*'],
  ['Topic', 'Topic:'],
  ['Queue:a', undefined],
  [' ', undefined],
])('%j is kept as %j', (text, expected) => {
  const pattern = parseResource(text)
  expect(pattern && resourceText(pattern)).toBe(expected)
})

/** What an entry says of a thing: -1 for nothing, else the more the more specific it is. */
function modelRank(resource: string, { type, name }: Need): number {
  if (resource === '*') return 0
  const [ofType = '', pattern = ''] = resource.split(':')
  if (ofType !== type) return -1
  if (pattern === name) return 1_000
  if (!pattern.endsWith('*')) return -1
  return name.startsWith(pattern.slice(0, -1)) ? pattern.length : -1
}

function modelDecision(entries: readonly AccessEntry[], need: Need): Decision {
  const speaking = entries.filter(
    ({ resource, actions }) =>
      modelRank(resource, need) >= 0 && (actions.includes('All') || need.actions.some((one) => actions.includes(one))),
  )
  const best = Math.max(...speaking.map(({ resource }) => modelRank(resource, need)))
  const deciding = speaking.filter(({ resource }) => modelRank(resource, need) === best)
  if (deciding.length === 0) return 'unmatched'
  return deciding.some(({ decision }) => decision === 'Deny') ? 'denied' : 'allowed'
}

test('any policies decide as the model does', () => {
  const name = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 3 })
  const type = fc.constantFrom<'Topic' | 'Group'>('Topic', 'Group')
  const pattern = fc.oneof(
    fc.constant('*'),
    fc.tuple(type, name, fc.constantFrom('', '*')).map(([of, text, star]) => `${of}:${text}${star}`),
    type.map((of) => `${of}:*`),
  )
  const action = fc.constantFrom<Action>('Pub', 'Sub', 'Get', 'All')
  const entries = fc.array(
    fc.record({
      resource: pattern,
      actions: fc.array(action, { minLength: 1, maxLength: 2 }),
      sourceIps: fc.constant([]),
      decision: fc.constantFrom<'Allow' | 'Deny'>('Allow', 'Deny'),
    }),
    { maxLength: 6 },
  )
  const needed = fc.array(fc.constantFrom<Action>('Pub', 'Sub', 'Get'), { minLength: 1, maxLength: 2 })
  const need = fc.tuple(type, name, needed).map(([of, text, actions]): Need => ({ type: of, name: text, actions }))
  fc.assert(
    fc.property(entries, need, (all, wanted) => {
      expect(decide(policies(...all), wanted)).toBe(modelDecision(all, wanted))
    }),
    { numRuns: 2_000 },
  )
})
