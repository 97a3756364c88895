/**
 * Finds the entry that starts at a byte of the log, checked: for readers of raw bytes that found something wrong there.
 *
 * A binary search that reads entries, each asynchronously and checked: nothing is believed of the index that an entry does not say
 * of itself. Not for hot paths.
 *
 * Keeps: lost entries in its way are passed over by their range, and are an error only where the byte lies among them.
 */
import { DLedgerError } from '../errors.ts'
import type { EntryBatch } from '../log/entry-batch.ts'
import type { LostRange } from '../log/lost-ranges.ts'
import type { ReadCallback } from './log-reading.ts'

export interface EntrySearchParts {
  /** Entries of one term from `firstIndex` on, at least one, and at most `bytesMax` where that is more than one. */
  read(firstIndex: number, lastIndex: number, bytesMax: number, callback: ReadCallback): void
  lostRanges(): readonly LostRange[]
}

export interface EntryFound {
  readonly batch: EntryBatch
  /** Of the entry in the batch. */
  readonly index: number
}

/**
 * @param callback later: the entry of [firstIndex, lastIndex] that starts at `pos`; null when none does. Errors as of a read.
 */
export function findEntryAt(
  parts: EntrySearchParts,
  pos: number,
  range: { readonly firstIndex: number; readonly lastIndex: number },
  callback: (error: Error | null, found: EntryFound | null) => void,
): void {
  let low = range.firstIndex
  let high = range.lastIndex
  const next = (): void => {
    if (low > high) return callback(null, null)
    const middle = low + Math.floor((high - low) / 2)
    parts.read(middle, middle, 0, (error, batch) => {
      if (error !== null || batch === null) {
        const lost = parts.lostRanges().find(({ firstIndex, lastIndex }) => firstIndex <= middle && middle <= lastIndex)
        const isAmong = lost === undefined || (lost.pos <= pos && pos < lost.endPos)
        if (isAmong || !(error instanceof DLedgerError) || error.code !== 'CORRUPT') return callback(error, null)
        if (pos < lost.pos) high = lost.firstIndex - 1
        else low = lost.lastIndex + 1
        return next()
      }
      const last = batch.positions.length - 1
      if (pos < (batch.positions[0] as number)) {
        high = batch.firstIndex - 1
        return next()
      }
      if (pos > (batch.positions[last] as number)) {
        low = batch.firstIndex + batch.count
        return next()
      }
      const at = batch.positions.indexOf(pos)
      callback(null, at < 0 ? null : { batch, index: batch.firstIndex + at })
    })
  }
  next()
}
