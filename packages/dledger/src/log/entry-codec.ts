/**
 * An entry's 48-byte header, big-endian, and batches of entries as they are sealed by the leader and checked by a follower.
 *
 *   0       4      8       16      24      32        36         40        44         48
 *   | magic | size | index | term  | pos   | channel | chainCrc | bodyCrc | bodySize | body …
 *
 * magic     1 for all that we write; 2 and 3 (a newer DLedger's no-op and configuration) are understood on reading.
 * size      48 + bodySize.                    pos  the byte of the log at which this header starts.
 * bodyCrc   CRC-32 of the body.
 * chainCrc  CRC-32 of these 48 bytes with chainCrc zeroed, seeded with the previous entry's chainCrc (the first: 0).
 *
 * So a header can be trusted before its body is read. Apache's DLedger leaves both checksums zero; that counts as "unchecked"
 * only where the caller says so.
 *
 * Keeps:
 *   E1  what `checkBatch` returns has consecutive indexes, one term, places that follow the placement rule, and good checksums.
 *   E2  no byte of a received batch is believed before it was checked; nonsense is a typed error, never an assertion.
 */
import { assert, crc32, readInt32, readInt64, readUint32, writeInt32, writeInt64, writeUint32 } from '@dledger-ts/base'
import { DLedgerError } from '../errors.ts'
import { ENTRY_HEADER_BYTES, type EntryBatch } from './entry-batch.ts'
import { entryBytesMax, placeEntry } from './layout.ts'

const MAGIC_AT = 0
const SIZE_AT = MAGIC_AT + 4
const INDEX_AT = SIZE_AT + 4
const TERM_AT = INDEX_AT + 8
const POS_AT = TERM_AT + 8
const CHANNEL_AT = POS_AT + 8
const CHAIN_CRC_AT = CHANNEL_AT + 4
const BODY_CRC_AT = CHAIN_CRC_AT + 4
const BODY_SIZE_AT = BODY_CRC_AT + 4

export const ENTRY_MAGIC = 1
const MAGIC_MAX = 3
const ZERO_CHAIN_CRC = Buffer.alloc(BODY_CRC_AT - CHAIN_CRC_AT)

export interface EntryHeader {
  readonly magic: number
  readonly size: number
  readonly index: number
  readonly term: number
  readonly pos: number
  readonly channel: number
  readonly chainCrc: number
  readonly bodyCrc: number
  readonly bodySize: number
}

export interface HeaderFields {
  /** Whole entry, header included. */
  readonly size: number
  readonly index: number
  readonly term: number
  readonly pos: number
  readonly channel: number
  readonly bodyCrc: number
  /** chainCrc of the entry before; 0 for the first of a log. */
  readonly prevChain: number
}

/** Hot: once per proposed entry. @returns the entry's chain value, the seed of the next one's. */
export function encodeEntryHeader(target: Buffer, at: number, fields: HeaderFields): number {
  assert(fields.size >= ENTRY_HEADER_BYTES, 'an entry has a whole header')
  writeInt32(target, ENTRY_MAGIC, at + MAGIC_AT)
  writeInt32(target, fields.size, at + SIZE_AT)
  writeInt64(target, fields.index, at + INDEX_AT)
  writeInt64(target, fields.term, at + TERM_AT)
  writeInt64(target, fields.pos, at + POS_AT)
  writeInt32(target, fields.channel, at + CHANNEL_AT)
  writeUint32(target, 0, at + CHAIN_CRC_AT)
  writeUint32(target, fields.bodyCrc, at + BODY_CRC_AT)
  writeInt32(target, fields.size - ENTRY_HEADER_BYTES, at + BODY_SIZE_AT)
  const chain = crc32(target, at, at + ENTRY_HEADER_BYTES, fields.prevChain)
  writeUint32(target, chain, at + CHAIN_CRC_AT)
  return chain
}

