/** A store of one member on real files: what is put is what is read, before and after a restart, a kill and a rebuild. */
import fs from 'node:fs'
import path from 'node:path'
import { DLedger } from '@dledger-ts/dledger'
import { decodeRecords, javaHash, offsetMsgId, recordBody, RecordDraft } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { GetStatus, NewMessage, PutBatchListener, PutListener, PutResult } from './api.ts'
import { RecordEnvelope } from './control-envelope.ts'
import { MessageStore } from './message-store.ts'
import { changeRecord } from './metadata/change.ts'
import { MemoryMetadata } from './metadata/memory-metadata.ts'
import { defaultTopicConfig } from './metadata/topic-config.ts'
import type { MessageStoreOptions } from './options.ts'
import { filesBelow, get, HOST, message, TempDirectory } from './testing/fixture.ts'
import { ManualClock, passes, passing, until } from './testing/manual-clock.ts'

let temp: TempDirectory
const opened: { store: MessageStore; clock: ManualClock | null }[] = []
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(async () => {
  for (const { store, clock } of opened.splice(0)) {
    await (clock === null ? store.close() : passing(clock, store.close()))
  }
  temp.remove()
})

async function open(more: Partial<MessageStoreOptions> = {}): Promise<MessageStore> {
  const store = await MessageStore.open({
    dir: temp.path,
    fileBytes: 1024 * 1024,
    consumeQueueFileBytes: 200,
    onFatal: (error) => {
      throw error
    },
    ...more,
  })
  const clock = more.clock instanceof ManualClock ? more.clock : null
  opened.push({ store, clock })
  // The entry that binds the member's identity comes with a tick: tests count entries from there.
  if (clock !== null) {
    clock.advance(50)
    await until(
      () => store.status().appliedIndex === store.status().lastIndex && store.status().lastIndex > 0,
      'it is bound',
    )
  }
  return store
}

function putBatch(store: MessageStore, messages: readonly NewMessage[]): Promise<readonly PutResult[]> {
  return new Promise((stored, putFailed) => {
    const listener: PutBatchListener = { stored, putFailed }
    store.putBatch(messages, listener)
  })
}

async function bodies(store: MessageStore, topic: string, queueId = 0): Promise<string[]> {
  const found: string[] = []
  for (let at = 0; at < store.maxOffset(topic, queueId);) {
    const { records, nextBeginOffset } = await get(store, { topic, queueId, queueOffset: at })
    for (const record of records) found.push(recordBody(record).toString())
    at = nextBeginOffset
  }
  return found
}

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
  })

  test('tells arrivals when they can be read, each once', async () => {
    const store = await open()
    const arrived: unknown[] = []
    const stop = store.onMessages({
      messageArrived: (topic, queueId, tagsCode, queueOffset) => {
        expect(store.maxOffset(topic, queueId)).toBeGreaterThan(queueOffset)
        arrived.push([topic, queueId, tagsCode, queueOffset])
      },
    })
    await store.store(message('T', 'x', { queueId: 2, properties: 'TAGS\x01a\x02' }))
    await store.store(message('T', 'x', { queueId: 2 }))
    stop()
    await store.store(message('T', 'x'))
    expect(arrived).toEqual([
      ['T', 2, javaHash('a'), 0],
      ['T', 2, 0, 1],
    ])
  })
})

