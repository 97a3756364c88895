/** What a member with lost entries does and leaves undone (R22, R23). */
import { describe, expect, test } from 'vitest'
import type { Configuration } from './configuration.ts'
import type { LostEntries } from './lost-entries.ts'
import type { Message } from './messages.ts'
import type { LogShape } from './output.ts'
import { Raft } from './raft.ts'
import { StorageHealth } from './storage-health.ts'

const lost = (firstIndex: number, lastIndex: number, changes: Partial<LostEntries> = {}): LostEntries => ({
  ranges: [{ firstIndex, lastIndex }],
  termsUnknown: false,
  configurationIsLost: false,
  ...changes,
})
const NOTHING: LostEntries = { ranges: [], termsUnknown: false, configurationIsLost: false }

/** A follower n1 of n0, in term 5, whose log has ten entries: 0 to 4 of term 4, 5 to 9 of term 5. */
function member(
  options: {
    lost?: LostEntries
    voters?: string[]
    appliedIndex?: number
    configurations?: LogShape['configurations']
  } = {},
): Raft {
  const log: LogShape = {
    firstIndex: 0,
    lastIndex: 9,
    prevTerm: 0,
    termRuns: [
      { firstIndex: 0, term: 4 },
      { firstIndex: 5, term: 5 },
    ],
    configurations: options.configurations ?? [],
    lost: options.lost ?? NOTHING,
  }
  return new Raft({
    self: 'n1',
    selfStoreId: 'store-n1',
    bootstrapVoters: options.voters ?? ['n0', 'n1', 'n2'],
    heartbeatTicks: 2,
    electionTicks: 10,
    random: { below: () => 0 },
    handover: {
      preferredLeader: null,
      stableTicks: 1,
      retryTicks: 1,
      unwellRetryTicks: 1,
      slowTicksMax: 100,
    },
    inflightBytesMax: 1 << 20,
    appendBytesMax: 1 << 20,
    uncommittedBytesMax: 1 << 20,
    hotBytesMax: 1 << 20,
    hardState: { term: 5, votedFor: null },
    log,
    appliedIndex: options.appliedIndex ?? -1,
  })
}

const from = { from: 'n0', to: 'n1', storeId: 'store-n0' } as const
function probe(commitIndex: number, prevIndex = 9, prevTerm = 5): Message {
  const nothing = { count: 0, entriesTerm: 0, bytes: 0 }
  return { ...from, type: 'AppendEntries', term: 5, prevIndex, prevTerm, ...nothing, commitIndex }
}
function sent(raft: Raft): Message[] {
  const output = raft.takeOutput()
  return output === null ? [] : [...output.send, ...output.sendAfterHardState]
}
function matchOf(raft: Raft): number | undefined {
  return sent(raft).findLast((message) => message.type === 'AppendEntriesResponse')?.matchIndex
}

