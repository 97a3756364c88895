/** Topics, groups, offsets and locks of a store of one member: read here, changed through the log, kept over restarts. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MessageStore } from './message-store.ts'
import { MemoryMetadata } from './metadata/memory-metadata.ts'
import { defaultTopicConfig } from './metadata/topic-config.ts'
import type { MessageStoreOptions } from './options.ts'
import { ManualClock, passes, passing, until } from './testing/manual-clock.ts'

import { OpenedStores } from './testing/opened-stores.ts'

let stores: OpenedStores
beforeEach(() => {
  stores = new OpenedStores()
})
afterEach(() => stores.close())

const open = (more?: Partial<MessageStoreOptions>): Promise<MessageStore> => stores.open(more)

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
    expect([...store.groupsWithOffsets()]).toEqual(['g'])
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

  test('what clients lock has room in the log again when it expires, however much it is', async () => {
    const clock = new ManualClock()
    const store = await open({ clock })
    // Each request has room in an entry; all locks together would not: a log file has 1 MiB.
    const requests = Array.from({ length: 10 }, (_, request) =>
      Array.from({ length: 3_000 }, (_, queueId) => ({ topic: `Topic${request}${'x'.repeat(60)}`, queueId })),
    )
    for (const queues of requests) expect(await store.lockQueues('g', 'one', queues)).toHaveLength(queues.length)
    clock.advance(60_000)
    for (const queues of requests) {
      await until(() => store.status().appliedIndex === store.status().lastIndex, 'what is free is applied')
      expect(await store.lockQueues('g', 'two', queues)).toHaveLength(queues.length)
    }
  })

  test('names of any length are refused: what they are kept in has no room for them', async () => {
    const store = await open()
    const long = 'x'.repeat(256)
    const queue = { topic: 'T', queueId: 0 }
    const locks = [
      store.lockQueues(long, 'one', [queue]),
      store.lockQueues('g', 'x'.repeat(1_025), [queue]),
      store.lockQueues('g', 'one', [{ ...queue, topic: long }]),
    ]
    for (const refused of locks) await expect(refused).rejects.toMatchObject({ code: 'INVALID' })
    const offsets = [
      () => store.commitConsumerOffset(long, 'T', 0, 1),
      () => store.commitConsumerOffset('g', long, 0, 1),
      () => store.commitConsumerOffset('g', 'T', 65_536, 1),
    ]
    for (const commit of offsets) expect(commit).toThrow(expect.objectContaining({ code: 'INVALID' }))
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
