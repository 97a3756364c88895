import { randomBytes } from 'node:crypto'
import { crc32 } from '@dledger-ts/base'
import { describe, expect, test } from 'vitest'
import type { DiskFile } from '../disk/disk.ts'
import { MemoryDisk } from '../disk/memory-disk.ts'
import { HandleDisk, noRoom } from '../disk/testing/handle-disk.ts'
import {
  fitsInSlot,
  HARD_STATE_CONTENT_BYTES_MAX,
  HARD_STATE_VERSION,
  type HardState,
  HardStateFile,
} from './hard-state-file.ts'

const PATH = '/m/hard-state'
const SLOT_BYTES = 4096
const state: HardState = {
  group: 'RaftNode00',
  member: 'n0',
  storeId: '0b7a3c1e-7a34-4b52-9a36-0d2f7d1a9f11',
  term: 7,
  votedFor: 'n2',
  fileBytes: 1_073_741_824,
  checksummedFrom: 0,
  bootId: null,
  asyncAcks: false,
  cleanStop: false,
  recovering: false,
  incarnation: 0,
  durableHint: { index: 41, endPos: 9000, chain: 0xfedcba98 },
  beforeFirst: null,
  configurationIndexes: [1, 17],
}

function diskWith(image?: Buffer): MemoryDisk {
  const disk = new MemoryDisk()
  disk.makeDirectorySync('/m')
  if (image !== undefined) disk.restore(new Map([[PATH, image]]))
  return disk
}

function content(disk: MemoryDisk): Buffer {
  return disk.image().get(PATH) as Buffer
}

function write(file: HardStateFile, next: HardState): Promise<void> {
  return new Promise((resolve, reject) => file.write(next, (error) => (error === null ? resolve() : reject(error))))
}

/** A file whose slots hold term 7 (slot 0) and then `terms`, in turn; `of` says what else is told in a term. */
async function fileWith(terms: readonly number[], of = (_term: number): Partial<HardState> => ({})): Promise<Buffer> {
  const disk = diskWith()
  const file = HardStateFile.createSync(disk, PATH, state)
  for (const term of terms) await write(file, { ...state, term, ...of(term) })
  file.closeSync()
  return content(disk)
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[at] = (copy[at] as number) ^ (1 << (at % 8))
  return copy
}

function setVersion(bytes: Buffer, slotAt: number, version: number): void {
  const slot = bytes.subarray(slotAt, slotAt + SLOT_BYTES)
  slot.writeUInt32BE(version, 4)
  slot.writeUInt32BE(crc32(slot, 24, 24 + slot.readUInt32BE(16), crc32(slot, 0, 20)), 20)
}

function asVersion1(bytes: Buffer): Buffer {
  const old = Buffer.from(bytes)
  for (const at of [0, SLOT_BYTES]) setVersion(old, at, 1)
  return old
}

test('there is no hard state before it is made, and it is made whole', () => {
  const disk = diskWith()
  expect(HardStateFile.openSync(disk, PATH)).toBeNull()
  HardStateFile.createSync(disk, PATH, state).closeSync()
  expect(disk.listSync('/m')).toEqual(['hard-state'])
  const file = HardStateFile.openSync(disk, PATH)
  expect(file?.state).toEqual(state)
  file?.closeSync()
})

test.each([
  { name: 'no vote', change: { votedFor: null } },
  { name: 'a boot identity', change: { bootId: 'b' } },
  { name: 'a trimmed head', change: { beforeFirst: { index: 3, term: 2, endPos: 500, chain: 0 } } },
  { name: 'a hint for an empty log', change: { durableHint: { index: -1, endPos: 0, chain: 0 } } },
  { name: 'no hint', change: { durableHint: null, configurationIndexes: null } },
])('a hard state with $name is read as written', async ({ change }) => {
  const disk = diskWith()
  const file = HardStateFile.createSync(disk, PATH, state)
  await write(file, { ...state, ...change })
  file.closeSync()
  expect(HardStateFile.openSync(disk, PATH)?.state).toEqual({ ...state, ...change })
})

