/**
 * One request that looks into the records to know which are wanted: reads on, part by part, until it has what it was asked for.
 *
 * Keeps:
 *   - what was examined and not wanted is passed over, also when nothing is wanted: the reader gets on;
 *   - EXAMINED_MAX records and EXAMINING_MS_MAX, whatever the filter costs; the event loop goes round between two parts;
 *   - what is given out holds no buffers much larger than itself.
 */
import type { Clock } from '@dledger-ts/base'
import { recordQueueOffset } from '@dledger-ts/protocol'
import type { GetCallback, GetRequest, GetResult, RecordFilter } from '../api.ts'
import type { StoreError } from '../errors.ts'

/** Records read for the first part at least; each further one reads twice as many … */
const PART_COUNT_MIN = 32
/** … up to this. */
const PART_COUNT_MAX = 512
const PART_BYTES = 256 * 1024
/** Records examined for one request … */
const EXAMINED_MAX = 32_768
/** … and for how long. */
const EXAMINING_MS_MAX = 100

export interface FilteredGetOptions {
  readonly request: GetRequest
  readonly recordFilter: RecordFilter
  /** Reads without the filter. */
  readonly get: (request: GetRequest, callback: GetCallback) => void
  readonly clock: Clock
  readonly callback: GetCallback
}

export class FilteredGet {
  readonly #options: FilteredGetOptions
  readonly #records: Buffer[] = []
  readonly #beganMs: number
  #bytes = 0
  #examined = 0
  #next: number
  #partCount: number

  constructor(options: FilteredGetOptions) {
    this.#options = options
    this.#beganMs = options.clock.monotonicMs()
    this.#next = options.request.queueOffset
    this.#partCount = Math.min(PART_COUNT_MAX, Math.max(PART_COUNT_MIN, options.request.maxCount))
  }

  start(): void {
    const { request, get } = this.#options
    const maxBytes = Math.max(PART_BYTES, request.maxBytes)
    get(
      {
        ...request,
        recordFilter: null,
        limits: undefined,
        queueOffset: this.#next,
        maxCount: this.#partCount,
        maxBytes,
      },
      this.#read,
    )
  }

  /** The newest part that was read. */
  #last: GetResult | null = null

  readonly #read = (error: StoreError | null, part: GetResult | null): void => {
    const { request, callback, clock } = this.#options
    if (part === null) {
      // What is found is given out; the reader comes back for the rest and is told then.
      if (this.#last === null || this.#records.length === 0) callback(error, null)
      else this.#answer(this.#last)
      return
    }
    if (part.status !== 'FOUND' && part.status !== 'NO_MATCHED_MESSAGE') {
      if (this.#last === null) callback(null, part)
      else this.#answer(this.#last)
      return
    }
    this.#last = part
    const isFull = this.#examine(part, request)
    const isAtEnd = this.#next >= part.maxOffset
    if (isFull || isAtEnd || this.#examined >= EXAMINED_MAX || this.#elapsedMs() >= EXAMINING_MS_MAX) {
      this.#answer(part)
      return
    }
    this.#partCount = Math.min(PART_COUNT_MAX, this.#partCount * 2)
    clock.defer(() => this.start())
  }

  /** Takes the wanted ones of a part. @returns whether that is all that is asked for, or took too long. */
  #examine(part: GetResult, request: GetRequest): boolean {
    const { recordFilter } = this.#options
    const kept = this.#records.length
    const keptBytes = this.#bytes
    let isFull = false
    for (const record of part.records) {
      const isWanted = recordFilter(record)
      if (isWanted && this.#records.length > 0 && this.#bytes + record.length > request.maxBytes) {
        // The entries before it have other tags.
        this.#next = recordQueueOffset(record)
        isFull = true
        break
      }
      this.#examined++
      this.#next = recordQueueOffset(record) + 1
      if (isWanted) {
        this.#records.push(record)
        this.#bytes += record.length
      }
      if (this.#records.length >= request.maxCount || this.#elapsedMs() >= EXAMINING_MS_MAX) {
        isFull = true
        break
      }
    }
    // Behind the last record there may be entries with other tags.
    if (!isFull) this.#next = part.nextBeginOffset
    // Few of many that were read together: they would keep all of them in memory for as long as the consumer is slow.
    if ((this.#bytes - keptBytes) * 2 < part.recordBytes) {
      for (let i = kept; i < this.#records.length; i++) this.#records[i] = Buffer.from(this.#records[i] as Buffer)
    }
    return isFull
  }

  #elapsedMs(): number {
    return this.#options.clock.monotonicMs() - this.#beganMs
  }

  #answer({ minOffset, maxOffset }: GetResult): void {
    this.#options.callback(null, {
      status: this.#records.length > 0 ? 'FOUND' : 'NO_MATCHED_MESSAGE',
      nextBeginOffset: this.#next,
      minOffset,
      maxOffset,
      records: this.#records,
      recordBytes: this.#bytes,
    })
  }
}
