/**
 * Reads of queue files that are compared with the sums of what was written (entry-sums.ts).
 *
 * Keeps: what is given out is what was written, as far as there are sums for it; else the read ends with StoreError CORRUPT that names the
 * entries. The newest part is compared with the sum that its queue has in memory, all others with rows of the database.
 */
import { StoreError } from '../errors.ts'
import type { ConsumeQueue } from './consume-queue.ts'
import { CONSUME_QUEUE_ENTRY_BYTES } from './entry-codec.ts'
import { findChanged, partEndOf, partStartOf, type Segment } from './entry-sums.ts'
import type { QueueFiles } from './queue-files.ts'
import type { SumRows } from './sum-rows.ts'

/** @param entries from the first one that was asked for on; null with an error. */
export type CheckedCallback = (error: Error | null, entries: Buffer | null) => void

export class CheckedEntries {
  readonly #files: QueueFiles
  readonly #rows: SumRows

  constructor(files: QueueFiles, rows: SumRows) {
    this.#files = files
    this.#rows = rows
  }

  /** The whole parts that hold the entries [from, to), as far as they are written and in one file. */
  partsOf(queue: ConsumeQueue, from: number, to: number): { readonly from: number; readonly to: number } {
    const { entriesPerFile } = this.#files
    const last = this.#files.endOfRead(from, to) - 1
    const end = Math.min(partEndOf(last, entriesPerFile), queue.writtenOffset)
    return { from: partStartOf(from, entriesPerFile), to: Math.max(end, last + 1) }
  }

  /** Reads the entries [from, to), fewer where a file ends. Never calls back from within the call. */
  read(queue: ConsumeQueue, from: number, to: number, callback: CheckedCallback): void {
    const parts = this.partsOf(queue, from, to)
    const { from: runFrom, to: runTo, sum } = queue.sum
    const running = { from: runFrom, to: runTo, sum }
    this.#files.read(queue, parts.from, parts.to, (error, bytes) => {
      if (error !== null || bytes === null) return callback(error, null)
      const compare = (segments: readonly Segment[]): void => {
        const changed = findChanged(segments, parts.from, bytes)
        if (changed !== null) return callback(notAsWritten(queue, changed), null)
        const start = (from - parts.from) * CONSUME_QUEUE_ENTRY_BYTES
        const end = (to - parts.from) * CONSUME_QUEUE_ENTRY_BYTES
        callback(null, bytes.subarray(start, end))
      }
      const isEndedBefore = parts.from < running.from
      const known = running.from < running.to ? [running] : []
      if (!isEndedBefore) return compare(known)
      this.#rows.between(queue, parts.from, Math.min(parts.to, running.from), (failure, rows) => {
        if (failure === null) compare([...known, ...rows])
        else callback(failure, null)
      })
    })
  }
}

function notAsWritten({ topic, queueId }: ConsumeQueue, { from, to }: Segment): StoreError {
  const what = `the entries ${from} to ${to - 1} of queue ${topic}/${queueId} are not as they were written: their file is damaged`
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 })
}
