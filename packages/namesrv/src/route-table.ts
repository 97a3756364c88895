/**
 * Which brokers live, which topics they have, and the routes that follow. Pure: no clock, no sockets; the caller says what
 * time it is and which connection a registration came on.
 *
 * Keeps:
 *   - A broker that is listed (`brokers`) has at least one address; when the last one goes, its topics and its place in the
 *     cluster go with it.
 *   - An address stands under one id of its broker: who changes its role, moves. In its cluster it stands under one broker name.
 *   - What is listed lives: it goes when its connection closes or it falls silent.
 *   - An id that is taken by a live broker of a larger state version is not given to another address: a late old leader cannot
 *     push out its successor.
 *   - What a broker costs that goes, or changes its permissions, are its own topics: brokers that have none are many at once, when whoever
 *     registered them hangs up.
 *   - Queues change only by registrations with broker id 0 (or, where brokers ask for an acting master, by the smallest id
 *     while there is no 0), and only when their data version is not the one already taken from that broker name.
 *
 * Source: org.apache.rocketmq.namesrv.routeinfo.RouteInfoManager.
 */
import { assert } from '@dledger-ts/base'
import {
  type BrokerData,
  type BrokerMemberGroup,
  type ClusterInfo,
  type DataVersion,
  equalDataVersions,
  type QueueData,
  type RegisterBrokerBody,
  type TopicConfig,
  type TopicRouteData,
} from '@dledger-ts/remoting'

export const MASTER_ID = 0
/** A broker that does not say how long it may be silent. */
export const DEFAULT_HEARTBEAT_TIMEOUT_MS = 120_000
/** More addresses than this are refused: a table in memory has a limit. */
const BROKER_ADDRESSES_MAX = 20_000

const PERM_WRITE = 2
const PERM_READ_WRITE = 6

/** Which of the brokers. */
export interface BrokerIdentity {
  clusterName: string
  brokerName: string
  brokerId: number
  brokerAddr: string
}

export interface Registration extends BrokerIdentity {
  haServerAddr: string
  heartbeatTimeoutMs: number | undefined
  /** Undefined: a broker that is too old to know of acting masters. */
  enableActingMaster: boolean | undefined
  zoneName: string | undefined
  body: RegisterBrokerBody
  /** Where it came from: when that connection closes, the broker is gone. */
  connectionId: number
}

export type RegistrationResult =
  /** Taken; `master` is the present one, for a broker that is none. */
  | { kind: 'registered'; isNew: boolean; master: { address: string; haServerAddr: string } | undefined }
  /** Another address has this id with a larger state version. Answered like success, as Apache does. */
  | { kind: 'outdated'; liveAddr: string; liveStateVersion: number }
  /** An id not seen before that brings a single topic: its full registration has to come first. */
  | { kind: 'incomplete' }
  | { kind: 'tooMany'; addressesMax: number }

interface Broker {
  readonly name: string
  cluster: string
  readonly addresses: Map<number, string>
  isActingMasterEnabled: boolean
  zoneName: string | undefined
  /** Of the registration that the queues were last taken from. */
  takenVersion: DataVersion | undefined
  /** In which it has queues. */
  readonly topics: Set<string>
}

/** An address that registered and is not known to be gone. */
interface LiveAddress extends BrokerIdentity {
  lastSeenMs: number
  readonly heartbeatTimeoutMs: number
  readonly dataVersion: DataVersion
  readonly haServerAddr: string
  readonly filterServers: readonly string[]
  readonly connectionId: number
}

export class RouteTable {
  readonly #brokers = new Map<string, Broker>()
  readonly #clusters = new Map<string, Set<string>>()
  /** Topic → broker name → its queues. No topic is kept without queues. */
  readonly #topics = new Map<string, Map<string, QueueData>>()
  /** By cluster and address. */
  readonly #live = new Map<string, LiveAddress>()

