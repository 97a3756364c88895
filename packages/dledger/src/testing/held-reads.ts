/**
 * A disk on which reads of the log from some byte on wait until they are let go: what applies it stops there. A sync takes no time.
 */
import { basename, dirname } from 'node:path'
import type { Disk, DiskFile } from '../disk/disk.ts'
import { nodeDisk } from '../disk/node-disk.ts'

export class HeldReads {
  /** In the log. Not of one term with what is before: entries of one term are read at once. */
  fromPos = Number.POSITIVE_INFINITY
  #isOpen = false
  #held: (() => void)[] = []
  #waiters: (() => void)[] = []

  readonly disk: Disk = {
    openSync: (path, options) => this.#gated(nodeDisk.openSync(path, options)),
    existsSync: (path) => nodeDisk.existsSync(path),
    listSync: (directory) => nodeDisk.listSync(directory),
    makeDirectorySync: (directory) => nodeDisk.makeDirectorySync(directory),
    removeSync: (path) => nodeDisk.removeSync(path),
    renameSync: (from, to) => nodeDisk.renameSync(from, to),
    syncDirectorySync: () => {},
    freeBytesSync: (directory) => nodeDisk.freeBytesSync(directory),
    usedPercentSync: (directory) => nodeDisk.usedPercentSync(directory),
    createExclusiveSync: (path, content) => nodeDisk.createExclusiveSync(path, content),
  }

  /** Resolves when a read waits. */
  whenHeld(): Promise<void> {
    if (this.#held.length > 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiters.push(resolve)
    })
  }

  /** Lets go what waits, and all that comes. */
  release(): void {
    this.#isOpen = true
    const held = this.#held
    this.#held = []
    for (const read of held) read()
  }

  #gated(file: DiskFile): DiskFile {
    const startPos = basename(dirname(file.path)) === 'data' ? Number(basename(file.path)) : Number.NaN
    return {
      path: file.path,
      write: (buffers, at, callback) => file.write(buffers, at, callback),
      read: (target, at, callback) => {
        if (this.#isOpen || !(startPos + at >= this.fromPos)) return file.read(target, at, callback)
        this.#held.push(() => file.read(target, at, callback))
        const waiters = this.#waiters
        this.#waiters = []
        for (const tell of waiters) tell()
      },
      sync: (callback) => void setImmediate(callback, null),
      writeSync: (bytes, at) => file.writeSync(bytes, at),
      readSync: (target, at) => file.readSync(target, at),
      syncSync: () => {},
      sizeSync: () => file.sizeSync(),
      modifiedMsSync: () => file.modifiedMsSync(),
      truncateSync: (size) => file.truncateSync(size),
      closeSync: () => file.closeSync(),
    }
  }
}
