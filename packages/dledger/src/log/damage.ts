/**
 * The damage of a log that is in use: found, marked, and repaired with a peer's entries.
 *
 *   a read or an end that is wrong ──► examine: what is lost is marked, index and blanks are mended ──► fill: good again
 *
 * Keeps: L6, what is not good is marked before anybody is told; a mark goes only with entries that were fitted, synced and read back
 * (fill.ts). Whoever watches is told of every change of the marks, from within the call that makes it.
 */
import { ENTRY_HEADER_BYTES } from './entry-batch.ts'
import { decodeEntryHeader } from './entry-codec.ts'
import type { EntryPlaces } from './entry-places.ts'
import {
  fitEntries,
  fitNext,
  type FillPoint,
  type ForeignEntries,
  headerBytesAt,
  type LogFiles,
  type RangeEnd,
  writeEntries,
} from './fill.ts'
import { encodeIndexUnit, INDEX_UNIT_BYTES } from './index-codec.ts'
import { fileStartOf } from './layout.ts'
import type { LostRange, LostRanges } from './lost-ranges.ts'
import type { LogOutline } from './outline.ts'
import { type DurableHint, examineRun } from './recovery.ts'
import { mendBlank } from './repair.ts'
import type { SegmentDirectory } from './segment-directory.ts'

/** What was found while the log is in use is looked for from so many entries before the one that could not be read. */
const EXAMINE_BACK = 16

/** What came of entries that were to fill a lost range. */
export type Filled =
  | { readonly filled: true; readonly firstIndex: number; readonly lastIndex: number }
  | { readonly filled: false; readonly what: string }

/** Whether entries go on from those given before, and where they end. */
export type FitNext = { readonly fits: true; readonly at: FillPoint } | { readonly fits: false; readonly what: string }

export interface DamageOptions {
  readonly data: SegmentDirectory
  readonly index: SegmentDirectory
  readonly outline: LogOutline
  readonly places: EntryPlaces
  readonly lost: LostRanges
  /** Damage may hide a configuration entry: where those stand is not known. */
  readonly configurationsUnknown: boolean
  /** Up to here everything is in the files, and was good when it was written. */
  readonly writtenEnd: () => DurableHint
  readonly failure: () => Error | null
  /** A write or a sync has failed: the log takes no more. */
  readonly onFailed: (error: Error) => void
  /** Simulation only: a peer's entries are taken without a look at them. */
  readonly isUnverified: boolean
  /** Simulation only: an entry need not continue the chain. */
  readonly ignoresChain: boolean
}

export class Damage {
  readonly #options: DamageOptions
  #onChanged: () => void = () => {}

  constructor(options: DamageOptions) {
    this.#options = options
  }

  whenChanged(callback: () => void): void {
    this.#onChanged = callback
  }

  /** A lost entry is a configuration entry, or may be one. */
  get hidesConfiguration(): boolean {
    const { lost, outline, configurationsUnknown } = this.#options
    if (lost.isEmpty) return false
    return configurationsUnknown || outline.configurationIndexes.some((index) => lost.of(index) !== null)
  }

