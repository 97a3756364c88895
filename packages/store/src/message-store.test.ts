/** A store of one member on real files: what is put is what is read, and what is refused says why. */
import fs from 'node:fs'
import path from 'node:path'
import { DLedger } from '@dledger-ts/dledger'
import { decodeRecords, javaHash, offsetMsgId, recordBody, RecordDraft } from '@dledger-ts/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { GetStatus, NewMessage, PutListener } from './api.ts'
import { RecordEnvelope } from './control-envelope.ts'
import { MessageStore } from './message-store.ts'
import { changeRecord } from './metadata/change.ts'
import type { MessageStoreOptions } from './options.ts'
import { get, HOST, message, TempDirectory } from './testing/fixture.ts'
import { ManualClock, passes, until } from './testing/manual-clock.ts'

import { bodies, OpenedStores, putBatch } from './testing/opened-stores.ts'

let stores: OpenedStores
let temp: TempDirectory
beforeEach(() => {
  stores = new OpenedStores()
  ;({ temp } = stores)
})
afterEach(() => stores.close())

const open = (more?: Partial<MessageStoreOptions>): Promise<MessageStore> => stores.open(more)

describe('putting', () => {
  test('tells the place, and all that was put is read there in order', async () => {
    const store = await open()
    const [first, second] = await Promise.all([
      store.store(message('T', 'one', { properties: 'TAGS\x01a\x02' })),
      store.store(message('T', 'two')),
    ])
    expect([first.queueOffset, second.queueOffset]).toEqual([0, 1])
    expect(second.physicalOffset).toBe(first.physicalOffset + first.recordBytes + 48)
    const { status, records, nextBeginOffset, recordBytes } = await get(store, { topic: 'T' })
    expect({ status, nextBeginOffset }).toEqual({ status: 'FOUND', nextBeginOffset: 2 })
    expect(recordBytes).toBe(first.recordBytes + second.recordBytes)
    const decoded = decodeRecords(Buffer.concat(records))
    expect(decoded.map((record) => record.body.toString())).toEqual(['one', 'two'])
    expect(decoded[1]).toMatchObject({
      topic: 'T',
      queueOffset: 1,
      physicalOffset: second.physicalOffset,
      storeTimestamp: second.storeTimestamp,
    })
    expect(await store.messageAt(first.physicalOffset)).toEqual(records[0])
    expect(await store.messageAt(first.physicalOffset + 1)).toBeUndefined()
    expect(await store.messageAt(10_000_000)).toBeUndefined()
    expect(offsetMsgId(HOST, first.physicalOffset)).toMatch(/^[0-9A-F]{32}$/)
  })

  test('what the store keeps between them is no message: nobody reads a password by its place', async () => {
    const store = await open()
    const before = await store.store(message('T', 'before'))
    const user = { username: 'u', password: 'the password of u', type: 'Normal', status: 'enable' } as const
    await store.changeAccess(() => ({ kind: 'putUser', user }))
    await store.store(message('T', 'after'))
    const changeAt = before.physicalOffset + before.recordBytes + 48
    const log = fs.readFileSync(path.join(temp.path, 'commitlog', 'dledger-n0', 'data', '00000000000000000000'))
    expect(log.indexOf(user.password)).toBeGreaterThan(changeAt)
    expect(log.indexOf(user.password)).toBeLessThan(changeAt + log.readInt32BE(changeAt))
    expect(await store.messageAt(changeAt)).toBeUndefined()
  })

  test('a batch gets consecutive queue offsets', async () => {
    const store = await open()
    await store.store(message('T', 'before'))
    const results = await putBatch(store, [message('T', 'a'), message('T', 'b'), message('T', 'c')])
    expect(results.map((result) => result.queueOffset)).toEqual([1, 2, 3])
    expect(await bodies(store, 'T')).toEqual(['before', 'a', 'b', 'c'])
  })

  test('a half or rolled back message has queue offset 0 and no queue entry', async () => {
    const store = await open()
    await store.store(message('T', 'one'))
    for (const sysFlag of [0x4, 0xc]) {
      const result = await store.store(message('T', 'half', { sysFlag }))
      expect(result.queueOffset).toBe(0)
      expect(await store.messageAt(result.physicalOffset)).toBeDefined()
    }
    expect((await store.store(message('T', 'committed', { sysFlag: 0x8 }))).queueOffset).toBe(1)
    expect(await bodies(store, 'T')).toEqual(['one', 'committed'])
  })

  const refusals: { name: string; given: NewMessage; code: string }[] = [
    { name: 'a topic that is no name', given: message('../../etc', 'x'), code: 'INVALID' },
    { name: 'the topic of the store itself', given: message('rmq_sys_dledger', 'x'), code: 'INVALID' },
    { name: 'a negative queue id', given: message('T', 'x', { queueId: -1 }), code: 'INVALID' },
    {
      name: 'properties over their limit',
      given: message('T', 'x', { properties: 'x'.repeat(32_768) }),
      code: 'TOO_LARGE',
    },
    {
      name: 'a record larger than a log file',
      given: message('T', 'x', { body: Buffer.alloc(1024 * 1024) }),
      code: 'TOO_LARGE',
    },
    {
      name: 'a delayed message whose delivery would not fit',
      given: message('T', 'x', { properties: `DELAY\x011\x02k\x01${'x'.repeat(32_700)}\x02` }),
      code: 'TOO_LARGE',
    },
  ]
  test.each(refusals)('is refused for $name, later and once', async ({ given, code }) => {
    const store = await open()
    const told: string[] = []
    const listener: PutListener = {
      stored: () => told.push('stored'),
      putFailed: (error) => told.push(error.code),
    }
    store.put(given, listener)
    expect(told).toEqual([])
    await until(() => told.length > 0, 'the listener is told')
    await passes()
    expect(told).toEqual([code])
    expect(store.maxOffset(given.topic, given.queueId)).toBe(0)
    expect(store.maxOffset('SCHEDULE_TOPIC_XXXX', 0)).toBe(0)
  })

  test('fails with CLOSED after the store is closed', async () => {
    const store = await open()
    await store.close()
    await expect(store.store(message('T', 'x'))).rejects.toMatchObject({ code: 'CLOSED' })
    expect(store.isReady()).toBe(false)
  })

  test('the store timestamp never goes back when the clock does', async () => {
    const clock = new ManualClock()
    const store = await open({ clock })
    const first = await store.store(message('T', 'one'))
    clock.advance(-5_000)
    const second = await store.store(message('T', 'two'))
    expect(second.storeTimestamp).toBe(first.storeTimestamp)
  })
})

