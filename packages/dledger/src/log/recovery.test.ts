/**
 * Opening after anything that can have happened to a small log: the same log, the same but for a torn tail, or one with marked
 * ranges, everything else served, that is the same again, byte for byte, once a peer's entries are filled in.
 */
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { type DiskImage, MemoryDisk } from '../disk/memory-disk.ts'
import { DLedgerError } from '../errors.ts'
import { type EntryBatch, EntryChannel } from './entry-batch.ts'
import { INDEX_UNIT_BYTES } from './index-codec.ts'
import { append, batchAfter, hintOf, openLog, read, stateOf } from './log-fixture.ts'
import type { ForeignEntries, LostRange, SegmentedLog, SegmentedLogOptions } from './segmented-log.ts'

const DIRECTORY = '/log'
const BODIES = [10, 200, 0, 333, 90, 500, 120, 1, 700, 64, 30, 5]

interface Written {
  readonly image: DiskImage
  /** State and synced files after each number of entries. */
  readonly states: object[]
  readonly hints: ReturnType<typeof hintOf>[]
  readonly images: DiskImage[]
}
let written: Written

beforeAll(async () => {
  const disk = new MemoryDisk()
  const log = openLog(DIRECTORY, { disk })
  const states = [stateOf(log)]
  const hints = [hintOf(log)]
  const images = [disk.image()]
  for (const [i, bodyBytes] of BODIES.entries()) {
    const channel = i % 5 === 2 ? EntryChannel.CONFIGURATION : EntryChannel.DATA
    await append(log, batchAfter(log, 1 + Math.floor(i / 4), [{ bodyBytes, channel }]))
    states.push(stateOf(log))
    hints.push(hintOf(log))
    images.push(disk.image())
  }
  log.close()
  written = { image: disk.image(), states, hints, images }
})

/** Opens a damaged image of which nothing is lost. @returns the number of entries, or the error; checks that either is legitimate. */
function openDamaged(
  damaged: DiskImage,
  options: Partial<SegmentedLogOptions> = {},
  { compareFiles } = { compareFiles: true },
): number | DLedgerError {
  const disk = new MemoryDisk()
  disk.restore(damaged)
  const log = openOrRefuse(disk, damaged, options)
  if (log instanceof DLedgerError) return log
  expect(log.lostRanges()).toEqual([])
  const count = log.lastIndex + 1
  expect(stateOf(log)).toEqual(written.states[count])
  log.close()
  const equal = !compareFiles || sameFiles(disk.image(), written.images[count] as DiskImage)
  expect(equal, 'the files are those of a log of that length').toBe(true)
  return count
}

function openOrRefuse(
  disk: MemoryDisk,
  damaged: DiskImage,
  options: Partial<SegmentedLogOptions>,
): SegmentedLog | DLedgerError {
  try {
    return openLog(DIRECTORY, { disk, ...options })
  } catch (error) {
    expect(error).toBeInstanceOf(DLedgerError)
    expect(sameFiles(disk.image(), damaged), 'a refusal changes nothing').toBe(true)
    return error as DLedgerError
  }
}

interface Outcome {
  readonly count: number
  /** Indexes of lost entries. */
  readonly lost: number[]
}

/** Opens a damaged image: everything that is not marked is served, what is marked is not; filled in, all is as it was. */
async function openAndRepair(
  damaged: DiskImage,
  options: Partial<SegmentedLogOptions> = {},
  { compareFiles } = { compareFiles: true },
): Promise<Outcome | DLedgerError> {
  const disk = new MemoryDisk()
  disk.restore(damaged)
  const log = openOrRefuse(disk, damaged, options)
  if (log instanceof DLedgerError) return log
  const count = log.lastIndex + 1
  const lost: number[] = []
  for (let index = 0; index < count; index++) {
    if (log.firstLostFrom(index) !== index) {
      const batch = await readOrExamine(log, index)
      if (batch !== null) {
        expect(batch.bytes.equals(entryBytes(index)), `entry ${index} is as it was written`).toBe(true)
        continue
      }
    }
    await expect(read(log, index, index, 0), `entry ${index}`).rejects.toMatchObject({ code: 'CORRUPT' })
    lost.push(index)
  }
  for (let tries = 0; log.lostRanges().length > 0; tries++) {
    expect(tries, 'repair comes to an end').toBeLessThan(40)
    const range = log.lostRanges()[0] as LostRange
    const filled = log.fill(entriesFor(range, tries))
    if (!filled.filled) expect(log.lostRanges()[0], filled.what).not.toEqual(range)
  }
  expect(stateOf(log)).toEqual(written.states[count])
  log.close()
  const equal = !compareFiles || sameFiles(disk.image(), written.images[count] as DiskImage)
  expect(equal, 'the files are those of a log of that length').toBe(true)
  return { count, lost }
}

