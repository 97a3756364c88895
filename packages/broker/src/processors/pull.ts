/**
 * Messages to consumers: PULL_MESSAGE (11), LITE_PULL_MESSAGE (361).
 *
 * Keeps:
 *   P1  every answer 0, 19, 20 and 21 carries the four offsets that clients cannot do without;
 *   P2  21 ("go back") is said only by a leader that has applied all, or for what is certainly gone: a follower that lags waits;
 *   P3  a pull is held until its deadline at the latest and commits its piggy-backed offset at most once: on its first pass;
 *   P4  a pull that a client made before it wanted something else passes over nothing: the client would drop what it wants now;
 *   P5  a client that does not take its answers is given no more messages: it is told to ask again (20), behind what waits for it;
 *   P6  a held pull that filters by an expression is not answered for messages that it does not want: it goes on behind them;
 *   P7  while the store applies its log again it gives what it has; no pull is held, and what may prove wrong (an end, a topic that is not
 *       there) is 14: clients keep their offset;
 *   P8  while a consumer does not stand where its group was moved to, its pull of that queue is answered with where the group goes on.
 *
 * Source: PullMessageProcessor, DefaultPullMessageResultHandler.
 */
import {
  formatHostAddress,
  isReadable,
  isRetryTopic,
  PropertyName,
  recordPhysicalOffset,
  recordProperty,
  SystemTopic,
} from '@dledger-ts/protocol'
import {
  type Connection,
  createResponse,
  type ExtFields,
  PullMessageRequest,
  PullSysFlag,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import {
  type GetResult,
  type RecordFilter,
  StoreError,
  type SubscriptionGroupConfig,
  type TopicConfig,
} from '@dledger-ts/store'
import { buildSubscription, everything, type Subscription } from '../client-manager/subscription.ts'
import type { BrokerContext } from '../context.ts'
import { ExpressionError } from '../filter/expression-error.ts'
import { Sql92 } from '../filter/sql92.ts'
import { HeldPull, type LongPolling } from '../long-polling.ts'
import { busy, rebuilding, type Refusal, refusalOf } from '../refusal.ts'
import { isReadForbidden } from './group-changes.ts'
import type { Processor } from './registry.ts'
import { ToldResets } from './told-resets.ts'

/** A client gives up on an answer after 30 s and closes its connection; it is held less, whatever it asks. */
const HOLD_MS_MAX = 25_000
/** So much waits for a client already, and nothing is read for it. */
export const UNTAKEN_BYTES_MAX = 4 * 1024 * 1024
/** Pulls that a client made before it wanted something else may come so long after it said so. */
const OLD_PULLS_MS = 1_000
/** Fewer messages behind than this are never "far behind", so the distance in bytes need not be looked at. */
const FAR_BEHIND_MESSAGES_MIN = 10_000

/** Why a consumer may not read; `forbiddenType` of the answer. Source: ForbiddenType. */
const Forbidden = { BROKER: 1, GROUP: 2, TOPIC: 3, BROADCAST: 4, SUBSCRIPTION: 5 } as const

/** A pull on its way; kept while it is held. */
export class Pull {
  readonly request: RemotingCommand
  readonly connection: Connection
  readonly header: PullMessageRequest
  /** Where it reads on: behind what was examined while it was held. */
  queueOffset: number
  /** Monotonic; set when it is held first. */
  deadlineMs: number | null = null
  /** The store knew a part of its log only when it was read. */
  isPartial = false

  constructor(connection: Connection, request: RemotingCommand, header: PullMessageRequest) {
    this.request = request
    this.connection = connection
    this.header = header
    this.queueOffset = header.queueOffset
  }
}

/** What the checks found. */
interface Admitted {
  readonly topic: TopicConfig
  readonly group: SubscriptionGroupConfig
  readonly subscription: Subscription
}

interface Refused {
  readonly code: number
  readonly remark: string
  readonly forbiddenType?: number
}

export interface PullOptions {
  /** Bytes of newest messages that count as recent; a consumer further behind may be sent to a follower. */
  readonly recentBytes: number
}

export function pullProcessors(processor: PullProcessor): [number, Processor][] {
  const entry: Processor = {
    served: 'here',
    whileRebuilding: true,
    handle: (connection, request) => processor.handle(connection, request),
  }
  return [
    [RequestCode.PULL_MESSAGE, entry],
    [RequestCode.LITE_PULL_MESSAGE, entry],
  ]
}

export class PullProcessor {
  readonly #context: BrokerContext
  readonly #options: PullOptions
  readonly #told = new ToldResets()
  /** Set once, right after both exist: held pulls come back here. */
  #polling: LongPolling<Pull> | null = null

  constructor(context: BrokerContext, options: PullOptions) {
    this.#context = context
    this.#options = options
  }

  holdIn(polling: LongPolling<Pull>): void {
    this.#polling = polling
  }

  // Hot: runs for each pull.
  handle(connection: Connection, request: RemotingCommand): undefined {
    this.#run(new Pull(connection, request, PullMessageRequest.decode(request.extFields)), true)
  }

  /** A held pull was woken or reached its deadline: it is answered now, whatever there is. */
  resume(pull: Pull): void {
    // Several passes of the event loop may lie between.
    if (pull.connection.isClosed) return
    this.#run(pull, false)
  }

  #run(pull: Pull, isFirstPass: boolean): void {
    const admitted = this.#check(pull)
    const { config, store, statistics } = this.#context
    pull.isPartial = store.isRebuilding()
    if ('code' in admitted) {
      if (pull.isPartial) return this.#refuse(pull, rebuilding())
      const extFields: ExtFields =
        admitted.forbiddenType === undefined ? {} : { forbiddenType: String(admitted.forbiddenType) }
      pull.connection.respond(pull.request, createResponse(admitted.code, admitted.remark, extFields))
      return
    }
    const { header } = pull
    if (this.#isSuperseded(pull)) {
      return this.#answerWithNothing(pull, admitted, ResponseCode.PULL_NOT_FOUND, 'the subscription has changed since')
    }
    const moved = this.#context.store.pendingReset(header.consumerGroup, header.topic, header.queueId)
    if (moved !== undefined && this.#tellMoved(pull, admitted, moved)) return
    if (isFirstPass && (header.sysFlag & PullSysFlag.COMMIT_OFFSET) !== 0) this.#commitOffset(header)
    if (pull.connection.unwrittenBytes > UNTAKEN_BYTES_MAX) return this.#answerSlow(pull, admitted)
    const { maxMsgBytes } = header
    const begunMs = statistics.getTimes.begin()
    store.getMessages(
      {
        topic: header.topic,
        queueId: header.queueId,
        queueOffset: pull.queueOffset,
        maxCount: Math.max(1, header.maxMsgNums),
        maxBytes: maxMsgBytes !== undefined && maxMsgBytes > 0 ? maxMsgBytes : Number.POSITIVE_INFINITY,
        limits: {
          recent: {
            maxCount: config.maxTransferCountOnMessageInMemory,
            maxBytes: config.maxTransferBytesOnMessageInMemory,
          },
          far: { maxCount: config.maxTransferCountOnMessageInDisk, maxBytes: config.maxTransferBytesOnMessageInDisk },
        },
        // The field holds a time there, not a tag.
        tagFilter: header.topic === SystemTopic.SCHEDULE ? null : admitted.subscription.tagCodes,
        recordFilter: this.#recordFilter(header, admitted.subscription),
      },
      (error, result) => {
        statistics.getTimes.end(begunMs)
        if (result === null) this.#fail(pull, error)
        // Others of this client may have been read meanwhile.
        else if (pull.connection.unwrittenBytes > UNTAKEN_BYTES_MAX) {
          result.release?.()
          this.#answerSlow(pull, admitted)
        } else this.#answer(pull, admitted, result, isFirstPass)
      },
    )
  }

  /** Its client sorts out what comes by what it wanted when it made this pull. Its next one is newer. */
  #isSuperseded({ header, connection, deadlineMs }: Pull): boolean {
    if ((header.sysFlag & PullSysFlag.SUBSCRIPTION) !== 0) return false
    const group = this.#context.consumers.group(header.consumerGroup)
    const changedMs = group?.supersededMs(connection, header.topic, header.subVersion)
    if (changedMs === undefined) return false
    // A client that never says a newer version is served again after a moment.
    return deadlineMs !== null || this.#context.clock.monotonicMs() - changedMs < OLD_PULLS_MS
  }

  /** Its group was moved by a tool. @returns whether it is answered: not when its consumer stands there, and so goes on. */
  #tellMoved(pull: Pull, admitted: Admitted, offset: number): boolean {
    const { header, request, connection } = pull
    const { store } = this.#context
    if (!store.isReady()) {
      // Only the leader can note where it stands. It gets the request as it is: anything else would not fit its signature.
      if (this.#context.retryOnLeader(connection, request)) return true
      this.#answerWithNothing(pull, admitted, ResponseCode.PULL_RETRY_IMMEDIATELY, 'the leader tells where to go on')
      return true
    }
    const consumer = formatHostAddress(this.#context.bornHostOf(connection, request))
    if (this.#told.hasHeard(consumer, header, offset)) {
      this.#told.forget(consumer, header)
      store.takeReset(header.consumerGroup, header.topic, header.queueId)
      return false
    }
    this.#told.tell(consumer, header, offset)
    pull.queueOffset = offset
    this.#answerWithNothing(pull, admitted, ResponseCode.PULL_OFFSET_MOVED, 'OFFSET_RESET')
    return true
  }

  /** Its client has more to take than it takes. It asks again when it has read this, which is behind all that. */
  #answerSlow(pull: Pull, admitted: Admitted): void {
    const { PULL_RETRY_IMMEDIATELY } = ResponseCode
    this.#answerWithNothing(pull, admitted, PULL_RETRY_IMMEDIATELY, 'more waits for this client than it takes')
  }

  /** As if nothing had been looked at. */
  #answerWithNothing(pull: Pull, { topic, group }: Admitted, code: number, remark: string): void {
    const { header } = pull
    const { store } = this.#context
    const extFields: ExtFields = {
      suggestWhichBrokerId: String(group.brokerId),
      nextBeginOffset: String(pull.queueOffset),
      minOffset: String(store.minOffset(header.topic, header.queueId)),
      maxOffset: String(pull.isPartial ? pull.queueOffset + 1 : Math.max(this.#endOf(header), pull.queueOffset)),
      topicSysFlag: String(topic.topicSysFlag),
      groupSysFlag: String(group.groupSysFlag),
    }
    pull.connection.respond(pull.request, createResponse(code, remark, extFields))
  }

  #fail(pull: Pull, error: StoreError | null): void {
    const refusal =
      error === null ? { code: ResponseCode.SYSTEM_ERROR, remark: 'no result' } : refusalOf(error, pull.request.version)
    this.#refuse(pull, refusal)
  }

  #refuse({ connection, request }: Pull, { code, remark }: Refusal): void {
    connection.respond(request, createResponse(code, remark))
  }

  #answer(pull: Pull, admitted: Admitted, result: GetResult, isFirstPass: boolean): void {
    const { header } = pull
    const isLeader = this.#context.store.isReady()
    let code = codeOf(result, pull.queueOffset)
    let nextBeginOffset = result.nextBeginOffset
    if (!isLeader && code === ResponseCode.PULL_OFFSET_MOVED && result.status !== 'OFFSET_TOO_SMALL') {
      // A follower that lags: what is asked for may well exist.
      code = ResponseCode.PULL_NOT_FOUND
      nextBeginOffset = pull.queueOffset
    }
    if (pull.isPartial && code === ResponseCode.PULL_NOT_FOUND) return this.#refuse(pull, rebuilding())
    if (code === ResponseCode.PULL_NOT_FOUND && isFirstPass && (header.sysFlag & PullSysFlag.SUSPEND) !== 0) {
      if (this.#endOf(header) > Math.max(result.maxOffset, pull.queueOffset)) {
        // It came while the disk was read.
        this.#run(pull, false)
        return
      }
      if (this.#hold(pull, admitted.subscription)) return
    }
    if (result.status === 'NO_MATCHED_MESSAGE' && pull.deadlineMs !== null) {
      // Woken for what its expression does not want. It goes on waiting, unless something came in the meantime.
      pull.queueOffset = nextBeginOffset
      const isAtEnd = !pull.isPartial && this.#endOf(header) <= nextBeginOffset
      if (isAtEnd && this.#hold(pull, admitted.subscription)) return
    }
    const extFields: ExtFields = {
      suggestWhichBrokerId: String(this.#suggestedBrokerId(admitted.group, result, isLeader)),
      nextBeginOffset: String(nextBeginOffset),
      minOffset: String(result.minOffset),
      maxOffset: String(this.#maxOffset(pull, result, nextBeginOffset, isLeader)),
      topicSysFlag: String(admitted.topic.topicSysFlag),
      groupSysFlag: String(admitted.group.groupSysFlag),
    }
    const body = code === ResponseCode.SUCCESS ? result.records : undefined
    this.#count(header, code, result)
    const response = createResponse(code, result.status, extFields, body)
    const { release } = result
    if (release !== undefined) response.releasable = { release }
    pull.connection.respond(pull.request, response)
  }

  /** A client that looks at it must not take what is ready for all there is. */
  #maxOffset({ isPartial }: Pull, { maxOffset }: GetResult, nextBeginOffset: number, isLeader: boolean): number {
    if (isPartial) return Math.max(maxOffset, nextBeginOffset + 1)
    return isLeader ? maxOffset : Math.max(maxOffset, nextBeginOffset)
  }

  /** As far as it is known. */
  #endOf({ topic, queueId }: PullMessageRequest): number {
    const { store } = this.#context
    return store.isRebuilding() ? 0 : store.maxOffset(topic, queueId)
  }

  // Hot.
  #count({ consumerGroup, topic }: PullMessageRequest, code: number, { records, recordBytes }: GetResult): void {
    const { statistics } = this.#context
    if (code === ResponseCode.SUCCESS) statistics.gaveOut(consumerGroup, topic, records.length, recordBytes)
    else statistics.foundNothing()
  }

  #hold(pull: Pull, subscription: Subscription): boolean {
    const { header, connection } = pull
    const { config } = this.#context
    // The member that passed it on waits shorter than its client does.
    if (this.#context.isFromMember(pull.request)) return false
    const nowMs = this.#context.clock.monotonicMs()
    const wantedMs = config.longPollingEnable ? header.suspendTimeoutMillis : config.shortPollingTimeMills
    pull.deadlineMs ??= nowMs + Math.min(wantedMs, HOLD_MS_MAX)
    const holdMs = pull.deadlineMs - nowMs
    if (holdMs <= 0 || this.#polling === null || connection.isClosed) return false
    const held = new HeldPull(
      header.topic,
      header.queueId,
      subscription.tagCodes,
      connection,
      pull,
      pull.request.receivedBytes,
    )
    if (this.#polling.hold(held, holdMs)) return true
    const refusal = busy(pull.request.version)
    connection.respond(pull.request, createResponse(refusal.code, refusal.remark))
    return true
  }

  #commitOffset(header: PullMessageRequest): void {
    if (!this.#context.store.isReady()) return
    try {
      this.#context.store.commitConsumerOffset(header.consumerGroup, header.topic, header.queueId, header.commitOffset)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.#context.logger.debug(
        { err: error, group: header.consumerGroup },
        'the offset that came with a pull was not kept',
      )
    }
  }

  /** 0 is the leader. A consumer that reads what is long out of memory may read it from a follower. */
  #suggestedBrokerId(group: SubscriptionGroupConfig, result: GetResult, isLeader: boolean): number {
    const { config, store } = this.#context
    const last = result.records.at(-1)
    if (
      !config.slaveReadEnable ||
      last === undefined ||
      result.maxOffset - result.nextBeginOffset < FAR_BEHIND_MESSAGES_MIN
    ) {
      return group.brokerId
    }
    const isFarBehind = store.maxPhysicalOffset() - recordPhysicalOffset(last) > this.#options.recentBytes
    if (!isFarBehind) return group.brokerId
    return isLeader ? group.whichBrokerWhenConsumeSlowly : config.slaveId
  }

  /** The checks in Apache's order; the first that fails answers. */
  #check(pull: Pull): Admitted | Refused {
    const { config, topics, groups } = this.#context
    const { header, request } = pull
    if (!isReadable(config.brokerPermission)) {
      return forbidden(`the broker[${config.brokerIP1}] pulling message is forbidden`, Forbidden.BROKER)
    }
    if (request.code === RequestCode.LITE_PULL_MESSAGE && !config.litePullMessageEnable) {
      return forbidden(`the broker[${config.brokerIP1}] for lite pull consumer is forbidden`, Forbidden.BROKER)
    }
    const group = groups.findOrCreate(header.consumerGroup)
    if (group === undefined) {
      const remark = `subscription group [${header.consumerGroup}] does not exist`
      return { code: ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, remark }
    }
    if (!group.consumeEnable) {
      return forbidden(`subscription group no permission, ${header.consumerGroup}`, Forbidden.GROUP)
    }
    const topic = topics.find(header.topic)
    if (topic === undefined) {
      return { code: ResponseCode.TOPIC_NOT_EXIST, remark: `topic[${header.topic}] not exist, apply first please!` }
    }
    if (!isReadable(topic.perm)) {
      return forbidden(`the topic[${header.topic}] pulling message is forbidden`, Forbidden.TOPIC)
    }
    if (header.queueId < 0 || header.queueId >= topic.readQueueNums) {
      const remark =
        `queueId[${header.queueId}] is illegal, topic:[${header.topic}] ` +
        `topicConfig.readQueueNums:[${topic.readQueueNums}] consumer:[${pull.connection.remoteAddress}]`
      return { code: ResponseCode.INVALID_PARAMETER, remark }
    }
    if (isReadForbidden(this.#context, header.consumerGroup, header.topic)) {
      const remark = `the consumer group[${header.consumerGroup}] is forbidden for topic[${header.topic}]`
      return forbidden(remark, Forbidden.SUBSCRIPTION)
    }
    const subscription = this.#subscriptionOf(header, group)
    if ('code' in subscription) return subscription
    if (subscription.filter !== null && !config.enablePropertyFilter) {
      const remark = `The broker does not support consumer to filter message by ${subscription.expressionType}`
      return { code: ResponseCode.SYSTEM_ERROR, remark }
    }
    return { topic, group, subscription }
  }

  #subscriptionOf(header: PullMessageRequest, group: SubscriptionGroupConfig): Subscription | Refused {
    if ((header.sysFlag & PullSysFlag.SUBSCRIPTION) !== 0) {
      const { topic, subscription: expression, expressionType, subVersion } = header
      const own = buildSubscription({ topic, expression, expressionType, subVersion }, this.#context.expressions)
      if (own !== null && !(own.filter instanceof ExpressionError)) return own
      const remark = "parse the consumer's subscription failed"
      return { code: ResponseCode.SUBSCRIPTION_PARSE_FAILED, remark }
    }
    const consumers = this.#context.consumers.group(header.consumerGroup)
    if (consumers === undefined) {
      return { code: ResponseCode.SUBSCRIPTION_NOT_EXIST, remark: "the consumer's group info not exist" }
    }
    if (!group.consumeBroadcastEnable && consumers.isBroadcast) {
      const remark = `the consumer group[${header.consumerGroup}] can not consume by broadcast way`
      return forbidden(remark, Forbidden.BROADCAST)
    }
    const known = consumers.subscriptions.get(header.topic)
    if (known === undefined) {
      return { code: ResponseCode.SUBSCRIPTION_NOT_EXIST, remark: "the consumer's subscription not exist" }
    }
    if (known.filter !== null) return expressionOf(known, header)
    // Refusing would stall the client until its next heartbeat, up to 30 s. It filters again by itself, so nothing is lost by
    // giving it everything until the heartbeat with the newer subscription comes.
    return known.subVersion < header.subVersion ? everything(header.topic) : known
  }

  /** Null for tags. */
  #recordFilter({ topic, consumerGroup }: PullMessageRequest, { filter }: Subscription): RecordFilter | null {
    if (!(filter instanceof Sql92)) return null
    if (!this.#context.config.filterSupportRetry || !isRetryTopic(topic)) return filter.matches
    return (record) => {
      const source = recordProperty(record, PropertyName.RETRY_TOPIC)
      const subscriptions = this.#context.consumers.group(consumerGroup)?.subscriptions
      const original = source === undefined ? undefined : subscriptions?.get(source)?.filter
      return !(original instanceof Sql92) || original.matches(record)
    }
  }
}

