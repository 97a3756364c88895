/**
 * A table of the one state whose rows live in the metadata database, in the order of their keys; in memory are only those
 * that are not written yet. For what may be there by the million: timers, half messages, messages that were popped.
 *
 *   apply ──► put, remove ──► unwritten rows ──► checkpoint's batch ──► database
 *   range ──► database rows, changed by the unwritten ones
 *
 * Keeps:
 *   T1  Applying reads nothing: an entry says itself which row it puts or removes.
 *   T2  A page shows what is applied when its callback runs, wholly and in order, from where the caller asked to `next`.
 *   T3  A row is dropped from memory only when the batch that holds it is written.
 *   T4  What the database holds counts for nothing until a checkpoint of this state vouches for it.
 *
 * Keys are ASCII, so that their order is the same in memory and in the database.
 */
import { assert } from '@dledger-ts/base'
import { StoreError } from '../errors.ts'
import { type MetadataRow, type MetadataStore, type MetadataWrite, TABLES_FROM } from './metadata-store.ts'
import { SortedMap } from './sorted-map.ts'

/** Rows in one page at most. */
export const PAGE_ROWS_MAX = 1_000

/** A write of a row under the index of its entry. */
export interface TableWrite extends MetadataWrite {
  readonly index: number
  readonly table: OrderedTable
}

export interface TablePage {
  /** In the order of keys. May be empty though more follows: `next` says so. */
  readonly rows: readonly MetadataRow[]
  /** Where to go on; null when there is nothing further in the range. */
  readonly next: string | null
}

export interface TableRange {
  readonly from: string
  /** The first key that is not wanted; absent: up to the end. */
  readonly before?: string
  readonly limit: number
}

export type PageCallback = (error: StoreError | null, page: TablePage | null) => void

export type RowCallback = (error: StoreError | null, value: Buffer | null) => void

export class OrderedTable {
  readonly #prefix: string
  readonly #end: string
  readonly #sink: (write: TableWrite) => void
  /** By the database's key: the newest write of each row that the database does not have yet. */
  readonly #unwritten = new SortedMap<TableWrite>()
  #store: MetadataStore | null = null
  /** Whether rows of the database belong to this state. */
  #isKept = false
  /** Grows whenever rows leave memory: a read of the database that began before may lack them. */
  #generation = 0
  /** There is no row before this key. Spares a reader that takes rows from the front the places of those removed. */
  #emptyBefore: string

  /** @param sink takes the writes, to be put in a checkpoint's batch. */
  constructor(name: string, sink: (write: TableWrite) => void) {
    this.#prefix = `${TABLES_FROM}${name}\0`
    this.#end = `${TABLES_FROM}${name}\x01`
    this.#sink = sink
    this.#emptyBefore = this.#prefix
  }

