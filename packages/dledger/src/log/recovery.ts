/**
 * Finds out, reading only, where a log ends and what it holds. Nothing on disk is changed before the answer is known to be good.
 *
 *   zeros after a good entry                         the end
 *   invalid, at or before the durable hint           lost: marked, and the log goes on behind it
 *   invalid beyond it, a whole sector never written  a torn tail, cut
 *   invalid beyond it, a later entry follows         lost, if that later entry is good; else CORRUPT
 *   invalid beyond it, nothing follows               a torn tail, cut
 *
 * A sector that is zero all over was never written, because files are zero ahead of the log's end: so entries of one lost
 * batch, of which only later pages reached the disk, are told from bytes that changed after they were synced.
 *
 * What is lost is bounded by what is good: by a header that the chain vouches for though its body is bad, by the next good entry
 * that index or data lead to, or by the durable hint. docs/operations.md has the whole table.
 *
 * Keeps:
 *   V1  what is reported is a prefix of what was appended, and holds everything up to the durable hint; entries of it that are
 *       not good are reported as lost, never left out.
 *   V2  the work does not grow with the log: entries before the hint are known by the index, and read only where it is damaged.
 *   V3  a drive that gives other bytes but once changes nothing: what is not good is read once more before it is judged.
 */
import { chainOf, decodeEntryHeader, ENTRY_MAGIC, type EntryHeader, isUnchecked } from './entry-codec.ts'
import { ENTRY_HEADER_BYTES, EntryChannel } from './entry-batch.ts'
import { decodeIndexUnit, INDEX_UNIT_BYTES, type IndexUnit } from './index-codec.ts'
import { BLANK_BYTES, fileStartOf, isBlank, placeEntry } from './layout.ts'
import { type LostRange, LostRanges, type TermRun } from './lost-ranges.ts'
import type { BeforeFirst, DurableHint, RecoveredLog, RecoveryInput, SuspectedRun } from './recovered-log.ts'
import { findGoodEntry, type Place } from './resync.ts'
import { ScanWindow } from './scan-window.ts'
import { corruptAt, type SegmentDirectory } from './segment-directory.ts'

/** Index units that may not be synced while their entries are; verified at every start. */
export const UNSYNCED_INDEX_UNITS_MAX = 32_768
/** Smallest piece that a disk writes whole. */
const SECTOR_BYTES = 512
const MAGIC_BYTES = 4
/** Of what is not good: a drive that never says the same is given up. */
const READS_MAX = 8

export type { TermRun } from './lost-ranges.ts'
export type { BeforeFirst, DurableHint, RecoveredLog } from './recovered-log.ts'

interface Cursor {
  index: number
  term: number
  endPos: number
  /** null: not known, the next header's chain cannot be checked. */
  chain: number | null
}

interface InvalidStep {
  readonly kind: 'invalid'
  readonly pos: number
  readonly what: string
  readonly header: EntryHeader | null
}

type Step = { readonly kind: 'entry'; readonly header: EntryHeader } | { readonly kind: 'end' } | InvalidStep

/** @throws DLedgerError `CORRUPT` with file and byte; then nothing was changed. */
export function examineLog(input: RecoveryInput): RecoveredLog {
  return new Examination(input).run()
}

/** What of a run of entries is lost, while the log is in use; index units and blanks that are wrong are named too. */
export function examineRun(suspected: SuspectedRun): Damage {
  const { data, index, checksummedFrom, end: durableHint, ignoresChain = false } = suspected
  const input = {
    data,
    index,
    checksummedFrom,
    durableHint,
    beforeFirst: null,
    configurationIndexes: null,
    ignoresChain,
  }
  return new Examination(input).examineFrom(suspected.from, suspected.lastIndex)
}

export interface Damage {
  readonly lost: readonly LostRange[]
  readonly badBlanks: readonly number[]
  /** Good entries whose unit in the index is not. */
  readonly badUnits: readonly IndexUnit[]
}

