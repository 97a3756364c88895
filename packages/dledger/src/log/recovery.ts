/**
 * Finds out, reading only, where a log ends and what it holds. Nothing on disk is changed before the answer is known to be good.
 *
 *   zeros after a good entry                         the end
 *   invalid, at or before the durable hint           CORRUPT
 *   invalid beyond it, a whole sector never written  a torn tail, cut
 *   invalid beyond it, a later entry follows         CORRUPT
 *   invalid beyond it, nothing follows               a torn tail, cut
 *
 * A sector that is zero all over was never written, because files are zero ahead of the log's end: so entries of one lost
 * batch, of which only later pages reached the disk, are told from bytes that changed after they were synced.
 *
 * Keeps:
 *   V1  what is reported is a prefix of what was appended, and holds everything up to the durable hint.
 *   V2  the work does not grow with the log: entries before the hint are known by the index, and read only where it is damaged.
 */
import { chainOf, decodeEntryHeader, ENTRY_MAGIC, type EntryHeader, isUnchecked } from './entry-codec.ts'
import { ENTRY_HEADER_BYTES, EntryChannel } from './entry-batch.ts'
import { decodeIndexUnit, INDEX_UNIT_BYTES, type IndexUnit } from './index-codec.ts'
import { BLANK_BYTES, fileStartOf, isBlank, placeEntry } from './layout.ts'
import { ScanWindow } from './scan-window.ts'
import { corruptAt, type SegmentDirectory } from './segment-directory.ts'

/** Index units that may not be synced while their entries are; verified at every start. */
export const UNSYNCED_INDEX_UNITS_MAX = 32_768
/** Smallest piece that a disk writes whole. */
const SECTOR_BYTES = 512
const MAGIC_BYTES = 4

export interface TermRun {
  readonly firstIndex: number
  readonly term: number
}
/** The end of the log as it is known to be synced. */
export interface DurableHint {
  readonly index: number
  readonly endPos: number
  readonly chain: number
}
/** The entry before the first one kept. */
export interface BeforeFirst {
  readonly index: number
  readonly term: number
  readonly endPos: number
  readonly chain: number
}
export interface RecoveryInput {
  readonly data: SegmentDirectory
  readonly index: SegmentDirectory
  readonly durableHint: DurableHint | null
  readonly checksummedFrom: number
  readonly beforeFirst: BeforeFirst | null
  /** Configuration entries up to the hint, kept with it; null: read the whole log to find them. */
  readonly configurationIndexes: readonly number[] | null
}
export interface RecoveredLog {
  readonly firstIndex: number
  readonly prevTerm: number
  /** End and chain value of what is before the first entry. */
  readonly firstEndPos: number
  readonly firstChain: number
  readonly lastIndex: number
  readonly lastTerm: number
  readonly endPos: number
  readonly lastChain: number
  readonly termRuns: TermRun[]
  readonly configurationIndexes: number[]
  /** Index units from here on are to be written again; the entry lies at `rebuildPos`. -1: none. */
  readonly rebuildFrom: number
  readonly rebuildPos: number
  readonly scannedEntries: number
  /** Data files from this start on may hold entries that were never synced. */
  readonly syncFrom: number
  /** Why the end is the end; null when zeros follow. */
  readonly torn: { readonly file: string; readonly at: number; readonly what: string } | null
}

interface Cursor {
  index: number
  term: number
  endPos: number
  /** null: not known, the next header's chain cannot be checked. */
  chain: number | null
}

type Step =
  | { readonly kind: 'entry'; readonly header: EntryHeader }
  | { readonly kind: 'end' }
  | { readonly kind: 'invalid'; readonly pos: number; readonly what: string; readonly header: EntryHeader | null }

/** @throws DLedgerError `CORRUPT` with file and byte; then nothing was changed. */
export function examineLog(input: RecoveryInput): RecoveredLog {
  return new Examination(input).run()
}

class Examination {
  readonly #input: RecoveryInput
  readonly #data: SegmentDirectory
  readonly #window: ScanWindow
  readonly #indexWindow: ScanWindow
  readonly #hintIndex: number
  readonly #termRuns: TermRun[] = []
  readonly #configurationIndexes: number[] = []
  #rebuildFrom = -1
  #rebuildPos = -1
  #scanned = 0
  #firstIndex = 0

  constructor(input: RecoveryInput) {
    this.#input = input
    this.#data = input.data
    this.#window = new ScanWindow(input.data)
    this.#indexWindow = new ScanWindow(input.index)
    this.#hintIndex = input.durableHint?.index ?? -1
  }

