/** What makes a broker's state grow: topics, groups, clients, straight to the broker. */
import {
  CreateTopicRequest,
  createRequest,
  encodeHeartbeat,
  RemotingClient,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  UpdateConsumerOffsetRequest,
} from '@dledger-ts/remoting'

const TIMEOUT_MS = 30_000
const AT_ONCE = 32
const READ_AND_WRITE = 6

export class Growing {
  readonly #address: string
  readonly #client = new RemotingClient()
  readonly #idle: RemotingClient[] = []

  constructor(address: string) {
    this.#address = address
  }

  close(): void {
    this.#client.close()
    for (const client of this.#idle) client.close()
  }

  createTopics(topics: readonly string[], queues: number): Promise<void> {
    return eachOf(topics, (topic) => {
      const fields = {
        topic,
        defaultTopic: 'TBW102',
        readQueueNums: queues,
        writeQueueNums: queues,
        perm: READ_AND_WRITE,
      }
      const rest = { topicFilterType: 'SINGLE_TAG', topicSysFlag: 0, order: false, force: false }
      return this.#call(this.#client, CreateTopicRequest.request({ ...fields, ...rest }))
    })
  }

  /** Groups that have committed an offset in each of the first queues of a topic, as consumers do that are gone now. */
  commitOffsets(groups: readonly string[], topic: string, queues: number): Promise<void> {
    return eachOf(groups, async (consumerGroup) => {
      for (let queueId = 0; queueId < queues; queueId++) {
        const fields = { consumerGroup, topic, queueId, commitOffset: 1 }
        await this.#call(this.#client, UpdateConsumerOffsetRequest.request(fields))
      }
    })
  }

  /** Connections of clients that do nothing but tell that they live, until there are `count`. */
  async connect(count: number): Promise<void> {
    while (this.#idle.length < count) this.#idle.push(new RemotingClient())
    await eachOf(this.#idle, (client, i) => this.#call(client, heartbeat(`idle-${process.pid}-${i}`)))
  }

  async #call(client: RemotingClient, request: RemotingCommand): Promise<void> {
    const { code, remark } = await client.invoke(this.#address, request, TIMEOUT_MS)
    if (code !== ResponseCode.SUCCESS) throw new Error(`request ${request.code}: ${code} ${remark ?? ''}`)
  }
}

async function eachOf<T>(items: readonly T[], work: (item: T, index: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++
      await work(items[index] as T, index)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

function heartbeat(clientID: string): RemotingCommand {
  const body = encodeHeartbeat({
    clientID,
    producerDataSet: [{ groupName: 'bench-idle' }],
    consumerDataSet: [],
    heartbeatFingerprint: 0,
    withoutSub: false,
  })
  return createRequest(RequestCode.HEART_BEAT, undefined, body)
}
