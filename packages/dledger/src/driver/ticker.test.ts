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

  test.for([0, 30, 50, 74, 75, 99])('is woken by it alone, whenever in the period it comes: %i ms', (phaseMs) => {
    rideAt(...Array.from({ length: 40 }, (_, i) => 100 * i + phaseMs))
    const late = seen.filter(([atMs]) => atMs >= 400)
    expect(late).toEqual(Array.from({ length: 36 }, (_, i) => [100 * (i + 4) + phaseMs, 1]))
    expect(timed.woken.length).toBeLessThan(15)
  })

  test('is woken once a period by input that comes more often', () => {
    rideAt(...Array.from({ length: 40 }, (_, i) => 50 * i))
    expect(seen.map(([atMs]) => atMs)).toEqual(Array.from({ length: 19 }, (_, i) => 100 * (i + 1)))
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

  test('hears other input after the time that has passed, but for less than a period, and is woken when it would have been', () => {
    rideAt(60, 160)
    seen = []
    timed.passTo(259)
    wakings.heard()
    expect(seen).toEqual([])
    timed.passTo(390)
    wakings.heard()
    wakings.heard()
    expect(seen).toEqual([[390, 3]])
    timed.passTo(560)
    expect(seen.slice(1)).toEqual([[560, 2]])
  })

  test('who does not ride is woken by no input', () => {
    timed.now = 110
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
    timed.passTo(80)
    hurried.ride(4)
    timed.passTo(160)
    hurried.ride(4)
    timed.passTo(300)
    expect(times).toEqual([80, 160, 260])
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

  test('what is put off until input is heard counts as one period, however much input there is and however long that takes', () => {
    const hand = new HandClock()
    const told: number[] = []
    const late = new SharedTicker(hand.clock).every(100, (periods) => void told.push(periods))
    hand.pass(1_000)
    hand.now += 1
    late.ride(4)
    hand.now += 300
    late.heard()
    late.ride(4)
    expect(told).toEqual([])
    for (const callback of hand.deferred.splice(0)) callback()
    expect(told).toEqual([1])
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
    rideAt(540, 640)
    timed.passTo(700)
    expect(seen.slice(3)).toEqual([
      [540, 1],
      [640, 1],
    ])
  })
})
