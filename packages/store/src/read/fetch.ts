/**
 * Fills in the records of one request: those in memory within the call, the others by reads that take neighbours together.
 *
 * Keeps:
 *   - READS_OF_ONE_MAX reads at once, so that one request with many scattered records does not stand before all others in the lane;
 *   - what cannot be read between and behind the records (damage that waits for repair) does not keep them from being read;
 *   - a record from a file is whole (whole-record.ts); where it is not, the log says whether it is damaged, or the queue is.
 */
import type { StoreError } from '../errors.ts'
import type { HotRecords } from '../hot-records.ts'
import { ENTRY_HEADER_BYTES } from '../log-place.ts'
import type { LogBlocks } from './log-blocks.ts'
import { isUnreadableLog } from './read-errors.ts'
import { type CheckedLog, readChecked } from './whole-record.ts'
import type { Wanted } from './wanted.ts'

/** Reads of one request under way or waiting for the disk. */
const READS_OF_ONE_MAX = 2

export interface FetchOptions {
  readonly wanted: Wanted
  readonly blocks: LogBlocks
  readonly log: CheckedLog
  readonly hot: HotRecords
  readonly fileBytes: number
  /** How far the read of the last record may go on; -1 not at all. */
  readonly aheadEnd: number
  readonly callback: (error: StoreError | null) => void
}

/** Fills in what is in memory, as slices of one buffer. @returns whether that is all, or what is wrong. Hot. */
export function fillHot(wanted: Wanted, hot: HotRecords): boolean | StoreError {
  if (!hot.has(wanted.physicalOffsets[0] as number)) return false
  const copy = wanted.copyOf(wanted.bytes)
  let at = 0
  for (let i = 0; i < wanted.count; i++) {
    const size = wanted.sizes[i] as number
    if (!hot.copyTo(copy, at, wanted.physicalOffsets[i] as number, size)) return false
    const wrong = wanted.fill(i, copy.subarray(at, at + size))
    if (wrong !== null) return wrong
    at += size
  }
  return true
}

export class Fetch {
  readonly #options: FetchOptions
  /** The next record that no read was begun for. */
  #next = 0
  #underWay = 0
  #failure: StoreError | null = null
  #isAdvancing = false
  /** A read of several records failed: each is read by itself. */
  #isExact = false

  constructor(options: FetchOptions) {
    this.#options = options
  }

  start(): void {
    this.#advance()
  }

  #advance(): void {
    // A read that is answered within the call comes back here: the loop below goes on.
    if (this.#isAdvancing) return
    this.#isAdvancing = true
    const { wanted } = this.#options
    while (this.#failure === null && this.#next < wanted.count && this.#underWay < READS_OF_ONE_MAX) this.#readNext()
    this.#isAdvancing = false
    if (this.#underWay === 0) this.#options.callback(this.#failure)
  }

  #readNext(): void {
    const { wanted, blocks, hot, fileBytes, aheadEnd } = this.#options
    const from = this.#next
    const at = wanted.physicalOffsets[from] as number
    const record = hot.find(at, wanted.sizes[from] as number)
    if (record !== undefined) {
      this.#failure = wanted.fill(from, record)
      this.#next++
      return
    }
    // The header that tells whether a record is whole stands before it.
    const start = at - ENTRY_HEADER_BYTES
    if (start < 0) {
      this.#failure = wanted.mismatchAt(from)
      return
    }
    // What others have read is taken as far as it reaches.
    const sharedEnd = blocks.endFrom(start)
    const runEnd = sharedEnd >= wanted.endOf(from) ? Math.min(sharedEnd, hot.start) : hot.start
    const to = this.#isExact ? from + 1 : wanted.runFrom(from, fileBytes, runEnd)
    const end = wanted.endOf(to - 1)
    this.#next = to
    this.#underWay++
    const readTo = to === wanted.count && !this.#isExact ? Math.max(end, aheadEnd) : end
    const isExact = to === from + 1 && readTo === end
    blocks.readShared(start, end - start, readTo - start, (error, bytes, isPassing) => {
      this.#underWay--
      if (error === null) {
        const filled = wanted.fillRun(from, to, start, bytes as Buffer, isPassing)
        if (filled < to) this.#ask(filled)
      } else if (isExact || !isUnreadableLog(error)) this.#failure ??= error
      else this.#readExactlyFrom(from)
      this.#advance()
    })
  }

  /** The bytes of a record are not what they must be: has the log another record there, or none, or a damaged one? */
  #ask(i: number): void {
    const { wanted, log } = this.#options
    this.#next = Math.min(this.#next, i + 1)
    this.#underWay++
    readChecked(log, wanted.physicalOffsets[i] as number, (error, record) => {
      this.#underWay--
      if (error !== null) this.#failure ??= error
      else if (record === null || record.length !== wanted.sizes[i]) this.#failure ??= wanted.mismatchAt(i)
      else this.#failure ??= wanted.fillChecked(i, record)
      this.#advance()
    })
  }

  #readExactlyFrom(from: number): void {
    this.#isExact = true
    this.#next = Math.min(this.#next, from)
  }
}
