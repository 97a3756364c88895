/** What counts as durable when, and what a stop waits for. */
import { silentLogger, systemClock } from '@dledger-ts/base'
import { expect, test } from 'vitest'
import { EntryChannel } from '../log/entry-batch.ts'
import { append, batchAfter, hintOf, sync } from '../log/log-fixture.ts'
import { SegmentedLog } from '../log/segmented-log.ts'
import { HangingDisk } from './testing/hanging-disk.ts'
import { LogWriter, type LogWriterOptions } from './log-writer.ts'

function openLog(disk: HangingDisk, indexUnitsHeld = 0): SegmentedLog {
  return SegmentedLog.open({
    disk,
    directory: '/m',
    fileBytes: 1024,
    indexFileBytes: 512,
    indexUnitsHeld,
    zeroFillBytes: 0,
    durableHint: null,
    checksummedFrom: 0,
    beforeFirst: null,
    servesDamaged: true,
    logger: silentLogger,
  })
}

function writerOf(
  log: SegmentedLog,
  told: { durable: number[]; failed: Error[] },
  options: Partial<LogWriterOptions> = {},
): LogWriter {
  return new LogWriter({
    log,
    syncBeforeDurable: true,
    asyncFlushIntervalMs: 10,
    clock: systemClock,
    faults: new Set(),
    onDurable: (seq) => void told.durable.push(seq),
    onSynced: () => {},
    onHint: () => {},
    beforeTruncate: (_index, callback) => setImmediate(callback),
    hintWaitsForRoom: () => false,
    onIdle: () => {},
    onFailed: (error) => void told.failed.push(error),
    ...options,
  })
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

const flush = (writer: LogWriter): Promise<{ error: Error | null; index: number | undefined; isAll: boolean }> =>
  new Promise((resolve) => writer.flush((error, mark, isAll) => resolve({ error, index: mark?.index, isAll })))

test('a truncation that waits for a repair does not hold up a stop, nor does what waits behind it', async () => {
  const disk = new HangingDisk()
  const log = openLog(disk)
  const places: number[] = []
  for (let i = 0; i < 4; i++) {
    places.push(log.place(68))
    await append(log, batchAfter(log, 1, [{ bodyBytes: 20 }]))
  }
  await sync(log)
  const file = disk.openSync('/m/data/00000000000000000000', { create: false })
  file.writeSync(Buffer.from('rot'), (places[1] as number) + 50)
  const told = { durable: [] as number[], failed: [] as Error[] }
  const writer = writerOf(log, told)
  writer.submit(1, 2, [])
  writer.submit(2, null, [])
  expect(writer).toMatchObject({ quiet: false, waitsForRepair: true })
  writer.stopWaiting()
  expect(writer.quiet).toBe(true)
  expect(await flush(writer)).toEqual({ error: null, index: undefined, isAll: false })
  expect(told).toEqual({ durable: [], failed: [] })
  expect(log.lastIndex).toBe(3)
})

test.each([
  { what: 'the index unit', of: 'index', at: 2 * 32, lastIndex: 2, isDone: true },
  { what: 'the body', of: 'data', at: 2 * 68 + 50, lastIndex: 3, isDone: false },
])(
  'a truncation whose entry before is damaged while the hint is lowered, in $what, is done or waits for the repair: $isDone',
  async ({ of, at, lastIndex, isDone }) => {
    const disk = new HangingDisk()
    const log = openLog(disk)
    for (let i = 0; i < 4; i++) await append(log, batchAfter(log, 1, [{ bodyBytes: 20 }]))
    await sync(log)
    const told = { durable: [] as number[], failed: [] as Error[] }
    let asked = 0
    const writer = writerOf(log, told, {
      beforeTruncate: (_index, callback) => {
        asked++
        const file = disk.openSync(`/m/${of}/00000000000000000000`, { create: false })
        file.writeSync(Buffer.alloc(4, 0xff), at)
        setImmediate(callback)
      },
    })
    writer.submit(1, 3, [])
    await until(() => told.failed.length > 0 || (asked === 1 && (log.lastIndex === 2 || writer.waitsForRepair)))
    expect(told.failed).toEqual([])
    expect(log.lastIndex).toBe(lastIndex)
    expect(writer.waitsForRepair).toBe(!isDone)
  },
)

test('a truncation that waits for a repair gives way to one that begins before what is damaged', async () => {
  const disk = new HangingDisk()
  const log = openLog(disk)
  const places: number[] = []
  for (let i = 0; i < 4; i++) {
    places.push(log.place(68))
    await append(log, batchAfter(log, 1, [{ bodyBytes: 20 }]))
  }
  await sync(log)
  const file = disk.openSync('/m/data/00000000000000000000', { create: false })
  file.writeSync(Buffer.from('rot'), (places[2] as number) + 50)
  const told = { durable: [] as number[], failed: [] as Error[] }
  const writer = writerOf(log, told)
  writer.submit(1, 3, [])
  writer.submit(2, null, [])
  expect(writer).toMatchObject({ waitsForRepair: true, truncatesFrom: 3 })
  writer.submit(3, 2, [])
  await until(() => told.durable.length > 0)
  expect(told).toEqual({ durable: [3], failed: [] })
  expect(log.lastIndex).toBe(1)
  expect(writer).toMatchObject({ quiet: true, waitsForRepair: false })
})

test('a write that waits for room does not hold up a stop; what was written before it is synced', async () => {
  const disk = new HangingDisk()
  const log = openLog(disk)
  const told = { durable: [] as number[], failed: [] as Error[] }
  const writer = writerOf(log, told)
  writer.submit(1, null, [batchAfter(log, 1, [{ bodyBytes: 20 }])])
  await until(() => told.durable.length === 1)
  const end = hintOf(log)
  disk.full = true
  writer.submit(2, null, [batchAfter(log, 1, [{ bodyBytes: 20 }])])
  writer.submit(3, 1, [])
  await until(() => log.waitsForRoom)
  expect(writer).toMatchObject({ quiet: false, waitsForRepair: false })
  writer.stopWaiting()
  expect(writer.quiet).toBe(true)
  expect(await flush(writer)).toEqual({ error: null, index: end.index, isAll: false })
  expect(told).toEqual({ durable: [1], failed: [] })
})

test('what is under way is waited for, and then nothing was given up', async () => {
  const disk = new HangingDisk()
  const log = openLog(disk)
  const told = { durable: [] as number[], failed: [] as Error[] }
  const writer = writerOf(log, told)
  disk.hangs = true
  writer.submit(1, null, [batchAfter(log, 1, [{ bodyBytes: 20 }])])
  writer.stopWaiting()
  expect(writer.quiet).toBe(false)
  disk.release()
  await until(() => writer.quiet)
  expect(await flush(writer)).toEqual({ error: null, index: 0, isAll: true })
  expect(told).toEqual({ durable: [1], failed: [] })
})

test('under asynchronous flush a configuration counts when it is synced, and what comes after it not before', async () => {
  const disk = new HangingDisk()
  const log = openLog(disk)
  const told = { durable: [] as number[], failed: [] as Error[] }
  const writer = writerOf(log, told, { syncBeforeDurable: false, asyncFlushIntervalMs: 60_000 })
  const submit = (seq: number, channel: number): void =>
    writer.submit(seq, null, [batchAfter(log, 1, [{ bodyBytes: 20, channel }])])
  submit(1, EntryChannel.DATA)
  await until(() => told.durable.length === 1)
  disk.holdsSyncs = true
  submit(2, EntryChannel.CONFIGURATION)
  await until(() => disk.heldCount > 0)
  submit(3, EntryChannel.DATA)
  submit(4, EntryChannel.CONFIGURATION)
  for (let pass = 0; pass < 20; pass++) await new Promise((resolve) => setImmediate(resolve))
  expect(told.durable).toEqual([1])
  disk.release()
  for (let pass = 0; pass < 20; pass++) await new Promise((resolve) => setImmediate(resolve))
  expect(told.durable).toEqual([1])
  disk.holdsSyncs = false
  disk.release()
  await until(() => told.durable.length > 1)
  submit(5, EntryChannel.DATA)
  await until(() => told.durable.length > 2)
  expect(told).toEqual({ durable: [1, 4, 5], failed: [] })
  writer.stop()
})

test('no durable hint goes beyond the index units that are written, and these do not wait for long', async () => {
  const log = openLog(new HangingDisk(), 8)
  const told = { durable: [] as number[], failed: [] as Error[] }
  const timers: { readonly ms: number; readonly callback: () => void }[] = []
  const hints: number[] = []
  const writer = writerOf(log, told, {
    clock: {
      ...systemClock,
      after: (ms, callback) => {
        timers.push({ ms, callback })
        return () => {}
      },
    },
    onHint: ({ index }) => void hints.push(index),
  })
  const submit = (seq: number): void => writer.submit(seq, null, [batchAfter(log, 1, [{ bodyBytes: 20 }])])
  for (let seq = 1; seq <= 3; seq++) {
    submit(seq)
    await until(() => told.durable.length === seq)
  }
  expect(hints, 'the first unit makes a file').toEqual([0])
  expect(timers.map(({ ms }) => ms)).toEqual([100])
  timers[0]?.callback()
  await until(() => hints.length > 1)
  // The newest of those that waited.
  expect(hints).toEqual([0, 2])
  submit(4)
  await until(() => told.durable.length === 4)
  expect(log).toMatchObject({ indexWrittenTo: 2, holdsIndex: true })
  expect(await flush(writer), 'a stop writes what is held back').toEqual({ error: null, index: 3, isAll: true })
  expect(log).toMatchObject({ indexWrittenTo: 3, holdsIndex: false })
  expect(told.failed).toEqual([])
})

test('index units that are held back and find no room do not hold up a stop', async () => {
  const disk = new HangingDisk()
  const log = openLog(disk, 8)
  const told = { durable: [] as number[], failed: [] as Error[] }
  const writer = writerOf(log, told)
  for (let seq = 1; seq <= 2; seq++) writer.submit(seq, null, [batchAfter(log, 1, [{ bodyBytes: 20 }])])
  await until(() => told.durable.includes(2))
  expect(log).toMatchObject({ indexWrittenTo: 0, holdsIndex: true, isFull: false })
  disk.full = true
  // No hint may point to what the index does not have.
  expect(await flush(writer)).toEqual({ error: null, index: undefined, isAll: true })
  expect(log).toMatchObject({ indexWrittenTo: 0, lastIndex: 1 })
  expect(told.failed).toEqual([])
})

test('nor do those that wait for room already, and nothing else was given up then', async () => {
  const disk = new HangingDisk()
  const log = openLog(disk, 8)
  const told = { durable: [] as number[], failed: [] as Error[] }
  const writer = writerOf(log, told)
  for (let seq = 1; seq <= 2; seq++) writer.submit(seq, null, [batchAfter(log, 1, [{ bodyBytes: 20 }])])
  await until(() => told.durable.includes(2))
  disk.full = true
  await until(() => log.waitsForRoom)
  writer.stopWaiting()
  expect(writer.quiet).toBe(true)
  expect(await flush(writer)).toEqual({ error: null, index: undefined, isAll: true })
  expect(told.failed).toEqual([])
})

test('a truncation takes a hint with it that waited for index units', async () => {
  const log = openLog(new HangingDisk(), 8)
  const told = { durable: [] as number[], failed: [] as Error[] }
  const hints: number[] = []
  const writer = writerOf(log, told, { onHint: ({ index }) => void hints.push(index) })
  const submit = (seq: number, from: number | null): void =>
    writer.submit(seq, from, [batchAfter(log, 1, [{ bodyBytes: 20 }])])
  submit(1, null)
  submit(2, null)
  await until(() => told.durable.includes(2))
  expect(hints).toEqual([0])
  writer.submit(3, 1, [])
  await until(() => told.durable.includes(3))
  submit(4, null)
  await until(() => hints.length > 1)
  expect(hints).toEqual([0, 1])
  expect(await flush(writer)).toEqual({ error: null, index: 1, isAll: true })
})
