/** What a full disk and a state that is replaced leave of the index: nothing that is forgotten, no figure that is wrong. */
import fs from 'node:fs'
import path from 'node:path'
import { type Disk, nodeDisk } from '@dledger-ts/dledger'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { StoreCore } from '../store-core.ts'
import { close, EntryMaker, flush, load, makeCore, message, TempDirectory } from '../testing/fixture.ts'
import { ManualClock, until } from '../testing/manual-clock.ts'
import { MemoryLog } from '../testing/memory-log.ts'

/** 12 keys in a file. */
const SHAPE = { slotCount: 3, entryCountMax: 13 }
const INTERVAL_MS = 1_000

/** Metadata on a file system that may have no room. */
class FullMetadata extends MemoryMetadata {
  readonly #ownClock: ManualClock
  isFull = false
  refused = 0

  constructor(clock: ManualClock) {
    super(clock)
    this.#ownClock = clock
  }

  override write(...[writes, options, callback]: Parameters<MemoryMetadata['write']>): void {
    if (!this.isFull) return super.write(writes, options, callback)
    const error = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    this.#ownClock.defer(() => {
      callback(error)
      this.refused++
    })
  }
}

let directory: TempDirectory
let clock: ManualClock
let metadata: FullMetadata
let log: MemoryLog
let core: StoreCore

beforeEach(() => {
  directory = new TempDirectory()
  clock = new ManualClock()
  metadata = new FullMetadata(clock)
  log = new MemoryLog()
})

afterEach(async () => {
  core.stop()
  await close(core)
  directory.remove()
})

async function open(disk: Disk = nodeDisk): Promise<NonNullable<StoreCore['keyIndex']>> {
  core = makeCore({ directory: directory.path, clock, metadata, indexShape: SHAPE, disk })
  await load(core)
  log.lead(core)
  if (core.keyIndex === null) throw new Error('keys are indexed here')
  return core.keyIndex
}

/** Applies so many messages with a key each, and writes what is indexed of them. */
async function put(count: number): Promise<void> {
  const maker = new EntryMaker()
  for (let n = 0; n < count; n++) maker.add(message('T', 'body', { properties: `KEYS\x01k${n}\x02` }))
  log.entries.push(...maker.entries)
  core.machine.apply(maker.entries)
  core.machine.durable(count - 1)
  await flush(core, count - 1)
}

function fileCount(): number {
  return fs.readdirSync(path.join(directory.path, 'index')).length
}

test('files below the start of the log go once there is room to say so', async () => {
  const index = await open()
  await put(30)
  expect(fileCount()).toBe(3)
  metadata.isFull = true
  const { pos } = log.entries[13] as { pos: number }
  core.machine.logStarts(13, pos)
  await until(() => metadata.refused > 0, 'the record finds no room')
  expect(fileCount()).toBe(3)
  metadata.isFull = false
  // The retry of what found no room.
  clock.advance(20 * INTERVAL_MS)
  await until(() => fileCount() === 2, 'the file is removed')
  expect(index.progress.files).toBe(2)
})

test('nothing counts as unchecked after the state was replaced while a file was being checked', async () => {
  await open()
  await put(30)
  core.stop()
  await close(core)
  const index = await open()
  expect(index.progress.uncheckedFiles).toBe(2)
  index.discard()
  expect(index.progress.uncheckedFiles).toBe(0)
})

test('files of an index that is thrown away are removed behind, and no new one has the name of one of them', async () => {
  const { background } = nodeDisk
  if (background === undefined) throw new Error('the disk of the machine does it in the background')
  let isHeld = true
  const held: (() => void)[] = []
  await open({
    ...nodeDisk,
    removeSync: () => {
      throw new Error('the event loop waits for a file system')
    },
    background: {
      ...background,
      remove: (file, callback) => {
        const remove = (): void => background.remove(file, callback)
        if (isHeld) held.push(remove)
        else remove()
      },
    },
  })
  await put(30)
  const names = (): string[] => fs.readdirSync(path.join(directory.path, 'index')).sort()
  const before = names()
  core.machine.discard()
  expect(names()).toEqual(before)
  core.machine.apply(log.entries)
  core.machine.durable(29)
  await flush(core, 29)
  const added = names().filter((name) => !before.includes(name))
  expect([before.length, added.length]).toEqual([3, 3])
  isHeld = false
  for (const remove of held) remove()
  await until(() => names().length === 3, 'the files are removed')
  expect(names()).toEqual(added)
})
