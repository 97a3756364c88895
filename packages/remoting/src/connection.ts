/**
 * One connection over TCP or TLS, the same on both sides: frames in, frames out, requests of our own in either direction.
 *
 *   socket ──► FrameDecoder ──► response? PendingRequests : request sink (server or client)
 *   send   ──► outgoing queue ──► one encode and one socket write for all that one callback of the event loop sends
 *
 * Always holds:
 *   C1  Each side counts its own opaques: a frame with the response bit is matched with our requests only.
 *   C2  Answers may leave in any order; a one-way request is never answered; any other at most once.
 *   C3  A malformed frame closes this connection and nothing else.
 *   C4  When more than `unwrittenBytesHigh` wait for a slow peer, nothing more is read from it, and nothing of what was read is handled, until
 *       it has caught up; when more than `unwrittenBytesMax` wait, or too much for all connections together, the connection is closed.
 *   C5  After it closed, every waiting request has failed, every `Releasable` was released, every close listener was called.
 *   C6  Nothing that is to be sent ends the process: an answer that no frame has room for becomes one that says so, a request fails.
 *   C7  What is kept of frames that have not come whole is bounded, for each connection and for all of a server together.
 */
import { assert, AssertionError, type Clock, type Logger, onBytes } from '@dledger-ts/base'
import type { Socket } from 'node:net'
import { normalizedIp } from './address.ts'
import { createResponse, decodeCommand, type Releasable, type RemotingCommand } from './command.ts'
import { ResponseCode } from './codes.ts'
import { RemotingError } from './errors.ts'
import { commandBodyBytes, encodeFrames, FRAME_BYTES_MAX, FrameDecoder } from './frame.ts'
import { PendingRequests, type ResponseHandler } from './pending-requests.ts'
import type { Reader, ReadingTurns } from './reading-turns.ts'
import { connectedEvent } from './sockets.ts'
import type { UnfinishedFrames } from './unfinished-frames.ts'
import type { UnwrittenBudget } from './unwritten-budget.ts'

export interface ConnectionLimits {
  /** The largest frame read. */
  frameBytesMax: number
  /** Of our own requests that wait for answers. */
  pendingMax: number
  /** Above this, reading pauses until the peer has taken what was written. */
  unwrittenBytesHigh: number
  /** Above this, the connection is closed. */
  unwrittenBytesMax: number
}

export const DEFAULT_CONNECTION_LIMITS: ConnectionLimits = {
  frameBytesMax: 16_777_216,
  pendingMax: 65_536,
  unwrittenBytesHigh: 8 * 1024 * 1024,
  unwrittenBytesMax: 256 * 1024 * 1024,
}

/** Counted over all connections of one server or client. */
export interface ConnectionCounters {
  /** Connections closed because of bytes that are no frame. */
  malformedFrames: number
  /** Answers that nobody waited for, or not any more. */
  strayResponses: number
}

/** Gets the requests that arrive. */
export type RequestSink = (connection: Connection, request: RemotingCommand) => void

export interface ConnectionOptions {
  socket: Socket
  /** The peer's `host:port` for messages; learned from the socket when it is not given. */
  address?: string
  clock: Clock
  logger: Logger
  limits: ConnectionLimits
  counters: ConnectionCounters
  requestSink: RequestSink
  /** Shared by connections that are not to keep everything else waiting. */
  turns?: ReadingTurns
  /** Shared by connections whose unwritten bytes are bounded together. */
  budget?: UnwrittenBudget
  /** Shared by connections whose unfinished frames are bounded together. */
  unfinished?: UnfinishedFrames
}

/** An unfinished frame that takes no more is not counted with others: most of what is read ends with a part of one. */
const UNCOUNTED_BYTES_MAX = 65_536

let nextConnectionId = 1

export class Connection implements Reader {
  readonly id: number
  /** The peer as `ip:port`; IPv4 peers are never in IPv6 clothes. */
  readonly remoteAddress: string
  readonly remoteIp: string
  readonly remotePort: number
  /** When something last arrived or was written, on the monotonic clock. */
  lastActiveMs: number

