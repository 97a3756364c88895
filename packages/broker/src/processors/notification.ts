/**
 * NOTIFICATION (200054): whether there is something to pop. A client that wants to wait before it pops asks this.
 *
 * Source: NotificationProcessor.
 */
import {
  type Connection,
  createResponse,
  NotificationRequest,
  NotificationResponse,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { blockedUntil, StoreError } from '@dledger-ts/store'
import type { BrokerContext } from '../context.ts'
import { isForwarded } from '../forwarding/forwarder.ts'
import { admit, brokerForbids } from '../pop/admission.ts'
import { pollDeadline } from '../pop/poll-time.ts'
import { type PopPolling, WaitingPop } from '../pop/pop-polling.ts'
import type { PopQueues } from '../pop/pop-queues.ts'
import { refusalOf } from '../refusal.ts'
import type { Processor } from './registry.ts'

/** A question on its way; kept while it waits. */
export class Notification {
  readonly request: RemotingCommand
  readonly connection: Connection
  readonly header: NotificationRequest
  readonly deadlineMs: number

  constructor(connection: Connection, request: RemotingCommand, header: NotificationRequest, deadlineMs: number) {
    this.request = request
    this.connection = connection
    this.header = header
    this.deadlineMs = deadlineMs
  }
}

export function notificationProcessors(processor: NotificationProcessor): [number, Processor][] {
  return [
    [
      RequestCode.NOTIFICATION,
      { served: 'leader', handle: (connection, request) => processor.handle(connection, request) },
    ],
  ]
}

export class NotificationProcessor {
  readonly #context: BrokerContext
  readonly #queues: PopQueues
  /** Set once, right after both exist. */
  #polling: PopPolling<Notification> | null = null

  constructor(context: BrokerContext, queues: PopQueues) {
    this.#context = context
    this.#queues = queues
  }

  holdIn(polling: PopPolling<Notification>): void {
    this.#polling = polling
  }

  handle(connection: Connection, request: RemotingCommand): undefined {
    const header = NotificationRequest.decode(request.extFields)
    const deadlineMs = pollDeadline(header, this.#context.clock.nowMs(), isForwarded(request))
    this.resume(new Notification(connection, request, header, deadlineMs))
  }

  /** Looks, now or again. */
  resume(notification: Notification): void {
    const { connection, request } = notification
    if (!this.#context.store.isReady() && this.#context.retryOnLeader(connection, request)) return
    let answer: RemotingCommand | null
    try {
      answer = this.#answer(notification)
    } catch (error) {
      // Nobody catches it for one that was woken: this member may have lost the lead meanwhile, and take in the state of another.
      if (!(error instanceof StoreError)) throw error
      const { code, remark } = refusalOf(error, request.version)
      answer = createResponse(code, remark)
    }
    if (answer !== null) connection.respond(request, answer)
  }

  /** @returns null when it waits now. */
  #answer(notification: Notification): RemotingCommand | null {
    const { header, connection, deadlineMs } = notification
    const admitted =
      brokerForbids(this.#context, 'peeking message') ?? admit(this.#context, header, connection.remoteAddress)
    if ('code' in admitted) return createResponse(admitted.code, admitted.remark)
    const { consumerGroup: group, topic, queueId, order, attemptId } = header
    const nowMs = this.#context.clock.nowMs()
    let blockedUntilMs = deadlineMs
    const hasMsg = this.#queues.inOrder(admitted.topic, group, queueId, order).some((queue) => {
      if (order) {
        const batch = this.#context.store.orderedPops.batch({ group, ...queue })
        const untilMs = blockedUntil(batch, attemptId ?? null, nowMs)
        if (untilMs > 0) {
          blockedUntilMs = Math.min(blockedUntilMs, untilMs)
          return false
        }
      }
      return this.#queues.rest(group, queue) > 0
    })
    if (hasMsg || deadlineMs <= nowMs || this.#polling === null) return answered(hasMsg, false)
    const waiting = new WaitingPop(
      { group, topic, queueId },
      null,
      connection,
      notification,
      notification.request.receivedBytes,
    )
    return this.#polling.hold(waiting, Math.max(1, blockedUntilMs - nowMs)) ? null : answered(false, true)
  }
}

function answered(hasMsg: boolean, pollingFull: boolean): RemotingCommand {
  return NotificationResponse.response(ResponseCode.SUCCESS, { hasMsg, pollingFull })
}
