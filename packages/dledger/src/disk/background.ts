/**
 * The operations that not every disk has, on every disk. What need not be waited for is called back later where it can do that, and within
 * the call where it has only the synchronous ones.
 */
import type { Disk, DiskCallback, DiskFile } from './disk.ts'

export type OpenCallback = (error: Error | null, file: DiskFile | null) => void

/** @see Disk.openSync */
export function openFile(
  disk: Disk,
  path: string,
  options: { readonly create: boolean },
  callback: OpenCallback,
): void {
  if (disk.background !== undefined) return disk.background.open(path, options, callback)
  let file: DiskFile
  try {
    file = disk.openSync(path, options)
  } catch (error) {
    return callback(asError(error), null)
  }
  callback(null, file)
}

/** @see Disk.makeDirectorySync */
export function makeDirectory(disk: Disk, directory: string, callback: DiskCallback): void {
  if (disk.background !== undefined) return disk.background.makeDirectory(directory, callback)
  callback(errorOf(() => disk.makeDirectorySync(directory)))
}

/** @see Disk.listSync */
export function listDirectory(
  disk: Disk,
  directory: string,
  callback: (error: Error | null, names: readonly string[]) => void,
): void {
  if (disk.background !== undefined) return disk.background.list(directory, callback)
  let names: readonly string[]
  try {
    names = disk.listSync(directory)
  } catch (error) {
    return callback(asError(error), [])
  }
  callback(null, names)
}

/** @see Disk.removeSync */
export function removeFile(disk: Disk, path: string, callback: DiskCallback): void {
  if (disk.background !== undefined) return disk.background.remove(path, callback)
  callback(errorOf(() => disk.removeSync(path)))
}

/** Removes an empty directory; it stays where the disk has no operation for that. */
export function removeDirectory(disk: Disk, directory: string, callback: DiskCallback): void {
  if (disk.background !== undefined) return disk.background.removeDirectory(directory, callback)
  callback(null)
}

/** @see DiskFile.writeQuickly */
export function writeQuickly(file: DiskFile, buffers: readonly Buffer[], at: number, callback: DiskCallback): void {
  if (file.writeQuickly !== undefined) file.writeQuickly(buffers, at, callback)
  else file.write(buffers, at, callback)
}

/** @see DiskFile.truncateSync */
export function truncateFile(file: DiskFile, size: number, callback: DiskCallback): void {
  if (file.truncate !== undefined) return file.truncate(size, callback)
  callback(errorOf(() => file.truncateSync(size)))
}

/** @see DiskFile.closeSync */
export function closeFile(file: DiskFile, callback: DiskCallback): void {
  if (file.close !== undefined) return file.close(callback)
  callback(errorOf(() => file.closeSync()))
}

function errorOf(work: () => void): Error | null {
  try {
    work()
  } catch (error) {
    return asError(error)
  }
  return null
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
