/**
 * What each role does at each event, in one table: a cell that is missing does not compile, be it that a role, an event or a type
 * of message was added.
 *
 * The member is n1 of n0, n1, n2, in term 5, its log empty (the leader's holds its no-op); n0 is the leader where there is
 * another one. A cell reads: role and term afterwards, then what is sent.
 */
import { describe, expect, test } from 'vitest'
import type { Message } from './messages.ts'
import type { Output, Role } from './output.ts'
import { Raft } from './raft.ts'
import { ENTRY_BYTES } from './testing/cluster.ts'
import { describeMessage } from './testing/describe-message.ts'

type EventType =
  | 'an election timeout passes'
  | 'the connection to the leader is lost'
  | 'PreVote for term 6'
  | 'PreVote for term 6, the leader agrees'
  | 'RequestVote of term 4'
  | 'RequestVote of term 5'
  | 'RequestVote of term 6'
  | 'RequestVote of term 6, the leader agrees'
  | 'AppendEntries of term 4'
  | 'AppendEntries of term 5'
  | 'AppendEntries of term 6'
  | 'Heartbeat of term 4'
  | 'Heartbeat of term 5'
  | 'Heartbeat of term 6'
  | 'TimeoutNow of term 5'
  | 'PreVoteResponse granted for term 6'
  | 'PreVoteResponse refused in term 7'
  | 'RequestVoteResponse granted in term 4'
  | 'RequestVoteResponse granted in term 5'
  | 'RequestVoteResponse refused in term 6'
  | 'AppendEntriesResponse of term 4'
  | 'AppendEntriesResponse of term 6'
  | 'HeartbeatResponse of term 6'
  | 'ReadIndex of term 4'
  | 'ReadIndex of term 6'
  | 'ReadIndexResponse of term 5'
  | 'ReadIndexResponse of term 6'
  | 'RepairRequest of term 4'
  | 'RepairResponse of term 4'
  | 'InstallOffer of term 6'
  | 'InstallPiece of term 6'
  | 'InstallAck of term 6'
  | 'data is proposed'
  | 'Recover of term 4'
  | 'Recover of term 5'
  | 'Recover of term 6'
  | 'RecoverResponse of term 5'
  | 'RecoverResponse of term 6'
  | 'a read is asked for'
type Expected = string

/** A type of message for which the table has no event does not compile. */
type WithoutEvent = {
  [Type in Message['type']]: [Extract<EventType, `${Type} ${string}`>] extends [never] ? Type : never
}[Message['type']]
const everyMessageHasAnEvent: [WithoutEvent] extends [never] ? true : WithoutEvent = true

const base = { from: 'n0', to: 'n1', storeId: 'store-n0' } as const
const upToDate = { ...base, lastIndex: 9, lastTerm: 5 } as const
const empty = { prevIndex: -1, prevTerm: 0, count: 0, entriesTerm: 0, bytes: 0, commitIndex: -1 } as const
const answer = { incarnation: 3, nonce: 1, lastIndex: 0 } as const
const matches = {
  success: true,
  matchIndex: 0,
  prevIndex: -1,
  lastIndex: 0,
  conflictTerm: 0,
  conflictFirstIndex: 0,
  incarnation: 0,
  recovering: false,
} as const

const vote = (term: number, leaderAgrees = false): Message => ({
  ...upToDate,
  type: 'RequestVote',
  term,
  lastTerm: Math.min(term, 5),
  leaderAgrees,
})
const step = (message: Message) => (raft: Raft) => void raft.step(message)