/** @returns the header, or null when the 48 bytes are not there or not one: unknown magic, sizes that disagree, numbers out of range. */
export function decodeEntryHeader(source: Buffer, at: number): EntryHeader | null {
  if (at < 0 || at + ENTRY_HEADER_BYTES > source.length) return null
  const magic = readInt32(source, at + MAGIC_AT)
  const size = readInt32(source, at + SIZE_AT)
  const bodySize = readInt32(source, at + BODY_SIZE_AT)
  if (magic < ENTRY_MAGIC || magic > MAGIC_MAX || bodySize < 0 || size !== ENTRY_HEADER_BYTES + bodySize) return null
  const index = readInt64(source, at + INDEX_AT)
  const term = readInt64(source, at + TERM_AT)
  const pos = readInt64(source, at + POS_AT)
  if (!(index >= 0 && term >= 0 && pos >= 0)) return null
  return {
    magic,
    size,
    index,
    term,
    pos,
    channel: readInt32(source, at + CHANNEL_AT),
    chainCrc: readUint32(source, at + CHAIN_CRC_AT),
    bodyCrc: readUint32(source, at + BODY_CRC_AT),
    bodySize,
  }
}

/** The chainCrc field of the header at `at`, which is whole. */
export function chainCrcAt(source: Buffer, at: number): number {
  return readUint32(source, at + CHAIN_CRC_AT)
}

/** The channel field of the header at `at`, which is whole. */
export function channelAt(source: Buffer, at: number): number {
  return readInt32(source, at + CHANNEL_AT)
}

/** What the chainCrc of the header at `at` ought to be after an entry whose chain value is `prevChain`. */
export function chainOf(source: Buffer, at: number, prevChain: number): number {
  const upToChain = crc32(source, at, at + CHAIN_CRC_AT, prevChain)
  const withZeros = crc32(ZERO_CHAIN_CRC, 0, ZERO_CHAIN_CRC.length, upToChain)
  return crc32(source, at + BODY_CRC_AT, at + ENTRY_HEADER_BYTES, withZeros)
}

/**
 * Whether the bytes from `at` on are a whole entry of `size` bytes that starts at byte `pos` of a log, as far as it says so itself: its
 * body as it was written, where it has a checksum (Apache's DLedger writes none).
 */
export function isEntryAt(
  source: Buffer,
  at: number,
  { pos, size }: { readonly pos: number; readonly size: number },
): boolean {
  const header = decodeEntryHeader(source, at)
  if (header === null || header.pos !== pos || header.size !== size || at + size > source.length) return false
  return isUnchecked(header) || header.bodyCrc === crc32(source, at + ENTRY_HEADER_BYTES, at + size)
}

/** An entry as Apache's DLedger writes it: both checksums zero. */
export function isUnchecked(header: EntryHeader): boolean {
  return header.chainCrc === 0 && header.bodyCrc === 0
}

/** The same of the header at `at`, which is whole, before anything else of it is known. */
export function isUncheckedAt(source: Buffer, at: number): boolean {
  return readUint32(source, at + CHAIN_CRC_AT) === 0 && readUint32(source, at + BODY_CRC_AT) === 0
}

export interface UnsealedBatch {
  readonly firstIndex: number
  readonly term: number
  readonly positions: readonly number[]
  readonly sizes: readonly number[]
  readonly channels: readonly number[]
  readonly prevChain: number
  /** The entries one after another; the bodies are written, the 48 bytes before each are free. */
  readonly bytes: Buffer
}

/** Writes the headers of a batch whose bodies are in place. @returns the chain value of its last entry. */
export function sealEntries(batch: UnsealedBatch): number {
  const { bytes, positions, sizes, channels } = batch
  assert(
    sizes.length === positions.length && sizes.length === channels.length,
    'every entry has a size, a place and a channel',
  )
  let chain = batch.prevChain
  let at = 0
  for (let i = 0; i < sizes.length; i++) {
    const size = sizes[i] as number
    const end = at + size
    assert(end <= bytes.length, 'the entries lie within their bytes')
    chain = encodeEntryHeader(bytes, at, {
      size,
      index: batch.firstIndex + i,
      term: batch.term,
      pos: positions[i] as number,
      channel: channels[i] as number,
      bodyCrc: crc32(bytes, at + ENTRY_HEADER_BYTES, end),
      prevChain: chain,
    })
    at = end
  }
  assert(at === bytes.length, 'a batch is its entries and nothing else')
  return chain
}

