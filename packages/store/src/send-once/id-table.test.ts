/** The table against a plain list: what it finds, in which order, and that it holds no more than it may. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { IdTable } from './id-table.ts'

interface Known {
  readonly high: number
  readonly low: number
  readonly place: number
  readonly time: number
}

function placesOf(table: IdTable, high: number, low: number, timeMin: number): number[] {
  const places: number[] = []
  for (let slot = table.find(high, low, timeMin); slot >= 0; slot = table.findOlder(slot, timeMin)) {
    places.push(table.placeAt(slot))
  }
  return places
}

test('finds every id it still holds, newest first, and none that is older than asked for', () => {
  const step = fc.record({
    high: fc.integer({ min: 0, max: 1 }),
    // Few buckets and few ids: chains cross, slots are taken by ids of other buckets.
    low: fc.constantFrom(0, 1, 2, 3, 4, 8, -1, -8),
    wait: fc.nat({ max: 3 }),
  })
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.array(step, { maxLength: 60 }),
      fc.nat({ max: 20 }),
      (countMax, steps, span) => {
        const table = new IdTable(countMax)
        const known: Known[] = []
        let time = 1000
        steps.forEach(({ high, low, wait }, place) => {
          time += wait
          expect(table.timeToBeForgotten).toBe(known.length < countMax ? undefined : known.at(-countMax)?.time)
          table.add(high, low, place, time)
          known.push({ high, low, place, time })
          const held = known.slice(-countMax)
          expect(table.count).toBe(held.length)
          for (const asked of known) {
            const expected = held
              .filter((one) => one.high === asked.high && one.low === asked.low && one.time >= time - span)
              .map((one) => one.place)
            expect(placesOf(table, asked.high, asked.low, time - span)).toEqual(expected.reverse())
          }
        })
        table.clear()
        for (const { high, low } of known) expect(placesOf(table, high, low, 0)).toEqual([])
      },
    ),
  )
})
