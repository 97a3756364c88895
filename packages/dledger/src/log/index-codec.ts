/**
 * A unit of the index files: where entry `index` lies. 32 bytes, big-endian, at byte `index * 32` of the index.
 *
 *   0       4     12     16      24     32
 *   | magic | pos | size | index | term |
 *
 * The index is derived from the data files and can be built again from them. All zero: not written.
 * Source: org.apache.rocketmq's dledger, DLedgerEntryCoder.encodeIndex.
 */
import { readInt32, readInt64, writeInt32, writeInt64 } from '@dledger-ts/base'

const MAGIC_AT = 0
const POS_AT = MAGIC_AT + 4
const SIZE_AT = POS_AT + 8
const INDEX_AT = SIZE_AT + 4
const TERM_AT = INDEX_AT + 8
export const INDEX_UNIT_BYTES = TERM_AT + 8
/** Apache's size of an index file: 5 242 880 units. */
export const INDEX_FILE_BYTES_DEFAULT = INDEX_UNIT_BYTES * 5_242_880

export interface IndexUnit {
  readonly magic: number
  readonly pos: number
  readonly size: number
  readonly index: number
  readonly term: number
}

export function encodeIndexUnit(target: Buffer, at: number, unit: IndexUnit): void {
  writeInt32(target, unit.magic, at + MAGIC_AT)
  writeInt64(target, unit.pos, at + POS_AT)
  writeInt32(target, unit.size, at + SIZE_AT)
  writeInt64(target, unit.index, at + INDEX_AT)
  writeInt64(target, unit.term, at + TERM_AT)
}

/** @returns the unit, or null where there is none for `index`: zeros, or anything else. */
export function decodeIndexUnit(source: Buffer, at: number, index: number): IndexUnit | null {
  if (at + INDEX_UNIT_BYTES > source.length) return null
  const magic = readInt32(source, at + MAGIC_AT)
  if (magic < 1 || magic > 3 || readInt64(source, at + INDEX_AT) !== index) return null
  const pos = readInt64(source, at + POS_AT)
  const size = readInt32(source, at + SIZE_AT)
  const term = readInt64(source, at + TERM_AT)
  if (!(pos >= 0 && size > 0 && term >= 0)) return null
  return { magic, pos, size, index, term }
}
