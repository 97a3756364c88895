/**
 * The newest applied records in memory, by their place in the log.
 *
 * Entries that were applied together usually stand one after another in one buffer of the log. Such a run is kept as it is:
 * one object for many messages, no copy; a record is a slice of it.
 *
 * Keeps: runs ascend and do not overlap; the memory they hold (whole buffers count, and a charge for each run) stays below the
 * bound, oldest dropped first. Relies on the log never changing a buffer that it gave to apply.
 */
import { assert } from '@dledger-ts/base'
import { ENTRY_HEADER_BYTES } from './log-place.ts'

/** What a run costs beside its buffer. */
const RUN_CHARGE_BYTES = 256

class Run {
  /** Position in the log of the run's first byte. */
  readonly start: number
  /** One after the position of its last byte. */
  end: number
  readonly buffer: ArrayBufferLike
  /** Where the run starts in `buffer`. */
  readonly at: number
  readonly chargeBytes: number

  constructor(start: number, record: Buffer, chargeBytes: number) {
    this.start = start
    this.end = start + record.length
    this.buffer = record.buffer
    this.at = record.byteOffset
    this.chargeBytes = chargeBytes
  }
}

export class HotRecords {
  readonly #bytesMax: number
  #runs: (Run | null)[] = []
  /** Runs before this place of the array are dropped; the array is compacted now and then. */
  #head = 0
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Where the oldest of them starts in the log; infinite when there are none. What is before it is in the files. */
  get start(): number {
    return this.#runs[this.#head]?.start ?? Number.POSITIVE_INFINITY
  }

  /** Adds the record that starts at `physicalOffset`, above all others. Hot. */
  add(physicalOffset: number, record: Buffer): void {
    const last = this.#runs.length > this.#head ? (this.#runs[this.#runs.length - 1] as Run) : null
    let chargeBytes = RUN_CHARGE_BYTES
    if (last === null || last.buffer !== record.buffer) {
      chargeBytes += record.buffer.byteLength
    } else if (
      // The next entry's header stands between two records of a run.
      physicalOffset === last.end + ENTRY_HEADER_BYTES &&
      record.byteOffset - last.at === physicalOffset - last.start
    ) {
      last.end = physicalOffset + record.length
      return
    }
    assert(last === null || physicalOffset >= last.end, 'records come in log order')
    this.#runs.push(new Run(physicalOffset, record, chargeBytes))
    this.#bytes += chargeBytes
  }

  /** Drops what is beyond the bound; the newest run stays. */
  shrink(): void {
    while (this.#bytes > this.#bytesMax && this.#head < this.#runs.length - 1) {
      this.#bytes -= (this.#runs[this.#head] as Run).chargeBytes
      this.#runs[this.#head] = null
      this.#head++
    }
    if (this.#head > 1024 && this.#head * 2 > this.#runs.length) {
      this.#runs = this.#runs.slice(this.#head)
      this.#head = 0
    }
  }

  /** Where the oldest record in memory starts; infinite when there is none. */
  get firstOffset(): number {
    return this.#runs.length > this.#head ? (this.#runs[this.#head] as Run).start : Number.POSITIVE_INFINITY
  }

  /** Whether the byte at `physicalOffset` of the log is in memory. */
  has(physicalOffset: number): boolean {
    return this.#runOf(physicalOffset) !== undefined
  }

  /** @returns the record at `physicalOffset` and those that stand behind it in the same buffer, with the headers between. */
  runAt(physicalOffset: number): Buffer | undefined {
    const run = this.#runOf(physicalOffset)
    if (run === undefined) return undefined
    return Buffer.from(run.buffer, run.at + physicalOffset - run.start, run.end - physicalOffset)
  }

  /** @returns the bytes [physicalOffset, + size) of the log as a slice, undefined when they are not all in memory. Hot. */
  find(physicalOffset: number, size: number): Buffer | undefined {
    const run = this.#runOf(physicalOffset)
    if (run === undefined || physicalOffset + size > run.end) return undefined
    return Buffer.from(run.buffer, run.at + physicalOffset - run.start, size)
  }

  clear(): void {
    this.#runs = []
    this.#head = 0
    this.#bytes = 0
  }

  #runOf(physicalOffset: number): Run | undefined {
    let low = this.#head
    let high = this.#runs.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const run = this.#runs[middle] as Run
      if (physicalOffset < run.start) high = middle - 1
      else if (physicalOffset >= run.end) low = middle + 1
      else return run
    }
    return undefined
  }
}
