/** That a store was taken in is remembered before anything is acknowledged as a member. */
import { describe, expect, test } from 'vitest'
import { decodeHardState, type HardState } from '../hard-state/hard-state-codec.ts'
import type { Raft } from '../raft/raft.ts'
import { Naming } from './naming.ts'
import type { OpenedMember } from './open-member.ts'

function naming(namedAs: string | null) {
  const told: number[] = []
  const failures: Error[] = []
  const writes: ((error: Error | null) => void)[] = []
  const core = { isBound: false }
  const member = {
    hardState: { storeId: 'a store', namedAs } as HardState,
    writeHardState(change: Partial<HardState>, callback: (error: Error | null) => void) {
      member.hardState = { ...member.hardState, ...change }
      writes.push(callback)
    },
  }
  const one = new Naming({
    member: member as unknown as OpenedMember,
    raft: () => core as Raft,
    tell: (seq) => told.push(seq),
    onFailed: (error) => failures.push(error),
  })
  return { one, told, failures, writes, core, member }
}

describe('what a store has written', () => {
  test('counts at once while nobody names it', () => {
    const { one, told, writes } = naming(null)
    for (const seq of [1, 2]) one.durable(seq)
    expect([told, writes.length]).toEqual([[1, 2], 0])
  })

  test('waits, once an entry names it, until that is remembered; then all of it counts', () => {
    const { one, told, writes, core, member } = naming(null)
    one.durable(1)
    core.isBound = true
    for (const seq of [2, 3, 4]) one.durable(seq)
    expect([told, writes.length, member.hardState.namedAs]).toEqual([[1], 1, 'a store'])
    writes[0]?.(null)
    one.durable(5)
    expect([told, writes.length]).toEqual([[1, 4, 5], 1])
  })

  test('counts at once where it was remembered in an earlier life, but not what another store was', () => {
    const known = naming('a store')
    known.core.isBound = true
    known.one.durable(1)
    expect([known.told, known.writes.length]).toEqual([[1], 0])
    const another = naming('a former store')
    another.core.isBound = true
    another.one.durable(1)
    expect([another.told, another.writes.length]).toEqual([[], 1])
  })

  test('does not count when that cannot be remembered', () => {
    const { one, told, writes, core, failures } = naming(null)
    core.isBound = true
    one.durable(1)
    writes[0]?.(new Error('no disk'))
    expect([told, failures.length]).toEqual([[], 1])
  })
})

test('a hard state keeps it; one of before has none, and nonsense is refused', () => {
  const state: HardState = {
    group: 'g',
    member: 'n0',
    storeId: 's',
    incarnation: 1,
    term: 1,
    votedFor: null,
    fileBytes: 1_024,
    checksummedFrom: 0,
    bootId: null,
    asyncAcks: false,
    cleanStop: false,
    recovering: false,
    durableHint: null,
    beforeFirst: null,
  }
  const decoded = (fields: object): HardState | null =>
    decodeHardState(Buffer.from(JSON.stringify({ ...state, ...fields })))
  expect(decoded({ namedAs: 's' })?.namedAs).toBe('s')
  expect(decoded({})).not.toHaveProperty('namedAs')
  expect(decoded({ namedAs: 7 })).toBeNull()
})
