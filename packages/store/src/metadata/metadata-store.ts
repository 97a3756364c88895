/**
 * Where applied metadata is kept between runs: names to small values, written in atomic batches.
 *
 * Callbacks run later, never from within the call. A batch is wholly there after a crash or not at all, and never without the
 * batches before it; whether the newest ones are there is only certain after `sync`.
 */
export interface MetadataWrite {
  readonly key: string
  /** null removes the key. */
  readonly value: Buffer | null
}

export interface MetadataStore {
  /** Reads everything, in no particular order. */
  load(
    callback: (error: Error | null, entries: readonly { readonly key: string; readonly value: Buffer }[]) => void,
  ): void
  write(
    writes: readonly MetadataWrite[],
    options: { readonly sync: boolean },
    callback: (error: Error | null) => void,
  ): void
  /** Removes everything; `first` before all else and durably, so that what is left after a crash is not mistaken for a whole. */
  clear(first: string, callback: (error: Error | null) => void): void
  close(callback: (error: Error | null) => void): void
}
