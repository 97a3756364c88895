/**
 * The newest applied records in memory, by their place in the log: copies, in one region that is used again and again.
 *
 *   add, add, … ──► the run at hand ──► settle: one copy into the newest block ──► the next block goes where the oldest ones were
 *
 * Entries that were applied together usually stand one after another in one buffer of the log. Such a run is copied at once, with
 * the headers between its records.
 *
 * They are copies because the log's buffers would otherwise be held until they are old, and what is old is collected late: V8
 * lets 64 MiB of such garbage pile up before it looks. So the log's buffers die young, and what is here never becomes garbage.
 *
 * The region is allocated once, as a whole: the system gives its pages as they are used first. Blocks one by one would come to lie among
 * what the C library gives and takes back all the time, which could then not go back to the system.
 *
 * Keeps: runs ascend and do not overlap; the blocks stay within the region, oldest dropped first; what is given out is a copy, but
 * for `runAt`.
 */
import { assert } from '@dledger-ts/base'
import { ENTRY_HEADER_BYTES } from './log-place.ts'

/** What is dropped at once. */
const BLOCK_BYTES = 256 * 1024

/** Runs one after another; what is applied alone makes a run of one record, so they are columns and no objects. */
class Block {
  /** Its part of the region, and where that begins. */
  readonly bytes: Buffer
  readonly at: number
  used = 0
  /** Positions in the log of the runs' first bytes, and one after their last bytes. */
  readonly starts: number[] = []
  readonly ends: number[] = []
  /** Where they start in `bytes`. */
  readonly ats: number[] = []

  constructor(bytes: Buffer, at: number) {
    this.bytes = bytes
    this.at = at
  }

  get start(): number {
    return this.starts[0] as number
  }

  get end(): number {
    return this.ends[this.ends.length - 1] as number
  }

  /** @returns which run holds the byte at `physicalOffset`; -1 for none. */
  runOf(physicalOffset: number): number {
    let low = 0
    let high = this.starts.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      if (physicalOffset < (this.starts[middle] as number)) high = middle - 1
      else if (physicalOffset >= (this.ends[middle] as number)) low = middle + 1
      else return middle
    }
    return -1
  }
}

export class HotRecords {
  readonly #bytesMax: number
  readonly #blockBytes: number
  /** Not before there is a record. */
  #region: Buffer | null = null
  /** Oldest first; each has a run. In the region they stand one after another, the first behind the last. */
  readonly #blocks: Block[] = []
  #bytes = 0
  // The run that was added and not copied yet.
  #source: ArrayBufferLike | null = null
  #sourceAt = 0
  #start = 0
  #end = 0
  /** What it may come to. */
  #room = 0

  /** @param bytesMax a larger record is not kept; 0 keeps none. */
  constructor(bytesMax: number, blockBytes = BLOCK_BYTES) {
    this.#bytesMax = bytesMax
    this.#blockBytes = Math.min(blockBytes, bytesMax)
  }

  /** What the blocks take. */
  get bytes(): number {
    return this.#bytes
  }

  /** Where the oldest of them starts in the log; infinite when there are none. What is before it is in the files. */
  get start(): number {
    this.settle()
    return this.#blocks[0]?.start ?? Number.POSITIVE_INFINITY
  }

  /** Adds the record that starts at `physicalOffset`, above all others. Its bytes are copied by `settle` at the latest. Hot. */
  add(physicalOffset: number, record: Buffer): void {
    if (this.#source !== null) {
      if (
        this.#source === record.buffer &&
        // The next entry's header stands between two records of a run.
        physicalOffset === this.#end + ENTRY_HEADER_BYTES &&
        record.byteOffset - this.#sourceAt === physicalOffset - this.#start &&
        physicalOffset + record.length - this.#start <= this.#room
      ) {
        this.#end = physicalOffset + record.length
        return
      }
      this.settle()
    }
    const last = this.#blocks[this.#blocks.length - 1]
    assert(last === undefined || physicalOffset >= last.end, 'records come in log order')
    const left = last === undefined ? 0 : last.bytes.length - last.used
    this.#room = record.length <= left ? left : Math.max(this.#blockBytes, record.length)
    this.#source = record.buffer
    this.#sourceAt = record.byteOffset
    this.#start = physicalOffset
    this.#end = physicalOffset + record.length
  }