  /** Where rows are read; once, before the first read. */
  attach(store: MetadataStore): void {
    assert(this.#store === null, 'a table has one database')
    this.#store = store
  }

  get unwritten(): number {
    return this.#unwritten.size
  }

  put(index: number, key: string, value: Buffer): void {
    this.#write(index, key, value)
    const whole = this.#prefix + key
    if (whole < this.#emptyBefore) this.#emptyBefore = whole
  }

  /** Whether there was such a row is not known here; removing none does no harm. */
  remove(index: number, key: string): void {
    this.#write(index, key, null)
  }

  /** Reads rows in order. The callback runs later, and is the moment at which the page is right. */
  range(range: TableRange, callback: PageCallback): void {
    const store = this.#store
    assert(store !== null, 'a table is read after it has its database')
    assert(range.limit >= 1 && range.limit <= PAGE_ROWS_MAX, 'a page has a bounded number of rows')
    const asked = this.#prefix + range.from
    const isFront = asked <= this.#emptyBefore
    const from = isFront ? this.#emptyBefore : asked
    const before = range.before === undefined ? this.#end : this.#prefix + range.before
    const generation = this.#generation
    store.range({ from, before, limit: range.limit }, (cause, kept) => {
      if (cause !== null) {
        const what = `the metadata cannot be read: ${cause.message}`
        return callback(new StoreError(what, { code: 'STORAGE_FAILED', what }, { cause }), null)
      }
      // Checkpoints are seconds apart and a page takes a fraction of one, so this does not go on.
      if (generation !== this.#generation) return this.range(range, callback)
      const isAll = kept.length < range.limit
      const rows = this.#merge(this.#isKept ? kept : [], isFront ? asked : from, before, {
        keptUpTo: isAll ? null : (kept[kept.length - 1] as MetadataRow).key,
        limit: range.limit,
      })
      // Meanwhile a row may have come before what was asked for.
      if (asked <= this.#emptyBefore) this.#learnFront(rows, before)
      callback(null, {
        rows: rows.rows.map(({ key, value }) => ({ key: key.slice(this.#prefix.length), value })),
        next: rows.next === null ? null : rows.next.slice(this.#prefix.length),
      })
    })
  }

  /** Reads one row; null when there is none. The callback runs later, as that of `range`. One in memory costs no read. */
  get(key: string, callback: RowCallback): void {
    const whole = this.#prefix + key
    if (this.#unwritten.get(whole) === undefined) return this.#getKept(key, callback)
    queueMicrotask(() => {
      const write = this.#unwritten.get(whole)
      if (write === undefined) this.#getKept(key, callback)
      else callback(null, write.value)
    })
  }

  #getKept(key: string, callback: RowCallback): void {
    this.range({ from: key, before: `${key}\0`, limit: 1 }, (error, page) => {
      if (error !== null) callback(error, null)
      else callback(null, page?.rows[0]?.value ?? null)
    })
  }

  /** The batch with this write is in the database. */
  written(write: TableWrite): void {
    if (this.#unwritten.get(write.key) === write) this.#unwritten.delete(write.key)
  }

  /** A batch is in the database: it holds this state, and reads under way may have missed it. */
  batchWritten(): void {
    this.#isKept = true
    this.#generation++
  }

  /** What the database holds is this state at the index that was taken up. */
  restored(): void {
    this.#isKept = true
  }

  clear(): void {
    this.#unwritten.clear()
    this.#isKept = false
    this.#generation++
    this.#emptyBefore = this.#prefix
  }

  checkInvariants(): void {
    this.#unwritten.checkInvariants()
  }

  #write(index: number, key: string, value: Buffer | null): void {
    assert(Buffer.byteLength(key) === key.length, 'keys of a table are ASCII')
    const write: TableWrite = { index, key: this.#prefix + key, value, table: this }
    this.#unwritten.set(write.key, write)
    this.#sink(write)
  }

  /** Rows from `from` on: the kept ones, which are complete up to `keptUpTo`, as the unwritten ones change them. */
  #merge(
    kept: readonly MetadataRow[],
    from: string,
    before: string,
    { keptUpTo, limit }: { readonly keptUpTo: string | null; readonly limit: number },
  ): { readonly rows: MetadataRow[]; readonly next: string | null } {
    const rows: MetadataRow[] = []
    let at = 0
    for (const [key, { value }] of this.#unwritten.from(from)) {
      if (key >= before || (keptUpTo !== null && key > keptUpTo)) break
      for (; at < kept.length && (kept[at] as MetadataRow).key < key; at++) {
        if (rows.length === limit) return { rows, next: (kept[at] as MetadataRow).key }
        rows.push(kept[at] as MetadataRow)
      }
      if (kept[at]?.key === key) at++
      if (value === null) continue
      if (rows.length === limit) return { rows, next: key }
      rows.push({ key, value })
    }
    for (; at < kept.length; at++) {
      if (rows.length === limit) return { rows, next: (kept[at] as MetadataRow).key }
      rows.push(kept[at] as MetadataRow)
    }
    return { rows, next: keptUpTo === null ? null : `${keptUpTo}\0` }
  }

  /** `rows` begin with the very first row of the table, if they hold any. */
  #learnFront(
    { rows, next }: { readonly rows: readonly MetadataRow[]; readonly next: string | null },
    before: string,
  ): void {
    const first = rows[0]?.key ?? next ?? before
    if (first > this.#emptyBefore) this.#emptyBefore = first
  }
}
