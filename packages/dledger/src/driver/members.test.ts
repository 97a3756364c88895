/** Who is let in: by the configuration in the log, and beyond it where the log may be behind. */
import { silentLogger, systemClock } from '@dledger-ts/base'
import { describe, expect, test } from 'vitest'
import type { Configuration } from '../raft/configuration.ts'
import type { HardState } from '../hard-state/hard-state-codec.ts'
import { Raft } from '../raft/raft.ts'
import type { Hello, PeerAddress, Standing } from '../transport/transport.ts'
import { Members } from './members.ts'
import type { ClassicRole } from './node-options.ts'
import type { OpenedMember } from './open-member.ts'

const GROUP = ['n0', 'n1', 'n2']

function named(...ids: readonly string[]): Configuration {
  return { voters: ids.map((id) => ({ id, storeId: `store-${id}`, address: null })), learners: [] }
}

interface Known {
  readonly lastIndex: number
  readonly commitIndex: number
  readonly configurations: readonly { readonly index: number; readonly configuration: Configuration }[]
  readonly knownPeers?: HardState['knownPeers']
}

/** n1, whose entries are all of term 2. */
function member(
  { lastIndex, commitIndex, configurations, knownPeers }: Known,
  onFailed = (error: Error): void => {
    throw error
  },
  classic?: ClassicRole,
) {
  const raft = new Raft({
    self: 'n1',
    selfStoreId: 'store-n1',
    bootstrapVoters: GROUP,
    hardState: { term: 2, votedFor: null },
    log: {
      firstIndex: 0,
      lastIndex,
      prevTerm: 0,
      termRuns: lastIndex < 0 ? [] : [{ firstIndex: 0, term: 2 }],
      configurations: [...configurations],
    },
    appliedIndex: commitIndex,
    electionTicks: 10,
    heartbeatTicks: 2,
    random: { below: () => 0 },
    hotBytesMax: 1_000,
    appendBytesMax: 1_000,
    inflightBytesMax: 1_000,
    uncommittedBytesMax: 1_000,
  } as unknown as ConstructorParameters<typeof Raft>[0])
  const dialed: (readonly PeerAddress[])[] = []
  const members = new Members(
    {
      self: 'n1',
      group: 'g',
      member: {
        hardState: { storeId: 'store-n1', knownPeers },
        writeHardState: (_change: unknown, callback: (error: null) => void) => callback(null),
      } as unknown as OpenedMember,
      transport: { setPeers: (peers: readonly PeerAddress[]) => void dialed.push(peers), renew: () => {} } as never,
      clock: systemClock,
      logger: silentLogger,
      expected: GROUP,
      newStoreId: () => 'another',
      ...(classic === undefined ? {} : { classic }),
      faults: new Set(),
      role: () => ({ role: 'FOLLOWER', term: 2, leader: null, ready: false }),
      commitIndex: () => commitIndex,
      propose: () => false,
      onFailed,
      onChanged: () => {},
    },
    raft,
    hello('n1', null),
  )
  members.refresh()
  const talksTo = (): readonly string[] => (dialed.at(-1) ?? []).map(({ id }) => id)
  return { raft, members, dialed, talksTo }
}

function hello(id: string, standing: Standing | null): Hello {
  return {
    wireVersion: 4,
    group: 'g',
    member: id,
    storeId: `store-${id}`,
    fileBytes: 1_024,
    advertised: '',
    incarnation: 1,
    formerIncarnations: [],
    leaseReads: false,
    standing,
  }
}

/** An incarnation: the count of a life, and what was drawn for it. */
const life = (count: number, nonce: number): number => count * 2 ** 20 + nonce

function standsAt(lastTerm: number, lastIndex: number, ...stores: readonly string[]): Standing {
  return { lastTerm, lastIndex, address: 'somewhere:1', stores }
}

