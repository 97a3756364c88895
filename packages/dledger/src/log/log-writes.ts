/**
 * The writes and syncs of a log that are under way, on data and index files together.
 *
 *   append ──► one lane for data, one for the index, zeros filled ahead of both ──► callbacks in order ──► sync
 *                 index units may be held back until there are some (index-tail.ts)
 *
 * Keeps:
 *   L3  callbacks come in the order of the calls and never from within them.
 *   L4  a sync covers every append whose callback came before the call; the index may lag behind by UNSYNCED_INDEX_UNITS_MAX units,
 *       which recovery builds again; of these `indexUnitsHeld` and what is being written may not be in the files at all.
 *   L5  after a failed write or sync everything fails with that first error.
 */
import { assert, readInt32 } from '@dledger-ts/base'
import type { DiskCallback } from '../disk/disk.ts'
import { EntryChannel, type EntryBatch } from './entry-batch.ts'
import { chainCrcAt, channelAt } from './entry-codec.ts'
import { encodeIndexUnit, INDEX_UNIT_BYTES } from './index-codec.ts'
import { IndexTail } from './index-tail.ts'
import { BLANK_BYTES, encodeBlank, fileStartOf } from './layout.ts'
import type { LogOutline } from './outline.ts'
import { type DurableHint, UNSYNCED_INDEX_UNITS_MAX } from './recovery.ts'
import type { SegmentDirectory } from './segment-directory.ts'
import type { SegmentFile } from './segment-file.ts'
import { type LaneWrite, WriteLane } from './write-lane.ts'
import { ZeroFill } from './zero-fill.ts'

/** Index units filled ahead, in bytes: for 8,192 entries. */
const INDEX_FILL_BYTES = 256 * 1024

class PendingAppend {
  readonly callback: DiskCallback
  readonly files: SegmentFile[] = []
  /** Units that are written with it: its own, if they are not held back, and older ones. */
  indexUnits = 0
  /** The end of the log once it is written. */
  readonly end: DurableHint
  writesUnderWay = 0
  allIssued = false

  constructor(callback: DiskCallback, end: DurableHint) {
    this.callback = callback
    this.end = end
  }
}

export interface LogWritesOptions {
  readonly data: SegmentDirectory
  readonly index: SegmentDirectory
  readonly outline: LogOutline
  readonly zeroFillBytes: number
  /** Index units that are held back at most; 0: none. */
  readonly indexUnitsHeld: number
  /** As of `WriteLane`. */
  readonly whenFull: { readonly failsWhenFull: boolean; readonly ignoresFull: boolean }
  readonly defer: (callback: () => void) => void
}

export class LogWrites {
  readonly #data: SegmentDirectory
  readonly #index: SegmentDirectory
  readonly #outline: LogOutline
  readonly #defer: (callback: () => void) => void
  readonly #zeroFill: ZeroFill
  readonly #indexFill: ZeroFill
  readonly #dataLane: WriteLane
  readonly #indexLane: WriteLane
  readonly #indexUnitsHeld: number
  readonly #tail: IndexTail
  #writtenEnd: DurableHint
  #indexWrittenTo: number
  /** Appends whose callback has not come yet, oldest first. */
  readonly #pending: PendingAppend[] = []
  /** Files written since they were last synced, whose appends have been called back. */
  #unsynced = new Set<SegmentFile>()
  #unsyncedIndexUnits = 0
  #failure: Error | null = null
  #syncUnderWay = false
  /** Told in place of the callback of `writeLastUnits`. */
  #unitsGivenUp: (() => void) | null = null

