/**
 * A run of consecutive entries of one term, as raw bytes: what is proposed together, written together, sent in one frame.
 *
 * `bytes` holds whole entries (48-byte header and body each) one after another, without the blanks that the files may have
 * between them; the leader's bytes are the follower's bytes.
 */
export interface EntryBatch {
  readonly firstIndex: number
  readonly term: number
  readonly count: number
  /** Position of each entry in the log. */
  readonly positions: readonly number[]
  /** Whole size of each entry, header included. */
  readonly sizes: readonly number[]
  readonly bytes: Buffer
}

/** Entry kinds by the value of `channel`. Apache's DLedger leaves channel 0 and ignores it. */
export const EntryChannel = { DATA: 0, NOOP: 1, CONFIGURATION: 2, TRIM: 3 } as const
export const ENTRY_HEADER_BYTES = 48
