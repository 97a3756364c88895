import { type Clock, systemClock } from '@dledger-ts/base'
import { beforeEach, describe, expect, test } from 'vitest'
import { SharedTicker } from './ticker.ts'

/** A clock whose one timer goes off when the test says so, as does what is deferred. */
class HandClock {
  now = 0
  timers: (() => void)[] = []
  delays: number[] = []
  deferred: (() => void)[] = []
  readonly clock: Clock = {
    ...systemClock,
    monotonicMs: () => this.now,
    after: (delayMs, callback) => {
      this.delays.push(delayMs)
      this.timers.push(callback)
      return () => {}
    },
    defer: (callback) => void this.deferred.push(callback),
  }

  pass(ms: number): void {
    this.now += ms
    const due = this.timers
    this.timers = []
    for (const timer of due) timer()
  }
}

test('one who throws keeps no other from waking, now and later', () => {
  const hand = new HandClock()
  const ticker = new SharedTicker(hand.clock)
  let woken = 0
  ticker.every(10, () => {
    throw new Error('oops')
  })
  ticker.every(10, () => void woken++)
  expect(() => hand.pass(10)).toThrow('oops')
  expect(woken).toBe(1)
  expect(() => hand.pass(10)).toThrow('oops')
  expect(woken).toBe(2)
})

describe('after a stall', () => {
  let hand: HandClock
  let seen: string[]
  let end: () => void

  beforeEach(() => {
    hand = new HandClock()
    seen = []
    const ticker = new SharedTicker(hand.clock, () => seen.push('all are told'))
    ticker.every(
      10,
      () => seen.push('b wakes'),
      () => seen.push('b is late'),
    )
    end = ticker.every(
      10,
      () => seen.push('a wakes'),
      () => seen.push('a is late'),
    )
    hand.pass(10)
    expect(seen.splice(0)).toEqual(['b wakes', 'a wakes'])
  })

  test('what needs no input is told at once, and who wakes has heard what arrived meanwhile', () => {
    hand.pass(500)
    seen.push('input')
    for (const callback of hand.deferred.splice(0)) callback()
    expect(seen).toEqual(['b is late', 'a is late', 'all are told', 'input', 'b wakes', 'a wakes'])
  })

  test('the next time is a period later, however long the input takes', () => {
    hand.pass(500)
    expect(hand.timers).toHaveLength(1)
    hand.now += 300
    for (const callback of hand.deferred.splice(0)) callback()
    expect(hand.timers).toHaveLength(1)
    seen = []
    // Overdue again: the pass took that long.
    hand.pass(0)
    expect(seen).toEqual(['b is late', 'a is late', 'all are told'])
    expect(new Set(hand.delays)).toEqual(new Set([10]))
  })

  test('nobody wakes who has left meanwhile', () => {
    hand.pass(500)
    seen = []
    end()
    for (const callback of hand.deferred.splice(0)) callback()
    expect(seen).toEqual(['b wakes'])
  })
})
