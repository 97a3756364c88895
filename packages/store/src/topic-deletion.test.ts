/** A deleted topic: its messages, its files and what consumers have read of it go; its queue offsets are not given out again. */
import fs from 'node:fs'
import path from 'node:path'
import { type Disk, type DiskFile, nodeDisk } from '@dledger-ts/dledger'
import { recordBody, recordQueueOffset } from '@dledger-ts/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { MessageStore } from './message-store.ts'
import { defaultTopicConfig } from './metadata/topic-config.ts'
import { get, message, TempDirectory } from './testing/fixture.ts'
import { until } from './testing/manual-clock.ts'

let temp: TempDirectory
let open: MessageStore | null = null
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(async () => {
  await stop()
  temp.remove()
})

async function start(disk: Disk = nodeDisk): Promise<MessageStore> {
  open = await MessageStore.open({
    dir: temp.path,
    disk,
    fileBytes: 1024 * 1024,
    consumeQueueFileBytes: 100,
    tickMs: 10,
    heartbeatMs: 20,
    electionTimeoutMs: 500,
    checkpointIntervalMs: 20,
    hotBytesMax: 0,
    onFatal: (error) => {
      throw error
    },
  })
  return open
}

async function stop(): Promise<void> {
  await open?.close()
  open = null
}

async function fill(store: MessageStore, topic: string, count: number, text: string): Promise<void> {
  for (let i = 0; i < count; i++) await store.store(message(topic, `${text}${i}`))
}

function filesOf(topic: string): string[] {
  const directory = path.join(temp.path, 'consumequeue', topic, '0')
  return fs.existsSync(directory) ? fs.readdirSync(directory) : []
}

test('goes with its files and its consumer offsets; others stay; a restart brings nothing back', async () => {
  let store = await start()
  for (const topic of ['T', 'Stays']) {
    await store.putTopic(defaultTopicConfig(topic, 1))
    await fill(store, topic, 12, 'old')
    store.commitConsumerOffset('g', topic, 0, 7)
  }
  await store.flushConsumerOffsets()
  await until(() => filesOf('T').length === 3, 'the queue is in files')
  store.commitConsumerOffset('g', 'T', 0, 8)
  await store.deleteTopic('T')
  expect([store.minOffset('T', 0), store.maxOffset('T', 0), store.queueFloor('T', 0)]).toEqual([12, 12, 12])
  expect(await get(store, { topic: 'T', queueOffset: 3 })).toMatchObject({ status: 'OFFSET_TOO_SMALL', minOffset: 12 })
  expect((await get(store, { topic: 'T', queueOffset: 12 })).status).toBe('OFFSET_OVERFLOW_ONE')
  expect(await store.earliestStoreTime('T', 0)).toBe(-1)
  expect(store.consumerOffset('g', 'T', 0)).toBeUndefined()
  await until(() => filesOf('T').length === 0, 'its files are gone')
  expect(filesOf('Stays')).toHaveLength(3)
  expect([store.maxOffset('Stays', 0), store.consumerOffset('g', 'Stays', 0)]).toEqual([12, 7])

  await stop()
  store = await start()
  expect([store.minOffset('T', 0), store.maxOffset('T', 0), store.consumerOffset('g', 'T', 0)]).toEqual([
    12,
    12,
    undefined,
  ])
  expect(filesOf('T')).toEqual([])
})

test('while its queue is being written: its files go all the same', async () => {
  const held: (() => void)[] = []
  let isHolding = true
  const { background: _, ...rest } = nodeDisk
  const disk: Disk = {
    ...rest,
    openSync(file, options) {
      const opened = nodeDisk.openSync(file, options)
      if (!file.includes('consumequeue')) return opened
      const own: DiskFile['write'] = (buffers, at, callback) =>
        opened.write(buffers, at, (error) => {
          if (isHolding) held.push(() => callback(error))
          else callback(error)
        })
      return new Proxy(opened, {
        get(target, name) {
          if (name === 'write') return own
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
    },
  }
  const store = await start(disk)
  await store.putTopic(defaultTopicConfig('T', 1))
  await fill(store, 'T', 1, 'old')
  await until(() => held.length > 0, 'its only entry is being written')
  await store.deleteTopic('T')
  isHolding = false
  for (const go of held) go()
  await until(() => filesOf('T').length === 0, 'its files are gone')
})

test('a topic that is created under its name goes on behind, also when everything derived is built again', async () => {
  let store = await start()
  await store.putTopic(defaultTopicConfig('T', 1))
  await fill(store, 'T', 12, 'old')
  await store.deleteTopic('T')
  await until(() => filesOf('T').length === 0, 'its files are gone')
  await store.putTopic(defaultTopicConfig('T', 1))
  await fill(store, 'T', 6, 'new')
  const check = async (): Promise<void> => {
    const { records, minOffset, nextBeginOffset } = await get(store, { topic: 'T', queueOffset: 12 })
    expect([minOffset, nextBeginOffset]).toEqual([12, 18])
    expect(records.map((record) => recordQueueOffset(record))).toEqual([12, 13, 14, 15, 16, 17])
    expect(records.map((record) => recordBody(record).toString())).toEqual([
      'new0',
      'new1',
      'new2',
      'new3',
      'new4',
      'new5',
    ])
    expect(await get(store, { topic: 'T' })).toMatchObject({ status: 'OFFSET_TOO_SMALL', minOffset: 12 })
    expect(store.queueFloor('T', 0)).toBe(12)
  }
  await check()
  await stop()
  store = await start()
  await check()

  await stop()
  for (const derived of ['consumequeue', 'metadata']) fs.rmSync(path.join(temp.path, derived), { recursive: true })
  store = await start()
  await check()
  await store.deleteTopic('T')
  expect([store.minOffset('T', 0), store.queueFloor('T', 0)]).toEqual([18, 18])
})

test('what was sent while its topic was deleted goes with the next deletion', async () => {
  let store = await start()
  await store.putTopic(defaultTopicConfig('T', 1))
  await fill(store, 'T', 2, 'old')
  await store.deleteTopic('T')
  // Its topic was there when it was looked at.
  await fill(store, 'T', 1, 'late')
  await store.deleteTopic('T')
  await store.putTopic(defaultTopicConfig('T', 1))
  expect([store.minOffset('T', 0), store.maxOffset('T', 0), store.queueFloor('T', 0)]).toEqual([3, 3, 3])
  await stop()
  for (const derived of ['consumequeue', 'metadata']) fs.rmSync(path.join(temp.path, derived), { recursive: true })
  store = await start()
  expect([store.minOffset('T', 0), store.maxOffset('T', 0), store.queueFloor('T', 0)]).toEqual([3, 3, 3])
})

test('a topic of the system is not emptied: what is pending is read from its queues', async () => {
  const store = await start()
  await store.putTopic(defaultTopicConfig('SCHEDULE_TOPIC_XXXX', 18))
  await store.store(message('T', 'later', { properties: 'DELAY\x011\x02' }))
  await store.deleteTopic('SCHEDULE_TOPIC_XXXX')
  await until(() => store.maxOffset('T', 0) === 1, 'it is delivered')
})
