import { systemClock } from '@dledger-ts/base'
import { expect, test } from 'vitest'
import type { Raft } from '../raft/raft.ts'
import { HandingOver } from './handing-over.ts'
import { closed } from './life.ts'

const leads = { role: 'LEADER', term: 1, leader: 'n0', ready: true } as const
const raft = { status: () => ({ role: 'LEADER', transferTarget: 'n1' }) } as Raft

test('each who waits for a transfer is told, though one throws on being told', () => {
  const handingOver = new HandingOver({ clock: systemClock, self: 'n0', electionTimeoutMs: 100, raft })
  const told: string[] = []
  handingOver.transfer('n1', leads, () => {
    throw new Error('oops')
  })
  handingOver.transfer('n1', leads, (error) => void told.push(error?.code ?? 'done'))
  expect(() => handingOver.abandon(closed())).toThrow('oops')
  expect(told).toEqual(['CLOSED'])
})
