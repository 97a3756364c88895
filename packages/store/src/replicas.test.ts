/** What a leader tells of the others. */
import { DLedgerError } from '@dledger-ts/dledger'
import { expect, test } from 'vitest'
import { replicasOf } from './replicas.ts'

const ENTRY_BYTES = 1_000
const APPLIED = { index: 9, physicalEnd: 10_000 }

function logWith(matchIndex: number | null, connected = true) {
  const peer = { id: 'n1', connected, advertised: 'a m', matchIndex }
  return {
    status: () => ({ peers: [peer], commitIndex: 9 }),
    // Entry 5 is one of the log's own, what is before 3 is gone.
    read: (index: number) => {
      if (index < 3) return Promise.reject(new DLedgerError('gone', { code: 'TRIMMED', firstIndex: 3 }))
      const entry = { index, term: 1, pos: index * ENTRY_BYTES, body: Buffer.alloc(ENTRY_BYTES - 48) }
      return Promise.resolve(index === 5 ? null : entry)
    },
  } as unknown as Parameters<typeof replicasOf>[0]
}

test.each([
  ['with all that is committed', 9, true, { inSync: true, physicalEnd: 10_000 }],
  ['with more than that', 12, true, { inSync: true, physicalEnd: 10_000 }],
  ['that is behind', 7, true, { inSync: false, physicalEnd: 8_000 }],
  ['that ends with an entry of the log itself', 5, true, { inSync: false, physicalEnd: 5_000 }],
  ['that ends where the log is trimmed', 2, true, { inSync: false, physicalEnd: null }],
  ['of which nothing is known', null, true, { inSync: false, physicalEnd: null }],
  ['that is away', 9, false, { inSync: false, physicalEnd: 10_000 }],
])('a member %s', async (_, matchIndex, connected, expected) => {
  expect(await replicasOf(logWith(matchIndex, connected), APPLIED)).toEqual([
    { id: 'n1', connected, advertised: 'a m', ...expected },
  ])
})
