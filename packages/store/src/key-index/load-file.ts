/** Reading an index file through: to go on with it, or to see whether it is still what was written. A window at a time. */
import { type Clock, crc32 } from '@dledger-ts/base'
import { IndexBuilder } from './builder.ts'
import type { IndexFile } from './index-file.ts'
import { entryAt, INDEX_ENTRY_BYTES, INDEX_SLOT_BYTES, slotAt } from './layout.ts'

const WINDOW_ENTRIES = 50_000
const WINDOW_SLOTS = 256 * 1024

/**
 * Reads the entries of a file that is open and makes its slots again.
 *
 * @param callback gets null when the file does not hold what was written.
 */
export function loadBuilder(file: IndexFile, callback: (builder: IndexBuilder | null) => void): void {
  const builder = new IndexBuilder(file.shape)
  const to = file.header.entryCount
  const next = (number: number, crc: number): void => {
    if (number === to) {
      if (crc !== file.written.entriesCrc) return callback(null)
      builder.takenUp(file.written)
      return callback(builder)
    }
    const count = Math.min(WINDOW_ENTRIES, to - number)
    file.read(entryAt(file.shape, number), count * INDEX_ENTRY_BYTES, (error, bytes) => {
      if (error !== null || bytes === null || !builder.takeUp(bytes)) callback(null)
      else next(number + count, crc32(bytes, 0, bytes.length, crc))
    })
  }
  next(1, 0)
}

export interface CheckOptions {
  readonly clock: Clock
  /** What is read in a second at most. */
  readonly bytesPerSecond: number
  /** Asked between two reads; nobody is told anything when it is over. */
  readonly isOver: () => boolean
}

/** Compares a sealed file with its checksums. @param callback gets whether it is whole. */
export function checkSealed(file: IndexFile, options: CheckOptions, callback: (isWhole: boolean) => void): void {
  const { shape, header } = file
  const check = (at: number, end: number, window: number, crc: number, done: (crc: number) => void): void => {
    if (options.isOver()) return
    if (at === end) return done(crc)
    const size = Math.min(window, end - at)
    file.read(at, size, (error, bytes) => {
      if (options.isOver()) return
      if (error !== null || bytes === null) return callback(false)
      const pauseMs = (1000 * size) / options.bytesPerSecond
      const crcSoFar = crc32(bytes, 0, size, crc)
      options.clock.after(pauseMs, () => check(at + size, end, window, crcSoFar, done))
    })
  }
  const entries = [entryAt(shape, 1), entryAt(shape, header.entryCount)] as const
  const slots = [slotAt(0), slotAt(shape.slotCount)] as const
  check(...entries, WINDOW_ENTRIES * INDEX_ENTRY_BYTES, 0, (entriesCrc) => {
    if (entriesCrc !== file.written.entriesCrc) return callback(false)
    check(...slots, WINDOW_SLOTS * INDEX_SLOT_BYTES, 0, (slotsCrc) => callback(slotsCrc === file.slotsCrc))
  })
}
