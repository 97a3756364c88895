/**
 * Reading messages of one queue: Apache's statuses, its rules for where to go on, and its limits.
 *
 * The newest records are in memory and answered within the call; older ones take few large reads of the log.
 *
 * Keeps:
 *   R1  Nothing is read that is not applied.
 *   R2  `nextBeginOffset` passes over entries that were examined and did not match, so a filtered reader gets on.
 *   R3  The first message goes even if it alone is larger than `maxBytes`.
 *   R4  What the log has forgotten is told as such, never as a failure, whenever it went.
 *   R5  Every record given out is the one its ConsumeQueue entry means: place, size, queue offset.
 *
 * Source: org.apache.rocketmq.store.DefaultMessageStore.getMessage.
 */
import {
  checkRecord,
  ProtocolError,
  recordPhysicalOffset,
  recordQueueId,
  recordQueueOffset,
  recordStoreTimestamp,
  recordTotalSize,
} from '@dledger-ts/protocol'
import type { GetCallback, GetRequest, GetResult, GetStatus, OffsetBoundary } from './api.ts'
import type { StoreMachine } from './apply.ts'
import type { ConsumeQueue } from './consume-queue/consume-queue.ts'
import {
  CONSUME_QUEUE_ENTRY_BYTES,
  entryPhysicalOffset,
  entrySize,
  entryTagsCode,
} from './consume-queue/entry-codec.ts'
import type { QueueFiles } from './consume-queue/queue-files.ts'
import { StoreError } from './errors.ts'
import type { MinOffsets } from './retention/min-offsets.ts'

/** ConsumeQueue entries examined for one request: Apache's 16,000 bytes. */
const SCAN_COUNT_MIN = 800
/** Records wanted by one request at most, whatever it asks for. */
const GET_COUNT_MAX = 10_000
/** Bytes given out by one request at most, whatever it asks for (one record always goes). */
const GET_BYTES_MAX = 8 * 1024 * 1024
/** One read of the log takes records with gaps up to this between them … */
const READ_GAP_BYTES_MAX = 64 * 1024
/** … up to this many bytes. */
const READ_BYTES_MAX = 1024 * 1024
/** What is read of a record to see its times: everything before the body with IPv6 hosts. */
const RECORD_HEAD_BYTES = 112

export interface LogReader {
  readBytes(pos: number, size: number, callback: (error: Error | null, bytes: Buffer | null) => void): void
}

export interface MessageReaderOptions {
  readonly machine: StoreMachine
  readonly files: QueueFiles
  readonly log: LogReader
  readonly minOffsets: MinOffsets
  /** Size of a log file: no read crosses its end. */
  readonly fileBytes: number
}

/** ConsumeQueue entries at hand, from memory or from a file. */
export interface QueueEntries {
  readonly from: number
  readonly to: number
  physicalOffsetAt(queueOffset: number): number
  sizeAt(queueOffset: number): number
  tagsCodeAt(queueOffset: number): number
}

export class MessageReader {
  readonly #machine: StoreMachine
  readonly #files: QueueFiles
  readonly #log: LogReader
  readonly #minOffsets: MinOffsets
  readonly #fileBytes: number

  constructor(options: MessageReaderOptions) {
    this.#machine = options.machine
    this.#files = options.files
    this.#log = options.log
    this.#minOffsets = options.minOffsets
    this.#fileBytes = options.fileBytes
  }

