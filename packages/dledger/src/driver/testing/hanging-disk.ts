/** Tests only: a disk in memory whose writes, syncs and reads can be held back, or made to fail. */
import type { Disk, DiskCallback, DiskFile } from '../../disk/disk.ts'
import { MemoryDisk } from '../../disk/memory-disk.ts'

export class HangingDisk extends MemoryDisk implements Disk {
  /** What is asked for from now on waits. */
  hangs = false
  /** As `hangs`, for syncs alone. */
  holdsSyncs = false
  /** Syncs are held from the end of the next write of the hard state on. */
  holdsSyncsAfterHardState = false
  /** Synchronous ones while syncs are held: each would have held up the process. */
  heldUp = 0
  /** As `hangs`, for reads alone. */
  holdsReads = false
  /** Only what was written before may be written over. */
  full = false
  /** Nor is there room to write the hard state over: a file system that writes nothing in place. */
  fullForHardState = false
  /** It is from the end of the next write of it on. */
  fullAfterHardState = false
  /** Files with writes that failed, once that was told. */
  readonly refused = new Set<string>()
  /** No file can be made. */
  fullOfNames = false
  freeBytes = Number.POSITIVE_INFINITY
  readonly #writtenTo = new Map<string, number>()
  /** The next write fails with it. */
  nextError: Error | null = null
  #held: (() => void)[] = []

  get heldCount(): number {
    return this.#held.length
  }

  /** What was held back happens. */
  release(): void {
    this.hangs = false
    this.holdsReads = false
    const held = this.#held
    this.#held = []
    for (const operation of held) operation()
  }

  override freeBytesSync(): number {
    return this.freeBytes
  }

  #noRoom(path: string, end: number): Error | null {
    const writtenTo = this.#writtenTo.get(path) ?? 0
    if (this.fullForHardState && path.endsWith('hard-state')) return noSpace()
    if (!this.full || end <= writtenTo || path.endsWith('hard-state')) {
      this.#writtenTo.set(path, Math.max(writtenTo, end))
      return null
    }
    return noSpace()
  }

  override openSync(path: string, options: { readonly create: boolean; readonly readOnly?: boolean }): DiskFile {
    if (this.fullOfNames && options.create && !this.existsSync(path)) {
      throw Object.assign(new Error('ENOSPC: no space left on device, open'), { code: 'ENOSPC' })
    }
    const file = super.openSync(path, options)
    const later = (operation: () => void): void => {
      if (this.hangs) this.#held.push(operation)
      else operation()
    }
    return {
      path,
      write: (buffers, at, callback) =>
        later(() => {
          const end = buffers.reduce((sum, buffer) => sum + buffer.length, at)
          const error = this.nextError ?? this.#noRoom(path, end)
          this.nextError = null
          if (error === null) file.write(buffers, at, callback)
          else
            setImmediate(() => {
              callback(error)
              this.refused.add(path)
            })
        }),
      read: (target, at, callback) => {
        const read = (): void => file.read(target, at, callback)
        if (this.holdsReads) this.#held.push(read)
        else read()
      },
      sync: (callback: DiskCallback) => {
        const sync = (): void =>
          file.sync((error) => {
            if (this.fullAfterHardState && path.endsWith('hard-state')) {
              this.fullAfterHardState = false
              this.fullForHardState = true
            }
            if (this.holdsSyncsAfterHardState && path.endsWith('hard-state')) {
              this.holdsSyncsAfterHardState = false
              this.holdsSyncs = true
            }
            callback(error)
          })
        if (this.holdsSyncs) this.#held.push(sync)
        else later(sync)
      },
      writeSync: (bytes, at) => file.writeSync(bytes, at),
      readSync: (target, at) => file.readSync(target, at),
      syncSync: () => {
        if (this.holdsSyncs) this.heldUp++
        file.syncSync()
      },
      sizeSync: () => file.sizeSync(),
      modifiedMsSync: () => file.modifiedMsSync(),
      truncateSync: (size) => file.truncateSync(size),
      closeSync: () => file.closeSync(),
    }
  }
}

function noSpace(): Error {
  return Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
}
