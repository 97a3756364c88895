/**
 * The other side of a client under test: a namesrv and brokers on real connections, which answer as a test tells them.
 *
 * The brokers keep messages in memory and hold pulls; they know enough of the protocol for the clients of this package.
 */
import { systemClock } from '@dledger-ts/base'
import { hostAddress, type MessageRecord, RecordDraft } from '@dledger-ts/protocol'
import {
  type Connection,
  ConsumerSendMsgBackRequest,
  createRequest,
  createResponse,
  decodeHeartbeat,
  encodeConsumerIdList,
  encodeTopicRouteData,
  GetConsumerListRequest,
  GetRouteInfoRequest,
  PullMessageRequest,
  PullMessageResponse,
  QueryConsumerOffsetRequest,
  QueryConsumerOffsetResponse,
  type RemotingCommand,
  RemotingServer,
  RequestCode,
  ResponseCode,
  SendMessageRequestV2,
  SendMessageResponse,
  UnregisterClientRequest,
  UpdateConsumerOffsetRequest,
} from '@dledger-ts/remoting'

const HOST = '127.0.0.1'

/** Resolves when a condition holds; looked at after every request that a server handled. */
class Watch {
  #waiters: { condition: () => boolean; done: () => void }[] = []

  until(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve()
    return new Promise((done) => this.#waiters.push({ condition, done }))
  }

  look(): void {
    const ready = this.#waiters.filter(({ condition }) => condition())
    this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter))
    for (const { done } of ready) done()
  }
}

interface HeldPull {
  readonly connection: Connection
  readonly request: RemotingCommand
}

export interface SentMessage {
  readonly header: ReturnType<typeof SendMessageRequestV2.decode>
  readonly code: number
  readonly body: Buffer
}

export class ScriptedBroker {
  readonly name: string
  /** Every send that arrived, refused ones too. */
  readonly sends: SentMessage[] = []
  /** Every request, in the order of their arrival. */
  readonly requests: RemotingCommand[] = []
  readonly sentBack: ReturnType<typeof ConsumerSendMsgBackRequest.decode>[] = []
  /** By `group topic queueId`. */
  readonly offsets = new Map<string, number>()
  /** Client ids of each consumer group, by connection. */
  readonly members = new Map<string, Map<string, Connection>>()
  readonly heartbeats: string[] = []
  /** What a send is answered with; `null` closes the connection instead. */
  answerSend: (send: SentMessage) => number | null = () => ResponseCode.SUCCESS
  answerPull: () => number = () => ResponseCode.SUCCESS
  answerSendBack: () => number = () => ResponseCode.SUCCESS
  readonly #queues = new Map<string, Buffer[]>()
  readonly #held = new Set<HeldPull>()
  readonly #watch: Watch
  #server: RemotingServer
  #port = 0

  constructor(name: string, watch: Watch) {
    this.name = name
    this.#watch = watch
    this.#server = this.#makeServer()
  }

  get address(): string {
    return `${HOST}:${this.#port}`
  }

  async start(): Promise<void> {
    this.#server = this.#makeServer()
    await this.#server.start()
    this.#port = this.#server.ports[0] as number
  }

