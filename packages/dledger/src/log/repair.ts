/**
 * Brings the files to what a log of these entries has: the tail behind the end zero, further files gone, every index unit there.
 *
 * Keeps:
 *   P1  data files go before what they follow, and each step leaves a log that recovery accepts: a crash in between is a shorter log.
 *   P2  all of it is synced when it returns.
 */
import { decodeEntryHeader, type EntryHeader } from './entry-codec.ts'
import { ENTRY_HEADER_BYTES } from './entry-batch.ts'
import { encodeIndexUnit, INDEX_UNIT_BYTES } from './index-codec.ts'
import { BLANK_BYTES, encodeBlank, fileStartOf, isBlank } from './layout.ts'
import type { LostRange } from './lost-ranges.ts'
import type { RecoveredLog } from './recovery.ts'
import { ScanWindow } from './scan-window.ts'
import { corruptAt, type SegmentDirectory } from './segment-directory.ts'
import type { SegmentFile } from './segment-file.ts'

const ZEROS = Buffer.alloc(1 << 20)
/** Zero writes end here and there only at multiples of this, so no page is ever half old and half zero. */
const PAGE_BYTES = 4096
/** How far behind the end a torn tail is measured; what is beyond is cut all the same. */
const TAIL_SCAN_BYTES = 64 << 20
/** Looked at together: a window at most. */
const SCAN_BYTES = 1 << 18
const REBUILD_UNITS = 4096

export interface NewEnd {
  readonly lastIndex: number
  readonly endPos: number
  readonly oldLastIndex: number
  readonly oldEndPos: number
}

/** Cuts a healthy log back. @returns the removed files. */
export function cutLog(data: SegmentDirectory, index: SegmentDirectory, end: NewEnd): SegmentFile[] {
  const removed = removeAfter(data, end.endPos)
  if (removed.length > 0) {
    data.syncDirectorySync()
    data.cutFileAt(end.endPos)
  } else {
    writeZeros(data, end.endPos, end.oldEndPos)
  }
  data.syncSync(end.endPos)
  const unitsEnd = (end.lastIndex + 1) * INDEX_UNIT_BYTES
  const removedIndex = removeAfter(index, unitsEnd)
  if (removedIndex.length > 0) index.cutFileAt(unitsEnd)
  else writeZeros(index, unitsEnd, (end.oldLastIndex + 1) * INDEX_UNIT_BYTES)
  index.syncSync(unitsEnd)
  return [...removed, ...removedIndex]
}

/** Removes the files that hold nothing before `endPos`. */
function removeAfter(segments: SegmentDirectory, endPos: number): SegmentFile[] {
  const start = fileStartOf(endPos, segments.fileBytes)
  return segments.removeFrom(start === endPos ? start : start + segments.fileBytes)
}

function writeZeros(segments: SegmentDirectory, from: number, to: number): void {
  for (let pos = from; pos < to;) {
    const end = Math.min(to, fileStartOf(pos + ZEROS.length, PAGE_BYTES))
    segments.writeSync(pos, ZEROS.subarray(0, end - pos))
    pos = end
  }
}

/** @param beforeSync what else is to be durable when it returns. */
export function repairLog(
  data: SegmentDirectory,
  index: SegmentDirectory,
  found: RecoveredLog,
  beforeSync: () => void,
): { cutBytes: number; rebuiltIndexUnits: number } {
  let rebuiltIndexUnits = 0
  const cutBytes = cutTail(data, found)
  data.completeSizes()
  for (const pos of found.badBlanks) mendBlank(data, pos)
  if (found.rebuildFrom >= 0) {
    rebuildUnits(data, index, found)
    rebuiltIndexUnits = found.lastIndex - found.rebuildFrom + 1 - countOf(found.lost, found.rebuildFrom)
  }
  const unitsEnd = (found.lastIndex + 1) * INDEX_UNIT_BYTES
  removeAfter(index, unitsEnd)
  index.cutFileAt(unitsEnd)
  data.completeSizes()
  index.completeSizes()
  beforeSync()
  // What was only in the page cache is reported as present: make it durable first.
  data.syncSync(found.syncFrom)
  index.syncSync(0)
  return { cutBytes, rebuiltIndexUnits }
}

