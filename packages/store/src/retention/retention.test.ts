/** Whole stores whose log forgets: by size, by the disk, with a disk that is full; what readers and consumers of it see. */
import fs from 'node:fs'
import path from 'node:path'
import { type Disk, nodeDisk } from '@dledger-ts/dledger'
import { recordBody } from '@dledger-ts/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { MessageStore } from '../message-store.ts'
import type { MessageStoreOptions } from '../options.ts'
import { get, message, TempDirectory } from '../testing/fixture.ts'
import { until } from '../testing/manual-clock.ts'

const FILE_BYTES = 64 * 1024
let temp: TempDirectory
let open: MessageStore | null = null
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(async () => {
  await open?.close()
  open = null
  temp.remove()
})

async function start(options: Partial<MessageStoreOptions> = {}): Promise<MessageStore> {
  open = await MessageStore.open({
    dir: temp.path,
    fileBytes: FILE_BYTES,
    consumeQueueFileBytes: 400,
    tickMs: 10,
    heartbeatMs: 20,
    electionTimeoutMs: 500,
    checkpointIntervalMs: 50,
    retentionIntervalMs: 50,
    hotBytesMax: 0,
    onFatal: (error) => {
      throw error
    },
    ...options,
  })
  return open
}

async function stop(): Promise<void> {
  await open?.close()
  open = null
}

const logFiles = (): number => fs.readdirSync(path.join(temp.path, 'commitlog/dledger-n0/data')).length
const queueFiles = (topic: string): number => fs.readdirSync(path.join(temp.path, 'consumequeue', topic, '0')).length

async function fill(store: MessageStore, topic: string, count: number): Promise<void> {
  const puts: Promise<unknown>[] = []
  for (let i = 0; i < count; i++) puts.push(store.store(message(topic, `${topic}-${i}`.padEnd(900, '.'))))
  await Promise.all(puts)
}

test('a store keeps to its bytes: minima follow, files go, what is gone is told, a queue without messages goes on where it was', async () => {
  let store = await start({ retentionBytes: 3 * FILE_BYTES })
  await fill(store, 'Old', 30)
  await fill(store, 'T', 600)
  await until(() => logFiles() <= 3 && store.minOffset('T', 0) > 0, 'the head is gone')
  await fill(store, 'T', 1)
  await until(() => queueFiles('T') < 20 && store.minOffset('Old', 0) === 30, 'queue files are gone')
  const minOffset = store.minOffset('T', 0)
  expect([store.maxOffset('Old', 0), await store.earliestStoreTime('Old', 0)]).toEqual([30, -1])
  expect(await get(store, { topic: 'T', queueOffset: minOffset - 1 })).toMatchObject({
    status: 'OFFSET_TOO_SMALL',
    minOffset,
  })
  const { records } = await get(store, { topic: 'T', queueOffset: minOffset, maxCount: 1 })
  expect(recordBody(records[0] as Buffer).toString()).toMatch(new RegExp(`^T-${minOffset}\\.`))
  expect(await store.earliestStoreTime('T', 0)).toBe(await store.storeTimeAt('T', 0, minOffset))

  await stop()
  store = await start({ retentionBytes: 3 * FILE_BYTES })
  expect(store.minOffset('T', 0)).toBeGreaterThanOrEqual(minOffset)
  expect([store.minOffset('Old', 0), store.maxOffset('Old', 0), store.maxOffset('T', 0)]).toEqual([30, 30, 601])
  expect(await get(store, { topic: 'Old', queueOffset: 3 })).toMatchObject({
    status: 'OFFSET_TOO_SMALL',
    minOffset: 30,
  })
  expect((await store.store(message('Old', 'more'))).queueOffset).toBe(30)
  expect((await get(store, { topic: 'Old', queueOffset: 30 })).status).toBe('FOUND')
})

test('messages that wait for their time are kept, however little may be, and delivered', async () => {
  const options = { retentionBytes: FILE_BYTES, messageDelayLevel: '4s' }
  let store = await start(options)
  await store.store(message('T', 'later', { properties: 'DELAY\x011\x02' }))
  await fill(store, 'Other', 400)
  expect(store.status().firstIndex).toBe(0)
  await until(() => store.maxOffset('T', 0) === 1, 'it is delivered')
  expect(recordBody((await get(store, { topic: 'T' })).records[0] as Buffer).toString()).toBe('later')
  await stop()
  store = await start(options)
  await until(() => store.status().firstIndex > 0, 'it may go')
  await until(() => store.minOffset('SCHEDULE_TOPIC_XXXX', 0) === 1, 'its minimum is found')
}, 60_000)

test('above the ratio of a full disk nothing is stored, reads go on, and storing goes on below it', async () => {
  let usedPercent = 10
  const disk: Disk = { ...nodeDisk, usedPercentSync: () => usedPercent }
  const store = await start({
    disk,
    diskUsedPercentMax: 90,
    retentionDiskPercent: 85,
    retentionHours: [0],
    retentionMs: 1,
  })
  await fill(store, 'T', 300)
  usedPercent = 91
  let code = ''
  while (code === '') {
    code = await store.store(message('T', 'x')).then(
      () => '',
      (error: { code: string }) => error.code,
    )
  }
  expect(code).toBe('DISK_FULL')
  await until(() => logFiles() === 1, 'all but the newest file is gone by force')
  expect((await get(store, { topic: 'T', queueOffset: store.maxOffset('T', 0) - 1 })).status).toBe('FOUND')
  usedPercent = 80
  for (;;) {
    const outcome = await store.store(message('T', 'y')).then(
      () => 'stored',
      (error: { code: string }) => error.code,
    )
    if (outcome === 'stored') break
    expect(outcome).toBe('DISK_FULL')
  }
})
