/**
 * A disk that notes in a journal what a power cut may undo, and does everything on another disk.
 *
 * Keeps: no change is made before what it replaces is in the journal; nobody is told that something is durable before the journal
 * says so. So what a test undoes was never promised.
 *
 * Not undone: directories that were made, and the lock file, which carries no promise.
 */
import { linkSync, mkdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Disk, DiskFile } from '@dledger-ts/dledger'
import { type Change, readJournal, ShadowJournal } from './shadow-journal.ts'

type DiskCallback = Parameters<DiskFile['sync']>[0]

interface Shadow {
  readonly journal: ShadowJournal
  readonly directory: string
  /** By inode: numbers of completed changes that no sync covered yet. */
  readonly files: Map<number, Set<number>>
  /** By directory. */
  readonly names: Map<string, Set<number>>
}

/** @param directory where the journal and removed files are kept, on the file system of what is shadowed. */
export function openShadowDisk(disk: Disk, directory: string): Disk {
  mkdirSync(directory, { recursive: true })
  const { pending, next } = readJournal(directory)
  const shadow: Shadow = {
    journal: new ShadowJournal(directory, next),
    directory,
    files: new Map(),
    names: new Map(),
  }
  for (const { number, change } of pending) {
    if ('file' in change) of(shadow.files, change.file).add(number)
    else of(shadow.names, change.directory).add(number)
  }
  return {
    usedPercentSync: (path) => disk.usedPercentSync(path),
    existsSync: (path) => disk.existsSync(path),
    listSync: (path) => disk.listSync(path),
    freeBytesSync: (path) => disk.freeBytesSync(path),
    makeDirectorySync: (path) => disk.makeDirectorySync(path),
    createExclusiveSync: (path, content) => disk.createExclusiveSync(path, content),
    openSync: (path, options) => {
      if (options.create && !disk.existsSync(path)) {
        noteName(shadow, { kind: 'create', directory: dirname(path), path })
      }
      return new ShadowFile(shadow, disk.openSync(path, options), statSync(path).ino)
    },
    removeSync: (path) => {
      noteName(shadow, { kind: 'remove', directory: dirname(path), path, kept: keep(directory, path) })
      disk.removeSync(path)
    },
    renameSync: (from, path) => {
      const kept = disk.existsSync(path) ? keep(directory, path) : null
      noteName(shadow, { kind: 'rename', directory: dirname(path), from, path, kept })
      disk.renameSync(from, path)
    },
    syncDirectorySync: (path) => {
      disk.syncDirectorySync(path)
      settle(shadow, of(shadow.names, path))
    },
  }
}

function keep(directory: string, path: string): string {
  const kept = join(directory, `kept-${process.pid}-${keptCount++}`)
  linkSync(path, kept)
  return kept
}
let keptCount = 0

class ShadowFile implements DiskFile {
  readonly #shadow: Shadow
  readonly #file: DiskFile
  readonly #inode: number
  /** Completed changes that no sync covered yet, of all who have the file open. */
  readonly #unsynced: Set<number>

  constructor(shadow: Shadow, file: DiskFile, inode: number) {
    this.#shadow = shadow
    this.#file = file
    this.#inode = inode
    this.#unsynced = of(shadow.files, inode)
  }

  get path(): string {
    return this.#file.path
  }

  write(buffers: readonly Buffer[], at: number, callback: DiskCallback): void {
    const number = this.#writing(
      at,
      buffers.reduce((sum, buffer) => sum + buffer.length, 0),
    )
    this.#file.write(buffers, at, (error) => {
      this.#unsynced.add(number)
      callback(error)
    })
  }

  read(target: Buffer, at: number, callback: (error: Error | null, bytesRead: number) => void): void {
    this.#file.read(target, at, callback)
  }

  /** Covers what was complete when it began. */
  sync(callback: DiskCallback): void {
    const covered = new Set(this.#unsynced)
    this.#file.sync((error) => {
      if (error === null) this.#settle(covered)
      callback(error)
    })
  }

  writeSync(bytes: Buffer, at: number): void {
    const number = this.#writing(at, bytes.length)
    this.#unsynced.add(number)
    this.#file.writeSync(bytes, at)
  }

  readSync(target: Buffer, at: number): number {
    return this.#file.readSync(target, at)
  }

  syncSync(): void {
    const covered = new Set(this.#unsynced)
    this.#file.syncSync()
    this.#settle(covered)
  }

  sizeSync(): number {
    return this.#file.sizeSync()
  }

  modifiedMsSync(): number {
    return this.#file.modifiedMsSync()
  }

  truncateSync(size: number): void {
    const sizeBefore = this.#file.sizeSync()
    const cut = Buffer.alloc(Math.max(0, sizeBefore - size))
    if (cut.length > 0) this.#file.readSync(cut, size)
    const change: Change = { kind: 'truncate', file: this.#inode, path: this.path, size, sizeBefore }
    this.#unsynced.add(this.#shadow.journal.changing(change, cut))
    this.#file.truncateSync(size)
  }

  closeSync(): void {
    this.#file.closeSync()
  }

  #writing(at: number, size: number): number {
    const sizeBefore = this.#file.sizeSync()
    const before = Buffer.alloc(Math.max(0, Math.min(size, sizeBefore - at)))
    if (before.length > 0) this.#file.readSync(before, at)
    const { path } = this
    return this.#shadow.journal.changing({ kind: 'write', file: this.#inode, path, at, size, sizeBefore }, before)
  }

  #settle(covered: Set<number>): void {
    for (const number of covered) this.#unsynced.delete(number)
    this.#shadow.journal.durable([...covered])
  }
}

function noteName(shadow: Shadow, change: Extract<Change, { directory: string }>): void {
  of(shadow.names, change.directory).add(shadow.journal.changing(change, Buffer.alloc(0)))
}

function settle(shadow: Shadow, numbers: Set<number>): void {
  shadow.journal.durable([...numbers])
  numbers.clear()
}

function of<Key>(sets: Map<Key, Set<number>>, key: Key): Set<number> {
  let set = sets.get(key)
  if (set === undefined) sets.set(key, (set = new Set()))
  return set
}
