/**
 * One open file of the log: a `DiskFile` that counts what is under way on it, so that it can be removed at any time and is
 * closed when the last operation has ended.
 */
import { writeQuickly } from '../disk/background.ts'
import type { DiskCallback, DiskFile } from '../disk/disk.ts'

export class SegmentFile {
  /** Position in the log (or byte of the index) of its first byte. */
  readonly start: number
  readonly #file: DiskFile
  #underWay = 0
  #closing = false

  constructor(file: DiskFile, start: number) {
    this.#file = file
    this.start = start
  }

  write(buffers: readonly Buffer[], at: number, callback: DiskCallback): void {
    this.#underWay++
    this.#file.write(buffers, at, (error) => {
      this.#ended()
      callback(error)
    })
  }

  /** The same, of what lies behind bytes that were written or read just now, so that its pages are in memory. */
  append(buffers: readonly Buffer[], at: number, callback: DiskCallback): void {
    this.#underWay++
    writeQuickly(this.#file, buffers, at, (error) => {
      this.#ended()
      callback(error)
    })
  }

  /** Fills `target`, with zeros where the file has nothing. */
  read(target: Buffer, at: number, callback: DiskCallback): void {
    this.#underWay++
    this.#file.read(target, at, (error, count) => {
      this.#ended()
      if (error === null) target.fill(0, count)
      callback(error)
    })
  }

  sync(callback: DiskCallback): void {
    this.#underWay++
    this.#file.sync((error) => {
      this.#ended()
      callback(error)
    })
  }

  readSync(target: Buffer, at: number): void {
    target.fill(0, this.#file.readSync(target, at))
  }

  writeSync(bytes: Buffer, at: number): void {
    this.#file.writeSync(bytes, at)
  }

  syncSync(): void {
    this.#file.syncSync()
  }

  modifiedMsSync(): number {
    return this.#file.modifiedMsSync()
  }

  sizeSync(): number {
    return this.#file.sizeSync()
  }

  truncateSync(size: number): void {
    this.#file.truncateSync(size)
  }

  close(): void {
    this.#closing = true
    if (this.#underWay === 0) this.#file.closeSync()
  }

  #ended(): void {
    this.#underWay--
    if (this.#closing && this.#underWay === 0) this.#file.closeSync()
  }
}
