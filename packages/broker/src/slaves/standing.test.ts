/** Which copies may follow a master. */
import { expect, test } from 'vitest'
import type { MasterStanding } from '@dledger-ts/store'
import { replacedAt, standingOf, type Verdict } from './standing.ts'

/** Entries 0 to 9 of term 1, 10 to 20 of term 5; those before 4 are trimmed. It follows A, whose log it shares up to 9, and before that Z, up to 5. */
const master: MasterStanding = {
  storeId: 'B',
  lastIndex: 20,
  formers: [
    { storeId: 'Z', lastIndex: 5 },
    { storeId: 'A', lastIndex: 9 },
  ],
  isGuessed: () => false,
  termAt: (index) => (index > 20 || index < 3 ? -1 : index >= 10 ? 5 : 1),
}

/** Where a copy ends, as index and term; and what is committed of it, where that is less. */
type Ends = readonly [lastIndex: number, lastTerm: number, commitIndex?: number, commitTerm?: number]

test.each<[string, string | null, Ends, Verdict]>([
  ['that is empty', null, [-1, 0], { kind: 'FITS' }],
  ['of its own, behind', 'B', [15, 5], { kind: 'FITS' }],
  ['of its own, level', 'B', [20, 5], { kind: 'FITS' }],
  ['of its own, so far behind that it cannot be compared', 'B', [2, 1], { kind: 'FITS' }],
  ['of its own, that has what the master lost', 'B', [21, 5], { kind: 'AHEAD' }],
  ['of its own, that has what others took the place of', 'B', [18, 4], { kind: 'AHEAD' }],
  ['of its own, that has what the master never committed', 'B', [23, 5, 20, 5], { kind: 'FITS' }],
  ['of its own, that knows of nothing committed', 'B', [23, 5, -1, 0], { kind: 'FITS' }],
  ['of the one before, level', 'A', [9, 1], { kind: 'FITS' }],
  ['of the one before, behind', 'A', [7, 1], { kind: 'FITS' }],
  ['of the one before, that went on', 'A', [10, 1], { kind: 'PARTED', lastIndex: 9 }],
  [
    'of the one before, that went on with what it does not know to count',
    'A',
    [10, 1, 8, 1],
    { kind: 'PARTED', lastIndex: 9 },
  ],
  ['of the first one, that went on', 'Z', [6, 1], { kind: 'PARTED', lastIndex: 5 }],
  ['of another one', 'X', [3, 1], { kind: 'FOREIGN' }],
  ['of nobody, that has something', null, [3, 1], { kind: 'FOREIGN' }],
])(
  'a copy %s',
  (_name, masterStore, [lastIndex, lastTerm, commitIndex = lastIndex, commitTerm = lastTerm], verdict) => {
    const copy = { storeId: 'c', masterStore, lastIndex, lastTerm, commitIndex, commitTerm }
    expect(standingOf(master, copy)).toEqual(verdict)
  },
)

test('nothing is said by terms that are guessed, but what needs none', () => {
  const damaged: MasterStanding = { ...master, isGuessed: (index) => index === 9 || index === 18 }
  const verdictOn = (masterStore: string, [lastIndex, lastTerm]: Ends): Verdict['kind'] =>
    standingOf(damaged, {
      storeId: 'c',
      masterStore,
      lastIndex,
      lastTerm,
      commitIndex: lastIndex,
      commitTerm: lastTerm,
    }).kind
  expect([verdictOn('B', [18, 4]), verdictOn('B', [18, 5]), verdictOn('A', [9, 2])]).toEqual(Array(3).fill('UNKNOWN'))
  expect([verdictOn('B', [17, 5]), verdictOn('B', [21, 5]), verdictOn('A', [10, 1]), verdictOn('X', [9, 1])]).toEqual([
    'FITS',
    'AHEAD',
    'PARTED',
    'FOREIGN',
  ])
})

test('a master was replaced by those that name it as a former one', () => {
  expect([replacedAt(master, 'A'), replacedAt(master, 'Z'), replacedAt(master, 'B')]).toEqual([9, 5, null])
})
