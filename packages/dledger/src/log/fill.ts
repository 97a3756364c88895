/**
 * Puts entries that a peer has in the place of lost ones.
 *
 * Keeps:
 *   F1  nothing is written that does not fit at its beginning (place, chain) and, where it ends the range, at its end; in between
 *       it is either of the terms that are known, or comes whole. Entries of one index and term are the same entry (Log Matching).
 *   F2  what is written is synced and read back before it counts. The page cache may show what the drive does not hold: a scrub
 *       or the next start would tell.
 */
import { readInt32 } from '@dledger-ts/base'
import { DLedgerError } from '../errors.ts'
import { ENTRY_HEADER_BYTES, type EntryBatch } from './entry-batch.ts'
import { chainCrcAt, chainOf, checkBatch, decodeEntryHeader, isUnchecked } from './entry-codec.ts'
import { encodeIndexUnit, INDEX_UNIT_BYTES } from './index-codec.ts'
import { fileStartOf, placeEntry } from './layout.ts'
import type { LostRange } from './lost-ranges.ts'
import { mendBlank } from './repair.ts'
import { corruptAt, type SegmentDirectory } from './segment-directory.ts'

/** Entries of one term, as they came. */
export interface ForeignEntries {
  readonly firstIndex: number
  readonly count: number
  readonly term: number
  readonly bytes: Buffer
}
export interface LogFiles {
  readonly data: SegmentDirectory
  readonly index: SegmentDirectory
  readonly checksummedFrom: number
}
/** What follows a lost range: the bytes of the next good entry's header, or the known end of the log. */
export type RangeEnd =
  | { readonly kind: 'entry'; readonly header: Buffer; readonly pos: number }
  | { readonly kind: 'end'; readonly endPos: number; readonly chain: number }

/** An entry that others go on from: as it will be when what is given so far stands in the log. */
export interface FillPoint {
  readonly index: number
  readonly term: number
  readonly endPos: number
  /** Null where it is not known: the entry has no checksum. */
  readonly chain: number | null
}

export interface Misfit {
  readonly fits: false
  readonly why: 'BEGINNING' | 'CONTENT' | 'TERM' | 'END' | 'PART'
  readonly what: string
}

export type Fit =
  | {
      readonly fits: true
      readonly batches: readonly EntryBatch[]
      readonly last: { readonly index: number; readonly endPos: number; readonly chain: number }
    }
  | Misfit

/** Do these entries, which follow one another, belong where the range begins? Changes nothing. */
export function fitEntries(
  files: LogFiles,
  range: LostRange,
  given: {
    readonly entries: readonly ForeignEntries[]
    /** The entry before the range. */
    readonly before: FillPoint
    readonly end: RangeEnd
    /** Simulation only. */
    readonly isUnverified?: boolean
  },
): Fit {
  const batches: EntryBatch[] = []
  const isUnverified = given.isUnverified === true
  let at = given.before
  for (const entries of given.entries) {
    const fit = fitNext(files, range, { at, entries, isUnverified })
    if (!fit.fits) return fit
    batches.push(fit.batch)
    at = fit.at
  }
  const { index, endPos, chain } = at
  if (index < range.firstIndex || chain === null) return misfit('CONTENT', 'no entries')
  const last = { index, endPos, chain }
  if (index < range.lastIndex) {
    if (range.termRuns === null) return misfit('PART', 'a part of a range whose terms are not known')
    return { fits: true, batches, last }
  }
  return isUnverified || isContinued(last, given.end, files.data.fileBytes)
    ? { fits: true, batches, last }
    : misfit('END', 'another end')
}

/** Do these entries go on from `at`, within the range? Changes nothing. */
export function fitNext(
  files: LogFiles,
  range: LostRange,
  given: {
    readonly at: FillPoint
    readonly entries: ForeignEntries
    /** Simulation only. */
    readonly isUnverified?: boolean
  },
): { readonly fits: true; readonly batch: EntryBatch; readonly at: FillPoint } | Misfit {
  const { fileBytes } = files.data
  const { at, isUnverified } = given
  const { firstIndex, count, term, bytes } = given.entries
  const lastIndex = firstIndex + count - 1
  if (firstIndex !== at.index + 1 || count < 1 || lastIndex > range.lastIndex) return misfit('CONTENT', 'other entries')
  const isFirst = firstIndex === range.firstIndex
  let batch: EntryBatch
  try {
    const { checksummedFrom } = files
    const prevChain = isUnverified === true ? null : at.chain
    batch = checkBatch(bytes, { firstIndex, count, term, fileBytes, checksummedFrom, prevChain })
  } catch (error) {
    if (!(error instanceof DLedgerError && error.detail.code === 'CORRUPT')) throw error
    return misfit(isFirst && error.detail.at === 0 ? 'BEGINNING' : 'CONTENT', error.message)
  }
  if (batch.positions[0] !== placeEntry(at.endPos, batch.sizes[0] as number, fileBytes))
    return misfit(isFirst ? 'BEGINNING' : 'CONTENT', 'another place')
  if (isUnverified !== true) {
    if (term < at.term) return misfit('TERM', 'a lower term')
    const isExpected = range.termRuns === null || isOfKnownTerm(range.termRuns, firstIndex, lastIndex, term)
    if (!isExpected) return misfit('TERM', `entries of term ${term}`)
  }
  const size = batch.sizes[count - 1] as number
  const endPos = (batch.positions[count - 1] as number) + size
  return { fits: true, batch, at: { index: lastIndex, term, endPos, chain: chainCrcAt(bytes, bytes.length - size) } }
}

