/**
 * The files of all ConsumeQueues: `<directory>/<topic>/<queueId>/<20-digit start byte>`, each of the full size from its
 * creation (sparse), because Java maps them.
 *
 * Keeps:
 *   - at most OPEN_FILES_MAX files open, the least recently used closed first and none while it is being used.
 *   - a file whose first entry is not the first of its place has blank entries before it, which Java's readers pass over.
 *
 * Source: org.apache.rocketmq.store.ConsumeQueue, MappedFileQueue.
 */
import { dirname, join } from 'node:path'
import { assert } from '@dledger-ts/base'
import type { Disk, DiskFile } from '@dledger-ts/dledger'
import { topicNameError } from '@dledger-ts/protocol'
import { StoreError } from '../errors.ts'
import type { ConsumeQueue } from './consume-queue.ts'
import { inLanes } from '../lanes.ts'
import {
  blankEntries,
  CONSUME_QUEUE_ENTRY_BYTES,
  decodeConsumeQueueEntry,
  type ConsumeQueueEntry,
} from './entry-codec.ts'

const OPEN_FILES_MAX = 512
/** Syncs under way at once: file systems make one of several. */
const SYNCS_MAX = 8
const NAME_DIGITS = 20

class OpenFile {
  readonly file: DiskFile
  users = 0
  /** It is in the table no more: closed when nobody uses it any more. */
  isClosing = false
  /** It was seen to have its full size. */
  isSized = false

  constructor(file: DiskFile) {
    this.file = file
  }
}

export type WrittenCallback = (error: Error | null) => void

export class QueueFiles {
  readonly #disk: Disk
  readonly #directory: string
  readonly #fileBytes: number
  /** In order of use, oldest first. */
  readonly #open = new Map<string, OpenFile>()
  readonly #unsynced = new Set<string>()
  /** Directories with names that are not durable yet. */
  readonly #unsyncedDirectories = new Set<string>()

  constructor(options: { readonly disk: Disk; readonly directory: string; readonly fileBytes: number }) {
    assert(options.fileBytes > 0, 'a ConsumeQueue file has bytes')
    this.#disk = options.disk
    this.#directory = options.directory
    this.#fileBytes = options.fileBytes
  }

