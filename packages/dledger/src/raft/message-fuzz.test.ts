/**
 * Any numbers in any message, to a member in any role: nothing is broken by them.
 *
 * Only what proves a broken safety property may stop the member: a second leader in its term, a leader that lacks what is
 * committed or changes what it sent.
 */
import { AssertionError } from '@dledger-ts/base'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Message } from './messages.ts'
import { Cluster, ENTRY_BYTES } from './testing/cluster.ts'

const PROVES_A_BROKEN_LEADER = new Set([
  'one leader in a term',
  'one leader in a term is followed',
  'a leader has what is committed',
  'a truncation starts above commitIndex',
  'a leader never changes its own log',
])

const index = fc.oneof(fc.integer({ min: -2, max: 8 }), fc.constantFrom(Number.NaN, 1.5, 2 ** 53, -Infinity))
const term = fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 0, max: 4 }) }, fc.constantFrom(-1, 0.5, 2 ** 60))
const anyMessage = fc.record({
  type: fc.constantFrom(
    'PreVote',
    'PreVoteResponse',
    'RequestVote',
    'RequestVoteResponse',
    'AppendEntries',
    'AppendEntriesResponse',
    'Heartbeat',
    'HeartbeatResponse',
    'TimeoutNow',
    'ReadIndex',
    'ReadIndexResponse',
    'Recover',
    'RecoverResponse',
  ),
  from: fc.constantFrom('n0', 'n1', 'n2', 'n9'),
  to: fc.constant('n0'),
  storeId: fc.constantFrom('store-n0', 'store-n1', 'store-n2', 'another'),
  term,
  lastIndex: index,
  lastTerm: term,
  leaderAgrees: fc.boolean(),
  granted: fc.boolean(),
  prevIndex: index,
  prevTerm: term,
  count: index,
  entriesTerm: term,
  bytes: fc.constantFrom(0, 48, 400, 2 ** 40),
  commitIndex: index,
  success: fc.boolean(),
  matchIndex: index,
  conflictTerm: term,
  conflictFirstIndex: index,
  round: index,
  health: index,
  diskUsage: index,
  leaderCommit: index,
  freshRound: index,
  freshIncarnation: index,
  token: index,
  incarnation: index,
  nonce: index,
  recovering: fc.boolean(),
  index,
})

test('no message from outside breaks a member', () => {
  fc.assert(
    fc.property(fc.boolean(), fc.nat(4), fc.array(anyMessage, { maxLength: 30 }), (isLeader, proposals, messages) => {
      const cluster = new Cluster({ size: 3, random: () => 0 })
      const [member, other] = cluster.members
      if (member === undefined || other === undefined) return
      cluster.elect(isLeader ? member : other)
      for (let i = 0; i < proposals; i++) cluster.propose(isLeader ? member : other, 1)
      cluster.settle()
      const { raft } = member
      for (const message of messages) {
        try {
          raft.step(message as Message)
        } catch (error) {
          expect(error).toBeInstanceOf(AssertionError)
          expect(PROVES_A_BROKEN_LEADER).toContain((error as Error).message)
          return
        }
        const output = raft.takeOutput()
        if (output?.role?.role === 'LEADER' && !output.role.ready) raft.propose('noop', [ENTRY_BYTES])
        raft.takeOutput()
        if (output?.hardState !== null) raft.hardStatePersisted()
        if (output !== null && output.persistSeq > 0) raft.persisted(output.persistSeq)
        raft.checkInvariants()
      }
    }),
    { numRuns: Number(process.env['RAFT_RUNS'] ?? 2000) },
  )
})
