/** A store that was stopped, killed, or lost what it derives: it has what was put, as a model says. */
import fs from 'node:fs'
import path from 'node:path'
import { javaHash, recordBody } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MessageStore } from './message-store.ts'
import { defaultTopicConfig } from './metadata/topic-config.ts'
import type { MessageStoreOptions } from './options.ts'
import { filesBelow, get, message, TempDirectory } from './testing/fixture.ts'

import { bodies, OpenedStores, putBatch } from './testing/opened-stores.ts'

let stores: OpenedStores
let temp: TempDirectory
beforeEach(() => {
  stores = new OpenedStores()
  ;({ temp } = stores)
})
afterEach(() => stores.close())

const open = (more?: Partial<MessageStoreOptions>): Promise<MessageStore> => stores.open(more)

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
