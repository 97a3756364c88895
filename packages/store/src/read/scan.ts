/**
 * The examination of one queue for one request: which of its entries are wanted, and where to go on.
 *
 * Entries are examined in windows. The first one is Apache's: 16,000 bytes of the ConsumeQueue, or as many entries as messages are
 * wanted. When that has nothing, further ones follow up to SCAN_COUNT_MAX entries and SCAN_MS_MAX, so that who filters for a rare
 * tag does not pull in vain thousands of times.
 *
 * Keeps: an entry that is passed over is one, not a hole in a damaged file.
 */
import type { GetRequest } from '../api.ts'
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import type { StoreError } from '../errors.ts'
import type { BufferPool } from './buffer-pool.ts'
import type { QueueEntries } from './queue-entries.ts'
import { noEntry } from './read-errors.ts'
import { READ_GAP_BYTES_MAX, Wanted } from './wanted.ts'

/** Entries of the first window: Apache's maxFilterMessageSize, 16,000 bytes. */
const FIRST_WINDOW_COUNT = 800
/** Entries of a further one; the event loop goes round between two. */
const WINDOW_COUNT = 8_192
/** Entries examined for one request while nothing is found … */
const SCAN_COUNT_MAX = 300_000
/** … and for how long another window is begun. */
const SCAN_MS_MAX = 100
/** Records wanted by one request at most, whatever it asks for. */
const GET_COUNT_MAX = 10_000
/** Bytes given out by one request at most, whatever it asks for (one record always goes). */
const GET_BYTES_MAX = 8 * 1024 * 1024
/** What is read ahead of a reader that goes through a queue, beyond what it asked for … */
const AHEAD_BYTES_MAX = 256 * 1024
/** … as long as one byte in so many is of its queue. */
const AHEAD_BYTES_PER_USED = 16

export interface ScanParts {
  /** End of all applied records. */
  readonly physicalEnd: number
  /** Where the messages begin that count as being in memory. */
  readonly recentFrom: number
  readonly pool: BufferPool
}

export class Scan {
  readonly queue: ConsumeQueue
  readonly wanted: Wanted
  /** Bytes that it may give out at most, wherever it begins. */
  readonly bytesMax: number
  readonly first: number
  /** One after the last entry that may be examined: what was visible at the beginning. */
  readonly end: number
  /** Not examined from here on. */
  next: number
  /** The place in the log of the entry that the request begins with, once that is examined; tells one reader of a queue from others. */
  firstPhysicalOffset = -1
  /** The same of the entry that the reader will go on with, where it is at hand. */
  nextPhysicalOffset = -1
  /** How far a read that ends with the last wanted record may go on for what is wanted next. */
  aheadEnd = -1
  /** End of all applied records: no entry points beyond. */
  readonly #physicalEnd: number
  readonly #tagFilter: ReadonlySet<number> | null
  /** Where the messages begin that count as being in memory. */
  readonly #recentFrom: number
  readonly #limits: GetRequest['limits']
  #maxCount: number
  #bytesMax: number
  #windowEnd: number

  constructor(request: GetRequest, queue: ConsumeQueue, { physicalEnd, recentFrom, pool }: ScanParts) {
    this.queue = queue
    this.wanted = new Wanted(queue, request.tagFilter, pool)
    this.next = request.queueOffset
    this.first = request.queueOffset
    this.end = queue.nextOffset
    this.#physicalEnd = physicalEnd
    this.#tagFilter = request.tagFilter
    this.#recentFrom = recentFrom
    this.#limits = request.limits
    this.#maxCount = Math.min(Math.max(1, request.maxCount), GET_COUNT_MAX)
    const { recent, far } = request.limits ?? { recent: request, far: request }
    this.bytesMax = Math.min(request.maxBytes, GET_BYTES_MAX, Math.max(recent.maxBytes, far.maxBytes))
    this.#bytesMax = this.bytesMax
    this.#windowEnd = Math.min(this.end, this.next + Math.max(FIRST_WINDOW_COUNT, this.#maxCount))
  }

