/**
 * Reads what a log has in its files over and over, slowly, so that rot is found while others still have what it took. The file that
 * is written is no exception, as far as its entries are there for good: it may be written for months.
 *
 * Keeps: reads stay within `bytesPerSecond`, one at a time, a piece at a wake-up; a pass ends where the log ended when it began, however
 * fast that grows, and between two passes it rests. It has no timer, and
 * nothing to do costs nothing. What a read finds is marked by whoever reads (see `SegmentedLog.examine`).
 */
import type { EntryBatch } from './entry-batch.ts'

/** Bytes of one read, unless an entry alone has more. */
const PIECE_BYTES = 256 * 1024

export interface ScrubberOptions {
  /** 0: never. */
  readonly bytesPerSecond: number
  /** From the end of a pass to the next. */
  readonly intervalMs: number
  readonly firstIndex: () => number
  /** Entries up to here are in the files for good. */
  readonly lastIndex: () => number
  /** The first entry from `index` on that is not marked already is read, and those after it; null: nothing could be read. */
  readonly nextGood: (index: number) => number
  readonly read: (
    firstIndex: number,
    lastIndex: number,
    bytesMax: number,
    callback: (batch: EntryBatch | null) => void,
  ) => void
}

export interface ScrubProgress {
  /** Next entry to be read. */
  readonly nextIndex: number
  readonly passes: number
  readonly bytes: number
}

export class Scrubber {
  readonly #options: ScrubberOptions
  #next = 0
  /** The last entry of the pass under way; null between two passes. */
  #until: number | null = null
  #passes = 0
  #bytes = 0
  #credit = 0
  #lastMs: number | null = null
  #restUntilMs = Number.NEGATIVE_INFINITY
  #reading = false

  constructor(options: ScrubberOptions) {
    this.#options = options
  }

  get progress(): ScrubProgress {
    return { nextIndex: this.#next, passes: this.#passes, bytes: this.#bytes }
  }

  /** At most one read begins. */
  wake(nowMs: number): void {
    const { bytesPerSecond, firstIndex, lastIndex, nextGood, read } = this.#options
    if (bytesPerSecond === 0 || this.#reading || nowMs < this.#restUntilMs) return
    const passedMs = nowMs - (this.#lastMs ?? nowMs)
    this.#lastMs = nowMs
    this.#credit = Math.min(this.#credit + (bytesPerSecond * passedMs) / 1000, bytesPerSecond, PIECE_BYTES)
    if (this.#credit <= 0) return
    const first = nextGood(Math.max(this.#next, firstIndex()))
    this.#until ??= lastIndex()
    // What is at the end may have been truncated since.
    const last = Math.min(this.#until, lastIndex())
    if (first > last) return this.#rest(nowMs)
    this.#reading = true
    read(first, last, Math.floor(this.#credit), (batch) => {
      this.#reading = false
      // What could not be read is marked now, or was trimmed: the next wake-up goes on behind it.
      if (batch !== null) this.#scrubbed(batch, nowMs)
    })
  }

  #scrubbed(batch: EntryBatch, nowMs: number): void {
    this.#credit -= batch.bytes.length
    this.#bytes += batch.bytes.length
    this.#next = batch.firstIndex + batch.count
    if (this.#until !== null && this.#next > this.#until) this.#rest(nowMs)
  }

  #rest(nowMs: number): void {
    if (this.#next > this.#options.firstIndex()) this.#passes++
    this.#next = 0
    this.#until = null
    this.#restUntilMs = nowMs + this.#options.intervalMs
    this.#lastMs = null
  }
}
