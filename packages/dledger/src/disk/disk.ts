/**
 * The disk as a dependency. Two kinds of operations:
 *
 *   - synchronous ones, for opening, recovery and truncation, which are rare and must be simple;
 *   - `write`, `read` and `sync` of an open file, whose callbacks run later, never from within the call.
 *
 * Nothing is durable before `sync` (a file's bytes) or `syncDirectory` (creations, removals, renames) has completed.
 * After a failed write or sync a file is poisoned: all that follows on it fails with the first error. Only a `write` that found no
 * room (`isDiskFull`) poisons nothing: nothing of it counts, and it may be tried again. A synchronous one always does, for what it
 * is part of cannot wait.
 */
export type DiskCallback = (error: Error | null) => void

export interface DiskFile {
  readonly path: string
  /** Writes all of `buffers` one after another from byte `at` on. */
  write(buffers: readonly Buffer[], at: number, callback: DiskCallback): void
  /**
   * The same, of a few bytes into the page cache: may be made within the call where that takes less than having it made; the callback runs
   * later all the same. Left out where nothing is gained. @see writeQuickly
   */
  writeQuickly?(buffers: readonly Buffer[], at: number, callback: DiskCallback): void
  /** Reads up to target.length bytes; fewer only at the end of the file. */
  read(target: Buffer, at: number, callback: (error: Error | null, bytesRead: number) => void): void
  /** fdatasync. */
  sync(callback: DiskCallback): void
  writeSync(bytes: Buffer, at: number): void
  readSync(target: Buffer, at: number): number
  syncSync(): void
  sizeSync(): number
  /** When its bytes last changed, in milliseconds of the wall clock. */
  modifiedMsSync(): number
  /** Grows sparsely or cuts. */
  truncateSync(size: number): void
  /** The same, called back later; left out where there is only the synchronous one. */
  truncate?(size: number, callback: DiskCallback): void
  /** Nothing is under way on the file. */
  closeSync(): void
  /** The same, called back later; left out where there is only the synchronous one. */
  close?(callback: DiskCallback): void
}

export interface Disk {
  /** `create` makes a missing file; without it a missing file throws. */
  openSync(path: string, options: { readonly create: boolean; readonly readOnly?: boolean }): DiskFile
  existsSync(path: string): boolean
  /** Names in a directory, sorted; [] when it does not exist. */
  listSync(directory: string): string[]
  makeDirectorySync(directory: string): void
  removeSync(path: string): void
  /** Of a file, or of a directory with all that is in it. */
  renameSync(from: string, to: string): void
  syncDirectorySync(directory: string): void
  /** The same, called back later; left out where there is only the synchronous one. */
  syncDirectory?(directory: string, callback: DiskCallback): void
  /** Bytes that may still be written to the file system of a directory; infinite when that is not known. */
  freeBytesSync(directory: string): number
  /** How full the file system of a directory is, 0 to 100, rounded up; 0 when that is not known. */
  usedPercentSync(directory: string): number
  /**
   * Makes `path` with `content` only if nothing has that name (O_EXCL); the directory lock.
   * @returns null when made, else the present content.
   */
  createExclusiveSync(path: string, content: string): string | null
  /** Names, called back later; left out where there are only the synchronous operations. @see background.ts */
  readonly background?: BackgroundDisk
}

/**
 * What is done to names while the process serves: a file system that is busy writing its journal may take most of a second for it.
 * Each as the synchronous operation of the same name; callbacks run later, never from within the call.
 */
export interface BackgroundDisk {
  open(
    path: string,
    options: { readonly create: boolean; readonly readOnly?: boolean },
    callback: (error: Error | null, file: DiskFile | null) => void,
  ): void
  makeDirectory(directory: string, callback: DiskCallback): void
  list(directory: string, callback: (error: Error | null, names: readonly string[]) => void): void
  remove(path: string, callback: DiskCallback): void
  /** Of an empty one. */
  removeDirectory(directory: string, callback: DiskCallback): void
}

/** Node's codes for no room left: on the device, or in the owner's quota. */
const FULL_CODES: readonly unknown[] = ['ENOSPC', 'EDQUOT']

/** Whether an error of an operation says that there is no room, also as the cause of another error. */
export function isDiskFull(error: Error): boolean {
  return hasCode(error, FULL_CODES)
}

/** Whether it says that there is no such file. */
export function isMissing(error: Error): boolean {
  return hasCode(error, ['ENOENT'])
}

function hasCode(error: Error, codes: readonly unknown[]): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ('code' in at && codes.includes(at.code)) return true
  }
  return false
}
