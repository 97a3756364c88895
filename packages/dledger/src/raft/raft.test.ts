/**
 * The claims of Ongaro's dissertation and of raft's users, one test each. A claim that a planted fault would break is run with
 * that fault too, and must fail then.
 */
import { assert } from '@dledger-ts/base'
import { describe, expect, test } from 'vitest'
import type { AppendEntries, Message } from './messages.ts'
import type { RaftOptions } from './output.ts'
import { NO_FAULTS, type PlantedFault } from './planted-faults.ts'
import { Raft } from './raft.ts'
import { StorageHealth } from './storage-health.ts'
import { Cluster, ENTRY_BYTES, type TestMember } from './testing/cluster.ts'

function group(faults: ReadonlySet<PlantedFault> = NO_FAULTS, overrides: Partial<RaftOptions> = {}, size = 3) {
  const cluster = new Cluster({ size, random: (counter, bound) => (counter * 7) % bound, faults, overrides })
  const at = (place: number): TestMember => cluster.members[place] as TestMember
  return { cluster, at }
}

/** Runs what must hold, as it is and with the fault that would break it. */
function claim(name: string, fault: PlantedFault, holds: (faults: ReadonlySet<PlantedFault>) => void): void {
  test(name, () => {
    holds(NO_FAULTS)
    expect(() => holds(new Set([fault]))).toThrow()
  })
}

function lettersTo(cluster: Cluster, member: TestMember, type: Message['type']) {
  return cluster.network.filter((letter) => letter.message.to === member.id && letter.message.type === type)
}

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

