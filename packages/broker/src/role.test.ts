/** The broker id that follows from what Raft says. */
import type { StoreStatus } from '@dledger-ts/store'
import { expect, test } from 'vitest'
import { type BrokerRole, roleOf } from './role.ts'
import { storeStatus } from './testing/store-status.ts'

const status = (given: Partial<StoreStatus>): StoreStatus => storeStatus({ self: 'n1', ...given })
const SLAVE_ID = 2
const follower: BrokerRole = { brokerId: SLAVE_ID, isLeader: false, name: 'FOLLOWER' }

const rows: { name: string; given: Partial<StoreStatus>; previous: BrokerRole | null; expected: BrokerRole | null }[] =
  [
    { name: 'no leader was ever seen: no role, nothing to register', given: {}, previous: null, expected: null },
    { name: 'a candidate that never saw a leader', given: { role: 'CANDIDATE' }, previous: null, expected: null },
    { name: 'a follower of a known leader', given: { leader: 'n0' }, previous: null, expected: follower },
    { name: 'a follower that lost its leader keeps its id', given: {}, previous: follower, expected: follower },
    {
      name: 'a leader whose first entry is not applied is no master yet',
      given: { role: 'LEADER', leader: 'n1' },
      previous: follower,
      expected: { brokerId: SLAVE_ID, isLeader: false, name: 'CANDIDATE' },
    },
    {
      name: 'a leader that applies its log again has no role before it takes writes',
      given: { role: 'LEADER', leader: 'n1' },
      previous: null,
      expected: null,
    },
    {
      name: 'a leader that takes writes is the master',
      given: { role: 'LEADER', leader: 'n1', ready: true },
      previous: null,
      expected: { brokerId: 0, isLeader: true, name: 'LEADER' },
    },
    {
      name: 'a leader that stepped down is a slave at once, whoever leads next',
      given: { role: 'CANDIDATE' },
      previous: { brokerId: 0, isLeader: true, name: 'LEADER' },
      expected: { brokerId: SLAVE_ID, isLeader: false, name: 'CANDIDATE' },
    },
  ]

test.each(rows)('$name', ({ given, previous, expected }) => {
  expect(roleOf(status(given), { slaveId: SLAVE_ID, classic: null }, previous)).toEqual(expected)
})

test('a slave has its role as soon as it has anything of its master, and none before', () => {
  const roleOfSlave = (given: Partial<StoreStatus>) =>
    roleOf(status(given), { slaveId: SLAVE_ID, classic: 'slave' }, null)
  expect([roleOfSlave({}), roleOfSlave({ appliedIndex: 0 })]).toEqual([null, follower])
})
