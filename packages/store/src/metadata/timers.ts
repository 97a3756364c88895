/**
 * The timers that are pending: one row for each, in the order of the time at which it is due.
 *
 *   key     outMs 14 hex digits | physicalOffset 14 hex digits
 *   value   bytes of its record 4 | hash of its topic and unique id 4
 *
 * Keeps: a row is there from the apply of a timer's record to the apply of the entry that ends it, which is the only one.
 */
import { readInt32, readUint32, writeInt32, writeUint32 } from '@dledger-ts/base'
import { StoreError } from '../errors.ts'
import type { MetadataRow } from './metadata-store.ts'
import type { OrderedTable } from './ordered-table.ts'
import type { PendingFiles } from './pending-files.ts'
import { damagedRow, NUMBER_DIGITS, numberKey, numberOfKey } from './row-codec.ts'

const VALUE_BYTES = 8

export interface TimerRow {
  /** Property TIMER_OUT_MS of the record: it is due one precision later. */
  readonly outMs: number
  /** Where its record starts. */
  readonly physicalOffset: number
  readonly bytes: number
  /** See `timerIdHash`: finds a timer by its message's id, among those of one time. */
  readonly idHash: number
}

export type TimersCallback = (error: StoreError | null, rows: readonly TimerRow[], next: string | null) => void

export class Timers {
  readonly rows: OrderedTable
  readonly #files: PendingFiles
  /**
   * Not part of the state: timers whose end a leader has proposed, or is about to. Only who finds a row and no claim, at one
   * moment, may end it. Dropped when the end is applied, when it is certain that it is not in the log, and with the leadership.
   */
  readonly claims = new Set<string>()
  /** Not part of the state: the earliest `outMs` that came since a leader asked. */
  #soonestMs = Number.POSITIVE_INFINITY

  constructor(rows: OrderedTable, files: PendingFiles) {
    this.rows = rows
    this.#files = files
  }

  put(index: number, row: TimerRow): void {
    const value = Buffer.allocUnsafe(VALUE_BYTES)
    writeUint32(value, row.bytes, 0)
    writeInt32(value, row.idHash, 4)
    this.rows.put(index, timerKey(row.outMs, row.physicalOffset), value)
    this.#files.add(index, row.physicalOffset)
    if (row.outMs < this.#soonestMs) this.#soonestMs = row.outMs
  }

  end(index: number, outMs: number, physicalOffset: number): void {
    const key = timerKey(outMs, physicalOffset)
    this.rows.remove(index, key)
    this.#files.remove(index, physicalOffset)
    this.claims.delete(key)
  }

  /** Drops a claim whose end is certainly not in the log: who delivers looks at the row again. */
  release(row: TimerRow): void {
    this.claims.delete(timerKey(row.outMs, row.physicalOffset))
    if (row.outMs < this.#soonestMs) this.#soonestMs = row.outMs
  }

  get soonestMs(): number {
    return this.#soonestMs
  }

  /** From here on only what comes later counts for `soonestMs`. */
  resetSoonest(): void {
    this.#soonestMs = Number.POSITIVE_INFINITY
  }

  /** Timers from the key `from` on, in order. */
  page(
    range: { readonly from: string; readonly before?: string; readonly limit: number },
    callback: TimersCallback,
  ): void {
    this.rows.range(range, (error, page) => {
      if (error !== null || page === null) return callback(error, [], null)
      let rows: TimerRow[]
      try {
        rows = page.rows.map(timerRow)
      } catch (failure) {
        if (!(failure instanceof StoreError)) throw failure
        return callback(failure, [], null)
      }
      callback(null, rows, page.next)
    })
  }
}

export function timerKey(outMs: number, physicalOffset: number): string {
  return numberKey(outMs) + numberKey(physicalOffset)
}

/** The key before which all timers up to `outMs` are. */
export function timersAfter(outMs: number): string {
  return numberKey(outMs + 1)
}

/** @throws StoreError CORRUPT. */
function timerRow({ key, value }: MetadataRow): TimerRow {
  if (value.length !== VALUE_BYTES) throw damagedRow(key)
  return {
    outMs: numberOfKey(key, 0),
    physicalOffset: numberOfKey(key, NUMBER_DIGITS),
    bytes: readUint32(value, 0),
    idHash: readInt32(value, 4),
  }
}
