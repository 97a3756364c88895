/**
 * Behind bytes that are not good: finds the next entry that is, by the index or else in the data itself.
 *
 * The entry before it is lost, so its header cannot be held against the chain. It counts when it knows its own place, its body
 * has its checksum, and the index says the same of it, or, where the index has no word of it, the entry behind it continues it.
 * Should its header be damaged all the same, the repair of what is before it notices, for that must fit at both ends.
 */
import { chainOf, decodeEntryHeader, ENTRY_MAGIC, type EntryHeader, isUnchecked } from './entry-codec.ts'
import { ENTRY_HEADER_BYTES } from './entry-batch.ts'
import { decodeIndexUnit, INDEX_UNIT_BYTES } from './index-codec.ts'
import { BLANK_BYTES, fileStartOf, isBlank, placeEntry } from './layout.ts'
import { ScanWindow } from './scan-window.ts'
import type { SegmentDirectory } from './segment-directory.ts'

/** What is scanned at once; a header may lie across two of these. */
const SCAN_BYTES = 1 << 17
const MAGIC_BYTES = Buffer.from([0, 0, 0, ENTRY_MAGIC])

export interface Place {
  readonly index: number
  readonly term: number
  readonly pos: number
  readonly size: number
}

export interface Resync {
  readonly data: SegmentDirectory
  readonly index: SegmentDirectory
  readonly checksummedFrom: number
  /** The last good entry; its chain value is null where it is not known. */
  readonly after: {
    readonly index: number
    readonly term: number
    readonly endPos: number
    readonly chain: number | null
  }
  /** Only entries up to this end of the log count; null: whatever is there. */
  readonly end: { readonly index: number; readonly endPos: number; readonly chain: number } | null
}

/** @returns the first good entry behind `after`, which may be the very next when only a blank is bad; null: there is none. */
export function findGoodEntry(resync: Resync): EntryHeader | null {
  const search = new Search(resync)
  const byIndex = search.byIndex()
  const endPos = byIndex?.pos ?? resync.end?.endPos ?? Number.POSITIVE_INFINITY
  return search.inData(endPos) ?? byIndex
}

class Search {
  readonly #resync: Resync
  readonly #window: ScanWindow
  readonly #bodies: ScanWindow
  readonly #units: ScanWindow

  constructor(resync: Resync) {
    this.#resync = resync
    this.#window = new ScanWindow(resync.data)
    this.#bodies = new ScanWindow(resync.data)
    this.#units = new ScanWindow(resync.index)
  }

  byIndex(): EntryHeader | null {
    const { index, after, end } = this.#resync
    const unitsEnd = ((index.starts.at(-1) ?? -index.fileBytes) + index.fileBytes) / INDEX_UNIT_BYTES
    const last = Math.min(unitsEnd - 1, end?.index ?? unitsEnd)
    for (let at = after.index + 1; at <= last; at++) {
      const unit = this.#unit(at)
      if (unit === null) continue
      const header = this.#goodAt(unit.pos)
      if (header !== null && header.index === at && this.#isIndexed(header) === true) return header
    }
    return null
  }

  inData(before: number): EntryHeader | null {
    const { data, after } = this.#resync
    const { fileBytes } = data
    const files = data.starts.filter((start) => start + fileBytes > after.endPos && start < before)
    for (const start of files) {
      const fileEnd = Math.min(start + fileBytes, before)
      for (let from = Math.max(start, after.endPos); from < fileEnd; from += SCAN_BYTES) {
        const scanned = Math.min(SCAN_BYTES + MAGIC_BYTES.length - 1, start + fileBytes - from)
        const bytes = this.#window.bytes(from, scanned)
        for (let at = bytes.indexOf(MAGIC_BYTES); at >= 0; at = bytes.indexOf(MAGIC_BYTES, at + 1)) {
          if (from + at >= before) return null
          const header = this.#goodAt(from + at)
          if (header !== null && (this.#isIndexed(header) ?? this.#isContinued(header))) return header
        }
      }
    }
    return null
  }

  /** The entry at `pos`, if it is one of those looked for and nothing in it is bad. */
  #goodAt(pos: number): EntryHeader | null {
    const { data, after, end, checksummedFrom } = this.#resync
    const { fileBytes } = data
    const room = fileBytes - (pos % fileBytes)
    if (pos < after.endPos || room < ENTRY_HEADER_BYTES + BLANK_BYTES || !data.has(fileStartOf(pos, fileBytes)))
      return null
    const bytes = this.#bodies.bytes(pos, ENTRY_HEADER_BYTES)
    const header = decodeEntryHeader(bytes, 0)
    if (header === null || header.pos !== pos || header.size + BLANK_BYTES > room) return null
    const between = header.index - after.index - 1
    if (between < 0 || header.term < after.term || between * ENTRY_HEADER_BYTES > pos - after.endPos) return null
    if (between === 0) {
      // The next one of all: only what lies between it and the good one is bad, or it is bad itself.
      if (pos !== placeEntry(after.endPos, header.size, fileBytes)) return null
      if (after.chain !== null && chainOf(bytes, 0, after.chain) !== header.chainCrc) return null
      if (pos === after.endPos && after.chain === null) return null
    }
    if (end !== null) {
      const endsAt = pos + header.size
      if (header.index > end.index || endsAt > end.endPos) return null
      if (header.index === end.index && (endsAt !== end.endPos || header.chainCrc !== end.chain)) return null
    }
    if (header.index < checksummedFrom && isUnchecked(header)) return header
    return this.#bodies.crc(pos + ENTRY_HEADER_BYTES, header.bodySize) === header.bodyCrc ? header : null
  }

  /** Does the index say the same? undefined: it has no word of this entry. */
  #isIndexed({ index, term, pos, size }: EntryHeader): boolean | undefined {
    const unit = this.#unit(index)
    return unit === null ? undefined : unit.pos === pos && unit.size === size && unit.term === term
  }

  /** Is the entry behind it the next one in the chain? Nothing behind it is good enough, too: it may be the last. */
  #isContinued(header: EntryHeader): boolean {
    const { fileBytes } = this.#resync.data
    let pos = header.pos + header.size
    const rest = fileBytes - (pos % fileBytes)
    if (rest >= BLANK_BYTES && isBlank(this.#bodies.bytes(pos, BLANK_BYTES), 0, rest)) pos += rest
    const bytes = this.#bodies.bytes(pos, Math.min(ENTRY_HEADER_BYTES, fileBytes - (pos % fileBytes)))
    const next = decodeEntryHeader(bytes, 0)
    if (next === null) return !isUnchecked(header)
    if (next.index !== header.index + 1 || next.pos !== pos || next.term < header.term) return false
    return isUnchecked(next) || next.chainCrc === chainOf(bytes, 0, header.chainCrc)
  }

  #unit(index: number): ReturnType<typeof decodeIndexUnit> {
    return decodeIndexUnit(this.#units.bytes(index * INDEX_UNIT_BYTES, INDEX_UNIT_BYTES), 0, index)
  }
}
