import { type Random, seededRandom } from '@dledger-ts/base'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { DiskCallback, DiskFile } from '../disk/disk.ts'
import { MemoryDisk } from '../disk/memory-disk.ts'
import { WatchedDisk } from '../disk/watched-disk.ts'
import { EntryChannel } from './entry-batch.ts'
import { chainCrcAt } from './entry-codec.ts'
import { UNSYNCED_INDEX_UNITS_MAX } from './recovery.ts'
import { append, batchAfter, hintOf, openLog, read, stateOf, sync, TempDirectory, writeIndex } from './log-fixture.ts'

test('entries over several files are there after a reopening of the real disk, and read back', async () => {
  const temp = new TempDirectory()
  const log = openLog(temp.path, { zeroFillBytes: 512 })
  expect(stateOf(log)).toMatchObject({ firstIndex: 0, lastIndex: -1, lastTerm: 0, endPos: 0, lastChain: 0, runs: [] })
  const batches = []
  for (let i = 0; i < 10; i++) {
    const channel = i % 5 === 0 ? EntryChannel.CONFIGURATION : EntryChannel.DATA
    const bodies = [{ bodyBytes: 100 + i }, { bodyBytes: 300, channel }, { bodyBytes: 0 }]
    const batch = batchAfter(log, 1 + Math.floor(i / 4), bodies)
    batches.push(batch)
    await append(log, batch)
  }
  await sync(log)
  const state = stateOf(log)
  expect(state).toMatchObject({
    lastIndex: 29,
    lastTerm: 3,
    runs: [
      { firstIndex: 0, term: 1 },
      { firstIndex: 12, term: 2 },
      { firstIndex: 24, term: 3 },
    ],
    configurations: [1, 16],
  })
  log.close()
  const again = openLog(temp.path)
  expect(stateOf(again)).toEqual(state)
  for (const batch of batches) expect(await read(again, batch.firstIndex, batch.firstIndex + 2, 1 << 20)).toEqual(batch)
  expect(again.configurationEntries().map(({ index, body }) => [index, body.length])).toEqual([
    [1, 300],
    [16, 300],
  ])
  again.close()
  temp.remove()
})

test('a read gives whole entries of one term, at least one, within the bytes asked for', async () => {
  const log = openLog('/log', { disk: new MemoryDisk() })
  for (const term of [1, 1, 1, 2, 2]) await append(log, batchAfter(log, term, [{ bodyBytes: 52 }, { bodyBytes: 152 }]))
  const counts = async (first: number, last: number, bytesMax: number): Promise<number> =>
    (await read(log, first, last, bytesMax)).count
  expect(await counts(0, 9, 0)).toBe(1)
  expect(await counts(1, 9, 100)).toBe(1)
  expect(await counts(0, 9, 300)).toBe(2)
  expect(await counts(0, 9, 399)).toBe(2)
  expect(await counts(0, 9, 400)).toBe(3)
  expect(await counts(0, 9, 10_000)).toBe(6)
  expect(await counts(2, 4, 10_000)).toBe(3)
  expect(await counts(6, 9, 10_000)).toBe(4)
  log.close()
})

test('raw bytes, places and chain values are found', async () => {
  const log = openLog('/log', { disk: new MemoryDisk() })
  const batch = batchAfter(log, 1, [{ bodyBytes: 400 }, { bodyBytes: 600 }])
  expect(log.isContinuedBy(batch)).toBe(true)
  await append(log, batch)
  expect([log.locate(0), log.locate(1), log.place(48)]).toEqual([0, 1024, 1672])
  const bytes = await new Promise((resolve) => log.readBytes(1024 + 48, 600, null, (_, found) => resolve(found)))
  expect(bytes).toEqual(batch.bytes.subarray(448 + 48))
  expect(chainCrcAt(batch.bytes, 448)).toBe(log.lastChain)
  expect(log.isContinuedBy(batch)).toBe(false)
  expect(
    log.isContinuedBy(
      batchAfter({ ...hintOf(log), lastIndex: 1, lastChain: 5, fileBytes: 1024 }, 1, [{ bodyBytes: 1 }]),
    ),
  ).toBe(false)
  log.close()
})

