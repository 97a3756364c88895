/** The files of many queues: nobody waits for a file system, and what is discarded goes by itself. */
import fs from 'node:fs'
import path from 'node:path'
import { silentLogger } from '@dledger-ts/base'
import { type Disk, type DiskFile, nodeDisk } from '@dledger-ts/dledger'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TempDirectory } from '../testing/fixture.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { ConsumeQueue } from './consume-queue.ts'
import { DiscardedFiles } from './discarded-files.ts'
import { CONSUME_QUEUE_ENTRY_BYTES, decodeConsumeQueueEntry } from './entry-codec.ts'
import { QueueFiles } from './queue-files.ts'

/** Three entries in a file. */
const FILE_BYTES = 3 * CONSUME_QUEUE_ENTRY_BYTES

let directory: TempDirectory

beforeEach(() => {
  directory = new TempDirectory()
})

afterEach(() => directory.remove())

/** A queue with `count` entries in memory: the n-th record is at (n + 1) × 100. */
function queueOf(id: number, count: number): ConsumeQueue {
  const queue = new ConsumeQueue('T', id)
  for (let n = 0; n < count; n++) queue.append((n + 1) * 100, 50, n)
  return queue
}

function write(files: QueueFiles, queue: ConsumeQueue, from = 0, to = queue.nextOffset): Promise<void> {
  return done((callback) => files.write(queue, from, queue.copyEntries(from, to), callback))
}

function done(begin: (callback: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => begin((error) => (error === null ? resolve() : reject(error))))
}

function placeAt(files: QueueFiles, queue: ConsumeQueue, offset: number): Promise<number | undefined> {
  return new Promise((resolve) => files.entryAt(queue, offset, (entry) => resolve(entry?.physicalOffset)))
}

function names(...below: string[]): string[] {
  return fs.readdirSync(path.join(directory.path, ...below)).sort()
}

/** The machine's disk, which refuses whatever would make its caller wait for the file system. */
function neverWaitedFor(): Disk {
  const refuse = (): never => {
    throw new Error('the event loop waits for a file system')
  }
  const watched = (file: DiskFile): DiskFile => {
    Object.assign(file, { truncateSync: refuse, closeSync: refuse, writeSync: refuse, readSync: refuse })
    return file
  }
  const { background } = nodeDisk
  if (background === undefined) throw new Error('the disk of the machine does it in the background')
  return {
    ...nodeDisk,
    openSync: refuse,
    listSync: refuse,
    makeDirectorySync: refuse,
    removeSync: refuse,
    syncDirectorySync: refuse,
    background: {
      ...background,
      open: (file, options, callback) =>
        background.open(file, options, (error, opened) => callback(error, opened === null ? null : watched(opened))),
    },
  }
}