/** What the hint covers is not read at opening: a read finds out. */
async function readOrExamine(log: SegmentedLog, index: number): Promise<EntryBatch | null> {
  for (;;) {
    try {
      return await read(log, index, index, 0)
    } catch (error) {
      expect(error).toMatchObject({ code: 'CORRUPT' })
      if (log.firstLostFrom(index) === index) return null
      expect(log.examine(index, index), `entry ${index} cannot be read, so something is wrong`).toBe(true)
    }
  }
}

/** As a peer gives them: of one term each, all at once where the terms are not known, else one or two. */
function entriesFor(range: LostRange, tries: number): ForeignEntries[] {
  const upTo = range.termRuns === null ? range.lastIndex : Math.min(range.lastIndex, range.firstIndex + (tries % 2))
  const entries: ForeignEntries[] = []
  for (let index = range.firstIndex; index <= upTo; index++) {
    const term = 1 + Math.floor(index / 4)
    if (range.termRuns !== null && entries.length > 0 && entries[0]?.term !== term) break
    entries.push({ firstIndex: index, count: 1, term, bytes: entryBytes(index) })
  }
  return entries
}

function entryBytes(index: number): Buffer {
  const size = 48 + (BODIES[index] as number)
  const pos = (written.hints[index + 1] as { endPos: number }).endPos - size
  const start = pos - (pos % 1024)
  return (written.image.get(dataFile(start)) as Buffer).subarray(pos - start, pos - start + size)
}

function sameFiles(one: DiskImage, other: DiskImage): boolean {
  return one.size === other.size && [...one].every(([path, bytes]) => other.get(path)?.equals(bytes) === true)
}

function changed(path: string, change: (bytes: Buffer) => Buffer): DiskImage {
  return new Map(written.image).set(path, change(Buffer.from(written.image.get(path) as Buffer)))
}

function without(path: string): DiskImage {
  const image = new Map(written.image)
  image.delete(path)
  return image
}

/** Are the bytes up to `endPos` there after a cut? Those that were zero anyway are. */
function isThere(endPos: number, cutPos: number): boolean {
  if (endPos <= cutPos) return true
  const start = cutPos - (cutPos % 1024)
  const rest = written.image.get(dataFile(start))?.subarray(cutPos - start, endPos - start)
  return endPos <= start + 1024 && rest !== undefined && rest.every((byte) => byte === 0)
}

/** Is this byte looked at when opening with that hint? What is before the hint is not, nor what is behind a blank. */
function isRead(pos: number, covered: number): boolean {
  const end = (written.hints.findLast((hint) => hint.endPos <= pos) as { endPos: number }).endPos
  const next = written.hints.find((hint) => hint.endPos > pos)
  const isBehindBlank =
    next !== undefined && next.endPos > end - (end % 1024) + 1024 && pos >= end + 8 && pos < end - (end % 1024) + 1024
  return !isBehindBlank && pos >= (written.hints[covered]?.endPos ?? 0)
}

/** The entry that the byte at `pos` is of, or null: a blank, or behind the end. */
function entryAt(pos: number): number | null {
  const index = written.hints.findIndex((hint) => hint.endPos > pos) - 1
  return index >= 0 && pos >= entryStart(index) ? index : null
}

function entryStart(index: number): number {
  return (written.hints[index + 1] as { endPos: number }).endPos - 48 - (BODIES[index] as number)
}

const dataFile = (start: number): string => `${DIRECTORY}/data/${String(start).padStart(20, '0')}`
const indexFile = (start: number): string => `${DIRECTORY}/index/${String(start).padStart(20, '0')}`

/** What a hint and the list kept with it say after `count` entries. */
function hinted(count: number): Partial<SegmentedLogOptions> {
  const state = written.states[count] as { configurations: number[] }
  return { durableHint: written.hints[count] ?? null, configurationIndexes: state.configurations }
}

test('undamaged, the log is found whole, with any hint', () => {
  expect(openDamaged(written.image)).toBe(BODIES.length)
  for (let count = 0; count <= BODIES.length; count++) {
    expect(openDamaged(written.image, hinted(count))).toBe(BODIES.length)
    expect(openDamaged(written.image, { durableHint: written.hints[count] ?? null })).toBe(BODIES.length)
  }
})

