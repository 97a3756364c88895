/**
 * A RemotingServer listens on one or several ports, hands requests to processors and closes connections that stay silent.
 *
 * Always holds: a malformed frame, a slow or a silent peer costs its own connection and no other; many that send much at once
 * take turns; what waits for slow peers, and what is kept of frames that they do not finish, is bounded, for each and for all together.
 */
import { type Clock, type Logger, silentLogger, systemClock } from '@dledger-ts/base'
import type { Server, Socket } from 'node:net'
import { Connection, type ConnectionCounters, type ConnectionLimits, DEFAULT_CONNECTION_LIMITS } from './connection.ts'
import { RemotingError } from './errors.ts'
import { dispatcher, type ProcessorTable } from './processor.ts'
import { ReadingTurns } from './reading-turns.ts'
import { type Sockets, tcpSockets } from './sockets.ts'
import { UnfinishedFrames } from './unfinished-frames.ts'
import { UnwrittenBudget } from './unwritten-budget.ts'

/** A client that neither sends nor receives for so long is gone; heartbeats come every 30 s. */
const IDLE_CLOSE_MS = 120_000
const IDLE_SCAN_MS = 10_000
/** How long `close` waits for peers to take the last answers. */
const CLOSE_LINGER_MS = 1000
const CONNECTIONS_MAX = 20_000
/** What waits for slow peers, of all connections. */
const UNWRITTEN_BYTES_MAX = 512 * 1024 * 1024
/** What is kept of frames that have not come whole, of all connections. */
const UNFINISHED_BYTES_MAX = 1024 * 1024 * 1024

export interface RemotingServerOptions {
  host: string
  /** Each is listened on; 0 takes a free one. A broker listens on `listenPort` and `listenPort - 2`. */
  ports: readonly number[]
  processors: ProcessorTable
  clock?: Clock
  logger?: Logger
  limits?: Partial<ConnectionLimits>
  /** Connections beyond this are closed at once. */
  connectionsMax?: number
  /** What may wait for all slow peers together; beyond, the connection for which most waits is closed. */
  unwrittenBytesMax?: number
  /** What may be kept of unfinished frames together; beyond, the connection is closed whose frame is the oldest. */
  unfinishedBytesMax?: number
  idleCloseMs?: number
  connectionOpened?: (connection: Connection) => void
  /** Called once for each connection, whoever closed it. */
  connectionClosed?: (connection: Connection) => void
  /** Default: TCP. */
  sockets?: Sockets
}

export interface RemotingServerCounters extends ConnectionCounters {
  acceptedConnections: number
  refusedConnections: number
  idleConnections: number
}

export class RemotingServer {
  readonly counters: RemotingServerCounters = {
    malformedFrames: 0,
    strayResponses: 0,
    acceptedConnections: 0,
    refusedConnections: 0,
    idleConnections: 0,
  }
  readonly #options: RemotingServerOptions
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #limits: ConnectionLimits
  readonly #dispatch: ReturnType<typeof dispatcher>
  readonly #turns: ReadingTurns
  readonly #budget: UnwrittenBudget
  readonly #unfinished: UnfinishedFrames
  readonly #servers: Server[] = []
  readonly #connections = new Set<Connection>()
  #cancelIdleScan: (() => void) | undefined
  #isClosed = false

  constructor(options: RemotingServerOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#logger = options.logger ?? silentLogger
    this.#limits = { ...DEFAULT_CONNECTION_LIMITS, ...options.limits }
    this.#turns = new ReadingTurns(this.#clock)
    this.#budget = new UnwrittenBudget(options.unwrittenBytesMax ?? UNWRITTEN_BYTES_MAX)
    this.#unfinished = new UnfinishedFrames(options.unfinishedBytesMax ?? UNFINISHED_BYTES_MAX)
    this.#dispatch = dispatcher(options.processors, this.#logger)
  }

  /** The connections that are open now. */
  get connections(): ReadonlySet<Connection> {
    return this.#connections
  }

  /** The ports listened on, in the order of the options. */
  get ports(): number[] {
    return this.#servers.map((server) => {
      const address = server.address()
      return typeof address === 'object' && address !== null ? address.port : 0
    })
  }

  /** Listens on all ports or on none. @throws RemotingError `LISTEN_FAILED` naming the port. */
  async start(): Promise<void> {
    for (const port of this.#options.ports) {
      const server = (this.#options.sockets ?? tcpSockets).createServer((socket) => this.#accept(socket))
      try {
        await this.#listen(server, port)
      } catch (error) {
        await this.close()
        throw error
      }
      this.#servers.push(server)
    }
    this.#scheduleIdleScan()
  }

  /** Stops listening, lets the last answers go out, closes every connection. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#cancelIdleScan?.()
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
    const connections = [...this.#connections]
    for (const connection of connections) connection.end()
    const cancelLinger = this.#clock.after(CLOSE_LINGER_MS, () => {
      for (const connection of connections) connection.close()
    })
    await Promise.all(closed)
    cancelLinger()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #listen(server: Server, port: number): Promise<void> {
    const { host } = this.#options
    return new Promise((resolve, reject) => {
      server.once('error', (cause) => {
        const message = `cannot listen on ${host}:${port}: ${cause.message}`
        reject(new RemotingError(message, { code: 'LISTEN_FAILED', host, port }, { cause }))
      })
      server.listen({ host, port }, () => {
        server.removeAllListeners('error')
        server.on('error', (err) => this.#logger.error({ err, host, port }, 'a listening socket failed'))
        resolve()
      })
    })
  }

  #accept(socket: Socket): void {
    const connectionsMax = this.#options.connectionsMax ?? CONNECTIONS_MAX
    // The peer may have hung up before it was accepted.
    if (socket.remoteAddress === undefined) return void socket.destroy()
    if (this.#isClosed || this.#connections.size >= connectionsMax) {
      this.counters.refusedConnections++
      this.#logger.warn({ remote: socket.remoteAddress, connectionsMax }, 'refused a connection')
      socket.destroy()
      return
    }
    this.counters.acceptedConnections++
    const connection = new Connection({
      socket,
      clock: this.#clock,
      logger: this.#logger,
      limits: this.#limits,
      counters: this.counters,
      requestSink: this.#dispatch,
      turns: this.#turns,
      budget: this.#budget,
      unfinished: this.#unfinished,
    })
    this.#connections.add(connection)
    connection.onClose(() => {
      this.#connections.delete(connection)
      this.#options.connectionClosed?.(connection)
    })
    this.#options.connectionOpened?.(connection)
  }

  #scheduleIdleScan(): void {
    this.#cancelIdleScan = this.#clock.after(IDLE_SCAN_MS, () => {
      this.#closeIdle()
      this.#scheduleIdleScan()
    })
  }

  #closeIdle(): void {
    const idleSinceMs = this.#clock.monotonicMs() - (this.#options.idleCloseMs ?? IDLE_CLOSE_MS)
    for (const connection of this.#connections) {
      if (connection.lastActiveMs > idleSinceMs) continue
      this.counters.idleConnections++
      this.#logger.info({ remote: connection.remoteAddress }, 'closed an idle connection')
      connection.close()
    }
  }
}
