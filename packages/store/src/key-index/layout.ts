/**
 * One key index file, byte for byte as Apache lays it out. Big-endian; sparse, of the full size from its creation, because Java
 * maps it.
 *
 *   0                 8               16            24          32           36           40
 *   | beginTimestamp  | endTimestamp  | beginOffset | endOffset | used slots | entryCount | slots … | entries …
 *
 *   slot:   the newest entry of all keys whose hash falls into it; 0 for none. 4 bytes
 *   entry:  0         4                12                            16              20
 *           | keyHash | physicalOffset | seconds after beginTimestamp | older entry, |
 *                                                                     | of the slot  |
 *
 * Entries are numbered from 1: entryCount is 1 in an empty file, and entry 0 is never used. An entry's older one always has a
 * smaller number, so every chain ends.
 *
 * Source: org.apache.rocketmq.store.index.IndexFile, IndexHeader.
 */
import { assert, readInt32, readInt64, writeInt32, writeInt64 } from '@dledger-ts/base'

const BEGIN_TIMESTAMP_AT = 0
const END_TIMESTAMP_AT = BEGIN_TIMESTAMP_AT + 8
const BEGIN_OFFSET_AT = END_TIMESTAMP_AT + 8
const END_OFFSET_AT = BEGIN_OFFSET_AT + 8
const USED_SLOTS_AT = END_OFFSET_AT + 8
const ENTRY_COUNT_AT = USED_SLOTS_AT + 4
export const INDEX_HEADER_BYTES = ENTRY_COUNT_AT + 4
assert(INDEX_HEADER_BYTES === 40, 'the header of an index file has 40 bytes')

export const INDEX_SLOT_BYTES = 4

const KEY_HASH_AT = 0
const PHYSICAL_OFFSET_AT = KEY_HASH_AT + 4
const SECONDS_AT = PHYSICAL_OFFSET_AT + 8
const OLDER_AT = SECONDS_AT + 4
export const INDEX_ENTRY_BYTES = OLDER_AT + 4
assert(INDEX_ENTRY_BYTES === 20, 'an entry of an index file has 20 bytes')

const INT32_MAX = 0x7fff_ffff

/** How large an index file is. */
export interface IndexShape {
  /** Apache: maxHashSlotNum. */
  readonly slotCount: number
  /** Apache: maxIndexNum. One less entry is used. */
  readonly entryCountMax: number
}

export interface KeyIndexSettings {
  readonly directory: string
  readonly shape: IndexShape
}

export const DEFAULT_INDEX_SHAPE: IndexShape = { slotCount: 5_000_000, entryCountMax: 20_000_000 }
/** Java maps a file as a whole, and its offsets are int32. */
export const INDEX_FILE_BYTES_MAX = INT32_MAX

export interface IndexHeader {
  /** Store timestamps of the first and the last message in it, ms. */
  readonly beginTimestamp: number
  readonly endTimestamp: number
  /** Physical offsets of their records. */
  readonly beginOffset: number
  readonly endOffset: number
  /** Slots that are not 0. */
  readonly usedSlots: number
  /** The number of the next entry. */
  readonly entryCount: number
}

export const EMPTY_INDEX_HEADER: IndexHeader = {
  beginTimestamp: 0,
  endTimestamp: 0,
  beginOffset: 0,
  endOffset: 0,
  usedSlots: 0,
  entryCount: 1,
}

/** Where a slot stands in the file. */
export function slotAt(slot: number): number {
  return INDEX_HEADER_BYTES + slot * INDEX_SLOT_BYTES
}

/** Where an entry stands in the file. */
export function entryAt(shape: IndexShape, number: number): number {
  return slotAt(shape.slotCount) + number * INDEX_ENTRY_BYTES
}

export function indexFileBytes(shape: IndexShape): number {
  return entryAt(shape, shape.entryCountMax)
}

export function encodeIndexHeader(header: IndexHeader): Buffer {
  const target = Buffer.alloc(INDEX_HEADER_BYTES)
  writeInt64(target, header.beginTimestamp, BEGIN_TIMESTAMP_AT)
  writeInt64(target, header.endTimestamp, END_TIMESTAMP_AT)
  writeInt64(target, header.beginOffset, BEGIN_OFFSET_AT)
  writeInt64(target, header.endOffset, END_OFFSET_AT)
  writeInt32(target, header.usedSlots, USED_SLOTS_AT)
  writeInt32(target, header.entryCount, ENTRY_COUNT_AT)
  return target
}

/** @returns what stands there; numbers beyond 2^53 are NaN. */
export function decodeIndexHeader(source: Buffer): IndexHeader {
  return {
    beginTimestamp: readInt64(source, BEGIN_TIMESTAMP_AT),
    endTimestamp: readInt64(source, END_TIMESTAMP_AT),
    beginOffset: readInt64(source, BEGIN_OFFSET_AT),
    endOffset: readInt64(source, END_OFFSET_AT),
    usedSlots: readInt32(source, USED_SLOTS_AT),
    entryCount: readInt32(source, ENTRY_COUNT_AT),
  }
}

// Hot.
export function writeIndexEntry(
  target: Buffer,
  at: number,
  keyHash: number,
  physicalOffset: number,
  seconds: number,
  older: number,
): void {
  writeInt32(target, keyHash, at + KEY_HASH_AT)
  writeInt64(target, physicalOffset, at + PHYSICAL_OFFSET_AT)
  writeInt32(target, seconds, at + SECONDS_AT)
  writeInt32(target, older, at + OLDER_AT)
}

export function entryKeyHash(source: Buffer, at: number): number {
  return readInt32(source, at + KEY_HASH_AT)
}

/** NaN when it is beyond 2^53. */
export function entryPhysicalOffset(source: Buffer, at: number): number {
  return readInt64(source, at + PHYSICAL_OFFSET_AT)
}

export function entrySeconds(source: Buffer, at: number): number {
  return readInt32(source, at + SECONDS_AT)
}

/** The number of the next older entry of the slot, 0 for none. */
export function entryOlder(source: Buffer, at: number): number {
  return readInt32(source, at + OLDER_AT)
}

/** What an entry says of its message's time: whole seconds, within an int32. */
export function secondsAfter(beginTimestamp: number, storeTimestamp: number): number {
  if (beginTimestamp <= 0) return 0
  const seconds = Math.floor((storeTimestamp - beginTimestamp) / 1000)
  return Math.min(Math.max(seconds, 0), INT32_MAX)
}