describe('a member with lost entries', () => {
  test('does not stand for election, however long it hears nobody, and whoever asks it to', () => {
    const raft = member({ lost: lost(3, 4) })
    raft.step(probe(-1))
    sent(raft)
    raft.step({ ...from, type: 'TimeoutNow', term: 5 })
    raft.peerLost('n0')
    for (let i = 0; i < 100; i++) raft.tick()
    raft.campaign()
    expect(raft.status().role).toBe('FOLLOWER')
    expect(sent(raft)).toEqual([])
    raft.entriesLost(NOTHING)
    for (let i = 0; i < 30; i++) raft.tick()
    expect(raft.status().role).toBe('PRE_CANDIDATE')
  })

  test('gives up a campaign that it has begun', () => {
    const raft = member()
    for (let i = 0; i < 30; i++) raft.tick()
    expect(raft.status().role).toBe('PRE_CANDIDATE')
    raft.entriesLost(lost(3, 4))
    expect(raft.status().role).toBe('FOLLOWER')
  })

  test('votes by where its log ends, also when that is what is lost', () => {
    const raft = member({ lost: lost(5, 9) })
    const ask = (lastIndex: number, lastTerm: number): Message => {
      return { ...from, type: 'PreVote', term: 6, lastIndex, lastTerm, leaderAgrees: false }
    }
    raft.step(ask(8, 5))
    raft.step(ask(20, 4))
    expect(sent(raft)).toMatchObject([{ granted: false }, { granted: false }])
    raft.step(ask(9, 5))
    expect(sent(raft)).toMatchObject([{ granted: true }])
  })

  test('acknowledges what is before them while they are not known to be committed, and all when they are', () => {
    const raft = member({ lost: lost(6, 7) })
    raft.step(probe(4))
    expect(matchOf(raft)).toBe(5)
    raft.step(probe(6))
    expect(matchOf(raft)).toBe(6)
    raft.step(probe(8))
    expect(matchOf(raft)).toBe(9)
  })

  test('acknowledges the rest as soon as they are filled in', () => {
    const raft = member({ lost: lost(6, 7) })
    raft.step(probe(4))
    expect(matchOf(raft)).toBe(5)
    raft.entriesLost(NOTHING)
    expect(matchOf(raft)).toBe(9)
  })

  test('takes nothing that would end its log with one of them', () => {
    const raft = member({ lost: lost(6, 7) })
    const other = { count: 1, entriesTerm: 6, bytes: 100, commitIndex: 4 }
    raft.step({ ...from, type: 'AppendEntries', term: 6, prevIndex: 7, prevTerm: 5, ...other }, [100])
    expect(raft.takeOutput()).toMatchObject({ truncateFrom: null, append: null })
    raft.entriesLost(NOTHING)
    raft.step({ ...from, type: 'AppendEntries', term: 6, prevIndex: 7, prevTerm: 5, ...other }, [100])
    expect(raft.takeOutput()).toMatchObject({ truncateFrom: 8, append: { firstIndex: 8, lastIndex: 8 } })
  })

  test('says where its log is to be cut, once that waits for the entry before', () => {
    const raft = member({ lost: lost(3, 4) })
    const conflicting: Message = {
      ...from,
      type: 'AppendEntries',
      term: 6,
      prevIndex: 4,
      prevTerm: 4,
      ...one(6),
      commitIndex: 4,
    }
    expect(raft.blockedFrom).toBe(Number.POSITIVE_INFINITY)
    raft.step(conflicting, [68])
    expect(raft.blockedFrom).toBe(5)
    raft.entriesLost(NOTHING)
    expect(raft.blockedFrom).toBe(Number.POSITIVE_INFINITY)
    raft.step(conflicting, [68])
    expect(raft.takeOutput()?.truncateFrom).toBe(5)
    expect(raft.blockedFrom).toBe(Number.POSITIVE_INFINITY)
  })

  test('forgets them when the leader has other entries there', () => {
    const raft = member({ lost: lost(6, 7) })
    const other = { count: 1, entriesTerm: 6, bytes: 100, commitIndex: 4 }
    raft.step({ ...from, type: 'AppendEntries', term: 6, prevIndex: 5, prevTerm: 5, ...other }, [100])
    const output = raft.takeOutput()
    expect(output).toMatchObject({ truncateFrom: 6 })
    raft.persisted(output?.persistSeq ?? 0)
    expect(matchOf(raft)).toBe(6)
  })

  test('compares nothing while their terms are not known, and everything once they are', () => {
    const raft = member({ lost: lost(3, 7, { termsUnknown: true }) })
    raft.step(probe(9))
    expect(matchOf(raft)).toBeUndefined()
    raft.termsLearned([
      { firstIndex: 0, term: 4 },
      { firstIndex: 4, term: 5 },
    ])
    raft.entriesLost(NOTHING)
    expect(raft.termAt(4)).toBe(5)
    raft.step(probe(9))
    expect(matchOf(raft)).toBe(9)
  })

  test('says so in its answers to heartbeats', () => {
    const raft = member({ lost: lost(3, 4) })
    const heartbeat = { commitIndex: -1, leaderCommit: -1, freshRound: 0, freshIncarnation: 0 }
    raft.step({ ...from, type: 'Heartbeat', term: 5, round: 1, ...heartbeat })
    expect(sent(raft)).toMatchObject([{ type: 'HeartbeatResponse', health: StorageHealth.TAINTED }])
    raft.entriesLost(NOTHING)
    raft.step({ ...from, type: 'Heartbeat', term: 5, round: 2, ...heartbeat })
    expect(sent(raft)).toMatchObject([{ type: 'HeartbeatResponse', health: 0 }])
  })

  test('leads when it is alone in its group, unless a configuration may be lost', () => {
    const alone = member({ lost: lost(3, 4), voters: ['n1'] })
    alone.campaign()
    expect(alone.takeOutput()).not.toBeNull()
    expect(alone.status().role).not.toBe('FOLLOWER')
    const doubtful = member({ lost: lost(3, 4, { configurationIsLost: true }), voters: ['n1'] })
    for (let i = 0; i < 30; i++) doubtful.tick()
    expect(doubtful.status().role).toBe('FOLLOWER')
  })

  test('commits what it leads alone, though no commit index told of what is lost', () => {
    const alone = member({ lost: lost(3, 4), voters: ['n1'], appliedIndex: 1 })
    alone.campaign()
    alone.takeOutput()
    alone.hardStatePersisted()
    alone.takeOutput()
    expect(alone.status().role).toBe('LEADER')
    alone.propose('noop', [68])
    alone.persisted(alone.takeOutput()?.persistSeq ?? 0)
    expect(alone.status().commitIndex).toBe(10)
  })
})

test('a configuration is taken after one that is lost, from which it differs by one voter, and not by one that is known', () => {
  const of = (storeId: string, isVoter: boolean): Configuration => {
    const others = ['n1', 'n2'].map((id) => ({ id, storeId: `store-${id}`, address: null }))
    const replaced = { id: 'n0', storeId, address: null }
    return isVoter
      ? { voters: [replaced, ...others], learners: [] }
      : { voters: others, learners: [{ ...replaced, promote: true }] }
  }
  const known = [{ index: 1, configuration: of('store-n0', true) }]
  const again = of('another store', true)
  // Entry 3 has taken the other store in as a learner.
  const raft = member({ lost: lost(3, 3, { configurationIsLost: true }), configurations: known })
  raft.configurationAppended(9, again)
  expect(raft.configuration()).toEqual(again)
  raft.configurationRestored(3, of('another store', false))
  expect(raft.configuration()).toEqual(again)
  expect(() => member({ lost: lost(3, 3), configurations: known }).configurationAppended(9, again)).toThrow('one voter')
})

test('a message of repair is heard only from members of the group', () => {
  const raft = member()
  const request = { type: 'RepairRequest', term: 1, firstIndex: 0, lastIndex: 1, bytesMax: 10, to: 'n1' } as const
  expect(raft.hears({ ...request, from: 'n2', storeId: 'store-n2' })).toBe(true)
  expect(raft.hears({ ...request, from: 'n7', storeId: 'store-n7' })).toBe(false)
  expect(raft.hears({ ...request, from: 'n2', storeId: 'store-n2', firstIndex: -1 })).toBe(false)
})

function one(entriesTerm: number): { count: number; entriesTerm: number; bytes: number } {
  return { count: 1, entriesTerm, bytes: 68 }
}
