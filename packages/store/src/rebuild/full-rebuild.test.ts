/** A start that applies much of the log again says how far it is; any other says nothing. */
import fs from 'node:fs'
import path from 'node:path'
import { type Logger, silentLogger } from '@dledger-ts/base'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { MessageStoreOptions } from '../index.ts'
import { MessageStore } from '../message-store.ts'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { StoreCore } from '../store-core.ts'
import { close, EntryMaker, flush, get, load, makeCore, message, TempDirectory } from '../testing/fixture.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { MemoryLog } from '../testing/memory-log.ts'
import { MUCH_LOG_BYTES, type RebuildProgress } from './full-rebuild.ts'

let temp: TempDirectory
let clock: ManualClock
let maker: EntryMaker
/** One after the last byte of the first n entries. */
const endOf = (n: number): number => {
  const last = maker.entries[n - 1]
  return last === undefined ? 0 : last.pos + 48 + last.body.length
}
beforeEach(() => {
  temp = new TempDirectory()
  clock = new ManualClock()
  maker = new EntryMaker()
  for (let i = 0; i < 10; i++) maker.add(message('T', `m${i}`))
})
afterEach(() => temp.remove())

interface Started {
  readonly core: StoreCore
  readonly told: RebuildProgress[]
  readonly lines: [event: string, fields: Record<string, unknown>][]
}

/** A core that has taken up what is kept and is told of a log with the first ten entries. */
async function start(
  metadata: MemoryMetadata,
  endPos = endOf(10),
  starts: [number, number] = [0, 0],
): Promise<Started> {
  const told: RebuildProgress[] = []
  const lines: Started['lines'] = []
  const logger = {
    ...silentLogger,
    info: (fields: Record<string, unknown>, event: string) => lines.push([event, fields]),
  }
  const onRebuild = (progress: RebuildProgress): unknown => told.push(progress)
  const core = makeCore({ directory: temp.path, clock, metadata, logger, onRebuild })
  await load(core)
  core.machine.logStarts(...starts)
  core.machine.logEnds(9, endPos)
  return { core, told, lines }
}

const apply = ({ core }: Started, from: number, to: number): void => core.machine.apply(maker.entries.slice(from, to))

test('tells its begin, how far it is at most once a second, logs that every few seconds, and tells its end', async () => {
  const started = await start(new MemoryMetadata(clock))
  const { core, told, lines } = started
  const total = { totalEntries: 10, totalBytes: endOf(10) }
  const begin = { doneEntries: 0, doneBytes: 0, bytesPerSecond: 0, ...total }
  expect(core.fullRebuild.progress).toEqual(begin)
  expect(told).toEqual([begin])
  expect(lines).toEqual([['the log is applied again', { fromIndex: 0, toIndex: 9, totalBytes: endOf(10) }]])
  // Waiting for a leader is no work.
  clock.advance(900)
  apply(started, 0, 2)
  expect([told.length, lines.length]).toEqual([1, 1])
  clock.advance(500)
  apply(started, 2, 4)
  expect(told.slice(1)).toEqual([
    { doneEntries: 4, doneBytes: endOf(4), bytesPerSecond: (endOf(4) - endOf(2)) * 2, ...total },
  ])
  apply(started, 4, 5)
  expect([told.length, lines.length]).toEqual([2, 1])
  clock.advance(3_500)
  apply(started, 5, 6)
  expect([told.length, lines.length]).toEqual([3, 1])
  clock.advance(500)
  apply(started, 6, 7)
  const bytesPerSecond = Math.round((endOf(7) - endOf(2)) / 4.5)
  const sixth = { doneEntries: 7, doneBytes: endOf(7), bytesPerSecond, ...total }
  expect(lines.slice(1)).toEqual([['the log is being applied again', sixth]])
  expect(core.fullRebuild.progress).toEqual(sixth)
  apply(started, 7, 10)
  const end = told.at(-1)
  expect(end).toMatchObject({ doneEntries: 10, doneBytes: endOf(10), ...total })
  expect(lines.slice(2)).toEqual([['the log was applied again', { ...end, tookMs: 5_400 }]])
  expect(core.fullRebuild.progress).toBeNull()
  // What comes later is no part of it.
  const count = told.length
  core.machine.apply([maker.add(message('T', 'new'))])
  expect([told.length, lines.length]).toEqual([count, 3])
  await close(core)
})

