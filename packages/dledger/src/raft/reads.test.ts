/** The claims about reads without an entry in the log (Ongaro §6.4): read index, leases, and how fresh a follower is. */
import { describe, expect, test } from 'vitest'
import type { Output, RaftOptions, ReadOutcome } from './output.ts'
import type { Raft } from './raft.ts'
import { Cluster, type TestMember } from './testing/cluster.ts'

const ELECTION_TICKS = 4

function group(overrides: Partial<RaftOptions> = {}, size = 3) {
  const cluster = new Cluster({ size, random: (counter, bound) => (counter * 7) % bound, overrides })
  const at = (place: number): TestMember => cluster.members[place] as TestMember
  return { cluster, at }
}

/** A group led by n0. */
function led(overrides: Partial<RaftOptions> = {}, size = 3) {
  const made = group({ ...overrides, leaseReads: false }, size)
  made.cluster.elect(made.at(0))
  return made
}

function takeReads(raft: Raft): readonly ReadOutcome[] {
  return raft.takeOutput()?.reads ?? []
}

function roundOf(output: Output | null): number {
  const heartbeat = output?.send.find((message) => message.type === 'Heartbeat')
  return heartbeat?.round ?? -1
}

function tick(raft: Raft, count: number): void {
  for (let i = 0; i < count; i++) raft.tick()
}

describe('a read index', () => {
  test('is the commit index at the time of the round, and comes when a majority has answered it', () => {
    const { cluster, at } = led()
    cluster.propose(at(0), 3)
    cluster.settle()
    const { raft } = at(0)
    expect(raft.readIndex(7)).toBeNull()
    const output = raft.takeOutput()
    expect(output?.send.map((message) => message.type)).toEqual(['Heartbeat', 'Heartbeat'])
    expect(output?.reads).toEqual([])
    const round = roundOf(output)
    const answer = { type: 'HeartbeatResponse', to: 'n0', term: 1, health: 0, incarnation: 0, diskUsage: 0 } as const
    // An answer to an older round was perhaps sent before the read came.
    raft.step({ ...answer, from: 'n1', storeId: 'store-n1', round: round - 1 })
    expect(takeReads(raft)).toEqual([])
    raft.step({ ...answer, from: 'n1', storeId: 'store-n1', round })
    expect(takeReads(raft)).toEqual([{ token: 7, index: 3 }])
    raft.step({ ...answer, from: 'n1', storeId: 'store-n1', round })
    raft.step({ ...answer, from: 'n2', storeId: 'store-n2', round })
    expect(takeReads(raft)).toEqual([])
  })

  test('costs one round for all that come while another is under way', () => {
    const { at } = led()
    const { raft } = at(0)
    raft.readIndex(1)
    raft.readIndex(2)
    expect(raft.takeOutput()?.send).toHaveLength(2)
    for (let token = 3; token < 100; token++) raft.readIndex(token)
    expect(raft.takeOutput()).toBeNull()
  })

  test('is not given by a leader that has not applied its no-op', () => {
    const { cluster, at } = group()
    at(0).raft.campaign()
    cluster.drain(at(0))
    for (let i = 0; i < 12 && at(0).role.role !== 'LEADER'; i++) {
      for (const member of cluster.members) while (cluster.completeHardStateWrite(member)) continue
      for (const letter of cluster.network.splice(0)) cluster.deliver(letter)
    }
    expect(at(0).role).toMatchObject({ role: 'LEADER', ready: false })
    expect(at(0).raft.readIndex(1)).toBe('NOT_READY')
  })

  test('of a group of one comes at once, and sends nothing', () => {
    const { cluster, at } = group({}, 1)
    cluster.runUntil(() => at(0).role.ready, 5)
    at(0).raft.readIndex(5)
    const output = at(0).raft.takeOutput()
    expect(output?.reads).toEqual([{ token: 5, index: 0 }])
    expect(output?.send).toEqual([])
  })

  test('is refused once when the leadership is lost, also to a follower that asked', () => {
    const { cluster, at } = led()
    const { raft } = at(0)
    raft.readIndex(1)
    raft.takeOutput()
    raft.readIndex(2)
    raft.step({ type: 'ReadIndex', from: 'n1', to: 'n0', storeId: 'store-n1', term: 1, token: 9 })
    raft.step({
      type: 'HeartbeatResponse',
      from: 'n2',
      to: 'n0',
      storeId: 'store-n2',
      term: 5,
      round: 1,
      health: 0,
      incarnation: 0,
      diskUsage: 0,
    })
    const output = raft.takeOutput()
    expect(output?.reads).toEqual([
      { token: 1, index: -1 },
      { token: 2, index: -1 },
    ])
    expect(output?.sendAfterHardState).toMatchObject([{ type: 'ReadIndexResponse', to: 'n1', token: 9, index: -1 }])
    expect(raft.readIndex(3)).toBe('NOT_LEADER')
    cluster.network.length = 0
  })

  test('is asked for by a follower, answered once, and refused when another leader is followed', () => {
    const { at } = led()
    const { raft } = at(1)
    expect(raft.readIndex(1)).toBeNull()
    expect(raft.readIndex(2)).toBeNull()
    expect(raft.takeOutput()?.send).toMatchObject([
      { type: 'ReadIndex', to: 'n0', token: 1 },
      { type: 'ReadIndex', to: 'n0', token: 2 },
    ])
    const answer = { type: 'ReadIndexResponse', to: 'n1', term: 1 } as const
    raft.step({ ...answer, from: 'n2', storeId: 'store-n2', token: 1, index: 99 })
    expect(takeReads(raft)).toEqual([])
    raft.step({ ...answer, from: 'n0', storeId: 'store-n0', token: 1, index: 4 })
    raft.step({ ...answer, from: 'n0', storeId: 'store-n0', token: 1, index: 4 })
    expect(takeReads(raft)).toEqual([{ token: 1, index: 4 }])
    raft.campaign()
    expect(takeReads(raft)).toEqual([{ token: 2, index: -1 }])
    raft.forgetRead(2)
  })

  test('needs no answer of a learner: only voters are counted', () => {
    const { at } = led({}, 5)
    const { raft } = at(0)
    raft.readIndex(1)
    const round = roundOf(raft.takeOutput())
    const answer = {
      type: 'HeartbeatResponse',
      to: 'n0',
      term: 1,
      round,
      health: 0,
      incarnation: 0,
      diskUsage: 0,
    } as const
    raft.step({ ...answer, from: 'n1', storeId: 'store-n1' })
    raft.step({ ...answer, from: 'n1', storeId: 'store-n1' })
    raft.step({ ...answer, from: 'n9', storeId: 'store-n9' })
    expect(takeReads(raft)).toEqual([])
    raft.step({ ...answer, from: 'n4', storeId: 'store-n4' })
    expect(takeReads(raft)).toHaveLength(1)
  })
})

