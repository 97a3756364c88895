/** A log whose head was trimmed: what stays, what is refused, and every crash on the way. */
import { beforeEach, describe, expect, test } from 'vitest'
import { MemoryDisk } from '../disk/memory-disk.ts'
import { DLedgerError } from '../errors.ts'
import { EntryChannel } from './entry-batch.ts'
import { append, batchAfter, hintOf, openLog, read, stateOf, sync } from './log-fixture.ts'
import type { BeforeFirst, SegmentedLog } from './segmented-log.ts'

const DIRECTORY = '/log'
const COUNT = 40
let disk: MemoryDisk
let log: SegmentedLog

beforeEach(async () => {
  disk = new MemoryDisk()
  log = openLog(DIRECTORY, { disk })
  for (let i = 0; i < COUNT; i++) {
    const channel = i % 10 === 4 ? EntryChannel.CONFIGURATION : EntryChannel.DATA
    await append(log, batchAfter(log, 1 + Math.floor(i / 7), [{ bodyBytes: 100 + (i % 5) * 20, channel }]))
  }
  await sync(log)
})

function pointBefore(before: number): BeforeFirst {
  const point = log.trimPoint(before)
  if (point === null) throw new Error('nothing to trim')
  return point
}

/** Bytes of an entry's header. */
const HEADER_FIELDS = [
  { field: 'index', at: 15 },
  { field: 'term', at: 23 },
  { field: 'chain value', at: 39 },
]

function flipBit(index: number, at: number): void {
  const pos = log.locate(index)
  const start = pos - (pos % log.fileBytes)
  const file = disk.openSync(`${DIRECTORY}/data/${String(start).padStart(20, '0')}`, { create: false })
  const byte = Buffer.alloc(1)
  file.readSync(byte, pos - start + at)
  file.writeSync(Buffer.from([byte.readUInt8(0) ^ 1]), pos - start + at)
  file.closeSync()
}

