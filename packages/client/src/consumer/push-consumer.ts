/**
 * A consumer that is handed messages as they arrive. The members of its group share the queues of each topic among them.
 *
 *   const consumer = new PushConsumer({ group: 'billing', namesrvAddress: '127.0.0.1:9876', listener })
 *   consumer.subscribe('Orders', 'TagA || TagB')
 *   await consumer.start()
 *
 * Every message is delivered at least once. Messages of one queue are handed out in order, but several calls of the listener
 * run at a time.
 *
 *   rebalance (start, 20 s, notice 40, new route) ──► one Puller for each queue of ours ──► ConsumePool ──► listener
 *                                                          offsets to the broker every 5 s and at the end
 */
import { background } from '@dledger-ts/base'
import { retryTopic, topicNameError } from '@dledger-ts/protocol'
import {
  decodeConsumerIdList,
  GetConsumerListRequest,
  type MessageQueue,
  NotifyConsumerIdsChangedRequest,
  RemotingError,
  RequestCode,
  ResponseCode,
  type SubscriptionData,
} from '@dledger-ts/remoting'
import { ClientCore } from '../client-core.ts'
import { check } from '../errors.ts'
import { type ClientOptions, commonSettings, wholeNumber } from '../options.ts'
import { MASTER_ID, type TopicRoute } from '../route/topic-route.ts'
import { allocateAveragely } from './allocation.ts'
import { AssignedQueue } from './assigned-queue.ts'
import { ConsumePool } from './consume-pool.ts'
import type { MessageListener } from './listener.ts'
import { type ConsumeFrom, Offsets } from './offsets.ts'
import { Puller } from './puller.ts'
import { SendBack } from './send-back.ts'
import { ALL_TAGS, subscriptionData } from './subscription.ts'

const REBALANCE_PERIOD_MS = 20_000
const PERSIST_PERIOD_MS = 5_000
/** After a rebalance that could not be finished; doubles up to the period. */
const REBALANCE_SOON_MS = 100
const MEMBERS_TIMEOUT_MS = 3_000

export interface PushConsumerOptions extends ClientOptions {
  readonly listener: MessageListener
  /** Where the group begins in a queue that it has never read. Default LAST_OFFSET. */
  readonly consumeFrom?: ConsumeFrom
  /** Calls of the listener at a time. Default 20. */
  readonly concurrency?: number
  /** Messages in one call of the listener. Default 1. */
  readonly batchMax?: number
  /** Messages of one pull. Default 32. */
  readonly pullBatchMax?: number
  /** Messages of one queue that wait to be consumed. Default 1,000; a pull may overshoot it. */
  readonly cachedCountMax?: number
  /** Default 100 MiB for each queue. */
  readonly cachedBytesMax?: number
  /** Redeliveries before the dead letter topic. Default 16. */
  readonly maxReconsumeTimes?: number
  /** The broker's delay level of a redelivery. Default 0: grows with each, from 10 s on. */
  readonly retryDelayLevel?: number
  /** How long `close` waits for calls of the listener; messages of those that take longer are delivered again. Default 30 s. */
  readonly closeWaitMs?: number
}

export interface QueueStatus extends MessageQueue {
  /** All before it is consumed. */
  readonly committableOffset: number
  /** All before it is received. */
  readonly nextOffset: number
}

type State = 'NEW' | 'STARTED' | 'CLOSED'

export class PushConsumer {
  readonly #core: ClientCore
  readonly #group: string
  readonly #options: PushConsumerOptions
  readonly #pool: ConsumePool
  readonly #offsets: Offsets
  readonly #consumeFrom: ConsumeFrom
  readonly #subscriptions = new Map<string, SubscriptionData>()
  /** By `queueKey`. */
  readonly #pullers = new Map<string, Puller>()
  readonly #closeWaitMs: number
  #state: State = 'NEW'
  #closing: Promise<void> | null = null
  /** The rebalance that is under way, and whether another one is wanted after it. */
  #rebalance: Promise<void> | null = null
  #isRebalanceWanted = false
  #soonMs = REBALANCE_SOON_MS
  #cancelRebalance: () => void = () => {}
  #cancelPersist: () => void = () => {}

