/** Tests only: a disk in memory whose writes and syncs can be held back, or made to fail. */
import type { Disk, DiskCallback, DiskFile } from '../../disk/disk.ts'
import { MemoryDisk } from '../../disk/memory-disk.ts'

export class HangingDisk extends MemoryDisk implements Disk {
  /** What is asked for from now on waits. */
  hangs = false
  /** The next write fails with it. */
  nextError: Error | null = null
  #held: (() => void)[] = []

  get heldCount(): number {
    return this.#held.length
  }

  /** What was held back happens. */
  release(): void {
    this.hangs = false
    const held = this.#held
    this.#held = []
    for (const operation of held) operation()
  }

  override openSync(path: string, options: { readonly create: boolean; readonly readOnly?: boolean }): DiskFile {
    const file = super.openSync(path, options)
    const later = (operation: () => void): void => {
      if (this.hangs) this.#held.push(operation)
      else operation()
    }
    return {
      path,
      write: (buffers, at, callback) =>
        later(() => {
          const error = this.nextError
          this.nextError = null
          if (error === null) file.write(buffers, at, callback)
          else setImmediate(() => callback(error))
        }),
      read: (target, at, callback) => file.read(target, at, callback),
      sync: (callback: DiskCallback) => later(() => file.sync(callback)),
      writeSync: (bytes, at) => file.writeSync(bytes, at),
      readSync: (target, at) => file.readSync(target, at),
      syncSync: () => file.syncSync(),
      sizeSync: () => file.sizeSync(),
      truncateSync: (size) => file.truncateSync(size),
      closeSync: () => file.closeSync(),
    }
  }
}
