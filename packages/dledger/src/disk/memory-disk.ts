/**
 * A disk in memory, for tests and for logs that need not outlive their process. It passes the same suite as the real one.
 *
 * Keeps:
 *   - callbacks run as microtasks, never from within the call;
 *   - `image` and `restore` copy everything, so a test can cut, change or lose bytes between two openings.
 */
import { assert, systemClock } from '@dledger-ts/base'
import type { Disk, DiskCallback, DiskFile } from './disk.ts'

/** Content of every file by path. */
export type DiskImage = ReadonlyMap<string, Buffer>

interface Inode {
  bytes: Buffer
  modifiedMs: number
}

export class MemoryDisk implements Disk {
  readonly #files = new Map<string, Inode>()
  readonly #directories = new Set<string>(['/'])
  readonly #nowMs: () => number
  /** For tests: what is told of how full it is. */
  usedPercent = 0

  /** @param nowMs the wall clock. */
  constructor({ nowMs = () => systemClock.nowMs() }: { readonly nowMs?: () => number } = {}) {
    this.#nowMs = nowMs
  }

  openSync(path: string, options: { readonly create: boolean; readonly readOnly?: boolean }): DiskFile {
    let inode = this.#files.get(path)
    if (inode === undefined) {
      if (!options.create || !this.#directories.has(parentOf(path))) throw noSuchFile(path)
      inode = this.#made(Buffer.alloc(0))
      this.#files.set(path, inode)
    }
    return new MemoryFile(path, inode, this.#nowMs)
  }

  existsSync(path: string): boolean {
    return this.#files.has(path) || this.#directories.has(path)
  }

  listSync(directory: string): string[] {
    const paths = [...this.#files.keys(), ...this.#directories]
    return paths
      .filter((path) => path !== '/' && parentOf(path) === directory)
      .map(nameOf)
      .sort()
  }

  makeDirectorySync(directory: string): void {
    for (let path = directory; !this.#directories.has(path); path = parentOf(path)) this.#directories.add(path)
  }

  removeSync(path: string): void {
    if (!this.#files.delete(path)) throw noSuchFile(path)
  }

  renameSync(from: string, to: string): void {
    if (this.#directories.has(from)) return this.#renameDirectory(from, to)
    const inode = this.#files.get(from)
    if (inode === undefined) throw noSuchFile(from)
    this.#files.delete(from)
    this.#files.set(to, inode)
  }

  syncDirectorySync(directory: string): void {
    if (!this.#directories.has(directory)) throw noSuchFile(directory)
  }

  freeBytesSync(): number {
    return Number.POSITIVE_INFINITY
  }

  usedPercentSync(): number {
    return this.usedPercent
  }

  createExclusiveSync(path: string, content: string): string | null {
    const present = this.#files.get(path)
    if (present !== undefined) return present.bytes.toString('utf8')
    this.#files.set(path, this.#made(Buffer.from(content)))
    return null
  }

  /** A copy of everything there is. */
  image(): Map<string, Buffer> {
    return new Map([...this.#files].map(([path, inode]) => [path, Buffer.from(inode.bytes)]))
  }

  /** Makes the files those of an image; open files keep what they had. */
  restore(image: DiskImage): void {
    this.#files.clear()
    for (const [path, bytes] of image) {
      this.makeDirectorySync(parentOf(path))
      this.#files.set(path, this.#made(Buffer.from(bytes)))
    }
  }

  #renameDirectory(from: string, to: string): void {
    const isBelow = (path: string): boolean => path === from || path.startsWith(`${from}/`)
    for (const path of [...this.#directories].filter(isBelow)) {
      this.#directories.delete(path)
      this.#directories.add(to + path.slice(from.length))
    }
    for (const [path, inode] of [...this.#files].filter(([each]) => isBelow(each))) {
      this.#files.delete(path)
      this.#files.set(to + path.slice(from.length), inode)
    }
  }

  #made(bytes: Buffer): Inode {
    return { bytes, modifiedMs: this.#nowMs() }
  }
}

class MemoryFile implements DiskFile {
  readonly path: string
  readonly #inode: Inode
  readonly #nowMs: () => number
  #underWay = 0
  #closed = false

  constructor(path: string, inode: Inode, nowMs: () => number) {
    this.path = path
    this.#inode = inode
    this.#nowMs = nowMs
  }

  write(buffers: readonly Buffer[], at: number, callback: DiskCallback): void {
    this.#later(() => {
      this.#write(Buffer.concat(buffers), at)
      return callback
    })
  }

  read(target: Buffer, at: number, callback: (error: Error | null, bytesRead: number) => void): void {
    this.#later(() => {
      const count = this.readSync(target, at)
      return () => callback(null, count)
    })
  }

  sync(callback: DiskCallback): void {
    this.#later(() => callback)
  }

  /** The effect comes when the operation runs; its callback after the file knows that it has ended. */
  #later(effect: () => DiskCallback): void {
    assert(!this.#closed, 'a closed file is not used')
    this.#underWay++
    queueMicrotask(() => {
      const callback = effect()
      this.#underWay--
      callback(null)
    })
  }

  #write(bytes: Buffer, at: number): void {
    if (at + bytes.length > this.#inode.bytes.length) this.truncateSync(at + bytes.length)
    bytes.copy(this.#inode.bytes, at)
    this.#inode.modifiedMs = this.#nowMs()
  }

  writeSync(bytes: Buffer, at: number): void {
    assert(!this.#closed, 'a closed file is not used')
    this.#write(bytes, at)
  }

  readSync(target: Buffer, at: number): number {
    return at >= this.#inode.bytes.length ? 0 : this.#inode.bytes.copy(target, 0, at)
  }

  syncSync(): void {
    assert(!this.#closed, 'a closed file is not used')
  }

  sizeSync(): number {
    return this.#inode.bytes.length
  }

  modifiedMsSync(): number {
    return this.#inode.modifiedMs
  }

  truncateSync(size: number): void {
    const bytes = Buffer.alloc(size)
    this.#inode.bytes.copy(bytes)
    this.#inode.bytes = bytes
    this.#inode.modifiedMs = this.#nowMs()
  }

  closeSync(): void {
    assert(this.#underWay === 0, 'a file is closed when nothing is under way on it')
    this.#closed = true
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')))
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function noSuchFile(path: string): Error {
  return Object.assign(new Error(`ENOENT: no such file or directory, '${path}'`), { code: 'ENOENT' })
}
