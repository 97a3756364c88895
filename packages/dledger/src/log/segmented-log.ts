/**
 * One member's log on disk: data files with entries, index files with their places, as Apache's DLedger lays them out.
 *
 *   append, sync, read  ──callbacks──►  data/00000000000000000000 …   index/00000000000000000000 …
 *   open, truncateFrom, trimTo  ──synchronous, at start and between writes
 *
 * Keeps:
 *   L1  the bytes of the files follow from the entries alone, so equal logs are equal files: one file size for the whole group;
 *       a blank reaches exactly to its file's end; after a truncation the next entry starts at the end of the last kept one,
 *       everything from there to the old end is zero in data and index, and further files are gone.
 *   L2  bytes beyond `endPos` are zero, except a torn tail that the next start cuts.
 *   L3  state moves with the call, callbacks come in the order of the calls and never from within them.
 *   L4  `sync` covers every append whose callback came before the call; the index may lag behind by
 *       UNSYNCED_INDEX_UNITS_MAX units, which recovery builds again.
 *   L5  after a failed write or sync everything fails with that first error.
 *   L6  entries that are not good are marked: reading them is CORRUPT until they are filled from a peer; the others are served.
 */
import { assert, crc32, type Logger, systemClock } from '@dledger-ts/base'
import type { Disk, DiskCallback } from '../disk/disk.ts'
import { DLedgerError } from '../errors.ts'
import { ENTRY_HEADER_BYTES, EntryChannel, type EntryBatch } from './entry-batch.ts'
import { fitEntries, type ForeignEntries, headerBytesAt, type RangeEnd, writeEntries } from './fill.ts'
import { chainCrcAt, chainOf, channelAt, decodeEntryHeader, type EntryHeader, isUnchecked } from './entry-codec.ts'
import { decodeIndexUnit, encodeIndexUnit, INDEX_FILE_BYTES_DEFAULT, INDEX_UNIT_BYTES } from './index-codec.ts'
import { BLANK_BYTES, encodeBlank, fileStartOf, placeEntry } from './layout.ts'
import { type LostRange, LostRanges } from './lost-ranges.ts'
import {
  type BeforeFirst,
  type DurableHint,
  examineLog,
  examineRun,
  type RecoveredLog,
  type TermRun,
  UNSYNCED_INDEX_UNITS_MAX,
} from './recovery.ts'
import { cutLog, mendBlank, repairLog } from './repair.ts'
import { rewriteTail } from './rewrite-tail.ts'
import { readEntries } from './read-entries.ts'
import { corruptAt, SegmentDirectory } from './segment-directory.ts'
import type { SegmentFile } from './segment-file.ts'
import { WriteLane } from './write-lane.ts'
import { ZeroFill } from './zero-fill.ts'

export type { BeforeFirst, DurableHint, TermRun } from './recovery.ts'
export type { ForeignEntries } from './fill.ts'
export type { LostRange } from './lost-ranges.ts'

/** Damage that is found while the log is in use is looked for from so many entries before the one that could not be read. */
const EXAMINE_BACK = 16

/** Simulation only: known bugs. */
export type PlantedLogFault =
  /** Recovery takes damage for the end of the log and cuts it there, synced or not. */
  | 'corrupt-middle-treated-as-end'
  /** Entries from a peer are put in place of lost ones without a look at them. */
  | 'repair-not-verified'
  /** A cold read does not look at the checksum of the bodies. */
  | 'body-crc-ignored-on-read'

/** Index units filled ahead, in bytes: for 8,192 entries. */
const INDEX_FILL_BYTES = 256 * 1024

export interface SegmentedLogOptions {
  readonly disk: Disk
  /** The member's directory, for example `…/dledger-n0`. */
  readonly directory: string
  readonly fileBytes: number
  readonly indexFileBytes?: number
  /** How far the active file is filled with zeros ahead of the end, so that a sync need not allocate; 0: not at all. */
  readonly zeroFillBytes: number
  readonly durableHint: DurableHint | null
  readonly checksummedFrom: number
  readonly beforeFirst: BeforeFirst | null
  /** Configuration entries up to the durable hint, kept together with it. Null or left out: the whole log is read to find them. */
  readonly configurationIndexes?: readonly number[] | null
  /** Whatever a crash leaves is to be read by Apache's DLedger too: no file gets shorter, not even for a moment. */
  readonly keepsSizes?: boolean
  /** The stop before was none: what is read behind the durable hint may never reach the disk, unless it is written again. */
  readonly distrustsCache?: boolean
  /** A log with lost entries is opened; else it is refused. */
  readonly servesDamaged?: boolean
  /** No entry has a higher term: the hard state's. */
  readonly termMax?: number
  /** No room on the disk is a failure like any other; else what finds none waits for `retryFull`. */
  readonly failsWhenFull?: boolean
  /** Simulation only. */
  readonly plantedFaults?: ReadonlySet<string>
  /** Calls back later, outside the call; the process's own when left out. A simulation passes its clock's. */
  readonly defer?: (callback: () => void) => void
  readonly logger: Logger
}

type ExaminedOptions = Omit<SegmentedLogOptions, 'zeroFillBytes' | 'logger' | 'defer'>

