import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import type { EntryBatch } from '../log/entry-batch.ts'
import { HotTail } from './hot-tail.ts'

const BATCH_BYTES = 1_000

function batch(firstIndex: number): EntryBatch {
  const bytes = Buffer.allocUnsafeSlow(BATCH_BYTES).fill(firstIndex)
  return { firstIndex, term: 1, count: 1, positions: [firstIndex * BATCH_BYTES], sizes: [BATCH_BYTES], bytes }
}

test('what is beyond the bound is dropped, but nothing above the pinned index', () => {
  const hot = new HotTail(5 * BATCH_BYTES)
  for (let index = 0; index < 20; index++) hot.push(batch(index))
  hot.shrink(9)
  expect([hot.firstIndex, hot.bytes]).toEqual([10, 10 * BATCH_BYTES])
  hot.shrink(19)
  expect([hot.firstIndex, hot.bytes]).toEqual([15, 5 * BATCH_BYTES])
  expect(hot.find(14)).toBeUndefined()
  expect(hot.find(15)?.bytes[0]).toBe(15)
  expect(hot.slices(15, 5)?.map((bytes) => bytes[0])).toEqual([15, 16, 17, 18, 19])
  expect(hot.slices(14, 5)).toBeUndefined()
})

test('what was dropped is given back to the collector at once', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const hot = new HotTail(5 * BATCH_BYTES)
  const seen: WeakRef<Buffer>[] = []
  for (let index = 0; index < 100; index++) {
    const next = batch(index)
    seen.push(new WeakRef(next.bytes))
    hot.push(next)
  }
  hot.shrink(99)
  // What a WeakRef has shown is held until the present task is over.
  await new Promise((resolve) => setImmediate(resolve))
  collect()
  expect(seen.filter((bytes) => bytes.deref() !== undefined)).toHaveLength(5)
  expect(hot.bytes).toBe(5 * BATCH_BYTES)
})

test('all can be dropped, and what follows need not be the next', () => {
  const hot = new HotTail(0)
  hot.push(batch(0))
  hot.shrink(0)
  expect(hot.firstIndex).toBe(Number.POSITIVE_INFINITY)
  hot.push(batch(7))
  hot.truncateFrom(7)
  expect(hot.bytes).toBe(0)
})
