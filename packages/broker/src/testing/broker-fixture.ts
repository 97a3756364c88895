/**
 * A real broker in a fresh directory and a real client to it, for tests. Ports are chosen by the system.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Connection,
  createRequest,
  createResponse,
  CreateTopicRequest,
  type Credentials,
  encodeHeartbeat,
  type HeartbeatData,
  type ExtFields,
  RemotingClient,
  type Processor,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  signingKey,
  signRequest,
  type SubscriptionData,
} from '@dledger-ts/remoting'
import { Broker } from '../broker.ts'
import { type BrokerConfig, parseConfig } from '../config/config.ts'
import { EventQueue } from './event-queue.ts'

const ANSWER_TIMEOUT_MS = 20_000

export interface Fixture {
  readonly broker: Broker
  readonly directory: string
  close(): Promise<void>
}

/** Of a broker with its store in that directory. */
export function brokerConfig(directory: string, keys: Record<string, string> = {}): BrokerConfig {
  const { config } = parseConfig(
    {
      brokerClusterName: 'C',
      brokerName: 'b',
      brokerIP1: '127.0.0.1',
      bindAddress: '127.0.0.1',
      listenPort: '0',
      storePathRootDir: directory,
      mappedFileSizeCommitLog: '16777216',
      flushDiskType: 'ASYNC_FLUSH',
      ...keys,
    },
    { homeDirectory: directory, hostName: 'localhost', address: '127.0.0.1' },
  )
  return config
}

export async function startBroker(keys: Record<string, string> = {}): Promise<Fixture> {
  const directory = await mkdtemp(join(tmpdir(), 'broker-test-'))
  const broker = new Broker(brokerConfig(directory, keys))
  const close = async () => {
    await broker.close()
    await rm(directory, { recursive: true, force: true })
  }
  try {
    await broker.start()
    await broker.store?.whenSettled()
  } catch (error) {
    await close()
    throw error
  }
  return { broker, directory, close }
}

/** One client with its connection, and the 40s and 39s that it is sent. */
export class TestClient {
  readonly notices = new EventQueue<string>()
  /** The answers to its requests (326) that it was given. */
  readonly replies = new EventQueue<RemotingCommand>()
  /** What it says to such an answer. */
  replyCode: number = ResponseCode.SUCCESS
  /** Whether it says anything to it. */
  answersReplies = true
  /** Questions for half messages. */
  readonly checks = new EventQueue<RemotingCommand>()
  /** What tools want of it: offsets to move to (220), where it stands (221), its state (307), to consume a message (309). */
  readonly wanted = new EventQueue<RemotingCommand>()
  /** What it says to that; nothing when it gives nothing. */
  answerWanted: (request: RemotingCommand) => RemotingCommand | undefined = () => undefined
  readonly #address: string
  readonly #remoting: RemotingClient
  readonly version: number

  readonly #credentials: Credentials | undefined

