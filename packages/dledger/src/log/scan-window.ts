/**
 * Reads the files of a log forward in large pieces, for recovery: small requests are answered from one buffer.
 */
import { assert, crc32 } from '@dledger-ts/base'
import type { SegmentDirectory } from './segment-directory.ts'

const WINDOW_BYTES = 1 << 18

export class ScanWindow {
  readonly #segments: SegmentDirectory
  readonly #buffer = Buffer.allocUnsafe(WINDOW_BYTES)
  #from = 0
  #to = 0

  constructor(segments: SegmentDirectory) {
    this.#segments = segments
  }

  /** The bytes at `pos`, valid until the next call; zeros where nothing was written. */
  bytes(pos: number, length: number): Buffer {
    assert(length <= WINDOW_BYTES, 'a request fits in the window')
    if (pos < this.#from || pos + length > this.#to) {
      // Not past this file: the next one may not exist.
      const { fileBytes } = this.#segments
      const count = Math.max(length, Math.min(WINDOW_BYTES, fileBytes - (pos % fileBytes)))
      this.forget()
      this.#segments.readSync(pos, this.#buffer.subarray(0, count))
      this.#from = pos
      this.#to = pos + count
    }
    return this.#buffer.subarray(pos - this.#from, pos - this.#from + length)
  }

  /** What is asked for next is read anew. */
  forget(): void {
    this.#to = this.#from
  }

  /** CRC-32 of a range of any length. */
  crc(pos: number, length: number): number {
    let crc = 0
    for (let done = 0; done < length;) {
      const part = this.bytes(pos + done, Math.min(WINDOW_BYTES, length - done))
      crc = crc32(part, 0, part.length, crc)
      done += part.length
    }
    return crc
  }
}
