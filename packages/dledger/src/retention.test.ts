/** Retention in whole members: by size and age on real files, by the fullest disk of a group, and for the sake of who lags. */
import { readdirSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { DLedger } from './dledger.ts'
import type { DLedgerOptions } from './dledger-options.ts'
import { OpenedMembers } from './testing/opened-members.ts'
import { untilSeen } from './testing/until.ts'
import { MemoryDisk } from './disk/memory-disk.ts'
import type { StateMachine } from './state-machine.ts'

const FILE_BYTES = 64 * 1024
const IDS = ['n0', 'n1', 'n2']
const small = {
  fileBytes: FILE_BYTES,
  indexFileBytes: 32 * 1024,
  zeroFillBytes: 0,
  tickMs: 10,
  heartbeatMs: 20,
  electionTimeoutMs: 500,
  retentionIntervalMs: 30,
} as const

let opened: OpenedMembers
beforeEach(() => {
  opened = new OpenedMembers(small)
})
afterEach(() => opened.close())

function start(options: Partial<DLedgerOptions> = {}): Promise<DLedger> {
  return opened.start(options.self ?? 'n0', options)
}

/** Fills about `files` files. */
async function fill(member: DLedger, files: number): Promise<void> {
  await member.append(Array.from({ length: files * 128 }, (_, i) => Buffer.alloc(464, i)))
}

const dataFiles = (): string[] => {
  const directory = join(opened.root, 'n0', 'data')
  return readdirSync(directory).map((name) => join(directory, name))
}
const files = (): number => dataFiles().length

test('a log keeps no more bytes than it may', { timeout: 60_000 }, async () => {
  const log = await start({ retentionBytes: 3 * FILE_BYTES })
  await fill(log, 8)
  await untilSeen('the head is gone', () => files() <= 3)
  expect(log.firstIndex).toBeGreaterThan(0)
  expect((await log.read(log.commitIndex - 100))?.body.length).toBe(464)
  await fill(log, 4)
  await untilSeen('the head is gone again', () => files() <= 3)
})

test('files go when they are too old, also those of before the start', { timeout: 60_000 }, async () => {
  const before = await start()
  await fill(before, 4)
  await opened.stop(before)
  const anHourAgo = Date.now() / 1000 - 3_600
  const [first, second] = dataFiles()
  for (const file of [first, second]) utimesSync(file as string, anHourAgo, anHourAgo)
  const count = files()
  const log = await start({ retentionMs: 1_800_000 })
  await untilSeen('both are gone', () => files() === count - 2)
  await log.append(Buffer.from('one more'))
  expect(files()).toBe(count - 2)
})

test(
  'files that are too old wait for their hour, unless somebody asks for them to go',
  { timeout: 60_000 },
  async () => {
    const before = await start()
    await fill(before, 4)
    await opened.stop(before)
    const anHourAgo = Date.now() / 1000 - 3_600
    const [first] = dataFiles()
    utimesSync(first as string, anHourAgo, anHourAgo)
    const count = files()
    const hour = new Date().getHours()
    const log = await start({ retentionMs: 1_800_000, retentionHours: [(hour + 12) % 24] })
    const beganMs = performance.now()
    const severalLooksMs = 10 * small.retentionIntervalMs
    await untilSeen('the first of several looks would do', () => performance.now() - beganMs > severalLooksMs)
    await log.append(Buffer.from('one more'))
    expect(files()).toBe(count)
    log.forgetExpired()
    await untilSeen('it is gone', () => files() === count - 1)
  },
)

test('the fullest disk of a group counts, file by file, until it has room', { timeout: 60_000 }, async () => {
  const disks = Object.fromEntries(IDS.map((id) => [id, new MemoryDisk()]))
  const [leader, follower] = (await opened.startGroup(IDS, (id) => ({
    disk: disks[id] as MemoryDisk,
    directory: '/log',
    retentionDiskPercent: 80,
  }))) as [DLedger, DLedger]
  await fill(leader, 8)
  await untilSeen('all have all', () => follower.appliedIndex === leader.appliedIndex)
  expect(leader.firstIndex).toBe(0)
  const full = disks[follower.status().self] as MemoryDisk
  full.usedPercent = 80
  await untilSeen('files are gone', () => leader.firstIndex > 0 && follower.firstIndex > 128)
  full.usedPercent = 79
  await untilSeen('all are the same', () => opened.members.every((member) => member.firstIndex === leader.firstIndex))
  expect(leader.lastIndex - leader.firstIndex).toBeGreaterThan(128)
})

test(
  'a state machine is told where its log starts and ends, and where the file of a byte begins',
  { timeout: 60_000 },
  async () => {
    const told: number[][] = []
    const ends: number[][] = []
    let applied = -1
    const machine: StateMachine = {
      get appliedIndex() {
        return applied
      },
      get checkpointIndex() {
        return applied
      },
      discard: () => {},
      apply: (entries) => {
        applied = entries.at(-1)?.index ?? applied
      },
      roleChanged: () => {},
      durable: () => {},
      logStarts: (...start) => told.push(start),
      logEnds: (...end) => ends.push(end),
    }
    const log = await start({ stateMachine: machine })
    expect(told).toEqual([[0, 0]])
    expect(ends).toEqual([[-1, 0]])
    await fill(log, 4)
    const first = log.firstIndexInFileOf(2 * FILE_BYTES + 1_000) ?? 0
    expect((await log.read(first))?.pos).toBe(2 * FILE_BYTES)
    await log.trimBefore(first)
    await untilSeen('the head is gone', () => log.firstIndex === first)
    expect(told).toEqual([
      [0, 0],
      [first, 2 * FILE_BYTES],
    ])
    expect(log.firstIndexInFileOf(FILE_BYTES)).toBeNull()
    const { index, pos } = await log.append(Buffer.alloc(10))
    await opened.stop(log)
    expect(log.firstIndexInFileOf(2 * FILE_BYTES)).toBeNull()
    await start({ stateMachine: machine })
    expect(told.slice(2)).toEqual([[first, 2 * FILE_BYTES]])
    expect(ends.slice(1)).toEqual([[index, pos + 48 + 10]])
  },
)
