import { expect, test } from 'vitest'
import { GoingOn } from './going-on.ts'

const LEADS = { role: 'LEADER', ready: true } as const

/** A leader whose log has entries 5 to 20, all of them committed, but for what is said. */
function proposedFor(lastLost: number, change: { role?: object; lastIndex?: number; isFull?: boolean } = {}): number[] {
  const proposed: number[] = []
  const going = new GoingOn({
    log: { firstIndex: 5, lastIndex: change.lastIndex ?? 20, isFull: change.isFull ?? false },
    role: () => ({ ...LEADS, ...change.role }),
    commitIndex: () => 20,
    trimProposals: {
      propose: (before) => {
        proposed.push(before)
        return true
      },
    },
  })
  going.lostUpTo(lastLost)
  return proposed
}

test('one entry that changes nothing is proposed for who has lost entries up to the end of what is committed, or beyond', () => {
  expect([19, 20, 21, 1000].map((lastLost) => proposedFor(lastLost))).toEqual([[], [5], [5], [5]])
})

test('none is, while others are under way, on a full disk, or by who does not lead yet', () => {
  expect(proposedFor(30, { lastIndex: 21 })).toEqual([])
  expect(proposedFor(30, { isFull: true })).toEqual([])
  expect(proposedFor(30, { role: { ready: false } })).toEqual([])
  expect(proposedFor(30, { role: { role: 'FOLLOWER' } })).toEqual([])
})
