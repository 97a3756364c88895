import { type Clock, systemClock } from '@dledger-ts/base'
import { expect, test } from 'vitest'
import { SharedTicker } from './ticker.ts'

/** A clock whose one timer goes off when the test says so. */
class HandClock {
  now = 0
  timers: (() => void)[] = []
  readonly clock: Clock = {
    ...systemClock,
    monotonicMs: () => this.now,
    after: (_, callback) => {
      this.timers.push(callback)
      return () => {}
    },
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