export interface RecoveryReport {
  /** Bytes of a torn tail that were cut; at least 1 if there was one. */
  readonly cutBytes: number
  /** Entries that were read because the durable hint did not cover them. */
  readonly scannedEntries: number
  /** Index units that were written again. */
  readonly rebuiltIndexUnits: number
}

/** What came of entries that were to fill a lost range. */
export type Filled =
  | { readonly filled: true; readonly firstIndex: number; readonly lastIndex: number }
  | { readonly filled: false; readonly what: string }

export interface ConfigurationEntry {
  readonly index: number
  readonly body: Buffer
}

class PendingAppend {
  readonly callback: DiskCallback
  readonly files: SegmentFile[] = []
  readonly indexUnits: number
  /** The end of the log once it is written. */
  readonly end: DurableHint
  writesUnderWay = 0
  allIssued = false

  constructor(callback: DiskCallback, indexUnits: number, end: DurableHint) {
    this.callback = callback
    this.indexUnits = indexUnits
    this.end = end
  }
}

export class SegmentedLog {
  readonly fileBytes: number
  readonly recovery: RecoveryReport
  #checksummedFrom: number
  readonly #data: SegmentDirectory
  readonly #index: SegmentDirectory
  /** The entry before the first one kept; index -1 when there never was one. */
  #before: BeforeFirst
  readonly #zeroFill: ZeroFill
  readonly #indexFill: ZeroFill
  readonly #dataLane: WriteLane
  readonly #indexLane: WriteLane
  readonly #termRuns: TermRun[]
  readonly #configurationIndexes: number[]
  readonly #configurationsUnknown: boolean
  readonly #lost = new LostRanges()
  #onLostChanged: () => void = () => {}
  readonly #faults: ReadonlySet<string>
  /** Up to here everything is in the files, and was good when it was written. */
  #writtenEnd: DurableHint
  /** Appends whose callback has not come yet, oldest first. */
  readonly #pending: PendingAppend[] = []
  /** Files written since they were last synced, whose appends have been called back. */
  #unsynced = new Set<SegmentFile>()
  #unsyncedIndexUnits = 0
  readonly #defer: (callback: () => void) => void
  #lastIndex: number
  #lastTerm: number
  #endPos: number
  #lastChain: number
  #failure: Error | null = null
  #syncUnderWay = false
  #closed = false

  /**
   * Recovers the log of a directory, or makes an empty one.
   *
   * @throws DLedgerError `CORRUPT` or `INVALID`; then nothing was changed on disk.
   */
  static open(options: SegmentedLogOptions): SegmentedLog {
    const { data, index, found } = examined(options)
    try {
      const { cutBytes, rebuiltIndexUnits } = repairLog(data, index, found, () => {
        if (options.distrustsCache === true) rewriteTail(data, index, { hint: options.durableHint, found })
      })
      if (found.torn !== null)
        options.logger.warn({ ...found.torn, cutBytes, lastIndex: found.lastIndex }, 'torn tail cut')
      for (const { firstIndex, lastIndex, pos, endPos } of found.lost) {
        const file = data.nameOf(fileStartOf(pos, data.fileBytes))
        options.logger.error({ firstIndex, lastIndex, pos, endPos, file }, 'entries are damaged; they wait for repair')
      }
      const report = { cutBytes, rebuiltIndexUnits, scannedEntries: found.scannedEntries }
      return new SegmentedLog(options, data, index, found, report)
    } catch (error) {
      data.close()
      index.close()
      throw error
    }
  }

  /** Refuses a log that `open` would refuse, and changes nothing. @throws DLedgerError CORRUPT or INVALID. */
  static check(options: ExaminedOptions): Pick<RecoveredLog, 'lastIndex' | 'lastTerm' | 'lastChain'> {
    const { data, index, found } = examined(options)
    data.close()
    index.close()
    return found
  }