export interface ExpectedBatch {
  readonly firstIndex: number
  readonly term: number
  readonly count: number
  readonly fileBytes: number
  /** Entries below this index may have zero checksums; 0 when left out. */
  readonly checksummedFrom?: number
  /** chainCrc of the entry before, where it is known; null leaves the first header unchecked. */
  readonly prevChain?: number | null
  /** Simulation only. */
  readonly bodiesUnchecked?: boolean
}

/**
 * Checks received bytes against what the message said about them, and finds the places in them.
 *
 * @throws DLedgerError `CORRUPT` with the offset in `bytes` of the entry that does not fit.
 */
export function checkBatch(bytes: Buffer, expected: ExpectedBatch): EntryBatch {
  const positions: number[] = []
  const sizes: number[] = []
  const largest = entryBytesMax(expected.fileBytes)
  let chain = expected.prevChain ?? null
  let at = 0
  let endPos = -1
  for (let i = 0; i < expected.count; i++) {
    const header = decodeEntryHeader(bytes, at)
    if (header === null) throw batchError(at, 'no entry header')
    const { size, pos } = header
    if (size > largest) throw batchError(at, `an entry of ${size} bytes, more than a file takes (${largest})`)
    if (at + size > bytes.length) throw batchError(at, `an entry of ${size} bytes, but ${bytes.length - at} are there`)
    if (header.index !== expected.firstIndex + i)
      throw batchError(at, `index ${header.index}, not ${expected.firstIndex + i}`)
    if (header.term !== expected.term) throw batchError(at, `term ${header.term}, not ${expected.term}`)
    const place = placeEntry(i === 0 ? pos : endPos, size, expected.fileBytes)
    if (pos !== place) throw batchError(at, `position ${pos}, not ${place}`)
    if (!(isUnchecked(header) && header.index < (expected.checksummedFrom ?? 0))) {
      if (chain !== null && header.chainCrc !== chainOf(bytes, at, chain)) throw batchError(at, 'chain checksum')
      if (expected.bodiesUnchecked !== true && header.bodyCrc !== crc32(bytes, at + ENTRY_HEADER_BYTES, at + size))
        throw batchError(at, 'body checksum')
    }
    positions.push(pos)
    sizes.push(size)
    chain = header.chainCrc
    at += size
    endPos = pos + size
  }
  if (at !== bytes.length) throw batchError(at, `${bytes.length - at} bytes after the last entry`)
  return { firstIndex: expected.firstIndex, term: expected.term, count: expected.count, positions, sizes, bytes }
}

function batchError(at: number, what: string): DLedgerError {
  return new DLedgerError(`a batch of entries does not hold together at its byte ${at}: ${what}`, {
    code: 'CORRUPT',
    file: 'batch',
    at,
  })
}

/** The part of a batch from `fromIndex` on; the batch itself when that is its first. */
export function sliceBatch(batch: EntryBatch, fromIndex: number): EntryBatch {
  const skip = fromIndex - batch.firstIndex
  assert(skip >= 0 && skip < batch.count, 'a slice of a batch is not empty')
  if (skip === 0) return batch
  let at = 0
  for (let i = 0; i < skip; i++) at += batch.sizes[i] as number
  return {
    firstIndex: fromIndex,
    term: batch.term,
    count: batch.count - skip,
    positions: batch.positions.slice(skip),
    sizes: batch.sizes.slice(skip),
    bytes: batch.bytes.subarray(at),
  }
}