test('only what the hint does not cover is read', () => {
  for (let count = 1; count <= BODIES.length; count++) {
    const disk = new MemoryDisk()
    disk.restore(written.image)
    const log = openLog(DIRECTORY, { disk, ...hinted(count) })
    expect(log.recovery.scannedEntries).toBe(BODIES.length - count)
    log.close()
  }
})

describe('a log cut at any byte', () => {
  test.each([0, 8])(
    'keeps the whole entries before it; those of the first %i that are gone are marked',
    async (covered) => {
      for (const start of [0, 1024, 2048]) {
        for (let length = 0; length < 1024; length++) {
          const damaged = new Map(changed(dataFile(start), (bytes) => bytes.subarray(0, length)))
          for (const path of damaged.keys()) if (path > dataFile(start) && path.includes('/data/')) damaged.delete(path)
          const found = await openAndRepair(damaged, hinted(covered))
          const whole = written.hints.filter((hint) => isThere(hint.endPos, start + length)).length - 1
          const lost = Array.from({ length: Math.max(0, covered - whole) }, (_, i) => whole + i)
          expect(found, `cut at ${start + length}`).toEqual({ count: Math.max(whole, covered), lost })
        }
      }
    },
  )
})

describe('a log with any one byte changed', () => {
  test.each([0, 8, 12])('is served but for what is marked, with a hint at %i', async (covered) => {
    for (const start of [0, 1024, 2048]) {
      for (let at = 0; at < 1024; at++) {
        const damaged = changed(dataFile(start), (bytes) => {
          bytes[at] = (bytes[at] as number) ^ (1 << (at % 8))
          return bytes
        })
        const isFilledOrRead = entryAt(start + at) !== null || isRead(start + at, covered)
        const found = await openAndRepair(damaged, hinted(covered), { compareFiles: isFilledOrRead })
        if (found instanceof DLedgerError) expect.fail(`byte ${start + at}: ${found.message}`)
        expect(found.count, `byte ${start + at}`).toBeGreaterThanOrEqual(covered)
        expect(found.lost.length, `byte ${start + at}`).toBeLessThanOrEqual(1)
        const entry = entryAt(start + at)
        if (found.lost.length > 0) expect(found.lost[0], `byte ${start + at}`).toBe(entry)
        else if (entry !== null) expect(found.count, `byte ${start + at}`).toBe(BODIES.length - 1)
      }
    }
  })

  test('in an entry before the last is never cut', async () => {
    const last = written.hints[BODIES.length - 1]?.endPos ?? 0
    for (let pos = 0; pos < last; pos++) {
      const start = pos - (pos % 1024)
      const damaged = changed(dataFile(start), (bytes) => {
        bytes[pos - start] = (bytes[pos - start] as number) ^ 0x10
        return bytes
      })
      const entry = entryAt(pos)
      if (entry !== null)
        expect(await openAndRepair(damaged), `byte ${pos}`).toEqual({ count: BODIES.length, lost: [entry] })
    }
  })

  test('and its index gone, is served but for what is marked', async () => {
    for (let pos = 0; pos < (written.hints[12]?.endPos ?? 0); pos++) {
      const start = pos - (pos % 1024)
      const damaged = new Map(
        changed(dataFile(start), (bytes) => {
          bytes[pos - start] = (bytes[pos - start] as number) ^ 0x04
          return bytes
        }),
      )
      damaged.delete(indexFile(0))
      const entry = entryAt(pos)
      const found = await openAndRepair(damaged, hinted(12), { compareFiles: entry !== null || isRead(pos, 0) })
      if (entry !== null) expect(found, `byte ${pos}`).toEqual({ count: BODIES.length, lost: [entry] })
    }
  })

  test('in its index is whole, and the index as before', () => {
    // Of the first unit, which has none before it to be compared with, every bit.
    for (let bit = 0; bit < 512 * 8; bit += bit < 32 * 8 ? 1 : 9) {
      const damaged = changed(indexFile(0), (bytes) => {
        const at = bit >> 3
        bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7))
        return bytes
      })
      expect(openDamaged(damaged), `bit ${bit}`).toBe(BODIES.length)
      expect(openDamaged(damaged, hinted(8)), `bit ${bit}`).toBe(BODIES.length)
    }
  })
})

test.each([
  { name: 'missing', damage: () => without(indexFile(0)) },
  { name: 'empty', damage: () => changed(indexFile(0), () => Buffer.alloc(0)) },
  { name: 'short', damage: () => changed(indexFile(0), (bytes) => bytes.subarray(0, 100)) },
  { name: 'zero', damage: () => changed(indexFile(0), (bytes) => bytes.fill(0)) },
  {
    name: 'with units beyond the end',
    damage: () => changed(indexFile(0), (bytes) => bytes.fill(1, BODIES.length * 32)),
  },
])('an index that is $name is built again', ({ damage }) => {
  const damaged = damage()
  for (let count = 0; count <= BODIES.length; count++) expect(openDamaged(damaged, hinted(count))).toBe(BODIES.length)
})

