/**
 * Messages from producers: SEND_MESSAGE (10), SEND_MESSAGE_V2 (310), SEND_BATCH_MESSAGE (320); and the answers to requests, 324 and 325.
 *
 * Keeps:
 *   S1  code 0 means committed and applied; what is refused with 14 or 13 was certainly not stored;
 *   S2  every stored message has UNIQ_KEY, CLUSTER, MSG_REGION and TRACE_ON; none has POP_CK;
 *   S3  the answer names the queue that was used, and ids by which the record is found.
 *
 * Source: SendMessageProcessor, AbstractSendMessageProcessor.
 */
import {
  appendProperties,
  type BatchMessage,
  dlqTopic,
  encodeProperties,
  getProperty,
  hasProperty,
  isNotAllowedSendTopic,
  isRetryTopic,
  isWritable,
  MessageSysFlag,
  offsetMsgId,
  PROPERTIES_BYTES_MAX,
  PropertyName,
  ProtocolError,
  removeProperty,
  RETRY_TOPIC_PREFIX,
  setProperty,
  splitBatchBody,
  SystemTopic,
  topicNameError,
} from '@dledger-ts/protocol'
import {
  type Connection,
  createResponse,
  type ExtFields,
  type ProcessorResult,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  sendMessageHeader,
  type SendMessageRequest,
  SendMessageResponse,
  SendResponseText,
  SerializeType,
} from '@dledger-ts/remoting'
import {
  BATCH_COUNT_MAX,
  type NewMessage,
  type PutBatchListener,
  type PutListener,
  type PutResult,
  type StoreError,
  type TopicConfig,
} from '@dledger-ts/store'
import type { BrokerContext } from '../context.ts'
import { isForwarded } from '../forwarding/forwarder.ts'
import { encodeRecallHandle } from '../recall-handle.ts'
import { refusalOf } from '../refusal.ts'
import type { SlaveGate, SlaveWaiter } from '../slaves/slave-gate.ts'
import { CONTROL_TOPIC, RETRY_QUEUES } from '../topics/topic-table.ts'
import { Aside, type Processor, WaitingRequests } from './registry.ts'
import { isReply, ReplyRelay, type ReplyResult } from './reply.ts'
import { VERSION_WITH_OWN_RETRY_LIMIT } from './retry-limit.ts'
import { immunityMs } from './transaction.ts'

const MULTI_TAG = 'MULTI_TAG'

export function sendProcessors(context: BrokerContext): [number, Processor][] {
  const sender = new SendProcessor(context)
  const processor: Processor = { served: 'leader', handle: (connection, request) => sender.handle(connection, request) }
  // A kind of its own: a reply waits for the client that it goes to, and no send waits for that.
  const replies: Processor = { ...processor }
  return [
    [RequestCode.SEND_MESSAGE, processor],
    [RequestCode.SEND_MESSAGE_V2, processor],
    [RequestCode.SEND_BATCH_MESSAGE, processor],
    [RequestCode.SEND_REPLY_MESSAGE, replies],
    [RequestCode.SEND_REPLY_MESSAGE_V2, replies],
  ]
}

class SendProcessor {
  readonly #context: BrokerContext
  /** Ext fields of every answer to a send. */
  readonly #regionFields: Readonly<ExtFields>
  readonly #responseText: SendResponseText
  /** What the broker adds to each message, as property text. */
  readonly #addedProperties: string
  readonly #relay: ReplyRelay
  /** Sends that wait for their topic to be made; no send to a topic that is there waits behind them. */
  readonly #newTopics = new WaitingRequests()