describe('how fresh a follower is', () => {
  test('it learns that all that was committed at one of its answers is within a commit index of the leader', () => {
    const { cluster, at } = led()
    expect(at(1).raft.freshRound).toBe(0)
    // Answered; the answer was there before the next round; which a majority answered; which the one after that tells.
    for (let i = 0; i < 3; i++) {
      cluster.tick(at(0))
      cluster.settle()
    }
    expect(at(1).raft.freshRound).toBe(1)
    cluster.propose(at(0), 2)
    cluster.settle()
    for (let i = 0; i < 2; i++) {
      cluster.tick(at(0))
      cluster.settle()
    }
    expect(at(1).raft.freshRound).toBeGreaterThan(1)
    expect(at(1).raft.freshCommit).toBe(2)
  })

  test('what a former life answered says nothing to this one, which may have answered the same round since', () => {
    const follower = group({ incarnation: 7 }).at(1).raft
    const beat = { type: 'Heartbeat', from: 'n0', to: 'n1', storeId: 'store-n0', term: 2, commitIndex: -1 } as const
    follower.step({ ...beat, round: 3, leaderCommit: 4, freshRound: 1, freshIncarnation: 6 })
    const answer = follower.takeOutput()?.sendAfterHardState.at(-1)
    expect(answer).toMatchObject({ type: 'HeartbeatResponse', round: 3, incarnation: 7 })
    follower.step({ ...beat, round: 5, leaderCommit: 4, freshRound: 3, freshIncarnation: 6 })
    expect(follower.freshRound).toBe(0)
    follower.step({ ...beat, round: 6, leaderCommit: 9, freshRound: 3, freshIncarnation: 7 })
    expect(follower).toMatchObject({ freshRound: 3, freshCommit: 9 })
  })

  test('a leader echoes who gave the answer', () => {
    const { at } = led({}, 3)
    const { raft } = at(0)
    const answer = {
      type: 'HeartbeatResponse',
      from: 'n1',
      to: 'n0',
      storeId: 'store-n1',
      term: 1,
      health: 0,
      diskUsage: 0,
    } as const
    const echoed: unknown[] = []
    for (let i = 0; i < 4; i++) {
      tick(raft, 2)
      const sent =
        raft.takeOutput()?.send.filter((message) => message.type === 'Heartbeat' && message.to === 'n1') ?? []
      for (const message of sent) {
        if (message.type !== 'Heartbeat') continue
        echoed.push([message.freshRound, message.freshIncarnation])
        raft.step({ ...answer, round: message.round, incarnation: 40 + message.round })
      }
    }
    expect(echoed.at(-1)).toEqual([expect.any(Number), expect.any(Number)])
    const [round, incarnation] = echoed.at(-1) as [number, number]
    expect(round).toBeGreaterThan(0)
    expect(incarnation).toBe(40 + round)
  })

  test('a leader that no majority answers tells nobody that anything is fresh', () => {
    const { cluster, at } = led({}, 5)
    const together = new Set(['n0', 'n1'])
    for (let i = 0; i < ELECTION_TICKS - 1; i++) {
      cluster.tick(at(0))
      cluster.settle((from, to) => together.has(from) && together.has(to))
    }
    expect(at(0).role.role).toBe('LEADER')
    expect(at(1).raft.freshRound).toBe(0)
  })
})