  // Hot.
  get(request: GetRequest, callback: GetCallback): void {
    const queue = this.#machine.queues.find(request.topic, request.queueId)
    if (queue === undefined || queue.nextOffset === 0) {
      const status = queue === undefined ? 'NO_MATCHED_LOGIC_QUEUE' : 'NO_MESSAGE_IN_QUEUE'
      return callback(null, without(status, 0, 0, 0))
    }
    const { minOffset, nextOffset: maxOffset } = queue
    const { queueOffset } = request
    if (queueOffset < minOffset) return callback(null, without('OFFSET_TOO_SMALL', minOffset, minOffset, maxOffset))
    if (queueOffset === maxOffset) {
      return callback(null, without('OFFSET_OVERFLOW_ONE', queueOffset, minOffset, maxOffset))
    }
    if (queueOffset > maxOffset) {
      return callback(null, without('OFFSET_OVERFLOW_BADLY', maxOffset, minOffset, maxOffset))
    }
    const scanCount = Math.max(SCAN_COUNT_MIN, Math.min(request.maxCount, GET_COUNT_MAX))
    const scan = new Scan(request, queue, Math.min(queueOffset + scanCount, maxOffset))
    this.#scan(scan, (error) => {
      const { wanted, next } = scan
      if (this.#isGone(queue, queueOffset, wanted)) return this.#tellGone(queue, callback)
      if (error !== null) return callback(error, null)
      if (wanted.count === 0) return callback(null, without('NO_MATCHED_MESSAGE', next, minOffset, maxOffset))
      this.#fetch(wanted, (fetchError) => {
        if (this.#isGone(queue, queueOffset, wanted)) return this.#tellGone(queue, callback)
        if (fetchError !== null) return callback(fetchError, null)
        const { records, bytes: recordBytes } = wanted
        callback(null, { status: 'FOUND', nextBeginOffset: next, minOffset, maxOffset, records, recordBytes })
      })
    })
  }

  /** Entries of a queue from `from` on, at least one and at most `count`; from memory within the call. */
  entries(
    queue: ConsumeQueue,
    from: number,
    count: number,
    callback: (error: StoreError | null, entries: QueueEntries | null) => void,
  ): void {
    const to = Math.min(from + count, queue.nextOffset)
    if (from >= queue.tailFrom) return callback(null, new TailEntries(queue, from, to))
    this.#files.read(queue, from, Math.min(to, queue.tailFrom), (error, bytes) => {
      if (error === null) return callback(null, new ReadEntries(from, bytes as Buffer))
      const what = `queue ${queue.topic}/${queue.queueId} cannot be read at ${from}: ${error.message}`
      callback(new StoreError(what, { code: 'STORAGE_FAILED', what }, { cause: error }), null)
    })
  }

  /** Where a message's record starts, as far as that is known without reading; else -1. */
  knownPhysicalOffset(topic: string, queueId: number, queueOffset: number): number {
    const queue = this.#machine.queues.find(topic, queueId)
    if (queue === undefined || queueOffset < queue.minOffset || queueOffset >= queue.nextOffset) return -1
    if (queueOffset === queue.minOffset) return queue.firstPhysicalOffset
    return queueOffset >= queue.tailFrom ? queue.physicalOffsetAt(queueOffset) : -1
  }

  async offsetByTimestamp(
    topic: string,
    queueId: number,
    timestamp: number,
    boundary: OffsetBoundary,
  ): Promise<number> {
    const queue = this.#machine.queues.find(topic, queueId)
    if (queue === undefined || queue.nextOffset === 0) return 0
    await this.#settled(queue)
    // The first offset whose message is not older (LOWER), or is newer (UPPER).
    let low = queue.minOffset
    let high = queue.nextOffset
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const time = await this.#storeTimeOf(queue, middle)
      if (time === -1) {
        // It went meanwhile, and everything before it.
        low = Math.max(low, queue.minOffset)
        high = Math.max(high, low)
        continue
      }
      if (boundary === 'LOWER' ? time < timestamp : time <= timestamp) low = middle + 1
      else high = middle
    }
    return boundary === 'LOWER' ? low : Math.max(queue.minOffset, low - 1)
  }

  async storeTimeAt(topic: string, queueId: number, queueOffset: number): Promise<number> {
    const queue = this.#machine.queues.find(topic, queueId)
    if (queue === undefined) return -1
    await this.#settled(queue)
    if (queueOffset < queue.minOffset || queueOffset >= queue.nextOffset) return -1
    return this.#storeTimeOf(queue, queueOffset)
  }

  async earliestStoreTime(topic: string, queueId: number): Promise<number> {
    const queue = this.#machine.queues.find(topic, queueId)
    if (queue === undefined) return -1
    for (;;) {
      await this.#settled(queue)
      if (queue.minOffset === queue.nextOffset) return -1
      const time = await this.#storeTimeOf(queue, queue.minOffset)
      if (time !== -1) return time
    }
  }

  /** Resolves when the minimum of a queue is the one for the log as it starts now. */
  #settled(queue: ConsumeQueue): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#minOffsets.settle(queue, (error) => (error === null ? resolve() : reject(error)))
    })
  }

  async messageAt(physicalOffset: number): Promise<Buffer | undefined> {
    const end = this.#machine.applied.physicalEnd
    if (!Number.isSafeInteger(physicalOffset) || physicalOffset < 0 || physicalOffset + 8 > end) return undefined
    try {
      return await this.#messageAt(physicalOffset, end)
    } catch (error) {
      if (physicalOffset < this.#machine.logStartPos) return undefined
      throw error
    }
  }

  async #messageAt(physicalOffset: number, end: number): Promise<Buffer | undefined> {
    if (physicalOffset < this.#machine.logStartPos) return undefined
    const fileEnd = physicalOffset - (physicalOffset % this.#fileBytes) + this.#fileBytes
    if (physicalOffset + 8 > fileEnd) return undefined
    const size = recordTotalSize(await this.#bytes(physicalOffset, 8))
    if (size < 8 || physicalOffset + size > Math.min(end, fileEnd)) return undefined
    const record = await this.#bytes(physicalOffset, size)
    try {
      if (checkRecord(record) !== size || recordPhysicalOffset(record) !== physicalOffset) return undefined
    } catch (error) {
      if (error instanceof ProtocolError) return undefined
      throw error
    }
    return record
  }

  // ------------------------------------------------------------------------------------------------ one request

  /** Whether the log has forgotten what is asked for, before or while it was read. */
  #isGone(queue: ConsumeQueue, queueOffset: number, wanted: Wanted): boolean {
    if (queueOffset < queue.minOffset) return true
    return wanted.count > 0 && (wanted.physicalOffsets[0] as number) < this.#machine.logStartPos
  }

  #tellGone(queue: ConsumeQueue, callback: GetCallback): void {
    this.#minOffsets.settle(queue, (error) => {
      if (error !== null) return callback(error, null)
      const { minOffset, nextOffset } = queue
      callback(null, without('OFFSET_TOO_SMALL', minOffset, minOffset, nextOffset))
    })
  }

  /** Examines entries, which may lie in several files and in memory, until the scan is done. */
  #scan(scan: Scan, callback: (error: StoreError | null) => void): void {
    this.entries(scan.queue, scan.next, scan.end - scan.next, (error, entries) => {
      if (error !== null) return callback(error)
      if (scan.examine(entries as QueueEntries)) callback(null)
      else this.#scan(scan, callback)
    })
  }

  /** Fills in the records: from memory where they are, the rest by reads that take neighbours together. */
  #fetch(wanted: Wanted, callback: (error: StoreError | null) => void): void {
    let underWay = 1
    let failure: StoreError | null = null
    const done = (error: StoreError | null): void => {
      failure ??= error
      underWay--
      if (underWay === 0) callback(failure)
    }
    for (let i = 0; i < wanted.count; i++) {
      const at = wanted.physicalOffsets[i] as number
      const hot = this.#machine.hot.find(at, wanted.sizes[i] as number)
      if (hot !== undefined) {
        failure ??= wanted.fill(i, hot)
        continue
      }
      const to = this.#neighbours(wanted, i)
      const end = (wanted.physicalOffsets[to - 1] as number) + (wanted.sizes[to - 1] as number)
      underWay++
      const from = i
      this.#log.readBytes(at, end - at, (error, bytes) => {
        if (error !== null || bytes === null) return done(unreadable(at, error))
        let wrong: StoreError | null = null
        for (let j = from; j < to; j++) {
          const start = (wanted.physicalOffsets[j] as number) - at
          wrong ??= wanted.fill(j, bytes.subarray(start, start + (wanted.sizes[j] as number)))
        }
        done(wrong)
      })
      i = to - 1
    }
    done(null)
  }

  /** @returns one after the last record that is read together with the i-th. */
  #neighbours(wanted: Wanted, i: number): number {
    const at = wanted.physicalOffsets[i] as number
    const fileEnd = at - (at % this.#fileBytes) + this.#fileBytes
    let end = at + (wanted.sizes[i] as number)
    let to = i + 1
    for (; to < wanted.count; to++) {
      const nextAt = wanted.physicalOffsets[to] as number
      const nextEnd = nextAt + (wanted.sizes[to] as number)
      if (nextAt - end > READ_GAP_BYTES_MAX || nextEnd - at > READ_BYTES_MAX || nextEnd > fileEnd) break
      end = nextEnd
    }
    return to
  }

  // ------------------------------------------------------------------------------------------------ single records

  /** @returns -1 when the log has forgotten it; the minimum of its queue is beyond it then. */
  async #storeTimeOf(queue: ConsumeQueue, queueOffset: number): Promise<number> {
    try {
      return await this.#storeTimeIn(queue, queueOffset)
    } catch (error) {
      await this.#settled(queue)
      if (queueOffset < queue.minOffset) return -1
      throw error
    }
  }

  async #storeTimeIn(queue: ConsumeQueue, queueOffset: number): Promise<number> {
    const entries = await new Promise<QueueEntries>((resolve, reject) => {
      this.entries(queue, queueOffset, 1, (error, found) =>
        error === null ? resolve(found as QueueEntries) : reject(error),
      )
    })
    const at = entries.physicalOffsetAt(queueOffset)
    const head = await this.#bytes(at, Math.min(entries.sizeAt(queueOffset), RECORD_HEAD_BYTES))
    if (recordPhysicalOffset(head) !== at) throw mismatch(queue, queueOffset, at)
    return recordStoreTimestamp(head)
  }

  async #bytes(physicalOffset: number, size: number): Promise<Buffer> {
    const hot = this.#machine.hot.find(physicalOffset, size)
    if (hot !== undefined) return hot
    return new Promise((resolve, reject) => {
      this.#log.readBytes(physicalOffset, size, (error, bytes) => {
        if (error !== null || bytes === null) reject(unreadable(physicalOffset, error))
        else resolve(bytes)
      })
    })
  }
}

