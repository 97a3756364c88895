/**
 * Whether the bytes that were read of the log are the record that was written there, and what to do where they are not.
 *
 *   the entry's header and body   agree ──► the record
 *                                 do not ──► ask the log, which checks: its entry, or CORRUPT where that is damaged
 *
 * Keeps: no byte of a record that was read from a file is given out unless its entry's checksum was right (Apache's have none).
 */
import { type CommittedEntry, isEntryAt } from '@dledger-ts/dledger'
import type { StoreError } from '../errors.ts'
import { ENTRY_HEADER_BYTES } from '../log-place.ts'
import { unreadableLog } from './read-errors.ts'

/** What is asked of a log where its bytes are wrong. @see DLedger.readAppliedAt */
export interface CheckedLog {
  readAppliedAt(pos: number, callback: (error: Error | null, entry: CommittedEntry | null) => void): void
}

/**
 * @param bytes hold the entry's header at `at`, and behind it `size` bytes.
 * @param physicalOffset where the record starts in the log.
 */
export function isWholeRecord(bytes: Buffer, at: number, physicalOffset: number, size: number): boolean {
  return isEntryAt(bytes, at, { pos: physicalOffset - ENTRY_HEADER_BYTES, size: ENTRY_HEADER_BYTES + size })
}

/**
 * Reads the record at `physicalOffset` through the log's own checks.
 *
 * @param callback gets null for both when no entry starts there; an error that names the place when it is damaged.
 */
export function readChecked(
  log: CheckedLog,
  physicalOffset: number,
  callback: (error: StoreError | null, record: Buffer | null) => void,
): void {
  log.readAppliedAt(physicalOffset - ENTRY_HEADER_BYTES, (error, entry) => {
    if (error !== null) callback(unreadableLog(physicalOffset, error), null)
    else callback(null, entry === null ? null : entry.body)
  })
}