test('the slots are written in turn and the newest counts', async () => {
  for (const terms of [[], [8], [8, 9], [8, 9, 10]]) {
    const bytes = await fileWith(terms)
    const found = HardStateFile.openSync(diskWith(bytes), PATH)
    expect(found?.state.term).toBe(terms.at(-1) ?? 7)
    found?.closeSync()
  }
})

describe('damage', () => {
  test('of any one byte of the file never brings an older state back, and is mended when it is opened to be used', async () => {
    const bytes = await fileWith([8, 9])
    expect(bytes.length).toBe(4 * SLOT_BYTES)
    for (let at = 0; at < bytes.length; at++) {
      const disk = diskWith(flipped(bytes, at))
      const file = HardStateFile.openSync(disk, PATH) as HardStateFile
      expect(file.state, `byte ${at}`).toEqual({ ...state, term: 9 })
      // Of what does not count any more nobody asks.
      expect(file.wasDamaged).toBe(Math.floor(at / SLOT_BYTES) % 2 === 0)
      file.mendSync()
      file.closeSync()
      const mended = content(disk)
      expect(mended.subarray(0, SLOT_BYTES).equals(mended.subarray(2 * SLOT_BYTES, 3 * SLOT_BYTES))).toBe(true)
      expect(HardStateFile.openSync(disk, PATH)?.state.term).toBe(9)
    }
  })

  test('of a whole record, wherever it is, never brings an older state back', async () => {
    for (const terms of [[], [8], [8, 9], [8, 9, 10]]) {
      const bytes = await fileWith(terms)
      for (let slot = 0; slot < 4; slot++) {
        for (const fill of [0, 0x5a]) {
          const damaged = Buffer.from(bytes).fill(fill, slot * SLOT_BYTES, (slot + 1) * SLOT_BYTES)
          expect(HardStateFile.openSync(diskWith(damaged), PATH)?.state.term).toBe(terms.at(-1) ?? 7)
        }
      }
    }
  })

  test('of the record that counts is not there any more after the next write, nor is the write lost to damage', async () => {
    const bytes = await fileWith([8, 9])
    const disk = diskWith(flipped(bytes, 40))
    const file = HardStateFile.openSync(disk, PATH) as HardStateFile
    file.rewriteSync()
    await write(file, { ...state, term: 10 })
    file.closeSync()
    for (const at of [40, SLOT_BYTES + 40, 2 * SLOT_BYTES + 40, 3 * SLOT_BYTES + 40]) {
      expect(HardStateFile.openSync(diskWith(flipped(content(disk), at)), PATH)?.state.term).toBe(10)
    }
  })

  test('by a torn write, sector by sector, leaves the state before or the new one; the older one never counts again', async () => {
    // Over three sectors, and different in each.
    const long = (term: number): Partial<HardState> => ({
      baseConfiguration: { index: 1, payload: String(term).repeat(1_000) },
    })
    const before = await fileWith([8], long)
    const after = await fileWith([8, 9], long)
    const sectors = before.length / 512
    const changed = Array.from({ length: sectors }, (_, i) => i).filter(
      (i) => !before.subarray(i * 512, (i + 1) * 512).equals(after.subarray(i * 512, (i + 1) * 512)),
    )
    expect(changed.length).toBeGreaterThanOrEqual(4)
    for (let kept = 0; kept < 2 ** changed.length; kept++) {
      const torn = Buffer.from(before)
      changed.forEach((sector, i) => {
        if ((kept & (1 << i)) !== 0) after.copy(torn, sector * 512, sector * 512, (sector + 1) * 512)
      })
      const disk = diskWith(torn)
      const file = HardStateFile.openSync(disk, PATH) as HardStateFile
      const { term } = file.state
      expect([8, 9]).toContain(term)
      if (kept === 0) expect(term).toBe(8)
      if (kept === 2 ** changed.length - 1) expect(term).toBe(9)
      file.mendSync()
      file.closeSync()
      for (const at of [30, SLOT_BYTES + 30, 2 * SLOT_BYTES + 30, 3 * SLOT_BYTES + 30]) {
        expect(HardStateFile.openSync(diskWith(flipped(content(disk), at)), PATH)?.state.term).toBe(term)
      }
    }
  })

  test('cut at any byte by a torn write leaves the state before', async () => {
    const before = await fileWith([8])
    const after = await fileWith([8, 9]) // written to slot 0
    for (let kept = 0; kept <= SLOT_BYTES; kept++) {
      const torn = Buffer.concat([after.subarray(0, kept), before.subarray(kept)])
      const file = HardStateFile.openSync(diskWith(torn), PATH)
      expect([8, 9]).toContain(file?.state.term)
      if (torn.equals(before)) expect(file?.state.term).toBe(8)
    }
  })

  test('does not keep a file of the first version from being opened: it gets its copies then', async () => {
    const old = asVersion1((await fileWith([8, 9])).subarray(0, 2 * SLOT_BYTES))
    const disk = diskWith(old)
    const file = HardStateFile.openSync(disk, PATH) as HardStateFile
    expect(file.state).toEqual({ ...state, term: 9 })
    expect(file.wasDamaged).toBe(false)
    expect(content(disk).equals(old)).toBe(true)
    file.mendSync()
    expect(
      content(disk)
        .subarray(0, 2 * SLOT_BYTES)
        .equals(old),
    ).toBe(true)
    for (const at of [40, 2 * SLOT_BYTES + 40]) {
      expect(HardStateFile.openSync(diskWith(flipped(content(disk), at)), PATH)?.state.term).toBe(9)
    }
    await write(file, { ...state, term: 10 })
    file.closeSync()
    expect(HardStateFile.openSync(disk, PATH)?.state.term).toBe(10)
  })

  test.each([
    { name: 'all of it damaged', bytes: Buffer.alloc(4 * SLOT_BYTES, 0x5a) },
    { name: 'zeros', bytes: Buffer.alloc(4 * SLOT_BYTES) },
    { name: 'nothing', bytes: Buffer.alloc(0) },
  ])('in a file with $name means no vote', ({ bytes }) => {
    const disk = diskWith(bytes)
    expect(() => HardStateFile.openSync(disk, PATH)).toThrow(/hard-state .*will not vote/)
    expect(content(disk).equals(bytes)).toBe(true)
  })
})

