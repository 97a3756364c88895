/** The disk of this machine, on which a sync takes no time: for tests in which no power fails. */
import type { Disk, DiskFile } from '../disk/disk.ts'
import { nodeDisk } from '../disk/node-disk.ts'

/**
 * Does nothing in the background, so that whoever wraps `openSync` sees every file; disk and files are plain objects, of which one operation
 * can be replaced.
 */
export const unsyncedDisk: Disk = {
  openSync: (path, options) => unsynced(nodeDisk.openSync(path, options)),
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

function unsynced(file: DiskFile): DiskFile {
  return {
    path: file.path,
    write: (buffers, at, callback) => file.write(buffers, at, callback),
    read: (target, at, callback) => file.read(target, at, callback),
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
