/** What is read behind the durable hint after an unclean stop is written again, the same, before the sync. */
import { expect, test } from 'vitest'
import type { DiskFile } from '../disk/disk.ts'
import { MemoryDisk } from '../disk/memory-disk.ts'
import { append, batchAfter, hintOf, openLog, stateOf, sync } from './log-fixture.ts'

/** Remembers, in order, what is written and synced synchronously. */
class RecordingDisk extends MemoryDisk {
  readonly done: { readonly path: string; readonly from: number; readonly to: number; readonly isSync: boolean }[] = []

  override openSync(path: string, options: { readonly create: boolean; readonly readOnly?: boolean }): DiskFile {
    const file = super.openSync(path, options)
    const note = (from: number, to: number, isSync: boolean): void => void this.done.push({ path, from, to, isSync })
    return {
      path,
      write: (buffers, at, callback) => file.write(buffers, at, callback),
      read: (target, at, callback) => file.read(target, at, callback),
      sync: (callback) => file.sync(callback),
      writeSync: (bytes, at) => {
        note(at, at + bytes.length, false)
        file.writeSync(bytes, at)
      },
      readSync: (target, at) => file.readSync(target, at),
      syncSync: () => note(0, 0, true),
      sizeSync: () => file.sizeSync(),
      modifiedMsSync: () => file.modifiedMsSync(),
      truncateSync: (size) => file.truncateSync(size),
      closeSync: () => file.closeSync(),
    }
  }
}

const FILE_BYTES = 1024

async function stoppedLog(): Promise<{
  disk: RecordingDisk
  state: object
  endPos: number
  hint: ReturnType<typeof hintOf>
}> {
  const disk = new RecordingDisk()
  const log = openLog('/log', { disk })
  for (let i = 0; i < 4; i++) await append(log, batchAfter(log, 1, [{ bodyBytes: 100 }]))
  await sync(log)
  const hint = hintOf(log)
  for (let i = 0; i < 20; i++) await append(log, batchAfter(log, 1, [{ bodyBytes: 100 + i }]))
  const { endPos } = log
  const state = stateOf(log)
  log.close()
  disk.done.length = 0
  return { disk, state, endPos, hint }
}

test('every byte from the hint to the end, over the ends of files, and then all of it is synced', async () => {
  const { disk, state, endPos, hint } = await stoppedLog()
  const before = disk.image()
  const log = openLog('/log', { disk, durableHint: hint, configurationIndexes: [], distrustsCache: true })
  expect(stateOf(log)).toEqual(state)
  expect(disk.image()).toEqual(before)
  for (let pos = hint.endPos; pos < endPos; pos++) {
    const path = `/log/data/${String(pos - (pos % FILE_BYTES)).padStart(20, '0')}`
    const at = pos % FILE_BYTES
    const written = disk.done.findIndex((one) => one.path === path && !one.isSync && one.from <= at && at < one.to)
    expect(written).toBeGreaterThanOrEqual(0)
    expect(disk.done.findIndex((one, i) => i > written && one.path === path && one.isSync)).toBeGreaterThan(written)
  }
  expect(
    disk.done.some(
      (one) =>
        one.path.includes('/data/') &&
        !one.isSync &&
        one.from < hint.endPos % FILE_BYTES &&
        one.path.endsWith('0'.repeat(20)),
    ),
  ).toBe(false)
  log.close()
})

test('nothing after a clean stop', async () => {
  const { disk, hint } = await stoppedLog()
  const log = openLog('/log', { disk, durableHint: hint, configurationIndexes: [] })
  expect(disk.done.filter((one) => one.path.includes('/data/') && !one.isSync)).toEqual([])
  log.close()
})
