/**
 * Where applied metadata is kept between runs: names to small values, written in atomic batches, read in the order of names.
 *
 * Callbacks run later, never from within the call. A batch is wholly there after a crash or not at all, and never without the
 * batches before it; whether the newest ones are there is only certain after `sync`.
 */
export interface MetadataWrite {
  readonly key: string
  /** null removes the key. */
  readonly value: Buffer | null
}

export interface MetadataRow {
  readonly key: string
  readonly value: Buffer
}

/**
 * Keys from this on are rows of the ordered tables (ordered-table.ts), of which there may be millions: they are read in ranges
 * and are not among what `load` reads.
 */
export const TABLES_FROM = '~'

export interface MetadataRange {
  readonly from: string
  /** The first key that is not wanted. */
  readonly before: string
  readonly limit: number
}

/** All rows as they were at one moment, while others are written. */
export interface MetadataView {
  /** As `MetadataStore.range`. */
  range(range: MetadataRange, callback: (error: Error | null, rows: readonly MetadataRow[]) => void): void
  /** Idempotent; no read is under way. */
  close(): void
}

export interface MetadataStore {
  /** Reads everything before `TABLES_FROM`, in no particular order. */
  load(callback: (error: Error | null, entries: readonly MetadataRow[]) => void): void
  /** Reads the first rows of a range in the order of keys, as they were at the time of the call. */
  range(range: MetadataRange, callback: (error: Error | null, rows: readonly MetadataRow[]) => void): void
  /** The rows as they are now; to be closed. */
  view(): MetadataView
  write(
    writes: readonly MetadataWrite[],
    options: { readonly sync: boolean },
    callback: (error: Error | null) => void,
  ): void
  /** Removes everything; `first` before all else and durably, so that what is left after a crash is not mistaken for a whole. */
  clear(first: string, callback: (error: Error | null) => void): void
  close(callback: (error: Error | null) => void): void
}