/** All ten entries applied, the first `kept` of them in a checkpoint. */
async function keptUpTo(kept: number): Promise<MemoryMetadata> {
  const metadata = new MemoryMetadata(clock)
  const started = await start(metadata)
  apply(started, 0, kept)
  await flush(started.core, kept - 1)
  await close(started.core)
  return metadata
}

test('a start from a checkpoint says nothing, and sets no timer', async () => {
  const metadata = await keptUpTo(6)
  const timers = clock.timerCount
  const started = await start(metadata)
  expect(started.core.fullRebuild.progress).toBeNull()
  expect(clock.timerCount).toBe(timers)
  apply(started, 6, 10)
  expect([started.told, started.lines]).toEqual([[], []])
  await close(started.core)
})

test('a checkpoint that is far behind the log, as of a rebuild that was cut off, is told from where it goes on', async () => {
  const metadata = await keptUpTo(6)
  const far = endOf(6) + MUCH_LOG_BYTES
  const started = await start(metadata, far)
  expect(started.told).toEqual([
    { doneEntries: 0, totalEntries: 4, doneBytes: 0, totalBytes: MUCH_LOG_BYTES, bytesPerSecond: 0 },
  ])
  await close(started.core)
  const near = await start(metadata, far - 1)
  expect(near.told).toEqual([])
  await close(near.core)
})

test('an empty log, and one whose state only another member has, are not applied again', async () => {
  const metadata = new MemoryMetadata(clock)
  const trimmed = await start(metadata, endOf(10), [5, endOf(5)])
  expect(trimmed.core.fullRebuild.progress).toBeNull()
  trimmed.core.machine.logStarts(0, 0)
  trimmed.core.machine.logEnds(-1, 0)
  expect(trimmed.core.fullRebuild.progress).toBeNull()
  expect([trimmed.told, trimmed.lines]).toEqual([[], []])
  await close(trimmed.core)
})

test('ends with what is left of the log when its end was truncated', async () => {
  const started = await start(new MemoryMetadata(clock))
  const log = new MemoryLog()
  log.entries.push(...maker.entries.slice(0, 6))
  started.core.attach(log, null)
  apply(started, 0, 4)
  expect(started.core.fullRebuild.progress).toMatchObject({ doneEntries: 4, totalEntries: 6 })
  apply(started, 4, 6)
  expect(started.core.fullRebuild.progress).toBeNull()
  expect(started.told.at(-1)).toMatchObject({
    doneEntries: 6,
    totalEntries: 6,
    doneBytes: endOf(6),
    totalBytes: endOf(6),
  })
  await close(started.core)
})

test('ends without a word of success when the state comes from another member', async () => {
  const started = await start(new MemoryMetadata(clock))
  started.core.machine.restore(20).abort()
  expect(started.core.fullRebuild.progress).toBeNull()
  expect(started.lines.at(-1)?.[0]).toMatch(/comes from another member/)
  expect(started.told).toHaveLength(1)
  await close(started.core)
})

// ------------------------------------------------------------------------------------------------ a whole store

function open(more: Partial<MessageStoreOptions> = {}): Promise<MessageStore> {
  return MessageStore.open({ dir: temp.path, fileBytes: 65_536, consumeQueueFileBytes: 60, hotBytesMax: 0, ...more })
}

async function filledStore(): Promise<number> {
  const store = await open()
  for (let i = 0; i < 9; i++) await store.store({ topic: 'T', body: Buffer.from(`m${i}`) })
  const { lastIndex } = store.status()
  await store.close()
  return lastIndex
}

