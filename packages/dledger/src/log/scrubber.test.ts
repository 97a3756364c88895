/** How far a pass goes, and how fast. */
import { expect, test } from 'vitest'
import type { EntryBatch } from './entry-batch.ts'
import { Scrubber } from './scrubber.ts'

const ENTRY_BYTES = 100

function batchOf(firstIndex: number, count: number): EntryBatch {
  return {
    firstIndex,
    count,
    term: 1,
    positions: Array.from({ length: count }, (_, i) => (firstIndex + i) * ENTRY_BYTES),
    sizes: Array.from({ length: count }, () => ENTRY_BYTES),
    bytes: Buffer.alloc(count * ENTRY_BYTES),
  }
}

test('a pass reads every entry up to where the log ended when it began, within its rate, and then rests', () => {
  let lastIndex = 49
  const read: number[] = []
  const scrubber = new Scrubber({
    bytesPerSecond: 1_000,
    intervalMs: 60_000,
    firstIndex: () => 10,
    lastIndex: () => lastIndex,
    nextGood: (index) => index,
    read: (firstIndex, last, bytesMax, callback) => {
      const count = Math.min(last - firstIndex + 1, Math.max(1, Math.floor(bytesMax / ENTRY_BYTES)))
      for (let i = 0; i < count; i++) read.push(firstIndex + i)
      callback(batchOf(firstIndex, count))
    },
  })
  let nowMs = 0
  for (; scrubber.progress.passes === 0; nowMs += 100) {
    scrubber.wake(nowMs)
    // It grows as fast as it is read.
    lastIndex++
    expect(scrubber.progress.bytes).toBeLessThanOrEqual(nowMs + ENTRY_BYTES)
  }
  expect(read).toEqual(Array.from({ length: 41 }, (_, i) => 10 + i))
  scrubber.wake(nowMs)
  scrubber.wake(nowMs + 50_000)
  expect(read).toHaveLength(41)
  for (; scrubber.progress.passes === 1; nowMs += 100) scrubber.wake(nowMs)
  expect(read.slice(41)).toEqual(Array.from({ length: lastIndex - 9 }, (_, i) => 10 + i))
})
