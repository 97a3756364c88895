/** Claims of Ongaro's dissertation and of raft's users about who leads, one test each. */
import { assert } from '@dledger-ts/base'
import { describe, expect, test } from 'vitest'
import type { Message } from './messages.ts'
import { StorageHealth } from './storage-health.ts'
import { NO_FAULTS } from './planted-faults.ts'
import { Cluster, ENTRY_BYTES, type TestMember } from './testing/cluster.ts'
import { claim, group, lettersTo } from './testing/claims.ts'

/** Of the test's cluster. */
const ELECTION_TICKS = 4

describe('elections', () => {
  test('a group elects one leader, which is ready when its no-op is applied (§3.4, §6.4)', () => {
    const { cluster } = group()
    cluster.runUntil(() => cluster.leader?.role.ready === true, 20)
    const leader = cluster.leader as TestMember
    expect(leader.log).toEqual([{ term: 1, value: 'noop 1', configuration: null }])
    expect(cluster.members.map((member) => member.role.leader)).toEqual([leader.id, leader.id, leader.id])
  })

  test('a lone voter elects itself at the first tick, once its vote is durable', () => {
    const { cluster, at } = group(NO_FAULTS, {}, 1)
    cluster.tick(at(0))
    expect(at(0).role.role).toBe('CANDIDATE')
    cluster.completeHardStateWrite(at(0))
    cluster.drain(at(0))
    expect(at(0).role).toMatchObject({ role: 'LEADER', ready: false })
    cluster.settle()
    expect(at(0).role.ready).toBe(true)
    expect(cluster.propose(at(0), 2)).toBe(true)
    cluster.settle()
    expect(at(0).commitIndex).toBe(2)
  })

  test('under leases a lone voter waits, too: who led before it was alone may still read by what it promised', () => {
    const { cluster, at } = group(NO_FAULTS, { leaseReads: true }, 1)
    for (let tick = 0; tick < ELECTION_TICKS - 1; tick++) cluster.tick(at(0))
    expect(at(0).role).toMatchObject({ role: 'FOLLOWER', term: 0 })
    cluster.runUntil(() => cluster.leader?.role.ready === true, 2 * ELECTION_TICKS)
  })

  test('a candidate counts its own vote only when it is durable (§3.8)', () => {
    const { cluster, at } = group()
    at(0).raft.campaign()
    cluster.drain(at(0))
    for (const letter of cluster.network.splice(0)) cluster.deliver(letter)
    for (const letter of cluster.network.splice(0)) cluster.deliver(letter)
    expect(at(0).role.role).toBe('CANDIDATE')
    expect(cluster.network).toHaveLength(0)
    const { raft } = at(0)
    raft.step({
      type: 'RequestVoteResponse',
      from: 'n1',
      to: 'n0',
      storeId: 'store-n1',
      term: 1,
      granted: true,
      recovering: false,
    })
    expect(raft.status().role).toBe('CANDIDATE')
    cluster.completeHardStateWrite(at(0))
    expect(cluster.network.map((letter) => letter.message.type)).toEqual(['RequestVote', 'RequestVote'])
    expect(raft.status().role).toBe('LEADER')
  })

  claim('votes of an earlier election do not count in the present one (§3.3)', 'stale-response-counted', (faults) => {
    const { cluster, at } = group(faults)
    // n2 votes for n0 in term 1; its answer stays in the network.
    at(0).raft.campaign()
    cluster.settle((from, to) => from !== 'n1' && to !== 'n1' && !(from === 'n2' && at(0).raft.status().term === 1))
    expect(at(2).raft.status()).toMatchObject({ term: 1, votedFor: 'n0' })
    const late: Message = {
      type: 'RequestVoteResponse',
      from: 'n2',
      to: 'n0',
      storeId: 'store-n2',
      term: 1,
      granted: true,
      recovering: false,
    }
    // n0 gets to term 2 by n1's pre-vote, and asks again.
    at(0).raft.campaign()
    cluster.drain(at(0))
    for (const letter of lettersTo(cluster, at(1), 'PreVote')) cluster.deliver(letter)
    for (const letter of lettersTo(cluster, at(0), 'PreVoteResponse')) cluster.deliver(letter)
    cluster.completeHardStateWrite(at(0))
    expect(at(0).raft.status()).toMatchObject({ role: 'CANDIDATE', term: 2 })
    cluster.deliver({ message: late, entries: [], toStoreId: at(0).storeId })
    assert(at(0).raft.status().role === 'CANDIDATE', 'an old vote does not count')
  })

  test('a member that was cut off does not push up the term when it comes back (§9.6)', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    const isReached = (from: string, to: string): boolean => from !== 'n2' && to !== 'n2'
    for (let i = 0; i < 50; i++) {
      for (const member of cluster.members) cluster.tick(member)
      cluster.settle(isReached)
    }
    expect(at(2).raft.status()).toMatchObject({ role: 'PRE_CANDIDATE', term: 1 })
    cluster.runUntil(() => at(2).role.leader === 'n0', 5)
    expect(at(0).raft.status()).toMatchObject({ role: 'LEADER', term: 1 })
  })

  test('a leader that hears no majority for an election timeout steps down (§6.2)', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    for (let i = 0; i < 4; i++) {
      expect(at(0).role.role).toBe('LEADER')
      cluster.tick(at(0))
    }
    expect(at(0).role).toEqual({ role: 'FOLLOWER', term: 1, leader: null, ready: false })
  })

  test('a half-broken link does not cost the group its leader for good', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    // n1 hears nobody, everybody hears n1 (the outage that Howard and Abraham describe).
    const isReached = (_from: string, to: string): boolean => to !== 'n1'
    for (let i = 0; i < 60; i++) {
      for (const member of cluster.members) cluster.tick(member)
      cluster.settle(isReached)
      cluster.check()
    }
    expect(at(0).raft.status()).toMatchObject({ role: 'LEADER', term: 1, ready: true })
    expect(cluster.propose(at(0), 1)).toBe(true)
    cluster.settle(isReached)
    expect(at(0).commitIndex).toBe(1)
  })

  claim('a leader steps down when an answer has a higher term (§3.3)', 'no-step-down-on-higher-term', (faults) => {
    const { cluster, at } = group(faults)
    cluster.elect(at(0))
    const answer: Message = {
      type: 'HeartbeatResponse',
      from: 'n2',
      to: 'n0',
      storeId: 'store-n2',
      term: 9,
      round: 1,
      health: 0,
      incarnation: 0,
      diskUsage: 0,
    }
    cluster.deliver({ message: answer, entries: [], toStoreId: at(0).storeId })
    assert(at(0).raft.status().role === 'FOLLOWER' && at(0).raft.status().term === 9, 'the higher term counts')
  })

  test('a member restarts in the term that its log has, if its hard state was written later', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    at(1).durableHardState = { term: 0, votedFor: null }
    cluster.crash(at(1))
    cluster.start(at(1))
    cluster.drain(at(1))
    expect(at(1).raft.status()).toMatchObject({ term: 1, votedFor: null })
    expect(at(1).hardStateWrites).toEqual([{ term: 1, votedFor: null }])
  })
})

