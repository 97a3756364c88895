/**
 * Gives a message back to be delivered again later, or in the end to the dead letter topic.
 *
 * The broker that stores it is asked first (36); when it does not find it any more, the message itself is sent to the
 * group's retry topic, as the Java client does.
 */
import { encodeProperties, PropertyName, retryTopic, SystemTopic } from '@dledger-ts/protocol'
import {
  ConsumerSendMsgBackRequest,
  type RemotingCommand,
  RemotingError,
  ResponseCode,
  SendMessageRequestV2,
} from '@dledger-ts/remoting'
import type { ClientCore } from '../client-core.ts'
import { sendStatus } from '../producer/send-result.ts'
import type { ReceivedMessage } from './received-message.ts'

const SEND_BACK_TIMEOUT_MS = 5_000
const ATTEMPTS_MAX = 3
const INNER_PRODUCER_GROUP = 'CLIENT_INNER_PRODUCER'
/** The delay level of a first redelivery; it grows with each. */
const FIRST_DELAY_LEVEL = 3

/** A republished message must not carry what belongs to its former place. */
const NOT_CARRIED: readonly string[] = [
  PropertyName.DELAY,
  PropertyName.MIN_OFFSET,
  PropertyName.MAX_OFFSET,
  PropertyName.TRANSACTION_PREPARED,
  PropertyName.CONSUME_START_TIME,
]

export interface SendBackOptions {
  readonly core: ClientCore
  readonly group: string
  readonly maxReconsumeTimes: number
  /** 0 lets the broker choose by the number of redeliveries; -1 is the dead letter topic. */
  readonly delayLevel: number
}

export class SendBack {
  readonly #options: SendBackOptions
  readonly #core: ClientCore
  readonly #retryTopic: string

  constructor(options: SendBackOptions) {
    this.#options = options
    this.#core = options.core
    this.#retryTopic = retryTopic(options.group)
  }

  /** @returns whether a broker has taken it. */
  async take(message: ReceivedMessage): Promise<boolean> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const response = await this.#invoke(message.topic, message.brokerName, () => this.#request(message))
      if (response?.code === ResponseCode.SUCCESS) return true
      if (response?.code === ResponseCode.SYSTEM_ERROR) return await this.#republish(message)
      await Promise.all([this.#core.routes.fetch(message.topic), this.#core.routes.fetch(this.#retryTopic)])
    }
    return false
  }

  #request(message: ReceivedMessage): RemotingCommand {
    const { group, delayLevel, maxReconsumeTimes } = this.#options
    return ConsumerSendMsgBackRequest.request({
      offset: message.physicalOffset,
      group,
      delayLevel,
      originMsgId: message.msgId,
      originTopic: message.topic,
      unitMode: false,
      maxReconsumeTimes,
      brokerName: message.brokerName,
    })
  }

  async #republish(message: ReceivedMessage): Promise<boolean> {
    const response = await this.#invoke(message.topic, message.brokerName, () => this.#newMessage(message))
    return response !== null && sendStatus(response.code) !== undefined
  }

  #newMessage(message: ReceivedMessage): RemotingCommand {
    const { delayLevel, maxReconsumeTimes } = this.#options
    const reconsumeTimes = message.reconsumeTimes + 1
    const properties = new Map(message.properties)
    for (const name of NOT_CARRIED) properties.delete(name)
    if (!properties.has(PropertyName.RETRY_TOPIC)) properties.set(PropertyName.RETRY_TOPIC, message.topic)
    if (!properties.has(PropertyName.ORIGIN_MESSAGE_ID)) {
      properties.set(PropertyName.ORIGIN_MESSAGE_ID, message.offsetMsgId)
    }
    properties.set(PropertyName.RECONSUME_TIME, String(reconsumeTimes))
    properties.set(PropertyName.MAX_RECONSUME_TIMES, String(maxReconsumeTimes))
    const level = delayLevel > 0 ? delayLevel : FIRST_DELAY_LEVEL + message.reconsumeTimes
    properties.set(PropertyName.DELAY, String(level))
    // Compressed as it is: what it is when it is not may be more than a broker takes, or be compressed in a way that is not read here.
    const { body, sysFlag } = message.sentBody
    return SendMessageRequestV2.request(
      {
        producerGroup: INNER_PRODUCER_GROUP,
        topic: this.#retryTopic,
        defaultTopic: SystemTopic.AUTO_CREATE,
        defaultTopicQueueNums: 1,
        queueId: 0,
        sysFlag,
        bornTimestamp: this.#core.clock.nowMs(),
        flag: message.flag,
        properties: encodeProperties(properties),
        reconsumeTimes,
        unitMode: false,
        maxReconsumeTimes,
        batch: false,
        brokerName: message.brokerName,
      },
      body,
    )
  }

  /** @returns null when there was nobody to ask or no answer. */
  async #invoke(
    topic: string,
    brokerName: string,
    makeRequest: () => RemotingCommand,
  ): Promise<RemotingCommand | null> {
    const address = this.#masterOf(topic, brokerName)
    if (address === undefined) return null
    try {
      return await this.#core.remoting.invoke(address, makeRequest(), SEND_BACK_TIMEOUT_MS)
    } catch (error) {
      if (!(error instanceof RemotingError)) throw error
      return null
    }
  }

  /** A message from the retry topic shows the topic it was first sent to, which its broker need not have (any more). */
  #masterOf(topic: string, brokerName: string): string | undefined {
    const { routes } = this.#core
    return routes.current(topic)?.masterOf(brokerName) ?? routes.current(this.#retryTopic)?.masterOf(brokerName)
  }
}
