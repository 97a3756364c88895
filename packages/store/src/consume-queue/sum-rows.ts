/**
 * The sums of ended segments (entry-sums.ts) in the metadata database: about this member's files alone, so they lie behind the rows of the
 * state and are in none that another member is given.
 *
 *   ~~sums \0 topic \0 queueId \0 from, 16 digits     | count of entries | crc |      4 bytes each, big-endian
 *
 * Keeps:
 *   - a row says what the files hold once the batch is written that has it; until then it is known here.
 *   - without a row nothing is said: entries that were written before there were sums are believed.
 */
import { assert, readInt32, readUint32, writeInt32, writeUint32 } from '@dledger-ts/base'
import { StoreError } from '../errors.ts'
import { type MetadataRow, type MetadataStore, type MetadataWrite, TABLES_FROM } from '../metadata/metadata-store.ts'
import type { ConsumeQueue } from './consume-queue.ts'
import { PART_ENTRIES, type Segment } from './entry-sums.ts'

/** Behind all rows of the state (snapshot/state-rows.ts). */
const PREFIX = `${TABLES_FROM}${TABLES_FROM}sums\0`
/** All rows lie between these. */
export const SUMS_FROM = PREFIX
export const SUMS_BEFORE = `${TABLES_FROM}${TABLES_FROM}sums\x01`
const FROM_DIGITS = 16
const COUNT_AT = 0
const SUM_AT = COUNT_AT + 4
const ROW_BYTES = SUM_AT + 4
/** Rows removed in one batch. */
const REMOVED_ROWS = 1_000

type Callback = (error: Error | null) => void

export class SumRows {
  readonly #metadata: MetadataStore
  readonly entriesPerFile: number
  /** Of the batch that is being made, by queue. */
  #unwritten = new Map<ConsumeQueue, Segment[]>()

  constructor(metadata: MetadataStore, entriesPerFile: number) {
    this.#metadata = metadata
    this.entriesPerFile = entriesPerFile
  }

  /** A segment ended, and `written` is called when the batch with this row is. */
  ended(queue: ConsumeQueue, segment: Segment): MetadataWrite {
    const segments = this.#unwritten.get(queue)
    if (segments === undefined) this.#unwritten.set(queue, [segment])
    else segments.push(segment)
    return rowOf(queue, segment)
  }

  /** The batch is written that was being made. */
  written(): void {
    this.#unwritten = new Map()
  }

  /** Vouches for what was written again. Never calls back from within the call. */
  store(rows: readonly (readonly [ConsumeQueue, Segment])[], callback: Callback): void {
    const writes = rows.map(([queue, segment]) => rowOf(queue, segment))
    this.#metadata.write(writes, { sync: false }, callback)
  }

  /** The ended segments that begin in [from, before). Never calls back from within the call. */
  between(
    queue: ConsumeQueue,
    from: number,
    before: number,
    callback: (error: Error | null, segments: readonly Segment[]) => void,
  ): void {
    const unwritten = (this.#unwritten.get(queue) ?? []).filter(
      (segment) => segment.from >= from && segment.from < before,
    )
    const range = { from: keyOf(queue, from), before: keyOf(queue, before), limit: before - from }
    this.#metadata.range(range, (error, rows) => {
      if (error !== null) return callback(error, [])
      try {
        callback(null, [...unwritten, ...rows.map(segmentOf)])
      } catch (failure) {
        if (!(failure instanceof StoreError)) throw failure
        callback(failure, [])
      }
    })
  }

  /** Nothing is said any more of segments that begin before `queueOffset`. */
  removeBefore(queue: ConsumeQueue, queueOffset: number, callback: Callback): void {
    removeRows(this.#metadata, keyOf(queue, 0), keyOf(queue, queueOffset), callback)
  }
}

/** Removes the rows in [from, before). */
export function removeRows(metadata: MetadataStore, from: string, before: string, callback: Callback): void {
  metadata.range({ from, before, limit: REMOVED_ROWS }, (error, rows) => {
    if (error !== null || rows.length === 0) return callback(error)
    const writes = rows.map(({ key }) => ({ key, value: null }))
    metadata.write(writes, { sync: false }, (failure) => {
      if (failure !== null || rows.length < REMOVED_ROWS) callback(failure)
      else removeRows(metadata, from, before, callback)
    })
  })
}

function keyOf({ topic, queueId }: ConsumeQueue, from: number): string {
  return `${PREFIX}${topic}\0${queueId}\0${String(from).padStart(FROM_DIGITS, '0')}`
}

function rowOf(queue: ConsumeQueue, { from, to, sum }: Segment): MetadataWrite {
  assert(to > from && to - from <= PART_ENTRIES, 'a segment has entries of one part')
  const value = Buffer.allocUnsafe(ROW_BYTES)
  writeUint32(value, to - from, COUNT_AT)
  writeInt32(value, sum, SUM_AT)
  return { key: keyOf(queue, from), value }
}

/** @throws StoreError CORRUPT. */
function segmentOf({ key, value }: MetadataRow): Segment {
  const from = Number(key.slice(-FROM_DIGITS))
  const count = value.length === ROW_BYTES ? readUint32(value, COUNT_AT) : 0
  if (!Number.isSafeInteger(from) || count === 0 || count > PART_ENTRIES) {
    const what = `the row ${JSON.stringify(key)} is no sum of entries`
    throw new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 })
  }
  return { from, to: from + count, sum: readInt32(value, SUM_AT) }
}
