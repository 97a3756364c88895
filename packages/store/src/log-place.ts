/**
 * Where a record stands, given the log's entry: behind the entry's 48-byte header. All offsets outside the log layer are those
 * of the bare record. Source: openmessaging DLedgerEntry.BODY_OFFSET.
 */
export const ENTRY_HEADER_BYTES = 48

/** The start of the record in the entry at `pos`. */
export function physicalOffsetOf(pos: number): number {
  return pos + ENTRY_HEADER_BYTES
}

/** A log file ends with a blank of at least this. */
export const BLANK_BYTES_MIN = 8

/** Where the entry starts whose record starts at `physicalOffset`. */
export function posOf(physicalOffset: number): number {
  return Math.max(0, physicalOffset - ENTRY_HEADER_BYTES)
}
