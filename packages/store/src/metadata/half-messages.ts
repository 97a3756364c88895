/**
 * The half messages that are pending: prepared by a producer, neither committed nor rolled back. One row for each, in the order
 * of the log, which is that of their age.
 *
 *   key     physicalOffset 14 hex digits
 *   value   bytes of its record 4 | checkCount 4 | queueOffset 8 | storeTimestamp 8 | checkedMs 8 | immunityMs 8 | producer group
 *
 * Keeps: a row is there from the apply of a half message to the apply of the record that ends it, which is the only one.
 */
import { readInt64, writeInt64 } from '@dledger-ts/base'
import { StoreError } from '../errors.ts'
import { Claims } from './claims.ts'
import type { MetadataRow } from './metadata-store.ts'
import type { OrderedTable } from './ordered-table.ts'
import type { PendingFiles } from './pending-files.ts'
import { damagedRow, NUMBER_DIGITS, numberKey, numberOfKey } from './row-codec.ts'

const GROUP_AT = 40

export interface HalfMessageRow {
  /** Where the record of the half message starts: commitLogOffset of END_TRANSACTION. */
  readonly physicalOffset: number
  readonly bytes: number
  /** In the half topic's queue: tranStateTableOffset of END_TRANSACTION. */
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
    this.#files.add(index, row.physicalOffset)
  }

  /** The producer was asked: the row as it is from now on. */
  checked(index: number, row: HalfMessageRow): void {
    const key = halfMessageKey(row.physicalOffset)
    this.rows.put(index, key, encode(row))
    this.claims.release(key)
  }

  end(index: number, physicalOffset: number): void {
    const key = halfMessageKey(physicalOffset)
    this.rows.remove(index, key)
    this.#files.remove(index, physicalOffset)
    this.claims.release(key)
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
  const value = Buffer.allocUnsafe(GROUP_AT + Buffer.byteLength(row.producerGroup))
  value.writeUInt32BE(row.bytes, 0)
  value.writeUInt32BE(row.checkCount, 4)
  writeInt64(value, row.queueOffset, 8)
  writeInt64(value, row.storeTimestamp, 16)
  writeInt64(value, row.checkedMs, 24)
  writeInt64(value, row.immunityMs, 32)
  value.write(row.producerGroup, GROUP_AT)
  return value
}

/** @throws StoreError CORRUPT. */
function decode({ key, value }: MetadataRow): HalfMessageRow {
  if (value.length < GROUP_AT) throw damagedRow(key)
  const row = {
    physicalOffset: numberOfKey(key, 0),
    bytes: value.readUInt32BE(0),
    checkCount: value.readUInt32BE(4),
    queueOffset: readInt64(value, 8),
    storeTimestamp: readInt64(value, 16),
    checkedMs: readInt64(value, 24),
    immunityMs: readInt64(value, 32),
    producerGroup: value.toString('utf8', GROUP_AT),
  }
  for (const number of [row.queueOffset, row.storeTimestamp, row.checkedMs, row.immunityMs]) {
    if (!Number.isSafeInteger(number)) throw damagedRow(key)
  }
  return row
}
