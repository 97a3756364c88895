/** Whom a leader asks: connections of the group, known by heartbeats or by what they sent, that are open and take what is written. */
import type { Connection } from '@dledger-ts/remoting'
import { beforeEach, expect, test } from 'vitest'
import { TransactionProducers } from './transaction-producers.ts'

interface Line {
  isClosed: boolean
  unwrittenBytes: number
}

let heartbeats: Map<string, Map<Connection, unknown>>
let producers: TransactionProducers

beforeEach(() => {
  heartbeats = new Map()
  producers = new TransactionProducers({ members: (group) => heartbeats.get(group) })
})

function line(): Line & Connection {
  return { isClosed: false, unwrittenBytes: 0 } as unknown as Line & Connection
}

function beats(group: string, ...lines: Connection[]): void {
  heartbeats.set(group, new Map(lines.map((one) => [one, {}])))
}

/** What is chosen in as many turns. */
function chosen(group: string, turns = 8): Set<Connection | undefined> {
  return new Set(Array.from({ length: turns }, () => producers.choose(group)))
}

test('connections of the group take turns, whichever way they are known', () => {
  const [a, b, c, stranger] = [line(), line(), line(), line()]
  beats('pg', a, b)
  expect([producers.sent(c, 'pg'), producers.sent(stranger, 'other')]).toEqual([true, true])
  expect(chosen('pg')).toEqual(new Set([a, b, c]))
  expect(chosen('nobody')).toEqual(new Set([undefined]))
})

test('one that is closed or does not take what is written is passed over', () => {
  const [a, b, c] = [line(), line(), line()]
  beats('pg', a, b)
  producers.sent(c, 'pg')
  a.isClosed = true
  b.unwrittenBytes = 2 * 1024 * 1024
  expect(chosen('pg')).toEqual(new Set([c]))
  c.isClosed = true
  expect(chosen('pg')).toEqual(new Set([undefined]))
})

test('one that was closed is forgotten, and what comes from it late makes it known no more', () => {
  const a = line()
  producers.sent(a, 'pg')
  expect(producers.sent(a, 'pg')).toBe(false)
  a.isClosed = true
  producers.closed(a)
  expect(producers.sent(a, 'pg')).toBe(false)
  a.isClosed = false
  expect(producers.choose('pg')).toBeUndefined()
})

test('a connection is remembered for few groups, whatever it sends', () => {
  const a = line()
  for (let i = 0; i < 1_000; i++) producers.sent(a, `g${i}`)
  expect([producers.choose('g0'), producers.choose('g999')]).toEqual([a, undefined])
})
