/**
 * A disk around another one, which knows what is under way on it and tells every failure with operation, file and cause.
 *
 * Keeps:
 *   - a write, sync or read is among those under way from its call to its callback;
 *   - it is idle when nothing is under way that changes something: what a read is told afterwards harms nobody;
 *   - what fails, fails with a DLedgerError STORAGE_FAILED that names the operation, the file and the cause's code.
 */
import { DLedgerError } from '../errors.ts'
import { writeQuickly } from './background.ts'
import type { Disk, DiskCallback, DiskFile } from './disk.ts'

/** One write, sync or read under way. */
export interface DiskOperation {
  readonly what: 'write' | 'sync' | 'read'
  readonly file: string
  /** By the clock of whoever watches. */
  readonly beganMs: number
}

export class WatchedDisk implements Disk {
  readonly #disk: Disk
  readonly #nowMs: () => number
  readonly #ignoresReads: boolean
  /** Oldest first. */
  readonly #underWay = new Set<DiskOperation>()
  #changesUnderWay = 0
  #whenIdle: (() => void)[] = []

  /** @param ignoresReads simulation only: they count for nothing. */
  constructor(disk: Disk, nowMs: () => number, { ignoresReads = false } = {}) {
    this.#ignoresReads = ignoresReads
    this.#disk = disk
    this.#nowMs = nowMs
  }

  /** The operation that is under way for the longest time, if any. */
  get oldest(): DiskOperation | undefined {
    return this.#underWay.values().next().value
  }

  /** Calls back when no write and no sync is under way: at once, or after the last callback. */
  whenIdle(callback: () => void): void {
    if (this.#changesUnderWay === 0) callback()
    else this.#whenIdle.push(callback)
  }

  openSync(path: string, options: { readonly create: boolean; readonly readOnly?: boolean }): DiskFile {
    return new WatchedFile(
      this,
      telling('open', path, () => this.#disk.openSync(path, options)),
    )
  }

  existsSync(path: string): boolean {
    return this.#disk.existsSync(path)
  }

  listSync(directory: string): string[] {
    return telling('list', directory, () => this.#disk.listSync(directory))
  }

  makeDirectorySync(directory: string): void {
    telling('make directory', directory, () => this.#disk.makeDirectorySync(directory))
  }

  removeSync(path: string): void {
    telling('remove', path, () => this.#disk.removeSync(path))
  }

  renameSync(from: string, to: string): void {
    telling('rename', from, () => this.#disk.renameSync(from, to))
  }

  syncDirectorySync(directory: string): void {
    telling('sync', directory, () => this.#disk.syncDirectorySync(directory))
  }

  freeBytesSync(directory: string): number {
    return telling('look at', directory, () => this.#disk.freeBytesSync(directory))
  }

  usedPercentSync(directory: string): number {
    return telling('look at', directory, () => this.#disk.usedPercentSync(directory))
  }

  createExclusiveSync(path: string, content: string): string | null {
    return telling('make', path, () => this.#disk.createExclusiveSync(path, content))
  }

  /** @internal For its files. @returns a callback that ends a write or a sync. */
  begun(what: 'write' | 'sync', file: string, callback: DiskCallback): DiskCallback {
    const operation: DiskOperation = { what, file, beganMs: this.#nowMs() }
    this.#underWay.add(operation)
    this.#changesUnderWay++
    return (error) => {
      this.#underWay.delete(operation)
      this.#changesUnderWay--
      callback(error === null ? null : storageFailed(what, file, error))
      if (this.#changesUnderWay > 0 || this.#whenIdle.length === 0) return
      const waiting = this.#whenIdle
      this.#whenIdle = []
      for (const idle of waiting) idle()
    }
  }

  /** @internal As `begun`, for a read. */
  begunRead(file: string, callback: (error: Error | null, bytesRead: number) => void): typeof callback {
    const operation: DiskOperation = { what: 'read', file, beganMs: this.#nowMs() }
    if (!this.#ignoresReads) this.#underWay.add(operation)
    return (error, bytesRead) => {
      this.#underWay.delete(operation)
      callback(error === null ? null : storageFailed('read', file, error), bytesRead)
    }
  }
}

class WatchedFile implements DiskFile {
  readonly path: string
  readonly #disk: WatchedDisk
  readonly #file: DiskFile

  constructor(disk: WatchedDisk, file: DiskFile) {
    this.path = file.path
    this.#disk = disk
    this.#file = file
  }

  write(buffers: readonly Buffer[], at: number, callback: DiskCallback): void {
    this.#file.write(buffers, at, this.#disk.begun('write', this.path, callback))
  }

  writeQuickly(buffers: readonly Buffer[], at: number, callback: DiskCallback): void {
    writeQuickly(this.#file, buffers, at, this.#disk.begun('write', this.path, callback))
  }

  read(target: Buffer, at: number, callback: (error: Error | null, bytesRead: number) => void): void {
    this.#file.read(target, at, this.#disk.begunRead(this.path, callback))
  }

  sync(callback: DiskCallback): void {
    this.#file.sync(this.#disk.begun('sync', this.path, callback))
  }

  writeSync(bytes: Buffer, at: number): void {
    telling('write', this.path, () => this.#file.writeSync(bytes, at))
  }

  readSync(target: Buffer, at: number): number {
    return telling('read', this.path, () => this.#file.readSync(target, at))
  }

  syncSync(): void {
    telling('sync', this.path, () => this.#file.syncSync())
  }

  sizeSync(): number {
    return telling('look at', this.path, () => this.#file.sizeSync())
  }

  modifiedMsSync(): number {
    return telling('look at', this.path, () => this.#file.modifiedMsSync())
  }

  truncateSync(size: number): void {
    telling('truncate', this.path, () => this.#file.truncateSync(size))
  }

  closeSync(): void {
    telling('close', this.path, () => this.#file.closeSync())
  }
}

function telling<Result>(operation: string, file: string, work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    if (error instanceof Error && isSystemError(error)) throw storageFailed(operation, file, error)
    throw error
  }
}

/** What the system said, or a file that repeats its first failure; not a broken invariant. */
function isSystemError(error: Error): boolean {
  return codeOf(error) !== null
}

/** Node's code of an error, or of what caused it: a poisoned file fails with its first error as the cause. */
function codeOf(error: Error): string | null {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') return at.code
  }
  return null
}

export function storageFailed(operation: string, file: string, cause: Error): DLedgerError {
  const errno = codeOf(cause)
  const what = `${operation} of ${file} failed: ${cause.message}`
  return new DLedgerError(what, { code: 'STORAGE_FAILED', what, operation, file, errno }, { cause })
}
