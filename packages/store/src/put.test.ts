/** Places that a leader gives: consecutive whatever is refused, and void when the leadership ends. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { PutResult } from './api.ts'
import type { StoreError } from './errors.ts'
import { MemoryMetadata } from './metadata/memory-metadata.ts'
import type { StoreCore } from './store-core.ts'
import { close, flush, load, makeCore, message, TempDirectory } from './testing/fixture.ts'
import { ManualClock, passes } from './testing/manual-clock.ts'
import { MemoryLog } from './testing/memory-log.ts'
import { UNWRITTEN_MAX } from './put.ts'

let temp: TempDirectory
let log: MemoryLog
let core: StoreCore
let told: (number | string)[]
beforeEach(async () => {
  temp = new TempDirectory()
  log = new MemoryLog()
  told = []
  const clock = new ManualClock()
  core = makeCore({ directory: temp.path, clock, metadata: new MemoryMetadata(clock) })
  await load(core)
  log.lead(core)
})
afterEach(async () => {
  await close(core)
  temp.remove()
})

const listener = {
  stored: (result: PutResult) => {
    told.push(result.queueOffset)
  },
  putFailed: (error: StoreError) => {
    told.push(error.code)
  },
}
const batchListener = {
  stored: (results: readonly PutResult[]) => {
    told.push(results.map(({ queueOffset }) => queueOffset).join())
  },
  putFailed: listener.putFailed,
}
const messages = (count: number) => Array.from({ length: count }, (_, i) => message('T', `m${i}`))

test('nothing is taken while too much of the state is not written yet', async () => {
  const unwritten = vi.spyOn(core.machine.metadata, 'unwrittenCount', 'get').mockReturnValue(UNWRITTEN_MAX)
  core.putter.put(message('T', 'refused'), listener)
  core.putter.putBatch(messages(2), batchListener)
  await passes()
  unwritten.mockReturnValue(UNWRITTEN_MAX - 1)
  core.putter.put(message('T', 'taken'), listener)
  await passes()
  log.commit()
  expect(told).toEqual(['BUSY', 'BUSY', 0])
})

test('what the database does not have counts until its batch is written', async () => {
  const { metadata } = core.machine
  core.putter.put(message('T', 'later', { properties: 'TIMER_DELAY_SEC\x0160\x02' }), listener)
  await passes()
  log.commit()
  expect(told).toEqual([0])
  expect(metadata.unwrittenCount).toBeGreaterThan(0)
  await flush(core, 0)
  expect(metadata.unwrittenCount).toBe(0)
})

describe('queue offsets', () => {
  test('count what is under way', async () => {
    for (const each of messages(3)) core.putter.put(each, listener)
    await passes()
    log.commit(1)
    core.putter.put(message('T', 'x'), listener)
    await passes()
    log.commit()
    expect(told).toEqual([0, 1, 2, 3])
  })

  test('are not used up by what is refused', async () => {
    log.refuses = (n) => n === 1
    for (const each of messages(3)) core.putter.put(each, listener)
    await passes()
    log.commit()
    expect(told).toEqual(['BUSY', 0, 1])
  })

  test.each([0, 1, 2, 3])('go on behind what survived when the leadership comes back: %i of 3', async (kept) => {
    for (const each of messages(3)) core.putter.put(each, listener)
    await passes()
    log.lose(kept)
    expect(told).toEqual(['TIMEOUT', 'TIMEOUT', 'TIMEOUT'])
    log.lead(core)
    core.putter.put(message('T', 'x'), listener)
    await passes()
    log.commit()
    expect(told.at(-1)).toBe(kept)
  })
})

describe('a batch', () => {
  test('is told once, with the place of each', async () => {
    core.putter.putBatch(messages(3), batchListener)
    await passes()
    log.commit(2)
    expect(told).toEqual([])
    log.commit()
    expect(told).toEqual(['0,1,2'])
  })

  const rows: { name: string; refused: number; expected: string; visible: number }[] = [
    { name: 'the first', refused: 0, expected: 'BUSY', visible: 0 },
    { name: 'one in the middle', refused: 2, expected: 'TIMEOUT', visible: 2 },
    { name: 'the last', refused: 3, expected: 'TIMEOUT', visible: 3 },
  ]
  test.each(rows)('stores nothing behind a refusal: $name', async ({ refused, expected, visible }) => {
    log.refuses = (n) => n === refused
    const given = messages(4)
    core.putter.putBatch(given, batchListener)
    await passes()
    log.commit()
    await passes()
    expect(told).toEqual([expected])
    expect(core.machine.queues.find('T', 0)?.nextOffset ?? 0).toBe(visible)
    // The caller's messages are as they were: it may send them again.
    expect(given.map(({ sysFlag }) => sysFlag)).toEqual([0, 0, 0, 0])
    core.putter.put(message('T', 'x'), listener)
    await passes()
    log.commit()
    expect(told.at(-1)).toBe(visible)
  })

  test('is for one queue and holds no delayed message', async () => {
    core.putter.putBatch([message('T', 'a'), message('T', 'b', { queueId: 1 })], batchListener)
    core.putter.putBatch([message('T', 'a'), message('T', 'b', { properties: 'DELAY\x011\x02' })], batchListener)
    await passes()
    expect(told).toEqual(['INVALID', 'INVALID'])
    expect(log.waiting).toBe(0)
  })
})
