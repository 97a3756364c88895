/**
 * One frame between members: a small control part that is checked, then raw log bytes that are passed on as they are.
 *
 * Greetings, the same in every wire version:
 *
 *   0             4               8            12         12 + controlBytes
 *   | frameBytes  | controlBytes  | controlCrc | control  |
 *
 * Everything after them:
 *
 *   0             4               8            12              16           20        24         24 + controlBytes
 *   | frameBytes  | controlBytes  | controlCrc | guardedBytes  | guardedCrc | headCrc | control  | payload …
 *
 * Big-endian, unsigned. `frameBytes` counts what follows it; `controlCrc` is the CRC-32 of the control part, `guardedCrc` that of
 * the first `guardedBytes` of the payload (the rest has checksums of its own, see `guardedBytesOf`), `headCrc` that of the 20 bytes
 * before it.
 *
 * Keeps: no length is believed before it was checked (a wrong one would swallow frame after frame and look like silence), nothing is
 * allocated before it is held against its limit, and nothing of a chunk is kept: a payload is copied once. A bit that is flipped on the
 * way is found here, or by the entries' own checksums.
 */
import { assert, CodedError, crc32, readUint32, writeUint32 } from '@dledger-ts/base'
import { ENTRY_HEADER_BYTES } from '../log/entry-batch.ts'
import { isUncheckedAt } from '../log/entry-codec.ts'
import type { TransportLimits } from './limits.ts'

const FRAME_BYTES_AT = 0
const CONTROL_BYTES_AT = FRAME_BYTES_AT + 4
const CONTROL_CRC_AT = CONTROL_BYTES_AT + 4
const GREETING_CONTROL_AT = CONTROL_CRC_AT + 4
export const GREETING_HEAD_BYTES = GREETING_CONTROL_AT
const GUARDED_BYTES_AT = CONTROL_CRC_AT + 4
const GUARDED_CRC_AT = GUARDED_BYTES_AT + 4
const HEAD_CRC_AT = GUARDED_CRC_AT + 4
const CONTROL_AT = HEAD_CRC_AT + 4
export const FRAME_HEAD_BYTES = CONTROL_AT

export type FrameErrorDetail = { readonly code: 'LENGTH' } | { readonly code: 'CRC' } | { readonly code: 'CONTENT' }

/** Bytes from outside that are no frame, or a frame that says nothing we know. Its connection is closed. */
export class FrameError extends CodedError<FrameErrorDetail> {}

/** A hello, or what answers it. */
export function encodeGreeting(control: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(GREETING_HEAD_BYTES + control.length)
  writeUint32(frame, GREETING_HEAD_BYTES - CONTROL_BYTES_AT + control.length, FRAME_BYTES_AT)
  writeUint32(frame, control.length, CONTROL_BYTES_AT)
  writeUint32(frame, crc32(control), CONTROL_CRC_AT)
  control.copy(frame, GREETING_CONTROL_AT)
  return frame
}

/** Head and control part of a frame, as one buffer; the payload's buffers follow it on the wire. */
export function encodeFrame(control: Buffer, payload: readonly Buffer[] | null): Buffer {
  let payloadBytes = 0
  if (payload !== null) for (const part of payload) payloadBytes += part.length
  const guardedBytes = payload === null ? 0 : guardedBytesOf(payload, payloadBytes)
  const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + control.length)
  writeUint32(frame, FRAME_HEAD_BYTES - CONTROL_BYTES_AT + control.length + payloadBytes, FRAME_BYTES_AT)
  writeUint32(frame, control.length, CONTROL_BYTES_AT)
  writeUint32(frame, crc32(control), CONTROL_CRC_AT)
  writeUint32(frame, guardedBytes, GUARDED_BYTES_AT)
  writeUint32(frame, payload === null ? 0 : crcOfFirst(payload, guardedBytes), GUARDED_CRC_AT)
  writeUint32(frame, crc32(frame, 0, HEAD_CRC_AT), HEAD_CRC_AT)
  control.copy(frame, CONTROL_AT)
  return frame
}