  run(): RecoveredLog {
    const before = this.#beforeFirst()
    const firstIndex = before.index + 1
    this.#firstIndex = firstIndex
    const cursor: Cursor = { index: before.index, term: before.term, endPos: before.endPos, chain: before.chain }
    if (this.#input.beforeFirst === null && before.index >= 0) cursor.chain = null
    this.#skipToHint(cursor, firstIndex)
    const torn = this.#walk(cursor)
    return {
      firstIndex,
      prevTerm: before.term,
      firstEndPos: before.endPos,
      firstChain: before.chain,
      lastIndex: cursor.index,
      lastTerm: cursor.term,
      endPos: cursor.endPos,
      lastChain: cursor.chain ?? 0,
      termRuns: this.#termRuns,
      configurationIndexes: this.#configurationIndexes,
      rebuildFrom: this.#rebuildFrom,
      rebuildPos: this.#rebuildPos,
      scannedEntries: this.#scanned,
      syncFrom: fileStartOf(this.#input.durableHint?.endPos ?? 0, this.#data.fileBytes),
      torn,
    }
  }

  /** Where the log starts: given, or byte 0, or (a directory trimmed by Apache's DLedger) what the first file says. */
  #beforeFirst(): BeforeFirst {
    if (this.#input.beforeFirst !== null) return this.#input.beforeFirst
    const start = this.#data.starts[0] ?? 0
    if (start === 0) return { index: -1, term: 0, endPos: 0, chain: 0 }
    const header = decodeEntryHeader(this.#window.bytes(start, ENTRY_HEADER_BYTES), 0)
    if (header === null || header.pos !== start || header.index >= this.#input.checksummedFrom) {
      throw corruptAt(this.#data, start, 'the log does not start at byte 0, and nothing says what was before')
    }
    return { index: header.index - 1, term: 0, endPos: start, chain: 0 }
  }

  /** Takes the entries up to the durable hint as the index tells them, if hint, index and data agree; else leaves `cursor` alone. */
  #skipToHint(cursor: Cursor, firstIndex: number): void {
    const { durableHint: hint, configurationIndexes: configurations } = this.#input
    if (hint === null || configurations === null || hint.index < firstIndex) return
    const unit = this.#unit(hint.index)
    if (unit === null || unit.pos + unit.size !== hint.endPos) return
    const step = this.#judge(unit.pos, { index: hint.index, term: 0, chain: null })
    if (step.kind !== 'entry' || step.header.chainCrc !== hint.chain || step.header.term !== unit.term) return
    if (!this.#indexHolds(Math.max(firstIndex, hint.index - UNSYNCED_INDEX_UNITS_MAX), hint)) return
    const runs = this.#termRunsOf(firstIndex, hint.index)
    if (runs === null) return
    if (!runs.every((run, i) => this.#isRun(run, (runs[i + 1]?.firstIndex ?? hint.index + 1) - 1))) return
    const held = configurations.filter((index) => index >= firstIndex && index <= hint.index)
    if (!held.every((index) => this.#isConfiguration(index))) return
    this.#termRuns.push(...runs)
    this.#configurationIndexes.push(...held)
    cursor.index = hint.index
    cursor.term = unit.term
    cursor.endPos = hint.endPos
    cursor.chain = hint.chain
  }

  /** Do the data say that a run's first and last entry have its term? Terms do not fall, so those between have it too. */
  #isRun(run: TermRun, lastIndex: number): boolean {
    return this.#headerOf(run.firstIndex)?.term === run.term && this.#headerOf(lastIndex)?.term === run.term
  }

  #isConfiguration(index: number): boolean {
    return this.#headerOf(index)?.channel === EntryChannel.CONFIGURATION
  }

  /** The header to which the index leads, if it is that entry's. */
  #headerOf(index: number): EntryHeader | null {
    const unit = this.#unit(index)
    const { fileBytes } = this.#data
    if (unit === null || (unit.pos % fileBytes) + ENTRY_HEADER_BYTES > fileBytes) return null
    const header = decodeEntryHeader(this.#window.bytes(unit.pos, ENTRY_HEADER_BYTES), 0)
    return header !== null && header.index === index && header.pos === unit.pos ? header : null
  }

  #unit(index: number): IndexUnit | null {
    return decodeIndexUnit(this.#indexWindow.bytes(index * INDEX_UNIT_BYTES, INDEX_UNIT_BYTES), 0, index)
  }

  /** Do the units of `fromIndex` to the hint follow one another as entries do? Later ones may be lost: they were not synced. */
  #indexHolds(fromIndex: number, hint: DurableHint): boolean {
    let prev: IndexUnit | null = null
    for (let index = fromIndex; index <= hint.index; index++) {
      const unit = this.#unit(index)
      if (unit === null) return false
      if (prev !== null) {
        if (unit.term < prev.term || unit.magic !== ENTRY_MAGIC) return false
        if (unit.size > this.#data.fileBytes - BLANK_BYTES) return false
        const prevEnd = prev.pos + prev.size
        if (unit.pos !== placeEntry(prevEnd, unit.size, this.#data.fileBytes)) return false
        // Behind the last entry of a file nothing in the index tells its size.
        if (unit.pos !== prevEnd && this.#headerOf(prev.index)?.size !== prev.size) return false
      }
      prev = unit
    }
    return true
  }

  /** The term changes among `firstIndex` to `lastIndex`, by binary search in the index; null when a unit is missing. */
  #termRunsOf(firstIndex: number, lastIndex: number): TermRun[] | null {
    const last = this.#unit(lastIndex)
    if (last === null) return null
    const runs: TermRun[] = []
    for (let index = firstIndex; index <= lastIndex;) {
      const unit = this.#unit(index)
      if (unit === null || unit.term > last.term) return null
      runs.push({ firstIndex: index, term: unit.term })
      if (unit.term === last.term) break
      // Terms do not fall: the first index of a higher one lies in (low, high].
      let low = index
      let high = lastIndex
      while (high - low > 1) {
        const middle = low + Math.floor((high - low) / 2)
        const between = this.#unit(middle)
        if (between === null || between.term < unit.term) return null
        if (between.term === unit.term) low = middle
        else high = middle
      }
      index = high
    }
    return runs
  }

  /** Takes entries while they are good. @returns what is wrong with the next one, null when nothing follows. */
  #walk(cursor: Cursor): RecoveredLog['torn'] {
    for (;;) {
      const step = this.#next(cursor)
      if (step.kind === 'entry') {
        this.#take(cursor, step.header)
        continue
      }
      if (cursor.index < this.#hintIndex) {
        const pos = step.kind === 'invalid' ? step.pos : cursor.endPos
        throw corruptAt(
          this.#data,
          pos,
          `entry ${cursor.index + 1} is not good, and the log was synced up to ${this.#hintIndex}`,
        )
      }
      if (step.kind === 'end') return null
      if (
        !this.#isUnwritten(step.pos, step.header) &&
        this.#somethingFollows(step.pos, cursor.index + 1, step.header)
      ) {
        throw corruptAt(
          this.#data,
          step.pos,
          `entry ${cursor.index + 1} is not good (${step.what}), and entries follow it`,
        )
      }
      const start = fileStartOf(step.pos, this.#data.fileBytes)
      return { file: this.#data.nameOf(start), at: step.pos - start, what: step.what }
    }
  }

  #take(cursor: Cursor, header: EntryHeader): void {
    this.#scanned++
    if (header.term !== cursor.term || this.#termRuns.length === 0) {
      this.#termRuns.push({ firstIndex: header.index, term: header.term })
    }
    if (header.channel === EntryChannel.CONFIGURATION) this.#configurationIndexes.push(header.index)
    if (this.#rebuildFrom < 0) {
      const unit = this.#unit(header.index)
      const { magic, pos, size, term } = header
      if (unit === null || unit.magic !== magic || unit.pos !== pos || unit.size !== size || unit.term !== term) {
        this.#rebuildFrom = header.index
        this.#rebuildPos = header.pos
      }
    }
    cursor.index = header.index
    cursor.term = header.term
    cursor.endPos = header.pos + header.size
    cursor.chain = header.chainCrc
    const hint = this.#input.durableHint
    if (
      hint !== null &&
      hint.index === header.index &&
      (hint.endPos !== cursor.endPos || hint.chain !== cursor.chain)
    ) {
      throw corruptAt(this.#data, header.pos, `entry ${header.index} is not the one that was synced there`)
    }
  }

  /** Judges what follows the cursor's entry, over the end of a file where a blank says so. */
  #next(cursor: Cursor): Step {
    const { fileBytes } = this.#data
    let pos = cursor.endPos
    const rest = fileBytes - (pos % fileBytes)
    const start = fileStartOf(pos, fileBytes)
    if (cursor.index < this.#firstIndex && !this.#data.has(start) && (this.#data.starts.at(-1) ?? 0) > pos) {
      // The head was trimmed up to a file's end. Files before that may have outlived a crash; they count for nothing.
      if (!this.#data.has(start + fileBytes)) throw corruptAt(this.#data, pos, 'the file is missing')
      pos = start + fileBytes
    } else if (rest >= BLANK_BYTES && isBlank(this.#window.bytes(pos, BLANK_BYTES), 0, rest)) {
      pos += rest
      // A blank with nothing behind it is undone: the next entry may be smaller and fit after all.
      if (!this.#data.has(pos)) return { kind: 'end' }
    }
    const step = this.#judge(pos, { index: cursor.index + 1, term: cursor.term, chain: cursor.chain })
    if (step.kind !== 'entry' || placeEntry(cursor.endPos, step.header.size, fileBytes) === pos) return step
    return { kind: 'invalid', pos, what: 'it would have fitted elsewhere', header: null }
  }

  #judge(pos: number, expected: { index: number; term: number; chain: number | null }): Step {
    const { fileBytes } = this.#data
    const offset = pos % fileBytes
    const room = Math.min(ENTRY_HEADER_BYTES, fileBytes - offset)
    const bytes = this.#window.bytes(pos, room)
    if (isZero(bytes)) return { kind: 'end' }
    const header = decodeEntryHeader(bytes, 0)
    if (header === null) return { kind: 'invalid', pos, what: 'no entry header', header: null }
    const invalid = (what: string, trusted: boolean): Step => ({
      kind: 'invalid',
      pos,
      what,
      header: trusted ? header : null,
    })
    if (header.size + BLANK_BYTES > fileBytes - offset) return invalid('its size', false)
    if (header.index !== expected.index) return invalid('its index', false)
    if (header.term < expected.term) return invalid('its term', false)
    if (header.pos !== pos) return invalid('its position', false)
    if (header.index < this.#input.checksummedFrom && isUnchecked(header)) return { kind: 'entry', header }
    if (expected.chain !== null && header.chainCrc !== chainOf(bytes, 0, expected.chain))
      return invalid('chain checksum', false)
    if (header.bodyCrc !== this.#window.crc(pos + ENTRY_HEADER_BYTES, header.bodySize)) {
      return invalid('body checksum', true)
    }
    return { kind: 'entry', header }
  }

  /**
   * Was a sector of the entry at `pos` never written? Those it has for itself are zero then; the first one, which it shares with
   * the entries before it, is zero from `pos` on, and says so if it would hold the last byte of the magic, which is not zero.
   * `header` is null where the header itself is in doubt.
   */
  #isUnwritten(pos: number, header: EntryHeader | null): boolean {
    const end = pos + (header?.size ?? ENTRY_HEADER_BYTES)
    const firstSector = fileStartOf(pos, SECTOR_BYTES)
    for (let sector = firstSector; sector < end; sector += SECTOR_BYTES) {
      const from = Math.max(pos, sector)
      const to = Math.min(sector + SECTOR_BYTES, fileStartOf(pos, this.#data.fileBytes) + this.#data.fileBytes)
      if (to - from >= MAGIC_BYTES && isZero(this.#window.bytes(from, to - from))) return true
    }
    return false
  }

  /**
   * Is there a later entry where the one at `pos`, the index or its file's end says it would be? A header that knows its own
   * place is enough: whatever follows was written, and is not cut on suspicion.
   */
  #somethingFollows(pos: number, index: number, header: EntryHeader | null): boolean {
    const { fileBytes } = this.#data
    const fileEnd = fileStartOf(pos, fileBytes) + fileBytes
    const candidates = [fileEnd]
    const following = this.#unit(index + 1)
    if (following !== null) candidates.push(following.pos)
    const size = header?.size ?? this.#window.bytes(pos, BLANK_BYTES).readInt32BE(4)
    if (size >= ENTRY_HEADER_BYTES && pos + size + ENTRY_HEADER_BYTES <= fileEnd) candidates.push(pos + size)
    return candidates.some((at) => {
      if (at <= pos || !this.#data.has(fileStartOf(at, fileBytes))) return false
      const found = decodeEntryHeader(
        this.#window.bytes(at, Math.min(ENTRY_HEADER_BYTES, fileBytes - (at % fileBytes))),
        0,
      )
      return found !== null && found.pos === at && found.index > index
    })
  }
}

export function isZero(bytes: Buffer): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false
  return true
}
