/**
 * The disk as one process sees it: dledger's `Disk` over a simulated drive.
 *
 * Keeps:
 *   - Callbacks come later, in an order of their own, and never to a process that died since.
 *   - A sync covers what had reached the page cache when it was asked for, no more.
 *   - After a failed write or sync everything on that file fails with the first error.
 *   - `beforeEffect` is called before each effect on the drive and may end the process there by throwing.
 */
import { basename, dirname } from 'node:path'
import { assert } from '@dledger-ts/base'
import type { BackgroundDisk, Disk, DiskCallback, DiskFile } from '@dledger-ts/dledger/internals'
import type { PlantedDiskFault } from './planted.ts'
import { EPOCH_MS, type EventQueue, type Process, US_PER_MS } from './sim-clock.ts'
import type { NamedThing, SimDrive, WriteUnderWay } from './sim-drive.ts'
import type { Inode } from './sim-inode.ts'

const FILE_AGE_MS_MAX = 4_000
const LOG_FILE = /\/(data|index)\/\d{20}$/

/** Thrown through production code to end a process between two effects. */
export class ProcessDied extends Error {
  constructor() {
    super('the simulated process died here')
  }
}

export interface SimDiskOptions {
  readonly drive: SimDrive
  readonly events: EventQueue
  readonly owner: Process
  readonly planted: ReadonlySet<PlantedDiskFault>
  readonly beforeEffect: () => void
}

export class SimDisk implements Disk {
  readonly #options: SimDiskOptions
  readonly #incarnation: number

  constructor(options: SimDiskOptions) {
    this.#options = options
    this.#incarnation = options.owner.incarnation
  }

