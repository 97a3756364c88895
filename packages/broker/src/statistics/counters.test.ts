/** Windows of a minute, an hour and a day, and what bounds the tables. */
import { describe, expect, test } from 'vitest'
import { Counter, CounterTable, KEYS_MAX, Notebook } from './counters.ts'

const SECOND = 1_000
const HOUR = 3_600_000

/** One counter whose notes are made every ten seconds. */
class Counted {
  nowMs = 5_000_000
  readonly counter = new Counter()
  readonly notebook = new Notebook(this.nowMs)

  /** @param each counted in each second. */
  pass(seconds: number, each = 0): void {
    for (let i = 1; i <= seconds; i++) {
      this.nowMs += SECOND
      if (each > 0) this.counter.add(each, each * 100)
      if (this.nowMs % 10_000 === 0) this.notebook.note(this.nowMs, () => [this.counter])
    }
  }

  sum(window: 'tenSeconds' | 'minute' | 'hour' | 'day'): number {
    return this.notebook.count(this.counter, 'nums', window, this.nowMs).sum
  }
}

describe('a counter', () => {
  test('shows what was counted at once, in every window, and its rate over the time since the start', () => {
    const counted = new Counted()
    counted.pass(5, 2)
    expect([counted.sum('minute'), counted.sum('hour'), counted.sum('day')]).toEqual([10, 10, 10])
    const { perSecond, perTime } = counted.notebook.count(counted.counter, 'size', 'minute', counted.nowMs)
    expect([perSecond, perTime]).toEqual([200, 200])
  })

  test('tells no rate of less than a second', () => {
    const counted = new Counted()
    counted.counter.add(7, 0)
    expect(counted.notebook.count(counted.counter, 'nums', 'minute', counted.nowMs).perSecond).toBe(7)
  })

  test.each([
    ['tenSeconds', 10, 20],
    ['minute', 50, 60],
    ['hour', 3_000, 3_600],
    ['day', 23 * 3_600, 24 * 3_600],
  ] as const)(
    'in the window %s has between %i and %i seconds of what is counted each second',
    (window, least, most) => {
      const counted = new Counted()
      counted.pass(25 * 3_600 + 7, 1)
      expect(counted.sum(window)).toBeGreaterThanOrEqual(least)
      expect(counted.sum(window)).toBeLessThanOrEqual(most)
      const { perSecond } = counted.notebook.count(counted.counter, 'nums', window, counted.nowMs)
      expect(perSecond).toBeCloseTo(1, 5)
    },
  )

  test('has nothing in a window when that has gone by', () => {
    const counted = new Counted()
    counted.pass(10, 3)
    counted.pass(70)
    expect([counted.sum('minute'), counted.sum('hour'), counted.sum('day')]).toEqual([0, 30, 30])
    counted.pass(24 * 3_600)
    expect([counted.sum('hour'), counted.sum('day')]).toEqual([0, 0])
  })
})

describe('a table', () => {
  test('finds what was counted by key', () => {
    const table = new CounterTable()
    table.add('a', 1, 10)
    table.add('a', 2, 20)
    table.add('b', 5, 50)
    table.add('a', 1, 10)
    expect(table.find('a')).toMatchObject({ nums: 4, size: 40, times: 3 })
    expect(table.find('b')).toMatchObject({ nums: 5, size: 50, times: 1 })
    expect(table.find('c')).toBeUndefined()
  })

  test('does not count a key beyond the limit, and has room again when one was idle for a day', () => {
    const table = new CounterTable()
    let nowMs = 0
    const notebook = new Notebook(nowMs)
    for (let i = 0; i <= KEYS_MAX; i++) table.add(`k${i}`, 1, 0)
    expect(table.size).toBe(KEYS_MAX)
    expect(table.find(`k${KEYS_MAX}`)).toBeUndefined()
    for (let hour = 1; hour <= 25; hour++) {
      nowMs += HOUR
      table.add('k0', 1, 0)
      if (notebook.note(nowMs, () => table.all())) table.removeIdle(notebook)
      if (hour < 24) expect(table.size).toBe(KEYS_MAX)
    }
    expect(table.size).toBe(1)
    table.add('new', 1, 0)
    table.add('k1', 1, 0)
    expect(table.find('new')?.nums).toBe(1)
    expect(table.find('k1')?.nums).toBe(1)
  })
})
