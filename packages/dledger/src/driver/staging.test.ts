import { silentLogger, systemClock } from '@dledger-ts/base'
import { expect, test } from 'vitest'
import { DEFAULT_SETTINGS } from '../config.ts'
import type { Incoming } from '../hard-state/hard-state-codec.ts'
import { Staging } from './staging.ts'
import { HangingDisk } from './testing/hanging-disk.ts'

const incoming: Incoming = {
  phase: 'STAGING',
  beforeFirst: { index: 9, term: 1, endPos: 64 * 1024, chain: 7 },
  baseConfiguration: null,
  hint: null,
  configurationIndexes: [],
  snapshot: { index: 9, id: 'id', bytes: 0, isWhole: false },
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