describe('reading', () => {
  const rows: { name: string; topic: string; queueOffset: number; expected: [GetStatus, number] }[] = [
    { name: 'an unknown queue', topic: 'None', queueOffset: 0, expected: ['NO_MATCHED_LOGIC_QUEUE', 0] },
    { name: 'an unknown queue at an offset', topic: 'None', queueOffset: 7, expected: ['NO_MATCHED_LOGIC_QUEUE', 0] },
    { name: 'an offset below the first', topic: 'T', queueOffset: -1, expected: ['OFFSET_TOO_SMALL', 0] },
    { name: 'the end', topic: 'T', queueOffset: 5, expected: ['OFFSET_OVERFLOW_ONE', 5] },
    { name: 'beyond the end', topic: 'T', queueOffset: 6, expected: ['OFFSET_OVERFLOW_BADLY', 5] },
    { name: 'a message', topic: 'T', queueOffset: 3, expected: ['FOUND', 5] },
  ]
  test('answers as Apache does', async () => {
    const store = await open()
    for (let i = 0; i < 5; i++) await store.store(message('T', `m${i}`))
    for (const { name, topic, queueOffset, expected } of rows) {
      const { status, nextBeginOffset } = await get(store, { topic, queueOffset })
      expect([status, nextBeginOffset], name).toEqual(expected)
    }
  })

  test('filters by tag code and passes over what does not match', async () => {
    const store = await open()
    for (const tag of ['a', 'b', 'a', 'c']) await store.store(message('T', tag, { properties: `TAGS\x01${tag}\x02` }))
    await store.store(message('T', 'none'))
    const wanted = await get(store, { topic: 'T', tagFilter: new Set([javaHash('a')]) })
    expect(wanted.records.map((record) => recordBody(record).toString())).toEqual(['a', 'a'])
    expect(wanted.nextBeginOffset).toBe(5)
    const nothing = await get(store, { topic: 'T', queueOffset: 1, tagFilter: new Set([javaHash('z')]) })
    expect([nothing.status, nothing.nextBeginOffset]).toEqual(['NO_MATCHED_MESSAGE', 5])
  })

  test('stops at the limits, but the first message always goes', async () => {
    const store = await open()
    for (let i = 0; i < 5; i++) await store.store(message('T', 'x'.repeat(100)))
    const size = (await get(store, { topic: 'T', maxCount: 1 })).recordBytes
    expect((await get(store, { topic: 'T', maxCount: 3 })).nextBeginOffset).toBe(3)
    expect((await get(store, { topic: 'T', maxBytes: 2 * size })).records.length).toBe(2)
    expect((await get(store, { topic: 'T', maxBytes: 2 * size - 1 })).records.length).toBe(1)
    expect((await get(store, { topic: 'T', maxBytes: 1 })).records.length).toBe(1)
  })

  test('finds offsets by time, at both boundaries', async () => {
    const clock = new ManualClock(1_000_000 - 50)
    const store = await open({ clock })
    const times: number[] = []
    for (let i = 0; i < 6; i++) {
      times.push((await store.store(message('T', `m${i}`))).storeTimestamp)
      clock.advance(i % 2 === 0 ? 0 : 100)
    }
    expect(times).toEqual([1_000_000, 1_000_000, 1_000_100, 1_000_100, 1_000_200, 1_000_200])
    const find = (time: number, boundary: 'LOWER' | 'UPPER') => store.offsetByTimestamp('T', 0, time, boundary)
    expect(await find(1_000_100, 'LOWER')).toBe(2)
    expect(await find(1_000_100, 'UPPER')).toBe(3)
    expect(await find(1_000_150, 'LOWER')).toBe(4)
    expect(await find(1_000_150, 'UPPER')).toBe(3)
    expect(await find(0, 'LOWER')).toBe(0)
    expect(await find(0, 'UPPER')).toBe(0)
    expect(await find(Number.MAX_SAFE_INTEGER, 'LOWER')).toBe(6)
    expect(await find(Number.MAX_SAFE_INTEGER, 'UPPER')).toBe(5)
    expect(await store.earliestStoreTime('T', 0)).toBe(1_000_000)
    expect(await store.earliestStoreTime('None', 0)).toBe(-1)
    // The first record is the leader's no-op.
    expect(await store.oldestStoreTime()).toBeLessThanOrEqual(1_000_000)
    expect(await store.oldestStoreTime()).toBeGreaterThan(0)
  })

  test('tells arrivals when they can be read, each once', async () => {
    const store = await open()
    const arrived: unknown[] = []
    const stop = store.onMessages({
      messageArrived: (topic, queueId, tagsCode, queueOffset, recordBytes) => {
        expect(store.maxOffset(topic, queueId)).toBeGreaterThan(queueOffset)
        arrived.push([topic, queueId, tagsCode, queueOffset, recordBytes])
      },
    })
    const first = await store.store(message('T', 'x', { queueId: 2, properties: 'TAGS\x01a\x02' }))
    const second = await store.store(message('T', 'x', { queueId: 2 }))
    stop()
    await store.store(message('T', 'x'))
    expect(arrived).toEqual([
      ['T', 2, javaHash('a'), 0, first.recordBytes],
      ['T', 2, 0, 1, second.recordBytes],
    ])
  })

  test('shows the entries of a queue, none where it has none', async () => {
    const store = await open()
    const put = [
      await store.store(message('T', 'one', { properties: 'TAGS\x01a\x02' })),
      await store.store(message('T', 'two')),
      await store.store(message('T', 'three')),
    ]
    const entries = put.map(({ physicalOffset, recordBytes: size }, i) => ({
      physicalOffset,
      size,
      tagsCode: i === 0 ? javaHash('a') : 0,
    }))
    expect(await store.queueEntries('T', 0, 0, 2)).toEqual(entries.slice(0, 2))
    expect(await store.queueEntries('T', 0, 1, 99)).toEqual(entries.slice(1))
    expect(await store.queueEntries('T', 0, 3, 9)).toEqual([])
    expect(await store.queueEntries('T', 0, -1, 9)).toEqual([])
    expect(await store.queueEntries('T', 1, 0, 9)).toBeUndefined()
  })
})

