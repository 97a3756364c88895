/**
 * The routes of the topics that a client uses: cached, and fetched again every 30 seconds and when a connection was lost, some at a time,
 * and whenever something fails, at once.
 *
 * Keeps: at most one fetch of a topic is under way, and two of them begin at least `ROUTE_SPACING_MS` apart, however many
 * senders ask. So "fetch the route and try again" may be repeated without a pause of its own while a group has no leader.
 */
import type { Clock, Logger } from '@dledger-ts/base'
import { SystemTopic } from '@dledger-ts/protocol'
import {
  decodeTopicRouteData,
  GetRouteInfoRequest,
  type RemotingCommand,
  RemotingError,
  ResponseCode,
  type TopicRouteData,
} from '@dledger-ts/remoting'
import { ClientError } from '../errors.ts'
import type { Namesrv } from './namesrv.ts'
import { provisionalRoute, type TopicRoute, topicRoute } from './topic-route.ts'

const ROUTE_SPACING_MS = 50
const ROUTE_PERIOD_MS = 30_000
/** A namesrv that is asked for thousands of routes at once answers the last ones too late. */
const UNASKED_AT_ONCE = 100
const UNASKED_PAUSE_MS = 50

/** Told the outcome of one `refresh`, once. */
export interface RouteListener {
  routed(route: TopicRoute): void
  /** NO_ROUTE or NAMESRV_UNREACHABLE. */
  unrouted(error: ClientError): void
}

export interface RouteTableOptions {
  readonly namesrv: Namesrv
  readonly clock: Clock
  readonly logger: Logger
  /** For topics that do not exist: queues of a topic made from the default one. Null: such topics have no route. */
  readonly newTopicQueues: number | null
  /** After every fetch that brought a route. */
  readonly fetched: (route: TopicRoute, isChanged: boolean) => void
}

export class RouteTable {
  readonly #options: RouteTableOptions
  readonly #entries = new Map<string, RouteEntry>()
  /** Topics whose brokers lost a connection, and whose routes were not fetched since. */
  readonly #lost = new Set<string>()
  #cancelPeriod: () => void = () => {}
  #cancelLost: (() => void) | null = null
  #closed = false

  constructor(options: RouteTableOptions) {
    this.#options = options
  }

