/**
 * One entry of a ConsumeQueue file: where one message lies in the log. 20 bytes, big-endian.
 *
 *   0                8        12               20
 *   | physicalOffset | size   | tagsCode       |
 *
 * Entry n of a queue is at byte n * 20 of its files taken together. `physicalOffset` and `size` are those of the bare record,
 * without the log's 48-byte header. `tagsCode` is Java's hash of the tag, sign-extended, 0 without one; in SCHEDULE_TOPIC_XXXX
 * it is the time at which the message is due.
 *
 * An entry whose size is 0 was never written.  Source: org.apache.rocketmq.store.ConsumeQueue, CQ_STORE_UNIT_SIZE.
 */
import { assert, readInt32, readInt64, writeInt32, writeInt64 } from '@dledger-ts/base'

const PHYSICAL_OFFSET_AT = 0
const SIZE_AT = PHYSICAL_OFFSET_AT + 8
const TAGS_CODE_AT = SIZE_AT + 4
export const CONSUME_QUEUE_ENTRY_BYTES = TAGS_CODE_AT + 8
/** Entries of a file of Apache's default size, 6,000,000 bytes. */
export const CONSUME_QUEUE_FILE_BYTES = 300_000 * CONSUME_QUEUE_ENTRY_BYTES

export interface ConsumeQueueEntry {
  readonly physicalOffset: number
  readonly size: number
  readonly tagsCode: number
}

/** Hot: an entry by its fields, without an object. */
export function writeConsumeQueueEntry(
  target: Buffer,
  at: number,
  physicalOffset: number,
  size: number,
  tagsCode: number,
): void {
  assert(size > 0, 'a stored record has bytes')
  writeInt64(target, physicalOffset, at + PHYSICAL_OFFSET_AT)
  writeInt32(target, size, at + SIZE_AT)
  writeInt64(target, tagsCode, at + TAGS_CODE_AT)
}

/** @returns what stands there; a number beyond 2^53 becomes NaN, a never written entry has size 0. */
export function decodeConsumeQueueEntry(source: Buffer, at: number): ConsumeQueueEntry {
  return {
    physicalOffset: entryPhysicalOffset(source, at),
    size: entrySize(source, at),
    tagsCode: entryTagsCode(source, at),
  }
}

export function entryPhysicalOffset(source: Buffer, at: number): number {
  return readInt64(source, at + PHYSICAL_OFFSET_AT)
}

export function entrySize(source: Buffer, at: number): number {
  return readInt32(source, at + SIZE_AT)
}

export function entryTagsCode(source: Buffer, at: number): number {
  return readInt64(source, at + TAGS_CODE_AT)
}

/** What stands before the first entry of a file that starts within a queue: no record, so that Java's readers pass over it. */
const BLANK_SIZE = 0x7fffffff

/** @returns `count` blank entries. Source: org.apache.rocketmq.store.ConsumeQueue, fillPreBlank. */
export function blankEntries(count: number): Buffer {
  const blank = Buffer.alloc(CONSUME_QUEUE_ENTRY_BYTES)
  writeInt32(blank, BLANK_SIZE, SIZE_AT)
  return Buffer.alloc(count * CONSUME_QUEUE_ENTRY_BYTES, blank)
}

/** Whether the third field is a hash of Java's, sign-extended, as in all topics but that of the delay levels. */
export function isTagHash(source: Buffer, at: number): boolean {
  return readInt32(source, at + TAGS_CODE_AT) === readInt32(source, at + TAGS_CODE_AT + 4) >> 31
}

/** The 32 bits by which tags are compared: Java's hash, before it was sign-extended. */
export function entryTagHash(source: Buffer, at: number): number {
  return readInt32(source, at + TAGS_CODE_AT + 4)
}