/** The examination of one queue for one request. */
class Scan {
  readonly queue: ConsumeQueue
  readonly wanted: Wanted
  /** Not examined from here on. */
  next: number
  /** Not to be examined from here on. */
  readonly end: number
  readonly #tagFilter: ReadonlySet<number> | null
  readonly #maxCount: number
  readonly #maxBytes: number

  constructor(request: GetRequest, queue: ConsumeQueue, end: number) {
    this.queue = queue
    this.wanted = new Wanted(queue)
    this.next = request.queueOffset
    this.end = end
    this.#tagFilter = request.tagFilter
    this.#maxCount = Math.min(Math.max(1, request.maxCount), GET_COUNT_MAX)
    this.#maxBytes = Math.min(request.maxBytes, GET_BYTES_MAX)
  }

  /** Examines entries from `next` on. @returns whether the scan is done. Hot. */
  examine(entries: QueueEntries): boolean {
    const { wanted } = this
    const filter = this.#tagFilter
    const end = Math.min(this.end, entries.to)
    for (; this.next < end; this.next++) {
      if (wanted.count >= this.#maxCount) return true
      if (filter !== null && !filter.has(entries.tagsCodeAt(this.next) | 0)) continue
      const size = entries.sizeAt(this.next)
      if (wanted.count > 0 && wanted.bytes + size > this.#maxBytes) return true
      wanted.add(this.next, entries.physicalOffsetAt(this.next), size)
    }
    return this.next >= this.end
  }
}

/** The records that one request gives out. */
class Wanted {
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
      recordQueueId(record) !== this.queue.queueId
    ) {
      return mismatch(this.queue, queueOffset, physicalOffset)
    }
    this.records[i] = record
    return null
  }
}

