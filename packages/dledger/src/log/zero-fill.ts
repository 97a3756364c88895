/**
 * Fills the active data file with zeros ahead of the log's end, in the background, so that a sync finds its blocks allocated.
 *
 * Keeps:
 *   Z1  a fill and an append never write the same bytes at the same time: a fill starts behind everything appended, and an
 *       append that runs into a fill under way waits for its end.
 *   Z2  nothing depends on a fill: the bytes are zero with it or without it.
 */
import type { SegmentDirectory } from './segment-directory.ts'
import type { SegmentFile } from './segment-file.ts'

const CHUNK_BYTES = 1 << 20
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

  constructor(options: ZeroFillOptions) {
    this.#options = options
  }

  /** The log ends at `endPos` now, counting what is being written. */
  ahead(endPos: number): void {
    if (this.#options.aheadBytes === 0 || this.#stopped) return
    const file = this.#options.data.fileOf(endPos)
    if (file === null) return
    if (file !== this.#file) this.#filledTo = 0
    this.#file = file
    this.#endAt = endPos - file.start
    this.#fill()
  }

  #fill(): void {
    if (this.#file === null || this.#underWay !== null || this.#stopped) return
    const { aheadBytes, data } = this.#options
    const from = Math.max(this.#filledTo, this.#endAt)
    const bytes = Math.min(CHUNK_BYTES, aheadBytes, data.fileBytes - from)
    if (bytes <= 0 || from + bytes > this.#endAt + aheadBytes) return
    this.#from = from
    this.#to = from + bytes
    this.#filledTo = this.#to
    this.#underWay = this.#file
    this.#file.write([ZEROS.subarray(0, bytes)], from, (error) => {
      this.#underWay = null
      this.#options.ended(error)
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
  }

  stop(): void {
    this.#stopped = true
  }
}
