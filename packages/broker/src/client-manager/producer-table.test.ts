/** Producers by group. */
import { expect, test } from 'vitest'
import { ProducerTable } from './producer-table.ts'

const client = { clientId: 'c', language: 'JAVA', version: 479 }

test('a group is there while it has a connection; one that is silent, or gone, leaves what it was in', () => {
  const appeared: string[] = []
  const table = new ProducerTable<string>((group) => appeared.push(group))
  table.register('one', client, 'g', 0)
  table.register('two', client, 'g', 5)
  table.register('two', client, 'h', 5)
  expect(appeared).toEqual(['g', 'h'])
  expect(table.expire(10, 5)).toEqual(['one'])
  expect([...(table.members('g')?.keys() ?? [])]).toEqual(['two'])
  table.closed('two')
  expect(table.size).toBe(0)
  table.register('one', client, 'g', 20)
  table.unregister('one', 'g')
  table.closed('one')
  expect([table.size, appeared]).toEqual([0, ['g', 'h', 'g']])
})

test('a connection is in no more groups than clients have, and its end costs those alone', () => {
  const table = new ProducerTable<string>()
  for (let i = 0; i < 10_001; i++) table.register('one', client, `g${i}`, 0)
  expect([table.size, table.members('g10000')]).toEqual([10_000, undefined])
  table.register('one', client, 'g7', 3)
  expect(table.members('g7')?.get('one')?.lastSeenMs).toBe(3)
  for (let i = 0; i < 100_000; i++) {
    table.register(`c${i}`, { ...client, clientId: `c${i}` }, 'h', 0)
    table.closed(`c${i}`)
  }
  expect(table.size).toBe(10_000)
})
