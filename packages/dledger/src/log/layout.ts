/**
 * Where an entry stands in the log's files. Pure: the same sizes give the same places on every member, and in Apache's DLedger.
 *
 * A file is never full of entries alone: after the last one there are always at least 8 bytes for a blank that reaches exactly
 * to the file's end:
 *
 *   | entry | entry | … | entry | i32 -1 | i32 bytes left, these 8 included | zeros … |
 *
 * Source: org.apache.rocketmq's dledger, MmapFileList.preAppend (an entry and MIN_BLANK_LEN must fit in the rest of the file).
 */
import { assert, readInt32, writeInt32 } from '@dledger-ts/base'

const BLANK_MAGIC = -1
export const BLANK_BYTES = 8
const REST_AT = 4

/** The largest entry, header included, that a file of `fileBytes` takes. */
export function entryBytesMax(fileBytes: number): number {
  return fileBytes - BLANK_BYTES
}

/**
 * The position of an entry of `entryBytes` after a log whose last entry ends at `endPos`: there, or at the start of the next
 * file, and then the rest of this one becomes a blank.
 */
export function placeEntry(endPos: number, entryBytes: number, fileBytes: number): number {
  assert(entryBytes <= entryBytesMax(fileBytes), 'an entry with a blank fits in an empty file')
  const used = endPos % fileBytes
  return entryBytes + BLANK_BYTES <= fileBytes - used ? endPos : endPos - used + fileBytes
}

/** The first byte of the file that holds `pos`. */
export function fileStartOf(pos: number, fileBytes: number): number {
  return pos - (pos % fileBytes)
}

/** The 8 bytes that make the rest of a file, from `endPos` on, a blank; what follows them there is zero already. */
export function encodeBlank(endPos: number, fileBytes: number): Buffer {
  const blank = Buffer.allocUnsafe(BLANK_BYTES)
  writeInt32(blank, BLANK_MAGIC, 0)
  writeInt32(blank, fileBytes - (endPos % fileBytes), REST_AT)
  return blank
}

/** Is there, at `at` of `source`, a blank of exactly `rest` bytes? */
export function isBlank(source: Buffer, at: number, rest: number): boolean {
  return rest >= BLANK_BYTES && readInt32(source, at) === BLANK_MAGIC && readInt32(source, at + REST_AT) === rest
}