  /** @throws ClientError `INVALID`. */
  constructor(options: PushConsumerOptions) {
    const settings = commonSettings(options)
    this.#options = options
    this.#group = settings.group
    this.#consumeFrom = options.consumeFrom ?? { from: 'LAST_OFFSET' }
    const { clock, logger } = settings
    this.#core = new ClientCore({
      settings,
      newTopicQueues: null,
      mastersOnly: false,
      heartbeat: () => ({ producerDataSet: [], consumerDataSet: [this.#consumerData()] }),
      processors: new Map([
        [
          RequestCode.NOTIFY_CONSUMER_IDS_CHANGED,
          (_connection, request) => {
            const { consumerGroup } = NotifyConsumerIdsChangedRequest.decode(request.extFields)
            if (consumerGroup === this.#group) this.#wantRebalance()
            return undefined
          },
        ],
      ]),
      routeChanged: () => this.#wantRebalance(),
    })
    const core = this.#core
    const limits = { min: 1, max: 1_000_000 }
    const maxReconsumeTimes = wholeNumber(options.maxReconsumeTimes ?? 16, 'maxReconsumeTimes', { min: 0, max: 10_000 })
    const delayLevel = wholeNumber(options.retryDelayLevel ?? 0, 'retryDelayLevel', { min: -1, max: 18 })
    const sendBack = new SendBack({ core, group: this.#group, maxReconsumeTimes, delayLevel })
    this.#pool = new ConsumePool({
      listener: options.listener,
      batchMax: wholeNumber(options.batchMax ?? 1, 'batchMax', limits),
      concurrency: wholeNumber(options.concurrency ?? 20, 'concurrency', limits),
      clock,
      logger,
      sendBack: (message) => sendBack.take(message),
    })
    this.#closeWaitMs = wholeNumber(options.closeWaitMs ?? 30_000, 'closeWaitMs', { min: 0, max: 3_600_000 })
    this.#offsets = new Offsets({ core, group: this.#group, consumeFrom: this.#consumeFrom })
  }

  get clientId(): string {
    return this.#core.clientId
  }

  /** The queues that are this member's at the moment. */
  get queues(): QueueStatus[] {
    return [...this.#pullers.values()].map(({ assigned: { queue, committableOffset, nextOffset } }) => {
      return { ...queue, committableOffset, nextOffset }
    })
  }

  /** @param expression `*`, or tags joined by `||`. Before or after `start`. @throws ClientError `INVALID`. */
  subscribe(topic: string, expression: string = ALL_TAGS): void {
    const error = topicNameError(topic)
    check(error === undefined, error ?? '')
    this.#subscriptions.set(topic, subscriptionData(topic, expression, this.#core.clock.nowMs()))
    if (this.#state !== 'STARTED') return
    for (const puller of this.#pullersOf(topic))
      puller.subscription = this.#subscriptions.get(topic) as SubscriptionData
    this.#core.beat()
    this.#wantRebalance()
  }

  /** Resolves when this member knows its share of the queues, or that it cannot be known yet: then it goes on trying. */
  async start(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    check(this.#state === 'NEW', 'a consumer starts once')
    check(this.#subscriptions.size > 0, 'a consumer subscribes to a topic before it starts')
    options.signal?.throwIfAborted()
    this.#state = 'STARTED'
    const retry = retryTopic(this.#group)
    this.#subscriptions.set(retry, subscriptionData(retry, ALL_TAGS, this.#core.clock.nowMs()))
    this.#core.start()
    this.#persistLater()
    this.#wantRebalance()
    await unlessAborted(this.#rebalance, options.signal)
  }

  /** Waits for the listener's calls under way, stores the offsets, and leaves the group. Whoever calls it waits for the same end. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    this.#state = 'CLOSED'
    this.#cancelRebalance()
    for (const puller of this.#pullers.values()) puller.stop()
    // Offsets are stored meanwhile: who is killed while it waits repeats no more than one that runs.
    await this.#pool.close(this.#closeWaitMs)
    this.#cancelPersist()
    await Promise.allSettled([this.#rebalance])
    await this.#offsets.persistAtEnd(this.#assigned())
    for (const puller of this.#pullers.values()) puller.drop()
    this.#pullers.clear()
    await this.#core.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #consumerData() {
    return {
      groupName: this.#group,
      consumeType: 'CONSUME_PASSIVELY',
      messageModel: 'CLUSTERING',
      consumeFromWhere: `CONSUME_FROM_${this.#consumeFrom.from}`,
      subscriptionDataSet: [...this.#subscriptions.values()],
      unitMode: false,
    }
  }

  #assigned(): AssignedQueue[] {
    return [...this.#pullers.values()].map(({ assigned }) => assigned)
  }

  #pullersOf(topic: string): Puller[] {
    return [...this.#pullers.values()].filter(({ assigned }) => assigned.queue.topic === topic)
  }

  #persistLater(): void {
    this.#cancelPersist = this.#core.clock.after(PERSIST_PERIOD_MS, () => {
      background(this.#offsets.persist(this.#assigned()), 'storing offsets', this.#core.logger)
      this.#persistLater()
    })
  }

  /** One at a time; whatever happens meanwhile is answered by one more. */
  #wantRebalance(): void {
    if (this.#state !== 'STARTED') return
    if (this.#rebalance !== null) {
      this.#isRebalanceWanted = true
      return
    }
    this.#cancelRebalance()
    this.#rebalance = this.#rebalanceAll().finally(() => {
      this.#rebalance = null
      if (this.#isRebalanceWanted) {
        this.#isRebalanceWanted = false
        this.#wantRebalance()
      }
    })
    background(this.#rebalance, 'a rebalance', this.#core.logger)
  }

  async #rebalanceAll(): Promise<void> {
    let isComplete = true
    for (const topic of this.#subscriptions.keys()) {
      if (this.#state !== 'STARTED') return
      if (!(await this.#rebalanceTopic(topic))) isComplete = false
    }
    if (this.#state !== 'STARTED') return
    const waitMs = isComplete ? REBALANCE_PERIOD_MS : this.#soonMs
    this.#soonMs = isComplete ? REBALANCE_SOON_MS : Math.min(this.#soonMs * 2, REBALANCE_PERIOD_MS)
    this.#cancelRebalance = this.#core.clock.after(waitMs, () => this.#wantRebalance())
  }

  /** @returns false when something was not known: then what it is about stays as it is. */
  async #rebalanceTopic(topic: string): Promise<boolean> {
    const route = this.#core.routes.current(topic) ?? (await this.#core.routes.fetch(topic))
    if (route === null) return false
    const members = await this.#members(route)
    const queues = route.readQueues
    const ours = members === null ? null : allocateAveragely({ queues, members, self: this.#core.clientId })
    if (ours === null) {
      // The broker has not seen our heartbeat, or has forgotten it.
      this.#core.beat()
      return false
    }
    await this.#dropOthers(topic, ours)
    const taken = await Promise.all(ours.map((queue) => this.#takeOver(queue)))
    return taken.every(Boolean)
  }

  async #dropOthers(topic: string, ours: readonly MessageQueue[]): Promise<void> {
    const keep = new Set(ours.map(queueKey))
    const dropped: AssignedQueue[] = []
    for (const puller of this.#pullersOf(topic)) {
      const key = queueKey(puller.assigned.queue)
      if (keep.has(key)) continue
      this.#pullers.delete(key)
      puller.drop()
      dropped.push(puller.assigned)
    }
    // The next owner asks for these offsets.
    await this.#offsets.persist(dropped)
  }

  /** @returns false when the queue's offset is not known, so it is not pulled yet. */
  async #takeOver(queue: MessageQueue): Promise<boolean> {
    const key = queueKey(queue)
    if (this.#pullers.has(key)) return true
    const start = await this.#offsets.initial(queue)
    if (start === null) return false
    if (this.#state !== 'STARTED') return true
    const { pullBatchMax = 32, cachedCountMax = 1_000, cachedBytesMax = 100 * 1024 * 1024 } = this.#options
    const puller = new Puller({
      core: this.#core,
      group: this.#group,
      pool: this.#pool,
      assigned: new AssignedQueue(queue, start.offset, start.isStored ? start.offset : -1),
      subscription: this.#subscriptions.get(queue.topic) as SubscriptionData,
      pullBatchMax,
      cachedCountMax,
      cachedBytesMax,
    })
    this.#pullers.set(key, puller)
    puller.start()
    return true
  }

  /** @returns the client ids of the group's members, or null when no broker of the topic can tell. */
  async #members(route: TopicRoute): Promise<string[] | null> {
    for (const brokerName of route.brokerNames) {
      const address = route.memberOf(brokerName, MASTER_ID)
      if (address === undefined) continue
      try {
        const request = GetConsumerListRequest.request({ consumerGroup: this.#group })
        const response = await this.#core.remoting.invoke(address, request, MEMBERS_TIMEOUT_MS)
        if (response.code === ResponseCode.SUCCESS) return decodeConsumerIdList(response.bodyBytes)
      } catch (error) {
        if (!(error instanceof RemotingError)) throw error
        this.#core.logger.debug({ address, err: error }, 'the members of a group could not be asked for')
      }
    }
    return null
  }
}

function queueKey(queue: MessageQueue): string {
  return `${queue.topic}\n${queue.brokerName}\n${queue.queueId}`
}

/** Waits for `promise`. @throws the signal's reason once it is aborted. */
async function unlessAborted(promise: Promise<void> | null, signal: AbortSignal | undefined): Promise<void> {
  let aborted = (): void => {}
  const abortion = new Promise<never>((_resolve, reject) => {
    aborted = () => reject(signal?.reason as Error)
  })
  signal?.addEventListener('abort', aborted, { once: true })
  try {
    await Promise.race([promise, abortion])
  } finally {
    signal?.removeEventListener('abort', aborted)
  }
}