describe('a member whose log names n0, n1 and n2, committed up to entry 10', () => {
  const known = { lastIndex: 14, commitIndex: 10, configurations: [{ index: 1, configuration: named(...GROUP) }] }
  const rows: readonly { what: string; standing: Standing | null; isLetIn: boolean }[] = [
    { what: 'that does not say that it is a member', standing: null, isLetIn: false },
    { what: 'of the group, whose log goes further', standing: standsAt(2, 11, 'store-n3', 'store-n0'), isLetIn: true },
    { what: 'of the group, of a later term', standing: standsAt(3, 4, 'store-n3', 'store-n1'), isLetIn: true },
    { what: 'of the group, whose log ends there too', standing: standsAt(2, 10, 'store-n0'), isLetIn: false },
    { what: 'of the group, of an earlier term', standing: standsAt(1, 900, 'store-n0'), isLetIn: false },
    { what: 'of another group of that name', standing: standsAt(9, 900, 'store-n3', 'store-n9'), isLetIn: false },
  ]
  test.each(rows)('meets a stranger $what: let in $isLetIn', ({ standing, isLetIn }) => {
    const { members, talksTo, dialed } = member(known)
    const refusal = members.judge(hello('n3', standing))
    if (isLetIn) {
      expect(refusal).toBeNull()
      expect(dialed.at(-1)).toContainEqual({ id: 'n3', address: 'somewhere:1' })
    } else {
      expect(refusal).toMatchObject({ kind: 'STRANGER', member: 'n3', configurationIndex: 1 })
      expect(talksTo()).toEqual(['n0', 'n2'])
    }
  })

  test('a guest is talked to until it is lost, and counts for nothing', () => {
    const { members, talksTo, raft } = member(known)
    members.judge(hello('n3', standsAt(3, 30, 'store-n0')))
    members.connected('n3', hello('n3', standsAt(3, 30, 'store-n0')))
    members.refresh()
    expect(talksTo()).toEqual(['n0', 'n2', 'n3'])
    expect(raft.peers).toEqual(['n0', 'n2'])
    members.lost('n3')
    expect(talksTo()).toEqual(['n0', 'n2'])
  })

  test('guests that never come give way to others', () => {
    const { members, talksTo } = member(known)
    for (let i = 3; i < 40; i++) expect(members.judge(hello(`n${i}`, standsAt(3, 30, 'store-n0')))).toBeNull()
    expect(talksTo()).toHaveLength(2 + 8)
    expect(talksTo()).toContain('n39')
  })

  test('a guest leaves when what it was ahead with is committed here and does not name it, and is told so', () => {
    const { raft, members, talksTo } = member(known)
    const guest = hello('n3', standsAt(2, 12, 'store-n0'))
    expect(members.judge(guest)).toBeNull()
    const from = { from: 'n0', to: 'n1', storeId: 'store-n0', term: 2 } as const
    raft.step({
      type: 'AppendEntries',
      ...from,
      prevIndex: 14,
      prevTerm: 2,
      count: 0,
      entriesTerm: 0,
      bytes: 0,
      commitIndex: 14,
    })
    members.refresh()
    expect(talksTo()).toEqual(['n0', 'n2'])
    expect(members.judge(guest)).toMatchObject({ kind: 'STRANGER' })
  })
})

test('whose log has no configuration yet lets in whoever stands in a group of that name', () => {
  const { members } = member({ lastIndex: -1, commitIndex: -1, configurations: [] })
  expect(members.judge(hello('n3', standsAt(1, 0)))).toBeNull()
  expect(members.judge(hello('n4', null))).toMatchObject({ kind: 'STRANGER' })
})

test('a removed member is told so, unless it knows that it was taken in again', () => {
  const { members } = member({
    lastIndex: 14,
    commitIndex: 10,
    configurations: [
      { index: 1, configuration: named(...GROUP, 'n3') },
      { index: 9, configuration: named(...GROUP) },
    ],
  })
  expect(members.judge(hello('n3', standsAt(2, 8, 'store-n0')))).toMatchObject({
    kind: 'REMOVED',
    configurationIndex: 9,
  })
  expect(members.judge(hello('n3', standsAt(2, 40, 'store-n0')))).toBeNull()
})

