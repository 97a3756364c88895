/**
 * Writes that go one after another: what waits while one is under way shares the next vectored write.
 *
 * Keeps:
 *   A1  one write is under way at a time and writes start in order, so a killed process leaves a prefix of them.
 *   A2  callbacks come in the order of the pushes; after a failure every one of them gets that error.
 */
import { assert } from '@dledger-ts/base'
import type { DiskCallback } from '../disk/disk.ts'
import type { SegmentFile } from './segment-file.ts'

/** Buffers of one vectored write at most (IOV_MAX of Linux) and bytes, unless the first alone has more. */
const WRITE_BUFFERS_MAX = 1024
const WRITE_BYTES_MAX = 16 << 20

export interface LaneWrite {
  readonly file: SegmentFile
  /** Byte of the file. */
  readonly at: number
  readonly bytes: number
  readonly buffers: readonly Buffer[]
  readonly done: DiskCallback
}

/** Says whether `[from, to)` of a file may be written now; where it says no, `resume` is called later. */
export type MayWrite = (file: SegmentFile, from: number, to: number) => boolean

export class WriteLane {
  readonly #mayWrite: MayWrite
  /** Bounded by what the log's user has under way. */
  #waiting: LaneWrite[] = []
  #underWay = false
  #failure: Error | null = null

  constructor(mayWrite: MayWrite) {
    this.#mayWrite = mayWrite
  }

  push(write: LaneWrite): void {
    this.#waiting.push(write)
    this.resume()
  }

  /** Nothing more is written: the file closes behind the write under way. What waits gets this error. */
  stop(error: Error): void {
    this.#failure ??= error
    if (this.#underWay) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const write of waiting) write.done(this.#failure)
  }

  /** Hot: starts what waits, if nothing is under way. */
  resume(): void {
    const first = this.#waiting[0]
    if (this.#underWay || first === undefined) return
    const count = this.#mergeable(first)
    const taken = this.#waiting.slice(0, count)
    const last = taken[count - 1] as LaneWrite
    if (!this.#mayWrite(first.file, first.at, last.at + last.bytes)) return
    this.#waiting = this.#waiting.slice(count)
    this.#underWay = true
    const buffers = count === 1 ? first.buffers : taken.flatMap((write) => write.buffers)
    first.file.write(buffers, first.at, (error) => this.#ended(taken, error))
  }

  /** How many of the waiting writes lie one behind another in one file. */
  #mergeable(first: LaneWrite): number {
    let count = 1
    let end = first.at + first.bytes
    let buffers = first.buffers.length
    for (; count < this.#waiting.length; count++) {
      const next = this.#waiting[count] as LaneWrite
      if (next.file !== first.file) break
      assert(next.at === end, 'writes to one file follow one another')
      end += next.bytes
      buffers += next.buffers.length
      if (buffers > WRITE_BUFFERS_MAX || end - first.at > WRITE_BYTES_MAX) break
    }
    return count
  }

  #ended(taken: LaneWrite[], error: Error | null): void {
    this.#underWay = false
    this.#failure ??= error
    let told = taken
    if (this.#failure === null) this.resume()
    else {
      told = [...taken, ...this.#waiting]
      this.#waiting = []
    }
    for (const write of told) write.done(this.#failure)
  }
}