  openSync(path: string, options: { readonly create: boolean; readonly readOnly?: boolean }): DiskFile {
    this.#alive()
    const { drive } = this.#options
    let thing = drive.names.get(path)
    if (drive.missing.has(path) && !options.create) throw noSuchFile('open', path)
    // Made anew, it is a file that was cut to nothing.
    drive.missing.delete(path)
    if (thing === undefined) {
      if (!options.create) throw noSuchFile('open', path)
      this.#effect()
      if (drive.refusesNames && LOG_FILE.test(path)) throw noRoom('open')
      this.#requireDirectory(dirname(path))
      thing = drive.newInode()
      drive.changeNames(dirname(path), [[path, thing]])
    }
    if (thing === 'directory') throw Object.assign(new Error(`EISDIR: ${path}`), { code: 'EISDIR' })
    return new SimFile(this.#options, this.#incarnation, path, thing, options.readOnly === true)
  }

  existsSync(path: string): boolean {
    this.#alive()
    return this.#options.drive.names.has(path) && !this.#options.drive.missing.has(path)
  }

  listSync(directory: string): string[] {
    this.#alive()
    const found: string[] = []
    for (const path of this.#options.drive.names.keys()) {
      if (path !== '/' && dirname(path) === directory && !this.#options.drive.missing.has(path))
        found.push(basename(path))
    }
    return found.sort()
  }

  makeDirectorySync(directory: string): void {
    this.#alive()
    if (this.#options.drive.names.has(directory)) return
    const parent = dirname(directory)
    if (!this.#options.drive.names.has(parent)) this.makeDirectorySync(parent)
    this.#effect()
    this.#options.drive.changeNames(parent, [[directory, 'directory']])
  }

  removeSync(path: string): void {
    this.#effect()
    if (!this.#options.drive.names.has(path)) throw noSuchFile('unlink', path)
    this.#options.drive.changeNames(dirname(path), [[path, null]])
  }

  renameSync(from: string, to: string): void {
    this.#effect()
    const { names } = this.#options.drive
    if (!names.has(from)) throw noSuchFile('rename', from)
    this.#requireDirectory(dirname(to))
    const changes: [string, NamedThing | null][] = []
    for (const [path, thing] of names) {
      if (path !== from && !path.startsWith(`${from}/`)) continue
      changes.push([path, null], [to + path.slice(from.length), thing])
    }
    this.#options.drive.changeNames(dirname(to), changes)
  }

  syncDirectorySync(directory: string): void {
    this.#effect()
    this.#requireDirectory(directory)
    const error = this.#options.drive.errorOf('sync')
    if (error !== null) throw error
    if (this.#options.planted.has('directory-sync-omitted')) return
    this.#options.drive.syncDirectory(directory)
  }

  usedPercentSync(): number {
    this.#alive()
    return this.#options.drive.usedPercent
  }

  freeBytesSync(): number {
    this.#alive()
    return this.#options.drive.freeBytes
  }

  createExclusiveSync(path: string, content: string): string | null {
    this.#effect()
    const { drive } = this.#options
    const thing = drive.names.get(path)
    if (thing !== undefined && thing !== 'directory') {
      const present = Buffer.alloc(thing.cacheBytes)
      thing.cache.read(present, 0)
      return present.toString()
    }
    this.#requireDirectory(dirname(path))
    const inode = drive.newInode()
    drive.changeNames(dirname(path), [[path, inode]])
    inode.write(Buffer.from(content), 0)
    return null
  }

  readonly background: BackgroundDisk = {
    open: (path, options, callback) => this.#later('open', () => this.openSync(path, options), callback),
    makeDirectory: (directory, callback) =>
      this.#later('make directory', () => this.makeDirectorySync(directory), callback),
    list: (directory, callback) =>
      this.#later(
        'list',
        () => this.listSync(directory),
        (error, names) => callback(error, names ?? []),
      ),
    remove: (path, callback) => this.#later('remove', () => this.removeSync(path), callback),
    removeDirectory: (directory, callback) => this.#later('remove', () => this.#removeDirectory(directory), callback),
  }

  /** Happens, and is told, after a while, if the process still lives. */
  #later<Result>(
    kind: string,
    work: () => Result,
    callback: (error: Error | null, result: Result | null) => void,
  ): void {
    this.#alive()
    const { drive, events, owner } = this.#options
    const tookUs = (20 + drive.decisions.below(kind, drive.id, drive.operations++, 400)) * drive.slowness
    const happen = (): void => {
      events.schedule(0, kind, owner, () => {
        let result: Result
        try {
          result = work()
        } catch (error) {
          if (error instanceof ProcessDied || !(error instanceof Error)) throw error
          return callback(error, null)
        }
        callback(null, result)
      })
    }
    events.schedule(tookUs, kind, null, () => {
      if (this.#incarnation === owner.incarnation) drive.whenAnswering(kind, happen)
    })
  }

  #removeDirectory(directory: string): void {
    this.#effect()
    this.#requireDirectory(directory)
    if (this.listSync(directory).length > 0) throw Object.assign(new Error('ENOTEMPTY'), { code: 'ENOTEMPTY' })
    this.#options.drive.changeNames(dirname(directory), [[directory, null]])
  }

  #alive(): void {
    if (this.#incarnation !== this.#options.owner.incarnation) throw new ProcessDied()
  }

  #effect(): void {
    this.#alive()
    this.#options.beforeEffect()
  }

  #requireDirectory(directory: string): void {
    if (this.#options.drive.names.get(directory) !== 'directory') throw noSuchFile('open', directory)
  }
}

class SimFile implements DiskFile {
  readonly path: string
  readonly #options: SimDiskOptions
  readonly #incarnation: number
  readonly #inode: Inode
  readonly #readOnly: boolean
  #poison: Error | null = null
  #underWay = 0
  #closed = false

  constructor(options: SimDiskOptions, incarnation: number, path: string, inode: Inode, readOnly: boolean) {
    this.#options = options
    this.#incarnation = incarnation
    this.path = path
    this.#inode = inode
    this.#readOnly = readOnly
  }

  write(buffers: readonly Buffer[], at: number, callback: DiskCallback): void {
    this.#effect()
    assert(!this.#readOnly, 'a read-only file is not written')
    const { drive } = this.#options
    const write: WriteUnderWay = { inode: this.#inode, bytes: buffers, at, done: false }
    drive.writesUnderWay.add(write)
    this.#later('write', 20, 180, callback, () => {
      if (write.done) return null
      write.done = true
      drive.writesUnderWay.delete(write)
      // The bytes are taken now and not when asked: a caller that changes them meanwhile is found out.
      const bytes = Buffer.concat(buffers)
      if (this.#poison !== null) return this.#poison
      const error = drive.errorOf('write')
      if (error !== null && this.#options.planted.has('write-error-ignored')) return null
      if (error !== null) {
        if (!isNoRoom(error)) this.#poison = error
        const kept = drive.decisions.below('failed write', drive.id, drive.operations++, bytes.length + 1)
        if (kept > 0) this.#inode.write(bytes.subarray(0, kept), at)
        return error
      }
      // What finds room in the first copy may find none in the second.
      const keeps = basename(this.path) === 'hard-state' && drive.writesElsewhere
      const room = keeps
        ? drive.decisions.below('room', drive.id, drive.operations++, 2) * bytes.length
        : drive.isFull
          ? this.#inode.roomAt(at, bytes.length)
          : bytes.length
      if (room > 0) this.#inode.write(bytes.subarray(0, room), at)
      return room < bytes.length ? noRoom() : null
    })
  }

  read(target: Buffer, at: number, callback: (error: Error | null, bytesRead: number) => void): void {
    this.#alive()
    let bytesRead = 0
    this.#later(
      'read',
      20,
      200,
      (error) => callback(error, error === null ? bytesRead : 0),
      () => {
        if (this.#poison !== null) return this.#poison
        const read = this.#readNow(target, at)
        if (typeof read !== 'number') return read
        bytesRead = read
        return null
      },
    )
  }

  sync(callback: DiskCallback): void {
    this.#effect()
    const { drive } = this.#options
    const covered = this.#inode.sequence
    const incarnation = this.#incarnation
    const slow = drive.decisions.chance('slow sync', drive.id, drive.operations, 20)
    this.#later('sync', 150, slow ? 60_000 : 3_000, callback, () => {
      // A power loss meanwhile has decided about these changes already.
      if (incarnation !== this.#options.owner.incarnation) return null
      const error = this.#poison ?? drive.errorOf('sync')
      if (error !== null) {
        this.#poison ??= error
        this.#inode.syncFailed(covered)
        return error
      }
      if (!this.#options.planted.has('file-sync-omitted')) this.#inode.synced(covered)
      return null
    })
  }

  writeSync(bytes: Buffer, at: number): void {
    try {
      this.#effect()
    } catch (error) {
      if (error instanceof ProcessDied && this.#incarnation + 1 === this.#options.owner.incarnation)
        this.#tear(bytes, at)
      throw error
    }
    this.#mayWrite()
    this.#orPoison(this.#options.drive.errorOf('write'))
    if (this.#options.planted.has('cut-bytes-not-zeroed') && bytes.every((byte) => byte === 0)) return
    const room = this.#options.drive.isFull ? this.#inode.roomAt(at, bytes.length) : bytes.length
    if (room > 0) this.#inode.write(Buffer.from(bytes.subarray(0, room)), at)
    if (room < bytes.length) throw noRoom()
  }

  readSync(target: Buffer, at: number): number {
    this.#alive()
    this.#orPoison(null)
    const read = this.#readNow(target, at)
    // What cannot be read may be read later: it poisons nothing.
    if (typeof read !== 'number') throw read
    return read
  }

  syncSync(): void {
    this.#effect()
    this.#orPoison(null)
    const error = this.#options.drive.errorOf('sync')
    if (error !== null) this.#inode.syncFailed(this.#inode.sequence)
    this.#orPoison(error)
    if (!this.#options.planted.has('file-sync-omitted')) this.#inode.synced(this.#inode.sequence)
  }

  sizeSync(): number {
    this.#alive()
    return this.#inode.cutAt ?? this.#inode.cacheBytes
  }

  /** Any time up to now: whoever copies or restores files sets it. */
  modifiedMsSync(): number {
    this.#alive()
    const { drive, events } = this.#options
    const ageMs = drive.decisions.below('age of a file', drive.id, drive.looks++, FILE_AGE_MS_MAX)
    return EPOCH_MS + Math.floor(events.nowUs / US_PER_MS) - ageMs
  }

  truncateSync(size: number): void {
    this.#effect()
    this.#mayWrite()
    this.#orPoison(this.#options.drive.errorOf('write'))
    if (this.#options.planted.has('cut-bytes-not-zeroed') && size < this.#inode.cacheBytes) return
    this.#inode.truncate(size)
  }

  closeSync(): void {
    this.#alive()
    assert(this.#underWay === 0, 'a file is closed when nothing is under way on it')
    this.#closed = true
  }

  /** @returns how many bytes were read, or why none could be. */
  #readNow(target: Buffer, at: number): number | Error {
    const count = Math.max(0, Math.min(target.length, this.#inode.cacheBytes - at))
    const error = this.#options.drive.errorOfRead(this.#inode, at, count)
    if (error !== null && !this.#options.planted.has('read-error-ignored')) return error
    if (error === null) this.#inode.read(target.subarray(0, count), at)
    else target.fill(0, 0, count)
    return count
  }

  /** Runs `effect` on the drive after a while, then, after another, tells the process if it still lives. */
  #later(kind: string, leastUs: number, mostUs: number, callback: DiskCallback, effect: () => Error | null): void {
    assert(!this.#closed, 'a closed file is not used')
    const { drive, events, owner } = this.#options
    const operation = drive.operations++
    const tookUs = (leastUs + drive.decisions.below(kind, drive.id, operation, mostUs - leastUs)) * drive.slowness
    this.#underWay++
    const asked = { atUs: events.nowUs }
    drive.askedFor.add(asked)
    const happen = (): void => {
      const error = effect()
      if (this.#incarnation !== owner.incarnation) return
      events.schedule(drive.decisions.below('told', drive.id, operation, 60), 'disk', owner, () => {
        this.#underWay--
        drive.askedFor.delete(asked)
        callback(error)
      })
    }
    events.schedule(tookUs, kind, null, () => drive.whenAnswering(kind, happen))
  }

  /** A write that the end of the process interrupted. */
  #tear(bytes: Buffer, at: number): void {
    const { drive } = this.#options
    const kept = drive.decisions.below('torn write', drive.id, drive.operations++, bytes.length + 1)
    if (kept > 0) this.#inode.write(Buffer.from(bytes.subarray(0, kept)), at)
  }

  #alive(): void {
    if (this.#incarnation !== this.#options.owner.incarnation) throw new ProcessDied()
  }

  #effect(): void {
    this.#alive()
    this.#options.beforeEffect()
  }

  #mayWrite(): void {
    assert(!this.#readOnly, 'a read-only file is not written')
    assert(!this.#closed, 'a closed file is not used')
    this.#orPoison(null)
  }

  #orPoison(error: Error | null): void {
    if (error !== null) this.#poison ??= error
    // The first error, with the stack of the call that it fails.
    if (this.#poison !== null) throw new Error(this.#poison.message, { cause: this.#poison })
  }
}

function noSuchFile(what: string, path: string): Error {
  return Object.assign(new Error(`ENOENT: no such file or directory, ${what} '${path}'`), { code: 'ENOENT' })
}

function noRoom(operation = 'write'): Error {
  return Object.assign(new Error(`ENOSPC: no space left on device, ${operation}`), { code: 'ENOSPC' })
}

/** Poisons nothing: the write may be tried again. */
function isNoRoom(error: Error): boolean {
  return 'code' in error && error.code === 'ENOSPC'
}
