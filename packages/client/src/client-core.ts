/**
 * What a producer and a consumer have in common: connections, routes, and heartbeats.
 *
 * Heartbeats go out every 30 seconds, and at once to a member that a route names for the first time or whose connection
 * was lost: brokers know a client by its connection.
 */
import {
  createRequest,
  encodeHeartbeat,
  type HeartbeatData,
  type ProcessorTable,
  RemotingClient,
  RequestCode,
  UnregisterClientRequest,
} from '@dledger-ts/remoting'
import type { Clock, Logger, Random } from '@dledger-ts/base'
import { clientId, localIp } from './identity.ts'
import type { CommonSettings } from './options.ts'
import { Namesrv } from './route/namesrv.ts'
import { RouteTable } from './route/route-table.ts'
import type { TopicRoute } from './route/topic-route.ts'

const HEARTBEAT_PERIOD_MS = 30_000
/** Many ask for heartbeats together: every queue of a consumer that a broker does not know. */
const HEARTBEAT_SPACING_MS = 1_000
const CALL_TIMEOUT_MS = 3_000
/** A member that could not be reached is left alone for this long. */
const UNREACHABLE_PAUSE_MS = 1_000

export interface ClientCoreOptions {
  readonly settings: CommonSettings
  readonly newTopicQueues: number | null
  /** Which members get heartbeats. */
  readonly mastersOnly: boolean
  /** What the heartbeat says, without the client's id. */
  readonly heartbeat: () => Pick<HeartbeatData, 'producerDataSet' | 'consumerDataSet'>
  readonly processors?: ProcessorTable
  readonly routeChanged?: (route: TopicRoute) => void
}

export class ClientCore {
  readonly clientId: string
  readonly ip: string
  readonly remoting: RemotingClient
  readonly routes: RouteTable
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly #options: ClientCoreOptions
  /** Members that had a heartbeat on their present connection. */
  readonly #greeted = new Set<string>()
  /** When a heartbeat last failed to reach a member. Monotonic. */
  readonly #unreachableSinceMs = new Map<string, number>()
  #cancelHeartbeats: () => void = () => {}
  /** When all members were last sent one together. Monotonic. */
  #beatMs = Number.NEGATIVE_INFINITY
  /** Heartbeats that are wanted sooner than the spacing allows. */
  #cancelBeat: (() => void) | null = null
  #closed = false
  #closing: Promise<void> | null = null

  constructor(options: ClientCoreOptions) {
    const { clock, random, logger, instanceName, namesrvAddresses, credentials } = options.settings
    this.#options = options
    this.clock = clock
    this.random = random
    this.logger = logger
    this.ip = localIp()
    this.clientId = clientId({ ip: this.ip, instanceName, clock, random })
    this.remoting = new RemotingClient({
      clock,
      logger,
      ...(options.processors === undefined ? {} : { processors: options.processors }),
      ...(credentials === null ? {} : { credentials }),
      sockets: options.settings.tls.sockets,
      connectionClosed: (address) => this.#connectionClosed(address),
    })
    this.routes = new RouteTable({
      namesrv: new Namesrv({ remoting: this.remoting, addresses: namesrvAddresses, random }),
      clock,
      logger,
      newTopicQueues: options.newTopicQueues,
      fetched: (route, isChanged) => {
        // Not those of all routes: with thousands of topics each fetch of one would walk through all of them.
        this.#greetNew(route.addresses({ mastersOnly: options.mastersOnly }))
        if (isChanged) options.routeChanged?.(route)
      },
    })
  }

  start(): void {
    this.#options.settings.tls.start()
    this.routes.start()
    this.#beatLater()
  }

  /** Sends a heartbeat to every member: now, or as soon as the spacing allows. */
  beat(): void {
    if (this.#closed || this.#cancelBeat !== null) return
    const waitMs = this.#beatMs + HEARTBEAT_SPACING_MS - this.clock.monotonicMs()
    if (waitMs <= 0) this.#beatNow()
    else this.#cancelBeat = this.clock.after(Math.ceil(waitMs), () => this.#beatNow())
  }

  #beatNow(): void {
    this.#cancelBeat = null
    this.#beatMs = this.clock.monotonicMs()
    this.#greeted.clear()
    this.#unreachableSinceMs.clear()
    this.#greetNew(this.#memberAddresses())
  }

  /** Final, and the same end for whoever calls it. Tells the brokers, then closes the connections. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    this.#closed = true
    this.#cancelHeartbeats()
    this.#cancelBeat?.()
    const members = [...this.#greeted]
    this.routes.close()
    await Promise.allSettled(members.map((address) => this.#unregister(address)))
    this.remoting.close()
    this.#options.settings.tls.close()
  }

  /** Sends a heartbeat to those that have not had one on their present connection. */
  #greetNew(addresses: Iterable<string>): void {
    if (this.#closed) return
    const nowMs = this.clock.monotonicMs()
    for (const address of addresses) {
      const failedMs = this.#unreachableSinceMs.get(address) ?? Number.NEGATIVE_INFINITY
      if (!this.#greeted.has(address) && nowMs - failedMs >= UNREACHABLE_PAUSE_MS) this.#greet(address)
    }
  }

  #memberAddresses(): Set<string> {
    const { mastersOnly } = this.#options
    return new Set(this.routes.routes.flatMap((route) => route.addresses({ mastersOnly })))
  }

  #beatLater(): void {
    this.#cancelHeartbeats = this.clock.after(HEARTBEAT_PERIOD_MS, () => {
      this.beat()
      this.#beatLater()
    })
  }

  #greet(address: string): void {
    this.#greeted.add(address)
    const body = encodeHeartbeat({
      clientID: this.clientId,
      heartbeatFingerprint: 0,
      withoutSub: false,
      ...this.#options.heartbeat(),
    })
    this.remoting.invokeCallback(address, createRequest(RequestCode.HEART_BEAT, undefined, body), CALL_TIMEOUT_MS, {
      responded: (response) => {
        if (response.code !== 0)
          this.logger.warn({ address, code: response.code, remark: response.remark }, 'a heartbeat was refused')
      },
      failed: (error) => {
        this.#greeted.delete(address)
        this.#unreachableSinceMs.set(address, this.clock.monotonicMs())
        this.logger.debug({ address, err: error }, 'a heartbeat was lost')
        // The connection is mute, and would be for minutes: the next request gets a new one.
        if (error.code === 'TIMEOUT') this.remoting.closeAddress(address)
      },
    })
  }

  async #unregister(address: string): Promise<void> {
    const { producerDataSet, consumerDataSet } = this.#options.heartbeat()
    for (const { groupName } of producerDataSet) {
      const request = UnregisterClientRequest.request({ clientID: this.clientId, producerGroup: groupName })
      await this.remoting.invoke(address, request, CALL_TIMEOUT_MS)
    }
    for (const { groupName } of consumerDataSet) {
      const request = UnregisterClientRequest.request({ clientID: this.clientId, consumerGroup: groupName })
      await this.remoting.invoke(address, request, CALL_TIMEOUT_MS)
    }
  }

  #connectionClosed(address: string): void {
    this.#greeted.delete(address)
    if (!this.#closed) this.routes.addressLost(address)
  }
}