  /** @param credentials what it signs with; it does not without. */
  constructor(address: string, version = 479, credentials?: Credentials) {
    this.#address = address
    this.#credentials = credentials
    this.version = version
    this.#remoting = new RemotingClient({
      processors: new Map<number, Processor>([
        [
          RequestCode.NOTIFY_CONSUMER_IDS_CHANGED,
          (_connection: Connection, request: RemotingCommand) => {
            this.notices.push(request.extFields?.['consumerGroup'] ?? '')
            return undefined
          },
        ],
        [
          RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT,
          (_connection: Connection, request: RemotingCommand) => {
            this.replies.push(request)
            return this.answersReplies ? createResponse(this.replyCode) : undefined
          },
        ],
        ...[
          RequestCode.RESET_CONSUMER_CLIENT_OFFSET,
          RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT,
          RequestCode.GET_CONSUMER_RUNNING_INFO,
          RequestCode.CONSUME_MESSAGE_DIRECTLY,
        ].map((code): [number, Processor] => [
          code,
          (_connection: Connection, request: RemotingCommand) => {
            this.wanted.push(request)
            return this.answerWanted(request)
          },
        ]),
        [
          RequestCode.CHECK_TRANSACTION_STATE,
          (_connection: Connection, request: RemotingCommand) => {
            this.checks.push(request)
            return undefined
          },
        ],
      ]),
    })
  }

  call(code: number, extFields: ExtFields = {}, body?: Buffer): Promise<RemotingCommand> {
    const request = this.request(code, extFields, body)
    return this.#remoting.invoke(this.#address, request, ANSWER_TIMEOUT_MS)
  }

  oneway(code: number, extFields: ExtFields = {}, body?: Buffer): void {
    const request = this.request(code, extFields, body)
    this.#remoting.oneway(this.#address, request)
  }

  request(code: number, extFields: ExtFields = {}, body?: Buffer): RemotingCommand {
    const request = createRequest(code, extFields, body)
    request.version = this.version
    if (this.#credentials !== undefined) {
      signRequest(request, this.#credentials, signingKey(this.#credentials.secretKey))
    }
    return request
  }

  /** Sends a request as it is. */
  invoke(request: RemotingCommand): Promise<RemotingCommand> {
    return this.#remoting.invoke(this.#address, request, ANSWER_TIMEOUT_MS)
  }

  /** SEND_MESSAGE_V2 to topic T, queue 0, unless told otherwise. */
  send(body: string, extFields: ExtFields = {}, code: number = RequestCode.SEND_MESSAGE_V2): Promise<RemotingCommand> {
    return this.call(code, { ...sendFields(), ...extFields }, Buffer.from(body))
  }

  /** PULL_MESSAGE of group g, topic T, queue 0, with the subscription `*`, unless told otherwise. */
  pull(extFields: ExtFields = {}): Promise<RemotingCommand> {
    return this.call(RequestCode.PULL_MESSAGE, { ...pullFields(), ...extFields })
  }

  /** UPDATE_AND_CREATE_TOPIC: four queues to read and to write, unless told otherwise. */
  createTopic(topic: string, wish: Partial<CreateTopicRequest> = {}): Promise<RemotingCommand> {
    const fields = CreateTopicRequest.encode({
      topic,
      defaultTopic: 'TBW102',
      readQueueNums: 4,
      writeQueueNums: 4,
      perm: 6,
      topicFilterType: 'SINGLE_TAG',
      order: false,
      force: false,
      ...wish,
    })
    return this.call(RequestCode.UPDATE_AND_CREATE_TOPIC, fields)
  }

  heartbeat(data: Partial<HeartbeatData>): Promise<RemotingCommand> {
    return this.call(RequestCode.HEART_BEAT, {}, encodeHeartbeat(heartbeatData(data)))
  }

  /** A heartbeat of a client in another language. */
  heartbeatAs(language: string, data: Partial<HeartbeatData>): Promise<RemotingCommand> {
    const request = createRequest(RequestCode.HEART_BEAT, {}, encodeHeartbeat(heartbeatData(data)))
    request.language = language
    return this.#remoting.invoke(this.#address, request, ANSWER_TIMEOUT_MS)
  }

  close(): void {
    this.#remoting.close()
  }
}

export function sendFields(): ExtFields {
  return {
    a: 'pg',
    b: 'T',
    c: 'TBW102',
    d: '4',
    e: '0',
    f: '0',
    g: '1700000000000',
    h: '0',
    i: 'UNIQ_KEY\u0001KEY1\u0002TAGS\u0001TagA\u0002',
    j: '0',
    k: 'false',
    m: 'false',
  }
}

/** The names of the long header (10) for the letters of the short one (310). */
const LONG_NAMES = [
  'producerGroup',
  'topic',
  'defaultTopic',
  'defaultTopicQueueNums',
  'queueId',
  'sysFlag',
  'bornTimestamp',
  'flag',
  'properties',
  'reconsumeTimes',
  'unitMode',
  'maxReconsumeTimes',
  'batch',
]

/** The long header that means what the short one does. */
export function longHeader(short: ExtFields): ExtFields {
  return Object.fromEntries(
    Object.entries(short).map(([letter, value]) => [LONG_NAMES['abcdefghijklm'.indexOf(letter)] ?? letter, value]),
  )
}

export function pullFields(): ExtFields {
  return {
    consumerGroup: 'g',
    topic: 'T',
    queueId: '0',
    queueOffset: '0',
    maxMsgNums: '32',
    sysFlag: '4',
    commitOffset: '0',
    suspendTimeoutMillis: '0',
    subscription: '*',
    subVersion: '0',
    expressionType: 'TAG',
  }
}

export function heartbeatData(data: Partial<HeartbeatData>): HeartbeatData {
  return {
    clientID: 'c1',
    consumerDataSet: [],
    producerDataSet: [],
    heartbeatFingerprint: 0,
    withoutSub: false,
    ...data,
  }
}

export function consumerData(groupName: string, ...subscriptionDataSet: SubscriptionData[]) {
  return {
    groupName,
    consumeType: 'CONSUME_PASSIVELY',
    messageModel: 'CLUSTERING',
    consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET',
    subscriptionDataSet,
    unitMode: false,
  }
}

export function subscriptionData(topic: string, subString: string, subVersion: number): SubscriptionData {
  return {
    topic,
    subString,
    subVersion,
    tagsSet: [],
    codeSet: [],
    expressionType: 'TAG',
    classFilterMode: false,
  }
}