function countOf(lost: readonly LostRange[], from: number): number {
  return lost.reduce((sum, range) => sum + (range.firstIndex < from ? 0 : range.lastIndex - range.firstIndex + 1), 0)
}

function cutTail(data: SegmentDirectory, found: RecoveredLog): number {
  const { endPos } = found
  const start = fileStartOf(endPos, data.fileBytes)
  const window = new ScanWindow(data)
  let lastNonZero = -1
  const measure = (from: number, to: number): void => {
    // A log that was never written has no file.
    if (data.fileOf(from) === null) return
    for (let pos = from; pos < to;) {
      const count = Math.min(SCAN_BYTES, to - pos)
      const bytes = window.bytes(pos, count)
      // Nearly all of it is zero, and this is a hundred times as fast as looking at each byte.
      if (!bytes.equals(ZEROS.subarray(0, count))) lastNonZero = pos + lastNonZeroIn(bytes)
      pos += count
    }
  }
  const fileEnd = start + data.fileBytes
  const measured = Math.min(fileEnd, endPos + TAIL_SCAN_BYTES)
  measure(endPos, measured)
  // What was read as zero here was read as something else before, if a torn tail is there.
  const cutFrom = lastNonZero < 0 && found.torn === null ? measured : endPos
  for (const later of data.starts)
    if (later > endPos) measure(later, Math.min(later + data.fileBytes, later + TAIL_SCAN_BYTES))
  removeAfter(data, endPos)
  if (cutFrom < fileEnd) data.cutFileAt(cutFrom)
  const cutBytes = lastNonZero < 0 ? 0 : lastNonZero + 1 - endPos
  return found.torn === null ? cutBytes : Math.max(1, cutBytes)
}

function lastNonZeroIn(bytes: Buffer): number {
  let at = bytes.length - 1
  while (at > 0 && bytes[at] === 0) at--
  return at
}

/** Makes what follows the last entry of a file a blank, and nothing but that. */
export function mendBlank(data: SegmentDirectory, pos: number): void {
  const fileEnd = fileStartOf(pos, data.fileBytes) + data.fileBytes
  data.writeSync(pos, encodeBlank(pos, data.fileBytes))
  writeZeros(data, pos + BLANK_BYTES, fileEnd)
}

/** Units of lost entries stay as they are: they may be the last word on what was there. */
function rebuildUnits(data: SegmentDirectory, index: SegmentDirectory, found: RecoveredLog): void {
  const window = new ScanWindow(data)
  const units = Buffer.alloc(REBUILD_UNITS * INDEX_UNIT_BYTES)
  let filled = 0
  let pos = found.rebuildPos
  const flush = (nextIndex: number): void => {
    index.writeSync((nextIndex - filled) * INDEX_UNIT_BYTES, units.subarray(0, filled * INDEX_UNIT_BYTES))
    filled = 0
  }
  for (let at = found.rebuildFrom; at <= found.lastIndex; at++) {
    const lost = found.lost.find((range) => range.firstIndex === at)
    if (lost !== undefined) {
      if (filled > 0) flush(at)
      at = lost.lastIndex
      pos = lost.endPos
      continue
    }
    let header = headerBehind(window, pos, data.fileBytes)
    if (header?.index !== at) {
      // It was good when it was judged: a drive may give other bytes but once.
      window.forget()
      header = headerBehind(window, pos, data.fileBytes)
    }
    if (header?.index !== at) throw corruptAt(data, pos, `no entry ${at}`)
    encodeIndexUnit(units, filled * INDEX_UNIT_BYTES, header)
    filled++
    pos = header.pos + header.size
    if (filled === REBUILD_UNITS) flush(at + 1)
  }
  if (filled > 0) flush(found.lastIndex + 1)
}

/** The header of what follows the entry that ends at `pos`; null when that is none. */
function headerBehind(window: ScanWindow, endPos: number, fileBytes: number): EntryHeader | null {
  const rest = fileBytes - (endPos % fileBytes)
  const isBehindBlank = rest >= BLANK_BYTES && isBlank(window.bytes(endPos, BLANK_BYTES), 0, rest)
  const pos = isBehindBlank ? endPos + rest : endPos
  const header = decodeEntryHeader(window.bytes(pos, ENTRY_HEADER_BYTES), 0)
  return header !== null && header.pos === pos ? header : null
}