describe('a store that was stopped', () => {
  async function fill(store: MessageStore): Promise<void> {
    for (let i = 0; i < 40; i++) await store.store(message(`T${i % 2}`, `m${i}`, { queueId: i % 3 }))
    await store.putTopic(defaultTopicConfig('T0', 3))
    store.commitConsumerOffset('g', 'T0', 1, 4)
    await store.lockQueues('g', 'client', [{ topic: 'T0', queueId: 1 }])
    await store.flushConsumerOffsets()
  }
  async function contentOf(store: MessageStore): Promise<unknown> {
    const queues: Record<string, string[]> = {}
    for (const topic of ['T0', 'T1']) {
      for (const queueId of [0, 1, 2]) queues[`${topic}/${queueId}`] = await bodies(store, topic, queueId)
    }
    return {
      queues,
      topics: [...store.topics().values()],
      offset: store.consumerOffset('g', 'T0', 1),
      counter: store.dataVersion().counter,
      foreignLock: await store.lockQueues('g', 'other', [{ topic: 'T0', queueId: 1 }]),
    }
  }

  const ways: { name: string; harm: (dir: string) => void }[] = [
    { name: 'is as it was', harm: () => {} },
    {
      name: 'is built again without consumequeue/',
      harm: (dir) => fs.rmSync(path.join(dir, 'consumequeue'), { recursive: true }),
    },
    {
      name: 'is built again without metadata/',
      harm: (dir) => fs.rmSync(path.join(dir, 'metadata'), { recursive: true }),
    },
    {
      name: 'is built again without both',
      harm: (dir) => {
        fs.rmSync(path.join(dir, 'consumequeue'), { recursive: true })
        fs.rmSync(path.join(dir, 'metadata'), { recursive: true })
      },
    },
  ]
  test.each(ways)('$name, and goes on', async ({ harm }) => {
    const first = await open()
    await fill(first)
    const before = await contentOf(first)
    await first.close()
    const files = filesBelow(path.join(temp.path, 'consumequeue'))
    harm(temp.path)
    const second = await open()
    expect(await contentOf(second)).toEqual(before)
    const { queueOffset } = await second.store(message('T0', 'more', { queueId: 0 }))
    expect(queueOffset).toBe(7)
    await second.close()
    const after = filesBelow(path.join(temp.path, 'consumequeue'))
    expect([...after.keys()]).toEqual([...files.keys()])
    for (const [name, content] of files) if (!name.startsWith('T0/0/')) expect(after.get(name)).toBe(content)
  })

  test('reads what is on disk only when memory is kept small', async () => {
    const store = await open({ hotBytesMax: 1 })
    await fill(store)
    expect((await bodies(store, 'T0', 0)).length).toBe(7)
    await store.close()
    const again = await open({ hotBytesMax: 1 })
    expect((await bodies(again, 'T0', 0)).length).toBe(7)
    const { physicalOffset } = await again.store(message('T0', 'new'))
    expect(recordBody((await again.messageAt(physicalOffset)) as Buffer).toString()).toBe('new')
  })

  test('refuses a directory that is in use, in one line', async () => {
    await open()
    await expect(open()).rejects.toMatchObject({
      code: 'INVALID',
      message: expect.stringContaining('in use') as string,
    })
  })

  test('a start that is refused changes nothing on disk', async () => {
    const store = await open()
    await store.store(message('T', 'x'))
    await store.close()
    const snapshot = (): unknown => [
      filesBelow(path.join(temp.path, 'metadata')),
      fs.readFileSync(path.join(temp.path, 'commitlog/dledger-n0/hard-state')),
      fs.readdirSync(path.join(temp.path, 'commitlog/dledger-n0')),
    ]
    const before = snapshot()
    await expect(open({ fileBytes: 2 * 1024 * 1024 })).rejects.toMatchObject({ code: 'INVALID' })
    await expect(open({ group: 'another' })).rejects.toMatchObject({ code: 'INVALID' })
    expect(snapshot()).toEqual(before)
    // What nothing can make good: term and vote.
    const file = path.join(temp.path, 'commitlog/dledger-n0/hard-state')
    fs.writeFileSync(file, fs.readFileSync(file).fill(1))
    const damaged = snapshot()
    await expect(open()).rejects.toThrow(/hard-state/)
    expect(snapshot()).toEqual(damaged)
  })

  test('opens with a damaged log entry that is applied already, and goes on', async () => {
    const store = await open()
    await store.store(message('T', 'x'))
    await store.store(message('T', 'y'))
    await store.close()
    // A bit of an entry that the durable hint vouches for.
    const file = path.join(temp.path, 'commitlog/dledger-n0/data/00000000000000000000')
    const bytes = fs.readFileSync(file)
    const at = bytes.lastIndexOf('y')
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
    fs.writeFileSync(file, bytes)
    const again = await open()
    await again.store(message('T', 'z'))
    await again.close()
  })

  test('lays out checkpoint, commitlog, consumequeue and metadata below one directory', async () => {
    const store = await open()
    await store.store(message('T', 'x'))
    await store.close()
    expect(fs.readdirSync(temp.path).sort()).toEqual(['checkpoint', 'commitlog', 'consumequeue', 'metadata'])
    expect(fs.readdirSync(path.join(temp.path, 'commitlog'))).toEqual(['dledger-n0'])
    const file = path.join(temp.path, 'consumequeue/T/0/00000000000000000000')
    expect(fs.statSync(file).size).toBe(200)
  })
})