describe('queue files', () => {
  test('are opened, made, sized, synced, closed and removed without waiting, however many there are', async () => {
    const files = new QueueFiles({ disk: neverWaitedFor(), directory: directory.path, fileBytes: FILE_BYTES })
    const queues = Array.from({ length: 600 }, (_, id) => queueOf(id, 5))
    await Promise.all(queues.map((queue) => write(files, queue, 0, 2)))
    await Promise.all(queues.map((queue) => write(files, queue, 2, 5)))
    await done((callback) => files.sync(callback))
    for (const queue of queues) expect(await placeAt(files, queue, 4)).toBe(500)
    for (const queue of queues.slice(0, 3)) await done((callback) => files.removeBelow(queue, 4, callback))
    expect(names('T', '0')).toEqual(['00000000000000000060'])
    expect(names('T', '3')).toEqual(['00000000000000000000', '00000000000000000060'])
    expect(await placeAt(files, queues[0] as ConsumeQueue, 0)).toBe(undefined)
  })

  const { background: _background, ...foreground } = nodeDisk
  test.each([
    { kind: 'the disk of the machine', disk: nodeDisk },
    { kind: 'a disk without operations in the background', disk: foreground },
  ])('on $kind are made once by those who come at the same time, blank before the first entry', async ({ disk }) => {
    const files = new QueueFiles({ disk, directory: directory.path, fileBytes: FILE_BYTES })
    const queue = queueOf(0, 6)
    const missing = placeAt(files, queue, 3)
    await Promise.all([write(files, queue, 4, 5), write(files, queue, 3, 4), write(files, queue, 5, 6)])
    expect(await missing).toBe(undefined)
    for (const n of [3, 4, 5]) expect(await placeAt(files, queue, n)).toBe((n + 1) * 100)
    const other = queueOf(1, 3)
    await write(files, other, 2, 3)
    const target = Buffer.alloc(FILE_BYTES)
    disk.openSync(path.join(directory.path, 'T/1/00000000000000000000'), { create: false }).readSync(target, 0)
    const sizes = [0, 1, 2].map((n) => decodeConsumeQueueEntry(target, n * CONSUME_QUEUE_ENTRY_BYTES).size)
    expect(sizes).toEqual([0x7fffffff, 0x7fffffff, 50])
  })

  test('are given their size where a crash came between', async () => {
    const files = new QueueFiles({ disk: nodeDisk, directory: directory.path, fileBytes: FILE_BYTES })
    const queue = queueOf(0, 3)
    fs.mkdirSync(path.join(directory.path, 'T/0'), { recursive: true })
    const file = path.join(directory.path, 'T/0/00000000000000000000')
    fs.writeFileSync(file, '')
    expect(await placeAt(files, queue, 0)).toBe(undefined)
    await Promise.all([write(files, queue, 0, 1), write(files, queue, 1, 2)])
    expect(fs.statSync(file).size).toBe(FILE_BYTES)
    expect(await placeAt(files, queue, 1)).toBe(200)
  })

  test('say what is wrong to all who wait, and may be used once that is over', async () => {
    fs.writeFileSync(path.join(directory.path, 'T'), 'no directory')
    const files = new QueueFiles({ disk: nodeDisk, directory: directory.path, fileBytes: FILE_BYTES })
    const queue = queueOf(0, 2)
    const writes = [write(files, queue, 0, 1), write(files, queue, 1, 2)]
    for (const result of await Promise.allSettled(writes)) expect(result.status).toBe('rejected')
    fs.rmSync(path.join(directory.path, 'T'))
    await write(files, queue)
    expect(await placeAt(files, queue, 1)).toBe(200)
  })
})

describe('discarded files', () => {
  const at = (): string => path.join(directory.path, 'consumequeue')
  const remover = (disk: Disk): DiscardedFiles =>
    new DiscardedFiles({ disk, directory: at(), clock: new ManualClock(), logger: silentLogger })
  const idle = (discarded: DiscardedFiles): Promise<void> => new Promise((resolve) => discarded.whenIdle(resolve))

  test('count no more at once, and are removed while new ones are written', async () => {
    const files = new QueueFiles({ disk: nodeDisk, directory: at(), fileBytes: FILE_BYTES })
    const old = queueOf(0, 5)
    for (const queue of [old, queueOf(1, 1), queueOf(2, 4)]) await write(files, queue)
    const discarded = remover(neverWaitedFor())
    files.discardAllSync()
    expect(await placeAt(files, old, 0)).toBe(undefined)
    discarded.remove()
    const queue = queueOf(0, 1)
    await write(files, queue)
    files.discardAllSync()
    await write(files, queue)
    discarded.remove()
    await idle(discarded)
    expect(names()).toEqual(['consumequeue'])
    expect(await placeAt(files, queue, 0)).toBe(100)
    expect(names('consumequeue', 'T')).toEqual(['0'])
  })

  test('that a crash left are removed after the next start, whatever of them is there', async () => {
    const files = new QueueFiles({ disk: nodeDisk, directory: at(), fileBytes: FILE_BYTES })
    await write(files, queueOf(0, 5))
    files.discardAllSync()
    fs.rmSync(path.join(directory.path, 'consumequeue.discarded.0/T/0/00000000000000000000'))
    fs.mkdirSync(path.join(directory.path, 'consumequeue.discarded.7/Empty/3'), { recursive: true })
    fs.writeFileSync(path.join(directory.path, 'consumequeue.discarded.7/Empty/stray'), '')
    await write(files, queueOf(0, 2))
    const stopped = remover(nodeDisk)
    stopped.remove()
    stopped.stop()
    await idle(stopped)
    expect(names()).toEqual(['consumequeue', 'consumequeue.discarded.0', 'consumequeue.discarded.7'])
    const discarded = remover(nodeDisk)
    discarded.remove()
    await idle(discarded)
    expect(names()).toEqual(['consumequeue'])
  })
})
