/** A store whose log is being applied again: what is ready is served, and nothing is said that the rest could make wrong. */
import fs from 'node:fs'
import path from 'node:path'
import { HeldReads, unsyncedDisk } from '@dledger-ts/dledger/internals'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { GetResult } from '../api.ts'
import { StoreError } from '../errors.ts'
import type { MessageStoreOptions } from '../index.ts'
import { MessageStore } from '../message-store.ts'
import { TempDirectory } from '../testing/fixture.ts'

const FILE_BYTES = 65_536
/** Of T, in several files of the log; and those of them after which applying stands still. */
const COUNT = 60
const READY = 40
const BODY = Buffer.alloc(3_000, 'b')

let temp: TempDirectory
let store: MessageStore | null
let held: HeldReads
/** Where the last message of T starts. */
let lastAt: number

const options = (more: Partial<MessageStoreOptions> = {}): MessageStoreOptions => ({
  dir: temp.path,
  fileBytes: FILE_BYTES,
  consumeQueueFileBytes: 200,
  hotBytesMax: 0,
  disk: unsyncedDisk,
  ...more,
})

const put = async (to: MessageStore, i: number): Promise<void> => {
  const input = { topic: 'T', body: BODY, keys: [`k${i}`], uniqueId: `id${i}` }
  lastAt = (await to.store(input)).physicalOffset
}

beforeEach(async () => {
  temp = new TempDirectory()
  held = new HeldReads()
  store = null
  const first = await MessageStore.open(options())
  for (let i = 0; i < READY; i++) await put(first, i)
  held.fromPos = first.status().maxPhysicalOffset
  await first.close()
  // What is applied at once is of one term.
  const second = await MessageStore.open(options())
  for (let i = READY; i < COUNT; i++) await put(second, i)
  await second.store({ topic: 'Late', body: BODY })
  second.commitConsumerOffset('g', 'T', 0, COUNT)
  await second.close()
})

afterEach(async () => {
  held.release()
  await store?.close()
  temp.remove()
})

function removeState(): void {
  const force = { recursive: true, force: true }
  for (const name of ['metadata', 'consumequeue', 'index']) fs.rmSync(path.join(temp.path, name), force)
}

/** A store that has applied what stands the first program put, and no more. */
async function openHeld(more: Partial<MessageStoreOptions> = {}): Promise<MessageStore> {
  removeState()
  store = await MessageStore.open(options({ disk: held.disk, serveWhileRebuilding: true, ...more }))
  await held.whenHeld()
  return store
}

const codeOf = async (what: () => unknown): Promise<string> => {
  try {
    await what()
    return 'done'
  } catch (error) {
    if (error instanceof StoreError) return error.code
    throw error
  }
}

test('`open` resolves while the log is applied again, and messages are taken as soon as all of it is', async () => {
  const opened = await openHeld()
  expect(opened.isRebuilding()).toBe(true)
  expect(opened.isReady()).toBe(false)
  const { rebuild } = opened.status()
  expect(rebuild?.doneEntries).toBeGreaterThanOrEqual(READY)
  expect(rebuild?.doneEntries).toBeLessThan(rebuild?.totalEntries ?? 0)
  expect(await codeOf(() => opened.store({ topic: 'T', body: BODY }))).toBe('NOT_LEADER')
  const settled = opened.whenSettled()
  held.release()
  expect((await settled).ready).toBe(true)
  expect(opened.isRebuilding()).toBe(false)
  expect(opened.status().rebuild).toBeNull()
  expect(await opened.store({ topic: 'T', body: BODY })).toMatchObject({ queueOffset: COUNT })
})

test('without the option `open` waits until messages are taken', async () => {
  removeState()
  let isOpen = false
  const opening = MessageStore.open(options({ disk: held.disk })).then((opened) => {
    isOpen = true
    return opened
  })
  await held.whenHeld()
  expect(isOpen).toBe(false)
  held.release()
  store = await opening
  expect(store.isReady()).toBe(true)
})

test('a store that has kept its state opens as ever', async () => {
  store = await MessageStore.open(options({ serveWhileRebuilding: true }))
  expect([store.isReady(), store.isRebuilding()]).toEqual([true, false])
})

test('every message before the ready mark is read, by queue offset and by its place; the first one behind it is not known yet', async () => {
  const opened = await openHeld()
  for (let queueOffset = 0; queueOffset < READY; queueOffset++) {
    const { status, records, nextBeginOffset } = await opened.get({ topic: 'T', queueOffset, maxCount: 1 })
    expect([status, records.length, nextBeginOffset]).toEqual(['FOUND', 1, queueOffset + 1])
    expect(await opened.storeTimeAt('T', 0, queueOffset)).toBeGreaterThan(0)
  }
  const first = await opened.get({ topic: 'T', maxCount: 1 })
  expect(await opened.messageAt(48 + (first.records[0]?.length ?? 0))).toBeUndefined()
  for (const queueOffset of [READY, READY + 1, COUNT, COUNT + 1_000])
    expect(await codeOf(() => opened.get({ topic: 'T', queueOffset }))).toBe('REBUILDING')
  expect(await codeOf(() => opened.storeTimeAt('T', 0, READY))).toBe('REBUILDING')
  expect(await codeOf(() => opened.messageAt(lastAt))).toBe('REBUILDING')
  held.release()
  await opened.whenSettled()
  expect((await opened.get({ topic: 'T', queueOffset: READY })).status).toBe('FOUND')
  expect((await opened.get({ topic: 'T', queueOffset: COUNT })).status).toBe('OFFSET_OVERFLOW_ONE')
  expect((await opened.get({ topic: 'T', queueOffset: COUNT + 1_000 })).status).toBe('OFFSET_OVERFLOW_BADLY')
  expect(await opened.messageAt(lastAt)).toBeDefined()
  expect(await opened.storeTimeAt('T', 0, COUNT)).toBe(-1)
})

