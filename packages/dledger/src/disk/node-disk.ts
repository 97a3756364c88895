/**
 * The disk of this machine, on node:fs.
 *
 * Keeps:
 *   D1  callbacks never run from within the call.
 *   D2  after a failed write or sync all that follows on the file fails with that first error, unless only room was missing for a
 *       `write`; a sync is never tried again, because the kernel may have dropped the pages that it could not write.
 *   D3  a file is closed only when nothing is under way on it: its descriptor's number could be another file's meanwhile.
 */
import fs, { type StatsFs } from 'node:fs'
import { assert, makeDirectories, makeDirectoriesSync } from '@dledger-ts/base'
import { type Disk, type DiskCallback, type DiskFile, isDiskFull } from './disk.ts'
import { QuickWrites } from './quick-writes.ts'

export const nodeDisk: Disk = {
  openSync: (file, options) => new NodeDiskFile(file, fs.openSync(file, flagsOf(options), FILE_MODE)),
  existsSync: (file) => fs.existsSync(file),
  listSync: (directory) => {
    try {
      return fs.readdirSync(directory).sort()
    } catch (error) {
      if (isCode(error, 'ENOENT')) return []
      throw error
    }
  },
  makeDirectorySync: makeDirectoriesSync,
  removeSync: (file) => fs.unlinkSync(file),
  renameSync: (from, to) => fs.renameSync(from, to),
  syncDirectorySync: (directory) => {
    if (process.platform === 'win32') return // Windows has no way to sync a directory.
    const fd = fs.openSync(directory, fs.constants.O_RDONLY)
    try {
      fs.fsyncSync(fd)
    } finally {
      fs.closeSync(fd)
    }
  },
  syncDirectory: (directory, callback) => {
    if (process.platform === 'win32') {
      setImmediate(() => callback(null))
      return
    }
    fs.open(directory, fs.constants.O_RDONLY, (openError, fd) => {
      if (openError !== null) return callback(openError)
      fs.fsync(fd, (syncError) => fs.close(fd, (closeError) => callback(syncError ?? closeError ?? null)))
    })
  },
  freeBytesSync: (directory) => {
    const { bavail, bsize } = fs.statfsSync(directory)
    return bavail * bsize
  },
  usedPercentSync: (directory) => usedPercentOf(fs.statfsSync(directory)),
  createExclusiveSync: (file, content) => {
    // A link makes name and content appear together: nobody ever reads half a lock.
    const draft = `${file}.${process.pid}.${drafts++}`
    try {
      fs.writeFileSync(draft, content)
      for (;;) {
        const present = linkOrRead(draft, file)
        if (present !== undefined) return present
      }
    } finally {
      // Where nothing could be written there may be no file.
      fs.rmSync(draft, { force: true })
    }
  },
  background: {
    open: (file, options, callback) => {
      fs.open(file, flagsOf(options), FILE_MODE, (error, fd) => {
        if (error === null) callback(null, new NodeDiskFile(file, fd))
        else callback(error, null)
      })
    },
    makeDirectory: makeDirectories,
    list: (directory, callback) => {
      fs.readdir(directory, (error, names) => {
        if (error === null) callback(null, names.sort())
        else callback(isCode(error, 'ENOENT') ? null : error, [])
      })
    },
    remove: (file, callback) => fs.unlink(file, callback),
    removeDirectory: (directory, callback) => fs.rmdir(directory, callback),
  },
}
const FILE_MODE = 0o644
/** Of all files: what holds up one may hold up the others. */
const quickWrites = new QuickWrites()
let drafts = 0

function flagsOf({ create, readOnly }: { readonly create: boolean; readonly readOnly?: boolean }): number {
  const access = readOnly === true ? fs.constants.O_RDONLY : fs.constants.O_RDWR
  return create ? access | fs.constants.O_CREAT : access
}

