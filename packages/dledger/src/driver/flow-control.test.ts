/** Flow control of a whole member: what a slow state machine may cost in memory, and when appends are refused for it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DLedger } from '../dledger.ts'
import type { CommittedEntry, StateMachine } from '../state-machine.ts'
import { untilSeen } from '../testing/until.ts'
import { HangingDisk } from './testing/hanging-disk.ts'

const small = { fileBytes: 4 * 1024 * 1024, indexFileBytes: 1024 * 1024, zeroFillBytes: 0, tickMs: 10, heartbeatMs: 20 }
/** More than is applied in one pass. */
const COUNT = 12_000
const BODY_BYTES = 100

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'dledger-flow-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

/** Calls `seen` after each batch, with how many entries of data are applied. */
function machine(seen: (applied: number) => void): StateMachine {
  let applied = 0
  return {
    appliedIndex: -1,
    discard: () => {},
    apply: (entries: readonly CommittedEntry[]) => {
      for (const entry of entries) if (entry.kind === 'data') applied++
      seen(applied)
    },
    roleChanged: () => {},
    durable: () => {},
  }
}

const bodies = (count: number) => Array.from({ length: count }, (_, i) => Buffer.alloc(BODY_BYTES, i & 0xff))

/** Most of them are committed by one sync. */
async function appendAtOnce(log: DLedger, disk: HangingDisk): Promise<void> {
  disk.holdsSyncs = true
  const appended = log.append(bodies(COUNT))
  await untilSeen('all have a place', () => log.status().lastIndex >= COUNT && disk.heldCount > 0)
  disk.holdsSyncs = false
  disk.release()
  await appended
}

test('what waits to be applied is read from the disk again, and does not stay in memory', async () => {
  const hotBytesMax = 64 * 1024
  const hotBytes: number[] = []
  const disk = new HangingDisk()
  const log: DLedger = await DLedger.open({
    directory,
    disk,
    ...small,
    hotBytesMax,
    stateMachine: machine((applied) => {
      // What the pass before left; within the first all of it may still be there.
      if (applied > 9_000) hotBytes.push(log.status().hotBytes)
    }),
  })
  await appendAtOnce(log, disk)
  expect(hotBytes.length).toBeGreaterThan(0)
  // One batch of proposals more than the bound.
  expect(Math.min(...hotBytes)).toBeLessThan(hotBytesMax + 1024 * (48 + BODY_BYTES))
  let count = 0
  for await (const entry of log.entries()) if (entry.body.length === BODY_BYTES) count++
  expect(count).toBe(COUNT)
  await log.close()
})

test('a leader whose state machine is far behind its log refuses with BUSY, and takes appends again when it is not', async () => {
  let refused: Promise<unknown> = Promise.resolve(null)
  let isAsked = false
  const disk = new HangingDisk()
  const log: DLedger = await DLedger.open({
    directory,
    disk,
    ...small,
    unappliedBytesMax: 100_000,
    stateMachine: machine((applied) => {
      if (applied === 0 || isAsked) return
      isAsked = true
      refused = log.append(Buffer.from('late')).catch((error: unknown) => error)
    }),
  })
  await appendAtOnce(log, disk)
  expect(await refused).toMatchObject({ code: 'BUSY' })
  expect((await log.append(Buffer.from('again'))).index).toBeGreaterThan(COUNT)
  await log.close()
})

test('alone, the first of many are synced while the others wait for their place, before what is proposed meanwhile', async () => {
  const disk = new HangingDisk()
  const log = await DLedger.open({ directory, disk, ...small })
  disk.holdsSyncs = true
  const places = new Map<string, number>()
  const propose = (name: string, encodes: () => void): void =>
    log.propose({
      bodyBytes: 1,
      encodeBody: encodes,
      committed: ({ index }) => void places.set(name, index),
      failed: (error) => places.set(error.message, -1),
    })
  propose('first', () => propose('meanwhile', () => {}))
  const appended = log.append(bodies(COUNT))
  await untilSeen('a sync begins', () => disk.heldCount > 0)
  expect(log.status().lastIndex).toBeLessThan(COUNT / 2)
  disk.holdsSyncs = false
  disk.release()
  const last = (await appended).at(-1)
  await untilSeen('all are committed', () => places.size === 2)
  expect(places.get('meanwhile')).toBe((last?.index ?? 0) + 1)
  await log.close()
})

test('alone, what has no place yet when the log is closed is told so, and nothing else is', async () => {
  const disk = new HangingDisk()
  const log = await DLedger.open({ directory, disk, ...small })
  const before = log.status().lastIndex
  disk.holdsSyncs = true
  const outcomes: (number | string)[] = []
  for (let i = 0; i < COUNT; i++) {
    log.propose({
      bodyBytes: BODY_BYTES,
      encodeBody: (target, at) => void target.fill(i & 0xff, at, at + BODY_BYTES),
      committed: ({ index }) => void outcomes.push(index),
      failed: (error) => void outcomes.push(error.code),
    })
  }
  await untilSeen('a sync begins', () => disk.heldCount > 0)
  const placed = log.status().lastIndex - before
  const closed = log.close()
  disk.holdsSyncs = false
  disk.release()
  await closed
  expect(outcomes).toHaveLength(COUNT)
  expect(placed).toBeLessThan(COUNT / 2)
  expect(outcomes.filter((outcome) => outcome === 'CLOSED')).toHaveLength(COUNT - placed)
  // A close does not wait until all that is committed is applied: TIMEOUT is for what may be there.
  const places = outcomes.filter((outcome) => outcome !== 'CLOSED' && outcome !== 'TIMEOUT')
  expect(places).toEqual(places.map((_, i) => before + 1 + i))
})
