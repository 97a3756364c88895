/**
 * The files of all ConsumeQueues: `<directory>/<topic>/<queueId>/<20-digit start byte>`, each of the full size from its
 * creation (sparse), because Java maps them.
 *
 * Keeps:
 *   - nobody waits for a file system here: files are opened and made while everything else goes on (open-files.ts).
 *   - a file whose first entry is not the first of its place has blank entries before it, which Java's readers pass over.
 *
 * Source: org.apache.rocketmq.store.ConsumeQueue, MappedFileQueue.
 */
import { basename, dirname, join } from 'node:path'
import { assert } from '@dledger-ts/base'
import { type Disk, listDirectory, removeFile } from '@dledger-ts/dledger'
import { topicNameError } from '@dledger-ts/protocol'
import type { DiskRoom } from '../disk-room.ts'
import { StoreError } from '../errors.ts'
import type { ConsumeQueue } from './consume-queue.ts'
import { inLanes } from '../lanes.ts'
import { discardedName } from './discarded-files.ts'
import { CONSUME_QUEUE_ENTRY_BYTES, decodeConsumeQueueEntry, type ConsumeQueueEntry } from './entry-codec.ts'
import { type NewFile, OpenFiles, type UseCallback } from './open-files.ts'

/** Syncs under way at once: file systems make one of several. */
const SYNCS_MAX = 8
const NAME_DIGITS = 20

export interface QueueFilesOptions {
  readonly disk: Disk
  readonly directory: string
  readonly fileBytes: number
  /** Where writes wait for room on the disk; absent: they fail. */
  readonly room?: DiskRoom
}

export type WrittenCallback = (error: Error | null) => void

export class QueueFiles {
  readonly #disk: Disk
  readonly #directory: string
  readonly #fileBytes: number
  readonly #room: DiskRoom | null
  readonly #open: OpenFiles
  /** Grows when all files are discarded: what was found before is not what has those names now. */
  #generation = 0
  readonly #unsynced = new Set<string>()
  /** Directories with names that are not durable yet. */
  readonly #unsyncedDirectories = new Set<string>()

  constructor(options: QueueFilesOptions) {
    assert(options.fileBytes > 0, 'a ConsumeQueue file has bytes')
    this.#disk = options.disk
    this.#directory = options.directory
    this.#fileBytes = options.fileBytes
    this.#open = new OpenFiles({ ...options, made: (path) => this.#nameIsNew(path) })
    this.#room = options.room ?? null
  }