  register(registration: Registration, nowMs: number): RegistrationResult {
    const { clusterName, brokerName, brokerId, brokerAddr, body } = registration
    const known = this.#brokers.get(brokerName)
    const holder = known?.addresses.get(brokerId)
    if (holder !== undefined && holder !== brokerAddr) {
      const live = this.#live.get(liveKey(clusterName, holder))
      if (live !== undefined && live.dataVersion.stateVersion > body.dataVersion.stateVersion) {
        this.unregister(registration)
        return { kind: 'outdated', liveAddr: holder, liveStateVersion: live.dataVersion.stateVersion }
      }
    }
    const isNewId = holder === undefined
    if (isNewId && body.topics.size === 1) return { kind: 'incomplete' }
    const former = this.#live.get(liveKey(clusterName, brokerAddr))
    if (former === undefined && this.#live.size >= BROKER_ADDRESSES_MAX)
      return { kind: 'tooMany', addressesMax: BROKER_ADDRESSES_MAX }
    if (former !== undefined && former.brokerName !== brokerName) this.unregister(former)
    const broker = known ?? this.#addBroker(brokerName, clusterName)
    this.#enterCluster(broker, clusterName)
    broker.isActingMasterEnabled = registration.enableActingMaster ?? false
    broker.zoneName = registration.zoneName
    for (const [id, address] of broker.addresses) {
      if (address === brokerAddr && id !== brokerId) broker.addresses.delete(id)
    }
    broker.addresses.set(brokerId, brokerAddr)
    this.#takeQueues(broker, registration, isNewId)
    this.#live.set(liveKey(clusterName, brokerAddr), {
      clusterName,
      brokerName,
      brokerId,
      brokerAddr,
      lastSeenMs: nowMs,
      heartbeatTimeoutMs: registration.heartbeatTimeoutMs ?? DEFAULT_HEARTBEAT_TIMEOUT_MS,
      dataVersion: body.dataVersion,
      haServerAddr: registration.haServerAddr,
      filterServers: body.filterServers,
      connectionId: registration.connectionId,
    })
    return { kind: 'registered', isNew: isNewId, master: brokerId === MASTER_ID ? undefined : this.#masterOf(broker) }
  }

  /** Takes an address out, under whatever id it stands. @returns whether it was there. */
  unregister(broker: Pick<BrokerIdentity, 'clusterName' | 'brokerName' | 'brokerAddr'>): boolean {
    const key = liveKey(broker.clusterName, broker.brokerAddr)
    const wasLive = this.#live.get(key)?.brokerName === broker.brokerName && this.#live.delete(key)
    const listed = this.#brokers.get(broker.brokerName)
    if (listed === undefined) return wasLive
    for (const [id, address] of listed.addresses) if (address === broker.brokerAddr) listed.addresses.delete(id)
    if (listed.addresses.size === 0) this.#removeBroker(listed)
    else if (listed.isActingMasterEnabled && !hasMaster(listed)) this.#changePerm(listed.name, withoutWrite)
    return wasLive
  }

