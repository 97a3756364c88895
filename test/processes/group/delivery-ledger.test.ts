import { describe, expect, test } from 'vitest'
import { bodyOf, DeliveryLedger, type Acknowledged, type Consumed } from './delivery-ledger.ts'

function acknowledged(number: number, fields: Partial<Acknowledged> = {}): Acknowledged {
  return { key: `s-${number}`, tag: 'TagA', queueId: 0, queueOffset: number, msgId: `id${number}`, ...fields }
}

function consumed(number: number, fields: Partial<Consumed> = {}): Consumed {
  return { ...acknowledged(number), consumer: 'c1', body: bodyOf(`s-${number}`), atMs: number, ...fields }
}

const clean = { lost: [], redelivered: 0, storedTwice: 0, violations: [] }

interface Row {
  name: string
  given: (ledger: DeliveryLedger) => void
  expected: object
}

const rows: Row[] = [
  {
    name: 'a message that is consumed where it was acknowledged is not lost',
    given: (ledger) => {
      ledger.acknowledged(acknowledged(0))
      ledger.consumed(consumed(0))
    },
    expected: { ...clean, sent: 1, acknowledged: 1, consumed: 1 },
  },
  {
    name: 'an acknowledged message that nobody got is lost',
    given: (ledger) => ledger.acknowledged(acknowledged(0)),
    expected: { ...clean, sent: 1, acknowledged: 1, consumed: 0, lost: ['s-0'] },
  },
  {
    name: 'a message that is only elsewhere than acknowledged is lost',
    given: (ledger) => {
      ledger.acknowledged(acknowledged(0))
      ledger.consumed(consumed(0, { queueOffset: 7 }))
    },
    expected: { lost: ['s-0'] },
  },
  {
    name: 'a message at its queue offset but another physical offset is lost',
    given: (ledger) => {
      ledger.acknowledged(acknowledged(0))
      ledger.consumed(consumed(0, { msgId: 'other' }))
    },
    expected: { lost: ['s-0'] },
  },
  {
    name: 'a one-way message that nobody got is lost, a failed one is not',
    given: (ledger) => {
      ledger.oneway({ key: 's-0', tag: 'TagA' })
      ledger.failed({ key: 's-1', tag: 'TagA' })
    },
    expected: { ...clean, sent: 2, acknowledged: 0, consumed: 0, lost: ['s-0'] },
  },
  {
    name: 'a message that the subscription leaves out is neither lost nor wanted',
    given: (ledger) => {
      ledger.acknowledged(acknowledged(0, { tag: 'TagC' }))
      ledger.acknowledged(acknowledged(1, { tag: 'TagC' }))
      ledger.consumed(consumed(1, { tag: 'TagC' }))
    },
    expected: { lost: [], violations: ['c1 was given s-1 with TagC'] },
  },
  {
    name: 'the same place twice is a redelivery, the same key elsewhere was stored twice',
    given: (ledger) => {
      ledger.acknowledged(acknowledged(0))
      ledger.consumed(consumed(0))
      ledger.consumed(consumed(0, { consumer: 'c2' }))
      ledger.consumed(consumed(0, { queueOffset: 9, msgId: 'id9' }))
    },
    expected: { ...clean, sent: 1, acknowledged: 1, consumed: 1, redelivered: 1, storedTwice: 1 },
  },
  {
    name: 'two messages cannot be at one place',
    given: (ledger) => {
      ledger.acknowledged(acknowledged(0))
      ledger.acknowledged(acknowledged(1, { queueOffset: 0 }))
    },
    expected: { violations: ['0/0 holds s-0 and s-1'] },
  },
  {
    name: 'a message that was never sent, and one with the body of another, are violations',
    given: (ledger) => {
      ledger.consumed(consumed(0))
      ledger.acknowledged(acknowledged(1))
      ledger.consumed(consumed(1, { body: 'body of s-7' }))
    },
    expected: { violations: ['s-1 has the body of another: body of s-7', 's-0 was consumed but never sent'] },
  },
  {
    name: 'other series do not count',
    given: (ledger) => {
      ledger.acknowledged(acknowledged(0, { key: 't-0' }))
      ledger.acknowledged(acknowledged(1, { key: 's-x-1' }))
    },
    expected: { ...clean, sent: 0, acknowledged: 0, consumed: 0 },
  },
]

describe('the ledger of deliveries', () => {
  test.each(rows)('$name', ({ given, expected }) => {
    const ledger = new DeliveryLedger(['TagA', 'TagB'])
    given(ledger)
    expect(ledger.judge('s')).toMatchObject(expected)
  })

  test('it tells redeliveries of what was consumed long ago from those of late ones', () => {
    const ledger = new DeliveryLedger(['TagA'])
    for (const number of [1, 2, 3]) ledger.acknowledged(acknowledged(number))
    for (const number of [1, 2, 3]) ledger.consumed(consumed(number))
    for (const number of [2, 3]) ledger.consumed(consumed(number, { atMs: 100 }))
    expect(ledger.redeliveredAfterBeingConsumedBefore('s', 3)).toEqual(['s-2 at 0/2'])
  })
})