describe('metadata', () => {
  test('topics and groups are there when their promise resolves, and count in the data version', async () => {
    const store = await open()
    let changes = 0
    store.onTopicsChanged(() => changes++)
    const before = store.dataVersion()
    const [one, two] = await Promise.all([
      store.createTopic(defaultTopicConfig('T', 4)),
      store.createTopic(defaultTopicConfig('T', 8)),
    ])
    expect([one.writeQueueNums, two.writeQueueNums]).toEqual([4, 4])
    expect((await store.createTopic(defaultTopicConfig('T', 8))).writeQueueNums).toBe(4)
    expect(store.dataVersion().counter).toBe(before.counter + 1)
    await store.putTopic(defaultTopicConfig('T', 8))
    expect(store.topics().get('T')?.writeQueueNums).toBe(8)
    expect(changes).toBe(2)
    await store.deleteTopic('T')
    expect(store.topics().size).toBe(0)
    await expect(store.putTopic(defaultTopicConfig('a b', 1))).rejects.toMatchObject({ code: 'INVALID' })
  })

  test('consumer offsets answer at once, are appended within 200 ms, and only when they changed', async () => {
    const clock = new ManualClock()
    const store = await open({ clock })
    expect(store.consumerOffset('g', 'T', 0)).toBeUndefined()
    store.commitConsumerOffset('g', 'T', 0, 5)
    store.commitConsumerOffset('g', 'T', 0, -1)
    store.commitConsumerOffset('g', 'T', 1, 7)
    expect(store.consumerOffset('g', 'T', 0)).toBe(5)
    const { lastIndex } = store.status()
    clock.advance(199)
    await passes()
    expect(store.status().lastIndex).toBe(lastIndex)
    clock.advance(1)
    await until(() => store.status().appliedIndex === lastIndex + 1, 'the offsets are applied')
    store.commitConsumerOffset('g', 'T', 0, 5)
    await store.flushConsumerOffsets()
    expect(store.status().lastIndex).toBe(lastIndex + 1)
    expect([...(store.consumerOffsets('g').get('T') ?? [])]).toEqual([
      [0, 5],
      [1, 7],
    ])
    expect(() => store.commitConsumerOffset('', 'T', 0, 1)).toThrow(
      expect.objectContaining({ code: 'INVALID' }) as Error,
    )
  })

  test('a queue has one holder, until it is freed or 60 s pass without a renewal', async () => {
    const clock = new ManualClock()
    const store = await open({ clock })
    const queue = { topic: 'T', queueId: 0 }
    const [one, two] = await Promise.all([store.lockQueues('g', 'one', [queue]), store.lockQueues('g', 'two', [queue])])
    expect([one, two]).toEqual([[queue], []])
    expect(await store.lockQueues('other', 'two', [queue])).toEqual([queue])
    clock.advance(40_000)
    const { lastIndex } = store.status()
    expect(await store.lockQueues('g', 'one', [queue])).toEqual([queue])
    expect(store.status().lastIndex).toBe(lastIndex)
    clock.advance(40_000)
    expect(await store.lockQueues('g', 'two', [queue])).toEqual([])
    clock.advance(20_000)
    expect(await store.lockQueues('g', 'two', [queue])).toEqual([queue])
    await store.unlockQueues('g', 'one', [queue])
    expect(await store.lockQueues('g', 'three', [queue])).toEqual([])
    await store.unlockQueues('g', 'two', [queue])
    expect(await store.lockQueues('g', 'three', [queue])).toEqual([queue])
  })

  test('expired locks are freed by the leader, and an idle store has no timers of its own', async () => {
    const clock = new ManualClock()
    const metadata = new MemoryMetadata(clock)
    const store = await open({ clock, metadata })
    clock.advance(10_000)
    await passes()
    clock.advance(10_000)
    await passes()
    const idle = clock.timerCount
    await store.lockQueues('g', 'one', [{ topic: 'T', queueId: 0 }])
    const { lastIndex } = store.status()
    clock.advance(60_000)
    await until(() => store.status().appliedIndex === lastIndex + 1, 'the lock is freed')
    clock.advance(10_000)
    await passes()
    clock.advance(10_000)
    await passes()
    expect(clock.timerCount).toBe(idle)
  })

  test('a new leader honours the locks it finds for 60 s', async () => {
    const clock = new ManualClock()
    const first = await open({ clock })
    const queue = { topic: 'T', queueId: 0 }
    await first.lockQueues('g', 'one', [queue])
    clock.advance(59_000)
    await passing(clock, first.close())
    const second = await open({ clock })
    clock.advance(59_000)
    await passes()
    expect(await second.lockQueues('g', 'two', [queue])).toEqual([])
    clock.advance(1_000)
    expect(await second.lockQueues('g', 'two', [queue])).toEqual([queue])
  })
})