  constructor(context: BrokerContext) {
    this.#context = context
    this.#relay = new ReplyRelay(context)
    const { brokerClusterName, regionId, traceOn } = context.config
    this.#regionFields = { MSG_REGION: regionId, TRACE_ON: String(traceOn) }
    this.#responseText = new SendResponseText(regionId, String(traceOn))
    this.#addedProperties = encodeProperties([
      [PropertyName.CLUSTER, brokerClusterName],
      [PropertyName.MSG_REGION, regionId],
      [PropertyName.TRACE_ON, String(traceOn)],
    ])
  }

  // Hot: runs for each send.
  handle(connection: Connection, request: RemotingCommand): ProcessorResult | Promise<ProcessorResult> | Aside {
    const header = sendMessageHeader(request.code).decode(request.extFields)
    const fault = this.#nameFault(header.topic)
    if (fault !== null) return this.#refuse(fault.code, fault.remark)
    const topic = this.#context.topics.find(header.topic)
    if (topic !== undefined) return this.#send(connection, request, header, topic)
    // A message that cannot be stored makes no topic; Apache's does.
    const illegal = this.#contentFault(request, header)
    if (illegal !== null) return this.#refuse(ResponseCode.MESSAGE_ILLEGAL, illegal)
    // A reply waits for the client that it goes to, whatever its topic: it stays among replies.
    if (isReply(request.code)) return this.#createTopicAndSend(connection, request, header)
    return new Aside(this.#newTopics, () => this.#createTopicAndSend(connection, request, header))
  }

  /** The first checks: the broker takes messages, the name is one, and clients may send there. */
  #nameFault(topic: string): { code: number; remark: string } | null {
    const { config } = this.#context
    if (!isWritable(config.brokerPermission)) {
      return {
        code: ResponseCode.NO_PERMISSION,
        remark: `the broker[${config.brokerIP1}] sending message is forbidden`,
      }
    }
    const nameError = topicNameError(topic)
    if (nameError !== undefined) return { code: ResponseCode.INVALID_PARAMETER, remark: nameError }
    if (isNotAllowedSendTopic(topic) || topic === SystemTopic.WHEEL_TIMER || topic === CONTROL_TOPIC) {
      return { code: ResponseCode.NO_PERMISSION, remark: `Sending message to topic[${topic}] is forbidden.` }
    }
    return null
  }

  async #createTopicAndSend(
    connection: Connection,
    request: RemotingCommand,
    header: SendMessageRequest,
  ): Promise<ProcessorResult> {
    const topic = await this.#context.topics.createForSend({
      topic: header.topic,
      defaultTopic: header.defaultTopic,
      queueNums: header.defaultTopicQueueNums,
      unitMode: header.unitMode ?? false,
    })
    if (topic === null) {
      const remark = `topic[${header.topic}] not exist, apply first please!`
      return this.#refuse(ResponseCode.TOPIC_NOT_EXIST, remark)
    }
    const sent = this.#send(connection, request, header, topic)
    return sent instanceof Aside ? sent.start() : sent
  }

  #send(
    connection: Connection,
    request: RemotingCommand,
    header: SendMessageRequest,
    topic: TopicConfig,
  ): ProcessorResult | Promise<ProcessorResult> | Aside {
    if (!isWritable(topic.perm)) {
      const remark = `the topic[${header.topic}] sending message is forbidden`
      return this.#refuse(ResponseCode.NO_PERMISSION, remark)
    }
    const queueCount = Math.max(topic.writeQueueNums, topic.readQueueNums)
    if (header.queueId >= queueCount || (header.queueId < 0 && topic.writeQueueNums <= 0)) {
      const remark = `request queueId[${header.queueId}] is illegal, ${describeTopic(topic)} Producer: ${connection.remoteAddress}`
      return this.#refuse(ResponseCode.INVALID_PARAMETER, remark)
    }
    const illegal = this.#contentFault(request, header)
    if (illegal !== null) return this.#refuse(ResponseCode.MESSAGE_ILLEGAL, illegal)
    if (isReply(request.code)) return this.#reply(connection, request, header, topic)
    if (request.code === RequestCode.SEND_BATCH_MESSAGE || header.batch === true) {
      return this.#sendBatch(connection, request, header, topic)
    }
    if (isRetryTopic(header.topic)) return this.#sendRetry(connection, request, header, topic)
    return this.#sendOne(
      connection,
      request,
      header,
      topic,
      header.properties ?? '',
      header.topic,
      this.#queueOf(header, topic),
    )
  }

  /** @returns why the content cannot be stored, or null. */
  #contentFault(request: RemotingCommand, header: SendMessageRequest): string | null {
    const { maxMessageSize } = this.#context.config
    const { length: bodyBytes } = request.bodyBytes
    if (request.body === undefined) return beyondLimits(maxMessageSize, 'It has no body.')
    if (bodyBytes > maxMessageSize) return beyondLimits(maxMessageSize, `The body has ${bodyBytes} bytes.`)
    const { properties, topic, sysFlag } = header
    if (properties !== undefined && properties.length > PROPERTIES_BYTES_MAX) {
      return beyondLimits(maxMessageSize, `The properties have more than ${PROPERTIES_BYTES_MAX} bytes.`)
    }
    if ((sysFlag & MessageSysFlag.INNER_BATCH) !== 0 || isInnerBatch(properties ?? '')) {
      return `the message is illegal: inner batches are not supported, and topic ${topic} has none`
    }
    return null
  }

  #queueOf(header: SendMessageRequest, topic: TopicConfig): number {
    return header.queueId >= 0 ? header.queueId : this.#context.random.below(topic.writeQueueNums)
  }

  /** A consumer that could not send back sends to the retry topic itself; over the limit it goes to the dead letters. */
  #sendRetry(
    connection: Connection,
    request: RemotingCommand,
    header: SendMessageRequest,
    topic: TopicConfig,
  ): ProcessorResult | Aside {
    const groupName = header.topic.slice(RETRY_TOPIC_PREFIX.length)
    const group = this.#context.groups.findOrCreate(groupName)
    if (group === undefined) {
      const remark = `subscription group not exist, ${groupName}`
      return this.#refuse(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, remark)
    }
    const hasOwnLimit = request.version >= VERSION_WITH_OWN_RETRY_LIMIT && header.maxReconsumeTimes !== undefined
    const limit = hasOwnLimit ? (header.maxReconsumeTimes as number) : group.retryMaxTimes
    const properties = header.properties ?? ''
    if ((header.reconsumeTimes ?? 0) <= limit) {
      return this.#sendOne(connection, request, header, topic, properties, header.topic, this.#queueOf(header, topic))
    }
    const deadTopic = dlqTopic(groupName)
    const undelayed = setProperty(properties, PropertyName.DELAY, '0')
    const deadConfig = this.#context.topics.find(deadTopic)
    if (deadConfig !== undefined) {
      return this.#sendOne(connection, request, header, deadConfig, undelayed, deadTopic, 0)
    }
    return new Aside(this.#newTopics, async () => {
      const created = await this.#context.topics.createForRetry(deadTopic, RETRY_QUEUES, false)
      return this.#sendOne(connection, request, header, created, undelayed, deadTopic, 0)
    })
  }

  // Hot: the arguments are spread out so that the ordinary send makes no object of them.
  #sendOne(
    connection: Connection,
    request: RemotingCommand,
    header: SendMessageRequest,
    topic: TopicConfig,
    properties: string,
    topicName: string,
    queueId: number,
  ): ProcessorResult {
    const reconsumeTimes = header.reconsumeTimes ?? 0
    const isHalf = isTransactional(properties, reconsumeTimes)
    if (isHalf && this.#context.config.rejectTransactionMessage) {
      const remark = `the broker[${this.#context.config.brokerIP1}] sending transaction message is forbidden`
      return this.#refuse(ResponseCode.NO_PERMISSION, remark)
    }
    if (!this.#context.config.timerWheelEnable && isTimer(properties)) {
      const remark = 'accurate timer message is not enabled, timerWheelEnable is false'
      return this.#refuse(ResponseCode.SYSTEM_ERROR, remark)
    }
    this.#relay.noteRequester(connection, request, header)
    const uniqKey = getProperty(properties, PropertyName.UNIQ_KEY) ?? this.#context.uniqKeys.next()
    const message = this.#messageOf(connection, request, header, topic, properties, topicName, queueId, uniqKey)
    const pending = new PendingSend(
      this.#context,
      this.#regionFields,
      this.#responseText,
      connection,
      request,
      topicName,
      uniqKey,
      this.#gateFor(properties),
    )
    if (isHalf) putHalf(this.#context, connection, request, message, pending)
    else this.#context.store.put(message, pending)
    return undefined
  }

  // Hot.
  #messageOf(
    connection: Connection,
    request: RemotingCommand,
    header: SendMessageRequest,
    topic: TopicConfig,
    properties: string,
    topicName: string,
    queueId: number,
    uniqKey: string,
  ): NewMessage {
    return {
      topic: topicName,
      queueId,
      flag: header.flag,
      sysFlag: topic.topicFilterType === MULTI_TAG ? header.sysFlag | MessageSysFlag.MULTI_TAGS : header.sysFlag,
      bornTimestamp: header.bornTimestamp,
      bornHost: this.#context.bornHostOf(connection, request),
      storeHost: this.#context.storeHost,
      reconsumeTimes: header.reconsumeTimes ?? 0,
      preparedTransactionOffset: 0,
      body: request.bodyBytes,
      properties: this.#completeProperties(properties, uniqKey),
    }
  }

  /**
   * A consumer's answer to a request goes to who asked, and then, where that is wanted, into the log. The code tells whether it arrived:
   * what is stored of it nobody waits for.
   */
  async #reply(
    connection: Connection,
    request: RemotingCommand,
    header: SendMessageRequest,
    topic: TopicConfig,
  ): Promise<ProcessorResult> {
    const properties = header.properties ?? ''
    const failure = await this.#relay.push(connection, request, header)
    const queueId = this.#queueOf(header, topic)
    let stored: ReplyResult = { msgId: '0', queueId, queueOffset: 0 }
    if (this.#context.config.storeReplyMessageEnable) {
      const uniqKey = getProperty(properties, PropertyName.UNIQ_KEY) ?? this.#context.uniqKeys.next()
      const message = this.#messageOf(connection, request, header, topic, properties, header.topic, queueId, uniqKey)
      stored = (await this.#relay.store(message)) ?? stored
    }
    const extFields: ExtFields = {
      msgId: stored.msgId,
      queueId: String(stored.queueId),
      queueOffset: String(stored.queueOffset),
      ...this.#regionFields,
    }
    return failure === null
      ? createResponse(ResponseCode.SUCCESS, undefined, extFields)
      : createResponse(ResponseCode.SYSTEM_ERROR, failure, extFields)
  }

  async #sendBatch(
    connection: Connection,
    request: RemotingCommand,
    header: SendMessageRequest,
    topic: TopicConfig,
  ): Promise<ProcessorResult> {
    if (isRetryTopic(header.topic)) {
      return this.#refuse(ResponseCode.MESSAGE_ILLEGAL, `batch request does not support retry group ${header.topic}`)
    }
    let inner: BatchMessage[]
    try {
      inner = splitBatchBody(request.bodyBytes)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      return this.#refuse(ResponseCode.MESSAGE_ILLEGAL, `the batch is illegal: ${error.message}`)
    }
    if (inner.length > BATCH_COUNT_MAX) {
      const remark = `the batch is illegal: it has ${inner.length} messages, ${BATCH_COUNT_MAX} are allowed`
      return this.#refuse(ResponseCode.MESSAGE_ILLEGAL, remark)
    }
    if (inner.some((one) => isInnerBatch(one.properties))) {
      return this.#refuse(ResponseCode.MESSAGE_ILLEGAL, 'the batch is illegal: inner batches are not supported')
    }
    if (inner.some((one) => hasDelay(one.properties) || isTransactional(one.properties, 0))) {
      const remark = 'the batch is illegal: delayed and transactional messages cannot be batched'
      return this.#refuse(ResponseCode.MESSAGE_ILLEGAL, remark)
    }
    const queueId = this.#queueOf(header, topic)
    const bornHost = this.#context.bornHostOf(connection, request)
    const messages = inner.map((one): NewMessage => ({
      topic: header.topic,
      queueId,
      flag: one.flag,
      sysFlag: header.sysFlag,
      bornTimestamp: header.bornTimestamp,
      bornHost,
      storeHost: this.#context.storeHost,
      reconsumeTimes: header.reconsumeTimes ?? 0,
      preparedTransactionOffset: 0,
      body: one.body,
      properties: this.#completeProperties(
        one.properties,
        getProperty(one.properties, PropertyName.UNIQ_KEY) ?? this.#context.uniqKeys.next(),
      ),
    }))
    const batchKey = getProperty(header.properties ?? '', PropertyName.UNIQ_KEY)
    const gate = this.#gateFor(header.properties ?? '')
    this.#context.store.putBatch(
      messages,
      new PendingBatch(this.#context, this.#regionFields, connection, request, batchKey, gate),
    )
    return undefined
  }

  /** What a SYNC_MASTER waits for; a producer may say that it does not. Hot. */
  #gateFor(properties: string): SlaveGate | null {
    const { slaveGate } = this.#context
    if (slaveGate === null) return null
    const wait = getProperty(properties, PropertyName.WAIT)
    return wait === undefined || wait.toLowerCase() === 'true' ? slaveGate : null
  }

  // Hot.
  #completeProperties(given: string, uniqKey: string): string {
    let properties = removeProperty(given, PropertyName.POP_CK)
    properties = removeProperty(properties, PropertyName.CLUSTER)
    properties = removeProperty(properties, PropertyName.MSG_REGION)
    properties = removeProperty(properties, PropertyName.TRACE_ON)
    if (!hasProperty(properties, PropertyName.UNIQ_KEY))
      properties = setProperty(properties, PropertyName.UNIQ_KEY, uniqKey)
    return appendProperties(properties, this.#addedProperties)
  }

  #refuse(code: number, remark: string): RemotingCommand {
    return createResponse(code, remark, { ...this.#regionFields })
  }
}

