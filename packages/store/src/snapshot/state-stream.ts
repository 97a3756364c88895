/**
 * The whole state at one index as a stream of bytes: the same on every member that has the state at that index.
 *
 *   stream   frame …, its last one says that it is
 *   frame    u32 number | u32 payload bytes | u32 CRC-32 of all before and the payload | payload
 *   payload  first frame: msgpack { v, index, term, physicalEnd, storeTimestamp }
 *            then: rows in the order of their keys, each  u32 key bytes | u32 value bytes | key | value
 *            last frame, which has no other: msgpack { rows }
 *
 * Bytes from outside are never trusted: limits before anything is kept, and StoreError CORRUPT for what is not of this form; a newer
 * version is UNSUPPORTED.
 */
import { assert, crc32 } from '@dledger-ts/base'
import { Packr } from 'msgpackr'
import type { AppliedMark } from '../apply.ts'
import { StoreError } from '../errors.ts'
import type { MetadataRow } from '../metadata/metadata-store.ts'

const STREAM_VERSION = 1
const NUMBER_AT = 0
const BYTES_AT = NUMBER_AT + 4
const CRC_AT = BYTES_AT + 4
const FRAME_HEAD_BYTES = CRC_AT + 4
const ROW_HEAD_BYTES = 8
/** A frame with rows ends when it has so many bytes. */
export const FRAME_BYTES = 256 * 1024
/** The largest frame that is taken in: one row may be large. */
const FRAME_BYTES_MAX = 64 * 1024 * 1024
/** No payload of rows begins so: the last frame is told from them by its number's top bit. */
const LAST_FRAME = 0x80000000

const packr = new Packr({ useRecords: false, variableMapSize: true })

export function encodeHead(mark: AppliedMark): Buffer {
  const { index, term, physicalEnd, storeTimestamp } = mark
  return frame(0, packr.pack({ v: STREAM_VERSION, index, term, physicalEnd, storeTimestamp }))
}

/** @param number of the frame, from 1 on. */
export function encodeRows(number: number, rows: readonly MetadataRow[]): Buffer {
  assert(number > 0 && number < LAST_FRAME, 'rows follow the head')
  const parts: Buffer[] = []
  for (const { key, value } of rows) {
    const keyBytes = Buffer.from(key)
    const head = Buffer.allocUnsafe(ROW_HEAD_BYTES)
    head.writeUInt32BE(keyBytes.length, 0)
    head.writeUInt32BE(value.length, 4)
    parts.push(head, keyBytes, value)
  }
  return frame(number, Buffer.concat(parts))
}

export function encodeEnd(number: number, rowCount: number): Buffer {
  return frame((LAST_FRAME | number) >>> 0, packr.pack({ rows: rowCount }))
}

/** What a row takes in a frame, roughly: enough to know when it is full. */
export function rowBytes({ key, value }: MetadataRow): number {
  return ROW_HEAD_BYTES + key.length + value.length
}

function frame(number: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEAD_BYTES + payload.length)
  bytes.writeUInt32BE(number, NUMBER_AT)
  bytes.writeUInt32BE(payload.length, BYTES_AT)
  payload.copy(bytes, FRAME_HEAD_BYTES)
  bytes.writeUInt32BE(checksumOf(bytes, payload), CRC_AT)
  return bytes
}

function checksumOf(head: Buffer, payload: Buffer): number {
  return crc32(payload, 0, payload.length, crc32(head, 0, CRC_AT))
}

/** Takes a stream in, in pieces of any size. */
export class StateStreamReader {
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #number = 0
  #rows = 0
  #mark: AppliedMark | null = null
  #isWhole = false

  /** Of the first frame; null before it has come. */
  get mark(): AppliedMark | null {
    return this.#mark
  }

  /** The last frame has come. */
  get isWhole(): boolean {
    return this.#isWhole && this.#waitingBytes === 0
  }