  private constructor(
    options: SegmentedLogOptions,
    data: SegmentDirectory,
    index: SegmentDirectory,
    found: RecoveredLog,
    report: RecoveryReport,
  ) {
    assert(index.fileBytes % INDEX_UNIT_BYTES === 0, 'an index file holds whole units')
    this.fileBytes = options.fileBytes
    this.#checksummedFrom = options.checksummedFrom
    this.recovery = report
    this.#defer = options.defer ?? ((callback) => systemClock.defer(callback))
    this.#data = data
    this.#index = index
    this.#before = {
      index: found.firstIndex - 1,
      term: found.prevTerm,
      endPos: found.firstEndPos,
      chain: found.firstChain,
    }
    this.#termRuns = found.termRuns
    this.#configurationIndexes = found.configurationIndexes
    this.#configurationsUnknown = found.configurationsUnknown
    for (const range of found.lost) this.#lost.add(range)
    this.#faults = options.plantedFaults ?? new Set()
    this.#lastIndex = found.lastIndex
    this.#lastTerm = found.lastTerm
    this.#endPos = found.endPos
    this.#lastChain = found.lastChain
    this.#writtenEnd = this.#end
    this.#zeroFill = new ZeroFill({
      aheadBytes: options.zeroFillBytes,
      data,
      ended: (error) => {
        if (error !== null) this.#fail(error)
        this.#dataLane.resume()
      },
    })
    const whenFull = {
      failsWhenFull: options.failsWhenFull ?? false,
      ignoresFull: this.#faults.has('full-disk-acknowledged'),
    }
    this.#indexFill = new ZeroFill({
      aheadBytes: Math.min(options.zeroFillBytes, INDEX_FILL_BYTES),
      data: index,
      ended: (error) => {
        if (error !== null) this.#fail(error)
        this.#indexLane.resume()
      },
    })
    this.#dataLane = new WriteLane((file, from, to) => this.#zeroFill.isClear(file, from, to), whenFull)
    this.#indexLane = new WriteLane((file, from, to) => this.#indexFill.isClear(file, from, to), whenFull)
    this.#removeTrimmed()
  }

  get firstIndex(): number {
    return this.#before.index + 1
  }

  /** Term of the entry before `firstIndex`; 0 when there never was one. */
  get prevTerm(): number {
    return this.#before.term
  }

  /** What is known of the entry before the first one kept; index -1 when there never was one. */
  get beforeFirst(): BeforeFirst {
    return this.#before
  }

  /** Where each data file starts, ascending; the last one is being written. */
  get starts(): readonly number[] {
    return this.#data.starts
  }

  /** When the data file that starts at `start` was last written, by the wall clock. */
  writtenMs(start: number): number {
    return this.#data.file(start).modifiedMsSync()
  }

  /** The entry that the data file at `start` begins with; null when it cannot be told. */
  firstIndexIn(start: number): number | null {
    const header = decodeEntryHeader(headerBytesAt(this.#data, start), 0)
    return header === null || header.pos !== start || header.index > this.#lastIndex ? null : header.index
  }

  /** Where the first file starts that holds entries. */
  get startPos(): number {
    return this.#data.starts[0] ?? 0
  }

  get lastIndex(): number {
    return this.#lastIndex
  }

  /** Entries below this index may come without checksums, as Apache's DLedger writes them. */
  get checksummedFrom(): number {
    return this.#checksummedFrom
  }

  /** Entries without checksums will be taken below `index`; the hard state says so already. */
  raiseChecksummedFrom(index: number): void {
    this.#checksummedFrom = Math.max(this.#checksummedFrom, index)
  }

  /** `prevTerm` for an empty log. */
  get lastTerm(): number {
    return this.#lastTerm
  }

  /** The end of the last entry; the next one starts here or in the next file. */
  get endPos(): number {
    return this.#endPos
  }

  get lastChain(): number {
    return this.#lastChain
  }

  termRuns(): readonly TermRun[] {
    return this.#termRuns
  }

  /** Indexes of the configuration entries in the log, ascending; to be kept with the durable hint. */
  configurationIndexes(): readonly number[] {
    return this.#configurationIndexes
  }

  /** The configuration entries' bodies, but those of lost ones; synchronous, for opening. */
  configurationEntries(): ConfigurationEntry[] {
    // What the hint covers was not read yet.
    for (const index of this.#configurationIndexes) if (this.#goodPlace(index) === null) this.examine(index, index)
    const there = this.#configurationIndexes.filter((index) => this.#lost.of(index) === null)
    return there.map((index) => ({ index, body: this.#readBodySync(index) }))
  }

  /** A lost entry is a configuration entry, or may be one. */
  get configurationIsLost(): boolean {
    if (this.#lost.isEmpty) return false
    return this.#configurationsUnknown || this.#configurationIndexes.some((index) => this.#lost.of(index) !== null)
  }

  /** Called whenever something is marked, or filled; from within the call that finds it. */
  whenLostChanges(callback: () => void): void {
    this.#onLostChanged = callback
  }

  /** What is marked, ascending: another array after each change. */
  lostRanges(): readonly LostRange[] {
    return this.#lost.all
  }

  /** The first entry at or after `index` that is not lost, or the one after the last. */
  firstGoodFrom(index: number): number {
    const lost = this.#lost.of(index)
    return lost === null ? index : lost.lastIndex + 1
  }

  /** The first lost entry at or after `index`; infinite where there is none. */
  firstLostFrom(index: number): number {
    return this.#lost.firstFrom(index)
  }

  get #end(): DurableHint {
    return { index: this.#lastIndex, endPos: this.#endPos, chain: this.#lastChain, term: this.#lastTerm }
  }

  /** The disk has no room for more: what is filled ahead is left for the log's own entries. */
  get isFull(): boolean {
    return this.#dataLane.isFull || this.#indexLane.isFull || this.#zeroFill.isFull || this.#indexFill.isFull
  }

  /** Whether a batch may be appended: always, but on a full disk only where room was claimed for it. */
  hasRoomFor(batch: EntryBatch): boolean {
    if (!this.isFull) return true
    if (this.#dataLane.isFull || this.#indexLane.isFull) return false
    const { endPos } = endOf(batch)
    const unitsEnd = (batch.firstIndex + batch.count) * INDEX_UNIT_BYTES
    const data = this.#data.fileOf(endPos - 1)
    const index = this.#index.fileOf(unitsEnd - 1)
    return (
      data !== null &&
      index !== null &&
      this.#zeroFill.holds(data, endPos - data.start) &&
      this.#indexFill.holds(index, unitsEnd - index.start)
    )
  }

  /** Appends wait for room on the disk, and nothing else of them is under way: without `retryFull` they wait for ever. */
  get waitsForRoom(): boolean {
    return (this.#dataLane.isFull || this.#indexLane.isFull) && this.#dataLane.isStill && this.#indexLane.isStill
  }

  /** Room may have come back: what found none is tried again. */
  retryFull(): void {
    this.#dataLane.retry()
    this.#indexLane.retry()
    this.#zeroFill.retry()
    this.#indexFill.retry()
  }

  /** The position of the next entry if it has `entryBytes`, header included. */
  place(entryBytes: number): number {
    return placeEntry(this.#endPos, entryBytes, this.fileBytes)
  }

  /**
   * Hot: once per batch. Adds a batch that follows the last entry, its places as `place` gives them.
   *
   * @param callback when data, blanks and index units are in the page cache; in the order of the appends.
   */
  append(batch: EntryBatch, callback: DiskCallback): void {
    assert(!this.#closed, 'a closed log takes no entries')
    assert(batch.count > 0 && batch.firstIndex === this.#lastIndex + 1, 'a batch follows the last entry')
    assert(batch.term >= this.#lastTerm, 'terms do not fall')
    this.#assertPlaced(batch)
    const pending = new PendingAppend(callback, batch.count, endOf(batch))
    this.#pending.push(pending)
    if (this.#failure !== null) {
      pending.allIssued = true
      this.#defer(() => this.#completeAppends())
      this.#advance(batch)
      return
    }
    const units = Buffer.allocUnsafe(batch.count * INDEX_UNIT_BYTES)
    const { bytes, positions, sizes, term } = batch
    let endPos = this.#endPos
    let runFrom = 0
    let at = 0
    for (let i = 0; i < batch.count; i++) {
      const size = sizes[i] as number
      const pos = positions[i] as number
      if (pos !== endPos) {
        this.#writeRun(pending, bytes.subarray(runFrom, at), endPos - (at - runFrom), true)
        runFrom = at
      }
      const magic = bytes.readInt32BE(at)
      encodeIndexUnit(units, i * INDEX_UNIT_BYTES, { magic, pos, size, index: batch.firstIndex + i, term })
      if (channelAt(bytes, at) === EntryChannel.CONFIGURATION) this.#configurationIndexes.push(batch.firstIndex + i)
      endPos = pos + size
      at += size
    }
    this.#writeRun(pending, bytes.subarray(runFrom), endPos - (at - runFrom), false)
    this.#writeUnits(pending, batch.firstIndex, units)
    pending.allIssued = true
    if (pending.writesUnderWay === 0) this.#defer(() => this.#completeAppends()) // No file could be made.
    this.#advance(batch)
    this.#zeroFill.ahead(endPos)
    this.#indexFill.ahead((batch.firstIndex + batch.count) * INDEX_UNIT_BYTES)
  }

  /** Also after a failure, which the callback tells: until then whoever appends goes on from here. */
  #advance({ firstIndex, count, term, positions, sizes, bytes }: EntryBatch): void {
    if (this.#termRuns.length === 0 || term !== this.#lastTerm) this.#termRuns.push({ firstIndex, term })
    const lastSize = sizes[count - 1] as number
    this.#lastIndex += count
    this.#lastTerm = term
    this.#lastChain = chainCrcAt(bytes, bytes.length - lastSize)
    this.#endPos = (positions[count - 1] as number) + lastSize
  }

  #assertPlaced({ positions, sizes, bytes }: EntryBatch): void {
    let endPos = this.#endPos
    let sum = 0
    for (let i = 0; i < sizes.length; i++) {
      const size = sizes[i] as number
      assert(positions[i] === placeEntry(endPos, size, this.fileBytes), 'an entry is placed where the rule says')
      endPos = (positions[i] as number) + size
      sum += size
    }
    assert(sum === bytes.length, 'a batch is its entries and nothing else')
  }

  /** One vectored write of what goes to one file: entries, then the blank if the next entry does not fit. */
  #writeRun(pending: PendingAppend, entries: Buffer, pos: number, blank: boolean): void {
    const start = fileStartOf(pos, this.fileBytes)
    const file = this.#fileFor(this.#data, start)
    if (file === null) return
    const buffers: Buffer[] = []
    if (entries.length > 0) buffers.push(entries)
    const endPos = pos + entries.length
    if (blank) buffers.push(encodeBlank(endPos, this.fileBytes))
    pending.writesUnderWay++
    pending.files.push(file)
    const bytes = endPos - pos + (blank ? BLANK_BYTES : 0)
    this.#dataLane.push({ file, at: pos - start, bytes, buffers, done: this.#written(pending) })
  }

  #writeUnits(pending: PendingAppend, firstIndex: number, units: Buffer): void {
    for (let from = 0; from < units.length;) {
      const pos = firstIndex * INDEX_UNIT_BYTES + from
      const start = fileStartOf(pos, this.#index.fileBytes)
      const part = units.subarray(from, from + Math.min(units.length - from, start + this.#index.fileBytes - pos))
      const file = this.#fileFor(this.#index, start)
      if (file === null) return
      pending.writesUnderWay++
      this.#indexLane.push({ file, at: pos - start, bytes: part.length, buffers: [part], done: this.#written(pending) })
      from += part.length
    }
  }

  #fileFor(directory: SegmentDirectory, start: number): SegmentFile | null {
    try {
      return directory.fileOrCreate(start)
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
      return null
    }
  }

  #written(pending: PendingAppend): DiskCallback {
    return (error) => {
      pending.writesUnderWay--
      if (error !== null) this.#fail(error)
      this.#completeAppends()
    }
  }

  #completeAppends(): void {
    for (let first = this.#pending[0]; first !== undefined; first = this.#pending[0]) {
      if (!first.allIssued || first.writesUnderWay > 0) return
      this.#pending.shift()
      for (const file of first.files) this.#unsynced.add(file)
      this.#unsyncedIndexUnits += first.indexUnits
      if (this.#failure === null) this.#writtenEnd = first.end
      first.callback(this.#failure)
    }
  }

  /** Makes durable every append that was called back before this call, and the files made for it. One at a time. */
  sync(callback: DiskCallback): void {
    assert(!this.#syncUnderWay, 'one sync at a time')
    this.#syncUnderWay = true
    const files = [...this.#unsynced]
    this.#unsynced = new Set()
    if (this.#unsyncedIndexUnits >= UNSYNCED_INDEX_UNITS_MAX / 2 || this.#index.directoryDirty) {
      files.push(...this.#index.openFiles())
      this.#unsyncedIndexUnits = 0
    }
    this.#syncDirectories()
    let left = 1
    const done: DiskCallback = (error) => {
      if (error !== null) this.#fail(error)
      left--
      if (left > 0) return
      this.#syncUnderWay = false
      callback(this.#failure)
    }
    if (this.#failure !== null || files.length === 0) {
      this.#defer(() => done(null))
      return
    }
    left = files.length
    for (const file of files) file.sync(done)
  }

  #syncDirectories(): void {
    try {
      this.#data.syncDirectorySync()
      this.#index.syncDirectorySync()
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /**
   * Removes an entry and all after it, synced before it returns. Only between appends and syncs.
   *
   * Nothing may point beyond the new end: lower the durable hint first.
   */
  truncateFrom(index: number): void {
    assert(this.#pending.length === 0 && !this.#syncUnderWay, 'a truncation waits for appends and syncs')
    assert(index >= this.firstIndex && index <= this.#lastIndex, 'only entries of the log are removed')
    if (this.#failure !== null) throw this.#failure
    assert(this.#lost.of(index - 1) === null, 'the entry before a truncation is good')
    try {
      const kept = this.#endBefore(index)
      const oldEndPos = this.#endPos
      for (const removed of cutLog(this.#data, this.#index, { ...kept, oldEndPos, oldLastIndex: this.#lastIndex })) {
        this.#unsynced.delete(removed)
      }
      // What is kept may begin in a file before the one that was cut.
      for (const file of this.#unsynced) file.syncSync()
      this.#unsynced = new Set()
      this.#endPos = kept.endPos
      this.#lastChain = kept.chain
      this.#lastTerm = kept.term
      this.#lastIndex = kept.lastIndex
      this.#writtenEnd = this.#end
      const hadLost = !this.#lost.isEmpty
      this.#lost.truncate(index)
      if (hadLost) this.#onLostChanged()
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
    while ((this.#termRuns.at(-1)?.firstIndex ?? -1) >= index) this.#termRuns.pop()
    while ((this.#configurationIndexes.at(-1) ?? -1) >= index) this.#configurationIndexes.pop()
    this.#zeroFill.forget()
    this.#indexFill.forget()
  }

  /**
   * Up to where whole files can go when everything below `before` is no longer wanted. Synchronous.
   *
   * @param before at most the last entry that will never be truncated, so that the file which holds it stays.
   * @returns the entry before the new first one, which starts a file; null when no file can go.
   */
  trimPoint(before: number): BeforeFirst | null {
    let found = -1
    for (const start of this.#data.starts.slice(1)) {
      const index = this.firstIndexIn(start)
      if (index === null || index > before) break
      found = index
    }
    if (found <= this.firstIndex || this.#lost.of(found) !== null || this.#goodPlace(found - 1) === null) return null
    const { lastIndex: index, ...rest } = this.#endBefore(found)
    return { index, ...rest }
  }

  /**
   * Removes whole files below the entry after `point`, which came from `trimPoint` and is durable in the hard state: a crash in
   * the middle leaves files that the next start removes. What is removed is applied and synced, so nothing is under way on it.
   */
  trimTo(point: BeforeFirst): void {
    assert(point.index >= this.#before.index && point.index < this.#lastIndex, 'a trimmed log keeps its last entry')
    const firstIndex = point.index + 1
    this.#before = point
    while ((this.#termRuns[1]?.firstIndex ?? Number.POSITIVE_INFINITY) <= firstIndex) this.#termRuns.shift()
    const run = this.#termRuns[0]
    if (run !== undefined && run.firstIndex < firstIndex) this.#termRuns[0] = { firstIndex, term: run.term }
    this.#lost.trim(firstIndex)
    const configurations = this.#configurationIndexes
    while ((configurations[0] ?? Number.POSITIVE_INFINITY) < firstIndex) configurations.shift()
    this.#removeTrimmed()
  }

  /** Files that hold nothing of the log as it starts now. */
  #removeTrimmed(): void {
    const { index } = this.#before
    if (index < 0 || this.#lastIndex === index || this.#lost.of(index + 1) !== null) return
    for (const removed of this.#data.removeBefore(this.locate(index + 1))) this.#unsynced.delete(removed)
    this.#index.removeBefore((index + 1) * INDEX_UNIT_BYTES)
  }

  /** The end of the log if it ended before `index`. */
  #endBefore(index: number): { lastIndex: number; endPos: number; chain: number; term: number } {
    const lastIndex = index - 1
    if (index === this.firstIndex) {
      return { lastIndex, endPos: this.#before.endPos, chain: this.#before.chain, term: this.#before.term }
    }
    const header = this.#readHeaderSync(lastIndex)
    return { lastIndex, endPos: header.pos + header.size, chain: header.chainCrc, term: header.term }
  }

  /** What a durable hint says of a log that ends before `index`; for lowering the hint ahead of a truncation. */
  hintBefore(index: number): DurableHint {
    const { lastIndex, ...end } = this.#endBefore(index)
    return { index: lastIndex, ...end }
  }

  #readHeaderSync(index: number): EntryHeader {
    const pos = this.locate(index)
    const bytes = Buffer.allocUnsafe(ENTRY_HEADER_BYTES)
    this.#data.readSync(pos, bytes)
    const header = decodeEntryHeader(bytes, 0)
    if (header === null || header.index !== index || header.pos !== pos)
      throw corruptAt(this.#data, pos, `no entry ${index}`)
    return header
  }

  #readBodySync(index: number): Buffer {
    const header = this.#readHeaderSync(index)
    const body = Buffer.allocUnsafe(header.bodySize)
    this.#data.readSync(header.pos + ENTRY_HEADER_BYTES, body)
    const unchecked = isUnchecked(header) && index < this.checksummedFrom
    if (!unchecked && crc32(body) !== header.bodyCrc)
      throw corruptAt(this.#data, header.pos, `body checksum of entry ${index}`)
    return body
  }

  /**
   * Where an entry starts, as the index says; its append has been called back. Synchronous: not for hot paths.
   *
   * @throws DLedgerError `CORRUPT` when the index has no unit for it.
   */
  locate(index: number): number {
    const unit = Buffer.allocUnsafe(INDEX_UNIT_BYTES)
    this.#index.readSync(index * INDEX_UNIT_BYTES, unit)
    const found = decodeIndexUnit(unit, 0, index)
    if (found === null) throw corruptAt(this.#index, index * INDEX_UNIT_BYTES, `no unit for entry ${index}`)
    return found.pos
  }

  /**
   * Reads whole entries of one term, checksums checked: at least one, then as long as the sum of sizes stays within `bytesMax`
   * (and READ_COUNT_MAX entries). Their append has been called back.
   */
  read(
    firstIndex: number,
    lastIndex: number,
    bytesMax: number,
    callback: (error: Error | null, batch: EntryBatch | null) => void,
  ): void {
    assert(
      firstIndex >= this.firstIndex && firstIndex <= lastIndex && lastIndex <= this.#lastIndex,
      'the entries are there',
    )
    const lost = this.#lost.of(firstIndex)
    if (lost !== null) {
      this.#defer(() => callback(this.#lostError(lost), null))
      return
    }
    const source = {
      data: this.#data,
      index: this.#index,
      checksummedFrom: this.checksummedFrom,
      firstChain: firstIndex === this.firstIndex ? this.#before.chain : null,
      followsLost: this.#lost.of(firstIndex - 1) !== null,
      bodiesUnchecked: this.#faults.has('body-crc-ignored-on-read'),
    }
    const upTo = Math.min(lastIndex, this.#lost.firstFrom(firstIndex) - 1)
    readEntries(source, { firstIndex, lastIndex: upTo, bytesMax }, (error, batch) => {
      // Its files may have gone while it was read.
      if (error !== null && firstIndex < this.firstIndex) callback(this.trimmed(`entry ${firstIndex}`), null)
      else callback(error, batch)
    })
  }

  /** What is said of an entry or a byte below the start. */
  trimmed(what: string): DLedgerError {
    const { firstIndex } = this
    const message = `${what} is gone; the first one kept is ${firstIndex}`
    return new DLedgerError(message, { code: 'TRIMMED', firstIndex })
  }

  #lostError({ firstIndex, lastIndex, pos }: LostRange): DLedgerError {
    return corruptAt(this.#data, pos, `entries ${firstIndex} to ${lastIndex} are damaged and wait for repair`)
  }

  /**
   * After a read that found something wrong: finds out what is lost, marks it, and writes index units and blanks anew that
   * the entries tell. Synchronous: reads these entries, some before them, and on until one is good.
   *
   * @returns whether something was wrong: what was lost before, too.
   */
  examine(firstIndex: number, lastIndex: number, back = EXAMINE_BACK): boolean {
    const upTo = Math.min(lastIndex, this.#writtenEnd.index)
    if (upTo < firstIndex || this.#failure !== null) return false
    let at = Math.max(firstIndex - back, this.firstIndex) - 1
    let from = this.#goodPlace(at)
    while (from === null) from = this.#goodPlace(--at)
    const { lost, badBlanks, badUnits } = examineRun({
      data: this.#data,
      index: this.#index,
      checksummedFrom: this.checksummedFrom,
      from,
      lastIndex: upTo,
      end: this.#writtenEnd,
    })
    for (const range of lost) this.#lost.add(this.#withTerms(range))
    if (lost.length > 0) this.#onLostChanged()
    for (const pos of badBlanks) {
      mendBlank(this.#data, pos)
      this.#data.syncRangeSync(pos, 1)
    }
    for (const unit of badUnits) {
      const bytes = Buffer.allocUnsafe(INDEX_UNIT_BYTES)
      encodeIndexUnit(bytes, 0, unit)
      this.#index.writeSync(unit.index * INDEX_UNIT_BYTES, bytes)
      this.#index.syncRangeSync(unit.index * INDEX_UNIT_BYTES, INDEX_UNIT_BYTES)
    }
    return lost.length > 0 || badBlanks.length > 0 || badUnits.length > 0
  }

  /** The terms of what was found lost while the log was in use are known from before, unless they never were. */
  #withTerms(range: LostRange): LostRange {
    if (range.termRuns !== null) return range
    const { firstIndex, lastIndex } = range
    const isGuess = this.#lost.all.some((known) => {
      return known.termRuns === null && known.firstIndex <= lastIndex && known.lastIndex >= firstIndex
    })
    if (isGuess) return range
    const within = this.#termRuns.filter((run) => run.firstIndex > firstIndex && run.firstIndex <= lastIndex)
    return { ...range, termRuns: [{ firstIndex, term: this.#termAt(firstIndex) }, ...within] }
  }

  /** Is the entry before `index` good, so that the log could end with it? It is marked where it is not. */
  canEndBefore(index: number): boolean {
    if (this.#goodPlace(index - 1) !== null) return true
    if (this.#lost.of(index - 1) === null) this.examine(index - 1, index - 1)
    return this.#goodPlace(index - 1) !== null
  }

  /** The end of an entry that is good as far as it can tell by itself, or of what is before the first; null: it is not. */
  #goodPlace(index: number): { index: number; term: number; endPos: number; chain: number | null } | null {
    if (index < this.firstIndex) {
      const { term, endPos, chain } = this.#before
      return { index: this.#before.index, term, endPos, chain: this.#before.index < 0 || chain !== 0 ? chain : null }
    }
    if (this.#lost.of(index) !== null) return null
    try {
      const { term, pos, size, chainCrc } = this.#readHeaderSync(index)
      this.#readBodySync(index)
      return { index, term, endPos: pos + size, chain: chainCrc }
    } catch (error) {
      if (error instanceof DLedgerError && error.detail.code === 'CORRUPT') return null
      throw error
    }
  }

  /**
   * Puts a peer's entries in the place of lost ones, from the beginning of a range on; synced when it returns. Where the terms of
   * a range are not known, it must be filled whole.
   *
   * @throws when the disk fails.
   */
  fill(entries: readonly ForeignEntries[]): Filled {
    if (this.#failure !== null) throw this.#failure
    const range = this.#lost.of(entries[0]?.firstIndex ?? -1)
    if (range === null || range.firstIndex !== entries[0]?.firstIndex)
      return { filled: false, what: 'nothing is lost there' }
    const files = { data: this.#data, index: this.#index, checksummedFrom: this.checksummedFrom }
    const end = this.#endOf(range)
    const prevTerm = range.firstIndex === this.firstIndex ? this.prevTerm : this.#termAt(range.firstIndex - 1)
    const isUnverified = this.#faults.has('repair-not-verified')
    const fit = fitEntries(files, range, { entries, end, prevTerm, isUnverified })
    if (!fit.fits) {
      // Then it may be the entry before that is bad, or the one behind, whose header could not be checked.
      if (fit.why === 'BEGINNING') this.examine(range.firstIndex, range.lastIndex, 64 * EXAMINE_BACK)
      if (fit.why === 'END' && end.kind === 'entry') this.#extend(range, end)
      return { filled: false, what: `${fit.why}: ${fit.what}` }
    }
    const { batches, last } = fit
    try {
      writeEntries(files, batches, range, last.index === range.lastIndex && end.kind === 'entry' ? end.pos : null)
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
    this.#lost.repaired(range, last)
    if (range.termRuns === null) this.#learnTerms(batches)
    for (const batch of batches) this.#learnConfigurations(batch)
    this.#onLostChanged()
    return { filled: true, firstIndex: range.firstIndex, lastIndex: last.index }
  }

  #endOf(range: LostRange): RangeEnd {
    if (range.lastIndex === this.#lastIndex) return { kind: 'end', endPos: this.#endPos, chain: this.#lastChain }
    try {
      const pos = this.locate(range.lastIndex + 1)
      return { kind: 'entry', pos, header: headerBytesAt(this.#data, pos) }
    } catch (error) {
      if (!(error instanceof DLedgerError && error.detail.code === 'CORRUPT')) throw error
      return { kind: 'entry', pos: range.endPos, header: headerBytesAt(this.#data, range.endPos) }
    }
  }

  /** Once: what follows the entry behind was checked against it, so then it is the peer's entries that are wrong. */
  #extend(range: LostRange, end: Extract<RangeEnd, { kind: 'entry' }>): void {
    if (range.isExtended === true) return
    const header = decodeEntryHeader(end.header, 0)
    const lastIndex = range.lastIndex + 1
    const endPos = end.pos + (header?.size ?? ENTRY_HEADER_BYTES)
    const termRuns = [{ firstIndex: lastIndex, term: this.#termAt(lastIndex) }]
    const next = { firstIndex: lastIndex, lastIndex, pos: range.endPos, endPos, prevChain: null, termRuns }
    this.#lost.add({ ...next, isExtended: true })
    this.#onLostChanged()
  }

  #termAt(index: number): number {
    return this.#termRuns.findLast((run) => run.firstIndex <= index)?.term ?? this.prevTerm
  }

  /** The terms of what was filled were guessed so far. */
  #learnTerms(batches: readonly EntryBatch[]): void {
    const first = batches[0] as EntryBatch
    const last = batches.at(-1) as EntryBatch
    const next = last.firstIndex + last.count
    const termBehind = next <= this.#lastIndex ? this.#termAt(next) : null
    const runs = this.#termRuns.filter((run) => run.firstIndex < first.firstIndex)
    const add = (firstIndex: number, term: number): void => {
      if (runs.at(-1)?.term !== term) runs.push({ firstIndex, term })
    }
    for (const batch of batches) add(batch.firstIndex, batch.term)
    if (termBehind !== null) add(next, termBehind)
    for (const run of this.#termRuns) if (run.firstIndex > next) add(run.firstIndex, run.term)
    this.#termRuns.splice(0, this.#termRuns.length, ...runs)
    this.#lastTerm = runs.at(-1)?.term ?? this.prevTerm
  }

  #learnConfigurations(batch: EntryBatch): void {
    let at = 0
    for (let i = 0; i < batch.count; i++) {
      const index = batch.firstIndex + i
      if (channelAt(batch.bytes, at) === EntryChannel.CONFIGURATION && !this.#configurationIndexes.includes(index)) {
        this.#configurationIndexes.push(index)
        this.#configurationIndexes.sort((a, b) => a - b)
      }
      at += batch.sizes[i] as number
    }
  }

  /** Reads raw bytes that lie in one file and whose append has been called back. `target` null: a new buffer. */
  readBytes(
    pos: number,
    size: number,
    target: Buffer | null,
    callback: (error: Error | null, bytes: Buffer | null) => void,
  ): void {
    const bytes = target === null ? Buffer.allocUnsafe(size) : target.subarray(0, size)
    assert(bytes.length === size, 'the target takes what is asked for')
    if (pos < this.startPos) {
      this.#defer(() => callback(this.trimmed(`byte ${pos}`), null))
      return
    }
    const lost = this.#lost.overlapping(pos, pos + size)
    if (lost !== null) {
      this.#defer(() => callback(this.#lostError(lost), null))
      return
    }
    this.#data.read(pos, bytes, (error) => {
      if (error !== null && pos < this.startPos) callback(this.trimmed(`byte ${pos}`), null)
      else callback(error, error === null ? bytes : null)
    })
  }

  /** The chain value of an entry whose append has been called back. */
  chainAt(index: number, callback: (error: Error | null, chain: number) => void): void {
    this.read(index, index, 0, (error, batch) => callback(error, batch === null ? 0 : chainCrcAt(batch.bytes, 0)))
  }

  /** Does a batch continue this log: its first place and its chain? False means that the logs differ before it. */
  isContinuedBy(batch: EntryBatch): boolean {
    if (batch.firstIndex !== this.#lastIndex + 1 || batch.positions[0] !== this.place(batch.sizes[0] as number))
      return false
    const header = decodeEntryHeader(batch.bytes, 0)
    if (header === null) return false
    if (isUnchecked(header) && header.index < this.checksummedFrom) return true
    return header.chainCrc === chainOf(batch.bytes, 0, this.#lastChain)
  }

  #fail(error: Error): void {
    this.#failure ??= error
  }

  /** Closes the files; what is under way on them ends first. Idempotent. Does not sync. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#zeroFill.stop()
    this.#indexFill.stop()
    const closed = new DLedgerError('the log is closed', { code: 'CLOSED' })
    this.#dataLane.stop(closed)
    this.#indexLane.stop(closed)
    this.#data.close()
    this.#index.close()
  }
}

function endOf({ firstIndex, count, term, positions, sizes, bytes }: EntryBatch): DurableHint {
  const size = sizes[count - 1] as number
  const endPos = (positions[count - 1] as number) + size
  return { index: firstIndex + count - 1, endPos, chain: chainCrcAt(bytes, bytes.length - size), term }
}

/** Opens the files and reads what recovery needs; they are closed again when it refuses. */
function examined(options: ExaminedOptions): {
  data: SegmentDirectory
  index: SegmentDirectory
  found: ReturnType<typeof examineLog>
} {
  const { disk, directory, durableHint, checksummedFrom, beforeFirst } = options
  const kind = { keepsSizes: options.keepsSizes ?? false }
  const data = new SegmentDirectory(disk, `${directory}/data`, options.fileBytes, kind)
  let index: SegmentDirectory | null = null
  try {
    index = new SegmentDirectory(disk, `${directory}/index`, options.indexFileBytes ?? INDEX_FILE_BYTES_DEFAULT, kind)
    const configurationIndexes = options.configurationIndexes ?? null
    const found = examineLog({
      data,
      index,
      durableHint,
      checksummedFrom,
      beforeFirst,
      configurationIndexes,
      termMax: options.termMax ?? 0,
      cutsAtDamage: options.plantedFaults?.has('corrupt-middle-treated-as-end') === true,
    })
    const [lost] = found.lost
    if (lost !== undefined && options.servesDamaged !== true)
      throw corruptAt(data, lost.pos, `entry ${lost.firstIndex} is not good`)
    return { data, index, found }
  } catch (error) {
    data.close()
    index?.close()
    throw error
  }
}