/**
 * What of a payload the frame has to vouch for: the header of its first entry, whose checksum is seeded with an entry that is not
 * there. It vouches for all bodies and all headers after it; an entry that Apache's DLedger wrote has no checksum and vouches for
 * nothing, so there it is the whole payload. Checking that much of every payload would cost 0.4 µs for each KiB and peer.
 */
function guardedBytesOf(payload: readonly Buffer[], payloadBytes: number): number {
  const first = payload[0]
  const vouches = first !== undefined && first.length >= ENTRY_HEADER_BYTES && !isUncheckedAt(first, 0)
  return vouches ? ENTRY_HEADER_BYTES : payloadBytes
}

function crcOfFirst(payload: readonly Buffer[], bytes: number): number {
  let crc = 0
  let rest = bytes
  for (const part of payload) {
    const take = Math.min(rest, part.length)
    crc = crc32(part, 0, take, crc)
    rest -= take
    if (rest === 0) break
  }
  return crc
}

export interface FrameSink {
  /** A whole control part with a right checksum; valid during the call only. May throw FrameError. */
  controlRead(control: Buffer, payloadBytes: number): void
  /** The frame that `controlRead` announced is whole. The payload may be kept; null when it has no bytes. */
  frameRead(payload: Buffer | null): void
}

/**
 * Cuts a stream of chunks into frames, wherever the chunks begin and end.
 *
 * Hot: the payload is copied once, into a buffer of its size; nothing else of a chunk is allocated or kept, so a socket may read the next
 * one into the same memory.
 */
export class FrameReader {
  readonly #payloadBytesMax: number
  readonly #controlBytesMax: number
  readonly #sink: FrameSink
  readonly #head = Buffer.alloc(FRAME_HEAD_BYTES)
  /** Of the frame that is being read, and of the next. */
  #headBytes: number
  #nextHeadBytes: number
  #headFilled = 0
  /** The control part that spans chunks; null where none does. */
  #control: Buffer | null = null
  #controlFilled = 0
  #controlBytes = 0
  #controlCrc = 0
  #controlDone = false
  #guardedBytes = 0
  #guardedCrc = 0
  #payload: Buffer | null = null
  #payloadFilled = 0
  #payloadBytes = 0
  #stopped = false

  /** @param first `greetings`: until `greeted`. `messages`: for a stream that begins after the greetings. */
  constructor(limits: TransportLimits, sink: FrameSink, first: 'greetings' | 'messages') {
    this.#payloadBytesMax = limits.payloadBytesMax
    this.#controlBytesMax = limits.controlBytesMax
    this.#sink = sink
    this.#headBytes = first === 'greetings' ? GREETING_HEAD_BYTES : FRAME_HEAD_BYTES
    this.#nextHeadBytes = this.#headBytes
  }

  /** The frames after the present one are messages. */
  greeted(): void {
    this.#nextHeadBytes = FRAME_HEAD_BYTES
  }

  /** Nothing more is handed out, even of the chunk that is being read. */
  stop(): void {
    this.#stopped = true
    this.#payload = null
  }

