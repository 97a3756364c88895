/** How large the file system of a directory is, and how much of it is free. */
import { statfs } from 'node:fs/promises'

export interface DiskSpace {
  readonly totalBytes: number
  readonly freeBytes: number
}

export async function diskSpace(directory: string): Promise<DiskSpace | null> {
  try {
    const { blocks, bavail, bsize } = await statfs(directory)
    return { totalBytes: blocks * bsize, freeBytes: bavail * bsize }
  } catch {
    // A figure for operators, of a directory that may be none of this machine: they see that it is missing.
    return null
  }
}
