/** The core's view of the log against a plain list of entries. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HotSizes } from './hot-sizes.ts'
import { LogView } from './log-view.ts'
import { NO_FAULTS } from './planted-faults.ts'
import { highestReachedBy, majorityOf } from './quorum.ts'

const empty = { firstIndex: 0, lastIndex: -1, prevTerm: 0, termRuns: [], configurations: [] }

describe('LogView', () => {
  test('knows the terms of a restored log, and of the entry before it', () => {
    const termRuns = [
      { firstIndex: 10, term: 3 },
      { firstIndex: 12, term: 7 },
      { firstIndex: 13, term: 8 },
    ]
    const log = new LogView({ firstIndex: 10, lastIndex: 15, prevTerm: 2, termRuns, configurations: [] }, NO_FAULTS)
    expect([8, 9, 10, 11, 12, 13, 15, 16].map((index) => log.termAt(index))).toEqual([-1, 2, 3, 3, 7, 8, 8, -1])
    expect([10, 11, 12, 15].map((index) => log.runFirstIndex(index))).toEqual([10, 10, 12, 13])
    expect([10, 11, 12, 15].map((index) => log.runLastIndex(index))).toEqual([11, 11, 12, 15])
    expect([8, 7, 6, 3, 2].map((term) => log.lastIndexOfTermAtMost(term, 99))).toEqual([15, 12, 11, 11, 9])
  })

  test('agrees with a list under appends and truncations', () => {
    const step = fc.record({
      isCut: fc.boolean(),
      at: fc.nat(40),
      count: fc.integer({ min: 1, max: 5 }),
      newTerm: fc.nat(2),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const log = new LogView(empty, NO_FAULTS)
        const terms: number[] = []
        const sizes: number[] = []
        let term = 1
        for (const { isCut, at, count, newTerm } of steps) {
          if (isCut && terms.length > 0) {
            const from = at % terms.length
            log.truncate(from)
            terms.length = from
            sizes.length = from
          } else {
            term += newTerm
            const added = Array.from({ length: count }, (_, i) => 48 + ((at + i) % 7))
            log.append(count, term, added, 0)
            terms.push(...added.map(() => term))
            sizes.push(...added)
          }
          log.checkInvariants()
          expect(log.lastIndex).toBe(terms.length - 1)
          expect(terms.map((_, index) => log.termAt(index))).toEqual(terms)
          for (let i = 0; i < sizes.length; i++) {
            expect(log.hot.bytesAbove(i - 1)).toBe(sizes.slice(i).reduce((sum, size) => sum + size, 0))
          }
        }
      }),
      { numRuns: 200 },
    )
  })

  test('a truncation lowers what pending writes vouch for', () => {
    const log = new LogView(empty, NO_FAULTS)
    log.append(5, 1, [], 0)
    log.handedOut(1)
    log.truncate(2)
    log.append(3, 2, [], 0)
    log.handedOut(2)
    log.persisted(1)
    expect(log.durableIndex).toBe(1)
    log.persisted(2)
    expect(log.durableIndex).toBe(4)
    log.truncate(3)
    expect(log.durableIndex).toBe(2)
  })

  test('one completion covers all writes up to it', () => {
    const log = new LogView(empty, NO_FAULTS)
    for (let seq = 1; seq <= 3; seq++) {
      log.append(1, 1, [], 0)
      log.handedOut(seq)
    }
    log.persisted(2)
    expect(log.durableIndex).toBe(1)
    log.persisted(2)
    expect(log.durableIndex).toBe(1)
  })
})

describe('HotSizes', () => {
  test('memory follows the bytes kept, not the log', () => {
    const hot = new HotSizes(0)
    for (let index = 0; index < 100_000; index++) {
      hot.append(50)
      hot.shrink(5000, index)
    }
    expect(hot).toMatchObject({ firstIndex: 99_900, lastIndex: 99_999, bytes: 5000 })
  })

  test('keeps what must not be dropped, and grows for it', () => {
    const hot = new HotSizes(7)
    for (let index = 7; index < 5007; index++) hot.append(10)
    hot.shrink(0, 6)
    expect(hot).toMatchObject({ firstIndex: 7, bytes: 50_000 })
    expect(hot.bytesOf(7, 9)).toBe(30)
    hot.shrink(0, 5006)
    expect(hot).toMatchObject({ firstIndex: 5007, lastIndex: 5006, bytes: 0 })
  })

  test.each([
    { bytesMax: 0, last: 3 },
    { bytesMax: 10, last: 3 },
    { bytesMax: 29, last: 3 },
    { bytesMax: 30, last: 4 },
    { bytesMax: 59, last: 4 },
    { bytesMax: 60, last: 5 },
    { bytesMax: 1000, last: 5 },
  ])('a batch of at most $bytesMax bytes from 10, 20, 30 ends at $last', ({ bytesMax, last }) => {
    const hot = new HotSizes(3)
    for (const size of [10, 20, 30]) hot.append(size)
    expect(hot.endOfBatch(3, 5, bytesMax)).toBe(last)
  })
})

describe('quorum', () => {
  test.each([
    { voters: 1, majority: 1 },
    { voters: 2, majority: 2 },
    { voters: 3, majority: 2 },
    { voters: 4, majority: 3 },
    { voters: 5, majority: 3 },
  ])('$majority of $voters', ({ voters, majority }) => expect(majorityOf(voters)).toBe(majority))

  test('the highest index that a majority reaches, by the definition', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -1, max: 20 }), { minLength: 1, maxLength: 7 }), (indexes) => {
        const needed = majorityOf(indexes.length)
        const found = highestReachedBy(Float64Array.from(indexes), indexes.length, needed)
        const reach = (index: number): number => indexes.filter((each) => each >= index).length
        expect(reach(found)).toBeGreaterThanOrEqual(needed)
        expect(reach(found + 1)).toBeLessThan(needed)
      }),
    )
  })
})
