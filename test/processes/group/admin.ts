/** What tests ask of a group beside sending and consuming: topics, single messages by offset, whole queues. */
import { decodeRecord, decodeRecords, type MessageRecord } from '@dledger-ts/protocol'
import {
  CreateTopicRequest,
  decodeTopicRouteData,
  GetMaxOffsetRequest,
  GetMaxOffsetResponse,
  GetMinOffsetRequest,
  GetMinOffsetResponse,
  GetRouteInfoRequest,
  PullMessageRequest,
  PullMessageResponse,
  QueryConsumerOffsetRequest,
  QueryConsumerOffsetResponse,
  RemotingClient,
  type RemotingCommand,
  ResponseCode,
  type Sockets,
  tcpSockets,
  ViewMessageRequest,
} from '@dledger-ts/remoting'
import { until } from './until.ts'

const CALL_TIMEOUT_MS = 5_000
const ROUTE_TIMEOUT_MS = 60_000
const MASTER_ID = 0
const READ_AND_WRITE = 6
/** A topic that every broker that makes topics by itself registers. */
const DEFAULT_TOPIC = 'TBW102'
const PULL_COUNT_MAX = 32

export interface QueueRange {
  minOffset: number
  maxOffset: number
}

export class Admin {
  readonly #namesrv: string
  readonly #remoting: RemotingClient

  constructor(namesrv: string, sockets: Sockets = tcpSockets) {
    this.#namesrv = namesrv
    this.#remoting = new RemotingClient({ sockets })
  }

  close(): void {
    this.#remoting.close()
  }

  /** The address of the broker that the namesrv names as master. Waits until there is one. */
  async master(topic: string = DEFAULT_TOPIC): Promise<string> {
    return until(`the namesrv knows a master for ${topic}`, ROUTE_TIMEOUT_MS, async () => {
      const answer = await this.#remoting.invoke(this.#namesrv, GetRouteInfoRequest.request({ topic }), CALL_TIMEOUT_MS)
      if (answer.code !== ResponseCode.SUCCESS) return undefined
      return decodeTopicRouteData(answer.bodyBytes).brokerDatas[0]?.brokerAddrs.get(MASTER_ID)
    })
  }

  /** Creates a topic at the master and waits until it has a route. */
  async createTopic(topic: string, queueCount: number): Promise<void> {
    const request = CreateTopicRequest.request({
      topic,
      defaultTopic: DEFAULT_TOPIC,
      readQueueNums: queueCount,
      writeQueueNums: queueCount,
      perm: READ_AND_WRITE,
      topicFilterType: 'SINGLE_TAG',
      topicSysFlag: 0,
      order: false,
      force: false,
    })
    await this.#call(await this.master(), request)
    await this.master(topic)
  }

  /** The record at a physical offset, as this broker has it. @throws Error with the broker's remark. */
  async viewMessage(address: string, physicalOffset: number): Promise<MessageRecord> {
    const answer = await this.#call(address, ViewMessageRequest.request({ offset: physicalOffset }))
    return decodeRecord(answer.bodyBytes)
  }

  async range(address: string, topic: string, queueId: number): Promise<QueueRange> {
    const min = await this.#call(address, GetMinOffsetRequest.request({ topic, queueId }))
    const max = await this.#call(address, GetMaxOffsetRequest.request({ topic, queueId }))
    return {
      minOffset: GetMinOffsetResponse.decode(min.extFields).offset,
      maxOffset: GetMaxOffsetResponse.decode(max.extFields).offset,
    }
  }

  async consumerOffset(address: string, consumerGroup: string, topic: string, queueId: number): Promise<number> {
    const request = QueryConsumerOffsetRequest.request({ consumerGroup, topic, queueId })
    return QueryConsumerOffsetResponse.decode((await this.#call(address, request)).extFields).offset ?? -1
  }

  /** Every record of a queue, from its first to its last. */
  async pullAll(address: string, topic: string, queueId: number): Promise<MessageRecord[]> {
    const { minOffset, maxOffset } = await this.range(address, topic, queueId)
    const records: MessageRecord[] = []
    for (let queueOffset = minOffset; queueOffset < maxOffset;) {
      const request = PullMessageRequest.request({
        consumerGroup: 'TOOLS_CONSUMER',
        topic,
        queueId,
        queueOffset,
        maxMsgNums: PULL_COUNT_MAX,
        // The subscription is part of this request; nothing is committed, nothing is held.
        sysFlag: 4,
        commitOffset: 0,
        suspendTimeoutMillis: 0,
        subscription: '*',
        subVersion: 0,
        expressionType: 'TAG',
      })
      const answer = await this.#call(address, request)
      const { nextBeginOffset } = PullMessageResponse.decode(answer.extFields)
      if (nextBeginOffset <= queueOffset) throw new Error(`a pull at ${queueOffset} goes on at ${nextBeginOffset}`)
      records.push(...decodeRecords(answer.bodyBytes))
      queueOffset = nextBeginOffset
    }
    return records
  }

  async #call(address: string, request: RemotingCommand): Promise<RemotingCommand> {
    const answer = await this.#remoting.invoke(address, request, CALL_TIMEOUT_MS)
    if (answer.code !== ResponseCode.SUCCESS) {
      throw new Error(`${address} answers ${answer.code} to request ${request.code}: ${answer.remark ?? ''}`)
    }
    return answer
  }
}

/** One topic, made by a client of its own. */
export async function createTopic(
  namesrv: string,
  topic: string,
  queueCount: number,
  sockets: Sockets = tcpSockets,
): Promise<void> {
  const admin = new Admin(namesrv, sockets)
  try {
    await admin.createTopic(topic, queueCount)
  } finally {
    admin.close()
  }
}
