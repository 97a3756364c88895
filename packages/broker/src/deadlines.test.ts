/** Deadlines: each is told of once, in order, never early; one timer for all. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Deadlines, Timed } from './deadlines.ts'
import { ManualClock } from './testing/manual-clock.ts'

class Item extends Timed {
  readonly name: number

  constructor(name: number) {
    super()
    this.name = name
  }
}

describe('deadlines', () => {
  test('a timer that fires early, as those of the system do by a fraction, tells of nothing', () => {
    const clock = new ManualClock(0)
    const due: number[] = []
    const deadlines = new Deadlines<Item>(clock, ({ name }) => due.push(name))
    clock.spend(0.5)
    deadlines.add(new Item(1), 10.25)
    clock.advance(10.5)
    expect(due).toEqual([])
    clock.advance(1)
    expect([due, clock.pending, deadlines.size]).toEqual([[1], 0, 0])
  })

  test('an earlier one than the first moves the timer, and what is due may wait again', () => {
    const clock = new ManualClock(0)
    const due: [number, number][] = []
    const deadlines: Deadlines<Item> = new Deadlines<Item>(clock, (item) => {
      due.push([item.name, clock.monotonicMs()])
      if (due.length < 4) deadlines.add(item, 5)
    })
    deadlines.add(new Item(1), 100)
    deadlines.add(new Item(2), 10)
    expect(clock.pending).toBe(1)
    clock.advance(200)
    expect(due).toEqual([
      [2, 10],
      [2, 15],
      [2, 20],
      [2, 25],
      [1, 100],
    ])
    expect(clock.pending).toBe(0)
  })

  test('whatever is added and removed, each is told of at its deadline, in order', () => {
    const step = fc.oneof(
      fc.record({ what: fc.constant('add' as const), ms: fc.nat(40) }),
      fc.record({ what: fc.constant('remove' as const), which: fc.nat(100) }),
      fc.record({ what: fc.constant('advance' as const), ms: fc.nat(15) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const clock = new ManualClock(0)
        const waiting = new Map<Item, number>()
        const deadlines = new Deadlines<Item>(clock, (item) => {
          expect(waiting.get(item)).toBe(clock.monotonicMs())
          waiting.delete(item)
        })
        let made = 0
        for (const one of steps) {
          if (one.what === 'add') {
            const item = new Item(made++)
            waiting.set(item, clock.monotonicMs() + one.ms)
            deadlines.add(item, one.ms)
          } else if (one.what === 'remove') {
            const item = [...waiting.keys()][one.which % Math.max(1, waiting.size)]
            if (item === undefined) continue
            waiting.delete(item)
            deadlines.remove(item)
          } else clock.advance(one.ms)
          expect(deadlines.size).toBe(waiting.size)
          expect(clock.pending).toBe(Math.min(1, waiting.size))
        }
        clock.advance(50)
        expect([waiting.size, clock.pending]).toEqual([0, 0])
      }),
    )
  })
})