describe('replication', () => {
  claim('an old entry on a majority is not committed by counting (§3.6.2)', 'commit-old-term-by-counting', (faults) => {
    const { cluster, at } = group(faults)
    cluster.elect(at(0))
    cluster.propose(at(0), 1)
    cluster.drain(at(0))
    cluster.network.length = 0
    while (cluster.completeLogWrite(at(0))) continue
    cluster.crash(at(0))
    cluster.start(at(0))
    for (const place of [1, 2]) at(place).raft.peerLost('n0')
    cluster.network.length = 0
    at(0).raft.campaign()
    // Only the entry of term 1 is taken by the others; the no-op behind it gets lost.
    for (let round = 0; round < 12; round++) {
      for (const member of cluster.members) {
        cluster.drain(member)
        while (cluster.completeHardStateWrite(member)) continue
        while (cluster.completeLogWrite(member)) continue
        while (cluster.answerColdRead(member, 1)) continue
        cluster.drain(member)
      }
      for (const letter of cluster.network.splice(0)) {
        const { message } = letter
        const carriesNoop = message.type === 'AppendEntries' && message.entriesTerm === 2
        if (carriesNoop && cluster.member(message.to).log.length > 1) continue
        cluster.deliver(letter)
        cluster.check()
      }
    }
    expect(at(1).log.map((entry) => entry.term)).toEqual([1, 1])
    assert(at(0).commitIndex <= 0, 'the entry of term 1 is not committed')
  })

  claim('an append of a deposed leader is refused (§3.3)', 'old-term-append-accepted', (faults) => {
    const { cluster, at } = group(faults)
    cluster.elect(at(0))
    cluster.propose(at(0), 1)
    cluster.drain(at(0))
    const late = lettersTo(cluster, at(1), 'AppendEntries')
    expect(late).toHaveLength(1)
    cluster.network.length = 0
    cluster.crash(at(0))
    cluster.elect(at(1))
    expect(at(1).log.map((entry) => entry.term)).toEqual([1, 2])
    for (const letter of late) {
      cluster.deliver({ ...letter, toStoreId: 'store-n2', message: { ...letter.message, to: 'n2' } })
    }
    cluster.check()
    assert(at(2).log[1]?.term === 2, 'the entry of term 2 stays')
  })

  claim('a late duplicate cuts nothing (§3.5)', 'truncate-on-late-duplicate', (faults) => {
    const { cluster, at } = group(faults)
    cluster.elect(at(0))
    cluster.propose(at(0), 1)
    cluster.drain(at(0))
    const late = lettersTo(cluster, at(1), 'AppendEntries')
    cluster.settle()
    cluster.propose(at(0), 2)
    cluster.settle()
    for (const letter of late) cluster.deliver(letter)
    assert(at(1).log.length === 4, 'nothing is cut')
    expect(lettersTo(cluster, at(0), 'AppendEntriesResponse').at(-1)?.message).toMatchObject({ matchIndex: 3 })
  })

  claim('an acknowledgement waits for the disk (§3.8)', 'ack-before-durable', (faults) => {
    const { cluster, at } = group(faults)
    cluster.elect(at(0))
    cluster.propose(at(0), 1)
    cluster.drain(at(0))
    for (const letter of cluster.network.splice(0)) cluster.deliver(letter)
    assert(lettersTo(cluster, at(0), 'AppendEntriesResponse').length === 0, 'nothing is acknowledged yet')
    cluster.completeLogWrite(at(1))
    cluster.drain(at(1))
    assert(lettersTo(cluster, at(0), 'AppendEntriesResponse').length === 1, 'it is acknowledged when durable')
  })

  claim(
    'a write that completes after its entries were replaced vouches for none of them',
    'persist-matched-by-index-only',
    (faults) => {
      const { cluster, at } = group(faults)
      cluster.elect(at(0))
      const append = (term: number, from: string): AppendEntries => ({
        type: 'AppendEntries',
        from,
        to: 'n2',
        storeId: `store-${from}`,
        term,
        prevIndex: 0,
        prevTerm: 1,
        count: 2,
        entriesTerm: term,
        bytes: 2 * ENTRY_BYTES,
        commitIndex: 0,
      })
      const { raft } = at(2)
      raft.step(append(1, 'n0'))
      const first = raft.takeOutput()
      raft.step(append(2, 'n1'))
      const second = raft.takeOutput()
      expect(second).toMatchObject({ truncateFrom: 1, append: { firstIndex: 1, lastIndex: 2, term: 2 } })
      raft.hardStatePersisted()
      raft.persisted(first?.persistSeq ?? -1)
      assert(raft.status().durableIndex === 0, 'the new entries are not durable yet')
      expect(raft.takeOutput()?.send).toMatchObject([{ type: 'AppendEntriesResponse', matchIndex: 0 }])
      raft.persisted(second?.persistSeq ?? -1)
      expect(raft.takeOutput()?.send).toMatchObject([{ type: 'AppendEntriesResponse', matchIndex: 2 }])
    },
  )

  test('a leader commits without its own disk, when the followers have it (§10.2.1)', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    cluster.propose(at(0), 1)
    cluster.drain(at(0))
    for (const letter of cluster.network.splice(0)) cluster.deliver(letter)
    for (const place of [1, 2]) {
      cluster.completeLogWrite(at(place))
      cluster.drain(at(place))
    }
    for (const letter of cluster.network.splice(0)) cluster.deliver(letter)
    expect(at(0).raft.status()).toMatchObject({ commitIndex: 1, durableIndex: 0 })
  })

  test('what is proposed in one pass goes to each follower in one append, one term each (§10.2.2)', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    for (let i = 0; i < 3; i++) cluster.propose(at(0), 1)
    cluster.drain(at(0))
    expect(cluster.network.map((letter) => letter.message)).toMatchObject([
      { type: 'AppendEntries', to: 'n1', prevIndex: 0, count: 3, bytes: 3 * ENTRY_BYTES },
      { type: 'AppendEntries', to: 'n2', prevIndex: 0, count: 3, bytes: 3 * ENTRY_BYTES },
    ])
  })

  test('appends go out ahead of their answers, within the window of bytes', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    cluster.propose(at(0), 15)
    cluster.drain(at(0))
    const counts = lettersTo(cluster, at(1), 'AppendEntries').map((letter) => (letter.message as AppendEntries).count)
    expect(counts).toEqual([4, 4, 2])
    expect(at(0).raft.status().peers[0]).toMatchObject({ inflightBytes: 10 * ENTRY_BYTES, nextIndex: 11 })
    cluster.settle()
    expect(at(0).commitIndex).toBe(15)
  })

  test('an entry that does not fit into the rest of the window waits', () => {
    const { cluster, at } = group(NO_FAULTS, { inflightBytesMax: 2.5 * ENTRY_BYTES })
    cluster.elect(at(0))
    cluster.propose(at(0), 3)
    cluster.drain(at(0))
    expect(at(0).raft.status().peers[0]).toMatchObject({ inflightBytes: 2 * ENTRY_BYTES, nextIndex: 3 })
    cluster.settle()
    expect(at(0).commitIndex).toBe(3)
  })

  test('an entry larger than the window goes alone', () => {
    const { cluster, at } = group(NO_FAULTS, { inflightBytesMax: 10, appendBytesMax: 10 })
    cluster.elect(at(0))
    cluster.propose(at(0), 3)
    cluster.drain(at(0))
    expect(lettersTo(cluster, at(1), 'AppendEntries')).toHaveLength(1)
    cluster.settle()
    expect(at(0).commitIndex).toBe(3)
  })

  test('too many uncommitted bytes are refused with BUSY, one proposal always goes', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    expect(at(0).raft.propose('data', Array<number>(21).fill(ENTRY_BYTES))).toEqual({ firstIndex: 1, term: 1 })
    expect(at(0).raft.propose('data', [ENTRY_BYTES])).toBe('BUSY')
  })

  test('entries that are no longer hot are read by the driver; sizes are kept for the newest only', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    const isReached = (from: string, to: string): boolean => from !== 'n2' && to !== 'n2'
    for (let i = 0; i < 20; i++) {
      cluster.propose(at(0), 1)
      cluster.settle(isReached)
    }
    expect(at(0).raft.status()).toMatchObject({ lastIndex: 20, hotFirstIndex: 15, hotBytes: 6 * ENTRY_BYTES })
    at(0).raft.peerConnected('n2', 'store-n2')
    cluster.drain(at(0))
    for (const letter of cluster.network.splice(0)) cluster.deliver(letter)
    cluster.drain(at(2))
    for (const letter of cluster.network.splice(0)) cluster.deliver(letter)
    for (const letter of cluster.network.splice(0)) cluster.deliver(letter)
    for (const letter of cluster.network.splice(0)) cluster.deliver(letter)
    cluster.drain(at(0))
    expect(at(0).coldReads).toEqual([{ peer: 'n2', firstIndex: 1, lastIndex: 14, bytesMax: 4 * ENTRY_BYTES }])
    expect(at(0).raft.status().peers[1]?.state).toBe('COLD')
    cluster.settle()
    expect(at(2).log).toEqual(at(0).log)
  })

  test('a cold read that fails is asked for again after the next heartbeat, not at once', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    cluster.crash(at(2))
    for (let i = 0; i < 10; i++) {
      cluster.propose(at(0), 1)
      cluster.settle()
    }
    cluster.start(at(2))
    at(0).raft.peerConnected('n2', 'store-n2')
    for (let i = 0; i < 20 && at(0).coldReads.length === 0; i++) {
      for (const letter of cluster.network.splice(0)) cluster.deliver(letter)
      for (const member of cluster.members) {
        cluster.drain(member)
        cluster.completeHardStateWrite(member)
        cluster.drain(member)
      }
    }
    expect(at(0).coldReads).toHaveLength(1)
    cluster.answerColdRead(at(0), 0)
    cluster.drain(at(0))
    expect(at(0).coldReads).toHaveLength(0)
    expect(cluster.network).toHaveLength(0)
    cluster.runUntil(() => at(2).log.length === at(0).log.length, 5)
  })

  test('a large cold entry waits until the window has room for it', () => {
    const { cluster, at } = group(NO_FAULTS, { appendBytesMax: ENTRY_BYTES, inflightBytesMax: 4 * ENTRY_BYTES })
    cluster.elect(at(0))
    const isReached = (from: string, to: string): boolean => from !== 'n2' && to !== 'n2'
    for (let i = 0; i < 20; i++) {
      cluster.propose(at(0), 1)
      cluster.settle(isReached)
    }
    at(0).raft.peerConnected('n2', 'store-n2')
    const inflight = (): number => at(0).raft.status().peers[1]?.inflightBytes ?? 0
    // Nothing written at n2 becomes durable, so it acknowledges nothing.
    for (let i = 0; i < 20 && (at(0).coldReads.length === 0 || inflight() === 0); i++) {
      if (at(0).coldReads.length > 0) cluster.answerColdRead(at(0), 1)
      for (const member of cluster.members) cluster.drain(member)
      for (const letter of cluster.network.splice(0)) cluster.deliver(letter)
      cluster.drain(at(0))
    }
    const before = inflight()
    const [asked] = at(0).coldReads.splice(0)
    expect(asked).toBeDefined()
    expect(before).toBeGreaterThan(0)
    at(0).raft.coldRead('n2', asked?.firstIndex ?? -1, 1, 4 * ENTRY_BYTES)
    cluster.drain(at(0))
    expect(inflight()).toBe(before)
    expect(at(0).coldReads).toHaveLength(0)
    at(0).raft.checkInvariants()
    cluster.settle()
    expect(at(2).log).toEqual(at(0).log)
  })

  claim('a follower commits only what it has compared (§3.5)', 'follower-commits-unverified', (faults) => {
    const { cluster, at } = group(faults)
    cluster.elect(at(0))
    // n2 has an entry of term 1 that n1, the leader of term 2, has not.
    cluster.propose(at(0), 1)
    cluster.drain(at(0))
    for (const letter of lettersTo(cluster, at(2), 'AppendEntries')) cluster.deliver(letter)
    cluster.network.length = 0
    const probe: Message = {
      type: 'AppendEntries',
      from: 'n1',
      to: 'n2',
      storeId: 'store-n1',
      term: 2,
      prevIndex: 0,
      prevTerm: 1,
      count: 0,
      entriesTerm: 0,
      bytes: 0,
      commitIndex: 1,
    }
    at(2).raft.step(probe)
    assert(at(2).raft.status().commitIndex === 0, 'the entry that was not compared is not committed')
  })

  test('late refusals of other appends than the one that is asked about change nothing', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    cluster.propose(at(0), 5)
    cluster.settle()
    const refusal = (prevIndex: number): Message => ({
      type: 'AppendEntriesResponse',
      from: 'n1',
      to: 'n0',
      storeId: 'store-n1',
      term: 1,
      success: false,
      matchIndex: -1,
      prevIndex,
      lastIndex: 0,
      conflictTerm: 1,
      conflictFirstIndex: 0,
      incarnation: 1,
      recovering: false,
    })
    const { raft } = at(0)
    // It has acknowledged more since.
    raft.step(refusal(3))
    expect(raft.takeOutput()).toBeNull()
    expect(raft.status().peers[0]).toMatchObject({ state: 'REPLICATE', matchIndex: 5, nextIndex: 6 })
    // Two appends are lost; the leader asks where the logs meet, and hears of the earlier one.
    cluster.propose(at(0), 1)
    cluster.drain(at(0))
    cluster.propose(at(0), 1)
    cluster.drain(at(0))
    raft.peerConnected('n1', 'store-n1')
    cluster.drain(at(0))
    expect(raft.status().peers[0]).toMatchObject({ state: 'PROBE', nextIndex: 8 })
    raft.step(refusal(6))
    expect(raft.takeOutput()).toBeNull()
    raft.step(refusal(7))
    expect(raft.status().peers[0]).toMatchObject({ state: 'PROBE', nextIndex: 6 })
  })

  test('one refusal skips a whole run of one term (§3.5)', () => {
    const { cluster, at } = group(NO_FAULTS, { hotBytesMax: 100 * ENTRY_BYTES, appendBytesMax: 100 * ENTRY_BYTES })
    cluster.elect(at(0))
    cluster.propose(at(0), 15)
    cluster.drain(at(0))
    cluster.network.length = 0
    while (cluster.completeLogWrite(at(0))) continue
    cluster.crash(at(0))
    cluster.elect(at(1))
    cluster.start(at(0))
    at(1).raft.peerConnected('n0', 'store-n0')
    cluster.drain(at(1))
    let refusals = 0
    for (let i = 0; i < 30; i++) {
      for (const letter of cluster.network.splice(0)) {
        if (letter.message.type === 'AppendEntriesResponse' && !letter.message.success) refusals++
        cluster.deliver(letter)
      }
      for (const member of cluster.members) {
        while (cluster.completeHardStateWrite(member)) continue
        while (cluster.completeLogWrite(member)) continue
        cluster.drain(member)
      }
    }
    expect(at(0).log).toEqual(at(1).log)
    expect(refusals).toBe(1)
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

describe('identities', () => {
  function bound(faults: ReadonlySet<PlantedFault>) {
    const { cluster, at } = group(faults)
    cluster.elect(at(0))
    cluster.bindIdentities(at(0))
    cluster.settle()
    return { cluster, at }
  }

  test('the first configuration entry binds all that were heard, once', () => {
    const { at } = bound(NO_FAULTS)
    const voters = ['n0', 'n1', 'n2'].map((id) => ({ id, storeId: `store-${id}`, address: null }))
    for (const place of [0, 1, 2]) expect(at(place).raft.configuration()).toEqual({ voters, learners: [] })
    expect(at(0).raft.configurationToPropose()).toBeNull()
  })

  claim('a wiped disk does not vote under its old name', 'identity-ignored', (faults) => {
    const { cluster, at } = bound(faults)
    cluster.crash(at(0))
    cluster.crash(at(2))
    cluster.wipe(at(2))
    cluster.start(at(2))
    at(1).raft.peerLost('n0')
    cluster.settle()
    assert(at(1).raft.status().role === 'PRE_CANDIDATE', 'its pre-vote does not count')
    expect(at(1).raft.status().refusedIdentities).toBeGreaterThan(0)
    expect(at(2).raft.status().term).toBe(0)
  })

  test('a member that missed the change of a store votes for the new one, whose log says so (§4.1)', () => {
    const { cluster, at } = bound(NO_FAULTS)
    const { raft } = at(1)
    const { lastIndex, lastTerm } = raft.status()
    const asked = { from: 'n2', to: 'n1', storeId: 'another store', term: 2, leaderAgrees: true } as const
    raft.step({ type: 'RequestVote', ...asked, lastIndex: lastIndex + 2, lastTerm })
    cluster.drain(at(1))
    cluster.completeHardStateWrite(at(1))
    expect(lettersTo(cluster, at(2), 'RequestVoteResponse').map(({ message }) => message)).toMatchObject([
      { granted: true, term: 2 },
    ])
    // What it then does not ask for itself it has no part in.
    raft.step({ type: 'RequestVoteResponse', ...asked, granted: true, recovering: false } as Message)
    expect(raft.status()).toMatchObject({ role: 'FOLLOWER', refusedIdentities: 1 })
  })

  test('the leader that is followed may give files, under whatever store the log still knows it', () => {
    const { at } = bound(NO_FAULTS)
    const { raft } = at(1)
    const { commitIndex, lastTerm } = raft.status()
    const leader = { from: 'n2', to: 'n1', storeId: 'another store', term: 2 } as const
    const piece = {
      type: 'InstallAck',
      ...leader,
      id: 0,
      nextIndex: 0,
      stateAt: -1,
      isOver: false,
      index: -1,
    } as Message
    expect(raft.hearsAsLeader(piece)).toBe(false)
    const nothing = { count: 0, entriesTerm: 0, bytes: 0, commitIndex } as const
    raft.step({ type: 'AppendEntries', ...leader, prevIndex: commitIndex, prevTerm: lastTerm, ...nothing })
    expect(raft.hearsAsLeader(piece)).toBe(true)
    expect(raft.hearsAsLeader({ ...piece, storeId: 'a third store' })).toBe(false)
  })

  test('a store that must be named grants where its log names it, or once did', () => {
    const grants = (overrides: Partial<RaftOptions>): boolean => {
      const { cluster, at } = group(NO_FAULTS, { bootstrapVoters: ['n1', 'n2'], mustBeNamed: true, ...overrides })
      at(0).raft.step({
        type: 'RequestVote',
        from: 'n1',
        to: 'n0',
        storeId: 'store-n1',
        term: 1,
        lastIndex: 8,
        lastTerm: 1,
        leaderAgrees: false,
      })
      cluster.drain(at(0))
      cluster.completeHardStateWrite(at(0))
      const answers = lettersTo(cluster, at(1), 'RequestVoteResponse').map(({ message }) => message)
      return answers.some((message) => message.type === 'RequestVoteResponse' && message.granted)
    }
    expect(grants({})).toBe(false)
    expect(grants({ wasNamed: true })).toBe(true)
  })

  test('a configuration is rolled back with its entry (§4.1)', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    cluster.bindIdentities(at(0))
    cluster.drain(at(0))
    expect(at(0).raft.configuration().voters[0]?.storeId).toBe('store-n0')
    cluster.network.length = 0
    cluster.completeLogWrite(at(0))
    cluster.crash(at(0))
    cluster.elect(at(1))
    cluster.start(at(0))
    expect(at(0).raft.status().configurationIndex).toBe(1)
    cluster.runUntil(() => at(0).log.length === 2 && at(0).log[1]?.term === 2, 10)
    expect(at(0).raft.status().configurationIndex).toBe(-1)
    expect(at(0).raft.configuration().voters[0]?.storeId).toBeNull()
  })

  test('no second configuration while one is not committed (§4.1)', () => {
    const { cluster, at } = group()
    cluster.elect(at(0))
    cluster.bindIdentities(at(0))
    expect(at(0).raft.configurationToPropose()).toBeNull()
    expect(at(0).raft.propose('configuration', [ENTRY_BYTES], at(0).raft.configuration())).toBe('NOT_READY')
  })
})

describe('messages from outside', () => {
  const good: AppendEntries = {
    type: 'AppendEntries',
    from: 'n0',
    to: 'n1',
    storeId: 'store-n0',
    term: 1,
    prevIndex: -1,
    prevTerm: 0,
    count: 1,
    entriesTerm: 1,
    bytes: 48,
    commitIndex: -1,
  }
  const rows: { name: string; message: Message }[] = [
    { name: 'to another member', message: { ...good, to: 'n2' } },
    { name: 'from this member', message: { ...good, from: 'n1' } },
    { name: 'term 0', message: { ...good, term: 0 } },
    { name: 'a fraction of a term', message: { ...good, term: 1.5 } },
    { name: 'a negative index', message: { ...good, prevIndex: -2 } },
    { name: 'not a number', message: { ...good, commitIndex: Number.NaN } },
    { name: 'entries of a later term than the leader', message: { ...good, entriesTerm: 2 } },
    { name: 'entries of an earlier term than the one before', message: { ...good, term: 3, prevTerm: 2 } },
    { name: 'entries smaller than their headers', message: { ...good, bytes: 47 } },
    { name: 'beyond 2^53', message: { ...good, prevIndex: Number.MAX_SAFE_INTEGER } },
    { name: 'of an unknown type', message: { ...good, type: 'Gossip' } as unknown as Message },
    {
      name: 'a vote of a stranger',
      message: { ...good, from: 'n9', type: 'RequestVoteResponse', granted: true, recovering: false } as Message,
    },
  ]
  test.each(rows)('$name: counted and ignored', ({ message }) => {
    const { at } = group()
    const { raft }: { raft: Raft } = at(1)
    raft.step(message)
    expect(raft.takeOutput()).toBeNull()
    expect(raft.status()).toMatchObject({ term: 0, ignoredMessages: 1 })
  })

  test('the unspoilt message is taken', () => {
    const { at } = group()
    expect(at(1).raft.step(good)).toEqual({ acceptedFirst: 0, acceptedCount: 1 })
  })
})

describe('a trimmed log', () => {
  test('a peer that needs what is gone gets heartbeats only, until it is said to have the files; then it is asked', () => {
    const { cluster, at } = group()
    at(0).raft.campaign()
    cluster.settle()
    const withoutTwo = (from: string, to: string): boolean => from !== 'n2' && to !== 'n2'
    cluster.propose(at(0), 6)
    cluster.settle(withoutTwo)
    const { raft } = at(0)
    expect(raft.status().commitIndex).toBe(6)
    raft.trimmed(5)
    raft.checkInvariants()
    raft.peerConnected('n2', 'store-n2')
    cluster.drain(at(0))
    expect(raft.peersToInstall()).toEqual([])
    for (let i = 0; i < 20 && raft.peersToInstall().length === 0; i++) {
      cluster.tick(at(0))
      cluster.settle()
    }
    expect(raft.peersToInstall()).toEqual(['n2'])
    cluster.propose(at(0), 1)
    cluster.drain(at(0))
    expect(lettersTo(cluster, at(2), 'AppendEntries')).toEqual([])
    cluster.settle(withoutTwo)
    raft.installed('n2', 6)
    cluster.drain(at(0))
    expect(lettersTo(cluster, at(2), 'AppendEntries').map(({ message }) => message)).toMatchObject([{ prevIndex: 6 }])
    expect(raft.peersToInstall()).toEqual([])
    raft.checkInvariants()
  })

  test('knows the term before its start, and the configuration in force there', () => {
    const { cluster, at } = group()
    at(0).raft.campaign()
    cluster.settle()
    cluster.propose(at(0), 6)
    cluster.settle()
    const { raft } = at(0)
    const before = raft.configuration()
    raft.trimmed(4)
    expect([raft.termAt(2), raft.termAt(3), raft.termAt(4)]).toEqual([-1, 1, 1])
    expect(raft.configuration()).toEqual(before)
    expect(() => raft.trimmed(20)).toThrow('applied')
  })
})
