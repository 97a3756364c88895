/**
 * The files of one kind (data or index) in their directory: equal sizes, names that are their start offsets in 20 digits.
 *
 * Keeps:
 *   S1  files get their full size when they are made, sparsely; bytes never written read as zeros, also beyond a file's end.
 *   S2  a file whose name or size does not fit the file size of the group is refused before anything is changed.
 *   S3  creations and removals are remembered in `directoryDirty` until the directory is synced; those of a process that died
 *       are suspected at open.
 */
import type { Disk, DiskCallback } from '../disk/disk.ts'
import { DLedgerError } from '../errors.ts'
import { fileStartOf } from './layout.ts'
import { SegmentFile } from './segment-file.ts'

const NAME = /^\d{20}$/
const ZEROS = Buffer.alloc(1 << 20)

export class SegmentDirectory {
  readonly path: string
  readonly fileBytes: number
  readonly #disk: Disk
  /** Start offsets of the files that exist, ascending. */
  readonly #starts: number[] = []
  readonly #open = new Map<number, SegmentFile>()
  readonly #keepsSizes: boolean
  directoryDirty = false
  /** What of the bytes `[pos, pos + size)` may not be in the files yet, and is to be read all the same. */
  unwritten: ((pos: number, size: number) => readonly { readonly at: number; readonly bytes: Buffer }[]) | null = null

