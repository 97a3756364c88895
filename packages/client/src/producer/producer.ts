/**
 * A producer: sends messages of one group to any topic, through failovers.
 *
 *   const producer = new Producer({ group: 'orders', namesrvAddress: '127.0.0.1:9876' })
 *   producer.start()
 *   await producer.send({ topic: 'Orders', body: Buffer.from('one') })
 *   await producer.close()
 *
 * A message that was acknowledged is stored. One whose send failed with an unknown outcome (see README.md) may be stored,
 * even twice, under the same UNIQ_KEY.
 */
import { encodeBatchBody, PropertyName, ProtocolError, type UniqKeyGenerator } from '@dledger-ts/protocol'
import { ClientCore } from '../client-core.ts'
import { check, ClientError, closedError } from '../errors.ts'
import { uniqKeyGenerator } from '../identity.ts'
import { type ClientOptions, commonSettings, wholeNumber } from '../options.ts'
import { BODY_BYTES_MAX, checkMessage, type Message, messageProperties } from './message.ts'
import { type QueueSelector, RoundRobin } from './queue-choice.ts'
import type { SendResult } from './send-result.ts'
import {
  type Outgoing,
  type SendCallback,
  type SendContext,
  Sending,
  sendRequest,
  type SendTarget,
  waitingBytes,
} from './sending.ts'

export interface ProducerOptions extends ClientOptions {
  /** For one send with all its attempts. Default 3,000. */
  readonly sendTimeoutMs?: number
  /** Attempts of one send, beside those that found no leader. Default 3. */
  readonly attemptsMax?: number
  /** Sends that may wait at a time; further ones fail with BUSY. Default 50,000. */
  readonly pendingMax?: number
  /** Bytes of the messages that may wait at a time; once there are so many further sends fail with BUSY. Default 100 MiB. */
  readonly pendingBytesMax?: number
  /** Queues for each broker of a topic that a message makes. Default 4. */
  readonly newTopicQueues?: number
}

export interface SendOptions {
  readonly timeoutMs?: number
  /** Messages of one key go to one queue, chosen by `selector`. */
  readonly selector?: QueueSelector
  readonly key?: string
}

export interface AwaitedSendOptions extends SendOptions {
  /** Rejects with its reason. The message may be stored all the same. */
  readonly signal?: AbortSignal
}

/** What a send may wait. */
const TIMEOUT_MS_MAX = 3_600_000
/** Twice this, awaited sends and one-way ones, has room on one connection, which is closed at 256 MiB. */
const PENDING_BYTES_LIMIT = 120 * 1024 * 1024

type State = 'NEW' | 'STARTED' | 'CLOSED'

export class Producer {
  readonly #core: ClientCore
  readonly #context: SendContext
  readonly #uniqKeys: UniqKeyGenerator
  readonly #turns = new Map<string, RoundRobin>()
  readonly #defaultTarget: SendTarget
  readonly #pendingMax: number
  readonly #pendingBytesMax: number
  #state: State = 'NEW'
  #pending = 0
  #pendingBytes = 0
  #drained: (() => void) | null = null

