/**
 * One index file on disk: what is known of it, and reading from it.
 *
 * Keeps: it is open while somebody uses it; removed only when nobody does.
 */
import { dirname, join } from 'node:path'
import type { Disk, DiskFile } from '@dledger-ts/dledger'
import { type IndexBuilder, NOTHING_WRITTEN, type WrittenState } from './builder.ts'
import type { FileRemovals } from './file-removals.ts'
import { decodeIndexHeader, INDEX_HEADER_BYTES, type IndexHeader, indexFileBytes, type IndexShape } from './layout.ts'

/** Where the index goes on: at entry `index` of the log, at `pos`, with that message's keys from the `key`-th on. */
export interface IndexPlace {
  readonly index: number
  readonly pos: number
  readonly key: number
}

/** Where index files are, and what they are like. */
export interface IndexFilePlace {
  readonly disk: Disk
  readonly directory: string
  readonly shape: IndexShape
  readonly removals: Pick<FileRemovals, 'add'>
}

/** `open`: its entries are being added. `sealed`: whole. `damaged`: waits to be built again, or is being. */
export type IndexFileState = 'open' | 'sealed' | 'damaged'

export class IndexFile {
  readonly name: string
  readonly path: string
  /** The first key of the log that is, or would be, in it. */
  readonly start: IndexPlace
  /** The first key that is not. */
  end: IndexPlace
  state: IndexFileState
  written: WrittenState = NOTHING_WRITTEN
  /** Of all slots, once it is sealed. */
  slotsCrc = 0
  /** Has what is not in the file yet. */
  builder: IndexBuilder | null = null
  readonly #disk: Disk
  readonly #shape: IndexShape
  readonly #removals: IndexFilePlace['removals']
  #handle: DiskFile | null = null
  #users = 0
  #isRemoved = false

  constructor(
    options: IndexFilePlace,
    given: { readonly name: string; readonly start: IndexPlace; readonly state: IndexFileState },
  ) {
    this.#disk = options.disk
    this.#shape = options.shape
    this.#removals = options.removals
    this.name = given.name
    this.path = join(options.directory, given.name)
    this.start = given.start
    this.end = given.start
    this.state = given.state
  }

  get shape(): IndexShape {
    return this.#shape
  }

  /** What it says once everything up to `end` is in it. */
  get header(): IndexHeader {
    return this.written.header
  }

  /** Opens the file for one more user. @throws when it is not there. */
  use(): DiskFile {
    this.#handle ??= this.#disk.openSync(this.path, { create: false })
    this.#users++
    return this.#handle
  }

  release(): void {
    this.#users--
    if (this.#users > 0) return
    this.#handle?.closeSync()
    this.#handle = null
    if (this.#isRemoved) this.#removals.add(this.path)
  }

  /** Makes the file, empty and of its full size. */
  createSync(): void {
    const directory = dirname(this.path)
    this.#disk.makeDirectorySync(directory)
    const file = this.#disk.openSync(this.path, { create: true })
    try {
      // What an earlier file left must not be taken for its entries.
      file.truncateSync(0)
      file.truncateSync(indexFileBytes(this.#shape))
    } finally {
      file.closeSync()
    }
    this.#disk.syncDirectorySync(directory)
  }

  /** Whether the file is there with its full size. */
  isThereSync(): boolean {
    if (!this.#disk.existsSync(this.path)) return false
    const file = this.use()
    try {
      return file.sizeSync() === indexFileBytes(this.#shape)
    } finally {
      this.release()
    }
  }

  /** Whether the file says of itself what is known of it. For opening. */
  hasItsHeaderSync(): boolean {
    const file = this.use()
    try {
      const bytes = Buffer.alloc(INDEX_HEADER_BYTES)
      if (file.readSync(bytes, 0) < bytes.length) return false
      const header = decodeIndexHeader(bytes)
      return Object.entries(this.header).every(([name, value]) => header[name as keyof IndexHeader] === value)
    } finally {
      this.release()
    }
  }

  /** Reads exactly `size` bytes. */
  read(at: number, size: number, callback: (error: Error | null, bytes: Buffer | null) => void): void {
    let file: DiskFile
    try {
      file = this.use()
    } catch (error) {
      callback(error as Error, null)
      return
    }
    const bytes = Buffer.allocUnsafe(size)
    file.read(bytes, at, (error, count) => {
      this.release()
      if (error !== null) callback(error, null)
      else if (count < size) callback(new Error(`${this.path}: ends at ${at + count}`), null)
      else callback(null, bytes)
    })
  }

  /** Has it removed from the disk, as soon as nobody uses it. */
  remove(): void {
    this.#isRemoved = true
    if (this.#users === 0) this.#removals.add(this.path)
  }
}