  constructor({ data, index, outline, zeroFillBytes, indexUnitsHeld, whenFull, defer }: LogWritesOptions) {
    this.#data = data
    this.#index = index
    this.#outline = outline
    this.#defer = defer
    this.#writtenEnd = outline.end
    this.#indexUnitsHeld = indexUnitsHeld
    this.#indexWrittenTo = outline.lastIndex
    const tail = new IndexTail(outline.lastIndex + 1)
    this.#tail = tail
    index.unwritten = (pos, size) => tail.unwritten(pos, size)
    this.#zeroFill = new ZeroFill({
      aheadBytes: zeroFillBytes,
      data,
      ended: (error) => {
        if (error !== null) this.fail(error)
        this.#dataLane.resume()
      },
    })
    this.#indexFill = new ZeroFill({
      aheadBytes: Math.min(zeroFillBytes, INDEX_FILL_BYTES),
      data: index,
      ended: (error) => {
        if (error !== null) this.fail(error)
        this.#indexLane.resume()
      },
    })
    this.#dataLane = new WriteLane({
      fileAt: (start) => data.fileOrCreate(start),
      mayWrite: (file, from, to) => this.#zeroFill.isClear(file, from, to),
      defer,
      ...whenFull,
    })
    this.#indexLane = new WriteLane({
      fileAt: (start) => index.fileOrCreate(start),
      mayWrite: (file, from, to) => this.#indexFill.isClear(file, from, to),
      defer,
      foundFull: () => this.#unitsGivenUp?.(),
      ...whenFull,
    })
  }

  /** The first error; null while all is well. */
  get failure(): Error | null {
    return this.#failure
  }

  fail(error: Error): void {
    this.#failure ??= error
  }

  /** Up to here everything is in the files, and was good when it was written. */
  get writtenEnd(): DurableHint {
    return this.#writtenEnd
  }

  /** The units up to this entry are in the index files. */
  get indexWrittenTo(): number {
    return this.#indexWrittenTo
  }

  /** Index units are held back: they are written with later ones, or by `writeIndex`. */
  get holdsIndex(): boolean {
    return this.#tail.heldCount > 0
  }

  /** Neither an append nor a sync is under way. */
  get isIdle(): boolean {
    return this.#pending.length === 0 && !this.#syncUnderWay
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

  /** Whether room is claimed ahead of the log's end. Not while what is free is kept for something else. */
  set claimsAhead(claims: boolean) {
    this.#zeroFill.mayFill = claims
    this.#indexFill.mayFill = claims
  }

  /** Room may have come back: what found none is tried again. */
  retryFull(): void {
    this.#dataLane.retry()
    this.#indexLane.retry()
    this.#zeroFill.retry()
    this.#indexFill.retry()
  }

  /** Hot: once per batch. Issues the writes of a batch that follows the outline's end; its callback tells the first failure. */
  append(batch: EntryBatch, callback: DiskCallback): void {
    const pending = new PendingAppend(callback, endOf(batch))
    this.#pending.push(pending)
    if (this.#failure !== null) {
      pending.allIssued = true
      this.#defer(() => this.#completeAppends())
      return
    }
    if (!this.#tail.hasRoomFor(batch.count)) this.#writeUnits(pending)
    const units = this.#tail.add(batch.firstIndex, batch.count)
    const { bytes, positions, sizes, term } = batch
    let endPos = this.#outline.endPos
    let runFrom = 0
    let at = 0
    // One for all of them, as in the batch builder.
    const unit = { magic: 0, pos: endPos, size: 0, index: batch.firstIndex, term }
    for (let i = 0; i < batch.count; i++) {
      const size = sizes[i] as number
      const pos = positions[i] as number
      if (pos !== endPos) {
        this.#writeRun(pending, bytes.subarray(runFrom, at), endPos - (at - runFrom), true)
        runFrom = at
      }
      unit.magic = readInt32(bytes, at)
      unit.pos = pos
      unit.size = size
      unit.index = batch.firstIndex + i
      encodeIndexUnit(units, i * INDEX_UNIT_BYTES, unit)
      if (channelAt(bytes, at) === EntryChannel.CONFIGURATION)
        this.#outline.configurationIndexes.push(batch.firstIndex + i)
      endPos = pos + size
      at += size
    }
    this.#writeRun(pending, bytes.subarray(runFrom), endPos - (at - runFrom), false)
    if (this.#tail.heldCount > this.#indexUnitsHeld || this.#isNewIndexFile) this.#writeUnits(pending)
    pending.allIssued = true
    this.#zeroFill.ahead(endPos)
    this.#indexFill.ahead((batch.firstIndex + batch.count) * INDEX_UNIT_BYTES)
  }

  /** One vectored write of what goes to one file: entries, then the blank if the next entry does not fit. */
  #writeRun(pending: PendingAppend, entries: Buffer, pos: number, blank: boolean): void {
    const start = fileStartOf(pos, this.#data.fileBytes)
    const buffers: Buffer[] = []
    if (entries.length > 0) buffers.push(entries)
    const endPos = pos + entries.length
    if (blank) buffers.push(encodeBlank(endPos, this.#data.fileBytes))
    pending.writesUnderWay++
    const bytes = endPos - pos + (blank ? BLANK_BYTES : 0)
    this.#dataLane.push({ start, at: pos - start, bytes, buffers, done: this.#written(pending, true) })
  }

  /** Readers find a file for every unit, so what begins one is not held back. */
  get #isNewIndexFile(): boolean {
    const { fileBytes } = this.#index
    const newest = (this.#tail.firstHeld + this.#tail.heldCount - 1) * INDEX_UNIT_BYTES
    return !this.#index.has(fileStartOf(newest, fileBytes))
  }

  /** Writes what is held back; the append counts when that is written. */
  #writeUnits(pending: PendingAppend): void {
    const { firstIndex, bytes: units } = this.#tail.take()
    pending.indexUnits += units.length / INDEX_UNIT_BYTES
    for (let from = 0; from < units.length;) {
      const pos = firstIndex * INDEX_UNIT_BYTES + from
      const start = fileStartOf(pos, this.#index.fileBytes)
      const part = units.subarray(from, from + Math.min(units.length - from, start + this.#index.fileBytes - pos))
      pending.writesUnderWay++
      from += part.length
      const isLast = from === units.length
      const done = this.#written(pending, false)
      this.#indexLane.push({
        start,
        at: pos - start,
        bytes: part.length,
        buffers: [part],
        done: (error, file) => {
          if (isLast && error === null) {
            this.#tail.written()
            this.#indexWrittenTo = firstIndex + units.length / INDEX_UNIT_BYTES - 1
          }
          done(error, file)
        },
      })
    }
  }

  /** Writes the index units that are held back. @param callback when all units so far are in the page cache, in the order of the appends. */
  writeIndex(callback: DiskCallback): void {
    const pending = new PendingAppend(callback, this.#outline.end)
    this.#pending.push(pending)
    if (this.#failure === null && this.holdsIndex) this.#writeUnits(pending)
    pending.allIssued = true
    if (pending.writesUnderWay === 0) this.#defer(() => this.#completeAppends())
  }

  /** The same for a stop, which does not wait for room: the callback comes, at the latest, when the disk has none for them. */
  writeLastUnits(callback: DiskCallback): void {
    const once = (error: Error | null): void => {
      if (this.#unitsGivenUp === null) return
      this.#unitsGivenUp = null
      callback(error)
    }
    this.#unitsGivenUp = () => once(null)
    this.writeIndex(once)
  }

  #written(pending: PendingAppend, isData: boolean): LaneWrite['done'] {
    return (error, file) => {
      pending.writesUnderWay--
      if (isData && file !== null) pending.files.push(file)
      if (error !== null) this.fail(error)
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
      if (error !== null) this.fail(error)
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
      this.fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** These files are gone: there is nothing to be synced in them. */
  forget(removed: readonly SegmentFile[]): void {
    for (const file of removed) this.#unsynced.delete(file)
  }

  /** Before the log ends elsewhere: what is kept is synced when this returns. @throws what the sync failed with. */
  syncKept(): void {
    for (const file of this.#unsynced) file.syncSync()
    this.#unsynced = new Set()
  }

  /** The outline's end is that of the files, synced; what was filled ahead is not known any more. */
  truncated(): void {
    this.#writtenEnd = this.#outline.end
    this.#indexWrittenTo = Math.min(this.#indexWrittenTo, this.#outline.lastIndex)
    this.#tail.cutTo(this.#outline.lastIndex + 1)
    this.#zeroFill.forget()
    this.#indexFill.forget()
  }

  /** Nothing more is written; what is under way ends first, what waits gets this error. */
  stop(error: Error): void {
    this.#zeroFill.stop()
    this.#indexFill.stop()
    this.#dataLane.stop(error)
    this.#indexLane.stop(error)
  }
}

function endOf({ firstIndex, count, term, positions, sizes, bytes }: EntryBatch): DurableHint {
  const size = sizes[count - 1] as number
  const endPos = (positions[count - 1] as number) + size
  return { index: firstIndex + count - 1, endPos, chain: chainCrcAt(bytes, bytes.length - size), term }
}