  /** Copies what was added: the buffers that it came in are not needed any more. Idempotent. Hot: once for each batch. */
  settle(): void {
    const source = this.#source
    if (source === null) return
    this.#source = null
    const bytes = this.#end - this.#start
    if (bytes > this.#bytesMax) return this.clear()
    const block = this.#blockFor(bytes)
    block.bytes.set(new Uint8Array(source, this.#sourceAt, bytes), block.used)
    block.starts.push(this.#start)
    block.ends.push(this.#end)
    block.ats.push(block.used)
    block.used += bytes
  }

  /** Whether the byte at `physicalOffset` of the log is in memory. */
  has(physicalOffset: number): boolean {
    return (this.#blockOf(physicalOffset)?.runOf(physicalOffset) ?? -1) >= 0
  }

  /**
   * @returns the record at `physicalOffset` and those that stand behind it in its run, with the headers between; no copy: valid
   *   during the call only, as the next record may overwrite it.
   */
  runAt(physicalOffset: number): Buffer | undefined {
    const block = this.#blockOf(physicalOffset)
    const run = block?.runOf(physicalOffset) ?? -1
    if (block === undefined || run < 0) return undefined
    const at = (block.ats[run] as number) - (block.starts[run] as number)
    return block.bytes.subarray(at + physicalOffset, at + (block.ends[run] as number))
  }

  /** @returns a copy of the bytes [physicalOffset, + size) of the log, undefined when they are not all in memory. */
  find(physicalOffset: number, size: number): Buffer | undefined {
    const copy = Buffer.allocUnsafe(size)
    return this.copyTo(copy, 0, physicalOffset, size) ? copy : undefined
  }

  /** Copies the bytes [physicalOffset, + size) of the log. @returns false when they are not all in memory. Hot. */
  copyTo(target: Buffer, at: number, physicalOffset: number, size: number): boolean {
    const block = this.#blockOf(physicalOffset)
    if (block === undefined) return false
    const run = block.runOf(physicalOffset)
    if (run < 0 || physicalOffset + size > (block.ends[run] as number)) return false
    const from = (block.ats[run] as number) + physicalOffset - (block.starts[run] as number)
    block.bytes.copy(target, at, from, from + size)
    return true
  }

  clear(): void {
    this.#source = null
    this.#blocks.length = 0
    this.#bytes = 0
  }

  /** The block that has room for a run, and that the next ones go to. */
  #blockFor(bytes: number): Block {
    const last = this.#blocks[this.#blocks.length - 1]
    if (last !== undefined && last.bytes.length - last.used >= bytes) return last
    const size = Math.max(this.#blockBytes, bytes)
    const region = (this.#region ??= Buffer.allocUnsafeSlow(this.#bytesMax))
    let at = last === undefined ? 0 : last.at + last.bytes.length
    if (at + size > region.length) {
      // Those that stand where there is no room for it any more are older than those at the beginning.
      this.#drop((block) => block.at >= at)
      at = 0
    }
    this.#drop((block) => block.at >= at && block.at < at + size)
    const block = new Block(region.subarray(at, at + size), at)
    this.#blocks.push(block)
    this.#bytes += size
    return block
  }

  /** Drops the oldest blocks for as long as `isInTheWay`. */
  #drop(isInTheWay: (block: Block) => boolean): void {
    for (let oldest = this.#blocks[0]; oldest !== undefined && isInTheWay(oldest); oldest = this.#blocks[0]) {
      this.#blocks.shift()
      this.#bytes -= oldest.bytes.length
    }
  }

  #blockOf(physicalOffset: number): Block | undefined {
    if (this.#source !== null) this.settle()
    let low = 0
    let high = this.#blocks.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const block = this.#blocks[middle] as Block
      if (physicalOffset < block.start) high = middle - 1
      else if (physicalOffset >= block.end) low = middle + 1
      else return block
    }
    return undefined
  }
}