  /** @throws FrameError when the bytes are no frames; the reader is of no use afterwards. */
  push(chunk: Buffer): void {
    let at = 0
    while (!this.#stopped) {
      if (this.#headFilled < this.#headBytes) {
        at = this.#readHead(chunk, at)
        if (this.#headFilled < this.#headBytes) return
      }
      if (!this.#controlDone) {
        at = this.#readControl(chunk, at)
        if (!this.#controlDone) return
      } else {
        at = this.#readPayload(chunk, at)
        if (this.#controlDone) return
      }
    }
  }

  #readHead(chunk: Buffer, at: number): number {
    const headBytes = this.#headBytes
    const end = Math.min(chunk.length, at + headBytes - this.#headFilled)
    if (this.#headFilled === 0 && end - at === headBytes) {
      this.#parseHead(chunk, at)
    } else {
      chunk.copy(this.#head, this.#headFilled, at, end)
      if (this.#headFilled + end - at === headBytes) this.#parseHead(this.#head, 0)
    }
    this.#headFilled += end - at
    return end
  }

  #parseHead(source: Buffer, at: number): void {
    const isGreeting = this.#headBytes === GREETING_HEAD_BYTES
    if (!isGreeting && crc32(source, at, at + HEAD_CRC_AT) !== readUint32(source, at + HEAD_CRC_AT)) {
      throw new FrameError('the checksum of a head is wrong', { code: 'CRC' })
    }
    const frameBytes = readUint32(source, at + FRAME_BYTES_AT)
    const controlBytes = readUint32(source, at + CONTROL_BYTES_AT)
    const payloadBytes = frameBytes - (this.#headBytes - CONTROL_BYTES_AT) - controlBytes
    if (controlBytes === 0 || controlBytes > this.#controlBytesMax) {
      throw new FrameError(`a control part has 1 to ${this.#controlBytesMax} bytes, not ${controlBytes}`, {
        code: 'LENGTH',
      })
    }
    // So the two lengths of a greeting vouch for each other.
    const payloadBytesMax = isGreeting ? 0 : this.#payloadBytesMax
    if (payloadBytes < 0 || payloadBytes > payloadBytesMax) {
      throw new FrameError(`a payload has 0 to ${payloadBytesMax} bytes, not ${payloadBytes}`, { code: 'LENGTH' })
    }
    this.#controlBytes = controlBytes
    this.#controlCrc = readUint32(source, at + CONTROL_CRC_AT)
    this.#payloadBytes = payloadBytes
    this.#guardedBytes = isGreeting ? 0 : readUint32(source, at + GUARDED_BYTES_AT)
    this.#guardedCrc = isGreeting ? 0 : readUint32(source, at + GUARDED_CRC_AT)
    if (this.#guardedBytes > payloadBytes) {
      throw new FrameError(`${this.#guardedBytes} bytes are guarded of ${payloadBytes}`, { code: 'LENGTH' })
    }
  }

  #readControl(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#controlBytes - this.#controlFilled)
    if (this.#controlFilled === 0 && end - at === this.#controlBytes) {
      this.#checkControl(chunk, at, end)
      this.#sink.controlRead(chunk.subarray(at, end), this.#payloadBytes)
      this.#controlDone = true
      return end
    }
    this.#control ??= Buffer.allocUnsafe(this.#controlBytes)
    chunk.copy(this.#control, this.#controlFilled, at, end)
    this.#controlFilled += end - at
    if (this.#controlFilled === this.#controlBytes) {
      this.#checkControl(this.#control, 0, this.#controlBytes)
      this.#sink.controlRead(this.#control, this.#payloadBytes)
      this.#controlDone = true
    }
    return end
  }

  #checkControl(source: Buffer, from: number, to: number): void {
    if (crc32(source, from, to) !== this.#controlCrc) {
      throw new FrameError('the checksum of a control part is wrong', { code: 'CRC' })
    }
  }

  #readPayload(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#payloadBytes - this.#payloadFilled)
    if (this.#payloadBytes === 0) {
      this.#finish(null)
      return end
    }
    // The pages of a large allocation are not touched before bytes arrive for them.
    this.#payload ??= Buffer.allocUnsafe(this.#payloadBytes)
    chunk.copy(this.#payload, this.#payloadFilled, at, end)
    this.#payloadFilled += end - at
    if (this.#payloadFilled === this.#payloadBytes) this.#finish(this.#payload)
    return end
  }

  #finish(payload: Buffer | null): void {
    assert(this.#controlDone, 'a payload follows its control part')
    if (payload !== null && crc32(payload, 0, this.#guardedBytes) !== this.#guardedCrc) {
      throw new FrameError('the checksum of the guarded part of a payload is wrong', { code: 'CRC' })
    }
    this.#headBytes = this.#nextHeadBytes
    this.#headFilled = 0
    this.#control = null
    this.#controlFilled = 0
    this.#controlDone = false
    this.#payload = null
    this.#payloadFilled = 0
    this.#sink.frameRead(payload)
  }
}
