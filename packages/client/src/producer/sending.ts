/**
 * One message, or one batch, on its way: from the choice of a queue through failed attempts to the callback.
 *
 *   begin ──► choose a queue ──► request ──► stored: done
 *     ▲            │ nobody leads            └─ failed: a broker that has not failed yet at once, else fetch the route and choose again
 *     └── route ◄──┘
 *
 * Keeps: the callback is told exactly once; every attempt carries the same UNIQ_KEY; no attempt begins after the deadline;
 * attempts that surely stored nothing because nobody leads there are limited by the deadline alone, others by a count too.
 *
 * Hot: one object for each message, which is the handler of its own request; no promise and no closure.
 */
import type { Clock, Logger, Random } from '@dledger-ts/base'
import { SystemTopic } from '@dledger-ts/protocol'
import {
  type MessageQueue,
  type RemotingClient,
  type RemotingCommand,
  RemotingError,
  RequestCode,
  type ResponseHandler,
  SendMessageRequestV2,
} from '@dledger-ts/remoting'
import { check, ClientError } from '../errors.ts'
import type { RouteListener, RouteTable } from '../route/route-table.ts'
import type { TopicRoute } from '../route/topic-route.ts'
import type { QueueSelector, RoundRobin } from './queue-choice.ts'
import { verdictOnError, verdictOnResponse } from './retry.ts'
import { type SendResult, sendResult, sendStatus } from './send-result.ts'

/** Told exactly once: either the error or the result is null. */
export type SendCallback = (error: ClientError | null, result: SendResult | null) => void

/** What all sends of a producer share. */
export interface SendContext {
  readonly group: string
  readonly remoting: RemotingClient
  readonly routes: RouteTable
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly attemptsMax: number
  readonly newTopicQueues: number
  /** The round robin of a topic. */
  turnOf(topic: string): RoundRobin
}

/** What is sent, fixed from the first attempt on. */
export interface Outgoing {
  readonly topic: string
  readonly body: Buffer
  readonly properties: string
  readonly flag: number
  readonly isBatch: boolean
  readonly msgId: string
}

/** Bytes that are held while it is sent. */
export function waitingBytes({ body, properties }: Outgoing): number {
  return body.length + properties.length
}

/** Told once when a send has ended, before its callback. */
export interface SendOwner {
  ended(outgoing: Outgoing): void
}

export interface SendTarget {
  readonly timeoutMs: number
  /** Null: in turn. */
  readonly selector: QueueSelector | null
  readonly key: string
}

export class Sending implements ResponseHandler, RouteListener {
  readonly #context: SendContext
  readonly #outgoing: Outgoing
  readonly #target: SendTarget
  readonly #callback: SendCallback
  readonly #owner: SendOwner
  readonly #deadlineMs: number
  readonly #bornTimestamp: number
  #attempts = 0
  #queue: MessageQueue | null = null
  #address = ''
  /** The brokers that failed since the route was fetched for this send. */
  #failed: Set<string> | null = null
  /** Why the last attempt failed. */
  #failure: ClientError | null = null
  #isDone = false

  constructor(context: SendContext, outgoing: Outgoing, target: SendTarget, callback: SendCallback, owner: SendOwner) {
    this.#context = context
    this.#outgoing = outgoing
    this.#target = target
    this.#callback = callback
    this.#owner = owner
    this.#deadlineMs = context.clock.monotonicMs() + target.timeoutMs
    this.#bornTimestamp = context.clock.nowMs()
  }