test('a changed byte is found when entries are read, and named', async () => {
  const disk = new MemoryDisk()
  const log = openLog('/log', { disk })
  await append(log, batchAfter(log, 1, [{ bodyBytes: 100 }, { bodyBytes: 100 }, { bodyBytes: 100 }]))
  for (const at of [148, 160, 184, 190, 250, 295]) {
    const file = disk.openSync(`/log/data/${'0'.repeat(20)}`, { create: false })
    const byte = Buffer.alloc(1)
    const flip = (): void => {
      file.readSync(byte, at)
      byte[0] = (byte[0] as number) ^ 4
      file.writeSync(byte, at)
    }
    flip()
    await expect(read(log, 1, 1, 1000), `byte ${at}`).rejects.toMatchObject({ code: 'CORRUPT' })
    flip()
    expect((await read(log, 1, 1, 1000)).count).toBe(1)
  }
  log.close()
})

test('the log after a trimmed head goes on where it was', async () => {
  const disk = new MemoryDisk()
  const whole = openLog('/log', { disk })
  const trimmedAt: ReturnType<typeof hintOf>[] = []
  for (let i = 0; i < 12; i++) {
    await append(whole, batchAfter(whole, 1 + Math.floor(i / 6), [{ bodyBytes: 300 }]))
    trimmedAt.push(hintOf(whole))
  }
  const state = stateOf(whole)
  whole.close()
  disk.removeSync(`/log/data/${'0'.repeat(20)}`)
  const before = trimmedAt.findLast((hint) => hint.endPos <= 1024) as ReturnType<typeof hintOf>
  const log = openLog('/log', { disk, beforeFirst: { ...before, term: 1 } })
  expect(stateOf(log)).toEqual({
    ...state,
    firstIndex: before.index + 1,
    prevTerm: 1,
    runs: [
      { firstIndex: before.index + 1, term: 1 },
      { firstIndex: 6, term: 2 },
    ],
  })
  log.truncateFrom(log.firstIndex)
  expect(log).toMatchObject({ lastIndex: before.index, endPos: before.endPos, lastChain: before.chain, lastTerm: 1 })
  await append(log, batchAfter(log, 3, [{ bodyBytes: 300 }]))
  log.close()
  const again = openLog('/log', { disk, beforeFirst: { ...before, term: 1 } })
  expect(again).toMatchObject({ firstIndex: before.index + 1, lastIndex: before.index + 1, lastTerm: 3 })
  expect(await read(again, again.firstIndex, again.lastIndex, 1)).toMatchObject({ count: 1, term: 3 })
  again.close()
})