test('a hint that is not of this log is refused', () => {
  const hint = written.hints[5] as ReturnType<typeof hintOf>
  const { configurations } = written.states[5] as { configurations: number[] }
  for (const durableHint of [
    { ...hint, chain: hint.chain ^ 1 },
    { ...hint, endPos: hint.endPos + 1 },
    { ...hint, index: hint.index + 1 },
    { ...hint, index: 100 },
  ]) {
    expect(openDamaged(written.image, { durableHint, configurationIndexes: configurations })).toMatchObject({
      code: 'CORRUPT',
    })
  }
})

test('a list of configurations that is not of this log makes recovery read the log', () => {
  expect(openDamaged(written.image, { ...hinted(8), configurationIndexes: [3] })).toBe(BODIES.length)
})

test('a missing file is marked when it was synced, else the end', async () => {
  for (const start of [0, 1024, 2048]) {
    const damaged = new Map(without(dataFile(start)))
    const before = written.hints.filter((hint) => hint.endPos <= start).length - 1
    const behind = written.hints.findIndex((hint, i) => i > 0 && entryStart(i - 1) >= start + 1024)
    const lost = Array.from({ length: (behind < 0 ? 13 : behind) - 1 - before }, (_, i) => before + i)
    expect(await openAndRepair(damaged, hinted(12)), `file ${start}`).toEqual({ count: 12, lost })
    damaged.delete(indexFile(0))
    expect(await openAndRepair(damaged, hinted(12)), `file ${start}, no index`).toEqual({ count: 12, lost })
  }
  expect(openDamaged(without(dataFile(1024)))).toBe(written.hints.filter((hint) => hint.endPos <= 1024).length - 1)
})

test('a log whose first file is missing begins where it began: what is lost is damaged, not trimmed', async () => {
  const disk = new MemoryDisk()
  disk.restore(without(dataFile(0)))
  const log = openLog(DIRECTORY, { disk, ...hinted(12) })
  expect([log.firstIndex, log.startPos]).toEqual([0, 0])
  const error = await new Promise<Error | null>((resolve) => log.readBytes(0, 48, null, resolve))
  expect(error).toMatchObject({ code: 'CORRUPT' })
  log.close()
})

test('all that is left is the hint: everything is marked, and comes back', async () => {
  const damaged = new Map([...written.image].filter(([path]) => !path.startsWith(`${DIRECTORY}/`)))
  const lost = Array.from({ length: 12 }, (_, i) => i)
  expect(await openAndRepair(damaged, hinted(12))).toEqual({ count: 12, lost })
})

describe('entries that do not belong there are not filled in', () => {
  /** Entry 5 is lost. */
  async function damagedLog(): Promise<SegmentedLog> {
    const disk = new MemoryDisk()
    const pos = entryStart(5)
    disk.restore(
      changed(dataFile(pos - (pos % 1024)), (bytes) => {
        bytes.fill(0x55, pos % 1024, (pos % 1024) + 60)
        return bytes
      }),
    )
    const log = openLog(DIRECTORY, { disk, ...hinted(12) })
    expect(await readOrExamine(log, 5)).toBeNull()
    return log
  }

  test.each([
    ['a changed body', (bytes: Buffer) => (bytes[50] = 7)],
    ['a changed header', (bytes: Buffer) => (bytes[33] = 7)],
    ['another chain', (bytes: Buffer) => (bytes[37] = 7)],
  ])('%s', async (_, change) => {
    const log = await damagedLog()
    const bytes = Buffer.from(entryBytes(5))
    change(bytes)
    expect(log.fill([{ firstIndex: 5, count: 1, term: 2, bytes }])).toMatchObject({ filled: false })
    expect(log.lostRanges()).toMatchObject([{ firstIndex: 5, lastIndex: 5 }])
    expect(log.fill([{ firstIndex: 5, count: 1, term: 2, bytes: entryBytes(5) }])).toMatchObject({ filled: true })
    log.close()
  })

  test('another index, another term, more than was lost', async () => {
    const log = await damagedLog()
    expect(log.fill([{ firstIndex: 6, count: 1, term: 2, bytes: entryBytes(6) }])).toMatchObject({ filled: false })
    expect(log.fill([{ firstIndex: 5, count: 1, term: 3, bytes: entryBytes(5) }])).toMatchObject({ filled: false })
    const bytes = Buffer.concat([entryBytes(5), entryBytes(6)])
    expect(log.fill([{ firstIndex: 5, count: 2, term: 2, bytes }])).toMatchObject({ filled: false })
    log.close()
  })

  test('a well-made entry of another history', async () => {
    const log = await damagedLog()
    const before = written.states[5] as { lastIndex: number; endPos: number; lastChain: number }
    const other = batchAfter({ ...before, fileBytes: 1024 }, 2, [{ bodyBytes: 499 }])
    expect(log.fill([other])).toMatchObject({ filled: false })
    // The entry behind it is doubted once.
    expect(log.lostRanges()).toMatchObject([{ firstIndex: 5, lastIndex: 6 }])
    const both = (one: Buffer): ForeignEntries => {
      return { firstIndex: 5, count: 2, term: 2, bytes: Buffer.concat([one, entryBytes(6)]) }
    }
    expect(log.fill([both(other.bytes)])).toMatchObject({ filled: false })
    expect(log.fill([both(entryBytes(5))])).toMatchObject({ filled: true })
    expect(log.lostRanges()).toEqual([])
    log.close()
  })
})

