/**
 * One request that memory alone cannot answer: waits for its turn, examines entries window by window, fills in the records.
 *
 * Keeps: told once; holds nothing before it is admitted and after it was told.
 */
import type { Clock } from '@dledger-ts/base'
import type { StoreError } from '../errors.ts'
import type { HotRecords } from '../hot-records.ts'
import type { Admission, Admitted } from './admission.ts'
import type { EntriesCallback } from './entry-blocks.ts'
import { Fetch } from './fetch.ts'
import type { LogBlocks, LogReader } from './log-blocks.ts'
import { type QueueEntries, TailEntries } from './queue-entries.ts'
import type { Scan } from './scan.ts'
import type { SequentialReaders } from './sequential-readers.ts'

export interface ColdGetParts {
  readonly clock: Clock
  readonly admission: Admission
  readonly blocks: LogBlocks
  readonly log: LogReader
  readonly hot: HotRecords
  readonly readers: SequentialReaders
  readonly fileBytes: number
  entries(scan: Scan, callback: EntriesCallback): void
}

export class ColdGet implements Admitted {
  readonly bytesMax: number
  readonly #parts: ColdGetParts
  readonly #scan: Scan
  readonly #callback: (error: StoreError | null) => void
  #beganMs = 0

  constructor(parts: ColdGetParts, scan: Scan, callback: (error: StoreError | null) => void) {
    this.bytesMax = scan.bytesMax
    this.#parts = parts
    this.#scan = scan
    this.#callback = callback
  }

  start(): void {
    this.#parts.admission.enter(this)
  }

  admitted(): void {
    this.#beganMs = this.#parts.clock.monotonicMs()
    const { wanted, queue, next, end } = this.#scan
    if (wanted.count === 0) return this.#nextWindow()
    // Memory had the entries, and only records are missing.
    this.#fetch(next >= queue.tailFrom ? new TailEntries(queue, next, end) : null)
  }

  refused(error: StoreError): void {
    this.#callback(error)
  }

  #nextWindow(): void {
    const scan = this.#scan
    if (scan.windowCount > 0 || scan.opensWindow(this.#parts.clock.monotonicMs() - this.#beganMs)) this.#examine()
    else this.#done(null)
  }

  #examine(): void {
    const scan = this.#scan
    this.#parts.entries(scan, (error, entries) => {
      if (error !== null) return this.#done(error)
      const isDone = scan.examine(entries as QueueEntries)
      if (typeof isDone === 'object') return this.#done(isDone)
      if (isDone && scan.wanted.count > 0) return this.#fetch(entries)
      // Whatever is at hand is examined within a call: the event loop goes round in between.
      this.#parts.clock.defer(() => this.#nextWindow())
    })
  }

  #fetch(entries: QueueEntries | null): void {
    const { blocks, log, hot, readers, fileBytes } = this.#parts
    const scan = this.#scan
    const goesOn = readers.goesOn(scan.firstPhysicalOffset)
    if (goesOn && entries !== null) scan.lookAhead(entries, fileBytes, hot.start)
    readers.expect(scan.nextPhysicalOffset)
    const { wanted, aheadEnd } = scan
    new Fetch({ wanted, blocks, log, hot, fileBytes, aheadEnd, callback: (error) => this.#done(error) }).start()
  }

  #done(error: StoreError | null): void {
    this.#parts.admission.leave(this)
    this.#callback(error)
  }
}
