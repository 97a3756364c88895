/** A store whose disk fills up: it refuses, reads on, and goes on when there is room, without a restart. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { onSmallDisk, whyNoSmallDisk } from '../members/small-disk.ts'

const DISK_BYTES = 24 * 1024 * 1024
const TIMEOUT_MS = 120_000

const noSmallDisk = whyNoSmallDisk()
if (noSmallDisk !== null) console.log(`skipped: ${noSmallDisk}`)

/** What a program saw that has a small file system for itself. */
function ranOnSmallDisk(program: string, ...args: readonly string[]): unknown {
  const root = mkdtempSync(join(tmpdir(), 'full-disk-'))
  try {
    const path = fileURLToPath(new URL(`../../dist/processes/store/${program}`, import.meta.url))
    const [command, ...before] = onSmallDisk(root, DISK_BYTES)
    const { stdout, stderr, status } = spawnSync(
      command as string,
      [...before, process.execPath, path, root, ...args],
      { encoding: 'utf8', timeout: TIMEOUT_MS },
    )
    expect([status, stderr]).toEqual([0, ''])
    return JSON.parse(stdout)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

interface Seen {
  readonly stored: number
  readonly minOffset: number
  readonly freeWhenFull: number
  readonly refusals: readonly string[]
  readonly readWhenFull: number
  readonly isReadyWhenFull: boolean
  readonly readAfter: number
  readonly readAgain: number
  readonly maxOffset: number
  readonly maxOffsetAgain: number
  readonly failures: readonly string[]
}

test.skipIf(noSmallDisk !== null)(
  'a store on a full disk refuses, gives out what it has, and goes on when there is room',
  () => {
    const seen = ranOnSmallDisk('full-disk-program.js') as Seen
    expect(seen).toMatchObject({
      failures: [],
      refusals: ['DISK_FULL', 'DISK_FULL', 'DISK_FULL'],
      isReadyWhenFull: true,
    })
    // It holds no more than fits, and has given up the oldest.
    expect(seen.minOffset).toBeGreaterThan(0)
    expect(seen.readWhenFull).toBeGreaterThan(0)
    expect(seen.freeWhenFull).toBe(0)
    expect(seen.readAfter).toBeGreaterThan(100)
    expect(seen.maxOffsetAgain).toBe(seen.maxOffset)
    expect(seen.readAgain).toBeGreaterThan(0)
  },
  TIMEOUT_MS,
)

interface SeenOfOwnLog {
  readonly timesStored: number
  readonly timesEmptied: number
  readonly minOffset: number
  readonly read: number
  readonly freeWhenClosed: number
  readonly readWhenFull: number
  readonly failures: readonly string[]
}

const RESERVE_BYTES = 6 * 1024 * 1024

test.skipIf(noSmallDisk !== null)(
  'a store that fills its disk with its own log is trimmed all the same, by its reserve, and opens where others have filled it',
  () => {
    const seen = ranOnSmallDisk('own-log-program.js', String(RESERVE_BYTES)) as SeenOfOwnLog
    expect(seen).toMatchObject({ failures: [], isTakenWhenFull: false, isWhole: true, freeWhenClosed: 0 })
    expect(seen.timesStored).toBeGreaterThanOrEqual(3)
    expect(seen.timesEmptied).toBeGreaterThanOrEqual(1)
    expect(seen.minOffset).toBeGreaterThan(0)
    expect(seen.read).toBeGreaterThan(0)
    // The last files may go while it is read.
    expect(seen.readWhenFull).toBeGreaterThan(0)
    expect(seen.readWhenFull).toBeLessThanOrEqual(seen.read)
  },
  TIMEOUT_MS,
)