describe('where leases are on', () => {
  const vote = { type: 'RequestVote', from: 'n2', to: 'n1', storeId: 'store-n2', lastIndex: 9, lastTerm: 1 } as const
  const heartbeat = {
    type: 'Heartbeat',
    from: 'n0',
    to: 'n1',
    storeId: 'store-n0',
    term: 1,
    commitIndex: -1,
    round: 1,
    leaderCommit: -1,
    freshRound: 0,
    freshIncarnation: 0,
  } as const

  function follower(leaseReads: boolean): Raft {
    const { raft } = group({ leaseReads }).at(1)
    tick(raft, ELECTION_TICKS - 1)
    raft.step(heartbeat)
    raft.takeOutput()
    raft.hardStatePersisted()
    return raft
  }
  const answers = (raft: Raft) => {
    const output = raft.takeOutput()
    return [...(output?.send ?? []), ...(output?.sendAfterHardState ?? [])].map((message) => message.type)
  }

  test.each([true, false])(
    'a lost connection to the leader is a hint only where they are off (on: %s)',
    (leaseReads) => {
      const raft = follower(leaseReads)
      raft.peerLost('n0')
      expect(raft.status().role).toBe(leaseReads ? 'FOLLOWER' : 'PRE_CANDIDATE')
    },
  )

  test.each([true, false])('a higher term heard of does not end the promise to the leader (on: %s)', (leaseReads) => {
    const raft = follower(leaseReads)
    // From n2 as a candidate of term 2, to an old heartbeat of this member.
    raft.step({
      type: 'HeartbeatResponse',
      from: 'n2',
      to: 'n1',
      storeId: 'store-n2',
      term: 2,
      round: 1,
      health: 0,
      incarnation: 0,
      diskUsage: 0,
    })
    raft.takeOutput()
    raft.hardStatePersisted()
    raft.step({ ...vote, term: 2, leaderAgrees: false })
    expect(answers(raft)).toEqual(leaseReads ? [] : ['RequestVoteResponse'])
    tick(raft, ELECTION_TICKS - 1)
    raft.step({ ...vote, term: 2, leaderAgrees: false })
    expect(answers(raft)).toEqual(leaseReads ? [] : ['RequestVoteResponse'])
    tick(raft, 1)
    raft.takeOutput()
    raft.step({ ...vote, term: 2, leaderAgrees: false })
    expect(answers(raft)).toContain('RequestVoteResponse')
  })

  test('a voter that was started again votes for nobody, and stands for nothing, for an election timeout', () => {
    const { raft } = group({ leaseReads: true }).at(1)
    for (let i = 0; i < ELECTION_TICKS - 1; i++) {
      raft.tick()
      raft.step({ ...vote, type: 'PreVote', term: 1, leaderAgrees: false })
      raft.step({ ...vote, term: 2, leaderAgrees: false })
      expect(raft.takeOutput()?.send).toMatchObject([{ type: 'PreVoteResponse', granted: false }])
      expect(raft.status()).toMatchObject({ role: 'FOLLOWER', term: 0 })
    }
    raft.tick()
    raft.takeOutput()
    raft.step({ ...vote, term: 2, leaderAgrees: false })
    expect(raft.status().votedFor).toBe('n2')
  })

  test('the leader may still ask for another one', () => {
    const raft = follower(true)
    raft.step({ ...vote, term: 2, leaderAgrees: true })
    expect(raft.status().votedFor).toBe('n2')
  })

  test('a group elects, hands over, and elects again', () => {
    const { cluster, at } = group({ leaseReads: true })
    cluster.runUntil(() => cluster.leader?.role.ready === true, 20)
    const first = cluster.leader as TestMember
    first.raft.transferLeadership(null)
    cluster.runUntil(() => cluster.leader !== first && cluster.leader?.role.ready === true, 5)
    const second = cluster.leader as TestMember
    cluster.crash(second)
    cluster.runUntil(() => cluster.leader?.role.ready === true, 60)
    expect(at(0).isUp || at(1).isUp).toBe(true)
    cluster.heal(60)
  })
})
