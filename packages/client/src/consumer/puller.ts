/**
 * Pulls one queue: one request at a time, held by the broker until there is something, for as long as the queue is ours.
 *
 *   pull ──► messages: to the pool, pull again        ──► nothing: pull again
 *        ──► offset moved: begin anew there           ──► failed: fetch the route, pull from whoever leads or follows now
 */
import type { Clock, Logger } from '@dledger-ts/base'
import { ProtocolError } from '@dledger-ts/protocol'
import {
  PullMessageRequest,
  PullSysFlag,
  type RemotingCommand,
  RemotingError,
  type ResponseHandler,
  type SubscriptionData,
} from '@dledger-ts/remoting'
import type { ClientCore } from '../client-core.ts'
import type { RouteListener } from '../route/route-table.ts'
import { MASTER_ID } from '../route/topic-route.ts'
import { AssignedQueue } from './assigned-queue.ts'
import type { ConsumePool, RoomListener } from './consume-pool.ts'
import { type PullOutcome, pullOutcome } from './pull-outcome.ts'

const SUSPEND_MS = 15_000
const PULL_TIMEOUT_MS = 30_000
/** After an answer that brought nothing and did not wait for it either. */
const EMPTY_PAUSE_MS = 50
/** The first failure is tried again at once, the next ones after a pause that doubles between these. */
const FAILURE_PAUSE_MIN_MS = 50
const FAILURE_PAUSE_MAX_MS = 3_000

export interface PullerOptions {
  readonly core: ClientCore
  readonly group: string
  readonly pool: ConsumePool
  readonly assigned: AssignedQueue
  readonly subscription: SubscriptionData
  /** Messages of one pull. */
  readonly pullBatchMax: number
  /** No further pull while so much waits to be consumed. */
  readonly cachedCountMax: number
  readonly cachedBytesMax: number
}

export class Puller implements ResponseHandler, RouteListener, RoomListener {
  readonly #options: PullerOptions
  readonly #core: ClientCore
  readonly #clock: Clock
  readonly #logger: Logger
  #assigned: AssignedQueue
  #subscription: SubscriptionData
  /** The member that the last answer said to ask next. */
  #suggestedId = MASTER_ID
  #askedAtMs = 0
  #address = ''
  #failures = 0
  #isFull = false
  #stopped = false
  #cancelPause: () => void = () => {}

  constructor(options: PullerOptions) {
    this.#options = options
    this.#core = options.core
    this.#clock = options.core.clock
    this.#logger = options.core.logger
    this.#assigned = options.assigned
    this.#subscription = options.subscription
  }

  /** What is received and not consumed, and where this queue stands. */
  get assigned(): AssignedQueue {
    return this.#assigned
  }

  set subscription(subscription: SubscriptionData) {
    this.#subscription = subscription
  }

  start(): void {
    this.#pull()
  }

  /** Pulls no more. What is cached may still be consumed and counts. */
  stop(): void {
    this.#cancelPause()
    this.#stopped = true
  }

  /** The queue belongs to another member now. */
  drop(): void {
    this.stop()
    this.#assigned.isDropped = true
  }

