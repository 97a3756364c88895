/** Requests that wait: each told exactly once, by an answer, its time, or the end of the connection. */
import { expect, it } from 'vitest'
import { createResponse } from './command.ts'
import { RemotingError } from './errors.ts'
import { PendingRequests } from './pending-requests.ts'
import { ManualClock } from './testing/manual-clock.ts'

function setup(pendingMax = 100) {
  const clock = new ManualClock()
  const told: string[] = []
  const handlerThrew = (error: unknown): number => told.push(`threw ${String(error)}`)
  const pending = new PendingRequests({ clock, address: 'a:1', pendingMax, handlerThrew })
  const handler = (name: string) => ({
    responded: (response: { code: number }) => told.push(`${name} ${response.code}`),
    failed: (error: RemotingError) => told.push(`${name} ${error.code}`),
  })
  const answer = (opaque: number | undefined, code = 0) => {
    const response = createResponse(code)
    response.opaque = opaque ?? -1
    return pending.complete(response)
  }
  return { clock, pending, told, handler, answer }
}

it('gives answers to those who asked, in whatever order they come', () => {
  const { pending, told, handler, answer } = setup()
  const a = pending.add(handler('a'), 100)
  const b = pending.add(handler('b'), 100)
  expect(answer(b, 2)).toBe(true)
  expect(answer(a, 1)).toBe(true)
  expect(told).toEqual(['b 2', 'a 1'])
  expect(pending.count).toBe(0)
})

it('tells each at its own time, not before, and ignores the answer that comes later', () => {
  const { clock, pending, told, handler, answer } = setup()
  pending.add(handler('late'), 3000)
  const early = pending.add(handler('early'), 100)
  pending.add(handler('middle'), 200)
  clock.advance(99)
  expect(told).toEqual([])
  clock.advance(1)
  expect(told).toEqual(['early TIMEOUT'])
  expect(answer(early)).toBe(false)
  clock.advance(2900)
  expect(told).toEqual(['early TIMEOUT', 'middle TIMEOUT', 'late TIMEOUT'])
  expect(clock.timerCount).toBe(0)
})

it('keeps one timer however many wait', () => {
  const { clock, pending, handler, answer } = setup()
  const opaques = Array.from({ length: 50 }, (_, i) => pending.add(handler('x'), 100 + i))
  expect(clock.timerCount).toBe(1)
  for (const opaque of opaques) answer(opaque)
  clock.advance(1000)
  expect(clock.timerCount).toBe(0)
})

it('refuses one more than its limit, and takes the next when one was answered', () => {
  const { pending, handler, answer } = setup(2)
  const first = pending.add(handler('a'), 1)
  pending.add(handler('b'), 1)
  expect(pending.add(handler('c'), 1)).toBeUndefined()
  answer(first)
  expect(pending.add(handler('d'), 1)).toBeDefined()
})

it('fails all at once, and only once', () => {
  const { clock, pending, told, handler } = setup()
  pending.add(handler('a'), 100)
  pending.add(handler('b'), 100)
  pending.failAll(new RemotingError('gone', { code: 'CONNECTION_LOST', address: 'a:1' }))
  expect(told).toEqual(['a CONNECTION_LOST', 'b CONNECTION_LOST'])
  clock.advance(1000)
  expect(told.length).toBe(2)
})

it.each(['time is over', 'connection is gone'])('tells the others that the %s when a handler throws', (why) => {
  const { clock, pending, told, handler } = setup()
  const throws = (): never => {
    throw new TypeError('no')
  }
  pending.add({ responded: throws, failed: throws }, 100)
  pending.add(handler('b'), 100)
  if (why === 'time is over') clock.advance(100)
  else pending.failAll(new RemotingError('gone', { code: 'CONNECTION_LOST', address: 'a:1' }))
  expect(told).toEqual(['threw TypeError: no', why === 'time is over' ? 'b TIMEOUT' : 'b CONNECTION_LOST'])
  expect(pending.count).toBe(0)
})

it('does not give a number twice while its first request waits, also after the numbers wrapped', () => {
  const { pending, handler } = setup()
  const seen = new Set([pending.add(handler('a'), 1), pending.nextOpaque(), pending.add(handler('b'), 1)])
  expect(seen.size).toBe(3)
})
