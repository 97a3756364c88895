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
import {
  blankEntries,
  CONSUME_QUEUE_ENTRY_BYTES,
  decodeConsumeQueueEntry,
  type ConsumeQueueEntry,
} from './entry-codec.ts'

const OPEN_FILES_MAX = 512
const NAME_DIGITS = 20

class OpenFile {
  readonly file: DiskFile
  users = 0
  /** It is in the table no more: closed when nobody uses it any more. */
  isClosing = false

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
        return callback(new Error(`${used.file.path}: ends at ${inFile + bytesRead}, before entry ${to - 1}`), null)
      }
      callback(null, target)
    })
  }

  /** Syncs every file that was written since the last call, one after another. */
  sync(callback: WrittenCallback): void {
    const paths = [...this.#unsynced]
    this.#unsynced.clear()
    const syncOne = (i: number): void => {
      const path = paths[i]
      if (path === undefined) return callback(null)
      let used: OpenFile
      try {
        used = this.#use(path)
      } catch (error) {
        return callback(asError(error))
      }
      used.file.sync((error) => {
        this.#release(used)
        if (error !== null) return callback(error)
        syncOne(i + 1)
      })
    }
    syncOne(0)
  }

  /** Reads one entry; undefined when its file is missing, short or of another size. For opening. */
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

  /** Whether every file that must hold entries of [minOffset, nextOffset) is there. For opening. */
  isWhole(queue: ConsumeQueue): boolean {
    const perFile = this.#fileBytes / CONSUME_QUEUE_ENTRY_BYTES
    for (let offset = queue.minOffset - (queue.minOffset % perFile); offset < queue.nextOffset; offset += perFile) {
      const entry = this.entryAtSync(queue, Math.min(offset + perFile, queue.nextOffset) - 1)
      if (entry === undefined || entry.size <= 0 || Number.isNaN(entry.physicalOffset)) return false
    }
    return true
  }

  /** Removes the files of a queue that lie wholly below `queueOffset`; the newest one stays. */
  removeBelow(queue: ConsumeQueue, queueOffset: number): void {
    const newest = Math.max(0, queue.nextOffset - 1) * CONSUME_QUEUE_ENTRY_BYTES
    const kept = Math.min(queueOffset * CONSUME_QUEUE_ENTRY_BYTES, newest)
    const end = kept - (kept % this.#fileBytes)
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
    open.users++
    return open
  }

  #openFile(path: string, create: { readonly blankBytes: number } | undefined): OpenFile {
    if (create === undefined) return new OpenFile(this.#disk.openSync(path, { create: false }))
    this.#disk.makeDirectorySync(dirname(path))
    const file = this.#disk.openSync(path, { create: true })
    const sizeBytes = file.sizeSync()
    if (sizeBytes !== this.#fileBytes) file.truncateSync(this.#fileBytes)
    // At once: entries before these may come from elsewhere at the same time.
    if (sizeBytes === 0 && create.blankBytes > 0) {
      file.writeSync(blankEntries(create.blankBytes / CONSUME_QUEUE_ENTRY_BYTES), 0)
    }
    return new OpenFile(file)
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

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
