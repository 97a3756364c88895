/**
 * Fills the active data file with zeros ahead of the log's end, in the background, so that a sync finds its blocks allocated.
 *
 * Keeps:
 *   Z1  a fill and an append never write the same bytes at the same time: a fill starts behind everything appended, and an
 *       append that runs into a fill under way waits for its end.
 *   Z2  nothing depends on a fill: the bytes are zero with it or without it.
 */
import type { DiskCallback, DiskFile } from '../disk/disk.ts'
import { fileStartOf } from './layout.ts'
import type { SegmentDirectory } from './segment-directory.ts'

const CHUNK_BYTES = 1 << 20
const ZEROS = Buffer.alloc(CHUNK_BYTES)

/** A write of `[at, end)` of a file. */
export interface PlacedWrite {
  readonly file: DiskFile
  readonly buffers: readonly Buffer[]
  readonly at: number
  readonly end: number
  readonly callback: DiskCallback
}

export class ZeroFill {
  readonly #aheadBytes: number
  readonly #fileBytes: number
  readonly #failed: (error: Error) => void
  /** Bounded by what the log's user has under way. */
  readonly #waiting: PlacedWrite[] = []
  #file: DiskFile | null = null
  #filledTo = 0
  #endAt = 0
  #from = 0
  #to = 0
  #underWay: DiskFile | null = null
  #stopped = false

  constructor(aheadBytes: number, fileBytes: number, failed: (error: Error) => void) {
    this.#aheadBytes = aheadBytes
    this.#fileBytes = fileBytes
    this.#failed = failed
  }

  /** The log ends at `endPos` now, counting what is being written. */
  ahead(endPos: number, data: SegmentDirectory): void {
    if (this.#aheadBytes === 0 || this.#stopped) return
    const start = fileStartOf(endPos, this.#fileBytes)
    const file = data.has(start) ? data.file(start) : null
    this.#endAt = endPos - start
    if (file !== this.#file) {
      this.#file = file
      this.#filledTo = this.#endAt
    }
    this.#fill()
  }

  #fill(): void {
    if (this.#file === null || this.#underWay !== null || this.#stopped) return
    const from = Math.max(this.#filledTo, this.#endAt)
    const target = Math.min(this.#endAt + this.#aheadBytes, this.#fileBytes)
    // Whole chunks, or what is left up to the goal if that is less.
    const bytes = Math.min(CHUNK_BYTES, this.#aheadBytes, this.#fileBytes - from)
    if (bytes <= 0 || from + bytes > target) return
    this.#from = from
    this.#to = from + bytes
    this.#filledTo = this.#to
    this.#underWay = this.#file
    this.#file.write([ZEROS.subarray(0, bytes)], from, (error) => {
      this.#underWay = null
      if (error !== null) this.#failed(error)
      for (const write of this.#waiting.splice(0)) write.file.write(write.buffers, write.at, write.callback)
      if (error === null) this.#fill()
    })
  }

  /** Issues a write, at once or when the fill that it would run into is done. */
  writeClear(write: PlacedWrite): void {
    if (this.#underWay === write.file && write.at < this.#to && write.end > this.#from) this.#waiting.push(write)
    else write.file.write(write.buffers, write.at, write.callback)
  }

  /** The log was cut: what is filled is not known any more. */
  forget(): void {
    this.#file = null
  }

  stop(): void {
    this.#stopped = true
  }
}
