/** Time of a simulation: order, cancelling, pauses, deaths. */
import { describe, expect, test } from 'vitest'
import { Decisions } from './decisions.ts'
import { EventQueue, type Process, SimClock } from './sim-clock.ts'

function processOf(id: number): Process {
  return { id, incarnation: 1, paused: false, heldBack: [] }
}

function runAll(events: EventQueue): void {
  for (let event = events.next(1e9); event !== null; event = events.next(1e9)) event.run?.()
}

function clockOf(events: EventQueue, owner: Process, driftPerMille = 0): SimClock {
  return new SimClock(events, owner, new Decisions(7), { driftPerMille, wallSkewMs: 0 })
}

describe('events', () => {
  test('run by time, then in the order in which they were scheduled', () => {
    const events = new EventQueue()
    const ran: string[] = []
    for (const [delay, name] of [
      [30, 'c'],
      [10, 'a'],
      [30, 'd'],
      [20, 'b'],
      [0, '0'],
    ] as const) {
      events.schedule(delay, 'test', null, () => ran.push(name))
    }
    runAll(events)
    expect(ran.join('')).toBe('0abcd')
  })

  test('of a process that died are never run', () => {
    const events = new EventQueue()
    const owner = processOf(0)
    const ran: string[] = []
    events.schedule(1, 'test', owner, () => ran.push('before'))
    events.schedule(3, 'test', owner, () => ran.push('never'))
    events.schedule(2, 'death', null, () => owner.incarnation++)
    runAll(events)
    expect(ran).toEqual(['before'])
  })

  test('of a paused process wait until it goes on, and keep their order', () => {
    const events = new EventQueue()
    const owner = processOf(0)
    const ran: [string, number][] = []
    const note = (name: string) => () => void ran.push([name, events.nowUs])
    owner.paused = true
    events.schedule(10, 'test', owner, note('first'))
    events.schedule(20, 'test', owner, note('second'))
    events.schedule(15, 'test', null, note('others'))
    events.schedule(100, 'resume', null, () => events.resume(owner))
    runAll(events)
    expect(ran).toEqual([
      ['others', 15],
      ['first', 100],
      ['second', 100],
    ])
  })
})

describe('the clock of a process', () => {
  test('runs fast or slow by its drift, and never back', () => {
    const events = new EventQueue()
    const fast = clockOf(events, processOf(0), 100)
    const firedAtMs: number[] = []
    fast.after(110, () => firedAtMs.push(fast.monotonicMs()))
    runAll(events)
    expect(firedAtMs[0]).toBeCloseTo(110)
    expect(fast.monotonicMs()).toBeCloseTo(1.1e6)
    const before = fast.monotonicMs()
    fast.jump(-50_000)
    expect(fast.monotonicMs()).toBe(before)
  })

  test('forgets a cancelled timer', () => {
    const events = new EventQueue()
    const clock = clockOf(events, processOf(0))
    const cancel = clock.after(5, () => expect.unreachable())
    cancel()
    cancel()
    runAll(events)
  })

  test('runs what is deferred in order, and what that defers in a later pass', () => {
    const events = new EventQueue()
    const clock = clockOf(events, processOf(0))
    const ran: string[] = []
    clock.defer(() => {
      ran.push('a')
      clock.defer(() => ran.push('c'))
    })
    clock.defer(() => ran.push('b'))
    runAll(events)
    expect(ran.join('')).toBe('abc')
  })
})
