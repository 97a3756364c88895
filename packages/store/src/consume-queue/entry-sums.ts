/**
 * Checksums of ConsumeQueue entries. Apache's layout of the files has none, and nothing else tells that a tag, by which a message is
 * passed over, was flipped.
 *
 *   a file     | part, 500 entries | part | … | part, as far as it is written |
 *   segments   | [from, to)  crc   |  …       | [from, to)  crc, goes on      |
 *
 * A segment is a run of entries of one part with the CRC-32 of their bytes as they stand in the file. It begins where its part does, or
 * where summing began: a queue's first entry here, or one whose sum was given up.
 *
 * Keeps: no segment reaches into another part, so those that a read needs begin within the parts that it reads.
 */
import { crc32 } from '@dledger-ts/base'
import { CONSUME_QUEUE_ENTRY_BYTES } from './entry-codec.ts'

/** Entries of a part: what a read of one entry reads at least, and what one row of the database vouches for. */
export const PART_ENTRIES = 500

/** The start of the part in which an entry is; parts begin anew with each file. */
export function partStartOf(queueOffset: number, entriesPerFile: number): number {
  const inFile = queueOffset % entriesPerFile
  return queueOffset - (inFile % PART_ENTRIES)
}

/** One after the last entry of that part. */
export function partEndOf(queueOffset: number, entriesPerFile: number): number {
  const inFile = queueOffset % entriesPerFile
  const partInFile = inFile - (inFile % PART_ENTRIES)
  return queueOffset - inFile + Math.min(partInFile + PART_ENTRIES, entriesPerFile)
}

export interface Segment {
  readonly from: number
  /** One after the last entry. */
  readonly to: number
  /** CRC-32 of the entries, as a signed number: those fit where others need memory of their own. */
  readonly sum: number
}

/** The segment that goes on with the entries to come. */
export class RunningSum implements Segment {
  from: number
  to: number
  sum = 0

  constructor(at: number) {
    this.from = at
    this.to = at
  }

  static restored(from: number, to: number, sum: number): RunningSum {
    const running = new RunningSum(from)
    running.to = to
    running.sum = sum
    return running
  }

  /** Vouches for what comes from `at` on alone. */
  restart(at: number): void {
    this.from = at
    this.to = at
    this.sum = 0
  }

  /** Takes in the entries that follow. @param ended told each segment that ends with its part. */
  add(entries: Buffer, entriesPerFile: number, ended: (segment: Segment) => void): void {
    for (let at = 0; at < entries.length;) {
      const partEnd = partEndOf(this.to, entriesPerFile)
      const end = Math.min(entries.length, at + (partEnd - this.to) * CONSUME_QUEUE_ENTRY_BYTES)
      this.sum = crc32(entries, at, end, this.sum >>> 0) | 0
      this.to += (end - at) / CONSUME_QUEUE_ENTRY_BYTES
      at = end
      if (this.to < partEnd) continue
      ended({ from: this.from, to: this.to, sum: this.sum })
      this.restart(this.to)
    }
  }
}

/** @param entries from `from` on. @returns the first segment whose entries are there and are not those that were summed. */
export function findChanged(segments: readonly Segment[], from: number, entries: Buffer): Segment | null {
  for (const segment of segments) {
    const start = (segment.from - from) * CONSUME_QUEUE_ENTRY_BYTES
    const end = (segment.to - from) * CONSUME_QUEUE_ENTRY_BYTES
    if (start < 0 || end > entries.length) continue
    if ((crc32(entries, start, end) | 0) !== segment.sum) return segment
  }
  return null
}
