/**
 * Where the queues of a topic are: what a namesrv says, made ready for sending and pulling. Pure.
 *
 * A queue whose broker has no master at the moment is still a queue: a sender by hash must not pick another one because of a
 * failover. Whoever sends asks `masterOf` and waits when there is none.
 */
import { isReadable, isWritable } from '@dledger-ts/protocol'
import type { MessageQueue, TopicRouteData } from '@dledger-ts/remoting'

export const MASTER_ID = 0
/** More queues than any topic has; a route that claims more is cut. */
const QUEUES_PER_BROKER_MAX = 65_536

export class TopicRoute {
  readonly topic: string
  /** Taken from the default topic: the topic itself does not exist yet and comes to be with the first message. */
  readonly isProvisional: boolean
  /** Ordered by broker name and queue id, as every client of a group has to order them. */
  readonly writeQueues: readonly MessageQueue[]
  readonly readQueues: readonly MessageQueue[]
  readonly #addresses: ReadonlyMap<string, ReadonlyMap<number, string>>

  constructor(fields: {
    topic: string
    isProvisional: boolean
    writeQueues: readonly MessageQueue[]
    readQueues: readonly MessageQueue[]
    addresses: ReadonlyMap<string, ReadonlyMap<number, string>>
  }) {
    this.topic = fields.topic
    this.isProvisional = fields.isProvisional
    this.writeQueues = fields.writeQueues
    this.readQueues = fields.readQueues
    this.#addresses = fields.addresses
  }

  /** @returns where messages for the queues of this broker go, or undefined while it has no leader. */
  masterOf(brokerName: string): string | undefined {
    return this.#addresses.get(brokerName)?.get(MASTER_ID)
  }

  /** @returns the address of the wanted broker id, else of the master, else of any other member. */
  memberOf(brokerName: string, wantedId: number): string | undefined {
    const members = this.#addresses.get(brokerName)
    if (members === undefined) return undefined
    return members.get(wantedId) ?? members.get(MASTER_ID) ?? members.values().next().value
  }

  /** @returns every broker name with a member. */
  get brokerNames(): string[] {
    return [...this.#addresses.keys()]
  }

  /** @returns the addresses of all members, or of the masters alone. */
  addresses(options: { readonly mastersOnly: boolean }): string[] {
    const addresses: string[] = []
    for (const members of this.#addresses.values()) {
      for (const [id, address] of members) if (!options.mastersOnly || id === MASTER_ID) addresses.push(address)
    }
    return addresses
  }
}

/** @returns the route of a topic as its namesrv describes it. */
export function topicRoute(topic: string, data: TopicRouteData): TopicRoute {
  return build(topic, data, { isProvisional: false, queuesMax: QUEUES_PER_BROKER_MAX })
}

/**
 * @param data the route of the default topic.
 * @param queuesMax the queues for each broker that the new topic is to have.
 * @returns the route by which the first message to `topic` makes a broker create it.
 */
export function provisionalRoute(topic: string, data: TopicRouteData, queuesMax: number): TopicRoute {
  return build(topic, data, { isProvisional: true, queuesMax })
}

function build(
  topic: string,
  data: TopicRouteData,
  options: { isProvisional: boolean; queuesMax: number },
): TopicRoute {
  const addresses = new Map(data.brokerDatas.map((broker) => [broker.brokerName, broker.brokerAddrs]))
  const writeQueues: MessageQueue[] = []
  const readQueues: MessageQueue[] = []
  const sorted = [...data.queueDatas].sort((a, b) => compareText(a.brokerName, b.brokerName))
  for (const { brokerName, perm, readQueueNums, writeQueueNums } of sorted) {
    if (!addresses.has(brokerName)) continue
    const write = isWritable(perm) ? Math.min(writeQueueNums, options.queuesMax) : 0
    for (let queueId = 0; queueId < write; queueId++) writeQueues.push({ brokerName, queueId, topic })
    const read = isReadable(perm) ? Math.min(readQueueNums, options.queuesMax) : 0
    for (let queueId = 0; queueId < read; queueId++) readQueues.push({ brokerName, queueId, topic })
  }
  return new TopicRoute({ topic, isProvisional: options.isProvisional, writeQueues, readQueues, addresses })
}

/** Java's order of strings: by UTF-16 unit, not by locale. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