test('a newer format is refused with both versions', async () => {
  const bytes = await fileWith([])
  setVersion(bytes, 0, HARD_STATE_VERSION + 1)
  expect(() => HardStateFile.openSync(diskWith(bytes), PATH)).toThrow(/\/m\/hard-state has format version 4, .*up to 3/)
})

test.each([
  { name: 'no term', change: { term: undefined } },
  { name: 'a term that is a string', change: { term: '7' } },
  { name: 'a negative term', change: { term: -1 } },
  { name: 'a vote that is a number', change: { votedFor: 3 } },
  { name: 'half a hint', change: { durableHint: { index: 3 } } },
  { name: 'indexes that are none', change: { configurationIndexes: ['1'] } },
])('content with $name is no hard state', ({ change }) => {
  // Making the file reads it back.
  expect(() => HardStateFile.createSync(diskWith(), PATH, { ...state, ...change } as unknown as HardState)).toThrow(
    'will not vote',
  )
})

test('states handed in while a write is under way share the next one, and are told in order', async () => {
  const disk = diskWith()
  HardStateFile.createSync(disk, PATH, state).closeSync()
  let writes = 0
  const open = disk.openSync.bind(disk)
  disk.openSync = (path, options): DiskFile => {
    const file = open(path, options)
    const original = file.write.bind(file)
    file.write = (buffers, at, callback) => {
      writes++
      original(buffers, at, callback)
    }
    return file
  }
  const file = HardStateFile.openSync(disk, PATH) as HardStateFile
  const told: number[] = []
  await Promise.all([8, 9, 10, 11].map((term) => write(file, { ...state, term }).then(() => told.push(term))))
  expect(file.state.term).toBe(11)
  expect(told).toEqual([8, 9, 10, 11])
  // Each in two copies.
  expect(writes).toBe(4)
  file.closeSync()
  expect(HardStateFile.openSync(disk, PATH)?.state.term).toBe(11)
})