/** @returns null when linked, the content that is there, or undefined when that vanished in between. */
function linkOrRead(draft: string, file: string): string | null | undefined {
  try {
    fs.linkSync(draft, file)
    return null
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error
  }
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error
    return undefined
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

class NodeDiskFile implements DiskFile {
  readonly path: string
  readonly #fd: number
  #failure: Error | null = null
  #underWay = 0
  #closed = false

  constructor(file: string, fd: number) {
    this.path = file
    this.#fd = fd
  }

  write(buffers: readonly Buffer[], at: number, callback: DiskCallback): void {
    if (this.#refused(callback)) return
    this.#underWay++
    this.#writeRest(buffers, at, callback)
  }

  writeQuickly(buffers: readonly Buffer[], at: number, callback: DiskCallback): void {
    let bytes = 0
    for (const buffer of buffers) bytes += buffer.length
    const begunMs = performance.now()
    if (!quickWrites.mayWrite(bytes, begunMs)) return this.write(buffers, at, callback)
    if (this.#refused(callback)) return
    this.#underWay++
    let error: Error | null = null
    let count = 0
    try {
      count =
        buffers.length === 1
          ? fs.writeSync(this.#fd, buffers[0] as Buffer, 0, undefined, at)
          : fs.writevSync(this.#fd, buffers, at)
    } catch (thrown) {
      error = thrown instanceof Error ? thrown : new Error(String(thrown))
    }
    quickWrites.wrote(begunMs, performance.now())
    process.nextTick(() => this.#written(buffers, at, error, count, callback))
  }

  #writeRest(buffers: readonly Buffer[], at: number, callback: DiskCallback): void {
    const begun = quickWrites.begun(performance.now())
    const written = (error: Error | null, count: number): void => {
      quickWrites.ended(begun)
      this.#written(buffers, at, error, count, callback)
    }
    if (buffers.length === 1) fs.write(this.#fd, buffers[0] as Buffer, 0, undefined, at, written)
    else fs.writev(this.#fd, buffers, at, written)
  }

  /** The kernel may take less than all: the rest follows. */
  #written(buffers: readonly Buffer[], at: number, error: Error | null, count: number, callback: DiskCallback): void {
    if (error === null) {
      const rest = withoutFirst(buffers, count)
      if (rest.length > 0) {
        if (count > 0) return this.#writeRest(rest, at + count, callback)
        error = this.#nothingWritten(at)
      }
    }
    this.#underWay--
    if (error !== null && !isDiskFull(error)) this.#failure ??= error
    callback(this.#failure ?? error)
  }

  read(target: Buffer, at: number, callback: (error: Error | null, bytesRead: number) => void): void {
    if (this.#refused((error) => callback(error, 0))) return
    this.#underWay++
    this.#readRest(target, 0, at, callback)
  }

  #readRest(
    target: Buffer,
    filled: number,
    at: number,
    callback: (error: Error | null, bytesRead: number) => void,
  ): void {
    fs.read(this.#fd, target, filled, target.length - filled, at + filled, (error, count) => {
      if (error === null && count > 0 && filled + count < target.length) {
        return this.#readRest(target, filled + count, at, callback)
      }
      this.#underWay--
      callback(error, error === null ? filled + count : 0)
    })
  }

  sync(callback: DiskCallback): void {
    if (this.#refused(callback)) return
    this.#underWay++
    const begun = quickWrites.begun(performance.now())
    fs.fdatasync(this.#fd, (error) => {
      quickWrites.ended(begun)
      this.#underWay--
      if (error !== null) this.#failure ??= error
      callback(this.#failure)
    })
  }

  writeSync(bytes: Buffer, at: number): void {
    this.#orPoison(() => {
      for (let from = 0; from < bytes.length;) {
        const count = fs.writeSync(this.#fd, bytes, from, bytes.length - from, at + from)
        if (count === 0) throw this.#nothingWritten(at + from)
        from += count
      }
    })
  }

  /** The kernel took nothing and named no reason: asked again, it might do so for ever. */
  #nothingWritten(at: number): Error {
    return Object.assign(new Error(`EIO: i/o error, nothing was written to ${this.path} at ${at}`), { code: 'EIO' })
  }

  readSync(target: Buffer, at: number): number {
    if (this.#failure !== null) throw this.#failure
    let filled = 0
    while (filled < target.length) {
      const count = fs.readSync(this.#fd, target, filled, target.length - filled, at + filled)
      if (count === 0) break
      filled += count
    }
    return filled
  }

  syncSync(): void {
    this.#orPoison(() => fs.fdatasyncSync(this.#fd))
  }

  sizeSync(): number {
    return fs.fstatSync(this.#fd).size
  }

  modifiedMsSync(): number {
    return fs.fstatSync(this.#fd).mtimeMs
  }

  truncateSync(size: number): void {
    this.#orPoison(() => fs.ftruncateSync(this.#fd, size))
  }

  truncate(size: number, callback: DiskCallback): void {
    if (this.#refused(callback)) return
    this.#underWay++
    fs.ftruncate(this.#fd, size, (error) => {
      this.#underWay--
      if (error !== null) this.#failure ??= error
      callback(this.#failure)
    })
  }

  /** Idempotent. */
  closeSync(): void {
    assert(this.#underWay === 0, 'a file is closed when nothing is under way on it')
    if (this.#closed) return
    this.#closed = true
    fs.closeSync(this.#fd)
  }

  close(callback: DiskCallback): void {
    assert(this.#underWay === 0, 'a file is closed when nothing is under way on it')
    assert(!this.#closed, 'a file that is open is closed')
    this.#closed = true
    fs.close(this.#fd, (error) => callback(error ?? null))
  }

  #refused(callback: DiskCallback): boolean {
    assert(!this.#closed, 'a closed file is not used')
    const error = this.#failure
    if (error === null) return false
    setImmediate(() => callback(error))
    return true
  }

  #orPoison(operation: () => void): void {
    if (this.#failure !== null) throw this.#failure
    try {
      operation()
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error))
      throw this.#failure
    }
  }
}

function withoutFirst(buffers: readonly Buffer[], count: number): readonly Buffer[] {
  let skip = 0
  while (skip < buffers.length && count >= (buffers[skip] as Buffer).length) {
    count -= (buffers[skip] as Buffer).length
    skip++
  }
  if (skip === buffers.length) return []
  return [(buffers[skip] as Buffer).subarray(count), ...buffers.slice(skip + 1)]
}

/**
 * How full a file system is, 0 to 100, rounded up. What only the superuser may take counts neither as used nor as free, as for `df`.
 * Source: Apache's UtilAll.getDiskPartitionSpaceUsedPercent.
 */
export function usedPercentOf({ blocks, bfree, bavail }: Pick<StatsFs, 'blocks' | 'bfree' | 'bavail'>): number {
  const used = blocks - bfree
  return used + bavail <= 0 ? 0 : Math.ceil((100 * used) / (used + bavail))
}