  /** Entries of the window under way that are not examined. */
  get windowCount(): number {
    return this.#windowEnd - this.next
  }

  /** Whether a further window is to be examined after one that had nothing. */
  opensWindow(elapsedMs: number): boolean {
    if (this.wanted.count > 0 || this.next === this.end) return false
    const left = this.first + SCAN_COUNT_MAX - this.next
    if (left <= 0 || elapsedMs >= SCAN_MS_MAX) return false
    this.#windowEnd = Math.min(this.end, this.next + Math.min(left, WINDOW_COUNT))
    return true
  }

  /** Examines entries from `next` on. @returns whether the window is done, or what is wrong with an entry. Hot. */
  examine(entries: QueueEntries): boolean | StoreError {
    const { wanted } = this
    const filter = this.#tagFilter
    const end = Math.min(this.#windowEnd, entries.to)
    if (this.firstPhysicalOffset < 0) this.#beginAt(entries.physicalOffsetAt(this.next))
    for (; this.next < end; this.next++) {
      if (wanted.count >= this.#maxCount) return this.#full(entries)
      const size = entries.sizeAt(this.next)
      if (size <= 0) return noEntry(this.queue, this.next)
      if (filter !== null && !filter.has(entries.tagHashAt(this.next))) continue
      if (wanted.count > 0 && wanted.bytes + size > this.#bytesMax) return this.#full(entries)
      const at = entries.physicalOffsetAt(this.next)
      // NaN is none, too.
      if (!(at >= 0 && at + size <= this.#physicalEnd)) return noEntry(this.queue, this.next)
      wanted.add(this.next, at, size)
    }
    if (this.next < entries.to) this.nextPhysicalOffset = entries.physicalOffsetAt(this.next)
    return this.next >= this.#windowEnd
  }

  /** What the request begins with says which limits are its. */
  #beginAt(physicalOffset: number): void {
    this.firstPhysicalOffset = physicalOffset
    if (this.#limits === undefined) return
    const { recent, far } = this.#limits
    const { maxCount, maxBytes } = physicalOffset < this.#recentFrom ? far : recent
    this.#maxCount = Math.min(this.#maxCount, Math.max(1, maxCount))
    this.#bytesMax = Math.min(this.#bytesMax, maxBytes)
  }

  /** The request has what it wants, and entries behind that are at hand. */
  #full(entries: QueueEntries): true {
    this.nextPhysicalOffset = entries.physicalOffsetAt(this.next)
    return true
  }

  /**
   * Finds out how far to read ahead: over the entries at hand that this reader will want next.
   *
   * @param coldEnd what is beyond is in memory.
   */
  lookAhead(entries: QueueEntries, fileBytes: number, coldEnd: number): void {
    const { wanted } = this
    if (wanted.count === 0) return
    const lastAt = wanted.physicalOffsets[wanted.count - 1] as number
    const from = wanted.endOf(wanted.count - 1)
    const limit = Math.min(lastAt - (lastAt % fileBytes) + fileBytes, coldEnd, this.#physicalEnd)
    let end = from
    let used = 0
    for (let offset = this.next; offset < Math.min(entries.to, this.end); offset++) {
      if (this.#tagFilter !== null && !this.#tagFilter.has(entries.tagHashAt(offset))) continue
      const at = entries.physicalOffsetAt(offset)
      const entryEnd = at + entries.sizeAt(offset)
      if (!(at >= end && entryEnd <= limit)) break
      if (at - end > READ_GAP_BYTES_MAX || entryEnd - from > AHEAD_BYTES_MAX) break
      used += entryEnd - at
      end = entryEnd
      if (used * AHEAD_BYTES_PER_USED >= end - from) this.aheadEnd = end
    }
  }
}