describe('files are what the entries make them', () => {
  /** One command of a random history: entries to append (their body sizes), or a place to truncate at. */
  type Command =
    | { readonly bodies: readonly number[]; readonly wait: boolean }
    | { readonly keep: number }
    | { readonly readFrom: number; readonly wait: boolean }
    | 'reopen'
    | 'sync'
    | 'write index'
  const command: fc.Arbitrary<Command> = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        bodies: fc.array(fc.integer({ min: 0, max: 460 }), { minLength: 1, maxLength: 5 }),
        wait: fc.boolean(),
      }),
    },
    { weight: 2, arbitrary: fc.record({ keep: fc.nat(1000) }) },
    { weight: 2, arbitrary: fc.record({ readFrom: fc.nat(1000), wait: fc.boolean() }) },
    { weight: 1, arbitrary: fc.constantFrom<Command>('reopen', 'sync', 'write index') },
  )

  test.each([0, 300, 2000])(
    'after any appends, truncations, reads and reopenings, with %i bytes filled ahead',
    async (zeroFillBytes) => {
      const held = fc.constantFrom(0, 3, 40)
      await fc.assert(
        fc.asyncProperty(
          fc.array(command, { maxLength: 25 }),
          held,
          fc.nat(),
          async (commands, indexUnitsHeld, seed) => {
            const disk = new SlowDisk(seed)
            const watched = new WatchedDisk(disk, () => 0)
            const quiet = (): Promise<void> => new Promise((resolve) => watched.whenIdle(resolve))
            const options = { disk: watched, zeroFillBytes, indexUnitsHeld }
            let log = openLog('/log', options)
            let entries: { term: number; bodyBytes: number; channel: number }[] = []
            let term = 1
            let appends: Promise<void>[] = []
            /** Entries whose append has been called back, and none that was removed. */
            let written = 0
            for (const next of commands) {
              if (next === 'sync') {
                await Promise.all(appends)
                await sync(log)
              } else if (next === 'write index') {
                appends.push(writeIndex(log))
              } else if (typeof next === 'object' && 'readFrom' in next) {
                if (next.wait) await Promise.all(appends)
                const firstIndex = next.readFrom % (written + 1)
                if (firstIndex >= Math.min(written, entries.length)) continue
                const last = Math.min(written, entries.length) - 1
                const batch = await read(log, firstIndex, last, 4096)
                expect(batch.term).toBe(entries[firstIndex]?.term)
                expect(log.locate(firstIndex)).toBe(batch.positions[0])
                expect(log.indexWrittenTo).toBeLessThanOrEqual(log.lastIndex)
                expect(log.lastIndex - log.indexWrittenTo).toBeLessThanOrEqual(indexUnitsHeld + 25 * 5)
              } else if (next === 'reopen') {
                await Promise.all(appends)
                const state = stateOf(log)
                if (log.holdsIndex) await writeIndex(log)
                expect(log.indexWrittenTo).toBe(log.lastIndex)
                log.close()
                // As a member does before it gives its directory free: what fills ahead must not meet the next owner.
                await quiet()
                log = openLog('/log', options)
                expect(stateOf(log)).toEqual(state)
                expect(log.recovery.cutBytes).toBe(0)
              } else if ('keep' in next) {
                await Promise.all(appends)
                appends = []
                const keep = next.keep % (entries.length + 1)
                if (keep < entries.length) {
                  const hint = log.hintBefore(keep)
                  log.truncateFrom(keep)
                  expect(hintOf(log)).toEqual(hint)
                }
                entries = entries.slice(0, keep)
                written = keep
                term++
              } else {
                const added = next.bodies.map((bodyBytes, i) => ({
                  bodyBytes,
                  channel: i === 3 ? EntryChannel.CONFIGURATION : EntryChannel.DATA,
                }))
                const end = entries.length + added.length
                appends.push(
                  append(log, batchAfter(log, term, added)).then(() => {
                    written = end
                  }),
                )
                if (next.wait) await appends.at(-1)
                entries.push(...added.map((entry) => ({ term, ...entry })))
              }
            }
            await Promise.all(appends)
            const state = stateOf(log)
            await writeIndex(log)
            await sync(log)
            log.close()
            await quiet()

            const straight = new MemoryDisk()
            const other = openLog('/log', { disk: straight })
            for (const entry of entries) await append(other, batchAfter(other, entry.term, [entry]))
            expect(state).toEqual(stateOf(other))
            other.close()
            const image = straight.image()
            expect([...disk.image().keys()].sort()).toEqual([...image.keys()].sort())
            for (const [path, bytes] of disk.image()) expect(image.get(path)?.equals(bytes), path).toBe(true)
          },
        ),
        { numRuns: 150 },
      )
    },
  )
})

/** A disk whose writes and reads take their turn late, and overtake one another. */
class SlowDisk extends MemoryDisk {
  readonly #random: Random

  constructor(seed: number) {
    super()
    this.#random = seededRandom(seed)
  }

  override openSync(path: string, options: { readonly create: boolean }): DiskFile {
    const file = super.openSync(path, options)
    const write = file.write.bind(file)
    const close = file.closeSync.bind(file)
    let underWay = 0
    file.write = (buffers, at, callback) => {
      underWay++
      this.#later(() => {
        write(buffers, at, (error) => {
          underWay--
          callback(error)
        })
      })
    }
    file.closeSync = () => {
      expect(underWay).toBe(0)
      close()
    }
    return file
  }

  #later(run: () => void): void {
    let turns = this.#random.below(6)
    const wait = (): void => {
      if (turns-- === 0) run()
      else queueMicrotask(wait)
    }
    queueMicrotask(wait)
  }
}