/** A send that waits for its message to be stored. */
class PendingSend implements PutListener, SlaveWaiter {
  readonly #context: BrokerContext
  readonly #regionFields: Readonly<ExtFields>
  readonly #responseText: SendResponseText
  readonly #request: RemotingCommand
  readonly #connection: Connection
  readonly #topic: string
  readonly #uniqKey: string
  readonly #gate: SlaveGate | null
  readonly #begunMs: number
  /** Set while slaves are waited for. */
  #result: PutResult | null = null

  constructor(
    context: BrokerContext,
    regionFields: Readonly<ExtFields>,
    responseText: SendResponseText,
    connection: Connection,
    request: RemotingCommand,
    topic: string,
    uniqKey: string,
    gate: SlaveGate | null,
  ) {
    this.#gate = gate
    this.#context = context
    this.#regionFields = regionFields
    this.#responseText = responseText
    this.#request = request
    this.#connection = connection
    this.#topic = topic
    this.#uniqKey = uniqKey
    this.#begunMs = context.statistics.putTimes.begin()
  }

  // Hot: runs for each stored message.
  stored(result: PutResult): void {
    this.#context.statistics.putTimes.end(this.#begunMs)
    if (this.#request.isOneway) return
    if (this.#gate === null) return this.#answer(result, ResponseCode.SUCCESS)
    this.#result = result
    this.#gate.hold(this)
  }

  slavesAnswered(code: number): void {
    if (this.#result !== null) this.#answer(this.#result, code)
  }

  // Hot.
  #answer(result: PutResult, code: number): void {
    const response = createResponse(code)
    const msgId = offsetMsgId(this.#context.storeHost, result.physicalOffset)
    const { timerOutMs, wantedQueueId, queueOffset } = result
    const recallHandle = timerOutMs === null || isRetryTopic(this.#topic) ? undefined : this.#recallHandle(timerOutMs)
    if (this.#request.serializeType === SerializeType.JSON) {
      // Of a repeated send the queue of the first one.
      response.extFieldsJson = this.#responseText.fields(msgId, wantedQueueId, queueOffset, this.#uniqKey, recallHandle)
    } else {
      response.extFields = SendMessageResponse.encode({
        msgId,
        queueId: wantedQueueId,
        queueOffset,
        transactionId: this.#uniqKey,
        recallHandle,
        regionId: this.#regionFields['MSG_REGION'],
        traceOn: this.#regionFields['TRACE_ON'],
      })
    }
    this.#connection.respond(this.#request, response)
  }

  putFailed(error: StoreError): void {
    answerFailedPut(this.#context, this.#regionFields, this.#request, this.#connection, error)
  }

  #recallHandle(timerOutMs: number): string {
    const { brokerName } = this.#context.config
    return encodeRecallHandle({ topic: this.#topic, brokerName, deliverMs: timerOutMs + 1, uniqKey: this.#uniqKey })
  }
}

/** A batch that waits for all its messages to be stored. */
class PendingBatch implements PutBatchListener, SlaveWaiter {
  readonly #context: BrokerContext
  readonly #regionFields: Readonly<ExtFields>
  readonly #request: RemotingCommand
  readonly #connection: Connection
  readonly #batchKey: string | undefined
  readonly #gate: SlaveGate | null
  #results: readonly PutResult[] = []

  constructor(
    context: BrokerContext,
    regionFields: Readonly<ExtFields>,
    connection: Connection,
    request: RemotingCommand,
    batchKey: string | undefined,
    gate: SlaveGate | null,
  ) {
    this.#gate = gate
    this.#context = context
    this.#regionFields = regionFields
    this.#request = request
    this.#connection = connection
    this.#batchKey = batchKey
  }

  stored(results: readonly PutResult[]): void {
    if (this.#request.isOneway) return
    this.#results = results
    if (this.#gate === null) this.slavesAnswered(ResponseCode.SUCCESS)
    else this.#gate.hold(this)
  }

  slavesAnswered(code: number): void {
    const results = this.#results
    let msgIds = ''
    for (const result of results) {
      const id = offsetMsgId(this.#context.storeHost, result.physicalOffset)
      msgIds = msgIds === '' ? id : `${msgIds},${id}`
    }
    const extFields: ExtFields = {
      msgId: msgIds,
      queueId: String(results[0]?.wantedQueueId ?? 0),
      queueOffset: String(results[0]?.queueOffset ?? 0),
      ...this.#regionFields,
    }
    if (this.#batchKey !== undefined) extFields['transactionId'] = this.#batchKey
    this.#connection.respond(this.#request, createResponse(code, undefined, extFields))
  }

  putFailed(error: StoreError): void {
    answerFailedPut(this.#context, this.#regionFields, this.#request, this.#connection, error)
  }
}

function answerFailedPut(
  context: BrokerContext,
  regionFields: Readonly<ExtFields>,
  request: RemotingCommand,
  connection: Connection,
  error: StoreError,
): void {
  context.logger.debug({ err: error }, 'a message was not stored')
  context.statistics.refusedPut()
  if (error.code === 'NOT_LEADER' && context.retryOnLeader(connection, request)) return
  if (request.isOneway) return
  const refusal = refusalOf(error, request.version)
  connection.respond(request, createResponse(refusal.code, refusal.remark, { ...regionFields }))
}

/** Its producer can be asked for it over this connection, unless another member forwarded it. */
function putHalf(
  context: BrokerContext,
  connection: Connection,
  request: RemotingCommand,
  message: NewMessage,
  listener: PutListener,
): void {
  const { transactionProducers, transactionChecks, store } = context
  const group = getProperty(message.properties, PropertyName.PRODUCER_GROUP)
  if (group !== undefined && !isForwarded(request) && transactionProducers.sent(connection, group)) {
    transactionChecks.producerAppeared(group)
  }
  transactionChecks.halfStored(immunityMs(message.properties))
  store.putHalf(message, listener)
}

function beyondLimits(maxMessageSize: number, what: string): string {
  return (
    'the message is illegal, maybe msg body or properties length not matched. ' +
    `msg body length limit ${maxMessageSize}B, msg properties length limit 32KB. ${what}`
  )
}

/** Apache refuses a message that says so and is none; here none is. */
function isInnerBatch(properties: string): boolean {
  return hasProperty(properties, PropertyName.INNER_NUM)
}

function isTransactional(properties: string, reconsumeTimes: number): boolean {
  const prepared = getProperty(properties, PropertyName.TRANSACTION_PREPARED)
  if (prepared === undefined || prepared.toLowerCase() !== 'true') return false
  // Clients before 4.6.1 leave the mark on messages that they send back.
  return !(reconsumeTimes > 0 && hasDelay(properties))
}

function hasDelay(properties: string): boolean {
  const delay = getProperty(properties, PropertyName.DELAY)
  return delay !== undefined && Number(delay) > 0
}

/** Whether a message would wait in the topic of the timers. */
function isTimer(properties: string): boolean {
  if (hasDelay(properties) || hasProperty(properties, PropertyName.TIMER_OUT_MS)) return false
  const names = [PropertyName.TIMER_DELAY_SEC, PropertyName.TIMER_DELAY_MS, PropertyName.TIMER_DELIVER_MS]
  return names.some((name) => hasProperty(properties, name))
}

/** As Apache prints a topic in a refusal. */
function describeTopic(topic: TopicConfig): string {
  const perm = `${(topic.perm & 4) === 0 ? '-' : 'R'}${(topic.perm & 2) === 0 ? '-' : 'W'}${(topic.perm & 1) === 0 ? '-' : 'X'}`
  return (
    `TopicConfig [topicName=${topic.topicName}, readQueueNums=${topic.readQueueNums}, ` +
    `writeQueueNums=${topic.writeQueueNums}, perm=${perm}, topicFilterType=${topic.topicFilterType}, ` +
    `topicSysFlag=${topic.topicSysFlag}, order=${topic.order}, attributes={}]`
  )
}
