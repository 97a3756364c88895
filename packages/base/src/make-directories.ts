/**
 * A directory with those above it that are missing.
 *
 * Not by `{ recursive: true }` of Node.js: where a file system refuses a directory with ENOENT, as /proc does, that one tries again for ever.
 */
import { mkdir, mkdirSync, stat, statSync } from 'node:fs'
import { dirname } from 'node:path'

/** @throws what the file system says of the first one that cannot be made. */
export function makeDirectoriesSync(path: string): void {
  if (isDirectory(path)) return
  const parent = dirname(path)
  if (parent !== path) makeDirectoriesSync(parent)
  try {
    mkdirSync(path)
  } catch (error) {
    // Another process may have been quicker.
    if (!isDirectory(path)) throw error
  }
}

/** @param callback gets what the file system says of the first one that cannot be made. */
export function makeDirectories(path: string, callback: (error: Error | null) => void): void {
  mkdir(path, (error) => {
    const parent = dirname(path)
    if (error?.code === 'ENOENT' && parent !== path) makeBelow(parent, path, callback)
    else unlessDirectory(path, error, callback)
  })
}

function makeBelow(parent: string, path: string, callback: (error: Error | null) => void): void {
  makeDirectories(parent, (parentError) => {
    if (parentError !== null) callback(parentError)
    else mkdir(path, (error) => unlessDirectory(path, error, callback))
  })
}

function unlessDirectory(path: string, error: Error | null, callback: (error: Error | null) => void): void {
  if (error === null) return callback(null)
  stat(path, (_, stats) => callback(stats?.isDirectory() === true ? null : error))
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}
