/**
 * Reading messages of one queue: Apache's statuses, its rules for where to go on, and its limits.
 *
 * The newest entries and records are in memory and answered within the call. The others come from files, by few large asynchronous
 * reads that all who want the same share, in turn and within limits (read/), so that readers of a backlog hurt nobody else.
 *
 * Keeps:
 *   R1  Nothing is read that is not applied.
 *   R2  `nextBeginOffset` passes over entries that were examined and did not match, so a filtered reader gets on.
 *   R3  The first message goes even if it alone is larger than `maxBytes`.
 *   R4  What the log has forgotten is told as such, never as a failure, whenever it went.
 *   R5  Every record given out is the one its ConsumeQueue entry means, place, size, queue offset, and as it was written; one that the
 *       log has lost is an error that names the place, and takes no other one with it.
 *   R6  What waits for a file is limited (read/admission.ts, read/read-lane.ts); beyond that a request is refused with BUSY.
 *
 * Source: org.apache.rocketmq.store.DefaultMessageStore.getMessage.
 */
import type { Clock } from '@dledger-ts/base'
import {
  checkRecord,
  ProtocolError,
  RECORD_BYTES_MIN,
  recordHasTopic,
  recordPhysicalOffset,
  recordQueueId,
  recordQueueOffset,
  recordStoreTimestamp,
  recordTotalSize,
} from '@dledger-ts/protocol'
import type { GetCallback, GetRequest, GetResult, GetStatus, OffsetBoundary, QueueEntry } from './api.ts'
import type { StoreMachine } from './apply.ts'
import type { ConsumeQueue } from './consume-queue/consume-queue.ts'
import type { CheckedEntries } from './consume-queue/checked-entries.ts'
import { StoreError } from './errors.ts'
import { ENTRY_HEADER_BYTES, physicalOffsetOf } from './log-place.ts'
import { Admission } from './read/admission.ts'
import { BufferPool } from './read/buffer-pool.ts'
import { ColdGet, type ColdGetParts } from './read/cold-get.ts'
import { type EntriesCallback, EntryBlocks } from './read/entry-blocks.ts'
import { fillHot } from './read/fetch.ts'
import { FilteredGet } from './read/filtered-get.ts'
import { LogBlocks, type LogReader } from './read/log-blocks.ts'
import { type QueueEntries, TailEntries } from './read/queue-entries.ts'
import { isClosed, isUnreadableLog, mismatch, noEntry } from './read/read-errors.ts'
import { ReadLane } from './read/read-lane.ts'
import { Scan } from './read/scan.ts'
import { SequentialReaders } from './read/sequential-readers.ts'
import { searchTime } from './read/time-search.ts'
import { isWholeRecord, readChecked } from './read/whole-record.ts'
import type { QueueRepairs } from './rebuild/queue-repairs.ts'
import type { MinOffsets } from './retention/min-offsets.ts'

export type { LogReader } from './read/log-blocks.ts'
export type { QueueEntries } from './read/queue-entries.ts'

/** What waits in memory to be read into or copied to again. */
const POOL_BYTES_MAX = 2 * 1024 * 1024

export interface MessageReaderOptions {
  readonly machine: StoreMachine
  readonly files: CheckedEntries
  readonly log: LogReader
  readonly clock: Clock
  readonly minOffsets: MinOffsets
  /** Told of queues whose files do not hold what they must, and waited for. */
  readonly repairs: Pick<QueueRepairs, 'damaged' | 'whenWhole'>
  /** Size of a log file: no read crosses its end. */
  readonly fileBytes: number
  /** So many bytes before the newest one count as being in memory. */
  readonly inMemoryBytes: number
}

export class MessageReader {
  readonly #machine: StoreMachine
  readonly #minOffsets: MinOffsets
  readonly #repairs: MessageReaderOptions['repairs']
  readonly #fileBytes: number
  readonly #inMemoryBytes: number
  readonly #clock: Clock
  readonly #lane = new ReadLane()
  readonly #pool = new BufferPool(POOL_BYTES_MAX)
  readonly #entryBlocks: EntryBlocks
  readonly #blocks: LogBlocks
  readonly #cold: ColdGetParts
  #closed = false