  /** @param keepsSizes cuts zero the rest of a file without making it shorter in between: for files that another program reads. */
  constructor(disk: Disk, path: string, fileBytes: number, { keepsSizes = false } = {}) {
    this.#disk = disk
    this.#keepsSizes = keepsSizes
    this.path = path
    this.fileBytes = fileBytes
    for (const name of disk.listSync(path)) {
      if (!NAME.test(name)) continue
      const start = Number(name)
      if (!Number.isSafeInteger(start) || start % fileBytes !== 0) throw this.#misfit(name, 'starts where no file does')
      this.#starts.push(start)
      const size = this.file(start).sizeSync()
      if (size > fileBytes) throw this.#misfit(name, `has ${size} bytes`)
      this.directoryDirty = true
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
  file(start: number): SegmentFile {
    let file = this.#open.get(start)
    if (file === undefined) {
      file = new SegmentFile(this.#disk.openSync(this.nameOf(start), { create: false }), start)
      this.#open.set(start, file)
    }
    return file
  }

  /** The file that starts at `start`, made with its full size where it is missing. */
  fileOrCreate(start: number): SegmentFile {
    const open = this.#open.get(start)
    if (open !== undefined) return open
    if (this.has(start)) return this.file(start)
    if (this.#starts.length === 0) this.#makeDirectory()
    // Unsynced names may be lost in any order: one at a time, so that a file never outlives the one before it.
    this.syncDirectorySync()
    this.directoryDirty = true
    const file = new SegmentFile(this.#disk.openSync(this.nameOf(start), { create: true }), start)
    try {
      file.truncateSync(this.fileBytes)
    } catch (error) {
      // Its name stays; whoever opens the log or makes the file again gives it its size.
      file.close()
      throw error
    }
    this.#open.set(start, file)
    this.#starts.push(start)
    this.#starts.sort((a, b) => a - b)
    return file
  }

  #makeDirectory(): void {
    this.#disk.makeDirectorySync(this.path)
    this.#disk.syncDirectorySync(this.path.slice(0, Math.max(1, this.path.lastIndexOf('/'))))
  }

  /** The file that holds `pos`, or null where there is none. */
  fileOf(pos: number): SegmentFile | null {
    const start = fileStartOf(pos, this.fileBytes)
    return this.#open.get(start) ?? (this.has(start) ? this.file(start) : null)
  }

  /** Fills `target` with the bytes from `pos` on; zeros where nothing was written. The range may span files. */
  readSync(pos: number, target: Buffer): void {
    for (let filled = 0; filled < target.length;) {
      const part = this.#partOf(pos + filled, target.subarray(filled))
      const file = this.fileOf(pos + filled)
      if (file === null) part.fill(0)
      else file.readSync(part, pos + filled - file.start)
      filled += part.length
    }
    for (const { at, bytes } of this.unwritten?.(pos, target.length) ?? []) bytes.copy(target, at)
  }

  /** As `readSync`, called back later; the files are there. One that was removed since is an error, told at once. */
  read(pos: number, target: Buffer, callback: DiskCallback): void {
    const part = this.#partOf(pos, target)
    const file = this.fileOf(pos)
    // Trimmed away between two steps of a read.
    if (file === null) return callback(corruptAt(this, pos, 'the file is missing'))
    // Those of now: by the end of the read they may be in the file, and may not have been when it was read.
    const unwritten = this.unwritten?.(pos, part.length) ?? []
    file.read(part, pos - file.start, (error) => {
      for (const { at, bytes } of unwritten) bytes.copy(part, at)
      if (error !== null || part.length === target.length) callback(error)
      else this.read(pos + part.length, target.subarray(part.length), callback)
    })
  }

  /** The beginning of `bytes`, as far as it belongs to the file that holds `pos`. */
  #partOf(pos: number, bytes: Buffer): Buffer {
    return bytes.subarray(0, this.fileBytes - (pos % this.fileBytes))
  }

  writeSync(pos: number, bytes: Buffer): void {
    for (let written = 0; written < bytes.length;) {
      const part = this.#partOf(pos + written, bytes.subarray(written))
      const file = this.fileOrCreate(fileStartOf(pos + written, this.fileBytes))
      file.writeSync(part, pos + written - file.start)
      written += part.length
    }
  }

  openFiles(): Iterable<SegmentFile> {
    return this.#open.values()
  }

  /** Removes every file that starts at or after `pos`, the last first, so what stays is always contiguous. */
  removeFrom(pos: number): SegmentFile[] {
    const removed: SegmentFile[] = []
    for (let start = this.#starts.at(-1); start !== undefined && start >= pos; start = this.#starts.at(-1)) {
      const file = this.#open.get(start)
      if (file !== undefined) removed.push(file)
      file?.close()
      this.#open.delete(start)
      this.#disk.removeSync(this.nameOf(start))
      this.#starts.pop()
      this.directoryDirty = true
    }
    return removed
  }

  /** Removes every file that ends at or before `pos`, the first one first. @returns those that were open. */
  removeBefore(pos: number): SegmentFile[] {
    const removed: SegmentFile[] = []
    for (let start = this.#starts[0]; start !== undefined && start + this.fileBytes <= pos; start = this.#starts[0]) {
      const file = this.#open.get(start)
      if (file !== undefined) removed.push(file)
      file?.close()
      this.#open.delete(start)
      this.#disk.removeSync(this.nameOf(start))
      this.#starts.shift()
      this.directoryDirty = true
    }
    return removed
  }

  /** Makes zero whatever the file that holds `pos` has from there on; a missing one stays missing. */
  cutFileAt(pos: number): void {
    const file = this.fileOf(pos)
    if (file === null) return
    if (this.#keepsSizes) return this.#zeroFrom(file, pos - file.start)
    if (file.sizeSync() > pos - file.start) file.truncateSync(pos - file.start)
    file.truncateSync(this.fileBytes)
  }

  /** In place, so that no crash leaves a file of another size; reads the rest of the file. */
  #zeroFrom(file: SegmentFile, from: number): void {
    const part = Buffer.alloc(ZEROS.length)
    for (let at = from; at < this.fileBytes; at += ZEROS.length) {
      const count = Math.min(ZEROS.length, this.fileBytes - at)
      const bytes = part.subarray(0, count)
      file.readSync(bytes, at)
      const zeros = ZEROS.subarray(0, count)
      if (!bytes.equals(zeros)) file.writeSync(zeros, at)
    }
  }

  /** Gives every file its full size: a crash may have come before that. */
  completeSizes(): void {
    for (const start of this.#starts) {
      const file = this.file(start)
      if (file.sizeSync() < this.fileBytes) file.truncateSync(this.fileBytes)
    }
  }

  /** Makes durable what the files from the one that holds `pos` on have, and all creations and removals. */
  syncSync(pos: number): void {
    const from = fileStartOf(pos, this.fileBytes)
    for (const start of this.#starts) if (start >= from) this.file(start).syncSync()
    this.syncDirectorySync()
  }

  /** Makes durable what the files that hold `[pos, pos + size)` have. */
  syncRangeSync(pos: number, size: number): void {
    for (let start = fileStartOf(pos, this.fileBytes); start < pos + size; start += this.fileBytes)
      if (this.has(start)) this.file(start).syncSync()
    this.syncDirectorySync()
  }

  syncDirectorySync(): void {
    if (!this.directoryDirty) return
    this.#disk.syncDirectorySync(this.path)
    this.directoryDirty = false
  }

  close(): void {
    for (const file of this.#open.values()) file.close()
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
