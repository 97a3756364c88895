/**
 * Timers, or half messages, in a range of the log: how much they are, and putting their records again at the log's end.
 *
 * The record that is put names the row that it moves, and applying it does both at once. So a failover leaves the row at the old
 * place or at the new one, never at both or at none.
 *
 * Keeps:
 *   - a move is proposed only by who claimed the row, at the moment at which it was certainly there.
 *   - a claim is dropped only when the move is applied, when it is certain that it is not in the log, or with the leadership.
 *   - memory is bounded: rows are read page by page, and few are under way.
 */
import type { RecordDraft } from '@dledger-ts/protocol'
import type { PutListener } from '../api.ts'
import type { StoreError } from '../errors.ts'
import { PAGE_ROWS_MAX } from '../metadata/ordered-table.ts'
import type { Putter } from '../put.ts'
import type { PlacedRecord, RecordReader } from '../timer/record-reader.ts'

/** What is due within this is waited for, as is what somebody else is about to end. */
export const SOON_MS = 30_000
/** Records under way at most, and their bytes. */
const WINDOW_COUNT_MAX = 256
const WINDOW_BYTES_MAX = 512 * 1024

/** Bytes of the log. */
export interface LogRange {
  readonly start: number
  readonly end: number
}

/** One go at moving, of one leadership. */
export interface MoveSession {
  /** False once the leadership is over, or the store is to stop: then nothing is begun, and no claim is touched. */
  readonly isCurrent: boolean
  /** Waits as long as moving so many bytes may take. */
  pause(bytes: number): Promise<void>
}

/** What is pending somewhere in the log. */
export interface PendingRecords {
  /** @returns bytes of records that are pending in the range; counted no further than beyond `bytesMax`. */
  bytesIn(range: LogRange, bytesMax: number, session: MoveSession): Promise<number>
  /** Resolves when what may be moved out of the range is. @throws StoreError when a record cannot be read, or is refused. */
  move(range: LogRange, session: MoveSession): Promise<void>
}

/** A table of rows that know where their record stands. */
export interface MovableRows<Row> {
  page(
    range: { readonly from: string; readonly limit: number },
    callback: (error: StoreError | null, rows: readonly Row[], next: string | null) => void,
  ): void
  keyOf(row: Row): string
  placeOf(row: Row): PlacedRecord
  /** Whether it is better moved than waited for. */
  mayMove(row: Row): boolean
  /** @returns false when somebody else has it. */
  claim(row: Row): boolean
  release(row: Row): void
  draft(record: Buffer, row: Row): RecordDraft
}

export interface RowMovesOptions<Row> {
  readonly rows: MovableRows<Row>
  readonly records: RecordReader
  readonly putter: Putter
}

export class RowMoves<Row> implements PendingRecords {
  readonly #options: RowMovesOptions<Row>

  constructor(options: RowMovesOptions<Row>) {
    this.#options = options
  }

  async bytesIn(range: LogRange, bytesMax: number, session: MoveSession): Promise<number> {
    const { rows } = this.#options
    let bytes = 0
    for (let from: string | null = ''; from !== null && bytes <= bytesMax && session.isCurrent;) {
      from = await this.#page(from, (row) => {
        const place = rows.placeOf(row)
        if (isIn(range, place)) bytes += place.bytes
        return true
      })
    }
    return bytes
  }

  async move(range: LogRange, session: MoveSession): Promise<void> {
    const { rows } = this.#options
    for (let from: string | null = ''; from !== null && session.isCurrent;) {
      const claimed: Row[] = []
      let bytes = 0
      from = await this.#page(from, (row) => {
        const place = rows.placeOf(row)
        if (!session.isCurrent) return false
        if (!isIn(range, place) || !rows.mayMove(row)) return true
        const isFull = claimed.length === WINDOW_COUNT_MAX || bytes + place.bytes > WINDOW_BYTES_MAX
        if (isFull && claimed.length > 0) return false
        if (!rows.claim(row)) return true
        claimed.push(row)
        bytes += place.bytes
        return true
      })
      if (claimed.length === 0) continue
      await this.#put(claimed, session)
      await session.pause(bytes)
    }
  }

  /**
   * Shows rows from the key `from` on, all at the moment at which they are there.
   *
   * @param take says whether it takes the row, and wants more.
   * @returns the key to go on with.
   */
  #page(from: string, take: (row: Row) => boolean): Promise<string | null> {
    const { rows } = this.#options
    return new Promise((resolve, reject) => {
      rows.page({ from, limit: PAGE_ROWS_MAX }, (error, page, next) => {
        if (error !== null) return reject(error)
        for (const row of page) if (!take(row)) return resolve(rows.keyOf(row))
        resolve(next)
      })
    })
  }

  async #put(claimed: readonly Row[], session: MoveSession): Promise<void> {
    const { rows, records } = this.#options
    const places = claimed.map((row) => rows.placeOf(row))
    let failure: StoreError | null = null
    const found = await new Promise<readonly (Buffer | null)[]>((resolve) => {
      records.readAll(places, (all, error) => {
        failure = error
        resolve(all)
      })
    })
    if (!session.isCurrent) return
    const outcomes = claimed.map((row, i) => {
      const record = found[i] ?? null
      if (record !== null) return this.#putOne(rows.draft(record, row), session)
      return Promise.resolve(failure)
    })
    const errors = await Promise.all(outcomes)
    if (!session.isCurrent) return
    for (const [i, error] of errors.entries()) {
      if (error === null) continue
      failure ??= error
      if (error.code !== 'TIMEOUT') rows.release(claimed[i] as Row)
    }
    if (failure !== null) throw failure as StoreError
  }

  /** @returns null when it is applied, else why not. */
  #putOne(draft: RecordDraft, session: MoveSession): Promise<StoreError | null> {
    return new Promise((resolve) => {
      const listener: PutListener = { stored: () => resolve(null), putFailed: resolve }
      this.#options.putter.putOrdered(draft, { maySucceed: () => session.isCurrent }, listener)
    })
  }
}

function isIn({ start, end }: LogRange, { physicalOffset }: PlacedRecord): boolean {
  return physicalOffset >= start && physicalOffset < end
}
