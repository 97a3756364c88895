/**
 * Messages that the broker hands out by itself: POP_MESSAGE (200050), POLLING_INFO (200055).
 *
 * Keeps:
 *   - every answer 0, 209 and 210 carries the fields that clients cannot do without;
 *   - a pop waits until its deadline at the longest, and is answered once, whatever happens to it;
 *   - while something is left of a queue, whoever was at work on it wakes the next pop that waits.
 *
 * Source: PopMessageProcessor, PollingInfoProcessor.
 */
import { AssertionError, background } from '@dledger-ts/base'
import { decodeRecord, PropertyName, RecordDraft, setProperty } from '@dledger-ts/protocol'
import {
  type Connection,
  createResponse,
  type ExtFields,
  PollingInfoRequest,
  PollingInfoResponse,
  PopMessageRequest,
  PopMessageResponse,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { StoreError } from '@dledger-ts/store'
import { buildSubscription, type Subscription } from '../client-manager/subscription.ts'
import type { BrokerContext } from '../context.ts'
import { ExpressionError } from '../filter/expression-error.ts'
import { Sql92 } from '../filter/sql92.ts'
import { isForwarded } from '../forwarding/forwarder.ts'
import { type Admitted, admit, brokerForbids, type Refused } from '../pop/admission.ts'
import {
  buildExtraInfo,
  INVISIBLE_MS_MAX,
  msgOffsetInfo,
  ORDER_REVIVE_QID,
  type PopNames,
  startOffsetInfo,
} from '../pop/extra-info.ts'
import { isTooLate, pollDeadline } from '../pop/poll-time.ts'
import { type PopPolling, WaitingPop } from '../pop/pop-polling.ts'
import type { PopQueue, PopQueues } from '../pop/pop-queues.ts'
import { PopTaker, type Taken, type TakenQueue } from '../pop/pop-taker.ts'
import { retryFlagOf } from '../pop/retry-topics.ts'
import { refusalOf } from '../refusal.ts'
import { UNTAKEN_BYTES_MAX } from './pull.ts'
import type { Processor } from './registry.ts'

/** Source: PopMessageProcessor. */
const MESSAGES_MAX = 32
/** Looks at queues in one go at most, while messages for others are passed by; then the pop waits like one that found nothing. */
const LOOKS_MAX = 64

/** A pop on its way; kept while it waits. */
export class Pop {
  readonly request: RemotingCommand
  readonly connection: Connection
  readonly header: PopMessageRequest
  readonly deadlineMs: number

  constructor(connection: Connection, request: RemotingCommand, header: PopMessageRequest, deadlineMs: number) {
    this.request = request
    this.connection = connection
    this.header = header
    this.deadlineMs = deadlineMs
  }
}

export interface PopProcessorOptions {
  readonly queues: PopQueues
  /** Something is invisible until then. */
  readonly popped: (untilMs: number) => void
}

export function popProcessors(processor: PopProcessor): [number, Processor][] {
  return [
    [
      RequestCode.POP_MESSAGE,
      { served: 'leader', handle: (connection, request) => processor.handle(connection, request) },
    ],
    [
      RequestCode.POLLING_INFO,
      { served: 'leader', handle: (connection, request) => processor.pollingInfo(connection, request) },
    ],
  ]
}

export class PopProcessor {
  readonly #context: BrokerContext
  readonly #options: PopProcessorOptions
  readonly #taker: PopTaker
  /** Set once, right after both exist. */
  #polling: PopPolling<Pop> | null = null

  constructor(context: BrokerContext, options: PopProcessorOptions) {
    this.#context = context
    this.#options = options
    this.#taker = new PopTaker(context, options.queues)
  }

  holdIn(polling: PopPolling<Pop>): void {
    this.#polling = polling
  }

  handle(connection: Connection, request: RemotingCommand): RemotingCommand | undefined {
    const header = PopMessageRequest.decode(request.extFields)
    const nowMs = this.#context.clock.nowMs()
    if (isTooLate(header, nowMs)) {
      const remark = `the broker[${this.#context.config.brokerIP1}] pop message is timeout too much`
      return this.#empty(header, ResponseCode.POLLING_TIMEOUT, remark, 0)
    }
    const fault = this.#fault(header)
    if (fault !== null) return createResponse(fault.code, fault.remark)
    this.resume(new Pop(connection, request, header, pollDeadline(header, nowMs, isForwarded(request))))
    return undefined
  }

  /** Looks for messages, now or again. */
  resume(pop: Pop): void {
    background(this.#run(pop), 'popping messages', this.#context.logger)
  }

  /** Wakes pops that wait for one of these queues, where something is left. */
  wakeForRest(topic: string, group: string, queues: readonly PopQueue[]): void {
    for (const queue of queues) {
      if (this.#options.queues.rest(group, queue) > 0) this.#polling?.wake(topic, group, queue.queueId)
    }
  }

  pollingInfo(connection: Connection, request: RemotingCommand): RemotingCommand {
    const header = PollingInfoRequest.decode(request.extFields)
    const admitted =
      brokerForbids(this.#context, 'peeking message') ?? admit(this.#context, header, connection.remoteAddress)
    if ('code' in admitted) return createResponse(admitted.code, admitted.remark)
    const pollingNum = this.#polling?.waiting(header.topic, header.consumerGroup, header.queueId) ?? 0
    return PollingInfoResponse.response(ResponseCode.SUCCESS, { pollingNum })
  }

  /** Never rejects but for a broken invariant. */
  async #run(pop: Pop): Promise<void> {
    const { connection, request } = pop
    if (connection.isClosed) return
    if (connection.unwrittenBytes > UNTAKEN_BYTES_MAX) {
      // It would be given messages that it does not take before they are visible again.
      const remark = 'more waits for this client than it takes'
      connection.respond(request, this.#empty(pop.header, ResponseCode.POLLING_TIMEOUT, remark, 0))
      this.#polling?.wake(pop.header.topic, pop.header.consumerGroup, pop.header.queueId)
      return
    }
    let answer: RemotingCommand | null
    try {
      answer = await this.#answer(pop)
    } catch (error) {
      if (error instanceof AssertionError) throw error
      answer = this.#refusal(pop, error)
    }
    if (answer !== null) connection.respond(request, answer)
  }

  /** @returns null when the pop waits now. */
  async #answer(pop: Pop): Promise<RemotingCommand | null> {
    const { header, connection } = pop
    const admitted = admit(this.#context, header, connection.remoteAddress)
    if ('code' in admitted) return createResponse(admitted.code, admitted.remark)
    const subscription = this.#subscriptionOf(header)
    if ('code' in subscription) return createResponse(subscription.code, subscription.remark)
    const { queues: all } = this.#options
    for (let looks = 1; ; looks++) {
      const popTime = this.#context.clock.nowMs()
      const queues = all.inOrder(admitted.topic, header.consumerGroup, header.queueId, header.order)
      const ends = all.ends(queues)
      const taken = await this.#take(pop, queues, subscription, popTime)
      if (taken.queues.length > 0) return this.#found(pop, taken, popTime)
      const now = all.inOrder(admitted.topic, header.consumerGroup, header.queueId, header.order)
      const isLookWorth = taken.isPassed || all.hasNew(header.consumerGroup, now, ends, taken.passedBy)
      if (!isLookWorth || looks >= LOOKS_MAX) return this.#hold(pop, subscription, admitted, taken)
    }
  }

  async #take(
    { header }: Pop,
    queues: readonly PopQueue[],
    { tagCodes, filter }: Subscription,
    popTime: number,
  ): Promise<Taken> {
    const { consumerGroup, topic, attemptId } = header
    let isWorthMore = true
    try {
      const taken = await this.#taker.take({
        group: consumerGroup,
        queues,
        maxCount: header.maxMsgNums,
        tagCodes,
        recordFilter: filter instanceof Sql92 ? filter.matches : null,
        initMode: header.initMode,
        popTime,
        invisibleTime: header.invisibleTime,
        order: header.order ? { attemptId: attemptId === undefined || attemptId === '' ? null : attemptId } : null,
      })
      isWorthMore = taken.queues.length > 0 || taken.isPassed
      return taken
    } finally {
      // Others passed by the queues that this one was at work on. Where it got no further, neither would they.
      if (isWorthMore) this.wakeForRest(topic, consumerGroup, queues)
    }
  }

  #found({ header }: Pop, { queues, restNum }: Taken, popTime: number): RemotingCommand {
    const names = this.#names(header, popTime)
    if (!header.order) this.#options.popped(popTime + header.invisibleTime)
    const extFields = PopMessageResponse.encode({
      ...names,
      restNum,
      startOffsetInfo: startOffsetInfo(queues),
      msgOffsetInfo: msgOffsetInfo(queues),
      orderCountInfo: header.order ? queues.map((queue) => queue.orderCountInfo).join(';') : undefined,
    })
    const records = queues.flatMap((queue) => this.#recordsFor(header, names, queue))
    const bytes = records.reduce((sum, record) => sum + record.length, 0)
    this.#context.statistics.gaveOut(header.consumerGroup, header.topic, records.length, bytes)
    return createResponse(ResponseCode.SUCCESS, 'FOUND', extFields, records)
  }

  /** What comes again is given out under the topic that was asked for, and tells itself where it was popped. */
  #recordsFor({ topic }: PopMessageRequest, names: PopNames, queue: TakenQueue): readonly Buffer[] {
    if (queue.topic === topic || retryFlagOf(queue.topic) === '0') return queue.records
    return queue.records.map((bytes) => {
      const record = decodeRecord(bytes)
      const popCk = buildExtraInfo(names, queue, record.queueOffset)
      const properties = setProperty(record.properties, PropertyName.POP_CK, popCk)
      const draft = new RecordDraft({ ...record, topic, properties })
      const again = Buffer.allocUnsafe(draft.bytes)
      draft.encode(again, 0, record)
      return again
    })
  }

  #hold(pop: Pop, subscription: Subscription, { topic, group }: Admitted, taken: Taken): RemotingCommand | null {
    const { header, connection } = pop
    const nowMs = this.#context.clock.nowMs()
    const leftMs = pop.deadlineMs - nowMs
    if (leftMs <= 0 || this.#polling === null) {
      return this.#empty(header, ResponseCode.POLLING_TIMEOUT, 'NO_MESSAGE_IN_QUEUE', taken.restNum)
    }
    const where = { group: group.groupName, topic: topic.topicName, queueId: header.queueId }
    const blockedMs = taken.blockedUntilMs === null ? leftMs : Math.max(1, taken.blockedUntilMs - nowMs)
    const waiting = new WaitingPop(where, subscription.tagCodes, connection, pop, pop.request.receivedBytes)
    if (this.#polling.hold(waiting, Math.min(leftMs, blockedMs))) return null
    return this.#empty(header, ResponseCode.POLLING_FULL, 'NO_MESSAGE_IN_QUEUE', taken.restNum)
  }

  #empty(header: PopMessageRequest, code: number, remark: string, restNum: number): RemotingCommand {
    const names = this.#names(header, this.#context.clock.nowMs())
    const fields: ExtFields = PopMessageResponse.encode({ ...names, restNum, startOffsetInfo: '', msgOffsetInfo: '' })
    return createResponse(code, remark, fields)
  }

  #names({ order, invisibleTime }: PopMessageRequest, popTime: number): PopNames {
    const { brokerName } = this.#context.config
    return { popTime, invisibleTime, reviveQid: order ? ORDER_REVIVE_QID : 0, brokerName }
  }

  /** What no broker could serve. */
  #fault({ maxMsgNums, invisibleTime }: PopMessageRequest): Refused | null {
    const { brokerIP1, timerWheelEnable } = this.#context.config
    const forbidden = brokerForbids(this.#context, 'pop message')
    if (forbidden !== null) return forbidden
    if (maxMsgNums > MESSAGES_MAX) {
      const remark = `the broker[${brokerIP1}] pop message's num is greater than ${MESSAGES_MAX}`
      return { code: ResponseCode.INVALID_PARAMETER, remark }
    }
    if (maxMsgNums < 1 || invisibleTime < 1 || invisibleTime > INVISIBLE_MS_MAX) {
      const remark =
        `the broker[${brokerIP1}] pops 1 to ${MESSAGES_MAX} messages for 1 to ${INVISIBLE_MS_MAX} ms, ` +
        `not ${maxMsgNums} for ${invisibleTime} ms`
      return { code: ResponseCode.INVALID_PARAMETER, remark }
    }
    if (!timerWheelEnable) {
      const remark = `the broker[${brokerIP1}] pop message is forbidden because timerWheelEnable is false`
      return { code: ResponseCode.SYSTEM_ERROR, remark }
    }
    return null
  }

  #refusal({ connection, request }: Pop, error: unknown): RemotingCommand | null {
    if (!(error instanceof StoreError)) {
      this.#context.logger.error({ err: error }, 'a pop failed')
      return createResponse(ResponseCode.SYSTEM_ERROR, 'the pop failed')
    }
    if (error.code === 'NOT_LEADER' && this.#context.retryOnLeader(connection, request)) return null
    const { code, remark } = refusalOf(error, request.version)
    return createResponse(code, remark)
  }

  #subscriptionOf({ topic, exp, expType }: PopMessageRequest): Subscription | Refused {
    const expressionType = exp === undefined || exp === '' ? undefined : expType
    const wanted = { topic, expression: exp, expressionType, subVersion: 0 }
    const subscription = buildSubscription(wanted, this.#context.expressions)
    if (subscription === null || subscription.filter instanceof ExpressionError) {
      return { code: ResponseCode.SUBSCRIPTION_PARSE_FAILED, remark: "parse the consumer's subscription failed" }
    }
    if (subscription.filter === null || this.#context.config.enablePropertyFilter) return subscription
    const remark = `The broker does not support consumer to filter message by ${subscription.expressionType}`
    return { code: ResponseCode.SYSTEM_ERROR, remark }
  }
}
