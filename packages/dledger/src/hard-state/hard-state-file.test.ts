import { crc32 } from '@dledger-ts/base'
import { describe, expect, test } from 'vitest'
import type { DiskFile } from '../disk/disk.ts'
import { MemoryDisk } from '../disk/memory-disk.ts'
import { HARD_STATE_CONTENT_BYTES_MAX, HARD_STATE_VERSION, type HardState, HardStateFile } from './hard-state-file.ts'

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

/** A file whose slots hold term 7 (slot 0) and then `terms`, in turn. */
async function fileWith(terms: readonly number[]): Promise<Buffer> {
  const disk = diskWith()
  const file = HardStateFile.createSync(disk, PATH, state)
  for (const term of terms) await write(file, { ...state, term })
  file.closeSync()
  return content(disk)
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

describe('a damaged slot', () => {
  test('with any byte of its content changed does not count: the other one does, and is not written over next', async () => {
    const bytes = await fileWith([8, 9]) // 9 in slot 0, 8 in slot 1
    const used = 24 + Buffer.byteLength(JSON.stringify({ ...state, term: 9 }))
    for (const slot of [0, 1]) {
      for (let at = 0; at < used; at++) {
        const damaged = Buffer.from(bytes)
        damaged[slot * SLOT_BYTES + at] = (damaged[slot * SLOT_BYTES + at] as number) ^ (1 << (at % 8))
        const disk = diskWith(damaged)
        const file = HardStateFile.openSync(disk, PATH) as HardStateFile
        expect(file.state.term, `slot ${slot} byte ${at}`).toBe(slot === 0 ? 8 : 9)
        file.writeSync({ ...state, term: 10 })
        file.closeSync()
        const healthy = (1 - slot) * SLOT_BYTES
        expect(
          content(disk)
            .subarray(healthy, healthy + SLOT_BYTES)
            .equals(bytes.subarray(healthy, healthy + SLOT_BYTES)),
        ).toBe(true)
        const again = HardStateFile.openSync(disk, PATH) as HardStateFile
        expect(again.state.term).toBe(10)
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

  test.each([
    { name: 'both slots damaged', bytes: Buffer.alloc(2 * SLOT_BYTES, 0x5a) },
    { name: 'zeros', bytes: Buffer.alloc(2 * SLOT_BYTES) },
    { name: 'nothing', bytes: Buffer.alloc(0) },
  ])('in a file with $name means no vote', ({ bytes }) => {
    const disk = diskWith(bytes)
    expect(() => HardStateFile.openSync(disk, PATH)).toThrow(/hard-state .*will not vote/)
    expect(content(disk).equals(bytes)).toBe(true)
  })
})

test('a newer format is refused with both versions', async () => {
  const bytes = await fileWith([])
  bytes.writeUInt32BE(HARD_STATE_VERSION + 1, 4)
  const length = bytes.readUInt32BE(16)
  bytes.writeUInt32BE(crc32(bytes, 24, 24 + length, crc32(bytes, 0, 20)), 20)
  expect(() => HardStateFile.openSync(diskWith(bytes), PATH)).toThrow(/\/m\/hard-state has format version 2, .*up to 1/)
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
  expect(writes).toBe(2)
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

test('what does not fit in a slot is a bug of the caller', () => {
  const file = HardStateFile.createSync(diskWith(), PATH, state)
  expect(() => file.writeSync({ ...state, group: 'x'.repeat(HARD_STATE_CONTENT_BYTES_MAX) })).toThrow('fits in a slot')
})