/**
 * No client filters by an expression again, so the one it pulls for must be the one that is known: an older one would pass over
 * messages that the newer one wants.
 */
function expressionOf(known: Subscription, header: PullMessageRequest): Subscription | Refused {
  if (known.subVersion < header.subVersion) {
    return { code: ResponseCode.SUBSCRIPTION_NOT_LATEST, remark: "the consumer's subscription not latest" }
  }
  if (!(known.filter instanceof ExpressionError)) return known
  const remark = `The broker's consumer filter data is not exist!Your expression may be wrong! ${known.filter.message}`
  return { code: ResponseCode.FILTER_DATA_NOT_EXIST, remark }
}

function forbidden(remark: string, forbiddenType: number): Refused {
  return { code: ResponseCode.NO_PERMISSION, remark, forbiddenType }
}

function codeOf(result: GetResult, queueOffset: number): number {
  switch (result.status) {
    case 'FOUND':
      return ResponseCode.SUCCESS
    case 'NO_MATCHED_MESSAGE':
    case 'MESSAGE_WAS_REMOVING':
      return ResponseCode.PULL_RETRY_IMMEDIATELY
    case 'NO_MATCHED_LOGIC_QUEUE':
    case 'NO_MESSAGE_IN_QUEUE':
      return queueOffset === 0 ? ResponseCode.PULL_NOT_FOUND : ResponseCode.PULL_OFFSET_MOVED
    case 'OFFSET_OVERFLOW_ONE':
    case 'OFFSET_FOUND_NULL':
      return ResponseCode.PULL_NOT_FOUND
    case 'OFFSET_OVERFLOW_BADLY':
    case 'OFFSET_TOO_SMALL':
      return ResponseCode.PULL_OFFSET_MOVED
  }
}