/** A disk whose n-th write or sync fails, once; dependable otherwise. */
class FailingDisk extends MemoryDisk {
  failAfter = Number.POSITIVE_INFINITY
  readonly error = new Error('the disk is broken')
  syncs: string[] = []
  directorySyncs: string[] = []

  override openSync(path: string, options: { readonly create: boolean }): DiskFile {
    const file = super.openSync(path, options)
    let poison: Error | null = null
    const failing = (callback: DiskCallback): DiskCallback => {
      const fails = poison !== null || this.failAfter-- <= 0
      return (error) => {
        if (fails) poison = this.error
        callback(poison ?? error)
      }
    }
    const write = file.write.bind(file)
    const syncFile = file.sync.bind(file)
    file.write = (buffers, at, callback) => write(buffers, at, failing(callback))
    file.sync = (callback) => {
      this.syncs.push(path)
      syncFile(failing(callback))
    }
    return file
  }

  override syncDirectorySync(directory: string): void {
    this.directorySyncs.push(directory)
    super.syncDirectorySync(directory)
  }
}

test('after a failed write or sync everything fails with that error, in order, and nothing is synced again', async () => {
  for (let failAfter = 0; failAfter < 12; failAfter++) {
    const disk = new FailingDisk()
    const log = openLog('/log', { disk })
    disk.failAfter = failAfter
    const told: [number, Error | null][] = []
    const appended = (i: number): Promise<void> =>
      new Promise((resolve) =>
        log.append(batchAfter(log, 1, [{ bodyBytes: 500 }]), (error) => {
          told.push([i, error])
          resolve()
        }),
      )
    await Promise.all([0, 1, 2, 3, 4, 5].map(appended))
    const synced = await new Promise<Error | null>((resolve) => log.sync(resolve))
    await appended(6)
    expect(told.map(([i]) => i)).toEqual([0, 1, 2, 3, 4, 5, 6])
    const outcomes = told.map(([, error]) => error)
    const firstFailed = outcomes.findIndex((error) => error !== null)
    for (const error of firstFailed < 0 ? [] : outcomes.slice(firstFailed)) expect(error).toBe(disk.error)
    if (synced !== null) {
      expect(synced).toBe(disk.error)
      expect(outcomes[6]).toBe(disk.error)
      const before = disk.syncs.length
      expect(await new Promise<Error | null>((resolve) => log.sync(resolve))).toBe(disk.error)
      expect(disk.syncs.length).toBe(before)
      expect(() => log.truncateFrom(0)).toThrow(disk.error)
    }
    log.close()
  }
})

test('a sync covers every file written since the one before, and the names of new files', async () => {
  const disk = new FailingDisk()
  const log = openLog('/log', { disk })
  for (let i = 0; i < 4; i++) await append(log, batchAfter(log, 1, [{ bodyBytes: 700 }]))
  await sync(log)
  const name = (start: number): string => `/log/data/${String(start).padStart(20, '0')}`
  expect(disk.syncs.filter((path) => path.includes('/data/')).sort()).toEqual([0, 1024, 2048, 3072].map(name))
  expect(disk.directorySyncs).toContain('/log/data')
  expect(disk.directorySyncs).toContain('/log/index')
  expect(disk.directorySyncs).toContain('/log')
  disk.syncs = []
  disk.directorySyncs = []
  await append(log, batchAfter(log, 1, [{ bodyBytes: 50 }]))
  await sync(log)
  await sync(log)
  expect(disk.syncs).toEqual([name(3072)])
  expect(disk.directorySyncs).toEqual([])
  log.close()
})