  /** @returns the rows that are whole by now. @throws StoreError CORRUPT, UNSUPPORTED. */
  take(bytes: Buffer): MetadataRow[] {
    if (bytes.length > 0) this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    const rows: MetadataRow[] = []
    for (;;) {
      const next = this.#nextFrame()
      if (next === null) return rows
      if (this.#isWhole) throw wrong('something follows its last frame')
      const { number, payload } = next
      if ((number & ~LAST_FRAME) >>> 0 !== this.#number)
        throw wrong(`frame ${number} comes where ${this.#number} is due`)
      this.#number++
      if (number === 0) this.#mark = markOf(payload)
      else if (number >= LAST_FRAME) this.#end(payload)
      else this.#rows += rowsOf(payload, rows)
    }
  }

  #nextFrame(): { readonly number: number; readonly payload: Buffer } | null {
    if (this.#waitingBytes < FRAME_HEAD_BYTES) return null
    if ((this.#waiting[0] as Buffer).length < FRAME_HEAD_BYTES) this.#join()
    const head = this.#waiting[0] as Buffer
    const payloadBytes = head.readUInt32BE(BYTES_AT)
    if (payloadBytes > FRAME_BYTES_MAX) throw wrong(`a frame has ${payloadBytes} bytes`)
    const whole = FRAME_HEAD_BYTES + payloadBytes
    if (this.#waitingBytes < whole) return null
    if (head.length < whole) this.#join()
    const bytes = this.#waiting[0] as Buffer
    this.#waiting[0] = bytes.subarray(whole)
    if (bytes.length === whole) this.#waiting.shift()
    this.#waitingBytes -= whole
    const payload = bytes.subarray(FRAME_HEAD_BYTES, whole)
    if (bytes.readUInt32BE(CRC_AT) !== checksumOf(bytes, payload)) throw wrong('the checksum of a frame differs')
    return { number: bytes.readUInt32BE(NUMBER_AT), payload }
  }

  #join(): void {
    this.#waiting = [Buffer.concat(this.#waiting)]
  }

  #end(payload: Buffer): void {
    const { rows } = unpacked(payload)
    if (rows !== this.#rows) throw wrong(`it has ${this.#rows} rows where ${String(rows)} were written`)
    this.#isWhole = true
  }
}

/** Adds what stands in a payload. @returns how many rows that are. */
function rowsOf(payload: Buffer, rows: MetadataRow[]): number {
  const before = rows.length
  let at = 0
  while (at < payload.length) {
    if (at + ROW_HEAD_BYTES > payload.length) throw wrong('a row is cut')
    const keyEnd = at + ROW_HEAD_BYTES + payload.readUInt32BE(at)
    const end = keyEnd + payload.readUInt32BE(at + 4)
    if (end > payload.length) throw wrong('a row is cut')
    rows.push({ key: payload.toString('utf8', at + ROW_HEAD_BYTES, keyEnd), value: payload.subarray(keyEnd, end) })
    at = end
  }
  return rows.length - before
}

function markOf(payload: Buffer): AppliedMark {
  const { v, index, term, physicalEnd, storeTimestamp } = unpacked(payload)
  if (v !== STREAM_VERSION) {
    const what = `a state comes in version ${JSON.stringify(v)}; this program knows version ${STREAM_VERSION}`
    throw new StoreError(what, { code: 'UNSUPPORTED', what })
  }
  if (!isCount(index) || !isCount(term) || !isCount(physicalEnd) || !isCount(storeTimestamp))
    throw wrong('its head is no head')
  return { index, term, physicalEnd, storeTimestamp }
}

function unpacked(payload: Buffer): Record<string, unknown> {
  let content: unknown
  try {
    content = packr.unpack(payload)
  } catch (cause) {
    throw wrong('a frame is no msgpack', cause)
  }
  if (typeof content !== 'object' || content === null) throw wrong('a frame is no map')
  return content as Record<string, unknown>
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function wrong(why: string, cause?: unknown): StoreError {
  const what = `the state of another member is damaged: ${why}`
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 }, { cause })
}