describe('leadership is handed over (§3.10)', () => {
  test('to the best matched follower, when none is named', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    cluster.propose(at(0), 1)
    cluster.settle((from, to) => from !== 'n1' && to !== 'n1')
    expect(at(0).raft.transferLeadership(null)).toBe(true)
    expect(at(0).raft.transferLeadership(null)).toBe(false)
    expect(at(0).raft.propose('data', [ENTRY_BYTES])).toBe('TRANSFERRING')
    cluster.settle()
    expect(cluster.leader?.id).toBe('n2')
  })

  test('not by a follower, not to itself, not to a stranger', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    expect(at(1).raft.transferLeadership(null)).toBe(false)
    expect(at(0).raft.transferLeadership('n0')).toBe(false)
    expect(at(0).raft.transferLeadership('n9')).toBe(false)
  })
})

describe('storage that is not well', () => {
  const heartbeats = (cluster: Cluster, count: number): void => {
    for (let i = 0; i < count; i++) {
      for (const member of cluster.members) cluster.tick(member)
      cluster.settle()
      cluster.check()
    }
  }

  test('makes a leader hand over to a level follower whose storage is well', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    at(1).raft.storageHealth(StorageHealth.SLOW)
    heartbeats(cluster, 2)
    expect(cluster.leader?.id).toBe('n0')
    at(0).raft.storageHealth(StorageHealth.SLOW)
    heartbeats(cluster, 2)
    expect(cluster.leader?.id).toBe('n2')
  })

  claim(
    'a leader whose storage hangs steps down, also when nobody is level',
    'hung-leader-keeps-heartbeating',
    (faults) => {
      const { cluster, at } = group(faults)
      cluster.elect(at(0))
      for (const place of [0, 1, 2]) at(place).raft.storageHealth(StorageHealth.SLOW)
      heartbeats(cluster, 20)
      assert(at(0).raft.status().role === 'FOLLOWER', 'it does not lead')
    },
  )

  test('keeps a member from standing, not from granting', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    at(1).raft.storageHealth(StorageHealth.SLOW)
    cluster.crash(at(0))
    at(1).raft.peerLost('n0')
    cluster.drain(at(1))
    expect(at(1).raft.status().role).toBe('FOLLOWER')
    at(2).raft.peerLost('n0')
    cluster.settle()
    expect(cluster.leader?.id).toBe('n2')
  })

  test('does not keep a lone voter from leading', () => {
    const cluster = new Cluster({ size: 1, random: () => 0 })
    const [member] = cluster.members
    member?.raft.storageHealth(StorageHealth.SLOW)
    cluster.runUntil(() => cluster.leader !== null, 20)
    heartbeats(cluster, 40)
    expect(cluster.leader).toBe(member)
  })

  test('full: data is refused, the no-op and configurations go on', () => {
    const { cluster, at } = group()
    for (const place of [0, 1, 2]) at(place).raft.storageHealth(StorageHealth.FULL)
    cluster.elect(at(0))
    expect(at(0).raft.status().ready).toBe(true)
    expect(at(0).raft.propose('data', [ENTRY_BYTES])).toBe('DISK_FULL')
    expect(cluster.bindIdentities(at(0))).toBe(true)
    cluster.settle()
    at(0).raft.storageHealth(0)
    expect(cluster.propose(at(0), 1)).toBe(true)
  })
})

test('a leader tells its followers of itself at once when asked to, and its ticks judge as before', () => {
  const { cluster, at } = group()
  cluster.elect(at(0))
  cluster.settle()
  const beats = (member: TestMember): number => {
    member.raft.beat()
    const sent = member.raft.takeOutput()?.send ?? []
    return sent.filter(({ type }) => type === 'Heartbeat').length
  }
  expect(beats(at(0))).toBe(2)
  expect(beats(at(1))).toBe(0)
  // Nobody answers: it leads no longer than without.
  for (let i = 0; i < ELECTION_TICKS; i++) {
    beats(at(0))
    at(0).raft.tick()
  }
  expect(at(0).raft.status().role).toBe('FOLLOWER')
})
