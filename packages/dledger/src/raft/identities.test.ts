/** Who is heard as whom, and what comes from outside. */
import { assert } from '@dledger-ts/base'
import { describe, expect, test } from 'vitest'
import type { AppendEntries, Message } from './messages.ts'
import { Raft } from './raft.ts'
import { ENTRY_BYTES } from './testing/cluster.ts'
import type { RaftOptions } from './output.ts'
import { NO_FAULTS, type PlantedFault } from './planted-faults.ts'
import { claim, group, lettersTo } from './testing/claims.ts'

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
