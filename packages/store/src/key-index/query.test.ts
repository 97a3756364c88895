/** Finding messages by key through a whole store. */
import fs from 'node:fs'
import path from 'node:path'
import { type Clock, systemClock } from '@dledger-ts/base'
import { decodeRecord, recordPhysicalOffset } from '@dledger-ts/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { QueryRequest } from '../api.ts'
import { MessageStore } from '../message-store.ts'
import type { MessageStoreOptions } from '../options.ts'
import { message, TempDirectory } from '../testing/fixture.ts'
import { ManualClock, passing } from '../testing/manual-clock.ts'

let directory: TempDirectory
let opened: MessageStore[]

beforeEach(() => {
  directory = new TempDirectory()
  opened = []
})

afterEach(async () => {
  for (const store of opened) await store.close()
  directory.remove()
})

async function open(more: Partial<MessageStoreOptions> = {}): Promise<MessageStore> {
  const store = await MessageStore.open({
    dir: directory.path,
    fileBytes: 64 * 1024,
    maxHashSlotNum: 64,
    maxIndexNum: 32,
    flushDiskType: 'ASYNC_FLUSH',
    ...more,
  })
  opened.push(store)
  return store
}

function keyed(body: string, properties: Record<string, string>, topic = 'T'): ReturnType<typeof message> {
  const block = Object.entries(properties).map(([name, value]) => `${name}\x01${value}\x02`)
  return message(topic, body, { properties: block.join('') })
}

async function find(store: MessageStore, request: Partial<QueryRequest> & { key: string }): Promise<string[]> {
  const { records, isComplete } = await store.query({ topic: 'T', maxCount: 1000, ...request })
  expect(isComplete).toBe(true)
  return records.map((record) => decodeRecord(record).body.toString())
}

const indexFiles = (): string[] => {
  const index = path.join(directory.path, 'index')
  return fs.existsSync(index) ? fs.readdirSync(index).sort() : []
}

