/**
 * Fills the active data file with zeros ahead of the log's end, in the background, so that a sync finds its blocks allocated.
 *
 * Keeps:
 *   Z1  a fill and an append never write the same bytes at the same time: a fill starts behind everything appended, and an
 *       append that runs into a fill under way waits for its end.
 *   Z3  what is filled is claimed: an append that lies within finds room, however full the disk is.
 *   Z2  nothing depends on a fill: the bytes are zero with it or without it.
 */
import { isDiskFull } from '../disk/disk.ts'
import type { SegmentDirectory } from './segment-directory.ts'
import type { SegmentFile } from './segment-file.ts'

const CHUNK_BYTES = 1 << 20
const PARTS = 4
const ZEROS = Buffer.alloc(CHUNK_BYTES)

export interface ZeroFillOptions {
  /** How far ahead of the end; 0: not at all. */
  readonly aheadBytes: number
  readonly data: SegmentDirectory
  /** A fill has ended: appends that waited may go. */
  readonly ended: (error: Error | null) => void
}

export class ZeroFill {
  readonly #options: ZeroFillOptions
  #file: SegmentFile | null = null
  #filledTo = 0
  #endAt = 0
  /** The fill under way: `[from, to)` of a file. */
  #underWay: SegmentFile | null = null
  #from = 0
  #to = 0
  #stopped = false
  /** The disk had no room for the last fill: it waits for `retry`. */
  #full = false
  #mayRetry = false
  /** False: nothing is filled for now. Where the log ends is followed all the same (Z1). */
  mayFill = true

  constructor(options: ZeroFillOptions) {
    this.#options = options
  }

  /** There is no room for more than what is filled already: that is the reserve for the log's own entries. */
  get isFull(): boolean {
    return this.#full
  }

  retry(): void {
    if (!this.#full || !this.mayFill) return
    this.#mayRetry = true
    this.#fill()
    if (this.#underWay !== null) return
    // There is nothing to fill any more.
    this.#mayRetry = false
    this.#full = false
  }

  /** Whether `[…, to)` of the file is filled already, so that a write there finds room. */
  holds(file: SegmentFile, to: number): boolean {
    return file === this.#file && to <= this.#filledTo
  }

  /** The log ends at `endPos` now, counting what is being written. */
  ahead(endPos: number): void {
    if (this.#options.aheadBytes === 0 || this.#stopped) return
    const file = this.#options.data.fileOf(endPos)
    // It ends with its file: nothing is left to fill there.
    if (file === null) return this.forget()
    if (file !== this.#file) this.#filledTo = 0
    this.#file = file
    this.#endAt = endPos - file.start
    this.#fill()
  }

  #fill(): void {
    if (this.#file === null || this.#underWay !== null || this.#stopped || !this.mayFill) return
    if (this.#full && !this.#mayRetry) return
    const { aheadBytes, data } = this.#options
    const from = Math.max(this.#filledTo, this.#endAt)
    // In parts, so that most of what is wanted ahead is there when the disk has no room for the next part.
    const bytes = Math.min(CHUNK_BYTES, Math.ceil(aheadBytes / PARTS), data.fileBytes - from)
    if (bytes <= 0 || from + bytes > this.#endAt + aheadBytes) return
    this.#from = from
    this.#to = from + bytes
    this.#filledTo = this.#to
    const file = this.#file
    this.#underWay = file
    file.write([ZEROS.subarray(0, bytes)], from, (error) => {
      this.#underWay = null
      const isFull = error !== null && isDiskFull(error)
      this.#mayRetry = false
      this.#full = isFull
      if (isFull && this.#file === file) this.#filledTo = from
      this.#options.ended(isFull ? null : error)
      if (error === null) this.#fill()
    })
  }

  /** Is no fill under way in `[from, to)` of a file? */
  isClear(file: SegmentFile, from: number, to: number): boolean {
    return this.#underWay !== file || to <= this.#from || from >= this.#to
  }

  /** The log was cut: what is filled is not known any more. */
  forget(): void {
    this.#file = null
    this.#full = false
  }

  stop(): void {
    this.#stopped = true
  }
}
