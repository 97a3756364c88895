/**
 * The route registry: brokers register, clients ask. A table in memory and a timer; it writes nothing, and several of them know
 * nothing of each other.
 *
 *   RemotingServer ──► processors ──► RouteTable ◄── Expiry
 *
 * A broker is gone when it says so, when its connection closes, or when it was silent for as long as it announced.
 */
import { type Clock, type Logger, silentLogger, systemClock } from '@dledger-ts/base'
import { type ConnectionLimits, RemotingServer, Tls, type TlsServerKeys } from '@dledger-ts/remoting'
import { Expiry } from './expiry.ts'
import { KeyValueTable } from './key-value-table.ts'
import type { NamesrvContext } from './processors/context.ts'
import { configProcessors } from './processors/config.ts'
import { keyValueProcessors } from './processors/key-value.ts'
import { registrationProcessors } from './processors/registration.ts'
import { routeProcessors } from './processors/route.ts'
import { RouteTable } from './route-table.ts'

const SCAN_INTERVAL_MS = 10_000

export interface NamesrvOptions {
  host: string
  /** 0 takes a free one. */
  port: number
  clock?: Clock
  logger?: Logger
  /** How often silent brokers are looked for. */
  scanIntervalMs?: number
  orderMessageEnable?: boolean
  returnOrderTopicConfigToBroker?: boolean
  /** Puts keys that a tool changed (318) where the next start reads them. Default: they count until then. */
  saveConfig?: (changes: ReadonlyMap<string, string>) => Promise<void>
  limits?: Partial<ConnectionLimits>
  /** Default: none. */
  tls?: TlsServerKeys
}

export class Namesrv {
  readonly #host: string
  readonly #logger: Logger
  readonly #routes = new RouteTable()
  readonly #server: RemotingServer
  readonly #tls: Tls
  readonly #expiry: Expiry

  /** @throws RemotingError `TLS_FILES` that names the key and the file. */
  constructor(options: NamesrvOptions) {
    const clock = options.clock ?? systemClock
    const scanIntervalMs = options.scanIntervalMs ?? SCAN_INTERVAL_MS
    this.#host = options.host
    this.#logger = options.logger ?? silentLogger
    const context: NamesrvContext = {
      routes: this.#routes,
      keyValues: new KeyValueTable(),
      clock,
      logger: this.#logger,
      orderMessageEnable: options.orderMessageEnable ?? false,
      returnOrderTopicConfigToBroker: options.returnOrderTopicConfigToBroker ?? true,
      saveConfig: options.saveConfig ?? (() => Promise.resolve()),
      shownConfig: () => ({
        listenPort: this.port,
        scanNotActiveBrokerInterval: scanIntervalMs,
        orderMessageEnable: context.orderMessageEnable,
        returnOrderTopicConfigToBroker: context.returnOrderTopicConfigToBroker,
      }),
    }
    this.#tls = new Tls({ server: options.tls ?? null, client: null, clock, logger: this.#logger })
    this.#server = new RemotingServer({
      host: options.host,
      ports: [options.port],
      processors: new Map([
        ...routeProcessors(context),
        ...registrationProcessors(context),
        ...keyValueProcessors(context),
        ...configProcessors(context),
      ]),
      clock,
      logger: this.#logger,
      ...(options.limits === undefined ? {} : { limits: options.limits }),
      sockets: this.#tls.sockets,
      connectionClosed: (connection) => this.#connectionClosed(connection.id, connection.remoteAddress),
    })
    this.#expiry = new Expiry({
      table: this.#routes,
      clock,
      logger: this.#logger,
      scanIntervalMs,
      closeConnection: (connectionId) => this.#closeConnection(connectionId),
    })
  }

  /** @throws RemotingError `LISTEN_FAILED` naming the port. */
  async start(): Promise<void> {
    await this.#server.start()
    this.#tls.start()
    this.#expiry.start()
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#expiry.close()
    await this.#server.close()
    this.#tls.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  get port(): number {
    return this.#server.ports[0] ?? 0
  }

  /** Where clients and brokers reach it, `host:port`. */
  address(): string {
    return `${this.#host}:${this.port}`
  }

  #connectionClosed(connectionId: number, remote: string): void {
    for (const { brokerName, brokerId, brokerAddr } of this.#routes.connectionClosed(connectionId)) {
      this.#logger.warn({ brokerName, brokerId, brokerAddr, remote }, 'the connection of a broker closed')
    }
  }

  #closeConnection(connectionId: number): void {
    for (const connection of this.#server.connections) if (connection.id === connectionId) connection.close()
  }
}