class Examination {
  readonly #input: RecoveryInput
  readonly #data: SegmentDirectory
  readonly #index: SegmentDirectory
  readonly #window: ScanWindow
  readonly #indexWindow: ScanWindow
  readonly #hintIndex: number
  readonly #termRuns: TermRun[] = []
  readonly #configurationIndexes: number[] = []
  readonly #lost = new LostRanges()
  readonly #badBlanks: number[] = []
  readonly #badUnits: IndexUnit[] = []
  #keepsBadUnits = false
  #rebuildFrom = -1
  #rebuildPos = -1
  #scanned = 0
  #firstIndex = 0

  constructor(input: RecoveryInput) {
    this.#input = input
    this.#data = input.data
    this.#index = input.index
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
    if (!this.#skipsToHint(cursor, firstIndex)) {
      this.#window.forget()
      this.#indexWindow.forget()
      this.#skipsToHint(cursor, firstIndex)
    }
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
      ...this.#configurations(),
      rebuildFrom: this.#rebuildFrom,
      rebuildPos: this.#rebuildPos,
      scannedEntries: this.#scanned,
      lost: this.#lost.all,
      badBlanks: this.#badBlanks,
      syncFrom: fileStartOf(this.#input.durableHint?.endPos ?? 0, this.#data.fileBytes),
      torn,
    }
  }