  constructor({ machine, files, log, clock, minOffsets, repairs, fileBytes, inMemoryBytes }: MessageReaderOptions) {
    const lane = this.#lane
    this.#machine = machine
    this.#minOffsets = minOffsets
    this.#repairs = repairs
    this.#fileBytes = fileBytes
    this.#inMemoryBytes = inMemoryBytes
    this.#clock = clock
    this.#entryBlocks = new EntryBlocks({ files, lane, clock, machine, fileBytes })
    this.#blocks = new LogBlocks({
      log,
      lane,
      clock,
      pool: this.#pool,
      fileBytes,
      coldEnd: () => Math.min(machine.hot.start, machine.applied.physicalEnd),
    })
    this.#cold = {
      clock,
      admission: new Admission(clock),
      blocks: this.#blocks,
      log,
      hot: machine.hot,
      readers: new SequentialReaders(),
      fileBytes,
      entries: (scan, callback) => this.entries(scan.queue, scan.next, scan.windowCount, callback),
    }
  }

  // Hot.
  get(request: GetRequest, callback: GetCallback): void {
    const { recordFilter } = request
    if (recordFilter === undefined || recordFilter === null) return this.#get(request, callback)
    const get = (part: GetRequest, told: GetCallback) => this.#get(part, told)
    new FilteredGet({ request: withinRecent(request), recordFilter, get, clock: this.#clock, callback }).start()
  }

  #get(request: GetRequest, callback: GetCallback): void {
    const queue = this.#machine.queues.find(request.topic, request.queueId)
    if (queue === undefined || queue.nextOffset === 0) {
      const status = queue === undefined ? 'NO_MATCHED_LOGIC_QUEUE' : 'NO_MESSAGE_IN_QUEUE'
      return callback(null, without(status, 0, 0, 0))
    }
    const { minOffset, nextOffset: maxOffset } = queue
    const { queueOffset } = request
    if (queue.minIsUnknown && queueOffset < queue.tailFrom && this.#machine.logStartPos > 0) {
      return this.#whenMinIsKnown(queue, request, callback)
    }
    if (queueOffset < minOffset) return callback(null, without('OFFSET_TOO_SMALL', minOffset, minOffset, maxOffset))
    if (queueOffset === maxOffset) {
      return callback(null, without('OFFSET_OVERFLOW_ONE', queueOffset, minOffset, maxOffset))
    }
    if (queueOffset > maxOffset) {
      return callback(null, without('OFFSET_OVERFLOW_BADLY', maxOffset, minOffset, maxOffset))
    }
    if (this.#closed) return callback(isClosed(), null)
    const { physicalEnd } = this.#machine.applied
    const scan = new Scan(request, queue, {
      physicalEnd,
      recentFrom: physicalEnd - this.#inMemoryBytes,
      pool: this.#pool,
    })
    const fromMemory = this.#tryMemory(scan)
    if (fromMemory !== false) return this.#answer(scan, fromMemory === true ? null : fromMemory, request, callback)
    new ColdGet(this.#cold, scan, (error) => this.#answer(scan, error, request, callback)).start()
  }

  /** Entries of a queue from `from` on, at least one and at most `count`; from memory within the call. */
  entries(queue: ConsumeQueue, from: number, count: number, callback: EntriesCallback): void {
    const to = Math.min(from + count, queue.nextOffset)
    if (from >= queue.tailFrom) return callback(null, new TailEntries(queue, from, to))
    if (this.#closed) return callback(isClosed(), null)
    if (queue.isBroken) {
      return this.#repairs.whenWhole(queue, (error) => {
        if (error === null) this.entries(queue, from, count, callback)
        else callback(error, null)
      })
    }
    this.#entryBlocks.read(queue, from, Math.min(to, queue.tailFrom), callback)
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
    const timed = {
      get minOffset(): number {
        return queue.minOffset
      },
      nextOffset: queue.nextOffset,
      storeTimeOf: (queueOffset: number) => this.#storeTimeOf(queue, queueOffset),
    }
    return searchTime(timed, timestamp, boundary)
  }

  async storeTimeAt(topic: string, queueId: number, queueOffset: number): Promise<number> {
    const queue = this.#machine.queues.find(topic, queueId)
    if (queue === undefined) return -1
    await this.#settled(queue)
    if (queueOffset < queue.minOffset || queueOffset >= queue.nextOffset) return -1
    return (await this.#storeTimeOf(queue, queueOffset)) ?? -1
  }

  async queueEntries(
    topic: string,
    queueId: number,
    from: number,
    count: number,
  ): Promise<readonly QueueEntry[] | undefined> {
    const queue = this.#machine.queues.find(topic, queueId)
    if (queue === undefined) return undefined
    await this.#settled(queue)
    const found: QueueEntry[] = []
    if (from < queue.minOffset) return found
    const to = Math.min(from + count, queue.nextOffset)
    while (from + found.length < to) await this.#takeEntries(queue, from + found.length, to, found)
    return found
  }

  /** Adds at least one entry, at most those before `to`. */
  #takeEntries(queue: ConsumeQueue, from: number, to: number, found: QueueEntry[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.entries(queue, from, to - from, (error, read) => {
        if (error !== null) return reject(error)
        const entries = read as QueueEntries
        for (let at = from; at < Math.min(entries.to, to); at++) {
          found.push({
            physicalOffset: entries.physicalOffsetAt(at),
            size: entries.sizeAt(at),
            tagsCode: entries.tagsCodeAt(at),
          })
        }
        resolve()
      })
    })
  }

  async earliestStoreTime(topic: string, queueId: number): Promise<number> {
    const queue = this.#machine.queues.find(topic, queueId)
    if (queue === undefined) return -1
    for (;;) {
      await this.#settled(queue)
      if (queue.minOffset === queue.nextOffset) return -1
      const time = await this.#storeTimeOf(queue, queue.minOffset)
      if (time !== undefined) return time
    }
  }

  /** Of the oldest record that the log has; -1 where it has none, or where that one is damaged. */
  async oldestStoreTime(): Promise<number> {
    try {
      const record = await this.messageAt(physicalOffsetOf(this.#machine.logStartPos))
      return record === undefined ? -1 : recordStoreTimestamp(record)
    } catch (error) {
      if (error instanceof StoreError && error.code === 'CORRUPT') return -1
      throw error
    }
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

  /** Refuses what waits and all that comes; calls back when no file is being read. */
  close(callback: () => void): void {
    this.#closed = true
    this.#cold.admission.close()
    this.#lane.close(() => {
      this.#entryBlocks.clear()
      this.#blocks.clear()
      callback()
    })
  }

  // ------------------------------------------------------------------------------------------------ inside

  /** Examines and fills in what is in memory. @returns whether the request is answered, or what is wrong. Hot. */
  #tryMemory(scan: Scan): boolean | StoreError {
    const { queue, next } = scan
    if (next < queue.tailFrom) return false
    const isDone = scan.examine(new TailEntries(queue, next, queue.nextOffset))
    if (typeof isDone === 'object') return isDone
    if (scan.wanted.count === 0) return scan.next === queue.nextOffset
    return fillHot(scan.wanted, this.#machine.hot)
  }

  /** The queue came with the state of another member: what is asked for may be there and not built yet, or be gone. */
  #whenMinIsKnown(queue: ConsumeQueue, request: GetRequest, callback: GetCallback): void {
    this.#minOffsets.settle(queue, (error) => {
      if (error === null) return this.#get(request, callback)
      callback(null, without('OFFSET_FOUND_NULL', request.queueOffset, queue.minOffset, queue.nextOffset))
    })
  }

  /** Tells what the scan found, unless the log has forgotten what was asked for, before or while it was read. */
  #answer(scan: Scan, error: StoreError | null, request: GetRequest, callback: GetCallback): void {
    const { queue, wanted, first } = scan
    const isGone =
      first < queue.minOffset || (wanted.count > 0 && (wanted.physicalOffsets[0] as number) < this.#machine.logStartPos)
    if (isGone) return this.#tellGone(queue, request, callback)
    const filled = error === null ? wanted.count : wanted.filledCount
    if (error !== null && (filled === 0 || !isUnreadableLog(error)))
      return this.#failed(error, queue, request, callback)
    // What comes before it is good: the next request meets the damage.
    const next = filled < wanted.count ? wanted.keepFirst(filled) : scan.next
    const { minOffset } = queue
    if (wanted.count === 0) return callback(null, without('NO_MATCHED_MESSAGE', next, minOffset, scan.end))
    const { records, bytes: recordBytes, release } = wanted
    const range = { nextBeginOffset: next, minOffset, maxOffset: scan.end }
    callback(null, { status: 'FOUND', ...range, records, recordBytes, release })
  }

  #tellGone(queue: ConsumeQueue, request: GetRequest, callback: GetCallback): void {
    this.#minOffsets.settle(queue, (error) => {
      if (error !== null) return callback(error, null)
      const { minOffset, nextOffset } = queue
      // Not gone: its entry points to where nothing is any more.
      const { queueOffset } = request
      if (queueOffset >= minOffset) return this.#failed(noEntry(queue, queueOffset), queue, request, callback)
      callback(null, without('OFFSET_TOO_SMALL', minOffset, minOffset, nextOffset))
    })
  }

  /** When the queue's files are wrong, they are built again, and the request is served then. */
  #failed(error: StoreError, queue: ConsumeQueue, request: GetRequest, callback: GetCallback): void {
    if (!this.#isBeingRepaired(queue, error)) return callback(error, null)
    this.#repairs.whenWhole(queue, (waited) => {
      if (waited === null) this.#get(request, callback)
      else callback(waited, null)
    })
  }

  #isBeingRepaired(queue: ConsumeQueue, error: unknown): boolean {
    if (!(error instanceof StoreError) || error.code !== 'CORRUPT' || isUnreadableLog(error)) return false
    this.#entryBlocks.forget(queue)
    return this.#repairs.damaged(queue, error.message)
  }

  /** Resolves when the minimum of a queue is the one for the log as it starts now. */
  #settled(queue: ConsumeQueue): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#minOffsets.settle(queue, (error) => (error === null ? resolve() : reject(error)))
    })
  }

  async #messageAt(physicalOffset: number, end: number): Promise<Buffer | undefined> {
    if (physicalOffset < this.#machine.logStartPos) return undefined
    const readEnd = Math.min(end, physicalOffset - (physicalOffset % this.#fileBytes) + this.#fileBytes)
    if (physicalOffset + 8 > readEnd || physicalOffset < ENTRY_HEADER_BYTES) return undefined
    const size = recordTotalSize(await this.#bytes(physicalOffset, 8))
    const isPossible = size >= RECORD_BYTES_MIN && physicalOffset + size <= readEnd
    const record = isPossible ? await this.#record(physicalOffset, size) : await this.#checked(physicalOffset)
    try {
      if (record === null || checkRecord(record) !== record.length) return undefined
    } catch (error) {
      if (error instanceof ProtocolError) return undefined
      throw error
    }
    return recordPhysicalOffset(record) === physicalOffset ? record : undefined
  }

  /** The record of `size` bytes at a place, as it was written; what else stands there, or null for nothing, where it does not. */
  async #record(physicalOffset: number, size: number): Promise<Buffer | null> {
    const hot = this.#machine.hot.find(physicalOffset, size)
    if (hot !== undefined) return hot
    if (physicalOffset < ENTRY_HEADER_BYTES) return null
    const entry = await this.#bytes(physicalOffset - ENTRY_HEADER_BYTES, ENTRY_HEADER_BYTES + size)
    if (isWholeRecord(entry, 0, physicalOffset, size)) return entry.subarray(ENTRY_HEADER_BYTES)
    return this.#checked(physicalOffset)
  }

  #checked(physicalOffset: number): Promise<Buffer | null> {
    return new Promise((resolve, reject) => {
      readChecked(this.#cold.log, physicalOffset, (error, record) => (error === null ? resolve(record) : reject(error)))
    })
  }

  /** undefined when the log has forgotten it; the minimum of its queue is beyond it then. */
  async #storeTimeOf(queue: ConsumeQueue, queueOffset: number): Promise<number | undefined> {
    for (;;) {
      try {
        return await this.#tryStoreTimeOf(queue, queueOffset)
      } catch (error) {
        await this.#settled(queue)
        if (queueOffset < queue.minOffset) return undefined
        if (!this.#isBeingRepaired(queue, error)) throw error
      }
      await new Promise<void>((resolve, reject) => {
        this.#repairs.whenWhole(queue, (error) => (error === null ? resolve() : reject(error)))
      })
    }
  }

  async #tryStoreTimeOf(queue: ConsumeQueue, queueOffset: number): Promise<number> {
    const { at, size } = await this.#placeOf(queue, queueOffset)
    if (!(size > 0 && at >= 0 && at + size <= this.#machine.applied.physicalEnd)) throw noEntry(queue, queueOffset)
    const record = await this.#record(at, size)
    if (
      record === null ||
      record.length !== size ||
      recordPhysicalOffset(record) !== at ||
      recordQueueOffset(record) !== queueOffset ||
      recordQueueId(record) !== queue.queueId ||
      !recordHasTopic(record, queue.topic)
    ) {
      throw mismatch(queue, queueOffset, at)
    }
    return recordStoreTimestamp(record)
  }

  #placeOf(queue: ConsumeQueue, queueOffset: number): Promise<{ readonly at: number; readonly size: number }> {
    return new Promise((resolve, reject) => {
      this.entries(queue, queueOffset, 1, (error, read) => {
        if (error !== null) return reject(error)
        const entries = read as QueueEntries
        resolve({ at: entries.physicalOffsetAt(queueOffset), size: entries.sizeAt(queueOffset) })
      })
    })
  }

  async #bytes(physicalOffset: number, size: number): Promise<Buffer> {
    const hot = this.#machine.hot.find(physicalOffset, size)
    if (hot !== undefined) return hot
    return new Promise((resolve, reject) => {
      this.#blocks.read(physicalOffset, size, (error, bytes) => {
        if (error === null) resolve(bytes as Buffer)
        else reject(error)
      })
    })
  }
}

function withinRecent({ limits, ...request }: GetRequest): GetRequest {
  if (limits === undefined) return request
  const { maxCount, maxBytes } = limits.recent
  return { ...request, maxCount: Math.min(request.maxCount, maxCount), maxBytes: Math.min(request.maxBytes, maxBytes) }
}

function without(status: GetStatus, nextBeginOffset: number, minOffset: number, maxOffset: number): GetResult {
  return { status, nextBeginOffset, minOffset, maxOffset, records: [], recordBytes: 0 }
}
