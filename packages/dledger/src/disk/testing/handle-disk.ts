/** Tests only: a disk in memory that knows which files are open, and whose operations can be made to fail. */
import type { Disk, DiskFile } from '../disk.ts'
import { MemoryDisk } from '../memory-disk.ts'

type Operation = 'writeSync' | 'truncateSync' | 'syncSync'

export class HandleDisk extends MemoryDisk implements Disk {
  /** Paths of open files, one for each handle. */
  readonly open: string[] = []
  /** What the next such operation fails with. */
  readonly failing = new Map<Operation, Error>()

  override openSync(path: string, options: { readonly create: boolean; readonly readOnly?: boolean }): DiskFile {
    const file = super.openSync(path, options)
    this.open.push(path)
    const orFail = (operation: Operation, work: () => void): void => {
      const error = this.failing.get(operation)
      this.failing.delete(operation)
      if (error !== undefined) throw error
      work()
    }
    return {
      path,
      write: (buffers, at, callback) => file.write(buffers, at, callback),
      read: (target, at, callback) => file.read(target, at, callback),
      sync: (callback) => file.sync(callback),
      writeSync: (bytes, at) => orFail('writeSync', () => file.writeSync(bytes, at)),
      readSync: (target, at) => file.readSync(target, at),
      syncSync: () => orFail('syncSync', () => file.syncSync()),
      sizeSync: () => file.sizeSync(),
      modifiedMsSync: () => file.modifiedMsSync(),
      truncateSync: (size) => orFail('truncateSync', () => file.truncateSync(size)),
      closeSync: () => {
        const at = this.open.indexOf(path)
        if (at !== -1) this.open.splice(at, 1)
        file.closeSync()
      },
    }
  }
}

export function noRoom(): Error {
  return Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
}