const events: Record<EventType, (raft: Raft) => unknown> = {
  'an election timeout passes': (raft) => {
    for (let i = 0; i < 10; i++) raft.tick()
  },
  'the connection to the leader is lost': (raft) => raft.peerLost('n0'),
  'PreVote for term 6': step({ ...upToDate, type: 'PreVote', term: 6, leaderAgrees: false }),
  'PreVote for term 6, the leader agrees': step({ ...upToDate, type: 'PreVote', term: 6, leaderAgrees: true }),
  'RequestVote of term 4': step(vote(4)),
  'RequestVote of term 5': step(vote(5)),
  'RequestVote of term 6': step(vote(6)),
  'RequestVote of term 6, the leader agrees': step(vote(6, true)),
  'AppendEntries of term 4': step({ ...base, ...empty, type: 'AppendEntries', term: 4 }),
  'AppendEntries of term 5': step({ ...base, ...empty, type: 'AppendEntries', term: 5 }),
  'AppendEntries of term 6': step({ ...base, ...empty, type: 'AppendEntries', term: 6 }),
  'Heartbeat of term 4': step({
    ...base,
    type: 'Heartbeat',
    term: 4,
    commitIndex: -1,
    round: 7,
    leaderCommit: -1,
    freshRound: 0,
    freshIncarnation: 0,
  }),
  'Heartbeat of term 5': step({
    ...base,
    type: 'Heartbeat',
    term: 5,
    commitIndex: -1,
    round: 7,
    leaderCommit: -1,
    freshRound: 0,
    freshIncarnation: 0,
  }),
  'Heartbeat of term 6': step({
    ...base,
    type: 'Heartbeat',
    term: 6,
    commitIndex: -1,
    round: 7,
    leaderCommit: -1,
    freshRound: 0,
    freshIncarnation: 0,
  }),
  'TimeoutNow of term 5': step({ ...base, type: 'TimeoutNow', term: 5 }),
  'PreVoteResponse granted for term 6': step({
    ...base,
    type: 'PreVoteResponse',
    term: 6,
    granted: true,
    recovering: false,
  }),
  'PreVoteResponse refused in term 7': step({
    ...base,
    type: 'PreVoteResponse',
    term: 7,
    granted: false,
    recovering: false,
  }),
  'RequestVoteResponse granted in term 4': step({
    ...base,
    type: 'RequestVoteResponse',
    term: 4,
    granted: true,
    recovering: false,
  }),
  'RequestVoteResponse granted in term 5': step({
    ...base,
    type: 'RequestVoteResponse',
    term: 5,
    granted: true,
    recovering: false,
  }),
  'RequestVoteResponse refused in term 6': step({
    ...base,
    type: 'RequestVoteResponse',
    term: 6,
    granted: false,
    recovering: false,
  }),
  'AppendEntriesResponse of term 4': step({ ...base, ...matches, type: 'AppendEntriesResponse', term: 4 }),
  'AppendEntriesResponse of term 6': step({ ...base, ...matches, type: 'AppendEntriesResponse', term: 6 }),
  'HeartbeatResponse of term 6': step({
    ...base,
    type: 'HeartbeatResponse',
    term: 6,
    round: 1,
    health: 0,
    incarnation: 0,
    diskUsage: 0,
  }),
  'ReadIndex of term 4': step({ ...base, type: 'ReadIndex', term: 4, token: 3 }),
  'ReadIndex of term 6': step({ ...base, type: 'ReadIndex', term: 6, token: 3 }),
  'ReadIndexResponse of term 5': step({ ...base, type: 'ReadIndexResponse', term: 5, token: 3, index: 0 }),
  'ReadIndexResponse of term 6': step({ ...base, type: 'ReadIndexResponse', term: 6, token: 3, index: -1 }),
  'Recover of term 4': step({ ...base, type: 'Recover', term: 4, incarnation: 3, nonce: 1 }),
  'Recover of term 5': step({ ...base, type: 'Recover', term: 5, incarnation: 3, nonce: 1 }),
  'Recover of term 6': step({ ...base, type: 'Recover', term: 6, incarnation: 3, nonce: 1 }),
  'RecoverResponse of term 5': step({ ...base, ...answer, type: 'RecoverResponse', term: 5 }),
  'RecoverResponse of term 6': step({ ...base, ...answer, type: 'RecoverResponse', term: 6 }),
  'a read is asked for': (raft) => raft.readIndex(3),
  'RepairRequest of term 4': step({
    ...base,
    type: 'RepairRequest',
    term: 4,
    firstIndex: 0,
    lastIndex: 0,
    bytesMax: 100,
  }),
  'RepairResponse of term 4': step({ ...base, type: 'RepairResponse', term: 4, firstIndex: 0, count: 0, bytes: 0 }),
  'InstallOffer of term 6': step({
    ...base,
    type: 'InstallOffer',
    term: 6,
    id: 0,
    firstIndex: 5,
    prevTerm: 5,
    prevEndPos: 100,
    prevChain: 1,
    lastIndex: 9,
    lastTerm: 6,
    snapshotIndex: 7,
    snapshotId: 's',
    configurationIndex: -1,
    bytes: 0,
    crc: 0,
  }),
  'InstallPiece of term 6': step({
    ...base,
    type: 'InstallPiece',
    term: 6,
    id: 0,
    isState: true,
    at: 0,
    count: 0,
    entriesTerm: 0,
    isLast: true,
    bytes: 0,
    crc: 0,
  }),
  'InstallAck of term 6': step({
    ...base,
    type: 'InstallAck',
    term: 6,
    id: 0,
    nextIndex: 5,
    stateAt: 0,
    isOver: false,
    index: -1,
  }),
  'data is proposed': (raft) => raft.propose('data', [ENTRY_BYTES]),
}

