/** What somebody else stores on a small file system. */
import { closeSync, openSync, statfsSync, writeSync } from 'node:fs'

/** Bytes that are free for whoever is no superuser. */
export function freeBytesOf(directory: string): number {
  const { bavail, bsize } = statfsSync(directory)
  return bavail * bsize
}

/** Makes the file longer until there is no room for one byte more. */
export function fillUp(path: string): void {
  const file = openSync(path, 'a')
  for (let size = 1024 * 1024; size >= 1;) {
    try {
      writeSync(file, Buffer.alloc(size))
    } catch {
      size = Math.floor(size / 2)
    }
  }
  closeSync(file)
}