describe('errors', () => {
  test('a batch without messages is refused', async () => {
    const store = await open()
    await expect(putBatch(store, [])).rejects.toMatchObject({ code: 'INVALID' })
  })

  test('a CommitLog of Apache without DLedger is refused, with a line that says how to move its messages', async () => {
    const plain = path.join(temp.path, 'commitlog', '0'.repeat(20))
    fs.mkdirSync(path.dirname(plain), { recursive: true })
    fs.writeFileSync(plain, 'messages')
    await expect(open()).rejects.toMatchObject({
      code: 'INVALID',
      message: expect.stringMatching(/written without DLedger .*drained it/) as string,
    })
    expect(fs.readdirSync(path.dirname(plain))).toEqual([path.basename(plain)])
    expect(fs.readdirSync(temp.path)).toEqual(['commitlog'])
  })

  test('a store that holds a change of a newer version does not open', async () => {
    const store = await open()
    await store.store(message('T', 'x'))
    await store.close()
    const log = await DLedger.open({
      directory: path.join(temp.path, 'commitlog/dledger-n0'),
      fileBytes: 1024 * 1024,
      controlEnvelope: new RecordEnvelope(null, () => 1),
    })
    const fields = changeRecord(Buffer.from('81a17602', 'hex'), HOST, 0)
    const draft = new RecordDraft(fields)
    await new Promise<void>((resolve, reject) => {
      log.propose({
        bodyBytes: draft.bytes,
        encodeBody: (target, at, { pos }) =>
          draft.encode(target, at, { queueOffset: 0, physicalOffset: pos + 48, storeTimestamp: 1 }),
        committed: () => resolve(),
        failed: reject,
      })
    })
    await log.close()
    const told: Error[] = []
    await expect(open({ onFatal: (error) => told.push(error) })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('version 2; this program knows version 1') as string,
    })
    expect(told).toHaveLength(1)
  })
})
