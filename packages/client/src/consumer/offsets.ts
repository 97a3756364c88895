/** Where a group stands in each queue: asked of the brokers when a queue is taken over, told to them as it is consumed. */
import { isRetryTopic } from '@dledger-ts/protocol'
import {
  GetMaxOffsetRequest,
  GetMaxOffsetResponse,
  type MessageQueue,
  QueryConsumerOffsetRequest,
  QueryConsumerOffsetResponse,
  type RemotingCommand,
  RemotingError,
  ResponseCode,
  SearchOffsetRequest,
  SearchOffsetResponse,
  UpdateConsumerOffsetRequest,
} from '@dledger-ts/remoting'
import type { ClientCore } from '../client-core.ts'
import { MASTER_ID } from '../route/topic-route.ts'
import type { AssignedQueue } from './assigned-queue.ts'

/** Where a group begins in a queue that it has never read. */
export type ConsumeFrom =
  | { readonly from: 'LAST_OFFSET' }
  | { readonly from: 'FIRST_OFFSET' }
  | { readonly from: 'TIMESTAMP'; readonly timestampMs: number }

export interface StartingOffset {
  readonly offset: number
  /** Else the broker does not know it yet: told soon, lest another start skips what came meanwhile. */
  readonly isStored: boolean
}

const OFFSET_TIMEOUT_MS = 3_000
const END_ATTEMPTS_MAX = 3

export class Offsets {
  readonly #core: ClientCore
  readonly #group: string
  readonly #consumeFrom: ConsumeFrom

  constructor(options: { core: ClientCore; group: string; consumeFrom: ConsumeFrom }) {
    this.#core = options.core
    this.#group = options.group
    this.#consumeFrom = options.consumeFrom
  }

  /** @returns the offset to begin with, or null when no broker can say at the moment. */
  async initial(queue: MessageQueue): Promise<StartingOffset | null> {
    const { topic, queueId } = queue
    try {
      const response = await this.#ask(
        queue,
        QueryConsumerOffsetRequest.request({ consumerGroup: this.#group, topic, queueId }),
      )
      if (response?.code === ResponseCode.SUCCESS) {
        const { offset } = QueryConsumerOffsetResponse.decode(response.extFields)
        if (offset !== undefined && offset >= 0) return { offset, isStored: true }
        return await this.#start(queue)
      }
      return response?.code === ResponseCode.QUERY_NOT_FOUND ? await this.#start(queue) : null
    } catch (error) {
      if (!(error instanceof RemotingError)) throw error
      this.#core.logger.debug({ ...queue, err: error }, 'an offset could not be asked for')
      return null
    }
  }

  /** Tells the brokers what changed. @returns once each has answered or failed. */
  async persist(assigned: readonly AssignedQueue[]): Promise<void> {
    await Promise.all(assigned.filter(isChanged).map((one) => this.#persistOne(one)))
  }

  /** The same for the last time: what a broker did not take is told to whoever leads by then. */
  async persistAtEnd(assigned: readonly AssignedQueue[]): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      await this.persist(assigned)
      const topics = new Set(assigned.filter(isChanged).map(({ queue }) => queue.topic))
      if (topics.size === 0 || attempt === END_ATTEMPTS_MAX) return
      await Promise.all([...topics].map((topic) => this.#core.routes.fetch(topic)))
    }
  }

  async #persistOne(assigned: AssignedQueue): Promise<void> {
    const { queue, committableOffset: commitOffset } = assigned
    const { topic, queueId } = queue
    const address = this.#addressOf(queue)
    if (address === undefined) return
    const request = UpdateConsumerOffsetRequest.request({ consumerGroup: this.#group, topic, queueId, commitOffset })
    try {
      const response = await this.#core.remoting.invoke(address, request, OFFSET_TIMEOUT_MS)
      if (response.code === ResponseCode.SUCCESS) assigned.persistedOffset = commitOffset
    } catch (error) {
      if (!(error instanceof RemotingError)) throw error
      this.#core.logger.debug({ ...queue, err: error }, 'an offset could not be stored')
    }
  }

  async #start(queue: MessageQueue): Promise<StartingOffset | null> {
    const offset = await this.#firstEver(queue)
    return offset === null ? null : { offset, isStored: false }
  }

  async #firstEver(queue: MessageQueue): Promise<number | null> {
    const { topic, queueId } = queue
    const { from } = this.#consumeFrom
    if (from === 'FIRST_OFFSET' || (from === 'LAST_OFFSET' && isRetryTopic(topic))) return 0
    if (from === 'LAST_OFFSET' || isRetryTopic(topic)) {
      const response = await this.#ask(queue, GetMaxOffsetRequest.request({ topic, queueId }))
      return response?.code === ResponseCode.SUCCESS ? GetMaxOffsetResponse.decode(response.extFields).offset : null
    }
    const timestamp = this.#consumeFrom.from === 'TIMESTAMP' ? this.#consumeFrom.timestampMs : 0
    const response = await this.#ask(queue, SearchOffsetRequest.request({ topic, queueId, timestamp }))
    return response?.code === ResponseCode.SUCCESS ? SearchOffsetResponse.decode(response.extFields).offset : null
  }

  /** @returns undefined when no member of the group is known. */
  #addressOf(queue: MessageQueue): string | undefined {
    return this.#core.routes.current(queue.topic)?.memberOf(queue.brokerName, MASTER_ID)
  }

  async #ask(queue: MessageQueue, request: RemotingCommand): Promise<RemotingCommand | undefined> {
    const address = this.#addressOf(queue)
    return address === undefined ? undefined : this.#core.remoting.invoke(address, request, OFFSET_TIMEOUT_MS)
  }
}

function isChanged(assigned: AssignedQueue): boolean {
  return assigned.committableOffset !== assigned.persistedOffset
}
