/** Claims of Ongaro's dissertation and of raft's users about the log, one test each. */
import { assert } from '@dledger-ts/base'
import { describe, expect, test } from 'vitest'
import type { AppendEntries, Message } from './messages.ts'
import { ENTRY_BYTES } from './testing/cluster.ts'
import { NO_FAULTS } from './planted-faults.ts'
import { claim, group, lettersTo } from './testing/claims.ts'

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

  test('a commit that no entries carry is owed, where the caller says when, until it is told or entries tell it', () => {
    const { cluster, at } = group(NO_FAULTS, { tellsCommitWhenAsked: true })
    cluster.elect(at(0))
    cluster.propose(at(0), 1)
    cluster.settle()
    const { commitIndex } = at(0).raft.status()
    expect(commitIndex).toBe(1)
    expect(at(0).raft.owesCommitNotice).toBe(true)
    expect(at(1).raft.status().commitIndex).toBe(0)
    // The next entries tell it.
    cluster.propose(at(0), 1)
    cluster.settle()
    expect(at(1).raft.status().commitIndex).toBe(1)
    at(0).raft.tellCommit()
    expect(at(0).raft.owesCommitNotice).toBe(false)
    cluster.settle()
    expect([1, 2].map((place) => at(place).raft.status().commitIndex)).toEqual([2, 2])
    expect(at(1).raft.owesCommitNotice).toBe(false)
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