  begin(): void {
    const { routes } = this.#context
    const route = routes.current(this.#outgoing.topic)
    if (route === undefined) routes.refresh(this.#outgoing.topic, this)
    else this.#attempt(route)
  }

  /** Stops waiting: the caller is told no more. What is under way may still be stored. */
  abandon(): void {
    if (!this.#isDone) this.#end()
  }

  routed(route: TopicRoute): void {
    if (!this.#isDone) this.#attempt(route)
  }

  unrouted(error: ClientError): void {
    if (this.#isDone) return
    const { routes } = this.#context
    const known = routes.current(this.#outgoing.topic)
    // A topic that was there before comes back with its brokers; a namesrv that is gone leaves the routes known so far.
    if (known === undefined || error.code === 'CLOSED') this.#fail(error)
    else if (error.code === 'NAMESRV_UNREACHABLE') this.#attempt(known)
    else {
      this.#failure ??= error
      this.#waitForLeader()
    }
  }

  responded(response: RemotingCommand): void {
    if (this.#isDone) return
    const status = sendStatus(response.code)
    if (status === undefined) {
      this.#attemptFailed(verdictOnResponse(response.code), this.#refused(response))
      return
    }
    let result: SendResult
    try {
      const { msgId } = this.#outgoing
      result = sendResult({ status, response, msgId, queue: this.#queue as MessageQueue })
    } catch (error) {
      if (!(error instanceof RemotingError)) throw error
      this.#fail(this.#lost(error))
      return
    }
    this.#tell(null, result)
  }

  failed(error: RemotingError): void {
    if (this.#isDone) return
    this.#attemptFailed(verdictOnError(error), this.#lost(error))
  }

  #attempt(route: TopicRoute): void {
    let queue: MessageQueue | undefined
    try {
      queue = this.#choose(route)
    } catch (error) {
      this.#fail(this.#failure ?? selectorFailed(error))
      return
    }
    const address = queue === undefined ? undefined : route.masterOf(queue.brokerName)
    if (queue === undefined || address === undefined) {
      this.#failure ??= this.#leaderless(queue)
      this.#waitForLeader()
      return
    }
    const remainingMs = this.#deadlineMs - this.#context.clock.monotonicMs()
    if (remainingMs <= 0) {
      this.#timeOut()
      return
    }
    this.#attempts++
    this.#queue = queue
    this.#address = address
    this.#context.remoting.invokeCallback(
      address,
      sendRequest(this.#context, this.#outgoing, queue, this.#bornTimestamp),
      remainingMs,
      this,
    )
  }

  #choose(route: TopicRoute): MessageQueue | undefined {
    const { selector, key } = this.#target
    if (route.writeQueues.length === 0) return undefined
    if (selector === null) return this.#context.turnOf(route.topic).choose(route, this.#failed)
    const queue: MessageQueue | null | undefined = selector(route.writeQueues, key)
    check(queue !== null && queue !== undefined, 'the selector returned no queue')
    return queue
  }

  #attemptFailed(verdict: ReturnType<typeof verdictOnResponse>, failure: ClientError): void {
    this.#failure = failure
    if (verdict === 'leaderless') this.#attempts--
    if (verdict === 'final' || this.#attempts >= this.#context.attemptsMax) {
      this.#fail(failure)
      return
    }
    const failed = (this.#queue as MessageQueue).brokerName
    if (this.#failed === null) this.#failed = new Set([failed])
    else this.#failed.add(failed)
    const { routes } = this.#context
    const { topic } = this.#outgoing
    const route = routes.current(topic)
    if (route !== undefined && this.#hasAnotherBroker(route, this.#failed)) {
      routes.refresh(topic)
      this.#attempt(route)
    } else {
      // With the next route each may be tried once more, the one that failed last after the others.
      this.#failed = new Set([failed])
      this.#waitForLeader()
    }
  }

  /** Whether a queue of a broker that has not failed since the route was fetched can be tried at once. */
  #hasAnotherBroker(route: TopicRoute, failed: ReadonlySet<string>): boolean {
    if (this.#target.selector !== null) return false
    return route.writeQueues.some(
      ({ brokerName }) => !failed.has(brokerName) && route.masterOf(brokerName) !== undefined,
    )
  }

  /** The route table spaces its fetches, so this is no busy loop. */
  #waitForLeader(): void {
    if (this.#context.clock.monotonicMs() < this.#deadlineMs) {
      this.#context.routes.refresh(this.#outgoing.topic, this)
      return
    }
    // Too late for this send, but the next one need not meet the same silent broker.
    this.#context.routes.refresh(this.#outgoing.topic)
    this.#timeOut()
  }

  #timeOut(): void {
    const { timeoutMs } = this.#target
    const why = this.#failure === null ? '' : `: ${this.#failure.message}`
    const message = `not sent to ${this.#outgoing.topic} within ${timeoutMs} ms${why}`
    const cause = this.#failure ?? undefined
    this.#fail(new ClientError(message, { code: 'TIMEOUT', timeoutMs }, { cause }))
  }

  #fail(error: ClientError): void {
    this.#tell(error, null)
  }

  /** A callback that throws has its own trouble: other sends are told by the same route, answer or end of a connection. */
  #tell(error: ClientError | null, result: SendResult | null): void {
    this.#end()
    try {
      this.#callback(error, result)
    } catch (thrown) {
      this.#context.logger.error({ topic: this.#outgoing.topic, err: thrown }, 'a send callback failed')
    }
  }

  #end(): void {
    this.#isDone = true
    this.#owner.ended(this.#outgoing)
  }

  #refused(response: RemotingCommand): ClientError {
    const { code: responseCode, remark = '' } = response
    const address = this.#address
    const message = `${address} answered ${responseCode}: ${remark}`
    return new ClientError(message, { code: 'REFUSED', responseCode, remark, address })
  }

  #lost(error: RemotingError): ClientError {
    const address = this.#address
    const { message } = error
    const { detail } = error
    switch (detail.code) {
      case 'CLOSED':
        return new ClientError(message, { code: 'CLOSED' }, { cause: error })
      case 'BUSY':
        return new ClientError(message, { code: 'BUSY', pendingMax: detail.pendingMax }, { cause: error })
      case 'TIMEOUT':
        return new ClientError(message, { code: 'TIMEOUT', timeoutMs: this.#target.timeoutMs }, { cause: error })
      default:
        return new ClientError(message, { code: 'CONNECTION_LOST', address }, { cause: error })
    }
  }

  #leaderless(queue: MessageQueue | undefined): ClientError {
    const { topic } = this.#outgoing
    const whose = queue === undefined ? `of topic ${topic}` : queue.brokerName
    return new ClientError(`no broker ${whose} has a leader`, { code: 'NO_ROUTE', topic })
  }
}

function selectorFailed(error: unknown): ClientError {
  if (error instanceof ClientError) return error
  const what = `the selector failed: ${String(error)}`
  return new ClientError(what, { code: 'INVALID', what }, { cause: error })
}

/** @returns the request for one attempt; also for a one-way send. Hot. */
export function sendRequest(
  context: SendContext,
  outgoing: Outgoing,
  queue: MessageQueue,
  bornTimestamp: number,
): RemotingCommand {
  const request = SendMessageRequestV2.request(
    {
      producerGroup: context.group,
      topic: outgoing.topic,
      defaultTopic: SystemTopic.AUTO_CREATE,
      defaultTopicQueueNums: context.newTopicQueues,
      queueId: queue.queueId,
      sysFlag: 0,
      bornTimestamp,
      flag: outgoing.flag,
      properties: outgoing.properties,
      reconsumeTimes: 0,
      unitMode: false,
      batch: outgoing.isBatch,
      brokerName: queue.brokerName,
    },
    outgoing.body,
  )
  if (outgoing.isBatch) request.code = RequestCode.SEND_BATCH_MESSAGE
  return request
}