const table: Record<Role, Record<EventType, Expected>> = {
  FOLLOWER: {
    'an election timeout passes': 'PRE_CANDIDATE 5; n0 PreVote term=6 last=-1/0; n2 PreVote term=6 last=-1/0',
    'the connection to the leader is lost': 'PRE_CANDIDATE 5; n0 PreVote term=6 last=-1/0; n2 PreVote term=6 last=-1/0',
    'PreVote for term 6': 'FOLLOWER 5; n0 PreVoteResponse term=5 refused',
    'PreVote for term 6, the leader agrees': 'FOLLOWER 5; n0 PreVoteResponse term=6 granted',
    'RequestVote of term 4': 'FOLLOWER 5; n0 RequestVoteResponse term=5 refused',
    'RequestVote of term 5': 'FOLLOWER 5; n0 RequestVoteResponse term=5 refused',
    'RequestVote of term 6': 'FOLLOWER 5',
    'RequestVote of term 6, the leader agrees': 'FOLLOWER 6; n0 RequestVoteResponse term=6 granted',
    'AppendEntries of term 4': 'FOLLOWER 5; n0 AppendEntriesResponse term=5 refused prev=-1 last=-1 conflict=0/0',
    'AppendEntries of term 5': 'FOLLOWER 5; n0 AppendEntriesResponse term=5 match=-1',
    'AppendEntries of term 6': 'FOLLOWER 6; n0 AppendEntriesResponse term=6 match=-1',
    'Heartbeat of term 4': 'FOLLOWER 5; n0 HeartbeatResponse term=5',
    'Heartbeat of term 5': 'FOLLOWER 5; n0 HeartbeatResponse term=5',
    'Heartbeat of term 6': 'FOLLOWER 6; n0 HeartbeatResponse term=6',
    'TimeoutNow of term 5':
      'PRE_CANDIDATE 5; n0 PreVote term=6 last=-1/0 leader agrees; n2 PreVote term=6 last=-1/0 leader agrees',
    'PreVoteResponse granted for term 6': 'FOLLOWER 5',
    'PreVoteResponse refused in term 7': 'FOLLOWER 7',
    'RequestVoteResponse granted in term 4': 'FOLLOWER 5',
    'RequestVoteResponse granted in term 5': 'FOLLOWER 5',
    'RequestVoteResponse refused in term 6': 'FOLLOWER 6',
    'AppendEntriesResponse of term 4': 'FOLLOWER 5',
    'AppendEntriesResponse of term 6': 'FOLLOWER 6',
    'HeartbeatResponse of term 6': 'FOLLOWER 6',
    'ReadIndex of term 4': 'FOLLOWER 5; n0 ReadIndexResponse term=5 token=3 refused',
    'ReadIndex of term 6': 'FOLLOWER 5; n0 ReadIndexResponse term=5 token=3 refused',
    'ReadIndexResponse of term 5': 'FOLLOWER 5',
    'ReadIndexResponse of term 6': 'FOLLOWER 6',
    'Recover of term 4': 'FOLLOWER 5',
    'Recover of term 5': 'FOLLOWER 5',
    'Recover of term 6': 'FOLLOWER 6',
    'RecoverResponse of term 5': 'FOLLOWER 5',
    'RecoverResponse of term 6': 'FOLLOWER 6',
    'a read is asked for': 'FOLLOWER 5; n0 ReadIndex term=5 token=3',
    'RepairRequest of term 4': 'FOLLOWER 5',
    'RepairResponse of term 4': 'FOLLOWER 5',
    'InstallOffer of term 6': 'FOLLOWER 5',
    'InstallPiece of term 6': 'FOLLOWER 5',
    'InstallAck of term 6': 'FOLLOWER 5',
    'data is proposed': 'FOLLOWER 5; NOT_LEADER',
  },
  PRE_CANDIDATE: {
    'an election timeout passes': 'PRE_CANDIDATE 5; n0 PreVote term=6 last=-1/0; n2 PreVote term=6 last=-1/0',
    'the connection to the leader is lost': 'PRE_CANDIDATE 5',
    'PreVote for term 6': 'PRE_CANDIDATE 5; n0 PreVoteResponse term=6 granted',
    'PreVote for term 6, the leader agrees': 'PRE_CANDIDATE 5; n0 PreVoteResponse term=6 granted',
    'RequestVote of term 4': 'PRE_CANDIDATE 5; n0 RequestVoteResponse term=5 refused',
    'RequestVote of term 5': 'FOLLOWER 5; n0 RequestVoteResponse term=5 granted',
    'RequestVote of term 6': 'FOLLOWER 6; n0 RequestVoteResponse term=6 granted',
    'RequestVote of term 6, the leader agrees': 'FOLLOWER 6; n0 RequestVoteResponse term=6 granted',
    'AppendEntries of term 4': 'PRE_CANDIDATE 5; n0 AppendEntriesResponse term=5 refused prev=-1 last=-1 conflict=0/0',
    'AppendEntries of term 5': 'FOLLOWER 5; n0 AppendEntriesResponse term=5 match=-1',
    'AppendEntries of term 6': 'FOLLOWER 6; n0 AppendEntriesResponse term=6 match=-1',
    'Heartbeat of term 4': 'PRE_CANDIDATE 5; n0 HeartbeatResponse term=5',
    'Heartbeat of term 5': 'FOLLOWER 5; n0 HeartbeatResponse term=5',
    'Heartbeat of term 6': 'FOLLOWER 6; n0 HeartbeatResponse term=6',
    'TimeoutNow of term 5': 'PRE_CANDIDATE 5',
    'PreVoteResponse granted for term 6':
      'CANDIDATE 6; n0 RequestVote term=6 last=-1/0; n2 RequestVote term=6 last=-1/0',
    'PreVoteResponse refused in term 7': 'FOLLOWER 7',
    'RequestVoteResponse granted in term 4': 'PRE_CANDIDATE 5',
    'RequestVoteResponse granted in term 5': 'PRE_CANDIDATE 5',
    'RequestVoteResponse refused in term 6': 'FOLLOWER 6',
    'AppendEntriesResponse of term 4': 'PRE_CANDIDATE 5',
    'AppendEntriesResponse of term 6': 'FOLLOWER 6',
    'HeartbeatResponse of term 6': 'FOLLOWER 6',
    'ReadIndex of term 4': 'PRE_CANDIDATE 5; n0 ReadIndexResponse term=5 token=3 refused',
    'ReadIndex of term 6': 'PRE_CANDIDATE 5; n0 ReadIndexResponse term=5 token=3 refused',
    'ReadIndexResponse of term 5': 'PRE_CANDIDATE 5',
    'ReadIndexResponse of term 6': 'FOLLOWER 6',
    'Recover of term 4': 'PRE_CANDIDATE 5',
    'Recover of term 5': 'PRE_CANDIDATE 5',
    'Recover of term 6': 'FOLLOWER 6',
    'RecoverResponse of term 5': 'PRE_CANDIDATE 5',
    'RecoverResponse of term 6': 'FOLLOWER 6',
    'a read is asked for': 'PRE_CANDIDATE 5; NOT_LEADER',
    'RepairRequest of term 4': 'PRE_CANDIDATE 5',
    'RepairResponse of term 4': 'PRE_CANDIDATE 5',
    'InstallOffer of term 6': 'PRE_CANDIDATE 5',
    'InstallPiece of term 6': 'PRE_CANDIDATE 5',
    'InstallAck of term 6': 'PRE_CANDIDATE 5',
    'data is proposed': 'PRE_CANDIDATE 5; NOT_LEADER',
  },
  CANDIDATE: {
    'an election timeout passes': 'PRE_CANDIDATE 5; n0 PreVote term=6 last=-1/0; n2 PreVote term=6 last=-1/0',
    'the connection to the leader is lost': 'CANDIDATE 5',
    'PreVote for term 6': 'CANDIDATE 5; n0 PreVoteResponse term=6 granted',
    'PreVote for term 6, the leader agrees': 'CANDIDATE 5; n0 PreVoteResponse term=6 granted',
    'RequestVote of term 4': 'CANDIDATE 5; n0 RequestVoteResponse term=5 refused',
    'RequestVote of term 5': 'CANDIDATE 5; n0 RequestVoteResponse term=5 refused',
    'RequestVote of term 6': 'FOLLOWER 6; n0 RequestVoteResponse term=6 granted',
    'RequestVote of term 6, the leader agrees': 'FOLLOWER 6; n0 RequestVoteResponse term=6 granted',
    'AppendEntries of term 4': 'CANDIDATE 5; n0 AppendEntriesResponse term=5 refused prev=-1 last=-1 conflict=0/0',
    'AppendEntries of term 5': 'FOLLOWER 5; n0 AppendEntriesResponse term=5 match=-1',
    'AppendEntries of term 6': 'FOLLOWER 6; n0 AppendEntriesResponse term=6 match=-1',
    'Heartbeat of term 4': 'CANDIDATE 5; n0 HeartbeatResponse term=5',
    'Heartbeat of term 5': 'FOLLOWER 5; n0 HeartbeatResponse term=5',
    'Heartbeat of term 6': 'FOLLOWER 6; n0 HeartbeatResponse term=6',
    'TimeoutNow of term 5': 'CANDIDATE 5',
    'PreVoteResponse granted for term 6': 'CANDIDATE 5',
    'PreVoteResponse refused in term 7': 'FOLLOWER 7',
    'RequestVoteResponse granted in term 4': 'CANDIDATE 5',
    'RequestVoteResponse granted in term 5': 'LEADER 5',
    'RequestVoteResponse refused in term 6': 'FOLLOWER 6',
    'AppendEntriesResponse of term 4': 'CANDIDATE 5',
    'AppendEntriesResponse of term 6': 'FOLLOWER 6',
    'HeartbeatResponse of term 6': 'FOLLOWER 6',
    'ReadIndex of term 4': 'CANDIDATE 5; n0 ReadIndexResponse term=5 token=3 refused',
    'ReadIndex of term 6': 'CANDIDATE 5; n0 ReadIndexResponse term=5 token=3 refused',
    'ReadIndexResponse of term 5': 'CANDIDATE 5',
    'ReadIndexResponse of term 6': 'FOLLOWER 6',
    'Recover of term 4': 'CANDIDATE 5',
    'Recover of term 5': 'CANDIDATE 5',
    'Recover of term 6': 'FOLLOWER 6',
    'RecoverResponse of term 5': 'CANDIDATE 5',
    'RecoverResponse of term 6': 'FOLLOWER 6',
    'a read is asked for': 'CANDIDATE 5; NOT_LEADER',
    'RepairRequest of term 4': 'CANDIDATE 5',
    'RepairResponse of term 4': 'CANDIDATE 5',
    'InstallOffer of term 6': 'CANDIDATE 5',
    'InstallPiece of term 6': 'CANDIDATE 5',
    'InstallAck of term 6': 'CANDIDATE 5',
    'data is proposed': 'CANDIDATE 5; NOT_LEADER',
  },
  LEADER: {
    'an election timeout passes': 'FOLLOWER 5; n0 Heartbeat term=5 commit=-1; n2 Heartbeat term=5 commit=-1',
    'the connection to the leader is lost': 'LEADER 5',
    'PreVote for term 6': 'LEADER 5; n0 PreVoteResponse term=5 refused',
    'PreVote for term 6, the leader agrees': 'LEADER 5; n0 PreVoteResponse term=6 granted',
    'RequestVote of term 4': 'LEADER 5; n0 RequestVoteResponse term=5 refused',
    'RequestVote of term 5': 'LEADER 5; n0 RequestVoteResponse term=5 refused',
    'RequestVote of term 6': 'LEADER 5',
    'RequestVote of term 6, the leader agrees': 'FOLLOWER 6; n0 RequestVoteResponse term=6 granted',
    'AppendEntries of term 4': 'LEADER 5; n0 AppendEntriesResponse term=5 refused prev=-1 last=0 conflict=0/0',
    'AppendEntries of term 5': 'stops: one leader in a term',
    'AppendEntries of term 6': 'FOLLOWER 6; n0 AppendEntriesResponse term=6 match=-1',
    'Heartbeat of term 4': 'LEADER 5; n0 HeartbeatResponse term=5',
    'Heartbeat of term 5': 'stops: one leader in a term',
    'Heartbeat of term 6': 'FOLLOWER 6; n0 HeartbeatResponse term=6',
    'TimeoutNow of term 5': 'LEADER 5',
    'PreVoteResponse granted for term 6': 'LEADER 5',
    'PreVoteResponse refused in term 7': 'FOLLOWER 7',
    'RequestVoteResponse granted in term 4': 'LEADER 5',
    'RequestVoteResponse granted in term 5': 'LEADER 5',
    'RequestVoteResponse refused in term 6': 'FOLLOWER 6',
    'AppendEntriesResponse of term 4': 'LEADER 5',
    'AppendEntriesResponse of term 6': 'FOLLOWER 6',
    'HeartbeatResponse of term 6': 'FOLLOWER 6',
    'ReadIndex of term 4': 'LEADER 5; n0 ReadIndexResponse term=5 token=3 refused',
    'ReadIndex of term 6': 'LEADER 5; n0 ReadIndexResponse term=5 token=3 refused',
    'ReadIndexResponse of term 5': 'LEADER 5',
    'ReadIndexResponse of term 6': 'FOLLOWER 6',
    'Recover of term 4': 'LEADER 5',
    'Recover of term 5':
      'LEADER 5; n0 RecoverResponse term=5 incarnation=3 nonce=1 last=0; n0 AppendEntries term=5 prev=0/5 nothing commit=-1',
    'Recover of term 6': 'FOLLOWER 6',
    'RecoverResponse of term 5': 'LEADER 5',
    'RecoverResponse of term 6': 'FOLLOWER 6',
    'a read is asked for': 'LEADER 5; NOT_READY',
    'RepairRequest of term 4': 'LEADER 5',
    'RepairResponse of term 4': 'LEADER 5',
    'InstallOffer of term 6': 'LEADER 5',
    'InstallPiece of term 6': 'LEADER 5',
    'InstallAck of term 6': 'LEADER 5',
    'data is proposed': 'LEADER 5; NOT_READY',
  },
}

