/** A drive that gives other bytes than were written, or an error, but once while a log is opened or examined: nothing is lost. */
import { expect, test } from 'vitest'
import { type DiskImage, MemoryDisk } from '../disk/memory-disk.ts'
import type { DiskFile } from '../disk/disk.ts'
import { EntryChannel } from './entry-batch.ts'
import { append, batchAfter, hintOf, openLog, stateOf } from './log-fixture.ts'
import type { DurableHint } from './segmented-log.ts'

const DIRECTORY = '/log'
const BODIES = [10, 200, 0, 333, 90, 500, 120, 1, 700, 64, 30, 5]
/** More reads than an opening takes. */
const READS_MAX = 200

/** What the n-th synchronous read gives. */
class FlakyDisk extends MemoryDisk {
  /** Reads left until then. */
  readsLeft = Number.POSITIVE_INFINITY
  spoils: (found: Buffer) => void = () => {}

  override openSync(path: string, options: { readonly create: boolean; readonly readOnly?: boolean }): DiskFile {
    const file = super.openSync(path, options)
    return {
      path,
      write: (buffers, at, callback) => file.write(buffers, at, callback),
      read: (target, at, callback) => file.read(target, at, callback),
      sync: (callback) => file.sync(callback),
      writeSync: (bytes, at) => file.writeSync(bytes, at),
      readSync: (target, at) => {
        const count = file.readSync(target, at)
        if (this.readsLeft-- === 0) this.spoils(target.subarray(0, count))
        return count
      },
      syncSync: () => file.syncSync(),
      sizeSync: () => file.sizeSync(),
      modifiedMsSync: () => file.modifiedMsSync(),
      truncateSync: (size) => file.truncateSync(size),
      closeSync: () => file.closeSync(),
    }
  }
}

const SPOILS: readonly [string, (found: Buffer) => void][] = [
  ['zeros', (found) => found.fill(0)],
  ['one wrong bit in each of its bytes', (found) => found.forEach((byte, at) => (found[at] = byte ^ 0x10))],
  ['a wrong byte in the middle', (found) => found.fill(0x5a, found.length >> 1, (found.length >> 1) + 1)],
  ['zeros in its second half', (found) => found.fill(0, found.length >> 1)],
]

async function written(): Promise<{ image: DiskImage; state: object; hint: DurableHint; hintBefore: DurableHint }> {
  const disk = new MemoryDisk()
  const log = openLog(DIRECTORY, { disk })
  let hintBefore = hintOf(log)
  for (const [i, bodyBytes] of BODIES.entries()) {
    if (i === BODIES.length - 4) hintBefore = hintOf(log)
    const channel = i % 5 === 2 ? EntryChannel.CONFIGURATION : EntryChannel.DATA
    await append(log, batchAfter(log, 1 + Math.floor(i / 4), [{ bodyBytes, channel }]))
  }
  const [state, hint] = [stateOf(log), hintOf(log)]
  log.close()
  return { image: disk.image(), state, hint, hintBefore }
}

const HINTS = ['the whole log is synced', 'its beginning is synced', 'its configurations are not known'] as const

const STOPS = HINTS.flatMap((which) => (['a clean', 'an unclean'] as const).map((stop) => [stop, which] as const))

for (const [what, spoils] of SPOILS) {
  const title = `a read that gives ${what} but once while a log is opened after %s stop is read again, where %s`
  test.each(STOPS)(title, async (stop, which) => {
    const distrustsCache = stop === 'an unclean'
    const { image, state, hint, hintBefore } = await written()
    const durableHint = which === 'its beginning is synced' ? hintBefore : hint
    const known = (state as { configurations: number[] }).configurations
    const configurationIndexes =
      which === 'its configurations are not known' ? null : known.filter((index) => index <= durableHint.index)
    let wasRead = true
    for (let reads = 0; wasRead; reads++) {
      expect(reads, 'an opening comes to an end').toBeLessThan(READS_MAX)
      const disk = new FlakyDisk()
      disk.restore(image)
      disk.readsLeft = reads
      disk.spoils = spoils
      const log = openLog(DIRECTORY, { disk, durableHint, configurationIndexes, distrustsCache })
      wasRead = disk.readsLeft < 0
      expect(log.lostRanges(), `read ${reads}`).toEqual([])
      expect(stateOf(log), `read ${reads}`).toEqual(state)
      log.close()
      for (const [path, bytes] of disk.image()) {
        expect(bytes.equals(image.get(path) as Buffer), `${path} after read ${reads}`).toBe(true)
      }
    }
  })

  test(`a read that gives ${what} but once cuts nothing off behind an entry that is damaged`, async () => {
    const { image, hintBefore } = await written()
    // In the body of entry 5, behind what any hint says to be synced.
    const damaged = new Map(image)
    const path = `${DIRECTORY}/data/${String(1024).padStart(20, '0')}`
    const bytes = Buffer.from(image.get(path) as Buffer)
    bytes.writeUInt8(bytes.readUInt8(100) ^ 8, 100)
    damaged.set(path, bytes)
    let wasRead = true
    for (let reads = 0; wasRead; reads++) {
      expect(reads, 'an opening comes to an end').toBeLessThan(READS_MAX)
      const disk = new FlakyDisk()
      disk.restore(damaged)
      disk.readsLeft = reads
      disk.spoils = spoils
      const log = openLog(DIRECTORY, { disk })
      wasRead = disk.readsLeft < 0
      expect(log.lastIndex, `read ${reads}`).toBe(hintBefore.index + 4)
      expect(log.lostRanges(), `read ${reads}`).toMatchObject([{ firstIndex: 5, lastIndex: 5 }])
      log.close()
    }
  })

  test(`a read that gives ${what} but once while a log is examined is read again`, async () => {
    const { image, state, hint } = await written()
    let wasRead = true
    for (let reads = 0; wasRead; reads++) {
      expect(reads, 'an examination comes to an end').toBeLessThan(READS_MAX)
      const disk = new FlakyDisk()
      disk.restore(image)
      const log = openLog(DIRECTORY, { disk, durableHint: hint })
      disk.readsLeft = reads
      disk.spoils = spoils
      log.examine(4, 8)
      wasRead = disk.readsLeft < 0
      expect(log.lostRanges(), `read ${reads}`).toEqual([])
      expect(stateOf(log)).toEqual(state)
      expect(log.canEndBefore(7)).toBe(true)
      log.close()
      for (const [path, bytes] of disk.image()) {
        expect(bytes.equals(image.get(path) as Buffer), `${path} after read ${reads}`).toBe(true)
      }
    }
  })
}

test('a read that fails while a log is opened refuses it, and the next opening finds all of it', async () => {
  const { image, state, hint } = await written()
  for (const durableHint of [hint, null]) {
    let failed = true
    for (let reads = 0; failed; reads++) {
      expect(reads, 'an opening comes to an end').toBeLessThan(READS_MAX)
      const disk = new FlakyDisk()
      disk.restore(image)
      disk.readsLeft = reads
      disk.spoils = () => {
        throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' })
      }
      failed = false
      try {
        openLog(DIRECTORY, { disk, durableHint }).close()
      } catch (error) {
        failed = true
        expect(error).toMatchObject({ code: 'EIO' })
      }
      disk.readsLeft = Number.POSITIVE_INFINITY
      const log = openLog(DIRECTORY, { disk, durableHint })
      expect(log.lostRanges()).toEqual([])
      expect(stateOf(log)).toEqual(state)
      log.close()
    }
  }
})