test('a file closed while a write is under way is closed when that ends', async () => {
  const disk = diskWith()
  const file = HardStateFile.createSync(disk, PATH, state)
  const done = write(file, { ...state, term: 8 })
  file.closeSync()
  await done
  expect(HardStateFile.openSync(disk, PATH)?.state.term).toBe(8)
})

/** Text that hardly gets shorter. */
const noise = (bytes: number): string => randomBytes(bytes).toString('base64')

test('what does not fit in a slot is a bug of the caller', () => {
  const file = HardStateFile.createSync(diskWith(), PATH, state)
  const long = { ...state, group: noise(HARD_STATE_CONTENT_BYTES_MAX) }
  expect(fitsInSlot(long)).toBe(false)
  expect(() => file.writeSync(long)).toThrow('fits in a slot')
  expect(fitsInSlot({ ...state, group: 'x'.repeat(100_000) })).toBe(false)
})

test('what fits deflated only is read as it was written, and every flipped bit of it is seen', async () => {
  const disk = diskWith()
  const file = HardStateFile.createSync(disk, PATH, state)
  const payload = noise(1_500)
  const configured = { ...state, term: 9, baseConfiguration: { index: 3, payload }, outdated: payload }
  expect(JSON.stringify(configured).length).toBeGreaterThan(HARD_STATE_CONTENT_BYTES_MAX)
  await write(file, configured)
  file.closeSync()
  expect(HardStateFile.openSync(disk, PATH)?.state).toEqual(configured)
  const image = content(disk)
  const slotAt = SLOT_BYTES
  for (let at = slotAt; at < slotAt + 24 + image.readUInt32BE(slotAt + 16); at += 37) {
    const spoilt = flipped(flipped(image, at), at + 2 * SLOT_BYTES)
    expect(HardStateFile.openSync(diskWith(spoilt), PATH)?.state).toEqual(state)
  }
  // An older program says that a newer one wrote it, and small ones stay as they were.
  expect([image.readUInt32BE(4), image.readUInt32BE(slotAt + 4)]).toEqual([2, 3])
})

test('a file that could not be made is not left open', () => {
  for (const operation of ['truncateSync', 'writeSync', 'syncSync'] as const) {
    const disk = new HandleDisk()
    disk.makeDirectorySync('/m')
    disk.failing.set(operation, noRoom())
    expect(() => HardStateFile.createSync(disk, PATH, state), operation).toThrow('ENOSPC')
    expect({ operation, open: disk.open }).toEqual({ operation, open: [] })
    expect(disk.existsSync(PATH)).toBe(false)
  }
})