describe('a log that is trimmed', () => {
  test('loses whole files only, and nothing at or above the index that was named', () => {
    const filesBefore = disk.listSync(`${DIRECTORY}/data`).length
    const point = pointBefore(23)
    log.trimTo(point)
    expect(log.firstIndex).toBe(point.index + 1)
    expect(log.firstIndex).toBeLessThanOrEqual(23)
    expect(disk.listSync(`${DIRECTORY}/data`).length).toBeLessThan(filesBefore)
    expect(log.locate(log.firstIndex) % log.fileBytes).toBe(0)
    expect(disk.listSync(`${DIRECTORY}/data`)[0]).toBe(String(log.locate(log.firstIndex)).padStart(20, '0'))
    expect(log.trimPoint(23)).toBeNull()
  })

  test('keeps the file of the last entry, whatever is named', () => {
    log.trimTo(pointBefore(1_000))
    expect(log.lastIndex).toBe(COUNT - 1)
    expect(disk.listSync(`${DIRECTORY}/data`)).toHaveLength(1)
  })

  test('knows the term before its start, and the terms and configurations after it', () => {
    const terms = Array.from({ length: COUNT }, (_, i) => 1 + Math.floor(i / 7))
    const point = pointBefore(23)
    log.trimTo(point)
    expect(log.prevTerm).toBe(terms[point.index])
    expect(log.termRuns()[0]).toEqual({ firstIndex: log.firstIndex, term: terms[log.firstIndex] })
    expect(log.configurationIndexes()).toEqual([4, 14, 24, 34].filter((index) => index >= log.firstIndex))
  })

  test('reads from its first entry on, with the chain checked, and says that the rest is gone', async () => {
    log.trimTo(pointBefore(23))
    expect((await read(log, log.firstIndex, log.firstIndex, 1)).firstIndex).toBe(log.firstIndex)
    const gone = await new Promise<Error | null>((resolve) => log.readBytes(0, 10, null, resolve))
    expect(gone).toMatchObject({ code: 'TRIMMED', detail: { firstIndex: log.firstIndex } })
  })

  test('tells that nothing is lost any more when what was damaged is gone', () => {
    const file = disk.openSync(`${DIRECTORY}/data/${'0'.repeat(20)}`, { create: false })
    file.writeSync(Buffer.from([0xff, 0xff]), log.locate(2) + 60)
    file.closeSync()
    expect(log.examine(2, 2)).toBe(true)
    const told: number[] = []
    log.whenLostChanges(() => told.push(log.lostRanges().length))
    log.trimTo(pointBefore(23))
    expect(told).toEqual([0])
  })

  test('gets its first entry repaired without the file of the one before', async () => {
    const point = pointBefore(23)
    log.trimTo(point)
    const { firstIndex, fileBytes } = log
    expect(point.endPos % fileBytes).toBeGreaterThan(0)
    const files = disk.listSync(`${DIRECTORY}/data`)
    const pos = log.locate(firstIndex)
    const { bytes, term } = await read(log, firstIndex, firstIndex, 1)
    const file = disk.openSync(`${DIRECTORY}/data/${files[0]}`, { create: false })
    file.writeSync(Buffer.from([0xff, 0xff]), (pos % fileBytes) + 8)
    expect(log.examine(firstIndex, firstIndex)).toBe(true)
    expect(log.fill([{ firstIndex, count: 1, term, bytes }])).toMatchObject({ filled: true })
    expect(log.lostRanges()).toEqual([])
    expect(disk.listSync(`${DIRECTORY}/data`)).toEqual(files)
  })

  test.each([
    { what: 'unreadable', at: 0, bytes: Buffer.alloc(32) },
    { what: 'another one, further on,', at: 10, bytes: Buffer.from([0x40]) },
  ])('keeps its files where the index of its first entry has just become $what and goes on', ({ at, bytes }) => {
    const point = pointBefore(23)
    const filesBefore = disk.listSync(`${DIRECTORY}/data`).length
    const unit = (point.index + 1) * 32
    const files = disk.listSync(`${DIRECTORY}/index`).map(Number)
    const start = Math.max(...files.filter((from) => from <= unit))
    const file = disk.openSync(`${DIRECTORY}/index/${String(start).padStart(20, '0')}`, { create: false })
    file.writeSync(bytes, unit - start + at)
    file.closeSync()
    log.trimTo(point)
    expect(log.firstIndex).toBe(point.index + 1)
    expect(disk.listSync(`${DIRECTORY}/data`)).toHaveLength(filesBefore)
  })

  test('says TRIMMED to a read that was under way when its files went', async () => {
    const reading = read(log, 2, 6, 10_000)
    log.trimTo(pointBefore(23))
    const outcome = await reading.catch((error: unknown) => error)
    if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'TRIMMED' })
    const late = read(log, log.firstIndex, COUNT - 1, 10_000)
    expect((await late).firstIndex).toBe(log.firstIndex)
  })

  test('goes on being written, and is the same after it is opened again, with a hint and without', async () => {
    const point = pointBefore(23)
    log.trimTo(point)
    await append(log, batchAfter(log, 9, [{ bodyBytes: 300 }, { bodyBytes: 400 }]))
    const state = stateOf(log)
    const hint = hintOf(log)
    const configurationIndexes = [...log.configurationIndexes()]
    log.close()
    for (const options of [{}, { durableHint: hint, configurationIndexes }]) {
      const again = openLog(DIRECTORY, { disk, beforeFirst: point, ...options })
      expect(stateOf(again)).toEqual(state)
      expect((await read(again, again.firstIndex, again.firstIndex + 1, 10_000)).firstIndex).toBe(point.index + 1)
      again.close()
    }
  })

  test.each(HEADER_FIELDS)('does not end after an entry whose $field in the header is another one', ({ at }) => {
    log.trimTo(pointBefore(23))
    const index = log.firstIndex + 2
    expect(log.canEndBefore(index + 1)).toBe(true)
    flipBit(index, at)
    expect(log.canEndBefore(index + 1)).toBe(false)
    expect(log.lostRanges()).toMatchObject([{ firstIndex: index, lastIndex: index }])
  })

  test.each(HEADER_FIELDS)('is not trimmed behind an entry whose $field in the header is another one', ({ at }) => {
    const { index } = pointBefore(23)
    flipBit(index, at)
    expect(log.trimPoint(23)).toBeNull()
    expect(log.lostRanges()).toMatchObject([{ firstIndex: index, lastIndex: index }])
  })

  test('can be truncated down to its first entry', async () => {
    const point = pointBefore(23)
    log.trimTo(point)
    const first = log.firstIndex
    log.truncateFrom(first + 1)
    await append(log, batchAfter(log, 9, [{ bodyBytes: 10 }]))
    expect((await read(log, first, first, 1)).count).toBe(1)
    const state = stateOf(log)
    log.close()
    expect(stateOf(openLog(DIRECTORY, { disk, beforeFirst: point }))).toEqual(state)
  })
})

describe('a crash while a log is trimmed', () => {
  test('leaves files that count for nothing and are removed at the next start, whichever of them are gone', () => {
    const point = pointBefore(30)
    const image = disk.image()
    log.trimTo(point)
    const state = stateOf(log)
    const kept = disk.image()
    log.close()
    const removed = [...image.keys()].filter((path) => !kept.has(path))
    expect(removed.length).toBeGreaterThan(3)
    for (let outlived = 0; outlived < 2 ** removed.length; outlived++) {
      const mixed = new Map(image)
      removed.forEach((path, i) => {
        if (((outlived >> i) & 1) === 0) mixed.delete(path)
      })
      const after = new MemoryDisk()
      after.restore(mixed)
      const again = openLog(DIRECTORY, { disk: after, beforeFirst: point })
      expect(stateOf(again)).toEqual(state)
      again.close()
      expect([...after.image().keys()].sort()).toEqual([...kept.keys()].sort())
    }
  })

  test('after it, a missing file of what is kept is corruption', () => {
    const point = pointBefore(20)
    log.trimTo(point)
    const first = `${DIRECTORY}/data/${String(log.locate(log.firstIndex)).padStart(20, '0')}`
    log.close()
    disk.removeSync(first)
    expect(() => openLog(DIRECTORY, { disk, beforeFirst: point })).toThrow(DLedgerError)
  })
})