test('whoever opens a store whose metadata is gone is told within `open`, and never else', async () => {
  const lastIndex = await filledStore()
  fs.rmSync(path.join(temp.path, 'metadata'), { recursive: true })
  const told: RebuildProgress[] = []
  const onRebuild = (progress: RebuildProgress): unknown => told.push(progress)
  const store = await open({ onRebuild })
  expect(told.at(0)).toMatchObject({ doneEntries: 0, totalEntries: lastIndex + 1 })
  expect(told.at(-1)).toMatchObject({ doneEntries: lastIndex + 1, totalEntries: lastIndex + 1 })
  const { doneBytes, totalBytes } = told.at(-1) as RebuildProgress
  expect(doneBytes).toBe(totalBytes)
  expect([store.status().rebuild, store.statistics().rebuild]).toEqual([null, null])
  expect((await get(store, { topic: 'T' })).records).toHaveLength(9)
  await store.close()
  told.length = 0
  await (await open({ onRebuild })).close()
  expect(told).toEqual([])
})

test('what the one who is told throws is the error of `open`, and nothing stays open', async () => {
  await filledStore()
  fs.rmSync(path.join(temp.path, 'metadata'), { recursive: true })
  const failing = (): never => {
    throw new Error('the screen is gone')
  }
  await expect(open({ onRebuild: failing })).rejects.toThrow('the screen is gone')
  await (await open()).close()
})

test('queues that are built again alone are counted in `status` and `statistics`, until they are whole', async () => {
  await filledStore()
  fs.rmSync(path.join(temp.path, 'consumequeue/T/0/00000000000000000060'))
  let store: MessageStore | null = null
  const seen: unknown[] = []
  const look = (_fields: Record<string, unknown>, event: string): void => {
    if (/queue/.test(event)) seen.push([event, store?.status().repairs, store?.statistics().repairs])
  }
  const logger: Logger = { ...silentLogger, info: look, warn: look }
  store = await open({ logger })
  expect((await get(store, { topic: 'T', queueOffset: 3 })).status).toBe('FOUND')
  const one = { queues: 1, progress: null }
  const none = { queues: 0, progress: null }
  expect(seen).toEqual([
    ['a queue is built again from the log', one, one],
    ['queue files are built again', one, one],
    ['queue files are whole again', none, none],
  ])
  expect([store.status().repairs, store.statistics().repairs]).toEqual([none, none])
  expect(store.status().rebuild).toBeNull()
  await store.close()
})

test('while a queue is built again the others answer, and messages are taken', async () => {
  const filled = await open()
  for (const topic of ['T', 'U'])
    for (let i = 0; i < 9; i++) await filled.store({ topic, body: Buffer.from(`${topic}${i}`) })
  await filled.close()
  fs.rmSync(path.join(temp.path, 'consumequeue/T/0/00000000000000000060'))
  const ended: string[] = []
  const others: Promise<void>[] = []
  const during = async (store: MessageStore): Promise<void> => {
    const { records } = await get(store, { topic: 'U' })
    ended.push(`${records.length} of U, while ${store.status().repairs.queues} is built again`)
    await store.store({ topic: 'U', body: Buffer.from('U9') })
  }
  let store: MessageStore | null = null
  const look = (_fields: Record<string, unknown>, event: string): void => {
    if (event === 'queue files are built again' && store !== null) others.push(during(store))
  }
  store = await open({ logger: { ...silentLogger, info: look, warn: look } })
  const { status } = await get(store, { topic: 'T', queueOffset: 3 })
  ended.push(`T: ${status}`)
  await Promise.all(others)
  expect(ended).toEqual(['9 of U, while 1 is built again', 'T: FOUND'])
  expect((await get(store, { topic: 'U' })).records).toHaveLength(10)
  await store.close()
})