  /** Takes out the addresses that registered on a connection which is closed now. @returns them. */
  connectionClosed(connectionId: number): BrokerIdentity[] {
    const gone = [...this.#live.values()].filter((live) => live.connectionId === connectionId)
    for (const live of gone) this.unregister(live)
    return gone
  }

  /** Takes out the addresses that were silent for longer than they said they would be. @returns them, with their connections. */
  expire(nowMs: number): (BrokerIdentity & { connectionId: number })[] {
    const silent = [...this.#live.values()].filter((live) => live.lastSeenMs + live.heartbeatTimeoutMs < nowMs)
    for (const live of silent) this.unregister(live)
    return silent
  }

  /** A sign of life. Does nothing for an address that is not registered. */
  touch(clusterName: string, brokerAddr: string, nowMs: number): void {
    const live = this.#live.get(liveKey(clusterName, brokerAddr))
    if (live !== undefined) live.lastSeenMs = nowMs
  }

  /** @returns the data version that an address registered last. */
  dataVersion(clusterName: string, brokerAddr: string): DataVersion | undefined {
    return this.#live.get(liveKey(clusterName, brokerAddr))?.dataVersion
  }

  /** @returns where the topic's queues are, or undefined when no listed broker has any. */
  route(topic: string): TopicRouteData | undefined {
    const queues = this.#topics.get(topic)
    if (queues === undefined) return undefined
    const route: TopicRouteData = { queueDatas: [...queues.values()], brokerDatas: [], filterServerTable: new Map() }
    for (const brokerName of queues.keys()) {
      const broker = this.#brokers.get(brokerName)
      if (broker === undefined) continue
      route.brokerDatas.push(brokerData(broker))
      for (const address of broker.addresses.values()) {
        const servers = this.#live.get(liveKey(broker.cluster, address))?.filterServers ?? []
        if (servers.length > 0) route.filterServerTable.set(address, [...servers])
      }
    }
    return route.brokerDatas.length > 0 ? route : undefined
  }

  clusterInfo(): ClusterInfo {
    return {
      brokerAddrTable: new Map([...this.#brokers].map(([name, broker]) => [name, brokerData(broker)])),
      clusterAddrTable: new Map([...this.#clusters].map(([cluster, names]) => [cluster, [...names]])),
    }
  }

  /** The members of one broker group; none when it is unknown. */
  memberGroup(cluster: string, brokerName: string): BrokerMemberGroup {
    const broker = this.#brokers.get(brokerName)
    return { cluster, brokerName, brokerAddrs: broker === undefined ? new Map() : sortedAddresses(broker) }
  }

  topics(): string[] {
    return [...this.#topics.keys()]
  }

  topicsOfCluster(cluster: string): string[] {
    const names = this.#clusters.get(cluster)
    if (names === undefined) return []
    return [...this.#topics]
      .filter(([, queues]) => [...queues.keys()].some((name) => names.has(name)))
      .map(([topic]) => topic)
  }

  /** Topics with queues whose topicSysFlag `accepts`. */
  topicsByFlag(accepts: (topicSysFlag: number) => boolean): string[] {
    return [...this.#topics]
      .filter(([, queues]) => [...queues.values()].some((queue) => accepts(queue.topicSysFlag)))
      .map(([topic]) => topic)
  }

  /** Names of clusters and brokers, which are topics on every broker, and one address to ask for the others. */
  systemTopics(): { topics: string[]; brokerAddr: string | undefined } {
    const topics = [...this.#clusters].flatMap(([cluster, names]) => [cluster, ...names])
    const [first] = this.#brokers.values()
    return { topics, brokerAddr: first === undefined ? undefined : [...first.addresses.values()][0] }
  }

  /** Clears the write bit of all topics of a broker until it registers with another data version. @returns how many it has. */
  wipeWritePerm(brokerName: string): number {
    return this.#changePerm(brokerName, withoutWrite)
  }

  /** Makes all topics of a broker readable and writable. @returns how many it has. */
  addWritePerm(brokerName: string): number {
    return this.#changePerm(brokerName, () => PERM_READ_WRITE)
  }

  /** Forgets a topic, in one cluster or in all. */
  deleteTopic(topic: string, clusterName?: string): void {
    const queues = this.#topics.get(topic)
    if (queues === undefined) return
    const ofCluster = clusterName === undefined ? null : (this.#clusters.get(clusterName) ?? new Set<string>())
    for (const brokerName of queues.keys()) {
      if (ofCluster !== null && !ofCluster.has(brokerName)) continue
      queues.delete(brokerName)
      this.#brokers.get(brokerName)?.topics.delete(topic)
    }
    if (queues.size === 0) this.#topics.delete(topic)
  }

  /** Adds queues of a topic by hand. @returns false, changing nothing, when one of them is on a broker that is not listed. */
  registerTopic(topic: string, queues: readonly QueueData[]): boolean {
    if (!queues.every((queue) => this.#brokers.has(queue.brokerName))) return false
    for (const queue of queues) this.#setQueue(topic, queue)
    return true
  }

  /** Throws when something that always holds does not. For tests, after every step. */
  checkInvariants(): void {
    const live = new Set([...this.#live.values()].map(({ brokerName, brokerAddr }) => `${brokerName} ${brokerAddr}`))
    for (const [name, broker] of this.#brokers) {
      assert(broker.addresses.size > 0, 'a listed broker has an address')
      assert(this.#clusters.get(broker.cluster)?.has(name) === true, 'a listed broker is in its cluster')
      const addresses = [...broker.addresses.values()]
      assert(new Set(addresses).size === addresses.length, 'an address stands under one id')
      for (const address of addresses) assert(live.has(`${name} ${address}`), 'what is listed lives')
    }
    for (const names of this.#clusters.values()) {
      assert(names.size > 0, 'a cluster has a broker')
      for (const name of names) assert(this.#brokers.has(name), 'a cluster lists known brokers')
    }
    let queueCount = 0
    for (const [topic, queues] of this.#topics) {
      assert(queues.size > 0, 'a topic has queues')
      queueCount += queues.size
      for (const name of queues.keys()) {
        assert(
          this.#brokers.get(name)?.topics.has(topic) === true,
          'queues are on listed brokers, which know their topics',
        )
      }
    }
    for (const { topics } of this.#brokers.values()) queueCount -= topics.size
    assert(queueCount === 0, 'a broker knows no topics in which it has no queues')
  }

  /** Takes the topics of a registration that speaks for its broker name, when they may differ from those taken before. */
  #takeQueues(broker: Broker, registration: Registration, isNewId: boolean): void {
    const { brokerId, body } = registration
    const isActingMaster = broker.isActingMasterEnabled && brokerId !== MASTER_ID && brokerId === smallestId(broker)
    if (brokerId !== MASTER_ID && !isActingMaster) return
    const isUnchanged =
      !isNewId && broker.takenVersion !== undefined && equalDataVersions(broker.takenVersion, body.dataVersion)
    for (const topic of body.topics.values()) {
      if (isUnchanged && this.#topics.get(topic.topicName)?.has(broker.name) === true) continue
      this.#setQueue(topic.topicName, queueData(broker.name, topic, isActingMaster))
    }
    broker.takenVersion = body.dataVersion
  }

  #setQueue(topic: string, queue: QueueData): void {
    let queues = this.#topics.get(topic)
    if (queues === undefined) {
      queues = new Map()
      this.#topics.set(topic, queues)
    }
    queues.set(queue.brokerName, queue)
    this.#brokers.get(queue.brokerName)?.topics.add(topic)
  }

  #changePerm(brokerName: string, change: (perm: number) => number): number {
    const topics = this.#brokers.get(brokerName)?.topics ?? new Set<string>()
    for (const topic of topics) {
      const queues = this.#topics.get(topic)
      const queue = queues?.get(brokerName)
      assert(queues !== undefined && queue !== undefined, 'a broker has queues in its topics')
      queues.set(brokerName, { ...queue, perm: change(queue.perm) })
    }
    return topics.size
  }

  #masterOf(broker: Broker): { address: string; haServerAddr: string } | undefined {
    const address = broker.addresses.get(MASTER_ID)
    const live = address === undefined ? undefined : this.#live.get(liveKey(broker.cluster, address))
    return live === undefined ? undefined : { address: live.brokerAddr, haServerAddr: live.haServerAddr }
  }

  #addBroker(name: string, cluster: string): Broker {
    const broker: Broker = {
      name,
      cluster,
      addresses: new Map(),
      isActingMasterEnabled: false,
      zoneName: undefined,
      takenVersion: undefined,
      topics: new Set(),
    }
    this.#brokers.set(name, broker)
    return broker
  }

  #enterCluster(broker: Broker, cluster: string): void {
    if (broker.cluster !== cluster) this.#leaveCluster(broker)
    broker.cluster = cluster
    const names = this.#clusters.get(cluster)
    if (names === undefined) this.#clusters.set(cluster, new Set([broker.name]))
    else names.add(broker.name)
  }

  #leaveCluster(broker: Broker): void {
    const names = this.#clusters.get(broker.cluster)
    names?.delete(broker.name)
    if (names?.size === 0) this.#clusters.delete(broker.cluster)
  }

  #removeBroker(broker: Broker): void {
    this.#brokers.delete(broker.name)
    this.#leaveCluster(broker)
    for (const topic of broker.topics) {
      const queues = this.#topics.get(topic)
      queues?.delete(broker.name)
      if (queues?.size === 0) this.#topics.delete(topic)
    }
  }
}

function liveKey(clusterName: string, brokerAddr: string): string {
  return `${brokerAddr} ${clusterName}`
}

function smallestId(broker: Broker): number {
  return Math.min(...broker.addresses.keys())
}

function hasMaster(broker: Broker): boolean {
  return broker.addresses.has(MASTER_ID)
}

function withoutWrite(perm: number): number {
  return perm & ~PERM_WRITE
}

function queueData(brokerName: string, topic: TopicConfig, isActingMaster: boolean): QueueData {
  const { readQueueNums, writeQueueNums, perm, topicSysFlag } = topic
  // Whoever stands in for a master serves what is there and takes nothing new.
  return { brokerName, readQueueNums, writeQueueNums, perm: isActingMaster ? withoutWrite(perm) : perm, topicSysFlag }
}

function brokerData(broker: Broker): BrokerData {
  return {
    cluster: broker.cluster,
    brokerName: broker.name,
    brokerAddrs: sortedAddresses(broker),
    enableActingMaster: broker.isActingMasterEnabled,
    ...(broker.zoneName === undefined ? {} : { zoneName: broker.zoneName }),
  }
}

function sortedAddresses(broker: Broker): Map<number, string> {
  return new Map([...broker.addresses].sort(([a], [b]) => a - b))
}
