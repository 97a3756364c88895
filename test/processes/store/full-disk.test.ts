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
    const root = mkdtempSync(join(tmpdir(), 'full-disk-'))
    try {
      const program = fileURLToPath(new URL('../../dist/processes/store/full-disk-program.js', import.meta.url))
      const [command, ...args] = onSmallDisk(root, DISK_BYTES)
      const options = { encoding: 'utf8', timeout: TIMEOUT_MS } as const
      const { stdout, stderr, status } = spawnSync(
        command as string,
        [...args, process.execPath, program, root],
        options,
      )
      expect([status, stderr]).toEqual([0, ''])
      const seen = JSON.parse(stdout) as Seen
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
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  },
  TIMEOUT_MS,
)
