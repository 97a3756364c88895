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
 *   L3  state moves with the call (outline.ts), callbacks come in the order of the calls and never from within them.
 *   L4  `sync` covers every append whose callback came before the call; the index may lag behind (log-writes.ts).
 *   L5  after a failed write or sync everything fails with that first error.
 *   L6  entries that are not good are marked: reading them is CORRUPT until they are filled from a peer; the others are served.
 */
import { assert, type Logger, systemClock } from '@dledger-ts/base'
import type { Disk, DiskCallback } from '../disk/disk.ts'
import { DLedgerError } from '../errors.ts'
import { Damage, type Filled, type FitNext } from './damage.ts'
import type { EntryBatch } from './entry-batch.ts'
import { chainOf, decodeEntryHeader, isUnchecked } from './entry-codec.ts'
import { EntryPlaces } from './entry-places.ts'
import { type FillPoint, type ForeignEntries, headerBytesAt } from './fill.ts'
import { INDEX_FILE_BYTES_DEFAULT, INDEX_UNIT_BYTES } from './index-codec.ts'
import { fileStartOf, placeEntry } from './layout.ts'
import { LogWrites } from './log-writes.ts'
import { type LostRange, LostRanges } from './lost-ranges.ts'
import { LogOutline } from './outline.ts'
import { readEntries } from './read-entries.ts'
import { type BeforeFirst, type DurableHint, examineLog, type RecoveredLog, type TermRun } from './recovery.ts'
import { cutLog, repairLog } from './repair.ts'
import { rewriteTail } from './rewrite-tail.ts'
import { corruptAt, SegmentDirectory } from './segment-directory.ts'

export type { Filled } from './damage.ts'
export type { BeforeFirst, DurableHint, TermRun } from './recovery.ts'
export type { FillPoint, ForeignEntries } from './fill.ts'
export type { LostRange } from './lost-ranges.ts'

/** Simulation only: known bugs. */
export type PlantedLogFault =
  /** Recovery takes damage for the end of the log and cuts it there, synced or not. */
  | 'corrupt-middle-treated-as-end'
  /** What is good by itself counts, whether or not it continues the chain. */
  | 'end-without-chain'
  /** Entries from a peer are put in place of lost ones without a look at them. */
  | 'repair-not-verified'
  /** A cold read does not look at the checksum of the bodies. */
  | 'body-crc-ignored-on-read'

