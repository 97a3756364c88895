/**
 * Frames out of and into a byte stream, however the network cut or glued them.
 *
 *   | length: 4 | content: length bytes |
 *
 * Always holds:
 *   - A length is checked against the limit before anything is kept for it.
 *   - An unfinished frame is kept in one buffer that grows by doubling: what a peer can make us hold is at most twice what
 *     it sent, however small its pieces, and no stream of pieces is copied more than a few times.
 *   - After an error the decoder takes nothing more.
 */
import { assert, AssertionError, readUint32, writeUint32 } from '@dledger-ts/base'
import {
  encodeHeader,
  type EncodedHeader,
  HEADER_LENGTH_BYTES,
  LENGTH_BYTES,
  type RemotingCommand,
  SerializeType,
} from './command.ts'
import { malformedFrame, RemotingError } from './errors.ts'
import { utf8Bytes, writeUtf8 } from './text.ts'

/** The largest frame, its length word included. Source: com.rocketmq.remoting.frameMaxLength. */
export const FRAME_BYTES_MAX = 16_777_216
/** An unfinished frame up to this size gets its whole buffer at once, a larger one by doubling. */
const EAGER_BYTES_MAX = 65_536
/** A body up to this size is copied beside its header; a larger one is written from where it is. */
const COPIED_BODY_BYTES_MAX = 4096

const HEADER_BYTES_MAX = 0xff_ffff
const NOTHING = Buffer.alloc(0)

/**
 * Called for each whole frame; its content stands in `bytes` from `at` to `end`, where `isPassing` during the call only.
 *
 * @returns false to take no more for now.
 */
export type FrameSink = (bytes: Buffer, at: number, end: number, isPassing: boolean) => boolean

export class FrameDecoder {
  readonly #sink: FrameSink
  readonly #frameBytesMax: number
  /** The beginning of an unfinished frame: the first `#heldBytes` of this buffer. */
  #held: Buffer = NOTHING
  #heldBytes = 0
  /** Frames that were held and have become whole. */
  #heldFrames = 0
  /** Whole size of the unfinished frame, length word included; 4 while that word itself is incomplete. */
  #wantedBytes = LENGTH_BYTES
  #isStopped = false
  /** The sink wants no more of this chunk. */
  #isHeldBack = false

  constructor(sink: FrameSink, frameBytesMax = FRAME_BYTES_MAX) {
    this.#sink = sink
    this.#frameBytesMax = frameBytesMax
  }

  /** What the unfinished frame takes in memory. */
  get unfinishedBytes(): number {
    return this.#held.length
  }

  /** Another number for each unfinished frame. */
  get unfinishedFrame(): number {
    return this.#heldFrames
  }

