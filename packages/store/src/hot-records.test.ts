import { describe, expect, test } from 'vitest'
import { HotRecords } from './hot-records.ts'

/** Entries of a log buffer: a 48-byte header before each record of `sizes`, filled with its number. */
function batch(pos: number, sizes: readonly number[]): { buffer: Buffer; records: [number, Buffer][]; end: number } {
  const buffer = Buffer.allocUnsafeSlow(sizes.reduce((sum, size) => sum + 48 + size, 0))
  const records: [number, Buffer][] = []
  let at = 0
  for (const [i, size] of sizes.entries()) {
    buffer.fill(0xff, at, at + 48).fill(i, at + 48, at + 48 + size)
    records.push([pos + at + 48, buffer.subarray(at + 48, at + 48 + size)])
    at += 48 + size
  }
  return { buffer, records, end: pos + at }
}

describe('the newest records', () => {
  test('are slices of the buffers they came in', () => {
    const hot = new HotRecords(1_000_000)
    const one = batch(0, [10, 20, 30])
    const two = batch(one.end, [5])
    // A file ended: the next batch is further on.
    const three = batch(two.end + 1_000, [7, 7])
    for (const { records } of [one, two, three]) for (const [at, record] of records) hot.add(at, record)
    for (const { buffer, records } of [one, two, three]) {
      for (const [at, record] of records) {
        const found = hot.find(at, record.length)
        expect(found).toEqual(record)
        expect(found?.buffer).toBe(buffer.buffer)
      }
    }
    expect(hot.find(two.end + 100, 1)).toBeUndefined()
    expect(hot.find(three.end, 1)).toBeUndefined()
    expect(hot.find(three.end - 7, 8)).toBeUndefined()
    expect(hot.find(0, 1)).toBeUndefined()
  })

  test('stay below the bound in what they hold, whole buffers counted, and the newest stays', () => {
    const hot = new HotRecords(10_000)
    let end = 0
    const places: number[] = []
    for (let i = 0; i < 100; i++) {
      // A small record that holds a large buffer.
      const buffer = Buffer.alloc(2_000)
      hot.add(end + 48, buffer.subarray(100, 110))
      places.push(end + 48)
      end += 58
      hot.shrink()
      expect(hot.bytes).toBeLessThanOrEqual(10_000)
    }
    expect(places.filter((at) => hot.find(at, 10) !== undefined)).toEqual(places.slice(-4))
    const large = Buffer.alloc(50_000)
    hot.add(end + 48, large)
    hot.shrink()
    expect(hot.find(end + 48, 50_000)).toBeDefined()
    expect(hot.find(end - 10, 10)).toBeUndefined()
  })
})
