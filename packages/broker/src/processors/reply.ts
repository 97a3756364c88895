/**
 * Request-reply: answers of consumers (SEND_REPLY_MESSAGE 324, 325) are pushed to the client that asked (326).
 *
 * Keeps: an answer is pushed once; who asked is found by the client id of its heartbeats, or of the requests that it sends, so that
 * one is answered that has not yet sent a heartbeat to this member.
 *
 * Source: ReplyMessageProcessor.
 */
import {
  formatHostAddress,
  getProperty,
  isRetryTopic,
  offsetMsgId,
  PropertyName,
  setProperty,
} from '@dledger-ts/protocol'
import {
  type Connection,
  PushReplyMessageRequest,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  type SendMessageRequest,
} from '@dledger-ts/remoting'
import type { NewMessage } from '@dledger-ts/store'
import type { BrokerContext } from '../context.ts'
import { isForwarded } from '../forwarding/forwarder.ts'

/** Source: Broker2Client.callClient. */
const PUSH_TIMEOUT_MS = 10_000
const REPLY = 'reply'

/** Where an answer was stored. */
export interface ReplyResult {
  readonly msgId: string
  readonly queueId: number
  readonly queueOffset: number
}

export function isReply(code: number): boolean {
  return code === RequestCode.SEND_REPLY_MESSAGE || code === RequestCode.SEND_REPLY_MESSAGE_V2
}

export class ReplyRelay {
  readonly #context: BrokerContext

  constructor(context: BrokerContext) {
    this.#context = context
  }

  /**
   * Of a message that wants an answer the connection is kept in mind: after a failover that is earlier than a heartbeat. Hot.
   *
   * Heartbeats are more certain: who passes on the messages of others does not take their answers.
   */
  noteRequester(connection: Connection, request: RemotingCommand, header: SendMessageRequest): void {
    const { properties, reconsumeTimes } = header
    if (properties?.includes(PropertyName.REPLY_TO_CLIENT) !== true || (reconsumeTimes ?? 0) > 0) return
    const clientId = getProperty(properties, PropertyName.REPLY_TO_CLIENT)
    if (clientId === undefined || getProperty(properties, PropertyName.MESSAGE_TYPE) === REPLY) return
    // A connection that closed while its topic was made is told of by nobody any more.
    if (isRetryTopic(header.topic) || isForwarded(request) || connection.isClosed) return
    if (this.#context.producers.channelOf(clientId) === undefined)
      this.#context.producers.sawClient(clientId, connection)
  }

  /** @returns why it did not arrive, or null when it did. */
  async push(connection: Connection, request: RemotingCommand, header: SendMessageRequest): Promise<string | null> {
    const properties = header.properties ?? ''
    const clientId = getProperty(properties, PropertyName.REPLY_TO_CLIENT)
    if (clientId === undefined) return `reply message properties[${PropertyName.REPLY_TO_CLIENT}] is null`
    const requester = this.#context.producers.channelOf(clientId)
    if (requester === undefined) return `push reply message fail, channel of <${clientId}> not found.`
    const { clock, storeHost } = this.#context
    const nowMs = clock.nowMs()
    const push = PushReplyMessageRequest.request(
      {
        producerGroup: header.producerGroup,
        topic: header.topic,
        defaultTopic: header.defaultTopic,
        defaultTopicQueueNums: header.defaultTopicQueueNums,
        queueId: header.queueId,
        sysFlag: header.sysFlag,
        bornTimestamp: header.bornTimestamp,
        flag: header.flag,
        properties: setProperty(properties, PropertyName.PUSH_REPLY_TIME, String(nowMs)),
        reconsumeTimes: header.reconsumeTimes ?? 0,
        unitMode: header.unitMode ?? false,
        bornHost: formatHostAddress(this.#context.bornHostOf(connection, request)),
        storeHost: formatHostAddress(storeHost),
        storeTimestamp: nowMs,
      },
      request.bodyBytes,
    )
    try {
      const answer = await requester.invoke(push, PUSH_TIMEOUT_MS)
      if (answer.code === ResponseCode.SUCCESS) return null
      this.#context.logger.warn({ clientId, code: answer.code, remark: answer.remark }, 'an answer was not taken')
    } catch (error) {
      this.#context.logger.warn({ clientId, err: error }, 'an answer did not arrive')
    }
    return `push reply message to ${clientId} fail.`
  }

  /** Puts a reply into the log. @returns null when that failed: the answer itself does not depend on it. */
  store(message: NewMessage): Promise<ReplyResult | null> {
    return new Promise((resolve) => {
      this.#context.store.put(message, {
        stored: ({ physicalOffset, wantedQueueId, queueOffset }) =>
          resolve({
            msgId: offsetMsgId(this.#context.storeHost, physicalOffset),
            queueId: wantedQueueId,
            queueOffset,
          }),
        putFailed: (error) => {
          this.#context.logger.warn({ err: error }, 'an answer was not stored')
          resolve(null)
        },
      })
    })
  }
}