describe('a full disk', () => {
  function fullDisk(): LimitedDisk {
    const disk = new LimitedDisk()
    disk.makeDirectorySync('/m')
    HardStateFile.createSync(disk, PATH, state).closeSync()
    return disk
  }

  test.each([0, 100, SLOT_BYTES, SLOT_BYTES + 100])(
    'is waited for: nobody is told, what counted counts, and the last state goes on; %i bytes found room',
    async (bytes) => {
      const disk = fullDisk()
      disk.roomBytes = 2 * SLOT_BYTES
      const file = HardStateFile.openSync(disk, PATH) as HardStateFile
      await write(file, { ...state, term: 8 })
      disk.roomBytes = bytes
      const told: string[] = []
      const tell = (name: string) => (error: Error | null) => void told.push(`${name} ${error === null ? 'ok' : 'no'}`)
      file.write({ ...state, term: 9 }, tell('9'))
      while (!file.isFull) await new Promise((resolve) => setImmediate(resolve))
      file.write({ ...state, term: 10 }, tell('10'))
      // As after a crash: what was never told may be there, what was told is.
      const found = HardStateFile.openSync(diskWith(content(disk)), PATH)?.state.term
      expect(found === 8 || (found === 9 && bytes >= SLOT_BYTES)).toBe(true)
      disk.roomBytes = 100
      file.retryFull()
      await new Promise((resolve) => setImmediate(resolve))
      expect(told).toEqual([])
      expect(file.isFull).toBe(true)
      expect(HardStateFile.openSync(diskWith(content(disk)), PATH)?.state.term).toBeGreaterThanOrEqual(8)
      disk.roomBytes = Number.POSITIVE_INFINITY
      file.retryFull()
      while (file.isFull) await new Promise((resolve) => setImmediate(resolve))
      expect(told).toEqual(['9 ok', '10 ok'])
      expect(HardStateFile.openSync(diskWith(content(disk)), PATH)?.state.term).toBe(10)
      await write(file, { ...state, term: 11 })
      file.closeSync()
      expect(HardStateFile.openSync(diskWith(content(disk)), PATH)?.state.term).toBe(11)
    },
  )

  test('is not waited for in a stop: what waits is told to nobody, and what finds no room then fails', async () => {
    const disk = fullDisk()
    const file = HardStateFile.openSync(disk, PATH) as HardStateFile
    const told: unknown[] = []
    file.write({ ...state, term: 8 }, (error) => told.push(error))
    while (!file.isFull) await new Promise((resolve) => setImmediate(resolve))
    file.stopWaiting()
    await expect(write(file, { ...state, term: 9 })).rejects.toMatchObject({ code: 'ENOSPC' })
    disk.roomBytes = Number.POSITIVE_INFINITY
    await write(file, { ...state, term: 10 })
    file.closeSync()
    expect(told).toEqual([])
    expect(HardStateFile.openSync(disk, PATH)?.state.term).toBe(10)
  })

  test('finds a file of an older format with all its room, once that is open', async () => {
    const old = asVersion1(await fileWith([8])).subarray(0, 2 * SLOT_BYTES)
    for (const open of ['mendSync', 'rewriteSync'] as const) {
      const disk = diskWith(Buffer.from(old))
      const file = HardStateFile.openSync(disk, PATH) as HardStateFile
      file[open]()
      expect(content(disk).length).toBe(4 * SLOT_BYTES)
      file.closeSync()
    }
  })
})

/** Writes find room for so many bytes, whatever they write over. */
class LimitedDisk extends MemoryDisk {
  roomBytes = 0

  override openSync(path: string, options: { readonly create: boolean }): DiskFile {
    const file = super.openSync(path, options)
    return {
      path,
      write: (buffers, at, callback) => {
        const bytes = Buffer.concat(buffers)
        const part = bytes.subarray(0, Math.min(this.roomBytes, bytes.length))
        this.roomBytes -= part.length
        file.write([part], at, () => callback(part.length < bytes.length ? noRoom() : null))
      },
      read: (target, at, callback) => file.read(target, at, callback),
      sync: (callback) => file.sync(callback),
      writeSync: (bytes, at) => file.writeSync(bytes, at),
      readSync: (target, at) => file.readSync(target, at),
      syncSync: () => file.syncSync(),
      sizeSync: () => file.sizeSync(),
      modifiedMsSync: () => file.modifiedMsSync(),
      truncateSync: (size) => file.truncateSync(size),
      closeSync: () => file.closeSync(),
    }
  }
}