  /** As `SegmentedLog.examine`. */
  examine(firstIndex: number, lastIndex: number, back = EXAMINE_BACK): boolean {
    const { data, index, outline, places, lost, failure } = this.#options
    const end = this.#options.writtenEnd()
    const upTo = Math.min(lastIndex, end.index)
    if (upTo < firstIndex || failure() !== null) return false
    let at = Math.max(firstIndex - back, outline.firstIndex) - 1
    let from = places.goodPlace(at)
    while (from === null) from = places.goodPlace(--at)
    const { checksummedFrom } = outline
    const { ignoresChain } = this.#options
    const found = examineRun({ data, index, checksummedFrom, from, lastIndex: upTo, end, ignoresChain })
    const isNews = found.lost.some((range) => (lost.of(range.firstIndex)?.lastIndex ?? -1) < range.lastIndex)
    for (const range of found.lost) lost.add(this.#withTerms(range))
    if (isNews) this.#onChanged()
    for (const pos of found.badBlanks) {
      mendBlank(data, pos)
      data.syncRangeSync(pos, 1)
    }
    for (const unit of found.badUnits) {
      const bytes = Buffer.allocUnsafe(INDEX_UNIT_BYTES)
      encodeIndexUnit(bytes, 0, unit)
      index.writeSync(unit.index * INDEX_UNIT_BYTES, bytes)
      index.syncRangeSync(unit.index * INDEX_UNIT_BYTES, INDEX_UNIT_BYTES)
    }
    return found.lost.length > 0 || found.badBlanks.length > 0 || found.badUnits.length > 0
  }

  /** As `SegmentedLog.canEndBefore`. */
  canEndBefore(index: number): boolean {
    const { places, lost, outline } = this.#options
    // By the chain, which alone vouches for the header: the log would go on from the term and the chain value that stand there.
    if (index > outline.firstIndex && lost.of(index - 1) === null) this.examine(index - 1, index - 1)
    return places.goodPlace(index - 1) !== null
  }

  /** Entries from `index` on are gone; the one before is good. */
  truncated(index: number): void {
    const { lost } = this.#options
    if (lost.isEmpty) return
    lost.truncate(index)
    this.#onChanged()
  }

  /** Entries before `index` are gone, and with them what was lost of them. */
  trimmed(index: number): void {
    const { lost } = this.#options
    if (lost.isEmpty) return
    lost.trim(index)
    this.#onChanged()
  }

  /** As `SegmentedLog.fitNext`. */
  fitNext(range: LostRange, after: FillPoint | null, entries: ForeignEntries): FitNext {
    const { isUnverified } = this.#options
    const fit = fitNext(this.#files(), range, { at: after ?? this.#before(range), entries, isUnverified })
    if (fit.fits) return { fits: true, at: fit.at }
    if (fit.why === 'BEGINNING') this.#examineBefore(range)
    return { fits: false, what: `${fit.why}: ${fit.what}` }
  }

  /** As `SegmentedLog.fill`. */
  fill(entries: readonly ForeignEntries[]): Filled {
    const { outline, lost, onFailed, isUnverified } = this.#options
    const failure = this.#options.failure()
    if (failure !== null) throw failure
    const range = lost.of(entries[0]?.firstIndex ?? -1)
    if (range === null || range.firstIndex !== entries[0]?.firstIndex)
      return { filled: false, what: 'nothing is lost there' }
    const files = this.#files()
    const end = this.#endOf(range)
    const fit = fitEntries(files, range, { entries, before: this.#before(range), end, isUnverified })
    if (!fit.fits) {
      // Then it may be the entry before that is bad, or the one behind, whose header could not be checked.
      if (fit.why === 'BEGINNING') this.#examineBefore(range)
      if (fit.why === 'END' && end.kind === 'entry') this.#extend(range, end)
      return { filled: false, what: `${fit.why}: ${fit.what}` }
    }
    const { batches, last } = fit
    try {
      const nextPos = last.index === range.lastIndex && end.kind === 'entry' ? end.pos : null
      writeEntries(files, batches, range, { firstIndex: outline.firstIndex, nextPos })
    } catch (error) {
      onFailed(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
    lost.repaired(range, last)
    if (range.termRuns === null) outline.learnTerms(batches)
    for (const batch of batches) outline.learnConfigurations(batch)
    this.#onChanged()
    return { filled: true, firstIndex: range.firstIndex, lastIndex: last.index }
  }

  #files(): LogFiles {
    const { data, index, outline } = this.#options
    return { data, index, checksummedFrom: outline.checksummedFrom }
  }

  /** The entry that a range follows. */
  #before({ firstIndex, pos, prevChain }: LostRange): FillPoint {
    const { outline } = this.#options
    const term = firstIndex === outline.firstIndex ? outline.before.term : outline.termAt(firstIndex - 1)
    return { index: firstIndex - 1, term, endPos: pos, chain: prevChain }
  }

  #examineBefore({ firstIndex, lastIndex }: LostRange): void {
    this.examine(firstIndex, lastIndex, 64 * EXAMINE_BACK)
  }

  /** The terms of what was found lost while the log was in use are known from before, unless they never were. */
  #withTerms(range: LostRange): LostRange {
    const { outline, lost } = this.#options
    if (range.termRuns !== null) return range
    const { firstIndex, lastIndex } = range
    const isGuess = lost.all.some((known) => {
      return known.termRuns === null && known.firstIndex <= lastIndex && known.lastIndex >= firstIndex
    })
    if (isGuess) return range
    const within = outline.termRuns.filter((run) => run.firstIndex > firstIndex && run.firstIndex <= lastIndex)
    return { ...range, termRuns: [{ firstIndex, term: outline.termAt(firstIndex) }, ...within] }
  }

  /**
   * What stands behind a range, by its own word: an index unit has no checksum. Where the index leads to no such entry it is at the
   * end of the range, or in the file after that.
   */
  #endOf(range: LostRange): RangeEnd {
    const { data, outline, places } = this.#options
    if (range.lastIndex === outline.lastIndex) return { kind: 'end', endPos: outline.endPos, chain: outline.lastChain }
    const index = range.lastIndex + 1
    const nextFile = fileStartOf(range.endPos, data.fileBytes) + data.fileBytes
    for (const pos of [places.placeOf(index), range.endPos, nextFile]) {
      if (pos === null) continue
      const header = headerBytesAt(data, pos)
      const found = decodeEntryHeader(header, 0)
      if (found !== null && found.index === index && found.pos === pos) return { kind: 'entry', pos, header }
    }
    return { kind: 'entry', pos: range.endPos, header: headerBytesAt(data, range.endPos) }
  }

  /** Once: what follows the entry behind was checked against it, so then it is the peer's entries that are wrong. */
  #extend(range: LostRange, end: Extract<RangeEnd, { kind: 'entry' }>): void {
    const { outline, lost } = this.#options
    if (range.isExtended === true) return
    const header = decodeEntryHeader(end.header, 0)
    const lastIndex = range.lastIndex + 1
    const endPos = end.pos + (header?.size ?? ENTRY_HEADER_BYTES)
    const termRuns = [{ firstIndex: lastIndex, term: outline.termAt(lastIndex) }]
    const next = { firstIndex: lastIndex, lastIndex, pos: range.endPos, endPos, prevChain: null, termRuns }
    lost.add({ ...next, isExtended: true })
    this.#onChanged()
  }
}
