import { Packr } from 'msgpackr'
import { describe, expect, test } from 'vitest'
import { decodeQueue, encodeQueue, queueKey } from './kept-rows.ts'

const KEY = queueKey('T', 3)
const KEPT = {
  nextOffset: 1_200,
  minOffset: 7,
  firstPhysicalOffset: 4_000,
  lastPhysicalOffset: 90_000,
  syncedOffset: 900,
  sumFrom: 1_000,
  sum: -5,
}

describe('the row of a queue', () => {
  test('is read as it was written', () => {
    expect(decodeQueue(KEY, encodeQueue(KEPT))).toEqual({ topic: 'T', queueId: 3, kept: KEPT })
  })

  test('of before there were sums vouches for no entry', () => {
    const value = new Packr().pack([1_200, 7, 4_000, 90_000, 900])
    expect(decodeQueue(KEY, value).kept).toEqual({ ...KEPT, sumFrom: 1_200, sum: 0 })
  })

  test.each([{ sumFrom: 1_201 }, { sumFrom: 699 }, { sumFrom: -1 }, { sum: 0.5 }])('with %j is damaged', (wrong) => {
    expect(() => decodeQueue(KEY, encodeQueue({ ...KEPT, ...wrong }))).toThrow('cannot be read')
  })
})
