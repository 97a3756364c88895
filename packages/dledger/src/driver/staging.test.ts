import { silentLogger, systemClock } from '@dledger-ts/base'
import { describe, expect, test } from 'vitest'
import { DEFAULT_SETTINGS } from '../config.ts'
import type { Incoming, IncomingSnapshot } from '../hard-state/hard-state-codec.ts'
import { Staging } from './staging.ts'
import { HangingDisk } from './testing/hanging-disk.ts'

const incoming: Incoming = {
  phase: 'STAGING',
  beforeFirst: { index: 9, term: 1, endPos: 64 * 1024, chain: 7 },
  baseConfiguration: null,
  hint: null,
  configurationIndexes: [],
  snapshot: { index: 9, id: 'id', bytes: 0, isWhole: false, crc: 0 },
}

function open(disk: HangingDisk, from = incoming): Staging {
  disk.makeDirectorySync('/m')
  const options = {
    disk,
    directory: '/m',
    settings: { ...DEFAULT_SETTINGS, fileBytes: 64 * 1024, indexFileBytes: 32 * 1024 },
    checksummedFrom: 0,
    defer: (callback: () => void) => systemClock.defer(callback),
    logger: silentLogger,
  }
  return Staging.open(options, from)
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
const synced = (staging: Staging): Promise<Incoming> =>
  new Promise((resolve, reject) => staging.sync((error, known) => (error === null ? resolve(known) : reject(error))))

test('pieces of a state that find no room wait for it, in their order', async () => {
  const disk = new HangingDisk()
  const staging = open(disk)
  const told: (string | null)[] = []
  const write = (byte: number, isLast: boolean): void =>
    staging.writeState(Buffer.alloc(100, byte), isLast, (error) => void told.push(error?.message ?? null))
  write(1, false)
  await turn()
  disk.full = true
  write(2, false)
  write(3, true)
  await turn()
  expect(told).toEqual([null])
  expect(staging.isFull).toBe(true)
  expect((await synced(staging)).snapshot).toMatchObject({ bytes: 100, isWhole: false })
  staging.retryFull()
  await turn()
  expect(staging.isFull).toBe(true)
  disk.full = false
  staging.retryFull()
  await turn()
  expect(told).toEqual([null, null, null])
  const known = await synced(staging)
  expect(known.snapshot).toMatchObject({ bytes: 300, isWhole: true })
  staging.close()
  expect(open(disk, known).stateAt).toBe(-1)
  expect([...(disk.image().get('/m/incoming/state') ?? [])].filter((_, i) => i % 100 === 0)).toEqual([1, 2, 3])
})

test('what waits for room does not hold up a close', async () => {
  const disk = new HangingDisk()
  const staging = open(disk)
  disk.full = true
  const told: (string | undefined)[] = []
  staging.writeState(Buffer.alloc(100, 1), true, (error) => void told.push(error?.message))
  await turn()
  staging.close()
  await turn()
  expect(told).toEqual(['the log is closed'])
})

describe('a part of a state that a start finds', () => {
  const SIZE = 2_500_000

  /** In two pieces, all but the last byte of which is synced and remembered. */
  async function found(): Promise<{ disk: HangingDisk; known: Incoming }> {
    const disk = new HangingDisk()
    const staging = open(disk)
    const bytes = Buffer.from(Array.from({ length: SIZE }, (_, i) => (i * 31) % 251))
    for (const piece of [bytes.subarray(0, 1_000_000), bytes.subarray(1_000_000)]) {
      await new Promise((resolve) => staging.writeState(piece, false, resolve))
    }
    const known = await synced(staging)
    staging.close()
    return { disk, known }
  }
  const checked = (staging: Staging): Promise<boolean> =>
    new Promise((resolve, reject) =>
      staging.checkState((error, isGood) => (error === null ? resolve(isGood) : reject(error))),
    )

  test('is gone on with where it is what was written', async () => {
    const { disk, known } = await found()
    const staging = open(disk, known)
    expect(await checked(staging)).toBe(true)
    expect(staging.stateAt).toBe(SIZE)
    await new Promise((resolve) => staging.writeState(Buffer.from('end'), true, resolve))
    const whole = await synced(staging)
    expect(whole.snapshot).toMatchObject({ bytes: SIZE + 3, isWhole: true })
    staging.close()
    const again = open(disk, whole)
    expect(await checked(again)).toBe(true)
    expect(again.stateAt).toBe(-1)
  })

  test.each([0, 999_999, 1_048_576, SIZE - 1])('is received anew where byte %i of it is another one', async (at) => {
    const { disk, known } = await found()
    const file = disk.openSync('/m/incoming/state', { create: false })
    const byte = Buffer.alloc(1)
    file.readSync(byte, at)
    file.writeSync(Buffer.from([(byte[0] as number) ^ 4]), at)
    const staging = open(disk, known)
    expect(await checked(staging)).toBe(false)
    expect(staging.stateAt).toBe(0)
    expect((await synced(staging)).snapshot).toMatchObject({ bytes: 0, isWhole: false, crc: 0 })
  })

  test('is received anew where an older program has not remembered its checksum', async () => {
    const { disk, known } = await found()
    const { crc: _, ...snapshot } = known.snapshot as IncomingSnapshot
    expect(open(disk, { ...known, snapshot }).stateAt).toBe(0)
  })
})
