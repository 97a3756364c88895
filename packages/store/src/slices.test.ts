/** Large checkpoints: however much is written at once, the event loop goes on, and all of it counts or none. */
import { unsyncedDisk } from '@dledger-ts/dledger/internals'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LevelMetadata } from './metadata/level-metadata.ts'
import { MemoryMetadata } from './metadata/memory-metadata.ts'
import type { MetadataStore, MetadataWrite } from './metadata/metadata-store.ts'
import { SealedMetadata } from './metadata/sealed-metadata.ts'
import { inSlices } from './slices.ts'
import type { StoreCore } from './store-core.ts'
import { close, EntryMaker, flush, load, makeCore, message, TempDirectory } from './testing/fixture.ts'
import { ManualClock, until } from './testing/manual-clock.ts'

const ROWS = 10_000

let directory: TempDirectory

beforeEach(() => {
  directory = new TempDirectory()
})

afterEach(() => directory.remove())

function rowsOf(generation: number): MetadataWrite[] {
  return Array.from({ length: ROWS }, (_, i) => ({ key: `queue\0T\0${i}`, value: Buffer.from(`${generation}/${i}`) }))
}

function write(store: MetadataStore, rows: readonly MetadataWrite[]): Promise<void> {
  return new Promise((resolve, reject) =>
    store.write(rows, { sync: false }, (error) => (error === null ? resolve() : reject(error))),
  )
}

function loaded(store: MetadataStore): Promise<Map<string, string>> {
  return new Promise((resolve, reject) => {
    store.load((error, rows) => {
      if (error === null) resolve(new Map(rows.map(({ key, value }) => [key, value.toString()])))
      else reject(error)
    })
  })
}

/** Counts the passes of the event loop while something is under way. */
async function passesDuring(work: Promise<void>): Promise<number> {
  let passes = 0
  let isOver = false
  const count = (): void => {
    passes++
    if (!isOver) setImmediate(count)
  }
  count()
  await work
  isOver = true
  return passes
}

test('work in slices is done in order, each piece once, with others in between', () => {
  const done: number[] = []
  const deferred: (() => void)[] = []
  let isOver = false
  const defer = (callback: () => void): void => void deferred.push(callback)
  inSlices({ count: 1_000, each: (i) => done.push(i), defer }, () => {
    isOver = true
  })
  let turns = 0
  for (let next = deferred.shift(); next !== undefined; next = deferred.shift()) {
    expect(isOver).toBe(false)
    turns++
    next()
  }
  expect([isOver, turns]).toEqual([true, 3])
  expect(done).toEqual(Array.from({ length: 1_000 }, (_, i) => i))
  inSlices({ count: 0, each: (i) => done.push(i), defer }, () => void deferred.push(() => {}))
  expect([done.length, deferred.length]).toEqual([1_000, 1])
})

test('much work is done in slices that are larger, and not many more of them', () => {
  const deferred: (() => void)[] = []
  let done = 0
  inSlices({ count: 300_000, each: () => void done++, defer: (callback) => void deferred.push(callback) }, () => {})
  let turns = 0
  for (let next = deferred.shift(); next !== undefined; next = deferred.shift()) {
    turns++
    next()
  }
  expect([done, turns]).toEqual([300_000, 127])
})

test('a batch of ten thousand rows is one batch of the database, and the event loop goes on while it is made', async () => {
  const level = await LevelMetadata.open(directory.path)
  const sealed = new SealedMetadata(level)
  try {
    expect(await passesDuring(write(sealed, rowsOf(1)))).toBeGreaterThan(40)
    let isWritten = false
    const writing = write(sealed, rowsOf(2)).then(() => {
      isWritten = true
    })
    // Whoever reads meanwhile sees all of it or nothing.
    while (!isWritten) {
      const rows = await loaded(new SealedMetadata(level))
      expect([...new Set([...rows.values()].map((value) => value.split('/')[0]))]).toHaveLength(1)
    }
    await writing
    expect((await loaded(new SealedMetadata(level))).get('queue\0T\x009999')).toBe('2/9999')
  } finally {
    await new Promise((resolve) => sealed.close(resolve))
  }
})

test('what is applied while a large checkpoint is made belongs to the next one', async () => {
  const clock = new ManualClock()
  const metadata = new MemoryMetadata(clock)
  const options = { directory: directory.path, clock, metadata, disk: unsyncedDisk }
  const core = makeCore(options)
  await load(core)
  const maker = new EntryMaker()
  const apply = (count: number): void => {
    const entries = Array.from({ length: count }, (_, n) => maker.add(message('T', 'x', { queueId: n })))
    core.machine.apply(entries)
    core.machine.durable(maker.entries.length - 1)
  }
  apply(600)
  const flushed = flush(core, 599)
  let passes = 0
  let isOver = false
  const goOn = (): void => {
    if (isOver || maker.entries.length >= 1_200) return
    passes++
    apply(10)
    setImmediate(goOn)
  }
  goOn()
  await flushed
  isOver = true
  expect(passes).toBeGreaterThan(10)
  const { index } = core.machine.applied
  await flush(core, index)
  core.stop()
  await close(core)
  const again: StoreCore = makeCore({ ...options, metadata: metadata.crash(0) })
  await load(again)
  await until(() => again.machine.appliedIndex === index, 'the state is taken up')
  for (const queue of core.machine.queues.all()) {
    expect(again.machine.queues.find('T', queue.queueId)?.nextOffset).toBe(queue.nextOffset)
  }
  again.stop()
  await close(again)
})