  /** @throws ClientError `INVALID`. */
  constructor(options: ProducerOptions) {
    const settings = commonSettings(options)
    const { group, clock, random, logger } = settings
    const newTopicQueues = wholeNumber(options.newTopicQueues ?? 4, 'newTopicQueues', { min: 1, max: 65_536 })
    this.#core = new ClientCore({
      settings,
      newTopicQueues,
      mastersOnly: true,
      heartbeat: () => ({ producerDataSet: [{ groupName: group }], consumerDataSet: [] }),
    })
    this.#context = {
      group,
      remoting: this.#core.remoting,
      routes: this.#core.routes,
      clock,
      random,
      logger,
      newTopicQueues,
      attemptsMax: wholeNumber(options.attemptsMax ?? 3, 'attemptsMax', { min: 1, max: 1_000 }),
      turnOf: (topic) => this.#turnOf(topic),
    }
    this.#uniqKeys = uniqKeyGenerator({ ip: this.#core.ip, clock, random })
    const timeoutMs = wholeNumber(options.sendTimeoutMs ?? 3_000, 'sendTimeoutMs', { min: 1, max: TIMEOUT_MS_MAX })
    this.#defaultTarget = { timeoutMs, selector: null, key: '' }
    this.#pendingMax = wholeNumber(options.pendingMax ?? 50_000, 'pendingMax', { min: 1, max: 10_000_000 })
    const bytesLimits = { min: 1, max: PENDING_BYTES_LIMIT }
    this.#pendingBytesMax = wholeNumber(options.pendingBytesMax ?? 100 * 1024 * 1024, 'pendingBytesMax', bytesLimits)
  }

  get clientId(): string {
    return this.#core.clientId
  }

  /** Sends that have not ended. */
  get pendingCount(): number {
    return this.#pending
  }

  /** Needs no network yet: routes are fetched when they are needed. */
  start(): void {
    check(this.#state === 'NEW', 'a producer starts once')
    this.#state = 'STARTED'
    this.#core.start()
  }

  /** @throws ClientError; see README.md for what is known about the outcome. */
  send(message: Message, options: AwaitedSendOptions = {}): Promise<SendResult> {
    return this.#awaited(options, (callback) => this.#sendOne(message, options, callback))
  }

  /** The same without a promise. Errors of the arguments come by the callback, too, before this returns. Hot. */
  sendAsync(message: Message, callback: SendCallback, options?: SendOptions): void {
    this.#sendOne(message, options, callback)
  }

  /** Sends messages of one topic as one request, to one queue: all are stored, one after another, or none. */
  sendBatch(messages: readonly Message[], options: AwaitedSendOptions = {}): Promise<SendResult> {
    return this.#awaited(options, (callback) => this.#sendMany(messages, options, callback))
  }

  sendBatchAsync(messages: readonly Message[], callback: SendCallback, options?: SendOptions): void {
    this.#sendMany(messages, options, callback)
  }

  /** Sends without an answer: the message may be lost. @throws ClientError `INVALID`, `CLOSED` or `BUSY`. */
  sendOneway(message: Message): void {
    if (this.#state !== 'STARTED') throw closedError()
    const outgoing = this.#outgoingOneway(message)
    const route = this.#core.routes.current(message.topic)
    const queue = route === undefined ? undefined : this.#turnOf(message.topic).choose(route, null)
    const address = queue === undefined ? undefined : route?.masterOf(queue.brokerName)
    if (queue !== undefined && address !== undefined) {
      // Nobody counts what was sent one-way; a connection for which too much waits would be closed, with all other sends on it.
      const waiting = this.#core.remoting.unwrittenBytes(address)
      if (waiting >= this.#pendingBytesMax) throw this.#busy(`${waiting} bytes wait for ${address} already`)
      this.#core.remoting.oneway(address, sendRequest(this.#context, outgoing, queue, this.#core.clock.nowMs()))
      return
    }
    if (this.#isBusy) throw this.#busy()
    // No route yet, or nobody leads: then it goes the ordinary way, and nobody hears of the end.
    this.#dispatch(outgoing, this.#defaultTarget, (error) => {
      if (error !== null) this.#core.logger.debug({ topic: message.topic, err: error }, 'a one-way message was dropped')
    })
  }

  /** Refuses new sends, waits for those under way, and closes the connections. Idempotent. */
  async close(): Promise<void> {
    this.#state = 'CLOSED'
    if (this.#pending > 0) {
      await new Promise<void>((resolve) => {
        const others = this.#drained
        this.#drained = () => {
          others?.()
          resolve()
        }
      })
    }
    await this.#core.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #sendOne(message: Message, options: SendOptions | undefined, callback: SendCallback): Sending | null {
    let outgoing: Outgoing
    let target: SendTarget
    try {
      outgoing = this.#outgoingOne(message)
      target = this.#target(options)
    } catch (error) {
      return refuse(error, callback)
    }
    return this.#dispatch(outgoing, target, callback)
  }

  #sendMany(messages: readonly Message[], options: SendOptions | undefined, callback: SendCallback): Sending | null {
    let outgoing: Outgoing
    let target: SendTarget
    try {
      outgoing = this.#outgoingMany(messages)
      target = this.#target(options)
    } catch (error) {
      return refuse(error, callback)
    }
    return this.#dispatch(outgoing, target, callback)
  }

  #dispatch(outgoing: Outgoing, target: SendTarget, callback: SendCallback): Sending | null {
    if (this.#state !== 'STARTED') return refuse(closedError(), callback)
    if (this.#isBusy) return refuse(this.#busy(), callback)
    this.#pending++
    this.#pendingBytes += waitingBytes(outgoing)
    const sending = new Sending(this.#context, outgoing, target, callback, this)
    sending.begin()
    return sending
  }

  get #isBusy(): boolean {
    return this.#pending >= this.#pendingMax || this.#pendingBytes >= this.#pendingBytesMax
  }

  #busy(what = `${this.#pending} sends of ${this.#pendingBytes} bytes wait already`): ClientError {
    return new ClientError(what, { code: 'BUSY', pendingMax: this.#pendingMax })
  }

  /** @internal Called by each send when it has ended, before its callback. */
  ended(outgoing: Outgoing): void {
    this.#pending--
    this.#pendingBytes -= waitingBytes(outgoing)
    if (this.#pending === 0) this.#drained?.()
  }

  #outgoingOne(message: Message): Outgoing {
    checkMessage(message)
    const msgId = this.#uniqKeys.next()
    const { topic, body, flag = 0 } = message
    return { topic, body, flag, msgId, properties: messageProperties(message, msgId), isBatch: false }
  }

  #outgoingOneway(message: Message): Outgoing {
    try {
      return this.#outgoingOne(message)
    } catch (error) {
      throw callersError(error)
    }
  }

  #outgoingMany(messages: readonly Message[]): Outgoing {
    const [first] = messages
    check(first !== undefined, 'a batch has messages')
    const { topic } = first
    const ids: string[] = []
    const inner = messages.map((message) => {
      checkMessage(message)
      check(message.topic === topic, `a batch has one topic: not ${topic} and ${message.topic}`)
      check(message.delayLevel === undefined, 'a batch holds no delayed messages')
      const msgId = this.#uniqKeys.next()
      ids.push(msgId)
      return { flag: message.flag ?? 0, body: message.body, properties: messageProperties(message, msgId) }
    })
    const body = encodeBatchBody(inner)
    check(body.length <= BODY_BYTES_MAX, `a batch has at most ${BODY_BYTES_MAX} bytes, not ${body.length}`)
    const properties = `${PropertyName.WAIT}\x01true\x02`
    return { topic, body, flag: 0, msgId: ids.join(','), properties, isBatch: true }
  }

  #target(options: SendOptions | undefined): SendTarget {
    if (options === undefined) return this.#defaultTarget
    const { timeoutMs = this.#defaultTarget.timeoutMs, selector = null, key = '' } = options
    check(timeoutMs <= TIMEOUT_MS_MAX, `timeoutMs is ${timeoutMs}, not at most ${TIMEOUT_MS_MAX}`)
    return { timeoutMs, selector, key }
  }

  #turnOf(topic: string): RoundRobin {
    let turn = this.#turns.get(topic)
    if (turn === undefined) {
      turn = new RoundRobin(this.#core.random.below(1_024))
      this.#turns.set(topic, turn)
    }
    return turn
  }

  #awaited(options: AwaitedSendOptions, send: (callback: SendCallback) => Sending | null): Promise<SendResult> {
    const { signal } = options
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      let sending: Sending | null = null
      const aborted = (): void => {
        sending?.abandon()
        reject(signal?.reason as Error)
      }
      signal?.addEventListener('abort', aborted, { once: true })
      sending = send((error, result) => {
        signal?.removeEventListener('abort', aborted)
        if (result === null) reject(error as ClientError)
        else resolve(result)
      })
    })
  }
}

/** @returns what is wrong with a message, as a ClientError where its sender is to blame. */
function callersError(error: unknown): unknown {
  if (!(error instanceof ProtocolError)) return error
  const what = error.message
  return new ClientError(what, { code: 'INVALID', what }, { cause: error })
}

function refuse(error: unknown, callback: SendCallback): null {
  const told = callersError(error)
  if (!(told instanceof ClientError)) throw told
  callback(told, null)
  return null
}
