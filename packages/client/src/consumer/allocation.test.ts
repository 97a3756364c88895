/** The share of each member, as Apache's class computes it. */
import { readFileSync } from 'node:fs'
import type { MessageQueue } from '@dledger-ts/remoting'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { allocateAveragely } from './allocation.ts'

interface Row {
  readonly strategy: string
  readonly queues: number
  readonly consumers: number
  readonly result: Record<string, number[]>
}

const vectors = JSON.parse(
  readFileSync(new URL('../../../../test/vectors/client/allocation.json', import.meta.url), 'utf8'),
) as {
  rows: Row[]
}

function queuesOf(count: number): MessageQueue[] {
  return Array.from({ length: count }, (_, queueId) => ({ brokerName: 'b', queueId, topic: 'T' }))
}

describe('the average allocation', () => {
  it.each(vectors.rows)('shares $queues queues among $consumers members', ({ queues, consumers, result }) => {
    const members = Array.from({ length: consumers }, (_, i) => `c${i}`).reverse()
    const shares = Object.keys(result).map((self) => {
      const share = allocateAveragely({ queues: queuesOf(queues), members, self })
      return [self, share?.map(({ queueId }) => queueId)]
    })
    expect(Object.fromEntries(shares)).toEqual(result)
  })

  it('gives every queue to exactly one member', () => {
    fc.assert(
      fc.property(
        fc.nat(64),
        fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 20 }),
        (count, members) => {
          const queues = queuesOf(count)
          const given = members.flatMap((self) => allocateAveragely({ queues, members, self }) ?? [])
          expect(given.map(({ queueId }) => queueId).sort((a, b) => a - b)).toEqual(
            queues.map(({ queueId }) => queueId),
          )
        },
      ),
    )
  })

  it('knows nothing for a client that the group does not list', () => {
    expect(allocateAveragely({ queues: queuesOf(4), members: ['a', 'b'], self: 'c' })).toBeNull()
  })

  it('counts a member that is listed twice once', () => {
    expect(allocateAveragely({ queues: queuesOf(4), members: ['a', 'a', 'b'], self: 'b' })).toHaveLength(2)
  })
})