  /**
   * Takes what the socket gave, which may change after the call. Whole frames are passed on as they stand in it.
   *
   * @returns how much of it was taken: all, or up to the end of the frame at which the sink wanted no more. The rest is to be given again.
   * @throws RemotingError `FRAME_TOO_LARGE`, `MALFORMED_FRAME`, and whatever the sink throws.
   */
  push(chunk: Buffer): number {
    if (this.#isStopped) return chunk.length
    this.#isHeldBack = false
    try {
      const from = this.#finishHeld(chunk)
      return this.#isHeldBack ? from : this.#takeWhole(chunk, from)
    } catch (error) {
      this.#isStopped = true
      this.#forget()
      throw error
    }
  }

  /** Adds to the unfinished frame until it is whole. @returns how much of `chunk` it took. */
  #finishHeld(chunk: Buffer): number {
    let from = 0
    while (this.#heldBytes > 0) {
      const to = Math.min(from + this.#wantedBytes - this.#heldBytes, chunk.length)
      this.#hold(chunk, from, to)
      from = to
      if (this.#heldBytes < this.#wantedBytes) break
      if (this.#wantedBytes === LENGTH_BYTES) {
        // Only the length word was missing: a frame is longer than it, so the loop goes on.
        this.#wantedBytes = this.#frameBytes(this.#held, 0)
        continue
      }
      const frame = this.#held
      const frameBytes = this.#wantedBytes
      this.#forget()
      if (!this.#sink(frame, LENGTH_BYTES, frameBytes, false)) this.#isHeldBack = true
    }
    return from
  }

  /** Passes on the whole frames from `from` on, where they stand, and holds what is left. @returns how far it came. Hot. */
  #takeWhole(chunk: Buffer, from: number): number {
    let at = from
    while (chunk.length - at >= LENGTH_BYTES) {
      const frameBytes = this.#frameBytes(chunk, at)
      if (chunk.length - at < frameBytes) {
        this.#wantedBytes = frameBytes
        break
      }
      const isMoreWanted = this.#sink(chunk, at + LENGTH_BYTES, at + frameBytes, true)
      at += frameBytes
      if (!isMoreWanted) return at
    }
    this.#hold(chunk, at, chunk.length)
    return chunk.length
  }

  /** @returns the whole size of the frame that starts at `at`. */
  #frameBytes(bytes: Buffer, at: number): number {
    const length = readUint32(bytes, at)
    const frameBytes = length + LENGTH_BYTES
    if (frameBytes > this.#frameBytesMax) {
      throw new RemotingError(`a frame of ${frameBytes} bytes, at most ${this.#frameBytesMax}`, {
        code: 'FRAME_TOO_LARGE',
        bytes: frameBytes,
        maxBytes: this.#frameBytesMax,
      })
    }
    if (length < HEADER_LENGTH_BYTES) throw malformedFrame(`a frame of ${length} bytes has no header length`)
    return frameBytes
  }

  #hold(chunk: Buffer, from: number, to: number): void {
    if (from === to) return
    const neededBytes = this.#heldBytes + to - from
    if (neededBytes > this.#held.length) {
      const eagerBytes = Math.min(this.#wantedBytes, EAGER_BYTES_MAX)
      const grown = Buffer.allocUnsafe(
        Math.max(neededBytes, eagerBytes, Math.min(2 * this.#held.length, this.#wantedBytes)),
      )
      this.#held.copy(grown, 0, 0, this.#heldBytes)
      this.#held = grown
    }
    chunk.copy(this.#held, this.#heldBytes, from, to)
    this.#heldBytes = neededBytes
  }

  /** The buffer is not used again: the frame's body is a slice of it. */
  #forget(): void {
    this.#heldFrames++
    this.#held = NOTHING
    this.#heldBytes = 0
    this.#wantedBytes = LENGTH_BYTES
  }
}

/** Told of a command that no frame has room for. @returns what is encoded in its place, null for nothing. */
export type UnfitCommand = (command: RemotingCommand) => RemotingCommand | null

/**
 * Encodes commands as frames, in order, into as few buffers as it takes: headers and small bodies share one, a large body is
 * referenced where it is. Hot.
 *
 * What a peer wrote may stand in a header (its topic in a remark, its fields in a request that is passed on), and be longer there than it was.
 *
 * @param unfit of headers that their length has no room for, and of requests larger than those that are read here.
 */
export function encodeFrames(commands: readonly RemotingCommand[], unfit: UnfitCommand = allFit): Buffer[] {
  const headers: EncodedHeader[] = []
  const headersBytes: number[] = []
  let copiedBytes = 0
  for (const command of commands) {
    const header = fittingHeader(command)
    if (header === undefined) return encodeFrames(fitting(commands, unfit))
    const bytes = headerBytes(header)
    headers.push(header)
    headersBytes.push(bytes)
    const bodyBytes = commandBodyBytes(command)
    copiedBytes += LENGTH_BYTES + HEADER_LENGTH_BYTES + bytes
    if (bodyBytes <= COPIED_BODY_BYTES_MAX) copiedBytes += bodyBytes
  }
  const target = Buffer.allocUnsafe(copiedBytes)
  const buffers: Buffer[] = []
  let from = 0
  let at = 0
  for (let i = 0; i < commands.length; i++) {
    const command = commands[i] as RemotingCommand
    const bodyBytes = commandBodyBytes(command)
    at = writeHead(target, at, command, headers[i] as EncodedHeader, headersBytes[i] as number, bodyBytes)
    if (bodyBytes === 0) continue
    const { body } = command
    if (bodyBytes <= COPIED_BODY_BYTES_MAX) {
      at = copyBody(target, at, body)
      continue
    }
    buffers.push(target.subarray(from, at))
    from = at
    if (Buffer.isBuffer(body)) buffers.push(body)
    else pushJoined(buffers, body as readonly Buffer[])
  }
  if (at > from) buffers.push(target.subarray(from, at))
  assert(at === copiedBytes, 'frames have the size that was announced')
  return buffers
}

function allFit(): never {
  throw new AssertionError('a frame has room for what is put into it')
}

function fitting(commands: readonly RemotingCommand[], unfit: UnfitCommand): RemotingCommand[] {
  return commands.flatMap((command) => (fittingHeader(command) === undefined ? (unfit(command) ?? []) : command))
}

/** @returns undefined where no frame has room for it. Hot. */
function fittingHeader(command: RemotingCommand): EncodedHeader | undefined {
  const header = encodeHeader(command)
  if (header === undefined) return undefined
  // Of text, no character takes more than three bytes.
  const bytesAtMost = typeof header === 'string' ? 3 * header.length : header.length
  if (bytesAtMost > HEADER_BYTES_MAX && headerBytes(header) > HEADER_BYTES_MAX) return undefined
  if (command.isResponse) return header
  const bodyBytes = commandBodyBytes(command)
  const frameBytesAtMost = LENGTH_BYTES + HEADER_LENGTH_BYTES + bytesAtMost + bodyBytes
  if (frameBytesAtMost <= FRAME_BYTES_MAX) return header
  const frameBytes = LENGTH_BYTES + HEADER_LENGTH_BYTES + headerBytes(header) + bodyBytes
  return frameBytes <= FRAME_BYTES_MAX ? header : undefined
}

/** Parts that are neighbours in memory, as the newest messages of a pull are, become one: a write has fewer pieces then. */
function pushJoined(buffers: Buffer[], parts: readonly Buffer[]): void {
  let first = parts[0] as Buffer
  let bytes = first.length
  for (let i = 1; i < parts.length; i++) {
    const part = parts[i] as Buffer
    if (part.buffer === first.buffer && part.byteOffset === first.byteOffset + bytes) {
      bytes += part.length
      continue
    }
    buffers.push(joined(first, bytes))
    first = part
    bytes = part.length
  }
  buffers.push(joined(first, bytes))
}

function joined(first: Buffer, bytes: number): Buffer {
  return bytes === first.length ? first : Buffer.from(first.buffer, first.byteOffset, bytes)
}

/** @returns the size of a command's body. */
export function commandBodyBytes(command: RemotingCommand): number {
  const { body } = command
  if (body === undefined) return 0
  if (Buffer.isBuffer(body)) return body.length
  let bytes = 0
  for (const part of body) bytes += part.length
  return bytes
}

function headerBytes(header: EncodedHeader): number {
  return typeof header === 'string' ? utf8Bytes(header) : header.length
}

/** Writes length, type, header length and header, which has so many bytes. @returns the position after them. */
function writeHead(
  target: Buffer,
  at: number,
  command: RemotingCommand,
  header: EncodedHeader,
  bytes: number,
  bodyBytes: number,
): number {
  const isText = typeof header === 'string'
  assert(bytes <= HEADER_BYTES_MAX, 'a header length has 24 bits')
  writeUint32(target, HEADER_LENGTH_BYTES + bytes + bodyBytes, at)
  writeUint32(target, bytes, at + LENGTH_BYTES)
  target[at + LENGTH_BYTES] = isText ? SerializeType.JSON : command.serializeType
  const headerAt = at + LENGTH_BYTES + HEADER_LENGTH_BYTES
  if (isText) return writeUtf8(target, header, headerAt, bytes)
  header.copy(target, headerAt)
  return headerAt + bytes
}

function copyBody(target: Buffer, at: number, body: RemotingCommand['body']): number {
  if (Buffer.isBuffer(body)) return at + body.copy(target, at)
  let next = at
  for (const part of body ?? []) next += part.copy(target, next)
  return next
}