  readonly #socket: Socket
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #limits: ConnectionLimits
  readonly #counters: ConnectionCounters
  readonly #requestSink: RequestSink
  readonly #turns: ReadingTurns | undefined
  readonly #budget: UnwrittenBudget | undefined
  readonly #unfinished: UnfinishedFrames | undefined
  readonly #decoder: FrameDecoder
  readonly #pending: PendingRequests
  readonly #closeListeners = new Set<(connection: Connection) => void>()
  #outgoing: RemotingCommand[] = []
  #outgoingBytes = 0
  #isFlushScheduled = false
  #isConnecting: boolean
  #isReadingPaused = false
  #isUnfinishedCounted = false
  /** Read, and not handled before its turn comes, or before the peer has taken what waits for it. */
  #unhandled: Buffer | null = null
  #isEnding = false
  #closeReason: RemotingError | undefined

  constructor(options: ConnectionOptions) {
    const { socket } = options
    this.id = nextConnectionId++
    this.remoteIp = normalizedIp(socket.remoteAddress ?? '')
    this.remotePort = socket.remotePort ?? 0
    this.remoteAddress = options.address ?? `${this.remoteIp}:${this.remotePort}`
    this.lastActiveMs = options.clock.monotonicMs()
    this.#socket = socket
    this.#clock = options.clock
    this.#logger = options.logger
    this.#limits = options.limits
    this.#counters = options.counters
    this.#requestSink = options.requestSink
    this.#turns = options.turns
    this.#budget = options.budget
    this.#unfinished = options.unfinished
    this.#isConnecting = socket.connecting
    this.#decoder = new FrameDecoder(
      (bytes, at, end, isPassing) => this.#frame(bytes, at, end, isPassing),
      options.limits.frameBytesMax,
    )
    this.#pending = new PendingRequests({
      clock: options.clock,
      address: this.remoteAddress,
      pendingMax: options.limits.pendingMax,
      handlerThrew: (error) => this.#handlerThrew(error),
    })
    this.#listen()
  }

  get isClosed(): boolean {
    return this.#closeReason !== undefined
  }

  /** Our requests that wait for answers. */
  get pendingCount(): number {
    return this.#pending.count
  }

  /** Bytes that wait for the peer to take them. */
  get unwrittenBytes(): number {
    return this.#outgoingBytes + this.#socket.writableLength
  }

  /** Whether nothing is read until the peer has taken what waits for it. */
  get isReadingPaused(): boolean {
    return this.#isReadingPaused
  }

  /** This machine's address on this connection. */
  get localAddress(): string {
    return `${normalizedIp(this.#socket.localAddress ?? '')}:${this.#socket.localPort ?? 0}`
  }

  /** Sends a request and resolves with its answer, whatever its code. @throws RemotingError; see the table in README.md. */
  invoke(request: RemotingCommand, timeoutMs: number): Promise<RemotingCommand> {
    return new Promise((resolve, reject) => {
      this.invokeCallback(request, timeoutMs, { responded: resolve, failed: reject })
    })
  }

  /** The same without a promise. `handler` may be told before this returns, when the request cannot be sent. Hot. */
  invokeCallback(request: RemotingCommand, timeoutMs: number, handler: ResponseHandler): void {
    if (this.#closeReason !== undefined) return handler.failed(this.#closeReason)
    const opaque = this.#pending.add(handler, timeoutMs)
    if (opaque === undefined) {
      const { pendingMax } = this.#limits
      const detail = { code: 'BUSY', address: this.remoteAddress, pendingMax } as const
      return handler.failed(new RemotingError(`${pendingMax} requests wait for ${this.remoteAddress} already`, detail))
    }
    request.opaque = opaque
    this.#send(request)
  }

  /** Sends a request that gets no answer; it is lost without a word when the connection is. */
  oneway(request: RemotingCommand): void {
    request.markOneway()
    request.opaque = this.#pending.nextOpaque()
    this.#send(request)
  }

  /**
   * Answers a request, now or later, in the request's serialize type. Does nothing for a one-way request or when the
   * connection is gone. Hot.
   */
  respond(request: RemotingCommand, response: RemotingCommand): void {
    assert(!request.isAnswered, 'a request is answered once')
    request.isAnswered = true
    if (request.isOneway) {
      response.releasable?.release()
      return
    }
    response.opaque = request.opaque
    response.serializeType = request.serializeType
    response.markResponse()
    this.#send(response)
  }

  /** Calls `listener` once when the connection is closed, at once when it is closed already. @returns a function that stops that. */
  onClose(listener: (connection: Connection) => void): () => void {
    if (this.isClosed) {
      listener(this)
      return () => {}
    }
    this.#closeListeners.add(listener)
    return () => this.#closeListeners.delete(listener)
  }

  /** Closes at once: what is not written yet is dropped. Idempotent. */
  close(reason?: RemotingError): void {
    this.#closed(reason ?? this.#lost('it was closed here'))
    this.#socket.destroy()
  }

  /** Writes what was sent so far and tells the peer so, which then closes; who wants no more of it than some time calls `close` after that. */
  end(): void {
    if (this.isClosed || this.#isEnding) return
    this.#flush()
    this.#isEnding = true
    this.#turns?.withdraw(this)
    this.#unhandled = null
    // What the peer still sends is read and dropped, until it closes: to close a socket that has unread bytes resets the connection, and the
    // kernel forgets what the peer has not taken yet.
    this.#socket.resume()
    this.#socket.end()
  }

  #listen(): void {
    const socket = this.#socket
    socket.setNoDelay(true)
    onBytes(socket, (chunk) => this.#read(chunk))
    socket.on('drain', () => this.#drained())
    socket.on('end', () => this.close(this.#lost('the peer closed it')))
    socket.on('error', (error) => this.#failed(error))
    socket.on('close', () => this.close())
    if (this.#isConnecting) socket.once(connectedEvent(socket), () => this.#connected())
  }

  #connected(): void {
    this.#isConnecting = false
    this.lastActiveMs = this.#clock.monotonicMs()
    this.#scheduleFlush()
  }

  /** `chunk` is valid during the call only. */
  #read(chunk: Buffer): void {
    if (this.#isEnding) return
    this.lastActiveMs = this.#clock.monotonicMs()
    if (this.#unhandled !== null) {
      // It was paused with some of what it had read on its way.
      this.#unhandled = Buffer.concat([this.#unhandled, chunk])
    } else if (this.#isReadingPaused) this.#unhandled = Buffer.from(chunk)
    else if (this.#turns === undefined || this.#turns.mayRead(this, this.lastActiveMs)) {
      const taken = this.#handle(chunk)
      if (taken < chunk.length) this.#unhandled = Buffer.from(chunk.subarray(taken))
    } else {
      this.#unhandled = Buffer.from(chunk)
      this.#socket.pause()
    }
  }

  /** What was read before may be handled now. */
  takeTurn(): void {
    const chunk = this.#unhandled
    if (chunk === null || this.#isReadingPaused || this.isClosed || this.#isEnding) return
    this.#unhandled = null
    const taken = this.#handle(chunk)
    if (taken < chunk.length) this.#unhandled = chunk.subarray(taken)
    if (!this.#isReadingPaused && !this.isClosed && !this.#isEnding) this.#socket.resume()
  }

  /** @returns how much of `chunk` is done with. */
  #handle(chunk: Buffer): number {
    try {
      const taken = this.#decoder.push(chunk)
      this.#countUnfinished()
      return this.isClosed || this.#isEnding ? chunk.length : taken
    } catch (error) {
      if (!(error instanceof RemotingError)) throw error
      this.#counters.malformedFrames++
      this.#logger.warn({ remote: this.remoteAddress, code: error.code, reason: error.message }, 'malformed frame')
      this.close(error)
      return chunk.length
    }
  }

  /** Hot. */
  #countUnfinished(): void {
    if (this.#unfinished === undefined || this.isClosed) return
    const { unfinishedBytes, unfinishedFrame } = this.#decoder
    if (unfinishedBytes > UNCOUNTED_BYTES_MAX) {
      this.#isUnfinishedCounted = true
      this.#unfinished.keeps(this, unfinishedFrame, unfinishedBytes)
    } else if (this.#isUnfinishedCounted) {
      this.#isUnfinishedCounted = false
      this.#unfinished.done(this)
    }
  }

  /** It does not send the rest of a frame, and others have no room for theirs. */
  closeUnfinished(): void {
    const { remoteAddress: remote } = this
    this.#logger.warn({ remote }, 'closed a connection whose peer does not finish what it sends')
    this.close(this.#lost('its peer does not finish what it sends'))
  }

  /** Hot. @returns false to take no more for now. */
  #frame(bytes: Buffer, at: number, end: number, isPassing: boolean): boolean {
    const command = decodeCommand(bytes, at, end)
    // A body may be kept longer than the call.
    if (isPassing && command.body !== undefined) command.body = Buffer.from(command.body as Buffer)
    if (!command.isResponse) this.#requestSink(this, command)
    else this.#complete(command)
    // What the socket holds is looked at when it is written to.
    if (this.#outgoingBytes > this.#limits.unwrittenBytesHigh) this.#pauseReading()
    return !this.#isReadingPaused && !this.isClosed && !this.#isEnding
  }

  #complete(response: RemotingCommand): void {
    try {
      if (!this.#pending.complete(response)) this.#counters.strayResponses++
    } catch (error) {
      this.#handlerThrew(error)
    }
  }

  /** A handler that throws has its own trouble, not the connection's. */
  #handlerThrew(error: unknown): void {
    if (error instanceof AssertionError) throw error
    this.#logger.error({ remote: this.remoteAddress, err: error }, 'a response handler failed')
  }

  #send(command: RemotingCommand): void {
    if (this.#closeReason !== undefined || this.#isEnding) {
      command.releasable?.release()
      return
    }
    this.#outgoing.push(command)
    this.#outgoingBytes += commandBodyBytes(command)
    // While it connects nothing is written, so nothing else looks at what waits.
    if (this.#isConnecting && this.#outgoingBytes > this.#limits.unwrittenBytesMax) this.closeSlow()
    else this.#scheduleFlush()
  }

  #scheduleFlush(): void {
    if (this.#isFlushScheduled || this.#isConnecting || this.#outgoing.length === 0) return
    this.#isFlushScheduled = true
    // When what runs now has ended, and before any other input: an answer does not wait for what arrived after its request.
    process.nextTick(this.#flushDeferred)
  }

  readonly #flushDeferred = (): void => {
    this.#isFlushScheduled = false
    this.#flush()
  }

  /** Writes everything that was sent since the last time with one system call, if the kernel takes it. Hot. */
  #flush(): void {
    if (this.#outgoing.length === 0 || this.isClosed || this.#isEnding) return
    const commands = this.#outgoing
    this.#outgoing = []
    this.#outgoingBytes = 0
    const buffers = encodeFrames(commands, this.#unfit)
    const releasables = releasablesOf(commands)
    const socket = this.#socket
    if (buffers.length === 0) {
      releaseAll(releasables ?? [])
      if (this.#isReadingPaused && !socket.writableNeedDrain) this.#goOn()
      return
    }
    this.lastActiveMs = this.#clock.monotonicMs()
    if (buffers.length > 1) socket.cork()
    const last = buffers.length - 1
    for (let i = 0; i < last; i++) socket.write(buffers[i] as Buffer)
    const isTaken =
      releasables === undefined
        ? socket.write(buffers[last] as Buffer)
        : socket.write(buffers[last] as Buffer, () => releaseAll(releasables))
    if (buffers.length > 1) socket.uncork()
    if (!isTaken) this.#holdBack()
    else if (this.#isReadingPaused) this.#goOn()
  }

  /** No frame has room for it: what a peer wrote may stand in it, of any length. */
  readonly #unfit = (command: RemotingCommand): RemotingCommand | null => {
    const { remoteAddress: address } = this
    this.#logger.warn({ remote: address, code: command.code }, 'no frame has room for what was to be sent')
    if (command.isResponse) {
      const answer = createResponse(ResponseCode.SYSTEM_ERROR, 'no frame has room for the answer')
      answer.opaque = command.opaque
      answer.serializeType = command.serializeType
      return answer
    }
    const detail = { code: 'FRAME_TOO_LARGE', bytes: commandBodyBytes(command), maxBytes: FRAME_BYTES_MAX } as const
    this.#pending.fail(command.opaque, new RemotingError(`no frame to ${address} has room for the request`, detail))
    return null
  }

  #holdBack(): void {
    const { unwrittenBytes } = this
    if (unwrittenBytes > this.#limits.unwrittenBytesMax) return this.closeSlow()
    if (unwrittenBytes > this.#limits.unwrittenBytesHigh) this.#pauseReading()
    this.#budget?.waits(this, unwrittenBytes)
  }

  /** Its peer does not take what waits for it, and that is too much. */
  closeSlow(): void {
    const { remoteAddress: remote, unwrittenBytes } = this
    this.#logger.warn({ remote, unwrittenBytes }, 'closed a connection whose peer does not read')
    this.close(this.#lost('its peer does not read'))
  }

  #pauseReading(): void {
    if (this.#isReadingPaused) return
    this.#isReadingPaused = true
    this.#socket.pause()
  }

  #drained(): void {
    this.#budget?.taken(this)
    if (this.#isReadingPaused) this.#goOn()
  }

  /** The peer has taken what waited for it: what it sent is handled again, first what was read already. */
  #goOn(): void {
    if (this.isClosed || this.#isEnding) return
    this.#isReadingPaused = false
    if (this.#unhandled === null) this.#socket.resume()
    else if (this.#turns === undefined || this.#turns.mayRead(this, this.#clock.monotonicMs())) this.takeTurn()
  }

  #failed(error: Error): void {
    this.close(this.#isConnecting ? this.#connectFailed(error) : this.#lost(error.message, error))
  }

  #connectFailed(cause: Error): RemotingError {
    const detail = { code: 'CONNECT_FAILED', address: this.remoteAddress } as const
    return new RemotingError(`cannot connect to ${this.remoteAddress}: ${cause.message}`, detail, { cause })
  }

  #lost(why: string, cause?: unknown): RemotingError {
    const detail = {
      code: this.#isConnecting ? 'CONNECT_FAILED' : 'CONNECTION_LOST',
      address: this.remoteAddress,
    } as const
    return new RemotingError(`the connection to ${this.remoteAddress} is gone: ${why}`, detail, { cause })
  }

  #closed(reason: RemotingError): void {
    if (this.#closeReason !== undefined) return
    this.#closeReason = reason
    this.#turns?.withdraw(this)
    this.#budget?.taken(this)
    this.#unfinished?.done(this)
    this.#unhandled = null
    const unsent = this.#outgoing
    this.#outgoing = []
    this.#outgoingBytes = 0
    for (const command of unsent) command.releasable?.release()
    this.#pending.failAll(reason)
    const listeners = [...this.#closeListeners]
    this.#closeListeners.clear()
    for (const listener of listeners) listener(this)
  }
}

/** @returns the answer that tells a client about an exception: code 1, the error's name and message. */
export function systemError(error: unknown): RemotingCommand {
  const remark = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return createResponse(ResponseCode.SYSTEM_ERROR, remark)
}

/** @returns the answer to a request code that nobody handles. */
export function notSupported(request: RemotingCommand): RemotingCommand {
  return createResponse(ResponseCode.REQUEST_CODE_NOT_SUPPORTED, ` request type ${request.code} not supported`)
}

function releasablesOf(commands: readonly RemotingCommand[]): Releasable[] | undefined {
  let releasables: Releasable[] | undefined
  for (const { releasable } of commands) if (releasable !== undefined) (releasables ??= []).push(releasable)
  return releasables
}

function releaseAll(releasables: readonly Releasable[]): void {
  for (const releasable of releasables) releasable.release()
}
