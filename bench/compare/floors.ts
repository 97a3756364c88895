/**
 * What the machine gives to anybody, measured with the same clocks as the systems. Named as the systems that they bound:
 * `floor-async` without syncing, `floor-sync` with it.
 */
import { closeSync, fdatasync, openSync, write } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { DLedger, type FlushDiskType } from '@dledger-ts/dledger'
import { roundTripFloor, syncFloor } from '../log/floor.ts'
import { load } from '../log/load.ts'
import { removeDirectory, temporaryDirectory } from './children.ts'
import type { Figures } from './measurements.ts'

/** A message of 1 KiB with what a record adds. */
const RECORD_BYTES = 1_200
const BODY_BYTES = 1_024
const WRITE_BYTES = 1024 * 1024
/** All copies together, so that a fast disk is not filled. */
const WRITTEN_BYTES_MAX = 4 * 1024 ** 3
/** As many bytes as one write of the floor has. */
const APPENDS_IN_FLIGHT = WRITE_BYTES / BODY_BYTES

export interface Floor {
  readonly system: 'floor-async' | 'floor-sync' | 'ours-async' | 'ours-sync'
  readonly workload: string
  readonly figures: Figures
}

/** A lone sender waits for two round trips, and where each write is synced for one sync: followers sync meanwhile. */
export async function loneSender(seconds: number): Promise<Floor[]> {
  const syncs = await syncFloor(RECORD_BYTES, seconds)
  const trips = await roundTripFloor(RECORD_BYTES)
  return [
    { system: 'floor-async', workload: 'sync1', figures: { p50Ms: 2 * trips.p50 } },
    { system: 'floor-sync', workload: 'sync1', figures: { p50Ms: 2 * trips.p50 + syncs.p50 } },
  ]
}

/** Large messages: three copies, one after the other written in pieces, on one disk. */
export async function threeCopies(seconds: number): Promise<Floor[]> {
  return [
    { system: 'floor-async', workload: 'large', figures: { megabytesPerSecond: await sequential(3, seconds, false) } },
    { system: 'floor-sync', workload: 'large', figures: { megabytesPerSecond: await sequential(3, seconds, true) } },
  ]
}

/** An embedded log of one member, with many appends in flight, and one file that is written beside it. */
export async function embedded(seconds: number): Promise<Floor[]> {
  const floors: Floor[] = []
  for (const [kind, flush] of [['async', 'ASYNC_FLUSH'] as const, ['sync', 'SYNC_FLUSH'] as const]) {
    const bare = await sequential(1, seconds, flush === 'SYNC_FLUSH')
    floors.push({ system: `floor-${kind}`, workload: 'embedded', figures: { megabytesPerSecond: bare } })
    const megabytesPerSecond = await appends(flush, seconds)
    floors.push({ system: `ours-${kind}`, workload: 'embedded', figures: { megabytesPerSecond } })
  }
  return floors
}

async function appends(flushDiskType: FlushDiskType, seconds: number): Promise<number> {
  const directory = temporaryDirectory()
  const log = await DLedger.open({ directory, flushDiskType })
  try {
    const { perSecond } = await load(log, { inFlight: APPENDS_IN_FLIGHT, bytes: BODY_BYTES, seconds })
    return (perSecond * BODY_BYTES) / 1e6
  } finally {
    await log.close()
    removeDirectory(directory)
  }
}

/** @returns megabytes a second of each copy. What was written is on the disk at the end; `syncs`: after each piece. */
async function sequential(copies: number, seconds: number, syncs: boolean): Promise<number> {
  const directory = temporaryDirectory()
  const files = Array.from({ length: copies }, (_, i) => openSync(join(directory, String(i)), 'w'))
  const piece = Buffer.alloc(WRITE_BYTES, 7)
  try {
    const begun = performance.now()
    const until = begun + seconds * 1_000
    let written = 0
    while (performance.now() < until && written * copies < WRITTEN_BYTES_MAX) {
      await Promise.all(
        files.map(async (file) => {
          await promisify(write)(file, piece, 0, WRITE_BYTES, written)
          if (syncs) await promisify(fdatasync)(file)
        }),
      )
      written += WRITE_BYTES
    }
    if (!syncs) await Promise.all(files.map((file) => promisify(fdatasync)(file)))
    return written / 1e6 / ((performance.now() - begun) / 1_000)
  } finally {
    for (const file of files) closeSync(file)
    removeDirectory(directory)
  }
}
