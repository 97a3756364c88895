/** The records that one request gives out, and how they are read: in runs of neighbours. */
import {
  recordHasTopic,
  recordPhysicalOffset,
  recordQueueId,
  recordQueueOffset,
  recordTotalSize,
} from '@dledger-ts/protocol'
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import type { StoreError } from '../errors.ts'
import { mismatch } from './read-errors.ts'

/** One read of the log takes records with gaps up to this between them: to read so much more costs less than another read … */
export const READ_GAP_BYTES_MAX = 16 * 1024
/** … up to this many bytes. */
const READ_BYTES_MAX = 1024 * 1024
/** Records may hold a buffer twice their size, or this much larger than they are: what small buffers are cut from. */
const HELD_BESIDE_MAX = 16 * 1024

export class Wanted {
  readonly queue: ConsumeQueue
  readonly queueOffsets: number[] = []
  readonly physicalOffsets: number[] = []
  readonly sizes: number[] = []
  readonly records: Buffer[] = []
  bytes = 0

  constructor(queue: ConsumeQueue) {
    this.queue = queue
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
      return mismatch(this.queue, queueOffset, physicalOffset)
    }
    this.records[i] = record
    return null
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

  /** Fills in the records [from, to), which stand in `block` from `at` on. @returns what is wrong with one of them. */
  fillRun(from: number, to: number, at: number, block: Buffer): StoreError | null {
    let used = 0
    for (let i = from; i < to; i++) used += this.sizes[i] as number
    // What is given out is held as long as its consumer is slow: it must not hold much more than itself.
    const copy = block.buffer.byteLength > Math.max(2 * used, used + HELD_BESIDE_MAX) ? Buffer.allocUnsafe(used) : null
    let copied = 0
    for (let i = from; i < to; i++) {
      const start = (this.physicalOffsets[i] as number) - at
      const size = this.sizes[i] as number
      let record = block.subarray(start, start + size)
      if (copy !== null) {
        record.copy(copy, copied)
        record = copy.subarray(copied, copied + size)
        copied += size
      }
      const wrong = this.fill(i, record)
      if (wrong !== null) return wrong
    }
    return null
  }
}
