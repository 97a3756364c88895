/**
 * Opening after anything that can have happened to the tail: the result is a prefix of what was written, or a refusal.
 */
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { type DiskImage, MemoryDisk } from '../disk/memory-disk.ts'
import { DLedgerError } from '../errors.ts'
import { EntryChannel } from './entry-batch.ts'
import { append, batchAfter, hintOf, openLog, read, stateOf } from './log-fixture.ts'
import type { SegmentedLog, SegmentedLogOptions } from './segmented-log.ts'

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

/** Opens a damaged image. @returns the number of entries found, or the error; checks that either is legitimate. */
function openDamaged(
  damaged: DiskImage,
  options: Partial<SegmentedLogOptions> = {},
  { compareFiles } = { compareFiles: true },
): number | DLedgerError {
  const disk = new MemoryDisk()
  disk.restore(damaged)
  let log: SegmentedLog
  try {
    log = openLog(DIRECTORY, { disk, ...options })
  } catch (error) {
    expect(error).toBeInstanceOf(DLedgerError)
    expect(sameFiles(disk.image(), damaged), 'a refusal changes nothing').toBe(true)
    return error as DLedgerError
  }
  const count = log.lastIndex + 1
  expect(stateOf(log)).toEqual(written.states[count])
  log.close()
  const equal = !compareFiles || sameFiles(disk.image(), written.images[count] as DiskImage)
  expect(equal, 'the files are those of a log of that length').toBe(true)
  return count
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
  test.each([0, 3, 8])(
    'keeps the whole entries before it, and all %i that the hint covers, or is refused',
    (covered) => {
      for (const start of [0, 1024, 2048]) {
        for (let length = 0; length < 1024; length++) {
          const damaged = new Map(changed(dataFile(start), (bytes) => bytes.subarray(0, length)))
          for (const path of damaged.keys()) if (path > dataFile(start) && path.includes('/data/')) damaged.delete(path)
          const found = openDamaged(damaged, hinted(covered))
          const whole = written.hints.filter((hint) => isThere(hint.endPos, start + length)).length - 1
          if (whole >= covered) expect(found, `cut at ${start + length}`).toBe(whole)
          else expect(found, `cut at ${start + length}`).toMatchObject({ code: 'CORRUPT' })
        }
      }
    },
  )
})

describe('a log with any one byte changed', () => {
  test.each([0, 3, 8, 12])('is a prefix of at least %i entries, or refused', (covered) => {
    for (const start of [0, 1024, 2048]) {
      for (let at = 0; at < 1024; at++) {
        const damaged = changed(dataFile(start), (bytes) => {
          bytes[at] = (bytes[at] as number) ^ (1 << (at % 8))
          return bytes
        })
        const found = openDamaged(damaged, hinted(covered), { compareFiles: isRead(start + at, covered) })
        if (typeof found === 'number') expect(found, `byte ${start + at}`).toBeGreaterThanOrEqual(covered)
        else expect(found.detail, `byte ${start + at}`).toMatchObject({ code: 'CORRUPT', file: dataFile(start) })
      }
    }
  })

  test('in an entry before the last is never cut', () => {
    const last = written.hints[BODIES.length - 1]?.endPos ?? 0
    for (let pos = 0; pos < last; pos++) {
      const start = pos - (pos % 1024)
      const damaged = changed(dataFile(start), (bytes) => {
        bytes[pos - start] = (bytes[pos - start] as number) ^ 0x10
        return bytes
      })
      const entry = written.hints.findIndex((hint) => hint.endPos > pos)
      const isInEntry = pos >= (written.hints[entry]?.endPos ?? 0) - (BODIES[entry - 1] ?? 0) - 48
      if (isInEntry) expect(openDamaged(damaged), `byte ${pos}`).toMatchObject({ code: 'CORRUPT' })
    }
  })

  test('in its index is whole, and the index as before', () => {
    for (let at = 0; at < 512; at++) {
      const damaged = changed(indexFile(0), (bytes) => {
        bytes[at] = (bytes[at] as number) ^ (1 << (at % 8))
        return bytes
      })
      expect(openDamaged(damaged), `byte ${at}`).toBe(BODIES.length)
      expect(openDamaged(damaged, hinted(8)), `byte ${at}`).toBe(BODIES.length)
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

test('a missing file in the middle is refused when it was synced, else the end', () => {
  const damaged = without(dataFile(1024))
  expect(openDamaged(damaged, hinted(12))).toMatchObject({ code: 'CORRUPT' })
  expect(openDamaged(damaged)).toBe(written.hints.filter((hint) => hint.endPos <= 1024).length - 1)
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
