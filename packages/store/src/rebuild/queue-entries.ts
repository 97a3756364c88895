/**
 * Writes the ConsumeQueue entries of the records that a scan of the log gives: the same bytes at the same places as apply had
 * them written, so it may be repeated, and goes on while the queues grow.
 *
 * Keeps:
 *   E1  Only entries that the queue table has, [minOffset, nextOffset), are written.
 *   E2  Entries in memory stay below a bound; the writes of one flush end before the next entries are taken.
 */
import { recordQueueId, recordQueueOffset } from '@dledger-ts/protocol'
import type { CommittedEntry } from '@dledger-ts/dledger'
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import { CONSUME_QUEUE_ENTRY_BYTES, writeConsumeQueueEntry } from '../consume-queue/entry-codec.ts'
import { checkWholeRecord, queuedTopicOf, tagsCodeOfRecord } from '../consume-queue/entry-of-record.ts'
import type { QueueFiles } from '../consume-queue/queue-files.ts'
import type { QueueTable } from '../consume-queue/queue-table.ts'
import { StoreError } from '../errors.ts'
import { physicalOffsetOf } from '../log-place.ts'
import { inLanes } from '../lanes.ts'
import type { ScanConsumer } from './log-scan.ts'
import type { RebuiltSums } from './rebuilt-sums.ts'

/** Entries kept back until they are written; the more, the fewer writes for a queue. */
const PENDING_BYTES_MAX = 4 * 1024 * 1024
/** What a queue with pending entries costs beside them. */
const RUN_CHARGE_BYTES = 256
const FIRST_CAPACITY = 8
/** Writes under way at once. */
const WRITES_MAX = 16

export interface QueueEntriesOptions {
  readonly queues: QueueTable
  readonly files: QueueFiles
  /** Told of all that is written. */
  readonly sums: RebuiltSums
  readonly delayLevelsMs: readonly number[]
  /** The queues that are written; null for all. */
  readonly only: ReadonlySet<ConsumeQueue> | null
}

/** Consecutive entries of one queue. */
class Run {
  readonly from: number
  count = 0
  bytes = Buffer.allocUnsafe(FIRST_CAPACITY * CONSUME_QUEUE_ENTRY_BYTES)

  constructor(from: number) {
    this.from = from
  }

  add(physicalOffset: number, size: number, tagsCode: number): void {
    const at = this.count * CONSUME_QUEUE_ENTRY_BYTES
    if (at === this.bytes.length) {
      const larger = Buffer.allocUnsafe(this.bytes.length * 2)
      this.bytes.copy(larger)
      this.bytes = larger
    }
    writeConsumeQueueEntry(this.bytes, at, physicalOffset, size, tagsCode)
    this.count++
  }
}

export class QueueEntriesWriter implements ScanConsumer {
  readonly #options: QueueEntriesOptions
  #runs = new Map<ConsumeQueue, Run>()
  /** One after the last entry taken. */
  readonly #ends = new Map<ConsumeQueue, number>()
  #pendingBytes = 0
  /** Entries written or pending. */
  count = 0

  constructor(options: QueueEntriesOptions) {
    this.#options = options
  }

  take(entries: readonly CommittedEntry[], callback: (error: Error | null) => void): void {
    for (const entry of entries) this.#add(entry)
    if (this.#pendingBytes < PENDING_BYTES_MAX) callback(null)
    else this.#flush(callback)
  }

  end(callback: (error: Error | null) => void): void {
    this.#flush((error) => {
      if (error === null) this.#options.sums.end(callback)
      else callback(error)
    })
  }

  #add(entry: CommittedEntry): void {
    const record = entry.body
    const physicalOffset = physicalOffsetOf(entry.pos)
    checkWholeRecord(record, physicalOffset)
    const topic = queuedTopicOf(entry)
    if (topic === undefined) return
    const { queues, only, delayLevelsMs } = this.#options
    const queue = queues.find(topic, recordQueueId(record))
    if (queue === undefined || (only !== null && !only.has(queue))) return
    const queueOffset = recordQueueOffset(record)
    if (queueOffset < queue.minOffset) return
    // Apache may have given an offset twice: as in apply, the first record counts.
    if (queueOffset < (this.#ends.get(queue) ?? 0)) return
    this.#ends.set(queue, queueOffset + 1)
    let run = this.#runs.get(queue)
    if (run === undefined) {
      run = new Run(queueOffset)
      this.#runs.set(queue, run)
      this.#pendingBytes += RUN_CHARGE_BYTES
    }
    if (queueOffset !== run.from + run.count || queueOffset >= queue.nextOffset) {
      const what = `the record at ${physicalOffset} has queue offset ${queueOffset} in ${topic}/${queue.queueId}, not the next one`
      throw new StoreError(what, { code: 'CORRUPT', what, physicalOffset })
    }
    run.add(physicalOffset, record.length, tagsCodeOfRecord(record, topic, delayLevelsMs))
    this.#pendingBytes += CONSUME_QUEUE_ENTRY_BYTES
    this.count++
  }

  #flush(callback: (error: Error | null) => void): void {
    const runs = [...this.#runs]
    this.#runs = new Map()
    this.#pendingBytes = 0
    const { files, sums } = this.#options
    const write = (i: number, done: (error: Error | null) => void): void => {
      const [queue, { from, count, bytes }] = runs[i] as (typeof runs)[number]
      const entries = bytes.subarray(0, count * CONSUME_QUEUE_ENTRY_BYTES)
      sums.add(queue, from, entries)
      files.write(queue, from, entries, done)
    }
    sums.begin((failure) => {
      if (failure !== null) return callback(failure)
      inLanes({ count: runs.length, lanes: WRITES_MAX, begin: write }, (error) => {
        if (error === null) sums.store(callback)
        else callback(error)
      })
    })
  }
}
