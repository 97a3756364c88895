/**
 * A disk on which reads of the log from some byte on wait until they are let go: what applies it stops there. A sync takes no time.
 */
import { basename, dirname } from 'node:path'
import type { Disk, DiskFile } from '../disk/disk.ts'
import { unsyncedDisk } from './unsynced-disk.ts'

export class HeldReads {
  /** In the log. Not of one term with what is before: entries of one term are read at once. */
  fromPos = Number.POSITIVE_INFINITY
  #isOpen = false
  #held: (() => void)[] = []
  #waiters: (() => void)[] = []

  readonly disk: Disk = {
    ...unsyncedDisk,
    openSync: (path, options) => this.#gated(unsyncedDisk.openSync(path, options)),
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
      ...file,
      read: (target, at, callback) => {
        if (this.#isOpen || !(startPos + at >= this.fromPos)) return file.read(target, at, callback)
        this.#held.push(() => file.read(target, at, callback))
        const waiters = this.#waiters
        this.#waiters = []
        for (const tell of waiters) tell()
      },
    }
  }
}