  /** Writes entries that stand one after another from `queueOffset` on, over whatever is there. */
  write(queue: ConsumeQueue, queueOffset: number, entries: Buffer, callback: WrittenCallback): void {
    let underWay = 1
    let failure: Error | null = null
    const done = (error: Error | null): void => {
      failure ??= error
      underWay--
      if (underWay === 0) callback(failure)
    }
    try {
      let at = queueOffset * CONSUME_QUEUE_ENTRY_BYTES
      let from = 0
      while (from < entries.length) {
        const to = Math.min(entries.length, from + this.#fileBytes - (at % this.#fileBytes))
        const path = this.#pathOf(queue, at)
        const inFile = at % this.#fileBytes
        const used = this.#use(path, { blankBytes: inFile })
        this.#unsynced.add(path)
        underWay++
        used.file.write([entries.subarray(from, to)], inFile, (error) => {
          this.#release(used)
          done(error)
        })
        at += to - from
        from = to
      }
    } catch (error) {
      failure = asError(error)
    }
    done(null)
  }

  /** Where one read of the entries [from, to) ends: with its file at the latest. */
  endOfRead(from: number, to: number): number {
    const perFile = this.#fileBytes / CONSUME_QUEUE_ENTRY_BYTES
    return Math.min(to, from - (from % perFile) + perFile)
  }

  /** Reads the entries [from, to), fewer where a file ends. */
  read(
    queue: ConsumeQueue,
    from: number,
    to: number,
    callback: (error: Error | null, entries: Buffer | null) => void,
  ): void {
    const at = from * CONSUME_QUEUE_ENTRY_BYTES
    const inFile = at % this.#fileBytes
    const target = Buffer.allocUnsafe(Math.min((to - from) * CONSUME_QUEUE_ENTRY_BYTES, this.#fileBytes - inFile))
    let used: OpenFile
    try {
      used = this.#use(this.#pathOf(queue, at))
    } catch (error) {
      callback(asError(error), null)
      return
    }
    used.file.read(target, inFile, (error, bytesRead) => {
      this.#release(used)
      if (error !== null) return callback(error, null)
      if (bytesRead < target.length) {
        return callback(new ShortFile(`${used.file.path}: ends at ${inFile + bytesRead}, before entry ${to - 1}`), null)
      }
      callback(null, target)
    })
  }

  /** Makes durable what was written before this call: files, then the names of new ones. Writes go on meanwhile. */
  sync(callback: WrittenCallback): void {
    const paths = [...this.#unsynced]
    const directories = [...this.#unsyncedDirectories]
    this.#unsynced.clear()
    this.#unsyncedDirectories.clear()
    const syncNames = (error: Error | null): void => {
      if (error !== null) return callback(error)
      inLanes(
        {
          count: directories.length,
          lanes: SYNCS_MAX,
          begin: (i, done) => this.#syncNames(directories[i] as string, done),
        },
        callback,
      )
    }
    inLanes(
      { count: paths.length, lanes: SYNCS_MAX, begin: (i, done) => this.#syncFile(paths[i] as string, done) },
      syncNames,
    )
  }

  /** The first entry of the file after the one that holds `queueOffset`. */
  nextFileOffset(queueOffset: number): number {
    const perFile = this.#fileBytes / CONSUME_QUEUE_ENTRY_BYTES
    return queueOffset - (queueOffset % perFile) + perFile
  }

  /** Entries [from, to) were written by an earlier process and may not have been synced. */
  writtenBefore(queue: ConsumeQueue, from: number, to: number): void {
    const end = to * CONSUME_QUEUE_ENTRY_BYTES
    for (let at = from * CONSUME_QUEUE_ENTRY_BYTES; at < end; at += this.#fileBytes - (at % this.#fileBytes)) {
      const path = this.#pathOf(queue, at)
      this.#unsynced.add(path)
      this.#nameIsNew(path)
    }
  }

  /** Reads one entry; undefined when its file is missing, short or of another size. For a look after opening. */
  entryAtSync(queue: ConsumeQueue, queueOffset: number): ConsumeQueueEntry | undefined {
    const at = queueOffset * CONSUME_QUEUE_ENTRY_BYTES
    const path = this.#pathOf(queue, at)
    if (!this.#disk.existsSync(path)) return undefined
    const used = this.#use(path)
    try {
      if (used.file.sizeSync() !== this.#fileBytes) return undefined
      const target = Buffer.alloc(CONSUME_QUEUE_ENTRY_BYTES)
      if (used.file.readSync(target, at % this.#fileBytes) < target.length) return undefined
      return decodeConsumeQueueEntry(target, 0)
    } finally {
      this.#release(used)
    }
  }

  /** Removes the files of a queue that lie wholly below `queueOffset`; the newest one stays. */
  removeBelow(queue: ConsumeQueue, queueOffset: number): void {
    const newest = Math.max(0, queue.nextOffset - 1) * CONSUME_QUEUE_ENTRY_BYTES
    const kept = Math.min(queueOffset * CONSUME_QUEUE_ENTRY_BYTES, newest)
    this.#removeBefore(queue, kept - (kept % this.#fileBytes))
  }

  /** Removes all files of a queue that has no entry; the directory stays. */
  removeAll(queue: ConsumeQueue): void {
    const { minOffset, writtenOffset, nextOffset } = queue
    assert(minOffset === nextOffset && writtenOffset === nextOffset, 'nothing of an empty queue is being written')
    this.#removeBefore(queue, Math.ceil((nextOffset * CONSUME_QUEUE_ENTRY_BYTES) / this.#fileBytes) * this.#fileBytes)
  }

  #removeBefore(queue: ConsumeQueue, end: number): void {
    let from = end
    while (from > 0 && this.#disk.existsSync(this.#pathOf(queue, from - this.#fileBytes))) from -= this.#fileBytes
    // Oldest first: what a crash leaves lies right below what counts, where it is found the next time.
    for (; from < end; from += this.#fileBytes) {
      const path = this.#pathOf(queue, from)
      const open = this.#open.get(path)
      if (open !== undefined) {
        open.isClosing = true
        this.#open.delete(path)
        if (open.users === 0) open.file.closeSync()
      }
      this.#unsynced.delete(path)
      this.#disk.removeSync(path)
    }
  }

  /** Removes all files; the directories stay. */
  removeAllSync(): void {
    this.closeSync()
    for (const topic of this.#disk.listSync(this.#directory)) {
      for (const queueId of this.#disk.listSync(join(this.#directory, topic))) {
        const queueDirectory = join(this.#directory, topic, queueId)
        for (const name of this.#disk.listSync(queueDirectory)) this.#disk.removeSync(join(queueDirectory, name))
      }
    }
  }

  /** A file that is being used is closed when that is over. */
  closeSync(): void {
    for (const open of this.#open.values()) {
      open.isClosing = true
      if (open.users === 0) open.file.closeSync()
    }
    this.#open.clear()
    this.#unsynced.clear()
    this.#unsyncedDirectories.clear()
  }

  #syncFile(path: string, callback: WrittenCallback): void {
    let used: OpenFile
    try {
      used = this.#use(path)
    } catch (error) {
      // Whoever removed it has made it anew since, or it is found to be missing when it is needed.
      return callback(isMissing(error) ? null : asError(error))
    }
    used.file.sync((error) => {
      this.#release(used)
      callback(error)
    })
  }

  #syncNames(directory: string, callback: WrittenCallback): void {
    if (this.#disk.syncDirectory !== undefined) return this.#disk.syncDirectory(directory, callback)
    try {
      this.#disk.syncDirectorySync(directory)
    } catch (error) {
      return callback(asError(error))
    }
    callback(null)
  }

  #nameIsNew(path: string): void {
    // The topic's directory, the queue's: their names may be as new.
    let directory = dirname(path)
    for (let level = 0; level < 4; level++, directory = dirname(directory)) this.#unsyncedDirectories.add(directory)
  }

  #pathOf(queue: ConsumeQueue, at: number): string {
    // Names become directories: nothing that could lead elsewhere gets this far.
    if (topicNameError(queue.topic) !== undefined) {
      const what = `${JSON.stringify(queue.topic)} is no topic name`
      throw new StoreError(what, { code: 'CORRUPT', what, physicalOffset: queue.firstPhysicalOffset })
    }
    const name = String(at - (at % this.#fileBytes)).padStart(NAME_DIGITS, '0')
    return join(this.#directory, queue.topic, String(queue.queueId), name)
  }

  /** @param create given for a file that may not be there yet: what a new one has before its first entry. */
  #use(path: string, create?: { readonly blankBytes: number }): OpenFile {
    let open = this.#open.get(path)
    if (open === undefined) {
      open = this.#openFile(path, create)
      this.#closeUnused()
    } else {
      this.#open.delete(path)
    }
    this.#open.set(path, open)
    if (create !== undefined && !open.isSized) this.#giveSize(open)
    open.users++
    return open
  }

  #openFile(path: string, create: { readonly blankBytes: number } | undefined): OpenFile {
    try {
      return new OpenFile(this.#disk.openSync(path, { create: false }))
    } catch (error) {
      if (create === undefined || !isMissing(error)) throw error
    }
    this.#disk.makeDirectorySync(dirname(path))
    this.#nameIsNew(path)
    const open = new OpenFile(this.#disk.openSync(path, { create: true }))
    this.#giveSize(open)
    // At once: entries before these may come from elsewhere at the same time.
    if (create.blankBytes > 0) open.file.writeSync(blankEntries(create.blankBytes / CONSUME_QUEUE_ENTRY_BYTES), 0)
    return open
  }

  #giveSize(open: OpenFile): void {
    if (open.file.sizeSync() !== this.#fileBytes) open.file.truncateSync(this.#fileBytes)
    open.isSized = true
  }

  #release(open: OpenFile): void {
    open.users--
    if (open.isClosing && open.users === 0) open.file.closeSync()
  }

  #closeUnused(): void {
    if (this.#open.size < OPEN_FILES_MAX) return
    for (const [path, open] of this.#open) {
      if (open.users > 0) continue
      this.#open.delete(path)
      open.file.closeSync()
      if (this.#open.size < OPEN_FILES_MAX) return
    }
  }
}

class ShortFile extends Error {}

/** Whether a read failed because the file, or the end of it, is not there. */
export function isNotThere(error: Error): boolean {
  return error instanceof ShortFile || isMissing(error)
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