  /** Ends like a process that was killed: connections are cut, nobody is told. */
  async kill(): Promise<void> {
    for (const connection of this.#server.connections) connection.close()
    this.#held.clear()
    this.members.clear()
    await this.#server.close()
  }

  /** Appends to a queue, and answers the pulls that wait for it. */
  store(message: Partial<MessageRecord> & { topic: string; body: Buffer }): number {
    const { queueId = 0 } = message
    const queue = this.#queue(message.topic, queueId)
    const queueOffset = queue.length
    const draft = new RecordDraft({
      topic: message.topic,
      queueId,
      flag: 0,
      sysFlag: message.sysFlag ?? 0,
      bornTimestamp: 1,
      bornHost: hostAddress(HOST, 1),
      storeHost: hostAddress(HOST, this.#port),
      reconsumeTimes: message.reconsumeTimes ?? 0,
      preparedTransactionOffset: 0,
      body: message.body,
      properties: message.properties ?? '',
    })
    const bytes = Buffer.alloc(draft.bytes)
    draft.encode(bytes, 0, { queueOffset, physicalOffset: 1_000 + queueOffset, storeTimestamp: systemClock.nowMs() })
    queue.push(bytes)
    for (const held of this.#held) {
      const answer = this.#answerPull(held.request, { mayHold: false })
      if (answer === null || answer.code !== ResponseCode.SUCCESS) continue
      this.#held.delete(held)
      held.connection.respond(held.request, answer)
    }
    return queueOffset
  }

  /** Gives a queue a past that is gone: pulls before `offset` are told that it moved. */
  trim(topic: string, queueId: number, offset: number): void {
    const queue = this.#queue(topic, queueId)
    // oxlint-disable-next-line typescript/no-array-delete -- holes are what is wanted: offsets stay, messages are gone
    for (let i = 0; i < offset; i++) delete queue[i]
  }

  /** Tells every member of a group that its members changed. */
  notifyMembers(group: string): void {
    for (const connection of this.members.get(group)?.values() ?? []) {
      connection.oneway(createRequest(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, { consumerGroup: group }))
    }
  }

  #queue(topic: string, queueId: number): Buffer[] {
    const key = `${topic} ${queueId}`
    let queue = this.#queues.get(key)
    if (queue === undefined) this.#queues.set(key, (queue = []))
    return queue
  }

  #makeServer(): RemotingServer {
    const handlers = new Map<number, (connection: Connection, request: RemotingCommand) => RemotingCommand | null>([
      [RequestCode.SEND_MESSAGE_V2, (connection, request) => this.#send(connection, request)],
      [RequestCode.SEND_BATCH_MESSAGE, (connection, request) => this.#send(connection, request)],
      [RequestCode.PULL_MESSAGE, (connection, request) => this.#pull(connection, request)],
      [RequestCode.HEART_BEAT, (connection, request) => this.#heartbeat(connection, request)],
      [RequestCode.UNREGISTER_CLIENT, (_connection, request) => this.#unregister(request)],
      [RequestCode.GET_CONSUMER_LIST_BY_GROUP, (_connection, request) => this.#memberList(request)],
      [RequestCode.QUERY_CONSUMER_OFFSET, (_connection, request) => this.#queryOffset(request)],
      [RequestCode.UPDATE_CONSUMER_OFFSET, (_connection, request) => this.#updateOffset(request)],
      [RequestCode.CONSUMER_SEND_MSG_BACK, (_connection, request) => this.#takeBack(request)],
    ])
    return new RemotingServer({
      host: HOST,
      ports: [this.#port],
      processors: new Map(
        [...handlers].map(([code, handle]) => [
          code,
          (connection, request) => {
            this.requests.push(request)
            const answer = handle(connection, request) ?? undefined
            this.#watch.look()
            return answer
          },
        ]),
      ),
      connectionClosed: (connection) => {
        for (const held of this.#held) if (held.connection === connection) this.#held.delete(held)
        for (const members of this.members.values()) {
          for (const [id, of] of members) if (of === connection) members.delete(id)
        }
      },
    })
  }

  #send(connection: Connection, request: RemotingCommand): RemotingCommand | null {
    const header = SendMessageRequestV2.decode(request.extFields)
    const send = { header, code: request.code, body: request.bodyBytes }
    this.sends.push(send)
    const code = this.answerSend(send)
    if (code === null) {
      connection.close()
      return null
    }
    if (code !== ResponseCode.SUCCESS) return createResponse(code, 'as the test wants it')
    const { topic, queueId, properties = '' } = header
    const queueOffset = this.store({ topic, queueId, body: send.body, properties })
    return SendMessageResponse.response(code, { msgId: `${this.name}-${queueId}-${queueOffset}`, queueId, queueOffset })
  }

  #pull(connection: Connection, request: RemotingCommand): RemotingCommand | null {
    const answer = this.#answerPull(request, { mayHold: true })
    if (answer === null) this.#held.add({ connection, request })
    return answer
  }

  /** @returns null when the pull is to be held. */
  #answerPull(request: RemotingCommand, options: { mayHold: boolean }): RemotingCommand | null {
    const wanted = this.answerPull()
    if (wanted !== ResponseCode.SUCCESS) return createResponse(wanted, 'as the test wants it')
    const { topic, queueId, queueOffset, maxMsgNums } = PullMessageRequest.decode(request.extFields)
    const queue = this.#queue(topic, queueId)
    const minOffset = Math.max(0, queue.findIndex(Boolean))
    const offsets = { suggestWhichBrokerId: 0, minOffset, maxOffset: queue.length }
    if (queueOffset < minOffset || queueOffset > queue.length) {
      return PullMessageResponse.response(ResponseCode.PULL_OFFSET_MOVED, { ...offsets, nextBeginOffset: minOffset })
    }
    const records = queue.slice(queueOffset, queueOffset + maxMsgNums)
    const nextBeginOffset = queueOffset + records.length
    if (records.length > 0) {
      const header = { ...offsets, nextBeginOffset }
      return PullMessageResponse.response(ResponseCode.SUCCESS, header, undefined, records)
    }
    if (options.mayHold) return null
    return PullMessageResponse.response(ResponseCode.PULL_NOT_FOUND, { ...offsets, nextBeginOffset })
  }

  #heartbeat(connection: Connection, request: RemotingCommand): RemotingCommand {
    const { clientID, consumerDataSet } = decodeHeartbeat(request.bodyBytes)
    this.heartbeats.push(clientID)
    for (const { groupName } of consumerDataSet) {
      let members = this.members.get(groupName)
      if (members === undefined) this.members.set(groupName, (members = new Map()))
      const isNew = !members.has(clientID)
      members.set(clientID, connection)
      if (isNew) this.notifyMembers(groupName)
    }
    return createResponse(ResponseCode.SUCCESS)
  }

  #unregister(request: RemotingCommand): RemotingCommand {
    const { clientID, consumerGroup = '' } = UnregisterClientRequest.decode(request.extFields)
    this.members.get(consumerGroup)?.delete(clientID)
    this.notifyMembers(consumerGroup)
    return createResponse(ResponseCode.SUCCESS)
  }

  #memberList(request: RemotingCommand): RemotingCommand {
    const { consumerGroup } = GetConsumerListRequest.decode(request.extFields)
    const ids = [...(this.members.get(consumerGroup)?.keys() ?? [])]
    if (ids.length === 0) return createResponse(ResponseCode.SYSTEM_ERROR, 'no consumer for this group')
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeConsumerIdList(ids))
  }

  #queryOffset(request: RemotingCommand): RemotingCommand {
    const { consumerGroup, topic, queueId } = QueryConsumerOffsetRequest.decode(request.extFields)
    const offset = this.offsets.get(`${consumerGroup} ${topic} ${queueId}`)
    if (offset === undefined) return createResponse(ResponseCode.QUERY_NOT_FOUND, 'Not found')
    return QueryConsumerOffsetResponse.response(ResponseCode.SUCCESS, { offset })
  }

  #updateOffset(request: RemotingCommand): RemotingCommand {
    const { consumerGroup, topic, queueId, commitOffset } = UpdateConsumerOffsetRequest.decode(request.extFields)
    this.offsets.set(`${consumerGroup} ${topic} ${queueId}`, commitOffset)
    return createResponse(ResponseCode.SUCCESS)
  }

  #takeBack(request: RemotingCommand): RemotingCommand {
    this.sentBack.push(ConsumerSendMsgBackRequest.decode(request.extFields))
    return createResponse(this.answerSendBack(), undefined)
  }
}

export interface ScriptedTopic {
  readonly name: string
  readonly queues: number
  readonly perm?: number
  /** The brokers that have it. Default: all. */
  readonly brokers?: readonly string[]
}

export class ScriptedCluster {
  readonly #watch = new Watch()
  readonly #brokers: ScriptedBroker[] = []
  readonly #topics: ScriptedTopic[] = []
  /** Member addresses by broker name and id; who leads is id 0. */
  readonly #addresses = new Map<string, Map<number, string>>()
  readonly #namesrv = new RemotingServer({
    host: HOST,
    ports: [0],
    processors: new Map([[RequestCode.GET_ROUTEINFO_BY_TOPIC, (_connection, request) => this.#route(request)]]),
  })
  routeRequests = 0

  async start(): Promise<void> {
    await this.#namesrv.start()
  }

  get namesrvAddress(): string {
    return `${HOST}:${this.#namesrv.ports[0]}`
  }

  /** Starts a member of the group `name`. */
  async addBroker(name: string): Promise<ScriptedBroker> {
    const broker = new ScriptedBroker(name, this.#watch)
    await broker.start()
    this.#brokers.push(broker)
    return broker
  }

  addTopic(topic: ScriptedTopic): void {
    this.#topics.push(topic)
  }

  /** Says who the members of a group are: the first one leads, unless it is null. */
  setMembers(name: string, members: readonly (ScriptedBroker | null)[]): void {
    const entries = members.flatMap((member, id): [number, string][] => (member === null ? [] : [[id, member.address]]))
    this.#addresses.set(name, new Map(entries))
    this.#watch.look()
  }

  until(condition: () => boolean): Promise<void> {
    return this.#watch.until(condition)
  }

  /** To be called by listeners and callbacks of a test, so that `until` looks again. */
  look(): void {
    this.#watch.look()
  }

  async close(): Promise<void> {
    await Promise.all([...this.#brokers.map((broker) => broker.kill()), this.#namesrv.close()])
  }

  #route(request: RemotingCommand): RemotingCommand {
    this.routeRequests++
    this.#watch.look()
    const { topic: name } = GetRouteInfoRequest.decode(request.extFields)
    const topic = this.#topics.find((one) => one.name === name)
    if (topic === undefined) return createResponse(ResponseCode.TOPIC_NOT_EXIST, 'No topic route info')
    const { queues, perm = 6, brokers } = topic
    const having = [...this.#addresses].filter(([brokerName]) => brokers === undefined || brokers.includes(brokerName))
    const body = encodeTopicRouteData({
      brokerDatas: having.map(([brokerName, brokerAddrs]) => {
        return { brokerName, cluster: 'c', brokerAddrs, enableActingMaster: false }
      }),
      filterServerTable: new Map(),
      queueDatas: having.map(([brokerName]) => {
        return { brokerName, perm, readQueueNums: queues, writeQueueNums: queues, topicSysFlag: 0 }
      }),
    })
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
  }
}
