/**
 * A disk in memory over an image: opening the same files ten thousand times costs no copy of them.
 *
 * Keeps:
 *   - an image is never changed: what is written is written to pages of the disk's own;
 *   - callbacks run in a later pass of the event loop, never from within the call.
 */
import { dirname } from 'node:path'
import { assert } from '@dledger-ts/base'
import type { Disk, DiskCallback, DiskFile } from '@dledger-ts/dledger/internals'

/** Content up to its last byte that is not zero; zeros from there to `size`. */
export interface FileImage {
  readonly bytes: Buffer
  readonly size: number
}

export type DiskImage = ReadonlyMap<string, FileImage>

class Content {
  #bytes: Buffer
  #isOwn = false
  size: number

  constructor({ bytes, size }: FileImage) {
    this.#bytes = bytes
    this.size = size
  }

  write(source: Buffer, at: number): void {
    const end = at + source.length
    if (end > this.size) this.size = end
    let length = source.length
    // Zeros ahead of what is written stay a hole.
    while (length > 0 && at + length > this.#bytes.length && source[length - 1] === 0) length--
    this.#own(at + length)
    source.copy(this.#bytes, at, 0, length)
  }

  read(target: Buffer, at: number): number {
    const count = Math.max(0, Math.min(target.length, this.size - at))
    const found =
      at < this.#bytes.length ? this.#bytes.copy(target, 0, at, Math.min(this.#bytes.length, at + count)) : 0
    target.fill(0, found, count)
    return count
  }

  truncate(size: number): void {
    if (size < this.#bytes.length) {
      this.#bytes = Buffer.from(this.#bytes.subarray(0, size))
      this.#isOwn = true
    }
    this.size = size
  }

  image(): FileImage {
    let end = this.#bytes.length
    while (end > 0 && this.#bytes[end - 1] === 0) end--
    return { bytes: Buffer.from(this.#bytes.subarray(0, end)), size: this.size }
  }

  #own(length: number): void {
    if (this.#isOwn && length <= this.#bytes.length) return
    const grown = Buffer.alloc(Math.max(length, this.#bytes.length))
    this.#bytes.copy(grown)
    this.#bytes = grown
    this.#isOwn = true
  }
}

export class ImageDisk implements Disk {
  readonly #files = new Map<string, Content>()
  readonly #directories = new Set<string>(['/'])
  /** Told before each change of a name or of bytes. */
  beforeEffect: () => void = () => {}

  constructor(image: DiskImage = new Map()) {
    for (const [path, file] of image) {
      this.makeDirectorySync(dirname(path))
      this.#files.set(path, new Content(file))
    }
  }

  image(): Map<string, FileImage> {
    return new Map([...this.#files].map(([path, content]) => [path, content.image()]))
  }

  openSync(path: string, options: { readonly create: boolean }): DiskFile {
    let content = this.#files.get(path)
    if (content === undefined) {
      if (this.#directories.has(path)) throw Object.assign(new Error(`EISDIR: ${path}`), { code: 'EISDIR' })
      if (!options.create || !this.#directories.has(dirname(path))) throw noSuchFile(path)
      this.beforeEffect()
      content = new Content({ bytes: Buffer.alloc(0), size: 0 })
      this.#files.set(path, content)
    }
    return new ImageFile(path, content, () => this.beforeEffect())
  }

  existsSync(path: string): boolean {
    return this.#files.has(path) || this.#directories.has(path)
  }

  listSync(directory: string): string[] {
    const found: string[] = []
    for (const path of this.#files.keys()) if (dirname(path) === directory) found.push(nameOf(path))
    for (const path of this.#directories) if (path !== '/' && dirname(path) === directory) found.push(nameOf(path))
    return found.sort()
  }

  makeDirectorySync(directory: string): void {
    for (let path = directory; !this.#directories.has(path); path = dirname(path)) this.#directories.add(path)
  }

  removeSync(path: string): void {
    this.beforeEffect()
    if (!this.#files.delete(path)) throw noSuchFile(path)
  }

  renameSync(from: string, to: string): void {
    this.beforeEffect()
    const content = this.#files.get(from)
    if (content === undefined) throw noSuchFile(from)
    this.#files.delete(from)
    this.#files.set(to, content)
  }

  syncDirectorySync(directory: string): void {
    if (!this.#directories.has(directory)) throw noSuchFile(directory)
  }

  freeBytesSync(): number {
    return Number.POSITIVE_INFINITY
  }

  usedPercentSync(): number {
    return 0
  }

  createExclusiveSync(path: string, text: string): string | null {
    const present = this.#files.get(path)
    if (present === undefined) {
      this.beforeEffect()
      const bytes = Buffer.from(text)
      this.#files.set(path, new Content({ bytes, size: bytes.length }))
      return null
    }
    const bytes = Buffer.alloc(present.size)
    present.read(bytes, 0)
    return bytes.toString()
  }
}

class ImageFile implements DiskFile {
  readonly path: string
  readonly #content: Content
  readonly #beforeEffect: () => void
  #underWay = 0
  #closed = false

  constructor(path: string, content: Content, beforeEffect: () => void) {
    this.path = path
    this.#content = content
    this.#beforeEffect = beforeEffect
  }

  write(buffers: readonly Buffer[], at: number, callback: DiskCallback): void {
    this.#beforeEffect()
    this.#later(() => {
      this.#content.write(Buffer.concat(buffers), at)
      return () => callback(null)
    })
  }

  read(target: Buffer, at: number, callback: (error: Error | null, bytesRead: number) => void): void {
    this.#later(() => {
      const count = this.#content.read(target, at)
      return () => callback(null, count)
    })
  }

  sync(callback: DiskCallback): void {
    this.#later(() => () => callback(null))
  }

  writeSync(bytes: Buffer, at: number): void {
    this.#use()
    this.#beforeEffect()
    this.#content.write(bytes, at)
  }

  readSync(target: Buffer, at: number): number {
    this.#use()
    return this.#content.read(target, at)
  }

  syncSync(): void {
    this.#use()
  }

  sizeSync(): number {
    return this.#content.size
  }

  /** Long ago. */
  modifiedMsSync(): number {
    return 1
  }

  truncateSync(size: number): void {
    this.#use()
    this.#beforeEffect()
    this.#content.truncate(size)
  }

  closeSync(): void {
    assert(this.#underWay === 0, 'a file is closed when nothing is under way on it')
    this.#closed = true
  }

  #later(effect: () => () => void): void {
    this.#use()
    this.#underWay++
    setImmediate(() => {
      const tell = effect()
      this.#underWay--
      tell()
    })
  }

  #use(): void {
    assert(!this.#closed, 'a closed file is not used')
  }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function noSuchFile(path: string): Error {
  return Object.assign(new Error(`ENOENT: no such file or directory, '${path}'`), { code: 'ENOENT' })
}