  start(): void {
    this.#cancelPeriod = this.#options.clock.after(ROUTE_PERIOD_MS, () =>
      this.#refreshAll([...this.#entries.keys()], 0),
    )
  }

  /** @returns the last route that is known of a topic. Hot. */
  current(topic: string): TopicRoute | undefined {
    return this.#entries.get(topic)?.route
  }

  get routes(): TopicRoute[] {
    return [...this.#entries.values()].flatMap(({ route }) => (route === undefined ? [] : [route]))
  }

  /** Fetches the route of a topic: at once, or as soon as the spacing allows. Remembers the topic for later. */
  refresh(topic: string, listener?: RouteListener): void {
    let entry = this.#entries.get(topic)
    if (entry === undefined) {
      entry = new RouteEntry(topic, this.#options)
      this.#entries.set(topic, entry)
    }
    if (this.#closed) listener?.unrouted(new ClientError('the client is closed', { code: 'CLOSED' }))
    else entry.refresh(listener)
  }

  /** The same as a promise. @returns null when there is none. */
  fetch(topic: string): Promise<TopicRoute | null> {
    return new Promise((resolve) => this.refresh(topic, { routed: resolve, unrouted: () => resolve(null) }))
  }

  #refreshAll(topics: readonly string[], from: number): void {
    const next = Math.min(from + UNASKED_AT_ONCE, topics.length)
    for (let i = from; i < next; i++) this.refresh(topics[i] as string)
    if (next === topics.length) this.start()
    else this.#cancelPeriod = this.#options.clock.after(UNASKED_PAUSE_MS, () => this.#refreshAll(topics, next))
  }

  /** The connection to a broker is gone: what it led may have another leader by now. Who sends or pulls asks for its own topic at once. */
  addressLost(address: string): void {
    if (this.#closed) return
    for (const [topic, { route }] of this.#entries) {
      if (route?.addresses({ mastersOnly: true }).includes(address) === true) this.#lost.add(topic)
    }
    if (this.#cancelLost === null) this.#refreshLost()
  }

  #refreshLost(): void {
    this.#cancelLost = null
    let count = 0
    for (const topic of this.#lost) {
      this.#lost.delete(topic)
      this.refresh(topic)
      if (++count === UNASKED_AT_ONCE) break
    }
    if (this.#lost.size > 0) this.#cancelLost = this.#options.clock.after(UNASKED_PAUSE_MS, () => this.#refreshLost())
  }

  close(): void {
    this.#closed = true
    this.#cancelPeriod()
    this.#cancelLost?.()
    for (const entry of this.#entries.values()) entry.close()
  }
}

/** One topic: its route, and the fetch that is planned or under way. */
class RouteEntry {
  readonly #topic: string
  readonly #options: RouteTableOptions
  route: TopicRoute | undefined = undefined
  #routeText = ''
  #listeners: RouteListener[] = []
  #isBusy = false
  #lastFetchMs = Number.NEGATIVE_INFINITY
  #cancelTimer: () => void = () => {}

  constructor(topic: string, options: RouteTableOptions) {
    this.#topic = topic
    this.#options = options
  }

  refresh(listener?: RouteListener): void {
    if (listener !== undefined) this.#listeners.push(listener)
    if (this.#isBusy) return
    this.#isBusy = true
    const { clock } = this.#options
    const waitMs = this.#lastFetchMs + ROUTE_SPACING_MS - clock.monotonicMs()
    if (waitMs <= 0) this.#fetch()
    else this.#cancelTimer = clock.after(Math.ceil(waitMs), () => this.#fetch())
  }

  close(): void {
    this.#cancelTimer()
    if (this.#isBusy) this.#end(null, new ClientError('the client is closed', { code: 'CLOSED' }))
  }

  #fetch(): void {
    this.#lastFetchMs = this.#options.clock.monotonicMs()
    this.#ask(this.#topic, (data, text) => {
      if (data !== null) this.#take(topicRoute(this.#topic, data), text)
      else if (this.#options.newTopicQueues === null) this.#end(null, this.#noRoute())
      else this.#fetchDefault(this.#options.newTopicQueues)
    })
  }

  #fetchDefault(newTopicQueues: number): void {
    this.#ask(SystemTopic.AUTO_CREATE, (data, text) => {
      if (data === null) this.#end(null, this.#noRoute())
      else this.#take(provisionalRoute(this.#topic, data, newTopicQueues), `default ${text}`)
    })
  }

  /** @param answered given null when the topic is unknown. */
  #ask(topic: string, answered: (data: TopicRouteData | null, text: string) => void): void {
    const makeRequest = (): RemotingCommand => GetRouteInfoRequest.request({ topic, acceptStandardJsonOnly: true })
    this.#options.namesrv.ask(makeRequest, {
      answered: (response) => {
        const body = response.bodyBytes
        if (response.code === ResponseCode.TOPIC_NOT_EXIST) return answered(null, '')
        if (response.code !== ResponseCode.SUCCESS) return this.#end(null, this.#noRoute(response.remark))
        let data: TopicRouteData
        try {
          data = decodeTopicRouteData(body)
        } catch (error) {
          if (!(error instanceof RemotingError)) throw error
          return this.#end(null, this.#noRoute(error.message))
        }
        answered(data, body.toString('latin1'))
      },
      unanswered: (error) => this.#end(null, error),
    })
  }

  #take(route: TopicRoute, text: string): void {
    if (!this.#isBusy) return
    const isChanged = text !== this.#routeText
    this.route = route
    this.#routeText = text
    this.#end(route, null)
    this.#options.fetched(route, isChanged)
  }

  #end(route: TopicRoute | null, error: ClientError | null): void {
    if (!this.#isBusy) return
    this.#isBusy = false
    // Whoever asks while being told asks for the next fetch.
    const listeners = this.#listeners
    this.#listeners = []
    if (error !== null) this.#options.logger.debug({ topic: this.#topic, err: error }, 'a topic has no route')
    for (const listener of listeners) {
      if (route !== null) listener.routed(route)
      else if (error !== null) listener.unrouted(error)
    }
  }

  #noRoute(remark?: string): ClientError {
    const why = remark === undefined ? 'no namesrv knows it' : remark
    return new ClientError(`no route to topic ${this.#topic}: ${why}`, { code: 'NO_ROUTE', topic: this.#topic })
  }
}
