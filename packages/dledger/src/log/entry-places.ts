/**
 * Where entries stand in the files, and what can be told of one by itself. Synchronous: for opening, truncating, trimming and
 * repairing, never for a hot path.
 *
 * What is not good is read once more: a drive may give other bytes but once.
 *
 * Keeps: nothing is taken from the files that its own checksums and its place do not vouch for, and nothing that is marked as lost.
 */
import { crc32 } from '@dledger-ts/base'
import { DLedgerError } from '../errors.ts'
import { ENTRY_HEADER_BYTES } from './entry-batch.ts'
import { decodeEntryHeader, type EntryHeader, isUnchecked } from './entry-codec.ts'
import { decodeIndexUnit, INDEX_UNIT_BYTES } from './index-codec.ts'
import type { LostRanges } from './lost-ranges.ts'
import type { LogEnd, LogOutline } from './outline.ts'
import { corruptAt, type SegmentDirectory } from './segment-directory.ts'

/** The end of a good entry; the chain value of an entry without checksums is not known. */
export interface GoodPlace {
  readonly index: number
  readonly term: number
  readonly endPos: number
  readonly chain: number | null
}

export class EntryPlaces {
  readonly #data: SegmentDirectory
  readonly #index: SegmentDirectory
  readonly #outline: LogOutline
  readonly #lost: LostRanges

  constructor(data: SegmentDirectory, index: SegmentDirectory, outline: LogOutline, lost: LostRanges) {
    this.#data = data
    this.#index = index
    this.#outline = outline
    this.#lost = lost
  }

  /** @throws DLedgerError CORRUPT when the index has no unit for it. */
  locate(index: number): number {
    const unit = Buffer.allocUnsafe(INDEX_UNIT_BYTES)
    this.#index.readSync(index * INDEX_UNIT_BYTES, unit)
    const found = decodeIndexUnit(unit, 0, index)
    if (found === null) throw corruptAt(this.#index, index * INDEX_UNIT_BYTES, `no unit for entry ${index}`)
    return found.pos
  }

  /** @throws DLedgerError CORRUPT. */
  readHeader(index: number): EntryHeader {
    return twiceIfCorrupt(() => this.#readHeader(index))
  }

  #readHeader(index: number): EntryHeader {
    const pos = this.locate(index)
    const bytes = Buffer.allocUnsafe(ENTRY_HEADER_BYTES)
    this.#data.readSync(pos, bytes)
    const header = decodeEntryHeader(bytes, 0)
    if (header === null || header.index !== index || header.pos !== pos)
      throw corruptAt(this.#data, pos, `no entry ${index}`)
    return header
  }

  /** Where that entry itself says that it stands; null where its index unit or its header is not good. */
  placeOf(index: number): number | null {
    try {
      return this.readHeader(index).pos
    } catch (error) {
      if (error instanceof DLedgerError && error.detail.code === 'CORRUPT') return null
      throw error
    }
  }

  /** @throws DLedgerError CORRUPT. */
  readBody(index: number): Buffer {
    return twiceIfCorrupt(() => this.#readBody(index))
  }

  #readBody(index: number): Buffer {
    const header = this.readHeader(index)
    const body = Buffer.allocUnsafe(header.bodySize)
    this.#data.readSync(header.pos + ENTRY_HEADER_BYTES, body)
    const unchecked = isUnchecked(header) && index < this.#outline.checksummedFrom
    if (!unchecked && crc32(body) !== header.bodyCrc)
      throw corruptAt(this.#data, header.pos, `body checksum of entry ${index}`)
    return body
  }

  /** The end of the log if it ended before `index`. @throws DLedgerError CORRUPT. */
  endBefore(index: number): LogEnd {
    const { before, firstIndex } = this.#outline
    const lastIndex = index - 1
    if (index === firstIndex) return { lastIndex, endPos: before.endPos, chain: before.chain, term: before.term }
    const header = this.readHeader(lastIndex)
    return { lastIndex, endPos: header.pos + header.size, chain: header.chainCrc, term: header.term }
  }

  /** The end of an entry that is good as far as it can tell by itself, or of what is before the first; null: it is not. */
  goodPlace(index: number): GoodPlace | null {
    const { before, firstIndex } = this.#outline
    if (index < firstIndex) {
      const { term, endPos, chain } = before
      return { index: before.index, term, endPos, chain: before.index < 0 || chain !== 0 ? chain : null }
    }
    if (this.#lost.of(index) !== null) return null
    try {
      const { term, pos, size, chainCrc } = this.readHeader(index)
      this.readBody(index)
      return { index, term, endPos: pos + size, chain: chainCrc }
    } catch (error) {
      if (error instanceof DLedgerError && error.detail.code === 'CORRUPT') return null
      throw error
    }
  }
}

function twiceIfCorrupt<Result>(read: () => Result): Result {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof DLedgerError && error.detail.code === 'CORRUPT')) throw error
    return read()
  }
}
