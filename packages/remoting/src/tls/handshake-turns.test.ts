/** Whose handshake begins when: in bursts no larger and over time no oftener than allowed, however many ask. */
import fc from 'fast-check'
import { beforeEach, expect, test } from 'vitest'
import { ManualClock } from '../testing/manual-clock.ts'
import { HandshakeTurns, type Turn } from './handshake-turns.ts'

let clock: ManualClock
let begun: string[]
let refused: string[]
beforeEach(() => {
  clock = new ManualClock()
  begun = []
  refused = []
})

const turn = (address: string, name = address): Turn => ({
  address,
  begin: () => begun.push(name),
  refuse: () => refused.push(name),
})
const turnsOf = (perSecond: number, waitingMax = 1_000) => new HandshakeTurns({ perSecond, waitingMax, clock })

test('what is not used for a while may begin at once, an eighth of a second of it; the rest in its time', () => {
  const turns = turnsOf(80)
  clock.advance(60_000)
  for (let i = 0; i < 100; i++) turns.ask(turn('a'))
  expect(begun.length).toBe(10)
  clock.advance(500)
  expect(begun.length).toBe(50)
  clock.advance(500)
  expect([begun.length, turns.waitingCount]).toEqual([90, 10])
  clock.advance(1_000)
  expect([begun.length, clock.timerCount]).toEqual([100, 0])
})

test('addresses take turns: one that asks once does not wait behind a hundred of another', () => {
  const turns = turnsOf(8)
  for (let i = 0; i < 100; i++) turns.ask(turn('a', `a${i}`))
  turns.ask(turn('b'))
  turns.ask(turn('c'))
  clock.advance(125 * 4)
  expect(begun).toEqual(['a0', 'a1', 'b', 'c', 'a2'])
})

test('where too many wait, the newest of the address that has most is refused, whoever comes', () => {
  const turns = turnsOf(8, 4)
  for (const name of ['a0', 'a1', 'a2', 'a3']) turns.ask(turn('a', name))
  turns.ask(turn('b', 'b0'))
  expect(refused).toEqual([])
  turns.ask(turn('a', 'a4'))
  turns.ask(turn('c', 'c0'))
  expect([refused, turns.waitingCount]).toEqual([['a4', 'a3'], 4])
  turns.ask(turn('b', 'b1'))
  turns.ask(turn('b', 'b2'))
  expect(refused).toEqual(['a4', 'a3', 'a2', 'b2'])
  clock.advance(2_000)
  expect(begun).toEqual(['a0', 'a1', 'b0', 'c0', 'b1'])
})

test('who left does not begin, and nothing is waited for then', () => {
  const turns = turnsOf(8)
  const [first, second] = [turn('a', 'a0'), turn('a', 'a1')]
  turns.ask(first)
  turns.ask(second)
  turns.leave(second)
  turns.leave(first)
  expect([turns.waitingCount, clock.timerCount]).toEqual([0, 0])
  clock.advance(1_000)
  expect(begun).toEqual(['a0'])
})

test('in any second no more begin than allowed and one burst, and all that stay begin', () => {
  const step = fc.record({ address: fc.constantFrom('a', 'b', 'c'), waitMs: fc.constantFrom(0, 0, 0, 1, 7, 30, 400) })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), fc.array(step, { maxLength: 200 }), (perSecond, steps) => {
      clock = new ManualClock()
      const times: number[] = []
      const turns = turnsOf(perSecond)
      for (const { address, waitMs } of steps) {
        clock.advance(waitMs)
        turns.ask({ ...turn(address), begin: () => times.push(clock.monotonicMs()) })
      }
      clock.advance(300_000)
      expect([times.length, clock.timerCount]).toEqual([steps.length, 0])
      const burst = Math.max(1, perSecond / 8)
      for (const [i, fromMs] of times.entries()) {
        const within = times.filter((atMs, j) => j >= i && atMs < fromMs + 1_000).length
        expect(within).toBeLessThanOrEqual(perSecond + burst + 1e-6)
      }
    }),
  )
})
