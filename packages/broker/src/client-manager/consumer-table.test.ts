/** Members and subscriptions of consumer groups: who is told what when. */
import { describe, expect, test } from 'vitest'
import { CompiledExpressions } from '../filter/compiled-expressions.ts'
import { ConsumerTable, type GroupData } from './consumer-table.ts'
import { buildSubscription, type Subscription } from './subscription.ts'

const expressions = new CompiledExpressions()
const sub = (topic: string, expression: string, subVersion: number): Subscription =>
  buildSubscription({ topic, expression, expressionType: 'TAG', subVersion }, expressions) as Subscription

const data = (...subscriptions: Subscription[]): GroupData => ({
  groupName: 'g',
  consumeType: 'CONSUME_PASSIVELY',
  messageModel: 'CLUSTERING',
  consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET',
  subscriptions,
})

function setup() {
  const changes: string[][] = []
  const table = new ConsumerTable<string>((group) => changes.push(group.clientIds()))
  const beat = (
    channel: string,
    clientId: string,
    consumer: GroupData,
    extra: { nowMs?: number; fingerprint?: number; keep?: boolean } = {},
  ) =>
    table.register(channel, { clientId, language: 'JAVA', version: 479 }, consumer, {
      nowMs: extra.nowMs ?? 0,
      fingerprint: extra.fingerprint ?? 0,
      keepSubscriptions: extra.keep ?? false,
    })
  return { changes, table, beat }
}

test('a connection is in no more groups than clients have, and goes from all of them when it closes', () => {
  const { table, beat } = setup()
  for (let i = 0; i < 10_001; i++) beat('one', 'c1', { ...data(), groupName: `g${i}` })
  expect([table.size, table.group('g10000')]).toEqual([10_000, undefined])
  beat('two', 'c2', { ...data(), groupName: 'g10000' })
  beat('one', 'c1', data(sub('T', 'A', 1)))
  beat('one', 'c1', { ...data(sub('T', 'A', 1)), groupName: 'g7' })
  expect([table.group('g'), table.group('g7')?.subscriptions.size]).toEqual([undefined, 1])
  table.closed('one')
  expect(table.size).toBe(1)
})

test('a connection that wants something else of a topic is told, one that repeats itself or has a new topic is not', () => {
  const told: string[] = []
  const table = new ConsumerTable<string>(
    () => {},
    (channel, group, topic) => told.push(`${channel} ${group} ${topic}`),
  )
  const beat = (...subscriptions: Subscription[]) =>
    table.register('ch', { clientId: 'c', language: 'JAVA', version: 479 }, data(...subscriptions), {
      nowMs: 0,
      fingerprint: 0,
      keepSubscriptions: false,
    })
  beat(sub('T', 'a', 1))
  beat(sub('T', 'a', 2), sub('U', 'b', 2))
  expect(told).toEqual([])
  expect(table.group('g')?.supersededMs('ch', 'T', 0)).toBeUndefined()
  beat(sub('T', 'c', 3), sub('U', 'b', 3))
  beat(sub('T', 'c', 4), sub('U', 'b', 4))
  expect(told).toEqual(['ch g T'])
  const superseded = [2, 3].map((version) => table.group('g')?.supersededMs('ch', 'T', version))
  expect(superseded).toEqual([0, undefined])
  expect(table.group('g')?.supersededMs('other', 'T', 0)).toBeUndefined()
  expect(table.group('g')?.supersededMs('ch', 'U', 0)).toBeUndefined()
})

describe('members', () => {
  test('joining, leaving and closing are told, repeating a heartbeat is not', () => {
    const { changes, table, beat } = setup()
    beat('ch1', 'c1', data(sub('T', '*', 1)))
    beat('ch1', 'c1', data(sub('T', '*', 1)))
    beat('ch2', 'c2', data(sub('T', '*', 2)))
    table.unregister('ch1', 'g')
    table.closed('ch2')
    table.closed('ch2')
    expect(changes).toEqual([['c1'], ['c1', 'c2'], ['c2'], []])
    expect(table.group('g')).toBeUndefined()
  })

  test('a client that reconnected is listed once, and stays when its old connection closes', () => {
    const { table, beat } = setup()
    beat('old', 'c1', data())
    beat('new', 'c1', data())
    expect(table.group('g')?.clientIds()).toEqual(['c1'])
    table.closed('old')
    expect(table.group('g')?.clientIds()).toEqual(['c1'])
    expect(table.group('g')?.find('c1')?.channel).toBe('new')
  })

  test('silence for longer than the limit expires a member', () => {
    const { table, beat } = setup()
    beat('ch1', 'c1', data(), { nowMs: 0 })
    beat('ch2', 'c2', data(), { nowMs: 50 })
    expect(table.expire(120, 120)).toEqual([])
    expect(table.expire(121, 120)).toEqual(['ch1'])
    expect(table.group('g')?.clientIds()).toEqual(['c2'])
  })
})

describe('subscriptions', () => {
  test('the newer version wins, an older one changes nothing', () => {
    const { table, beat } = setup()
    beat('ch1', 'c1', data(sub('T', 'a', 5)))
    beat('ch2', 'c2', data(sub('T', 'b', 4)))
    expect(table.group('g')?.subscriptions.get('T')?.expression).toBe('a')
    beat('ch2', 'c2', data(sub('T', 'c', 6)))
    expect(table.group('g')?.subscriptions.get('T')?.expression).toBe('c')
    beat('ch2', 'c2', data(sub('T', 'd', 6)))
    expect(table.group('g')?.subscriptions.get('T')?.expression).toBe('d')
  })

  test('a topic that appears or disappears is told, a changed expression is not', () => {
    const { changes, beat } = setup()
    beat('ch1', 'c1', data(sub('T', 'a', 1)))
    beat('ch1', 'c1', data(sub('T', 'b', 2)))
    expect(changes).toHaveLength(1)
    beat('ch1', 'c1', data(sub('T', 'b', 2), sub('U', '*', 3)))
    beat('ch1', 'c1', data(sub('U', '*', 3)))
    expect(changes).toHaveLength(3)
  })

  test('a heartbeat without subscriptions keeps them, and asks for them when they may differ', () => {
    const { table, beat } = setup()
    expect(beat('ch1', 'c1', data(sub('T', 'a', 1)), { fingerprint: 11 })).toBe(false)
    expect(beat('ch1', 'c1', data(), { fingerprint: 11, keep: true })).toBe(false)
    expect(table.group('g')?.subscriptions.size).toBe(1)
    expect(beat('ch2', 'c2', data(), { fingerprint: 12, keep: true })).toBe(true)
  })
})

test('what subscription texts mean', () => {
  const rows: { text: string | undefined; codes: number[] | null | 'nothing' }[] = [
    { text: '*', codes: null },
    { text: '', codes: null },
    { text: undefined, codes: null },
    { text: 'TagA', codes: [2598919] },
    { text: ' TagA || Aa ||', codes: [2598919, 2112] },
    { text: '||', codes: 'nothing' },
  ]
  for (const { text, codes } of rows) {
    const built = buildSubscription(
      { topic: 'T', expression: text, expressionType: undefined, subVersion: 0 },
      expressions,
    )
    if (codes === 'nothing') expect(built).toBeNull()
    else expect(built?.tagCodes).toEqual(codes === null ? null : new Set(codes))
  }
})