test('units that are held back are read like the others, and written when there are enough, or when asked for', async () => {
  const disk = new MemoryDisk()
  const log = openLog('/log', { disk, indexUnitsHeld: 3, indexFileBytes: 32 * 64 })
  const add = (): Promise<void> => append(log, batchAfter(log, 1, [{ bodyBytes: 20 }]))
  await add()
  expect(log.indexWrittenTo, 'a unit that makes a file').toBe(0)
  for (let i = 0; i < 3; i++) await add()
  expect(log).toMatchObject({ indexWrittenTo: 0, holdsIndex: true })
  expect((await read(log, 0, 3, 4096)).count).toBe(4)
  expect(log.locate(3)).toBe(3 * 68)
  await add()
  expect(log).toMatchObject({ indexWrittenTo: 4, holdsIndex: false })
  await add()
  await add()
  log.truncateFrom(6)
  expect(log).toMatchObject({ indexWrittenTo: 4, holdsIndex: true, lastIndex: 5 })
  await append(log, batchAfter(log, 2, [{ bodyBytes: 30 }]))
  await writeIndex(log)
  expect(log).toMatchObject({ indexWrittenTo: 6, holdsIndex: false })
  expect((await read(log, 5, 6, 4096)).count).toBe(1)
  expect((await read(log, 6, 6, 4096)).term).toBe(2)
  log.close()
  expect(openLog('/log', { disk, indexFileBytes: 32 * 64 }).recovery.rebuiltIndexUnits).toBe(0)
})

test('units that were held back when the process died are built again behind the hint', async () => {
  const disk = new MemoryDisk()
  const log = openLog('/log', { disk, indexUnitsHeld: 100, indexFileBytes: 32 * 64 })
  for (let i = 0; i < 4; i++) await append(log, batchAfter(log, 1, [{ bodyBytes: 20 }]))
  await writeIndex(log)
  const durableHint = hintOf(log)
  for (let i = 0; i < 5; i++) await append(log, batchAfter(log, 1, [{ bodyBytes: 20 }]))
  await sync(log)
  const state = stateOf(log)
  const again = openLog('/log', { disk, durableHint, configurationIndexes: [], indexFileBytes: 32 * 64 })
  expect(stateOf(again)).toEqual(state)
  expect(again.recovery).toMatchObject({ cutBytes: 0, scannedEntries: 5, rebuiltIndexUnits: 5 })
})

test('the index is synced before more units wait than recovery verifies', async () => {
  const disk = new FailingDisk()
  const log = openLog('/log', { disk, fileBytes: 1 << 22, indexFileBytes: 1 << 22 })
  const add = async (count: number): Promise<boolean> => {
    await append(
      log,
      batchAfter(
        log,
        1,
        Array.from({ length: count }, () => ({ bodyBytes: 0 })),
      ),
    )
    disk.syncs = []
    await sync(log)
    return disk.syncs.some((path) => path.includes('/index/'))
  }
  expect(await add(1), 'a new file').toBe(true)
  expect(await add(1)).toBe(false)
  expect(await add(UNSYNCED_INDEX_UNITS_MAX / 2 - 2)).toBe(false)
  expect(await add(1)).toBe(true)
  expect(await add(1)).toBe(false)
  log.close()
})

test('what is under way on a removed file ends, and it is closed then', async () => {
  const log = openLog('/log', { disk: new MemoryDisk(), zeroFillBytes: 900 })
  for (let i = 0; i < 3; i++) await append(log, batchAfter(log, 1, [{ bodyBytes: 700 }]))
  const reading = read(log, 2, 2, 1)
  log.truncateFrom(1)
  await append(log, batchAfter(log, 2, [{ bodyBytes: 600 }]))
  await reading.catch((error: unknown) => expect(error).toMatchObject({ code: 'CORRUPT' }))
  expect((await read(log, 1, 1, 1)).term).toBe(2)
  log.close()
})

test('a batch out of place is a bug of the caller', () => {
  const log = openLog('/log', { disk: new MemoryDisk() })
  const batch = batchAfter(log, 1, [{ bodyBytes: 10 }])
  const nothing: DiskCallback = () => {}
  expect(() => log.append({ ...batch, firstIndex: 1 }, nothing)).toThrow('follows the last entry')
  expect(() => log.append({ ...batch, positions: [1024] }, nothing)).toThrow('placed where the rule says')
  expect(() => log.append({ ...batch, bytes: Buffer.concat([batch.bytes, Buffer.alloc(1)]) }, nothing)).toThrow(
    'nothing else',
  )
  log.append(batch, nothing)
  expect(() => log.truncateFrom(0)).toThrow('waits for appends')
})
