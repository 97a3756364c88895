/**
 * The files of one kind (data or index) in their directory: equal sizes, names that are their start offsets in 20 digits.
 *
 * Keeps:
 *   S1  files get their full size when they are made, sparsely; bytes never written read as zeros, also beyond a file's end.
 *   S2  a file whose name or size does not fit the file size of the group is refused before anything is changed.
 *   S3  creations and removals are remembered in `directoryDirty` until the directory is synced.
 */
import { assert } from '@dledger-ts/base'
import type { Disk, DiskCallback, DiskFile } from '../disk/disk.ts'
import { DLedgerError } from '../errors.ts'
import { fileStartOf } from './layout.ts'

const NAME = /^\d{20}$/

export class SegmentDirectory {
  readonly path: string
  readonly fileBytes: number
  readonly #disk: Disk
  /** Start offsets of the files that exist, ascending. */
  readonly #starts: number[] = []
  readonly #open = new Map<number, DiskFile>()
  directoryDirty = false

  constructor(disk: Disk, path: string, fileBytes: number) {
    this.#disk = disk
    this.path = path
    this.fileBytes = fileBytes
    for (const name of disk.listSync(path)) {
      if (!NAME.test(name)) continue
      const start = Number(name)
      if (!Number.isSafeInteger(start) || start % fileBytes !== 0) throw this.#misfit(name, 'starts where no file does')
      this.#starts.push(start)
      const size = this.file(start).sizeSync()
      if (size > fileBytes) throw this.#misfit(name, `has ${size} bytes`)
    }
  }

  #misfit(name: string, what: string): DLedgerError {
    this.close()
    return new DLedgerError(
      `${this.path}/${name} ${what}, with files of ${this.fileBytes} bytes: another file size made it`,
      {
        code: 'INVALID',
        what: 'fileBytes',
      },
    )
  }

  get starts(): readonly number[] {
    return this.#starts
  }

  nameOf(start: number): string {
    return `${this.path}/${String(start).padStart(20, '0')}`
  }

  has(start: number): boolean {
    return this.#starts.includes(start)
  }

  /** The file that starts at `start`, which exists. */
  file(start: number): DiskFile {
    let file = this.#open.get(start)
    if (file === undefined) {
      file = this.#disk.openSync(this.nameOf(start), { create: false })
      this.#open.set(start, file)
    }
    return file
  }

  /** The file that starts at `start`, made with its full size where it is missing. */
  fileOrCreate(start: number): DiskFile {
    const open = this.#open.get(start)
    if (open !== undefined) return open
    if (this.has(start)) return this.file(start)
    if (this.#starts.length === 0) this.#disk.makeDirectorySync(this.path)
    const file = this.#disk.openSync(this.nameOf(start), { create: true })
    file.truncateSync(this.fileBytes)
    this.#open.set(start, file)
    this.#starts.push(start)
    this.#starts.sort((a, b) => a - b)
    this.directoryDirty = true
    return file
  }

  /** Fills `target` with the bytes from `pos` on; zeros where nothing was written. The range may span files. */
  readSync(pos: number, target: Buffer): void {
    let filled = 0
    while (filled < target.length) {
      const start = fileStartOf(pos + filled, this.fileBytes)
      const offset = pos + filled - start
      const part = target.subarray(filled, filled + Math.min(target.length - filled, this.fileBytes - offset))
      const count = this.has(start) ? this.file(start).readSync(part, offset) : 0
      part.fill(0, count)
      filled += part.length
    }
  }

  /** As `readSync`, called back later; the files are there. */
  read(pos: number, target: Buffer, callback: DiskCallback): void {
    const start = fileStartOf(pos, this.fileBytes)
    const part = target.subarray(0, Math.min(target.length, start + this.fileBytes - pos))
    assert(this.has(start), 'only files that are there are read')
    this.file(start).read(part, pos - start, (error, count) => {
      if (error !== null) return callback(error)
      part.fill(0, count)
      if (part.length === target.length) return callback(null)
      this.read(pos + part.length, target.subarray(part.length), callback)
    })
  }

  writeSync(pos: number, bytes: Buffer): void {
    let from = 0
    while (from < bytes.length) {
      const start = fileStartOf(pos + from, this.fileBytes)
      const offset = pos + from - start
      const part = bytes.subarray(from, from + Math.min(bytes.length - from, this.fileBytes - offset))
      this.fileOrCreate(start).writeSync(part, offset)
      from += part.length
    }
  }

  openFiles(): Iterable<DiskFile> {
    return this.#open.values()
  }

  /** Removes every file that starts at or after `pos`, the last first, so what stays is always contiguous. */
  removeFrom(pos: number): DiskFile[] {
    const removed: DiskFile[] = []
    for (let start = this.#starts.at(-1); start !== undefined && start >= pos; start = this.#starts.at(-1)) {
      const file = this.#open.get(start)
      if (file !== undefined) removed.push(file)
      file?.closeSync()
      this.#open.delete(start)
      this.#disk.removeSync(this.nameOf(start))
      this.#starts.pop()
      this.directoryDirty = true
    }
    return removed
  }

  /** Makes zero whatever the file that holds `pos` has from there on, and gives it its full size; a missing one stays missing. */
  cutFileAt(pos: number): void {
    const start = fileStartOf(pos, this.fileBytes)
    if (!this.has(start)) return
    const file = this.file(start)
    if (file.sizeSync() > pos - start) file.truncateSync(pos - start)
    file.truncateSync(this.fileBytes)
  }

  /** Makes the present bytes of the file that holds `pos`, and all creations and removals, durable. */
  syncSync(pos: number): void {
    const start = fileStartOf(pos, this.fileBytes)
    if (this.has(start)) this.file(start).syncSync()
    this.syncDirectorySync()
  }

  syncDirectorySync(): void {
    if (!this.directoryDirty) return
    this.#disk.syncDirectorySync(this.path)
    this.directoryDirty = false
  }

  close(): void {
    for (const file of this.#open.values()) file.closeSync()
    this.#open.clear()
  }
}

export function corruptAt(segments: SegmentDirectory, pos: number, what: string): DLedgerError {
  const start = fileStartOf(pos, segments.fileBytes)
  const file = segments.nameOf(start)
  return new DLedgerError(`${file} is corrupt at its byte ${pos - start}: ${what}`, {
    code: 'CORRUPT',
    file,
    at: pos - start,
  })
}