function memberIn(role: Role): Raft {
  const raft = new Raft({
    self: 'n1',
    selfStoreId: 'store-n1',
    bootstrapVoters: ['n0', 'n1', 'n2'],
    heartbeatTicks: 2,
    electionTicks: 10,
    random: { below: () => 0 },
    handover: { preferredLeader: null, stableTicks: 200, retryTicks: 600, unwellRetryTicks: 20, slowTicksMax: 100 },
    inflightBytesMax: 1000,
    appendBytesMax: 1000,
    uncommittedBytesMax: 1000,
    hotBytesMax: 1000,
    hardState: { term: role === 'FOLLOWER' || role === 'PRE_CANDIDATE' ? 5 : 4, votedFor: null },
    log: { firstIndex: 0, lastIndex: -1, prevTerm: 0, termRuns: [], configurations: [] },
    appliedIndex: -1,
  })
  if (role === 'FOLLOWER') {
    raft.step({
      ...base,
      type: 'Heartbeat',
      term: 5,
      commitIndex: -1,
      round: 1,
      leaderCommit: -1,
      freshRound: 0,
      freshIncarnation: 0,
    })
  } else {
    raft.campaign()
    if (role !== 'PRE_CANDIDATE') {
      raft.step({ ...base, type: 'PreVoteResponse', term: 5, granted: true, recovering: false })
      raft.takeOutput()
      raft.hardStatePersisted()
    }
    if (role === 'LEADER') {
      raft.step({ ...base, type: 'RequestVoteResponse', term: 5, granted: true, recovering: false })
      raft.propose('noop', [ENTRY_BYTES])
    }
  }
  raft.takeOutput()
  expect(raft.status()).toMatchObject({ role, term: 5 })
  return raft
}

function seen(raft: Raft, event: (raft: Raft) => unknown): string {
  let result: unknown
  try {
    result = event(raft)
  } catch (error) {
    return `stops: ${(error as Error).message}`
  }
  const output: Output | null = raft.takeOutput()
  const { role, term } = raft.status()
  const sent = [...(output?.send ?? []), ...(output?.sendAfterHardState ?? [])].map(
    (message) => `${message.to} ${describeMessage(message)}`,
  )
  return [`${role} ${term}`, ...(typeof result === 'string' ? [result] : []), ...new Set(sent)].join('; ')
}

test('every type of message has an event in the table', () => {
  expect(everyMessageHasAnEvent).toBe(true)
})

for (const role of Object.keys(table) as Role[]) {
  describe(role, () => {
    test.each(Object.keys(events) as EventType[])('%s', (event) => {
      expect(seen(memberIn(role), events[event])).toBe(table[role][event])
    })
  })
}
