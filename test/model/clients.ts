/**
 * Clients of the simulated brokers: real frames over simulated sockets.
 *
 * Keeps: a request is answered, lost with its connection, or given up after `ANSWER_TIMEOUT_MS`; each is told once.
 */
import {
  createRequest,
  type ExtFields,
  RemotingClient,
  type RemotingCommand,
  type RemotingError,
  RequestCode,
} from '@dledger-ts/remoting'
import type { BrokerMember, World } from './world.ts'

/** As the clients of Apache do. */
const ANSWER_TIMEOUT_MS = 3_000

export interface Told {
  answered(answer: RemotingCommand): void
  /** Nobody knows whether the request was done. */
  lost(error: RemotingError): void
}

export interface Request {
  readonly code: number
  readonly fields: ExtFields
  readonly body?: Buffer | undefined
}

export class Client {
  readonly name: string
  readonly #remoting: RemotingClient
  /** Requests without an answer yet. */
  pending = 0

  constructor(name: string, world: World) {
    this.name = name
    this.#remoting = new RemotingClient({ clock: world.clientClock(), sockets: world.net.socketsOf(world.clients) })
  }

  ask(member: BrokerMember, { code, fields, body }: Request, told: Told): void {
    const request = createRequest(code, fields, body)
    request.version = 479
    this.pending++
    this.#remoting.invokeCallback(member.address, request, ANSWER_TIMEOUT_MS, {
      responded: (answer) => {
        this.pending--
        told.answered(answer)
      },
      failed: (error) => {
        this.pending--
        told.lost(error)
      },
    })
  }
}

export function sendRequest(topic: string, queueId: number, body: string, properties = ''): Request {
  const fields = {
    a: 'producers',
    b: topic,
    c: 'TBW102',
    d: '1',
    e: String(queueId),
    f: '0',
    g: '1700000000000',
    h: '0',
    i: properties,
    j: '0',
    k: 'false',
    m: 'false',
  }
  return { code: RequestCode.SEND_MESSAGE_V2, fields, body: Buffer.from(body) }
}

export function pullRequest(group: string, topic: string, queueId: number, from: number): Request {
  const fields = {
    consumerGroup: group,
    topic,
    queueId: String(queueId),
    queueOffset: String(from),
    maxMsgNums: '32',
    sysFlag: '4',
    commitOffset: '0',
    suspendTimeoutMillis: '0',
    subscription: '*',
    subVersion: '0',
    expressionType: 'TAG',
  }
  return { code: RequestCode.PULL_MESSAGE, fields }
}

export function createTopicRequest(topic: string, queues: number): Request {
  const fields = {
    topic,
    defaultTopic: 'TBW102',
    readQueueNums: String(queues),
    writeQueueNums: String(queues),
    perm: '6',
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: '0',
    order: 'false',
  }
  return { code: RequestCode.UPDATE_AND_CREATE_TOPIC, fields }
}
