import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { HotRecords } from './hot-records.ts'
import { MessageStore } from './message-store.ts'
import { TempDirectory } from './testing/fixture.ts'

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
  test('are found by their place in the log, whatever becomes of the buffers they came in', () => {
    const hot = new HotRecords(1_000_000)
    const one = batch(0, [10, 20, 30])
    const two = batch(one.end, [5])
    // A file ended: the next batch is further on.
    const three = batch(two.end + 1_000, [7, 7])
    const batches = [one, two, three]
    const expected = batches.map(({ records }) => records.map(([at, record]) => ({ at, record: Buffer.from(record) })))
    for (const { buffer, records } of batches) {
      for (const [at, record] of records) hot.add(at, record)
      hot.settle()
      buffer.fill(0xee)
    }
    for (const { at, record } of expected.flat()) expect(hot.find(at, record.length)).toEqual(record)
    expect(hot.start).toBe(48)
    expect(hot.runAt(48)?.length).toBe(10 + 48 + 20 + 48 + 30)
    expect(hot.runAt(48 + 10 + 48)?.length).toBe(20 + 48 + 30)
    for (const [at, size] of [
      [two.end + 100, 1],
      [three.end, 1],
      [three.end - 7, 8],
      [0, 1],
    ] as const) {
      expect(hot.find(at, size)).toBeUndefined()
    }
  })

  test('are found before they are copied', () => {
    const hot = new HotRecords(1_000)
    hot.add(48, Buffer.from('first'))
    expect(hot.find(48, 5)?.toString()).toBe('first')
  })

  test('stay below the bound in what they take; a record that is larger is not kept, nor are those before it', () => {
    const hot = new HotRecords(600_000)
    let end = 0
    const places: number[] = []
    for (let i = 0; i < 1_000; i++) {
      hot.add(end + 48, Buffer.alloc(2_000, i))
      places.push(end + 48)
      end += 2_048
      hot.settle()
      expect(hot.bytes).toBeLessThanOrEqual(600_000)
    }
    const found = places.filter((at) => hot.find(at, 2_000) !== undefined)
    expect(found.length).toBeGreaterThan(130)
    expect(found).toEqual(places.slice(-found.length))
    expect(hot.start).toBe(found[0])
    for (const [i, at] of places.entries()) {
      const record = hot.find(at, 2_000)
      if (record !== undefined) expect(record.equals(Buffer.alloc(2_000, i))).toBe(true)
    }
    // Larger than a block, then larger than the bound.
    hot.add(end + 48, Buffer.alloc(500_000, 1))
    hot.settle()
    expect(hot.find(end + 48, 500_000)?.equals(Buffer.alloc(500_000, 1))).toBe(true)
    expect(hot.bytes).toBeLessThanOrEqual(600_000)
    hot.add(end + 600_000, Buffer.alloc(600_001))
    hot.settle()
    expect(hot.start).toBe(Number.POSITIVE_INFINITY)
    expect(hot.bytes).toBe(0)
  })

  test('hold what was added last of any sequence of batches', () => {
    const sizes = fc.array(fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 5 }), {
      maxLength: 60,
    })
    fc.assert(
      fc.property(
        sizes,
        fc.integer({ min: 0, max: 8_000 }),
        fc.integer({ min: 1, max: 900 }),
        (batches, bytesMax, blockBytes) => {
          const hot = new HotRecords(bytesMax, blockBytes)
          const all: [number, Buffer][] = []
          let end = 0
          for (const [i, sizesOfOne] of batches.entries()) {
            const { records, end: next } = batch(end, sizesOfOne)
            for (const [at, record] of records) {
              record.fill(i + record.length)
              hot.add(at, record)
              all.push([at, Buffer.from(record)])
            }
            hot.settle()
            expect(hot.bytes).toBeLessThanOrEqual(bytesMax)
            end = next
          }
          const isHot = all.map(([at, record]) => {
            const found = hot.find(at, record.length)
            if (found !== undefined) expect(found.equals(record)).toBe(true)
            return found !== undefined
          })
          const first = isHot.indexOf(true)
          if (first < 0) return
          // Nothing between is missing, and what `start` says is where they start.
          expect(isHot.slice(first)).not.toContain(false)
          expect(hot.start).toBe((all[first] as [number, Buffer])[0])
        },
      ),
    )
  })
})

test.each([-1, 0.5, 2 ** 32 + 1, Number.POSITIVE_INFINITY])(
  'a store with room for %d bytes of them is not opened',
  async (hotBytesMax) => {
    const temp = new TempDirectory()
    onTestFinished(() => temp.remove())
    await expect(MessageStore.open({ dir: temp.path, hotBytesMax })).rejects.toMatchObject({
      code: 'INVALID',
      message: `hotBytesMax is ${hotBytesMax}; a whole number from 0 to 4294967296 is allowed`,
    })
  },
)
