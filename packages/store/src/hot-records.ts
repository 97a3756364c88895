/**
 * The newest applied records in memory, by their place in the log.
 *
 * Entries that were applied together usually stand one after another in one buffer of the log. Such a run is kept as it is:
 * one object for many messages, no copy; a record is a slice of it.
 *
 * Keeps: runs ascend and do not overlap; the sum of their bytes (and a charge for each) stays below the bound, oldest dropped
 * first. Relies on the log never changing a buffer that it gave to apply.
 */
import { assert } from '@dledger-ts/base'
import { ENTRY_HEADER_BYTES } from './log-place.ts'

/** What a run costs beside its bytes. */
const RUN_CHARGE_BYTES = 256

class Run {
  /** Position in the log of the run's first byte. */
  readonly start: number
  bytes: Buffer

  constructor(start: number, bytes: Buffer) {
    this.start = start
    this.bytes = bytes
  }
}

export class HotRecords {
  readonly #bytesMax: number
  #runs: Run[] = []
  /** Runs before this place of the array are dropped; the array is compacted now and then. */
  #head = 0
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Adds the record that starts at `physicalOffset`, above all others. Hot. */
  add(physicalOffset: number, record: Buffer): void {
    const last = this.#runs.length > this.#head ? this.#runs[this.#runs.length - 1] : undefined
    if (last !== undefined) {
      const end = last.start + last.bytes.length
      assert(physicalOffset >= end, 'records come in log order')
      // The next entry's header stands between two records of a run.
      if (
        physicalOffset === end + ENTRY_HEADER_BYTES &&
        record.buffer === last.bytes.buffer &&
        record.byteOffset === last.bytes.byteOffset + last.bytes.length + ENTRY_HEADER_BYTES
      ) {
        const grown = last.bytes.length + ENTRY_HEADER_BYTES + record.length
        this.#bytes += grown - last.bytes.length
        last.bytes = Buffer.from(record.buffer, last.bytes.byteOffset, grown)
        return
      }
    }
    this.#runs.push(new Run(physicalOffset, record))
    this.#bytes += record.length + RUN_CHARGE_BYTES
  }

  /** Drops what is beyond the bound; the newest run stays. */
  shrink(): void {
    while (this.#bytes > this.#bytesMax && this.#head < this.#runs.length - 1) {
      this.#bytes -= (this.#runs[this.#head] as Run).bytes.length + RUN_CHARGE_BYTES
      this.#head++
    }
    if (this.#head > 1024 && this.#head * 2 > this.#runs.length) {
      this.#runs = this.#runs.slice(this.#head)
      this.#head = 0
    }
  }

  /** @returns the bytes [physicalOffset, + size) of the log as a slice, undefined when they are not all in memory. Hot. */
  find(physicalOffset: number, size: number): Buffer | undefined {
    let low = this.#head
    let high = this.#runs.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const run = this.#runs[middle] as Run
      if (physicalOffset < run.start) high = middle - 1
      else if (physicalOffset >= run.start + run.bytes.length) low = middle + 1
      else {
        const at = physicalOffset - run.start
        return at + size <= run.bytes.length ? run.bytes.subarray(at, at + size) : undefined
      }
    }
    return undefined
  }

  clear(): void {
    this.#runs = []
    this.#head = 0
    this.#bytes = 0
  }
}
