/**
 * Shares out the syncs of one device among many files: a limited number is under way at once.
 *
 * The threads that sync are the ones that read and write, and few; each file of a hundred groups syncing at will would leave
 * none of them for anything else. What waits for a file shares its next sync.
 *
 * Keeps:
 *   S1  a request is answered by a sync of its file that began after it, with that sync's own outcome.
 *   S2  urgent files come first; otherwise files are synced in the order in which they asked.
 *   S3  at most `syncsAtOnce` are under way, and one of each file.
 */
import { assert } from '@dledger-ts/base'
import { writeQuickly } from './background.ts'
import type { Disk, DiskCallback, DiskFile } from './disk.ts'

export interface FlusherOptions {
  readonly syncsAtOnce: number
  /** Of what elections wait for. */
  readonly isUrgent: (path: string) => boolean
}

interface Waiting {
  readonly file: DiskFile
  readonly callbacks: DiskCallback[]
}

export class Flusher {
  readonly #options: FlusherOptions
  readonly #urgent = new Map<DiskFile, Waiting>()
  readonly #ordinary = new Map<DiskFile, Waiting>()
  readonly #underWay = new Set<DiskFile>()

  constructor(options: FlusherOptions) {
    assert(options.syncsAtOnce >= 1, 'a flusher syncs one file at once, at least')
    this.#options = options
  }

  /** The same disk, with syncs of its open files in turn. The synchronous ones, for opening and truncation, go ahead. */
  disk(disk: Disk): Disk {
    return {
      openSync: (path, options) => new FlushedFile(disk.openSync(path, options), this),
      existsSync: (path) => disk.existsSync(path),
      listSync: (directory) => disk.listSync(directory),
      makeDirectorySync: (directory) => disk.makeDirectorySync(directory),
      removeSync: (path) => disk.removeSync(path),
      renameSync: (from, to) => disk.renameSync(from, to),
      syncDirectorySync: (directory) => disk.syncDirectorySync(directory),
      usedPercentSync: (directory) => disk.usedPercentSync(directory),
      freeBytesSync: (directory) => disk.freeBytesSync(directory),
      createExclusiveSync: (path, content) => disk.createExclusiveSync(path, content),
    }
  }

  /** @internal */
  sync(file: DiskFile, callback: DiskCallback): void {
    const line = this.#options.isUrgent(file.path) ? this.#urgent : this.#ordinary
    const waiting = line.get(file)
    if (waiting === undefined) line.set(file, { file, callbacks: [callback] })
    else waiting.callbacks.push(callback)
    this.#begin()
  }

  #begin(): void {
    while (this.#underWay.size < this.#options.syncsAtOnce) {
      const next = this.#takeFrom(this.#urgent) ?? this.#takeFrom(this.#ordinary)
      if (next === null) return
      const { file, callbacks } = next
      this.#underWay.add(file)
      file.sync((error) => {
        this.#underWay.delete(file)
        // Before the callbacks, which take their time and may ask for more.
        this.#begin()
        for (const callback of callbacks) callback(error)
      })
    }
  }

  /** The first whose file is not being synced now; it is written to meanwhile, so it may ask again before that has ended. */
  #takeFrom(line: Map<DiskFile, Waiting>): Waiting | null {
    for (const waiting of line.values()) {
      if (this.#underWay.has(waiting.file)) continue
      line.delete(waiting.file)
      return waiting
    }
    return null
  }
}

class FlushedFile implements DiskFile {
  readonly path: string
  readonly #file: DiskFile
  readonly #flusher: Flusher
  #syncing = 0

  constructor(file: DiskFile, flusher: Flusher) {
    this.path = file.path
    this.#file = file
    this.#flusher = flusher
  }

  write(buffers: readonly Buffer[], at: number, callback: DiskCallback): void {
    this.#file.write(buffers, at, callback)
  }

  writeQuickly(buffers: readonly Buffer[], at: number, callback: DiskCallback): void {
    writeQuickly(this.#file, buffers, at, callback)
  }

  read(target: Buffer, at: number, callback: (error: Error | null, bytesRead: number) => void): void {
    this.#file.read(target, at, callback)
  }

  sync(callback: DiskCallback): void {
    this.#syncing++
    this.#flusher.sync(this.#file, (error) => {
      this.#syncing--
      callback(error)
    })
  }

  writeSync(bytes: Buffer, at: number): void {
    this.#file.writeSync(bytes, at)
  }

  readSync(target: Buffer, at: number): number {
    return this.#file.readSync(target, at)
  }

  syncSync(): void {
    this.#file.syncSync()
  }

  sizeSync(): number {
    return this.#file.sizeSync()
  }

  modifiedMsSync(): number {
    return this.#file.modifiedMsSync()
  }

  truncateSync(size: number): void {
    this.#file.truncateSync(size)
  }

  closeSync(): void {
    assert(this.#syncing === 0, 'a file is closed when nothing is under way on it')
    this.#file.closeSync()
  }
}
