/**
 * Reads a run of entries back: their places from the index, their bytes from the data files, everything checked.
 */
import { readInt32 } from '@dledger-ts/base'
import type { DiskCallback } from '../disk/disk.ts'
import { DLedgerError } from '../errors.ts'
import { ENTRY_HEADER_BYTES, type EntryBatch } from './entry-batch.ts'
import { chainCrcAt, checkBatch, decodeEntryHeader } from './entry-codec.ts'
import { decodeIndexUnit, INDEX_UNIT_BYTES, type IndexUnit } from './index-codec.ts'
import { entryBytesMax, fileStartOf } from './layout.ts'
import { corruptAt, type SegmentDirectory } from './segment-directory.ts'

/** Entries of one read at most. */
export const READ_COUNT_MAX = 4096

export interface EntrySource {
  readonly data: SegmentDirectory
  readonly index: SegmentDirectory
  readonly checksummedFrom: number
  /** The chain value before the first wanted entry when that is the log's first, else null. */
  readonly firstChain: number | null
  /** The entry before the first wanted one is lost: nothing says what its chain value is. */
  readonly followsLost: boolean
  /** Simulation only. */
  readonly bodiesUnchecked: boolean
}
export interface WantedEntries {
  readonly firstIndex: number
  readonly lastIndex: number
  readonly bytesMax: number
}
type BatchCallback = (error: Error | null, batch: EntryBatch | null) => void

export function readEntries(source: EntrySource, wanted: WantedEntries, callback: BatchCallback): void {
  // The unit before tells where to find the chain value that the first header is checked with.
  const readsPrevious = source.firstChain === null && !source.followsLost
  const from = readsPrevious ? wanted.firstIndex - 1 : wanted.firstIndex
  const mostCount = Math.floor(wanted.bytesMax / ENTRY_HEADER_BYTES) + 1
  const count = Math.min(wanted.lastIndex - wanted.firstIndex + 1, mostCount, READ_COUNT_MAX) + wanted.firstIndex - from
  const bytes = Buffer.allocUnsafe(count * INDEX_UNIT_BYTES)
  source.index.read(from * INDEX_UNIT_BYTES, bytes, (error) => {
    if (error !== null) return callback(error, null)
    const units: IndexUnit[] = []
    for (let i = 0; i < count; i++) {
      const unit = decodeIndexUnit(bytes, i * INDEX_UNIT_BYTES, from + i)
      if (unit === null || !isPlausible(unit, source.data)) {
        const what = `no unit for entry ${from + i}`
        return callback(corruptAt(source.index, (from + i) * INDEX_UNIT_BYTES, what), null)
      }
      units.push(unit)
    }
    const prev = readsPrevious ? (units.shift() ?? null) : null
    new EntriesRead(source, chosen(units, wanted.bytesMax), callback).start(prev)
  })
}

function isPlausible(unit: IndexUnit, data: SegmentDirectory): boolean {
  const start = fileStartOf(unit.pos, data.fileBytes)
  return (
    unit.size >= ENTRY_HEADER_BYTES && unit.pos - start + unit.size <= entryBytesMax(data.fileBytes) && data.has(start)
  )
}

/** The leading units of one term that fit, at least one. */
function chosen(units: IndexUnit[], bytesMax: number): IndexUnit[] {
  const term = units[0]?.term
  let count = 1
  let sum = units[0]?.size ?? 0
  for (; count < units.length; count++) {
    const unit = units[count] as IndexUnit
    sum += unit.size
    if (unit.term !== term || sum > bytesMax) break
  }
  return units.slice(0, count)
}

class EntriesRead {
  readonly #source: EntrySource
  readonly #units: readonly IndexUnit[]
  readonly #callback: BatchCallback
  readonly #bytes: Buffer
  #prevChain: number | null
  #readsUnderWay = 0
  #error: Error | null = null

  constructor(source: EntrySource, units: readonly IndexUnit[], callback: BatchCallback) {
    this.#source = source
    this.#units = units
    this.#callback = callback
    this.#prevChain = source.firstChain
    this.#bytes = Buffer.allocUnsafe(units.reduce((sum, unit) => sum + unit.size, 0))
  }

  start(prev: IndexUnit | null): void {
    this.#readsUnderWay++
    if (prev !== null) this.#readPrevious(prev)
    let at = 0
    let runAt = 0
    let runPos = this.#units[0]?.pos ?? 0
    for (const unit of this.#units) {
      if (unit.pos !== runPos + (at - runAt)) {
        this.#readRun(runPos, this.#bytes.subarray(runAt, at))
        runAt = at
        runPos = unit.pos
      }
      at += unit.size
    }
    this.#readRun(runPos, this.#bytes.subarray(runAt))
    this.#readsUnderWay--
  }

  #readPrevious(unit: IndexUnit): void {
    const header = Buffer.allocUnsafe(ENTRY_HEADER_BYTES)
    this.#readsUnderWay++
    this.#source.data.read(unit.pos, header, (error) => {
      if (decodeEntryHeader(header, 0)?.index === unit.index) this.#prevChain = chainCrcAt(header, 0)
      else this.#error ??= corruptAt(this.#source.data, unit.pos, `no entry ${unit.index}`)
      this.#readDone(error)
    })
  }

  #readRun(pos: number, target: Buffer): void {
    this.#readsUnderWay++
    this.#source.data.read(pos, target, this.#readDone)
  }

  readonly #readDone: DiskCallback = (error) => {
    if (error !== null) this.#error = error
    this.#readsUnderWay--
    if (this.#readsUnderWay > 0) return
    if (this.#error !== null) this.#callback(this.#error, null)
    else this.#check()
  }

  #check(): void {
    const { data, checksummedFrom } = this.#source
    const first = this.#units[0] as IndexUnit
    let batch: EntryBatch | null = null
    let failure: Error | null = null
    try {
      batch = checkBatch(this.#bytes, {
        firstIndex: first.index,
        term: first.term,
        count: this.#units.length,
        fileBytes: data.fileBytes,
        checksummedFrom,
        prevChain: this.#prevChain,
        bodiesUnchecked: this.#source.bodiesUnchecked,
      })
      for (let i = 0, at = 0; i < batch.count && failure === null; i++) {
        const unit = this.#units[i] as IndexUnit
        if (batch.positions[i] !== unit.pos) failure = corruptAt(data, unit.pos, 'its position')
        else if (readInt32(this.#bytes, at) !== unit.magic) failure = corruptAt(data, unit.pos, 'its magic')
        at += unit.size
      }
    } catch (error) {
      if (!(error instanceof DLedgerError && error.detail.code === 'CORRUPT')) throw error
      failure = corruptAt(data, this.#posOf(error.detail.at), error.message)
    }
    this.#callback(failure, failure === null ? batch : null)
  }

  /** The position in the log of a byte of the batch. */
  #posOf(at: number): number {
    let unitAt = 0
    for (const unit of this.#units) {
      if (at < unitAt + unit.size) return unit.pos + at - unitAt
      unitAt += unit.size
    }
    return fileStartOf(this.#units.at(-1)?.pos ?? 0, this.#source.data.fileBytes)
  }
}