test('a member says where it stands while its log names it', () => {
  const first = { index: 1, configuration: named(...GROUP) }
  const { members } = member({ lastIndex: 14, commitIndex: 10, configurations: [first] })
  expect(members.standing()).toEqual({
    lastTerm: 2,
    lastIndex: 14,
    address: null,
    stores: ['store-n0', 'store-n1', 'store-n2'],
  })
  const removed = member({
    lastIndex: 14,
    commitIndex: 10,
    configurations: [first, { index: 9, configuration: named('n0', 'n2') }],
  })
  expect(removed.members.standing()).toBeNull()
  // Until that is committed it may be needed.
  const leaving = member({
    lastIndex: 14,
    commitIndex: 10,
    configurations: [first, { index: 12, configuration: named('n0', 'n2') }],
  })
  expect(leaving.members.standing()).toMatchObject({ lastIndex: 14 })
})

test('a store that went on from an image of before a life that was seen is an old image, however often it was opened since', () => {
  const { members } = member({
    lastIndex: 14,
    commitIndex: 10,
    configurations: [{ index: 1, configuration: named(...GROUP) }],
    knownPeers: { n0: { storeId: 'store-n0', incarnation: life(5, 55) } },
  })
  const judged = (incarnation: number, ...formerIncarnations: readonly number[]): string | undefined =>
    members.judge({ ...hello('n0', null), incarnation, formerIncarnations })?.kind
  expect(judged(life(5, 55), life(4, 44))).toBeUndefined()
  expect(judged(life(6, 66), life(4, 44), life(5, 55))).toBeUndefined()
  expect(judged(life(9, 99), life(7, 77), life(8, 88))).toBeUndefined()
  expect(judged(life(4, 40))).toBe('OLD_IMAGE')
  expect(judged(life(5, 50), life(4, 44))).toBe('OLD_IMAGE')
  expect(judged(life(6, 60), life(4, 44), life(5, 50))).toBe('OLD_IMAGE')
  expect(judged(life(8, 80), life(5, 50), life(6, 60), life(7, 70))).toBe('OLD_IMAGE')
})

test('nobody of a group that elects is outdated, whatever a peer says', () => {
  const first = { index: 1, configuration: named(...GROUP) }
  const ended: Error[] = []
  const { members } = member({ lastIndex: 14, commitIndex: 10, configurations: [first] }, (error) => ended.push(error))
  expect(members.refused('n0', { kind: 'OUTDATED', why: 'so it says', member: 'n1', configurationIndex: -1 })).toBe(
    false,
  )
  expect(ended).toEqual([])
})

describe('a slave whose log names n0 and n2', () => {
  const slave = () => {
    const known = {
      lastIndex: 14,
      commitIndex: 10,
      configurations: [{ index: 1, configuration: named('n0', 'n2') }],
      knownPeers: {},
    }
    return member(known, undefined, 'slave').members
  }
  const refused = { kind: 'STRANGER' }

  test('hears nobody before it was told whom to follow', () => {
    const members = slave()
    expect(members.judge(hello('n0', null))).toMatchObject(refused)
    expect(members.judge(hello('n2', standsAt(3, 900, 'store-n0')))).toMatchObject(refused)
  })

  test('hears its master and nobody else, in one life of it', () => {
    const members = slave()
    members.follow({ id: 'n0', storeId: 'store-n0', address: 'm:1' })
    for (const other of [hello('n2', standsAt(3, 900, 'store-n0')), { ...hello('n0', null), storeId: 'another one' }]) {
      expect(members.judge(other)).toMatchObject(refused)
    }
    expect(members.judge(hello('n0', null))).toBeNull()
    for (const other of [hello('n2', standsAt(3, 900, 'store-n0')), { ...hello('n0', null), storeId: 'another one' }]) {
      expect(members.judge(other)).toMatchObject({ ...refused, why: expect.stringMatching(/does not follow/) })
    }
    expect(members.judge({ ...hello('n0', null), incarnation: 2 })).toMatchObject({
      ...refused,
      why: expect.stringMatching(/begun anew/),
    })
    expect(members.judge(hello('n0', null))).toBeNull()
  })
})