class TailEntries implements QueueEntries {
  readonly from: number
  readonly to: number
  readonly #queue: ConsumeQueue

  constructor(queue: ConsumeQueue, from: number, to: number) {
    this.#queue = queue
    this.from = from
    this.to = to
  }

  physicalOffsetAt(queueOffset: number): number {
    return this.#queue.physicalOffsetAt(queueOffset)
  }

  sizeAt(queueOffset: number): number {
    return this.#queue.sizeAt(queueOffset)
  }

  tagsCodeAt(queueOffset: number): number {
    return this.#queue.tagsCodeAt(queueOffset)
  }
}

class ReadEntries implements QueueEntries {
  readonly from: number
  readonly to: number
  readonly #bytes: Buffer

  constructor(from: number, bytes: Buffer) {
    this.#bytes = bytes
    this.from = from
    this.to = from + bytes.length / CONSUME_QUEUE_ENTRY_BYTES
  }

  physicalOffsetAt(queueOffset: number): number {
    return entryPhysicalOffset(this.#bytes, (queueOffset - this.from) * CONSUME_QUEUE_ENTRY_BYTES)
  }

  sizeAt(queueOffset: number): number {
    return entrySize(this.#bytes, (queueOffset - this.from) * CONSUME_QUEUE_ENTRY_BYTES)
  }

  tagsCodeAt(queueOffset: number): number {
    return entryTagsCode(this.#bytes, (queueOffset - this.from) * CONSUME_QUEUE_ENTRY_BYTES)
  }
}

function without(status: GetStatus, nextBeginOffset: number, minOffset: number, maxOffset: number): GetResult {
  return { status, nextBeginOffset, minOffset, maxOffset, records: [], recordBytes: 0 }
}

function mismatch(queue: ConsumeQueue, queueOffset: number, physicalOffset: number): StoreError {
  const what = `entry ${queueOffset} of queue ${queue.topic}/${queue.queueId} points to ${physicalOffset}, where another record stands`
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset })
}

function unreadable(physicalOffset: number, cause: Error | null): StoreError {
  const what = `the log cannot be read at ${physicalOffset}${cause === null ? '' : `: ${cause.message}`}`
  return new StoreError(what, { code: 'STORAGE_FAILED', what }, { cause })
}