  roomMade(): void {
    if (!this.#isFull || this.#isOverfull()) return
    this.#isFull = false
    this.#pull()
  }

  responded(response: RemotingCommand): void {
    if (this.#stopped) return
    let outcome: PullOutcome
    try {
      outcome = pullOutcome(response, this.#assigned.queue.brokerName, this.#subscription)
    } catch (error) {
      if (!(error instanceof RemotingError || error instanceof ProtocolError)) throw error
      outcome = { kind: 'refused', why: error.message }
    }
    this.#take(outcome)
  }

  failed(error: RemotingError): void {
    if (this.#stopped || error.code === 'CLOSED') return
    // The broker was to answer long before: what the kernel retransmits on this connection may stay lost for minutes.
    if (error.code === 'TIMEOUT') this.#core.remoting.closeAddress(this.#address)
    this.#fail(error.message)
  }

  routed(): void {
    this.#afterRoute()
  }

  unrouted(): void {
    this.#afterRoute()
  }

  /** Hot: once for each pull. */
  #pull(): void {
    if (this.#stopped) return
    if (this.#isOverfull()) {
      this.#isFull = true
      return
    }
    const { queue } = this.#assigned
    const route = this.#core.routes.current(queue.topic)
    const address = route?.memberOf(queue.brokerName, this.#suggestedId)
    if (address === undefined) {
      this.#fail(`no member of ${queue.brokerName} is known`)
      return
    }
    this.#askedAtMs = this.#clock.monotonicMs()
    this.#address = address
    const isMaster = address === route?.masterOf(queue.brokerName)
    this.#core.remoting.invokeCallback(address, this.#request(isMaster), PULL_TIMEOUT_MS, this)
  }

  #request(isMaster: boolean): RemotingCommand {
    const { group, pullBatchMax } = this.#options
    const { queue, nextOffset, committableOffset } = this.#assigned
    const commits = isMaster && committableOffset > 0
    // The subscription goes along, so that a broker that has not seen our heartbeat yet serves us all the same.
    const sysFlag = PullSysFlag.SUSPEND | PullSysFlag.SUBSCRIPTION | (commits ? PullSysFlag.COMMIT_OFFSET : 0)
    return PullMessageRequest.request({
      consumerGroup: group,
      topic: queue.topic,
      queueId: queue.queueId,
      queueOffset: nextOffset,
      maxMsgNums: pullBatchMax,
      sysFlag,
      commitOffset: commits ? committableOffset : 0,
      suspendTimeoutMillis: SUSPEND_MS,
      subscription: this.#subscription.subString,
      subVersion: this.#subscription.subVersion,
      expressionType: this.#subscription.expressionType,
    })
  }

  #take(outcome: PullOutcome): void {
    switch (outcome.kind) {
      case 'found':
      case 'empty':
        this.#failures = 0
        this.#suggestedId = outcome.suggestedId
        this.#advance(outcome)
        return
      case 'moved':
        this.#failures = 0
        this.#restartAt(outcome.nextOffset)
        return
      case 'unknown':
        this.#core.beat()
        this.#fail(outcome.why)
        return
      case 'refused':
        this.#fail(outcome.why)
    }
  }

  #advance(outcome: PullOutcome & { kind: 'found' | 'empty' }): void {
    const assigned = this.#assigned
    const before = assigned.nextOffset
    // A broker that steps back would make us consume twice and commit less than we did.
    const nextOffset = Math.max(before, outcome.nextOffset)
    const fresh = outcome.kind === 'found' ? outcome.messages.filter((one) => one.queueOffset >= before) : []
    const cached = assigned.received(fresh, nextOffset)
    if (cached.length > 0) this.#options.pool.submit(assigned, cached, this)
    const isAtOnce = this.#clock.monotonicMs() - this.#askedAtMs < EMPTY_PAUSE_MS
    if (nextOffset === before && isAtOnce) this.#pause(EMPTY_PAUSE_MS)
    else this.#pull()
  }

  /** What was received before is given up: its place in the queue is not what it was. */
  #restartAt(offset: number): void {
    const { queue, nextOffset } = this.#assigned
    this.#logger.warn({ ...queue, from: nextOffset, to: offset }, 'a queue does not hold the wanted offset')
    this.#assigned.isDropped = true
    this.#assigned = new AssignedQueue(queue, offset, -1)
    this.#pause(EMPTY_PAUSE_MS)
  }

  #fail(why: string): void {
    this.#failures++
    this.#suggestedId = MASTER_ID
    const { queue } = this.#assigned
    this.#logger.debug({ ...queue, why, failures: this.#failures }, 'a pull failed')
    this.#core.routes.refresh(queue.topic, this)
  }

  #afterRoute(): void {
    if (this.#stopped) return
    const pauseMs = this.#failures <= 1 ? 0 : FAILURE_PAUSE_MIN_MS * 2 ** Math.min(this.#failures - 2, 10)
    this.#pause(Math.min(pauseMs, FAILURE_PAUSE_MAX_MS))
  }

  #pause(pauseMs: number): void {
    this.#cancelPause()
    this.#cancelPause = this.#clock.after(pauseMs, () => this.#pull())
  }

  #isOverfull(): boolean {
    const { cachedCountMax, cachedBytesMax } = this.#options
    const { cachedCount, cachedBytes } = this.#assigned
    return cachedCount >= cachedCountMax || cachedBytes >= cachedBytesMax
  }
}
