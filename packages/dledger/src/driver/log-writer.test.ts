/** What counts as durable when, and what a stop waits for. */
import { silentLogger, systemClock } from '@dledger-ts/base'
import { expect, test } from 'vitest'
import { EntryChannel } from '../log/entry-batch.ts'
import { append, batchAfter, hintOf, sync } from '../log/log-fixture.ts'
import { SegmentedLog } from '../log/segmented-log.ts'
import { HangingDisk } from './testing/hanging-disk.ts'
import { LogWriter, type LogWriterOptions } from './log-writer.ts'

function openLog(disk: HangingDisk): SegmentedLog {
  return SegmentedLog.open({
    disk,
    directory: '/m',
    fileBytes: 1024,
    indexFileBytes: 512,
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