export interface SegmentedLogOptions {
  readonly disk: Disk
  /** The member's directory, for example `…/dledger-n0`. */
  readonly directory: string
  readonly fileBytes: number
  readonly indexFileBytes?: number
  /** How far the active file is filled with zeros ahead of the end, so that a sync need not allocate; 0: not at all. */
  readonly zeroFillBytes: number
  /** Index units that may wait in memory for others, so that a small batch is one write; `writeIndex` writes them. Default 0: none. */
  readonly indexUnitsHeld?: number
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

type ExaminedOptions = Omit<SegmentedLogOptions, 'zeroFillBytes' | 'indexUnitsHeld' | 'logger' | 'defer'>

export interface RecoveryReport {
  /** Bytes of a torn tail that were cut; at least 1 if there was one. */
  readonly cutBytes: number
  /** Entries that were read because the durable hint did not cover them. */
  readonly scannedEntries: number
  /** Index units that were written again. */
  readonly rebuiltIndexUnits: number
}

export interface ConfigurationEntry {
  readonly index: number
  readonly body: Buffer
}

export class SegmentedLog {
  readonly fileBytes: number
  readonly recovery: RecoveryReport
  readonly #data: SegmentDirectory
  readonly #index: SegmentDirectory
  readonly #outline: LogOutline
  readonly #lost = new LostRanges()
  readonly #places: EntryPlaces
  readonly #damage: Damage
  readonly #writes: LogWrites
  readonly #faults: ReadonlySet<string>
  readonly #defer: (callback: () => void) => void
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
    this.recovery = report
    this.#defer = options.defer ?? ((callback) => systemClock.defer(callback))
    this.#faults = options.plantedFaults ?? new Set()
    this.#data = data
    this.#index = index
    for (const range of found.lost) this.#lost.add(range)
    const outline = new LogOutline(found, options.checksummedFrom)
    const places = new EntryPlaces(data, index, outline, this.#lost)
    const writes = new LogWrites({
      data,
      index,
      outline,
      zeroFillBytes: options.zeroFillBytes,
      indexUnitsHeld: options.indexUnitsHeld ?? 0,
      whenFull: {
        failsWhenFull: options.failsWhenFull ?? false,
        ignoresFull: this.#faults.has('full-disk-acknowledged'),
      },
      defer: this.#defer,
    })
    this.#outline = outline
    this.#places = places
    this.#writes = writes
    this.#damage = new Damage({
      data,
      index,
      outline,
      places,
      lost: this.#lost,
      configurationsUnknown: found.configurationsUnknown,
      writtenEnd: () => writes.writtenEnd,
      failure: () => writes.failure,
      onFailed: (error) => writes.fail(error),
      isUnverified: this.#faults.has('repair-not-verified'),
      ignoresChain: this.#faults.has('end-without-chain'),
    })
    this.#removeTrimmed()
  }

  get firstIndex(): number {
    return this.#outline.firstIndex
  }

  /** Term of the entry before `firstIndex`; 0 when there never was one. */
  get prevTerm(): number {
    return this.#outline.before.term
  }

  /** What is known of the entry before the first one kept; index -1 when there never was one. */
  get beforeFirst(): BeforeFirst {
    return this.#outline.before
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
    return header === null || header.pos !== start || header.index > this.#outline.lastIndex ? null : header.index
  }

  /** Where the first file starts that holds entries. */
  get startPos(): number {
    const start = this.#data.starts[0] ?? 0
    if (this.#lost.of(this.firstIndex) === null) return start
    // It may be that file which is missing: what it had waits for repair, and is not forgotten.
    const { fileBytes } = this.#data
    return Math.min(start, Math.ceil(this.#outline.before.endPos / fileBytes) * fileBytes)
  }

  get lastIndex(): number {
    return this.#outline.lastIndex
  }

  /** Entries below this index may come without checksums, as Apache's DLedger writes them. */
  get checksummedFrom(): number {
    return this.#outline.checksummedFrom
  }

  /** Entries without checksums will be taken below `index`; the hard state says so already. */
  raiseChecksummedFrom(index: number): void {
    this.#outline.checksummedFrom = Math.max(this.#outline.checksummedFrom, index)
  }

  /** `prevTerm` for an empty log. */
  get lastTerm(): number {
    return this.#outline.lastTerm
  }

  /** The end of the last entry; the next one starts here or in the next file. */
  get endPos(): number {
    return this.#outline.endPos
  }

  /** The end of what is in the files; what follows up to `endPos` is being written. */
  get writtenEndPos(): number {
    return this.#writes.writtenEnd.endPos
  }

  get lastChain(): number {
    return this.#outline.lastChain
  }

  termRuns(): readonly TermRun[] {
    return this.#outline.termRuns
  }

  /** Indexes of the configuration entries in the log, ascending; to be kept with the durable hint. */
  configurationIndexes(): readonly number[] {
    return this.#outline.configurationIndexes
  }

  /** The configuration entries' bodies, but those of lost ones; synchronous, for opening. */
  configurationEntries(): ConfigurationEntry[] {
    // What the hint covers was not read yet.
    for (const index of this.#outline.configurationIndexes)
      if (this.#places.goodPlace(index) === null) this.examine(index, index)
    const there = this.#outline.configurationIndexes.filter((index) => this.#lost.of(index) === null)
    return there.map((index) => ({ index, body: this.#places.readBody(index) }))
  }

  /** Called whenever something is marked, or filled; from within the call that finds it. */
  whenLostChanges(callback: () => void): void {
    this.#damage.whenChanged(callback)
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

  /** A lost entry is a configuration entry, or may be one. */
  get configurationIsLost(): boolean {
    return this.#damage.hidesConfiguration
  }

  /** The disk has no room for more: what is filled ahead is left for the log's own entries. */
  get isFull(): boolean {
    return this.#writes.isFull
  }

  /** Whether a batch may be appended: always, but on a full disk only where room was claimed for it. */
  hasRoomFor(batch: EntryBatch): boolean {
    return this.#writes.hasRoomFor(batch)
  }

  /** Appends wait for room on the disk, and nothing else of them is under way: without `retryFull` they wait for ever. */
  get waitsForRoom(): boolean {
    return this.#writes.waitsForRoom
  }

  /** Whether room is claimed ahead of the end. Not while what is free is kept for something else. */
  set claimsAhead(claims: boolean) {
    this.#writes.claimsAhead = claims
  }

  /** Room may have come back: what found none is tried again. */
  retryFull(): void {
    this.#writes.retryFull()
  }

  /** The position of the next entry if it has `entryBytes`, header included. */
  place(entryBytes: number): number {
    return placeEntry(this.#outline.endPos, entryBytes, this.fileBytes)
  }

  /**
   * Hot: once per batch. Adds a batch that follows the last entry, its places as `place` gives them.
   *
   * @param callback when data, blanks and the index units that are not held back are in the page cache; in the order of the appends.
   *   After a failure it is told that; until then whoever appends goes on from here.
   */
  append(batch: EntryBatch, callback: DiskCallback): void {
    assert(!this.#closed, 'a closed log takes no entries')
    assert(batch.count > 0 && batch.firstIndex === this.lastIndex + 1, 'a batch follows the last entry')
    assert(batch.term >= this.lastTerm, 'terms do not fall')
    this.#assertPlaced(batch)
    this.#writes.append(batch, callback)
    this.#outline.appended(batch)
  }

  /** Makes durable every append that was called back before this call, and the files made for it. One at a time. */
  sync(callback: DiskCallback): void {
    this.#writes.sync(callback)
  }

  /** Entries up to here have their index units in the files. A durable hint beyond makes recovery read the whole log. */
  get indexWrittenTo(): number {
    return this.#writes.indexWrittenTo
  }

  /** Index units wait in memory for others, or for `writeIndex`. */
  get holdsIndex(): boolean {
    return this.#writes.holdsIndex
  }

  /** Writes them. @param callback when they are in the page cache; in the order of the appends. */
  writeIndex(callback: DiskCallback): void {
    this.#writes.writeIndex(callback)
  }

  /** The same for a stop: without room on the disk they are given up, and recovery builds them again. */
  writeLastUnits(callback: DiskCallback): void {
    this.#writes.writeLastUnits(callback)
  }

  #assertPlaced({ positions, sizes, bytes }: EntryBatch): void {
    let endPos = this.#outline.endPos
    let sum = 0
    for (let i = 0; i < sizes.length; i++) {
      const size = sizes[i] as number
      assert(positions[i] === placeEntry(endPos, size, this.fileBytes), 'an entry is placed where the rule says')
      endPos = (positions[i] as number) + size
      sum += size
    }
    assert(sum === bytes.length, 'a batch is its entries and nothing else')
  }

  /**
   * Removes an entry and all after it, synced before it returns. Only between appends and syncs.
   *
   * Nothing may point beyond the new end: lower the durable hint first.
   */
  truncateFrom(index: number): void {
    const { failure } = this.#writes
    assert(this.#writes.isIdle, 'a truncation waits for appends and syncs')
    assert(index >= this.firstIndex && index <= this.lastIndex, 'only entries of the log are removed')
    if (failure !== null) throw failure
    assert(this.#lost.of(index - 1) === null, 'the entry before a truncation is good')
    try {
      const kept = this.#places.endBefore(index)
      const { endPos: oldEndPos, lastIndex: oldLastIndex } = this.#outline
      this.#writes.forget(cutLog(this.#data, this.#index, { ...kept, oldEndPos, oldLastIndex }))
      // What is kept may begin in a file before the one that was cut.
      this.#writes.syncKept()
      this.#outline.truncated(kept)
      this.#writes.truncated()
      this.#damage.truncated(index)
    } catch (error) {
      this.#writes.fail(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
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
    // What is told of the entry before it outlives that entry: its term and chain value are looked at by the chain first.
    if (found <= this.firstIndex || this.#lost.of(found) !== null || !this.canEndBefore(found)) return null
    const { lastIndex: index, ...rest } = this.#places.endBefore(found)
    return { index, ...rest }
  }

  /**
   * Removes whole files below the entry after `point`, which came from `trimPoint` and is durable in the hard state: a crash in
   * the middle leaves files that the next start removes. What is removed is applied and synced, so nothing is under way on it.
   */
  trimTo(point: BeforeFirst): void {
    assert(
      point.index >= this.#outline.before.index && point.index < this.#outline.lastIndex,
      'a trimmed log keeps its last entry',
    )
    this.#outline.trimmed(point)
    this.#damage.trimmed(point.index + 1)
    this.#removeTrimmed()
  }

  /** Files that hold nothing of the log as it starts now. */
  #removeTrimmed(): void {
    const { index } = this.#outline.before
    if (index < 0 || this.lastIndex === index || this.#lost.of(index + 1) !== null) return
    // An index unit has no checksum, and files go by this. Where it or the entry is damaged, which a reader will find, those files go
    // with the next ones, or at the next start.
    const pos = this.#places.placeOf(index + 1)
    if (pos === null) return
    this.#writes.forget(this.#data.removeBefore(pos))
    this.#index.removeBefore((index + 1) * INDEX_UNIT_BYTES)
  }

  /** What a durable hint says of a log that ends before `index`; for lowering the hint ahead of a truncation. */
  hintBefore(index: number): DurableHint {
    const { lastIndex, ...end } = this.#places.endBefore(index)
    return { index: lastIndex, ...end }
  }

  /**
   * Where an entry starts, as the index says; its append has been called back. Synchronous: not for hot paths.
   *
   * @throws DLedgerError `CORRUPT` when the index has no unit for it.
   */
  locate(index: number): number {
    return this.#places.locate(index)
  }

  /**
   * After a read that found something wrong: finds out what is lost, marks it, and writes index units and blanks anew that
   * the entries tell. Synchronous: reads these entries, some before them, and on until one is good.
   *
   * @returns whether something was wrong: what was lost before, too.
   */
  examine(firstIndex: number, lastIndex: number): boolean {
    return this.#damage.examine(firstIndex, lastIndex)
  }

  /** Is the entry before `index` good, so that the log could end with it? It is marked where it is not. */
  canEndBefore(index: number): boolean {
    return this.#damage.canEndBefore(index)
  }

  /**
   * Puts a peer's entries in the place of lost ones, from the beginning of a range on; synced when it returns. Where the terms of
   * a range are not known, it must be filled whole.
   *
   * @throws when the disk fails.
   */
  fill(entries: readonly ForeignEntries[]): Filled {
    return this.#damage.fill(entries)
  }

  /**
   * Whether a peer's entries go on from those before, by all that can be told without the rest of the range: what is gathered for a
   * range that must be filled whole. Changes nothing but marks.
   *
   * @param after where what was gathered ends; null at the beginning of the range.
   */
  fitNext(range: LostRange, after: FillPoint | null, entries: ForeignEntries): FitNext {
    return this.#damage.fitNext(range, after, entries)
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
      firstIndex >= this.firstIndex && firstIndex <= lastIndex && lastIndex <= this.#outline.lastIndex,
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
      firstChain: firstIndex === this.firstIndex ? this.#outline.before.chain : null,
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

  /** Does a batch continue this log: its first place and its chain? False means that the logs differ before it. */
  isContinuedBy(batch: EntryBatch): boolean {
    if (batch.firstIndex !== this.#outline.lastIndex + 1 || batch.positions[0] !== this.place(batch.sizes[0] as number))
      return false
    const header = decodeEntryHeader(batch.bytes, 0)
    if (header === null) return false
    if (isUnchecked(header) && header.index < this.checksummedFrom) return true
    return header.chainCrc === chainOf(batch.bytes, 0, this.#outline.lastChain)
  }

  /** Closes the files; what is under way on them ends first. Idempotent. Does not sync. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#writes.stop(new DLedgerError('the log is closed', { code: 'CLOSED' }))
    this.#data.close()
    this.#index.close()
  }
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
      ignoresChain: options.plantedFaults?.has('end-without-chain') === true,
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