test('an index unit that leads astray, behind what is lost, does not keep a repair away', async () => {
  for (let index = 0; index < BODIES.length - 1; index++) {
    for (let byte = 0; byte < INDEX_UNIT_BYTES; byte++) {
      const pos = entryStart(index)
      const disk = new MemoryDisk()
      disk.restore(
        changed(dataFile(pos - (pos % 1024)), (bytes) => {
          bytes.fill(0x55, pos % 1024, (pos % 1024) + 40)
          return bytes
        }),
      )
      const log = openLog(DIRECTORY, { disk, ...hinted(BODIES.length) })
      expect(await readOrExamine(log, index)).toBeNull()
      // Only now: what was read in search of the damage was mended.
      const at = (index + 1) * INDEX_UNIT_BYTES + byte
      const units = disk.openSync(indexFile(at - (at % (32 * 16))), { create: false })
      const unit = Buffer.alloc(1)
      units.readSync(unit, at % (32 * 16))
      units.writeSync(Buffer.from([(unit[0] as number) ^ 0x10]), at % (32 * 16))
      const term = 1 + Math.floor(index / 4)
      const filled = log.fill([{ firstIndex: index, count: 1, term, bytes: entryBytes(index) }])
      expect(filled, `entry ${index}, byte ${byte} of the unit behind`).toMatchObject({ filled: true })
      expect(log.lostRanges()).toEqual([])
      expect((await readOrExamine(log, index + 1))?.bytes).toEqual(entryBytes(index + 1))
      log.close()
    }
  }
})

test('files of another size are refused', () => {
  expect(openDamaged(written.image, { fileBytes: 512 })).toMatchObject({ code: 'INVALID' })
  expect(openDamaged(written.image, { fileBytes: 4096 })).toMatchObject({ code: 'INVALID' })
})

test('after a power loss that kept any of the unsynced sectors, the log opens with at least what was synced', () => {
  const sectorsOf = (image: DiskImage): [path: string, sector: number][] =>
    [...image].flatMap(([path, bytes]) =>
      Array.from({ length: Math.ceil(bytes.length / 512) }, (_, i): [string, number] => [path, i]),
    )
  const sectors = sectorsOf(written.image)
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: BODIES.length }),
      fc.array(fc.boolean(), { minLength: sectors.length, maxLength: sectors.length }),
      (syncedCount, kept) => {
        const before = written.images[syncedCount] as DiskImage
        const image = new Map<string, Buffer>()
        for (const [path, bytes] of written.image) {
          // A file that was made since may be there with its size, or not at all.
          image.set(path, Buffer.from(before.get(path) ?? Buffer.alloc(bytes.length)))
        }
        sectors.forEach(([path, sector], i) => {
          if (kept[i] === true)
            written.image.get(path)?.copy(image.get(path) as Buffer, sector * 512, sector * 512, sector * 512 + 512)
        })
        const found = openDamaged(image, hinted(syncedCount))
        expect(found).toBeTypeOf('number')
        expect(found).toBeGreaterThanOrEqual(syncedCount)
      },
    ),
    { numRuns: 2000 },
  )
})

test('what recovery reports can be read', async () => {
  const disk = new MemoryDisk()
  disk.restore(written.image)
  const log = openLog(DIRECTORY, { disk, ...hinted(7) })
  for (let index = 0; index < BODIES.length; index++) {
    const batch = await read(log, index, index, 0)
    expect(batch.sizes).toEqual([48 + (BODIES[index] ?? 0)])
  }
  log.close()
})