  /** Writes entries that stand one after another from `queueOffset` on, over whatever is there; waits for room on the disk. */
  write(queue: ConsumeQueue, queueOffset: number, entries: Buffer, callback: WrittenCallback): void {
    const write = (done: WrittenCallback): void => this.#write(queue, queueOffset, entries, done)
    if (this.#room === null) write(callback)
    else this.#room.attempt(write, callback)
  }

  #write(queue: ConsumeQueue, queueOffset: number, entries: Buffer, callback: WrittenCallback): void {
    const writeFrom = (from: number): void => {
      const at = queueOffset * CONSUME_QUEUE_ENTRY_BYTES + from
      const inFile = at % this.#fileBytes
      const to = Math.min(entries.length, from + this.#fileBytes - inFile)
      this.#use(queue, at, { blankBytes: inFile }, (failure, used) => {
        if (used === null) return callback(failure)
        used.handle.write([entries.subarray(from, to)], inFile, (error) => {
          // A sync that began meanwhile may have missed it.
          this.#unsynced.add(used.path)
          this.#open.release(used)
          if (error !== null || to === entries.length) callback(error)
          else writeFrom(to)
        })
      })
    }
    if (entries.length === 0) callback(null)
    else writeFrom(0)
  }

  get entriesPerFile(): number {
    return this.#fileBytes / CONSUME_QUEUE_ENTRY_BYTES
  }

  /** Where one read of the entries [from, to) ends: with its file at the latest. */
  endOfRead(from: number, to: number): number {
    const perFile = this.entriesPerFile
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
    this.#use(queue, at, null, (missing, used) => {
      if (used === null) return callback(missing, null)
      used.handle.read(target, inFile, (error, bytesRead) => {
        this.#open.release(used)
        if (error !== null) return callback(error, null)
        if (bytesRead < target.length) {
          const what = `${used.path}: ends at ${inFile + bytesRead}, before entry ${to - 1}`
          return callback(new ShortFile(what), null)
        }
        callback(null, target)
      })
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
    const perFile = this.entriesPerFile
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

  /** Reads one entry; undefined when its file is missing, short or of another size. */
  entryAt(queue: ConsumeQueue, queueOffset: number, callback: (entry: ConsumeQueueEntry | undefined) => void): void {
    const at = queueOffset * CONSUME_QUEUE_ENTRY_BYTES
    this.#use(queue, at, null, (_missing, used) => {
      if (used === null) return callback(undefined)
      if (used.handle.sizeSync() !== this.#fileBytes) {
        this.#open.release(used)
        return callback(undefined)
      }
      const target = Buffer.allocUnsafe(CONSUME_QUEUE_ENTRY_BYTES)
      used.handle.read(target, at % this.#fileBytes, (error, bytesRead) => {
        this.#open.release(used)
        const isThere = error === null && bytesRead === target.length
        callback(isThere ? decodeConsumeQueueEntry(target, 0) : undefined)
      })
    })
  }

  /** The first entry of the oldest file that stays when those below `queueOffset` are removed. */
  keptFrom(queue: ConsumeQueue, queueOffset: number): number {
    const kept = Math.min(queueOffset, Math.max(0, queue.nextOffset - 1))
    return kept - (kept % this.entriesPerFile)
  }

  /** Removes the files of a queue that lie wholly below `queueOffset`; the newest one stays. */
  removeBelow(queue: ConsumeQueue, queueOffset: number, callback: WrittenCallback): void {
    this.#removeBefore(queue, this.keptFrom(queue, queueOffset) * CONSUME_QUEUE_ENTRY_BYTES, callback)
  }

  /** Removes all files of a queue that has no entry; the directory stays. */
  removeAll(queue: ConsumeQueue, callback: WrittenCallback): void {
    const { minOffset, writtenOffset, nextOffset } = queue
    assert(minOffset === nextOffset && writtenOffset === nextOffset, 'nothing of an empty queue is being written')
    const end = nextOffset * CONSUME_QUEUE_ENTRY_BYTES
    const newest = this.#pathOf(queue, end)
    // At once: from now on the next entries may be written into a file of this name.
    this.#open.forget(newest)
    this.#unsynced.delete(newest)
    if (this.#disk.existsSync(newest)) this.#disk.removeSync(newest)
    this.#removeBefore(queue, end - (end % this.#fileBytes), callback)
  }

  /** @param end where a file starts; those before it are not written to any more. */
  #removeBefore(queue: ConsumeQueue, end: number, callback: WrittenCallback): void {
    const first = this.#pathOf(queue, end)
    const generation = this.#generation
    // Names have the digits of any offset: they are in the order of files.
    listDirectory(this.#disk, dirname(first), (error, names) => {
      if (error !== null) return callback(error)
      const below = names.filter((name) => name.length === NAME_DIGITS && name < basename(first))
      const remove = (i: number, done: WrittenCallback): void =>
        generation === this.#generation ? this.#remove(join(dirname(first), below[i] as string), done) : done(null)
      inLanes({ count: below.length, lanes: 1, begin: remove }, callback)
    })
  }

  /**
   * None of the files counts any more, from now on. They are given another name, all at once, under which they are found and removed
   * (discarded-files.ts); where that cannot be done they are removed here.
   */
  discardAllSync(): void {
    this.#generation++
    this.closeSync()
    if (!this.#disk.existsSync(this.#directory)) return
    try {
      this.#disk.renameSync(this.#directory, discardedName(this.#disk, this.#directory))
    } catch {
      // It is the root of a file system, or somebody else's rules forbid it.
      this.#removeAllSync()
    }
  }

  /** A file that is being used is closed when that is over. */
  closeSync(): void {
    this.#open.closeAllSync()
    this.#unsynced.clear()
    this.#unsyncedDirectories.clear()
  }

  #removeAllSync(): void {
    for (const topic of this.#disk.listSync(this.#directory)) {
      for (const queueId of this.#disk.listSync(join(this.#directory, topic))) {
        const queueDirectory = join(this.#directory, topic, queueId)
        for (const name of this.#disk.listSync(queueDirectory)) this.#disk.removeSync(join(queueDirectory, name))
      }
    }
  }

  #remove(path: string, callback: WrittenCallback): void {
    this.#open.forget(path)
    this.#unsynced.delete(path)
    removeFile(this.#disk, path, (error) => callback(isMissing(error) ? null : error))
  }

  #syncFile(path: string, callback: WrittenCallback): void {
    this.#open.use(path, null, (missing, used) => {
      // Whoever removed it has made it anew since, or it is found to be missing when it is needed.
      if (used === null) return callback(isMissing(missing) ? null : missing)
      used.handle.sync((error) => {
        this.#open.release(used)
        callback(error)
      })
    })
  }

  #syncNames(directory: string, callback: WrittenCallback): void {
    // One that was discarded meanwhile, or in which nothing was made yet, has no names.
    const synced = (error: Error | null): void => callback(isMissing(error) ? null : error)
    if (this.#disk.syncDirectory !== undefined) return this.#disk.syncDirectory(directory, synced)
    try {
      this.#disk.syncDirectorySync(directory)
    } catch (error) {
      return synced(asError(error))
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

  /** @see OpenFiles.use */
  #use(queue: ConsumeQueue, at: number, create: NewFile | null, callback: UseCallback): void {
    let path: string
    try {
      path = this.#pathOf(queue, at)
    } catch (error) {
      return callback(asError(error), null)
    }
    this.#open.use(path, create, callback)
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