describe('random puts and reads', () => {
  test('a queue gives back what was put into it, whatever the order, the sizes and the restarts', async () => {
    const action = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          kind: fc.constantFrom('put', 'batch'),
          queueId: fc.nat(2),
          bytes: fc.nat(3_000),
          tag: fc.nat(2),
          count: fc.integer({ min: 1, max: 5 }),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constant('read' as const),
          queueId: fc.nat(2),
          from: fc.double({ min: 0, max: 1, noNaN: true }),
          maxCount: fc.integer({ min: 1, max: 8 }),
          maxBytes: fc.integer({ min: 1, max: 8_000 }),
          tag: fc.option(fc.nat(2)),
        }),
      },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 25 }), async (actions) => {
        const dir = fs.mkdtempSync(path.join(temp.path, 'run-'))
        const openRun = (): Promise<MessageStore> =>
          MessageStore.open({ dir, fileBytes: 20_000, hotBytesMax: 6_000, consumeQueueFileBytes: 60 })
        let store = await openRun()
        const model: { body: Buffer; tag: number; bytes: number }[][] = [[], [], []]
        let serial = 0
        for (const each of actions) {
          if (each.kind === 'restart') {
            await store.close()
            store = await openRun()
            continue
          }
          const queue = model[each.queueId] ?? []
          if (each.kind === 'read') {
            const from = Math.floor(each.from * queue.length)
            const tagFilter = each.tag === null ? null : new Set([javaHash(`t${each.tag}`)])
            const { maxCount, maxBytes, queueId } = each
            const result = await get(store, { topic: 'T', queueId, queueOffset: from, maxCount, maxBytes, tagFilter })
            const expected: Buffer[] = []
            let bytes = 0
            let next = from
            for (; next < queue.length && expected.length < maxCount; next++) {
              const stored = queue[next]
              if (stored === undefined || (each.tag !== null && stored.tag !== each.tag)) continue
              if (expected.length > 0 && bytes + stored.bytes > maxBytes) break
              expected.push(stored.body)
              bytes += stored.bytes
            }
            if (queue.length > 0) expect(result.nextBeginOffset).toBe(next)
            expect(
              result.records.map((record) => recordBody(record).equals(expected.shift() ?? Buffer.alloc(0))),
            ).not.toContain(false)
            expect(expected).toEqual([])
            continue
          }
          const messages = Array.from({ length: each.kind === 'put' ? 1 : each.count }, () => {
            const body = Buffer.alloc(each.bytes, serial++ % 251)
            return message('T', '', { queueId: each.queueId, body, properties: `TAGS\x01t${each.tag}\x02` })
          })
          const results = await putBatch(store, messages)
          for (const [i, result] of results.entries()) {
            expect(result.queueOffset).toBe(queue.length)
            queue.push({ body: messages[i]?.body ?? Buffer.alloc(0), tag: each.tag, bytes: result.recordBytes })
          }
        }
        await store.close()
      }),
      { numRuns: 30 },
    )
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
