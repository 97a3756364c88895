import { type Clock, systemClock } from '@dledger-ts/base'
import { beforeEach, describe, expect, test } from 'vitest'
import { SharedTicker, type Wakings } from './ticker.ts'

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
    const wakings = ticker.every(
      10,
      () => seen.push('a wakes'),
      () => seen.push('a is late'),
    )
    end = () => wakings.end()
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

/** A clock whose timers go off when their time has come; one that was cancelled wakes nobody. */
class TimedClock {
  now = 0
  /** Times at which a timer went off. */
  readonly woken: number[] = []
  #timers: { readonly atMs: number; readonly callback: () => void }[] = []
  readonly clock: Clock = {
    ...systemClock,
    monotonicMs: () => this.now,
    after: (delayMs, callback) => {
      const timer = { atMs: this.now + delayMs, callback }
      this.#timers.push(timer)
      return () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      }
    },
    defer: (callback) => callback(),
  }

  passTo(ms: number): void {
    for (;;) {
      const next = this.#timers.filter(({ atMs }) => atMs <= ms).sort((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined) break
      this.#timers = this.#timers.filter((other) => other !== next)
      this.now = Math.max(this.now, next.atMs)
      this.woken.push(this.now)
      next.callback()
    }
    this.now = ms
  }
}

describe('one who rides on input that comes once a period', () => {
  let timed: TimedClock
  let ticker: SharedTicker
  let seen: [atMs: number, periods: number][]
  let wakings: Wakings

  beforeEach(() => {
    timed = new TimedClock()
    ticker = new SharedTicker(timed.clock)
    seen = []
    wakings = ticker.every(100, (periods) => void seen.push([timed.now, periods]))
  })

  function rideAt(...times: readonly number[]): void {
    for (const ms of times) {
      timed.passTo(ms)
      wakings.ride(4)
    }
  }

  test.for([0, 30, 49, 50, 60, 99])('is woken by it alone, whenever in the period it comes: %i ms', (phaseMs) => {
    rideAt(...Array.from({ length: 40 }, (_, i) => 100 * i + phaseMs))
    const late = seen.filter(([atMs]) => atMs >= 400).map(([atMs]) => atMs)
    expect(late).toEqual(Array.from({ length: late.length }, (_, i) => 100 * (i + 4) + phaseMs))
    expect(late).toHaveLength(36)
    expect(timed.woken.length).toBeLessThan(15)
  })

  test('is woken by the timer once the input stays away, told for how long, and once a period from then on', () => {
    rideAt(60, 160, 260)
    timed.passTo(900)
    expect(seen.filter(([atMs]) => atMs > 260)).toEqual([
      [660, 4],
      [760, 1],
      [860, 1],
    ])
  })

  test('hears other input after the time that has passed, but for less than half a period', () => {
    rideAt(60, 160)
    seen = []
    timed.passTo(209)
    wakings.heard()
    expect(seen).toEqual([])
    timed.passTo(390)
    wakings.heard()
    expect(seen).toEqual([[390, 4]])
  })

  test('who does not ride is woken by no input', () => {
    timed.passTo(99)
    wakings.heard()
    expect(seen).toEqual([])
  })

  test('who hurries is woken within a period, told for how many it waited', () => {
    rideAt(60, 160)
    seen = []
    timed.passTo(390)
    wakings.hurry()
    timed.passTo(600)
    expect(seen).toEqual([
      [460, 3],
      [560, 1],
    ])
  })

  test('who hurries as it is woken by its input waits a period', () => {
    ticker = new SharedTicker(timed.clock)
    const times: number[] = []
    const hurried = ticker.every(100, () => {
      times.push(timed.now)
      hurried.hurry()
    })
    timed.passTo(70)
    hurried.ride(4)
    timed.passTo(140)
    hurried.ride(4)
    timed.passTo(300)
    expect(times).toEqual([70, 140, 240])
  })

  test('who hurries right after input waits a period', () => {
    rideAt(60, 160)
    seen = []
    wakings.hurry()
    timed.passTo(300)
    expect(seen).toEqual([[260, 1]])
  })

  test('what is late wakes nobody before it was heard, and counts as one period', () => {
    rideAt(60, 160)
    seen = []
    timed.now = 600
    wakings.ride(4)
    wakings.heard()
    expect(seen).toEqual([])
    timed.passTo(600)
    expect(seen).toEqual([[600, 1]])
  })

  test('who shares the timer wakes once a period', () => {
    rideAt(60, 160)
    seen = []
    const other: number[] = []
    const others = ticker.every(100, () => void other.push(timed.now))
    rideAt(260, 360)
    timed.passTo(500)
    expect(other).toEqual([260, 360, 460])
    expect(seen).toEqual([
      [260, 1],
      [360, 1],
      [460, 1],
    ])
    others.end()
    rideAt(520, 620)
    timed.passTo(700)
    expect(seen.slice(3)).toEqual([
      [520, 1],
      [620, 4],
    ])
  })
})
