/** The records that one request gives out, and how they are read: in runs of neighbours. */
import {
  javaHash,
  recordHasTopic,
  recordPhysicalOffset,
  recordQueueId,
  recordQueueOffset,
  recordTags,
  recordTotalSize,
} from '@dledger-ts/protocol'
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import type { StoreError } from '../errors.ts'
import { ENTRY_HEADER_BYTES } from '../log-place.ts'
import { BufferPool } from './buffer-pool.ts'
import { mismatch } from './read-errors.ts'
import { isWholeRecord } from './whole-record.ts'

/** One read of the log takes records with gaps up to this between them: to read so much more costs less than another read … */
export const READ_GAP_BYTES_MAX = 16 * 1024
/** … up to this many bytes. */
const READ_BYTES_MAX = 1024 * 1024
/** What was read for these records only may be twice their size, or this much larger than they are: what small buffers are cut from. */
const HELD_BESIDE_MAX = 16 * 1024

export class Wanted {
  readonly queue: ConsumeQueue
  readonly queueOffsets: number[] = []
  readonly physicalOffsets: number[] = []
  readonly sizes: number[] = []
  readonly records: Buffer[] = []
  bytes = 0
  readonly #tagFilter: ReadonlySet<number> | null
  readonly #pool: BufferPool
  /** Of the pool: where records were copied to. */
  readonly #copies: Buffer[] = []

  /** @param tagFilter by which entries are chosen; null for none. */
  constructor(queue: ConsumeQueue, tagFilter: ReadonlySet<number> | null, pool: BufferPool) {
    this.queue = queue
    this.#tagFilter = tagFilter
    this.#pool = pool
  }

  get count(): number {
    return this.sizes.length
  }

  add(queueOffset: number, physicalOffset: number, size: number): void {
    this.queueOffsets.push(queueOffset)
    this.physicalOffsets.push(physicalOffset)
    this.sizes.push(size)
    this.bytes += size
  }

  /** A buffer for records of these, theirs until `release`. */
  copyOf(bytes: number): Buffer {
    const copy = this.#pool.take(bytes)
    if (BufferPool.keeps(bytes)) this.#copies.push(copy)
    return copy
  }

  /** Gives back what the records were copied to, when they are not used any more: to be called once, or never. Undefined where that is nothing. */
  get release(): (() => void) | undefined {
    const copies = this.#copies
    if (copies.length === 0) return undefined
    return () => {
      for (const copy of copies.splice(0)) this.#pool.give(copy)
    }
  }

  /** Takes the bytes of the i-th record. @returns what is wrong with them. */
  fill(i: number, record: Buffer): StoreError | null {
    const queueOffset = this.queueOffsets[i] as number
    const physicalOffset = this.physicalOffsets[i] as number
    if (
      recordTotalSize(record) !== record.length ||
      recordPhysicalOffset(record) !== physicalOffset ||
      recordQueueOffset(record) !== queueOffset ||
      recordQueueId(record) !== this.queue.queueId ||
      !recordHasTopic(record, this.queue.topic)
    ) {
      return this.mismatchAt(i)
    }
    this.records[i] = record
    return null
  }

  /** As `fill`, for an entry from a file: it has no checksum, so its record may not have the tag for which it was chosen. */
  fillChecked(i: number, record: Buffer): StoreError | null {
    const filter = this.#tagFilter
    if (filter !== null && !filter.has(javaHash(recordTags(record) ?? ''))) return this.mismatchAt(i)
    return this.fill(i, record)
  }

  /** The i-th entry and the record that it points to do not belong together. */
  mismatchAt(i: number): StoreError {
    return mismatch(this.queue, this.queueOffsets[i] as number, this.physicalOffsets[i] as number)
  }

  /** Records from the first on that are filled in. */
  get filledCount(): number {
    let count = 0
    while (count < this.count && this.records[count] !== undefined) count++
    return count
  }

  /** Gives up all but the first `count`, which are filled in. @returns the queue offset of the first one given up. */
  keepFirst(count: number): number {
    const next = this.queueOffsets[count] as number
    for (const column of [this.queueOffsets, this.physicalOffsets, this.sizes, this.records]) column.length = count
    this.bytes = 0
    for (const size of this.sizes) this.bytes += size
    return next
  }

  endOf(i: number): number {
    return (this.physicalOffsets[i] as number) + (this.sizes[i] as number)
  }

  /**
   * @param coldEnd what is beyond is in memory, and may not be in the files yet.
   * @returns one after the last record that is read together with the `from`-th; no read crosses the end of a log file.
   */
  runFrom(from: number, fileBytes: number, coldEnd: number): number {
    const at = this.physicalOffsets[from] as number
    const limit = Math.min(at - (at % fileBytes) + fileBytes, coldEnd)
    let end = this.endOf(from)
    let to = from + 1
    for (; to < this.count; to++) {
      const nextAt = this.physicalOffsets[to] as number
      const nextEnd = this.endOf(to)
      if (nextAt - end > READ_GAP_BYTES_MAX || nextEnd - at > READ_BYTES_MAX || nextEnd > limit) break
      end = nextEnd
    }
    return to
  }

  /**
   * Fills in the records [from, to); `block` has the log from byte `start` on, the header of the first one's entry.
   *
   * @param isPassing `block` is valid during the call only.
   * @returns the first one whose bytes are not what they must be; `to` when all are.
   */
  fillRun(from: number, to: number, start: number, block: Buffer, isPassing: boolean): number {
    let used = 0
    for (let i = from; i < to; i++) used += this.sizes[i] as number
    // What is given out is held as long as its consumer is slow: it must not hold much more than itself.
    const isTooLarge = block.buffer.byteLength > Math.max(2 * used, used + HELD_BESIDE_MAX)
    const copy = isPassing || isTooLarge ? this.copyOf(used) : null
    let copied = 0
    for (let i = from; i < to; i++) {
      const physicalOffset = this.physicalOffsets[i] as number
      const at = physicalOffset - start
      const size = this.sizes[i] as number
      if (!isWholeRecord(block, at - ENTRY_HEADER_BYTES, physicalOffset, size)) return i
      let record: Buffer
      if (copy === null) record = block.subarray(at, at + size)
      else {
        block.copy(copy, copied, at, at + size)
        record = copy.subarray(copied, copied + size)
        copied += size
      }
      if (this.fillChecked(i, record) !== null) return i
    }
    return to
  }
}
