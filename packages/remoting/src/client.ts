/**
 * A RemotingClient keeps one connection to each address it is asked to talk to.
 *
 * A connection is made at the first request to its address and after it was lost: at the next one. Requests that are made
 * while it connects go out when it is there. When it is lost, all that wait on it fail at once.
 */
import { type Clock, type Logger, silentLogger, systemClock } from '@dledger-ts/base'
import { parseAddress } from './address.ts'
import type { RemotingCommand } from './command.ts'
import { Connection, type ConnectionCounters, type ConnectionLimits, DEFAULT_CONNECTION_LIMITS } from './connection.ts'
import { RemotingError } from './errors.ts'
import type { ResponseHandler } from './pending-requests.ts'
import { dispatcher, type ProcessorTable } from './processor.ts'
import { type Credentials, signingKey, signRequest } from './signature.ts'
import { connectedEvent, type Sockets, tcpSockets } from './sockets.ts'

const CONNECT_TIMEOUT_MS = 3000

export interface RemotingClientOptions {
  clock?: Clock
  logger?: Logger
  limits?: Partial<ConnectionLimits>
  connectTimeoutMs?: number
  /** For requests that servers send on our connections. */
  processors?: ProcessorTable
  /** Called once for each connection that was made or tried. */
  connectionClosed?: (address: string, connection: Connection) => void
  /** Default: TCP. */
  sockets?: Sockets
  /** What every request is signed with. */
  credentials?: Credentials
}

export class RemotingClient {
  readonly counters: ConnectionCounters = { malformedFrames: 0, strayResponses: 0 }
  readonly #options: RemotingClientOptions
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #limits: ConnectionLimits
  readonly #dispatch: ReturnType<typeof dispatcher>
  readonly #connections = new Map<string, Connection>()
  readonly #sign: (request: RemotingCommand) => void
  #isClosed = false

  constructor(options: RemotingClientOptions = {}) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#logger = options.logger ?? silentLogger
    // Who asks goes on reading whatever it has still to write: two sides that both wait for the other to read wait for ever.
    this.#limits = { ...DEFAULT_CONNECTION_LIMITS, unwrittenBytesHigh: Infinity, ...options.limits }
    this.#sign = signer(options.credentials)
    this.#dispatch = dispatcher(options.processors ?? new Map(), this.#logger)
  }

  /** The addresses that a connection exists to, or is being made to. */
  get addresses(): string[] {
    return [...this.#connections.keys()]
  }

  /** Sends a request and resolves with its answer, whatever its code. @throws RemotingError; see the table in README.md. */
  invoke(address: string, request: RemotingCommand, timeoutMs: number): Promise<RemotingCommand> {
    return new Promise((resolve, reject) => {
      this.invokeCallback(address, request, timeoutMs, { responded: resolve, failed: reject })
    })
  }

  /** The same without a promise. `handler` may be told before this returns, when the request cannot be sent. Hot. */
  invokeCallback(address: string, request: RemotingCommand, timeoutMs: number, handler: ResponseHandler): void {
    const connection = this.#connection(address)
    if (connection instanceof RemotingError) handler.failed(connection)
    else {
      this.#sign(request)
      connection.invokeCallback(request, timeoutMs, handler)
    }
  }

  /** Sends a request that gets no answer; it is lost without a word when the connection is. */
  oneway(address: string, request: RemotingCommand): void {
    const connection = this.#connection(address)
    if (connection instanceof RemotingError) {
      this.#logger.debug({ address, request: request.code, err: connection }, 'dropped a one-way request')
    } else {
      this.#sign(request)
      connection.oneway(request)
    }
  }

  /** Bytes that wait to be written to one address. */
  unwrittenBytes(address: string): number {
    return this.#connections.get(address)?.unwrittenBytes ?? 0
  }

  /** Closes the connection to one address, if there is one. */
  closeAddress(address: string): void {
    this.#connections.get(address)?.close()
  }

  /** Closes everything; requests that wait fail, later ones too. Idempotent. */
  close(): void {
    this.#isClosed = true
    const reason = new RemotingError('the client is closed', { code: 'CLOSED' })
    for (const connection of this.#connections.values()) connection.close(reason)
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }

  #connection(address: string): Connection | RemotingError {
    const existing = this.#connections.get(address)
    // One that is being lost tells its requests first: what they lead to needs another.
    if (existing !== undefined && !existing.isClosed) return existing
    if (this.#isClosed) return new RemotingError('the client is closed', { code: 'CLOSED' })
    try {
      return this.#open(address)
    } catch (error) {
      if (error instanceof RemotingError) return error
      throw error
    }
  }

  #open(address: string): Connection {
    const socket = (this.#options.sockets ?? tcpSockets).connect(parseAddress(address))
    const connection = new Connection({
      socket,
      address,
      clock: this.#clock,
      logger: this.#logger,
      limits: this.#limits,
      counters: this.counters,
      requestSink: this.#dispatch,
    })
    const timeoutMs = this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS
    const cancelTimeout = this.#clock.after(timeoutMs, () => {
      const message = `cannot connect to ${address} within ${timeoutMs} ms`
      connection.close(new RemotingError(message, { code: 'CONNECT_FAILED', address }))
    })
    socket.once(connectedEvent(socket), cancelTimeout)
    this.#connections.set(address, connection)
    connection.onClose(() => {
      cancelTimeout()
      if (this.#connections.get(address) === connection) this.#connections.delete(address)
      this.#options.connectionClosed?.(address, connection)
    })
    return connection
  }
}

function signer(credentials: Credentials | undefined): (request: RemotingCommand) => void {
  if (credentials === undefined) return () => {}
  const key = signingKey(credentials.secretKey)
  return (request) => signRequest(request, credentials, key)
}
