/**
 * The half messages that are pending: prepared by a producer, neither committed nor rolled back. One row for each, in the order
 * in which they came into the log, which is that of their age.
 *
 *   key     physicalOffset 14 hex digits
 *   value   bytes of its record 4 | checkCount 4 | queueOffset 8 | storeTimestamp 8 | checkedMs 8 | immunityMs 8 | producer group,
 *           and, once it was moved, 2 | recordOffset as text
 *
 * Keeps:
 *   - a row is there from the apply of a half message to the apply of the record that ends it, which is the only one.
 *   - a half message is known by its first place, whose offsets its producer was given, however often its record is moved.
 */
import { readInt64, readUint32, writeInt64, writeUint32 } from '@dledger-ts/base'
import { StoreError } from '../errors.ts'
import { Claims } from './claims.ts'
import type { MetadataRow } from './metadata-store.ts'
import type { OrderedTable } from './ordered-table.ts'
import type { PendingFiles } from './pending-files.ts'
import { damagedRow, NUMBER_DIGITS, numberKey, numberOfKey } from './row-codec.ts'

const GROUP_AT = 40
/** Ends the producer group; no property has it. */
const GROUP_END = 2

export interface HalfMessageRow {
  /** Where the record of the half message started first: its name, commitLogOffset of END_TRANSACTION. */
  readonly physicalOffset: number
  /** Where its record starts now: to be read there. */
  readonly recordOffset: number
  readonly bytes: number
  /** Of its first record in the half topic's queue: tranStateTableOffset of END_TRANSACTION. */
  readonly queueOffset: number
  readonly producerGroup: string
  readonly storeTimestamp: number
  /** Property CHECK_IMMUNITY_TIME_IN_SECONDS; -1 when the producer gave none. */
  readonly immunityMs: number
  /** How often the producer was asked. */
  readonly checkCount: number
  /** When it was asked last, by its leader's clock; 0 for never. */
  readonly checkedMs: number
}

export type HalfMessagesCallback = (
  error: StoreError | null,
  rows: readonly HalfMessageRow[],
  next: string | null,
) => void

export class HalfMessages {
  readonly rows: OrderedTable
  readonly claims = new Claims()
  readonly #files: PendingFiles

  constructor(rows: OrderedTable, files: PendingFiles) {
    this.rows = rows
    this.#files = files
  }

  put(index: number, row: HalfMessageRow): void {
    this.rows.put(index, halfMessageKey(row.physicalOffset), encode(row))
    this.#files.add(index, row.recordOffset)
  }

  /** Its record stood at `from` and was put again: the row as it is from now on. */
  moved(index: number, from: number, row: HalfMessageRow): void {
    this.end(index, row.physicalOffset, from)
    this.put(index, row)
  }

  /** The producer was asked: the row as it is from now on. */
  checked(index: number, row: HalfMessageRow): void {
    const key = halfMessageKey(row.physicalOffset)
    this.rows.put(index, key, encode(row))
    this.claims.release(key)
  }

  end(index: number, physicalOffset: number, recordOffset: number): void {
    const key = halfMessageKey(physicalOffset)
    this.rows.remove(index, key)
    this.#files.remove(index, recordOffset)
    this.claims.release(key)
  }

  /** The half message with this key; null when none is pending. The callback runs later. */
  find(key: string, callback: (error: StoreError | null, row: HalfMessageRow | null) => void): void {
    this.rows.get(key, (error, value) => {
      if (error !== null || value === null) return callback(error, null)
      let row: HalfMessageRow
      try {
        row = decode({ key, value })
      } catch (failure) {
        if (!(failure instanceof StoreError)) throw failure
        return callback(failure, null)
      }
      callback(null, row)
    })
  }

  /** Half messages from the key `from` on, oldest first. */
  page(
    range: { readonly from: string; readonly before?: string; readonly limit: number },
    callback: HalfMessagesCallback,
  ): void {
    this.rows.range(range, (error, page) => {
      if (error !== null || page === null) return callback(error, [], null)
      let rows: HalfMessageRow[]
      try {
        rows = page.rows.map(decode)
      } catch (failure) {
        if (!(failure instanceof StoreError)) throw failure
        return callback(failure, [], null)
      }
      callback(null, rows, page.next)
    })
  }
}

export function halfMessageKey(physicalOffset: number): string {
  return numberKey(physicalOffset)
}

/** @returns the first place at or behind a key: where the next page begins. */
export function halfMessageAt(key: string): number {
  return numberOfKey(key, 0) + (key.length > NUMBER_DIGITS ? 1 : 0)
}

function encode(row: HalfMessageRow): Buffer {
  const { producerGroup, physicalOffset, recordOffset } = row
  const text =
    recordOffset === physicalOffset ? producerGroup : producerGroup + String.fromCharCode(GROUP_END) + recordOffset
  const value = Buffer.allocUnsafe(GROUP_AT + Buffer.byteLength(text))
  writeUint32(value, row.bytes, 0)
  writeUint32(value, row.checkCount, 4)
  writeInt64(value, row.queueOffset, 8)
  writeInt64(value, row.storeTimestamp, 16)
  writeInt64(value, row.checkedMs, 24)
  writeInt64(value, row.immunityMs, 32)
  value.write(text, GROUP_AT)
  return value
}

/** @throws StoreError CORRUPT. */
function decode({ key, value }: MetadataRow): HalfMessageRow {
  if (value.length < GROUP_AT) throw damagedRow(key)
  const groupEnd = value.indexOf(GROUP_END, GROUP_AT)
  const physicalOffset = numberOfKey(key, 0)
  const row = {
    physicalOffset,
    recordOffset: groupEnd < 0 ? physicalOffset : Number(value.toString('latin1', groupEnd + 1)),
    bytes: readUint32(value, 0),
    checkCount: readUint32(value, 4),
    queueOffset: readInt64(value, 8),
    storeTimestamp: readInt64(value, 16),
    checkedMs: readInt64(value, 24),
    immunityMs: readInt64(value, 32),
    producerGroup: value.toString('utf8', GROUP_AT, groupEnd < 0 ? value.length : groupEnd),
  }
  for (const number of [row.recordOffset, row.queueOffset, row.storeTimestamp, row.checkedMs, row.immunityMs]) {
    if (!Number.isSafeInteger(number)) throw damagedRow(key)
  }
  return row
}