function misfit(why: Misfit['why'], what: string): Misfit {
  return { fits: false, why, what }
}

function isOfKnownTerm(runs: LostRange['termRuns'], first: number, last: number, term: number): boolean {
  const run = runs?.findLast((one) => one.firstIndex <= first)
  return run !== undefined && run.term === term && runs?.findLast((one) => one.firstIndex <= last) === run
}

function isContinued(last: { endPos: number; chain: number }, end: RangeEnd, fileBytes: number): boolean {
  if (end.kind === 'end') return end.endPos === last.endPos && end.chain === last.chain
  const header = decodeEntryHeader(end.header, 0)
  if (header === null || header.pos !== end.pos || placeEntry(last.endPos, header.size, fileBytes) !== end.pos)
    return false
  return isUnchecked(header) || header.chainCrc === chainOf(end.header, 0, last.chain)
}

/**
 * Writes them with the blanks between and behind them, syncs, reads back.
 *
 * @param around `firstIndex`: of the log; the blank before that may have been trimmed with its file. `nextPos`: of the entry behind.
 * @throws when the disk fails, or CORRUPT.
 */
export function writeEntries(
  files: LogFiles,
  batches: readonly EntryBatch[],
  range: LostRange,
  { firstIndex, nextPos }: { readonly firstIndex: number; readonly nextPos: number | null },
): void {
  const { data, index } = files
  const { fileBytes } = data
  const touched = new Set<number>()
  const units: Buffer[] = []
  let endPos = range.pos
  for (const batch of batches) {
    let at = 0
    for (let i = 0; i < batch.count; i++) {
      const [pos, size] = [batch.positions[i] as number, batch.sizes[i] as number]
      const isTrimmed = batch.firstIndex + i === firstIndex && !data.has(fileStartOf(endPos, fileBytes))
      if (pos !== endPos && endPos % fileBytes !== 0 && !isTrimmed) {
        mendBlank(data, endPos)
        touched.add(fileStartOf(endPos, fileBytes))
      }
      data.writeSync(pos, batch.bytes.subarray(at, at + size))
      touched.add(fileStartOf(pos, fileBytes))
      const unit = Buffer.allocUnsafe(INDEX_UNIT_BYTES)
      const magic = readInt32(batch.bytes, at)
      encodeIndexUnit(unit, 0, { magic, pos, size, index: batch.firstIndex + i, term: batch.term })
      units.push(unit)
      at += size
      endPos = pos + size
    }
  }
  if (nextPos !== null && nextPos !== endPos) {
    mendBlank(data, endPos)
    touched.add(fileStartOf(endPos, fileBytes))
  }
  index.writeSync(range.firstIndex * INDEX_UNIT_BYTES, Buffer.concat(units))
  for (const start of touched) data.file(start).syncSync()
  data.syncDirectorySync()
  index.syncRangeSync(range.firstIndex * INDEX_UNIT_BYTES, units.length * INDEX_UNIT_BYTES)
  readBack(data, batches)
}

function readBack(data: SegmentDirectory, batches: readonly EntryBatch[]): void {
  for (const batch of batches) {
    let at = 0
    for (let i = 0; i < batch.count; i++) {
      const size = batch.sizes[i] as number
      const bytes = Buffer.allocUnsafe(size)
      const wanted = batch.bytes.subarray(at, at + size)
      data.readSync(batch.positions[i] as number, bytes)
      // Once more: a drive may give other bytes but once.
      if (!bytes.equals(wanted)) data.readSync(batch.positions[i] as number, bytes)
      if (!bytes.equals(wanted))
        throw corruptAt(data, batch.positions[i] as number, 'it does not read back as it was written')
      at += size
    }
  }
}

/** The header of the entry at `pos`, raw. */
export function headerBytesAt(data: SegmentDirectory, pos: number): Buffer {
  const bytes = Buffer.alloc(ENTRY_HEADER_BYTES)
  const room = data.fileBytes - (pos % data.fileBytes)
  data.readSync(pos, bytes.subarray(0, Math.min(room, ENTRY_HEADER_BYTES)))
  return bytes
}