  /** Those that were read, and lost ones that were remembered with the hint. */
  #configurations(): { configurationIndexes: number[]; configurationsUnknown: boolean } {
    const remembered = this.#input.configurationIndexes
    const indexes = new Set(this.#configurationIndexes)
    for (const index of remembered ?? []) if (this.#lost.of(index) !== null) indexes.add(index)
    const configurationsUnknown =
      !this.#lost.isEmpty &&
      (remembered === null || this.#lost.firstFrom(this.#hintIndex + 1) < Number.POSITIVE_INFINITY)
    return { configurationIndexes: [...indexes].sort((a, b) => a - b), configurationsUnknown }
  }

  /** Where the log starts: given, or byte 0, or (a directory trimmed by Apache's DLedger) what the first file says. */
  #beforeFirst(): BeforeFirst {
    if (this.#input.beforeFirst !== null) return this.#input.beforeFirst
    const start = this.#data.starts[0] ?? 0
    const fromItsBeginning = { index: -1, term: 0, endPos: 0, chain: 0 }
    if (start === 0) return fromItsBeginning
    const isApaches = (header: EntryHeader | null): header is EntryHeader =>
      header !== null && header.pos === start && header.index < this.#input.checksummedFrom
    let header = decodeEntryHeader(this.#window.bytes(start, ENTRY_HEADER_BYTES), 0)
    if (!isApaches(header)) {
      this.#window.forget()
      header = decodeEntryHeader(this.#window.bytes(start, ENTRY_HEADER_BYTES), 0)
    }
    if (!isApaches(header)) {
      // Nothing was trimmed, so the first file is missing.
      if (this.#hintIndex >= 0) return fromItsBeginning
      throw corruptAt(this.#data, start, 'the log does not start at byte 0, and nothing says what was before')
    }
    return { index: header.index - 1, term: 0, endPos: start, chain: 0 }
  }

  /**
   * Takes the entries up to the durable hint as the index tells them, if hint, index and data agree; else leaves `cursor` alone.
   *
   * @returns whether nothing more can be taken this way.
   */
  #skipsToHint(cursor: Cursor, firstIndex: number): boolean {
    const { durableHint: hint, configurationIndexes: configurations } = this.#input
    if (hint === null || configurations === null || hint.index < firstIndex) return true
    if (!this.#filesAreThere(cursor.endPos, hint.endPos)) return true
    const unit = this.#unit(hint.index)
    if (unit === null || unit.pos + unit.size !== hint.endPos) return false
    const step = this.#judge(unit.pos, { index: hint.index, term: 0, chain: null })
    if (step.kind !== 'entry' || step.header.chainCrc !== hint.chain || step.header.term !== unit.term) return false
    if (!this.#indexHolds(Math.max(firstIndex, hint.index - UNSYNCED_INDEX_UNITS_MAX), hint)) return false
    const runs = this.#termRunsOf(firstIndex, hint.index)
    if (runs === null) return false
    if (!runs.every((run, i) => this.#isRun(run, (runs[i + 1]?.firstIndex ?? hint.index + 1) - 1))) return false
    const held = configurations.filter((index) => index >= firstIndex && index <= hint.index)
    if (!held.every((index) => this.#isConfiguration(index))) return false
    this.#termRuns.push(...runs)
    this.#configurationIndexes.push(...held)
    cursor.index = hint.index
    cursor.term = unit.term
    cursor.endPos = hint.endPos
    cursor.chain = hint.chain
    return true
  }

  /** Has every file from `pos` to `endPos` all the bytes that the log has there? */
  #filesAreThere(pos: number, endPos: number): boolean {
    const { fileBytes } = this.#data
    // The head may have been trimmed up to a file's end.
    const from = Math.max(fileStartOf(pos, fileBytes), Math.min(this.#data.starts[0] ?? 0, pos + fileBytes))
    for (let start = fileStartOf(from, fileBytes); start < endPos; start += fileBytes) {
      if (!this.#data.has(start)) return false
      if (this.#data.file(start).sizeSync() < Math.min(fileBytes, endPos - start)) return false
    }
    return true
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
      if (unit === null || unit.magic !== ENTRY_MAGIC) return false
      if (prev !== null) {
        if (unit.term < prev.term) return false
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

  /** Looks at the entries behind `from` up to `lastIndex`, and on until one is good. */
  examineFrom(from: SuspectedRun['from'], lastIndex: number): Damage {
    this.#keepsBadUnits = true
    this.#firstIndex = from.index + 1
    const cursor: Cursor = { ...from }
    this.#walk(cursor, lastIndex)
    return { lost: this.#lost.all, badBlanks: this.#badBlanks, badUnits: this.#badUnits }
  }

  /**
   * Takes entries while they are good, and passes over lost ones.
   *
   * @param untilIndex a good entry from here on is enough.
   * @returns what is wrong with the one after the end, null when nothing follows.
   */
  #walk(cursor: Cursor, untilIndex = Number.POSITIVE_INFINITY): RecoveredLog['torn'] {
    for (;;) {
      const step = this.#nextForSure(cursor)
      if (step.kind === 'entry') {
        this.#take(cursor, step.header)
        if (cursor.index >= untilIndex) return null
        continue
      }
      const isSynced = cursor.index < this.#hintIndex
      if ((!isSynced || this.#input.cutsAtDamage === true) && step.kind === 'end') return null
      const isTorn = step.kind === 'invalid' && !isSynced && this.#isTorn(step, cursor.index + 1)
      if (step.kind === 'invalid' && (isTorn || this.#input.cutsAtDamage === true)) {
        const start = fileStartOf(step.pos, this.#data.fileBytes)
        return { file: this.#data.nameOf(start), at: step.pos - start, what: step.what }
      }
      this.#lose(cursor, step)
      if (cursor.index >= untilIndex && cursor.index >= this.#hintIndex) return null
    }
  }

  /** As `#next`, but what is not good has been so twice: where damage reads as zeros but once, the log does not end there. */
  #nextForSure(cursor: Cursor): Step {
    let step = this.#next(cursor)
    for (let reads = 1; step.kind !== 'entry' && reads < READS_MAX; reads++) {
      const { kind } = step
      this.#window.forget()
      step = this.#next(cursor)
      if (step.kind === kind) return step
    }
    return step
  }

  /** What is torn is cut, so it must look so twice. */
  #isTorn(step: InvalidStep, index: number): boolean {
    if (!this.#looksTorn(step, index)) return false
    this.#window.forget()
    this.#indexWindow.forget()
    return this.#looksTorn(step, index)
  }

  #looksTorn(step: InvalidStep, index: number): boolean {
    return this.#isUnwritten(step.pos, step.header) || !this.#somethingFollows(step.pos, index, step.header)
  }

  /** The entry after the cursor's is not good: marks it, and what cannot be reached behind it, and moves on. */
  #lose(cursor: Cursor, step: Exclude<Step, { readonly kind: 'entry' }>): void {
    const hint = this.#input.durableHint
    if (step.kind === 'invalid' && step.header !== null) {
      // The chain vouches for its header: it is its body alone.
      const { index, term, pos, size, chainCrc } = step.header
      const place = { index, term, pos, size, chain: chainCrc }
      this.#checkHint(place)
      this.#mark(cursor, { lastIndex: index, endPos: pos + size, termRuns: [{ firstIndex: index, term }] })
      if (step.header.channel === EntryChannel.CONFIGURATION) this.#configurationIndexes.push(index)
      cursor.index = index
      cursor.term = term
      cursor.endPos = pos + size
      cursor.chain = chainCrc
      return
    }
    const pos = step.kind === 'invalid' ? step.pos : cursor.endPos
    const isSynced = hint !== null && cursor.index < hint.index
    const found = findGoodEntry({
      data: this.#data,
      index: this.#index,
      checksummedFrom: this.#input.checksummedFrom,
      after: cursor,
      end: isSynced ? hint : null,
    })
    if (found !== null) return this.#loseUpTo(cursor, found)
    if (!isSynced) {
      const what = step.kind === 'invalid' ? step.what : 'it is missing'
      throw corruptAt(this.#data, pos, `entry ${cursor.index + 1} is not good (${what}), and entries follow it`)
    }
    if (hint.endPos - cursor.endPos < (hint.index - cursor.index) * ENTRY_HEADER_BYTES) {
      throw corruptAt(
        this.#data,
        pos,
        `entry ${cursor.index + 1} is not good, and the log was synced up to ${this.#hintIndex}`,
      )
    }
    const term = hint.term ?? null
    const runs = this.#runsBetween(cursor, { index: hint.index + 1, pos: hint.endPos, size: 0, term })
    this.#mark(cursor, { lastIndex: hint.index, endPos: hint.endPos, termRuns: runs })
    cursor.term = Math.max(cursor.term, runs?.at(-1)?.term ?? term ?? this.#input.termMax ?? 0)
    if (runs === null) {
      const firstIndex = this.#termRuns.length === 0 ? this.#firstIndex : hint.index
      this.#pushRun({ firstIndex, term: cursor.term })
    }
    cursor.index = hint.index
    cursor.endPos = hint.endPos
    cursor.chain = hint.chain
  }

  /** The entries between the cursor's and `found`, which is good, are lost; none, when only the blank between them is bad. */
  #loseUpTo(cursor: Cursor, found: EntryHeader): void {
    if (found.index === cursor.index + 1) {
      if (found.pos !== cursor.endPos) this.#badBlanks.push(cursor.endPos)
      // The chain vouches for it. To judge it again could go on for ever, where the drive gives other bytes each time.
      if (cursor.chain !== null) return this.#take(cursor, found)
    } else {
      const runs = this.#runsBetween(cursor, found)
      this.#mark(cursor, { lastIndex: found.index - 1, endPos: found.pos, termRuns: runs })
      cursor.term = Math.max(cursor.term, runs?.at(-1)?.term ?? 0)
      cursor.index = found.index - 1
      cursor.chain = null
    }
    cursor.endPos = found.pos
  }

  #mark(after: Cursor, lost: { lastIndex: number; endPos: number; termRuns: TermRun[] | null }): void {
    const firstIndex = after.index + 1
    this.#lost.add({ firstIndex, pos: after.endPos, prevChain: after.chain, ...lost })
    for (const run of lost.termRuns ?? []) this.#pushRun(run)
  }

  #pushRun(run: TermRun): void {
    if (this.#termRuns.at(-1)?.term !== run.term) this.#termRuns.push(run)
  }

  /**
   * The terms of the entries between the cursor's and `next`, if both have one, or if the index has a unit for each that fits
   * its neighbours. A unit has no checksum: one that does not fit says nothing.
   */
  #runsBetween(
    after: Cursor,
    next: { index: number; pos: number; size: number; term: number | null },
  ): TermRun[] | null {
    const firstIndex = after.index + 1
    if (after.term === next.term) return [{ firstIndex, term: after.term }]
    const { fileBytes } = this.#data
    const runs: TermRun[] = []
    let { term, endPos } = after
    for (let index = firstIndex; index < next.index; index++) {
      const unit = this.#unit(index)
      if (unit === null || unit.size < ENTRY_HEADER_BYTES || unit.size > fileBytes - BLANK_BYTES) return null
      if (unit.term < Math.max(1, term) || unit.pos !== placeEntry(endPos, unit.size, fileBytes)) return null
      if (runs.at(-1)?.term !== unit.term) runs.push({ firstIndex: index, term: unit.term })
      term = unit.term
      endPos = unit.pos + unit.size
    }
    if (term > (next.term ?? this.#input.termMax ?? term)) return null
    const fits = next.size === 0 ? endPos === next.pos : placeEntry(endPos, next.size, fileBytes) === next.pos
    return fits ? runs : null
  }

  #take(cursor: Cursor, header: EntryHeader): void {
    this.#scanned++
    this.#pushRun({ firstIndex: this.#termRuns.length === 0 ? this.#firstIndex : header.index, term: header.term })
    if (header.channel === EntryChannel.CONFIGURATION) this.#configurationIndexes.push(header.index)
    if (this.#rebuildFrom < 0 || this.#keepsBadUnits) this.#checkUnit(header)
    cursor.index = header.index
    cursor.term = header.term
    cursor.endPos = header.pos + header.size
    cursor.chain = header.chainCrc
    this.#checkHint({ ...header, chain: header.chainCrc })
  }

  #checkUnit({ magic, index, term, pos, size }: EntryHeader): void {
    const unit = this.#unit(index)
    if (unit !== null && unit.magic === magic && unit.pos === pos && unit.size === size && unit.term === term) return
    if (this.#keepsBadUnits) this.#badUnits.push({ magic, pos, size, index, term })
    else {
      this.#rebuildFrom = index
      this.#rebuildPos = pos
    }
  }

  #checkHint({ index, pos, size, chain }: Place & { readonly chain: number }): void {
    const hint = this.#input.durableHint
    if (hint === null || hint.index !== index) return
    if (hint.endPos === pos + size && hint.chain === chain) return
    throw corruptAt(this.#data, pos, `entry ${index} is not the one that was synced there`)
  }

  /** Judges what follows the cursor's entry, over the end of a file where a blank says so. */
  #next(cursor: Cursor): Step {
    const { fileBytes } = this.#data
    let pos = cursor.endPos
    const rest = fileBytes - (pos % fileBytes)
    const start = fileStartOf(pos, fileBytes)
    const isTrimmed = cursor.index >= 0 && cursor.index < this.#firstIndex && !this.#data.has(start)
    if (isTrimmed && (this.#data.starts.at(-1) ?? 0) > pos) {
      // The head was trimmed up to a file's end. Files before that may have outlived a crash; they count for nothing.
      const isMissing = !this.#data.has(start + fileBytes)
      if (isMissing && cursor.index >= this.#hintIndex) throw corruptAt(this.#data, pos, 'the file is missing')
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
    const chain = this.#input.ignoresChain === true ? null : expected.chain
    if (chain !== null && header.chainCrc !== chainOf(bytes, 0, chain)) return invalid('chain checksum', false)
    if (header.bodyCrc !== this.#window.crc(pos + ENTRY_HEADER_BYTES, header.bodySize)) {
      return invalid('body checksum', expected.chain !== null)
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

function isZero(bytes: Buffer): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false
  return true
}