describe('a query by key', () => {
  test('finds what was put as soon as that is visible, newest first', async () => {
    const store = await open()
    await store.store(keyed('one', { KEYS: 'order-1 buyer-7', UNIQ_KEY: 'u1' }))
    await store.store(keyed('two', { KEYS: 'order-2 buyer-7', UNIQ_KEY: 'u2' }))
    await store.store(keyed('elsewhere', { KEYS: 'buyer-7' }, 'Other'))
    expect(await find(store, { key: 'buyer-7' })).toEqual(['two', 'one'])
    expect(await find(store, { key: 'order-1' })).toEqual(['one'])
    expect(await find(store, { key: 'u2' })).toEqual(['two'])
    expect(await find(store, { key: 'nobody' })).toEqual([])
    expect(await find(store, { key: 'buyer-7', maxCount: 1 })).toEqual(['two'])
    expect(await find(store, { key: 'buyer-7', topic: 'Other' })).toEqual(['elsewhere'])
  })

  test('lets everything else have its turn, however many there are and though all is in memory', async () => {
    // Whoever looks at it finds that much time has passed.
    let nowMs = 0
    const clock: Clock = { ...systemClock, monotonicMs: () => (nowMs += 50) }
    const store = await open({ clock })
    for (let i = 0; i < 20; i++) await store.store(keyed(String(i), { KEYS: 'x', UNIQ_KEY: `u${i}` }))
    const order: string[] = []
    const queries = Array.from({ length: 8 }, async () => {
      expect(await find(store, { key: 'x' })).toHaveLength(20)
      order.push('query')
    })
    const rest = (async () => {
      for (let i = 0; i < 8; i++) {
        await new Promise<void>((resolve) => systemClock.defer(resolve))
        order.push('rest')
      }
    })()
    await Promise.all([...queries, rest])
    expect(order.slice(0, 8)).toEqual(Array.from({ length: 8 }, () => 'rest'))
  })

  test('tells a unique id from a key of the same text', async () => {
    const store = await open()
    await store.store(keyed('mine', { UNIQ_KEY: 'x' }))
    await store.store(keyed('not mine', { UNIQ_KEY: 'y', KEYS: 'x' }))
    expect(await find(store, { key: 'x' })).toEqual(['not mine', 'mine'])
    expect(await find(store, { key: 'x', uniqueKeyOnly: true })).toEqual(['mine'])
    const record = await store.messageByUniqueId('T', 'x')
    expect(record === undefined ? '' : decodeRecord(record).body.toString()).toBe('mine')
    expect(await store.messageByUniqueId('T', 'z')).toBeUndefined()
  })

  test('tells keys of one hash from each other', async () => {
    const store = await open()
    // "Aa" and "BB" have the same hash in Java.
    await store.store(keyed('first', { KEYS: 'Aa' }))
    await store.store(keyed('second', { KEYS: 'BB' }))
    await store.store(keyed('both', { KEYS: 'Aa BB' }))
    expect(await find(store, { key: 'Aa' })).toEqual(['both', 'first'])
    expect(await find(store, { key: 'BB' })).toEqual(['both', 'second'])
  })

  test('keeps to the times, both included, to the millisecond', async () => {
    const clock = new ManualClock()
    const store = await open({ clock })
    const start = clock.nowMs()
    for (let n = 0; n < 40; n++) {
      await store.store(keyed(String(n), { KEYS: 'k' }))
      clock.advance(700)
    }
    const between = (begin: number, end: number): Promise<string[]> =>
      find(store, { key: 'k', beginTime: start + begin * 700, endTime: start + end * 700 })
    expect(await between(3, 5)).toEqual(['5', '4', '3'])
    expect(await between(33.001, 34.999)).toEqual(['34'])
    expect(await between(39, 99)).toEqual(['39'])
    expect(await between(-9, 0)).toEqual(['0'])
    expect(await between(40, 99)).toEqual([])
    expect(await find(store, { key: 'k', endTime: Number.MAX_SAFE_INTEGER, maxCount: 2 })).toEqual(['39', '38'])
    await passing(clock, store.close())
  })

  test('goes over many files, memory and disk, and is answered the same after a restart', async () => {
    let store = await open()
    const expected: string[] = []
    for (let n = 0; n < 200; n++) {
      await store.store(keyed(String(n), { KEYS: `k${n % 3} all` }))
      expected.unshift(String(n))
    }
    expect(await find(store, { key: 'all' })).toEqual(expected)
    await store.close()
    // 400 keys, 31 in a file.
    expect(indexFiles().length).toBe(13)
    store = await open()
    expect(await find(store, { key: 'all' })).toEqual(expected)
    expect(await find(store, { key: 'k1', maxCount: 2 })).toEqual(['199', '196'])
    await store.store(keyed('more', { KEYS: 'all' }))
    expect(await find(store, { key: 'all', maxCount: 2 })).toEqual(['more', '199'])
  })

  test('gives the offsets that a message is stored at', async () => {
    const store = await open()
    const put = await store.store(keyed('one', { UNIQ_KEY: 'u1' }))
    const result = await store.query({ topic: 'T', key: 'u1', maxCount: 32 })
    expect(result).toMatchObject({
      lastStoreTimestamp: put.storeTimestamp,
      lastPhysicalOffset: put.physicalOffset,
      recordBytes: put.recordBytes,
    })
    expect(recordPhysicalOffset(result.records[0] as Buffer)).toBe(put.physicalOffset)
  })

  test('that ends at a bound says so', async () => {
    const store = await open()
    const big = 'x'.repeat(60_000)
    for (let n = 0; n < 200; n++) await store.store(keyed(big, { KEYS: 'k' }))
    const { records, isComplete, recordBytes } = await store.query({ topic: 'T', key: 'k', maxCount: 1000 })
    expect([records.length < 200, isComplete]).toEqual([true, false])
    expect(recordBytes).toBeGreaterThanOrEqual(8 * 1024 * 1024)
  })

  test('is refused without a count, and finds nothing where keys are not indexed', async () => {
    const store = await open({ messageIndexEnable: false })
    await store.store(keyed('one', { KEYS: 'k' }))
    expect(await store.query({ topic: 'T', key: 'k', maxCount: 1 })).toMatchObject({ records: [], isComplete: false })
    await expect(store.query({ topic: 'T', key: 'k', maxCount: 0 })).rejects.toMatchObject({ code: 'INVALID' })
    await store.close()
    await expect(store.query({ topic: 'T', key: 'k', maxCount: 1 })).rejects.toMatchObject({ code: 'CLOSED' })
    expect(indexFiles()).toEqual([])
    // What was stored meanwhile is indexed when it is on again.
    const again = await open()
    expect(await find(again, { key: 'k' })).toEqual(['one'])
  })
})

test.each([{ maxHashSlotNum: 0 }, { maxIndexNum: 1 }, { maxHashSlotNum: 600_000_000 }, { maxIndexNum: 20.5 }])(
  '%j is refused',
  async (options) => {
    await expect(open(options)).rejects.toMatchObject({ code: 'INVALID' })
  },
)