test('a read that looks into the records passes over those that are there, and stops before the mark', async () => {
  const opened = await openHeld()
  const nothing = { topic: 'T', recordFilter: () => false, maxCount: 500 }
  const passed: GetResult = await opened.get(nothing)
  expect([passed.status, passed.nextBeginOffset]).toEqual(['NO_MATCHED_MESSAGE', READY])
  expect(await codeOf(() => opened.get({ ...nothing, queueOffset: READY }))).toBe('REBUILDING')
})

test('that a group was moved is not told before all is applied: it may have gone there since', async () => {
  const first = await MessageStore.open(options())
  await first.resetConsumerOffsets('g', 'T', new Map([[0, 10]]))
  held.fromPos = first.status().maxPhysicalOffset
  await first.close()
  const second = await MessageStore.open(options())
  second.takeReset('g', 'T', 0)
  await second.store({ topic: 'T', body: BODY })
  await second.close()
  const opened = await openHeld()
  expect(opened.pendingReset('g', 'T', 0)).toBeUndefined()
  held.release()
  await opened.whenSettled()
  expect(opened.pendingReset('g', 'T', 0)).toBeUndefined()
  expect(opened.consumerOffset('g', 'T', 0)).toBe(10)
})

test('the end of a queue, offsets, and that there is none are not told before all is applied', async () => {
  const opened = await openHeld()
  const questions: Record<string, () => unknown> = {
    'the end of a queue': () => opened.maxOffset('T', 0),
    'the end of a queue that is not there yet': () => opened.maxOffset('Late', 0),
    'a message of a queue that is not there yet': () => opened.get({ topic: 'Late' }),
    'the oldest time of such a queue': () => opened.earliestStoreTime('Late', 0),
    'an offset by time': () => opened.offsetByTimestamp('T', 0, 1, 'LOWER'),
    "a consumer's offset": () => opened.consumerOffset('g', 'T', 0),
    "a group's offsets": () => opened.consumerOffsets('g'),
    'a unique id': () => opened.messageByUniqueId('T', `id${COUNT - 1}`),
    'half messages': () => opened.halfMessages({ from: 0, storedBeforeMs: 0, limit: 1 }),
    'a half message': () => opened.halfMessage(48),
    'to create a topic': () => opened.createTopic({} as never),
    'to delete a topic': () => opened.deleteTopic('T'),
    'to create a group': () => opened.createGroup({} as never),
    'to delete a group': () => opened.deleteGroup('g'),
  }
  const codes = await Promise.all(Object.values(questions).map(codeOf))
  expect(Object.keys(questions).filter((_, i) => codes[i] !== 'REBUILDING')).toEqual([])
  expect(await codeOf(() => opened.commitConsumerOffset('g', 'T', 0, 1))).toBe('NOT_LEADER')
  expect(opened.minOffset('T', 0)).toBe(0)
  expect(await opened.earliestStoreTime('T', 0)).toBeGreaterThan(0)
  held.release()
  await opened.whenSettled()
  expect([opened.maxOffset('T', 0), opened.maxOffset('Late', 0)]).toEqual([COUNT, 1])
  expect(opened.consumerOffset('g', 'T', 0)).toBe(COUNT)
  expect(opened.consumerOffsets('g').get('T')?.get(0)).toBe(COUNT)
  expect(await opened.messageByUniqueId('T', `id${COUNT - 1}`)).toBeDefined()
})

test('a query by key gives what it finds, and says that there may be others', async () => {
  const opened = await openHeld()
  const early = { topic: 'T', key: 'k1', maxCount: 10 }
  const late = { ...early, key: `k${COUNT - 1}` }
  expect(await opened.query(early)).toMatchObject({ isComplete: false, records: [expect.any(Buffer)] })
  expect(await opened.query(late)).toMatchObject({ isComplete: false, records: [] })
  held.release()
  await opened.whenSettled()
  expect(await opened.query(late)).toMatchObject({ isComplete: true, records: [expect.any(Buffer)] })
})

test('who follows a queue is given what is ready, and the rest when it is', async () => {
  const opened = await openHeld()
  const seen: number[] = []
  for await (const { queueOffset } of opened.follow({ topic: 'T' })) {
    seen.push(queueOffset)
    if (seen.length === READY) held.release()
    if (seen.length === COUNT) break
  }
  expect(seen).toEqual(Array.from({ length: COUNT }, (_, i) => i))
})

test('a store that is closed meanwhile goes on where it was at its next start', async () => {
  const opened = await openHeld()
  const closing = opened.close()
  held.release()
  await closing
  store = await MessageStore.open(options())
  expect(store.maxOffset('T', 0)).toBe(COUNT)
  expect(store.consumerOffset('g', 'T', 0)).toBe(COUNT)
})

test('repeated sends are recognised as soon as messages are taken', async () => {
  const opened = await openHeld({ duplicateSendWindowMs: 3_600_000 })
  held.release()
  await opened.whenSettled()
  for (const i of [1, COUNT - 1]) {
    const again = { topic: 'T', body: BODY, uniqueId: `id${i}` }
    expect(await opened.store(again)).toMatchObject({ queueOffset: i })
  }
  expect(opened.maxOffset('T', 0)).toBe(COUNT)
})
