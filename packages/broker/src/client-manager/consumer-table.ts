/**
 * Who consumes: groups, their connections, and what each group subscribes to. In memory, from heartbeats, on every member.
 *
 * Keeps:
 *   C1  a group exists here exactly while it has a connection;
 *   C2  a change of the member list is told once, after the table shows it;
 *   C3  of two subscriptions to one topic the one with the newer version stays, of equal ones the last;
 *   C4  of each connection is known since which version it wants what it wants: an older pull of it was made for something else;
 *   C5  a connection is in GROUPS_PER_CONNECTION_MAX groups at most, whatever it says: of further ones nothing is known.
 * Pure but for the clock values it is given. Source: ConsumerManager, ConsumerGroupInfo.
 */
import type { Subscription } from './subscription.ts'

/** Of producers, or of consumers; a client that serves many others, as a proxy, has thousands. */
export const GROUPS_PER_CONNECTION_MAX = 10_000

export interface ClientInfo {
  readonly clientId: string
  readonly language: string
  readonly version: number
}

export interface Member<Channel> extends ClientInfo {
  readonly channel: Channel
  lastSeenMs: number
}

/** What one connection wants of a topic, and since which version of its subscription; 0 from the beginning. */
interface Announced {
  readonly expression: string
  readonly since: number
  /** When it said so, monotonic. */
  readonly atMs: number
}

/** What a heartbeat says of one group. */
export interface GroupData {
  readonly groupName: string
  readonly consumeType: string
  /** CLUSTERING or BROADCASTING. */
  readonly messageModel: string
  readonly consumeFromWhere: string
  readonly subscriptions: readonly Subscription[]
}

/** Consumers of one group. */
export class ConsumerGroup<Channel> {
  readonly name: string
  readonly members = new Map<Channel, Member<Channel>>()
  readonly subscriptions = new Map<string, Subscription>()
  /** By connection and topic. */
  readonly announced = new Map<Channel, Map<string, Announced>>()
  consumeType = ''
  messageModel = 'CLUSTERING'
  consumeFromWhere = ''
  /** Fingerprint of the last heartbeat; null before the first. */
  fingerprint: number | null = null

  constructor(name: string) {
    this.name = name
  }

  get isBroadcast(): boolean {
    return this.messageModel === 'BROADCASTING'
  }

  /** When this connection said that it wants something else of the topic than with this version; undefined when it did not. */
  supersededMs(channel: Channel, topic: string, subVersion: number): number | undefined {
    const announced = this.announced.get(channel)?.get(topic)
    return announced !== undefined && subVersion < announced.since ? announced.atMs : undefined
  }

  /** Ids of the members, each once, though a client that reconnects has two connections for a while. */
  clientIds(): string[] {
    const ids = new Set<string>()
    for (const member of this.members.values()) ids.add(member.clientId)
    return [...ids]
  }

  find(clientId: string): Member<Channel> | undefined {
    let found: Member<Channel> | undefined
    for (const member of this.members.values()) if (member.clientId === clientId) found = member
    return found
  }
}

/** Told after a connection wants something else of a topic that it subscribes to already. */
export type Resubscribed<Channel> = (channel: Channel, group: string, topic: string) => void

/** Told after the members or the topics of a group changed. */
export type GroupChanged<Channel> = (group: ConsumerGroup<Channel>) => void

export class ConsumerTable<Channel> {
  readonly #groups = new Map<string, ConsumerGroup<Channel>>()
  readonly #groupsOf = new Map<Channel, Set<ConsumerGroup<Channel>>>()
  readonly #changed: GroupChanged<Channel>
  readonly #resubscribed: Resubscribed<Channel>

  constructor(changed: GroupChanged<Channel>, resubscribed: Resubscribed<Channel> = () => {}) {
    this.#changed = changed
    this.#resubscribed = resubscribed
  }

  get size(): number {
    return this.#groups.size
  }

  groups(): IterableIterator<ConsumerGroup<Channel>> {
    return this.#groups.values()
  }

  group(name: string): ConsumerGroup<Channel> | undefined {
    return this.#groups.get(name)
  }

  /**
   * A heartbeat came.
   *
   * @param fingerprint 0 for the first version of heartbeats.
   * @param keepSubscriptions the heartbeat carried none on purpose.
   * @returns whether the client must send its subscriptions in full: it left them out, and they are not those known here.
   */
  register(
    channel: Channel,
    client: ClientInfo,
    data: GroupData,
    { nowMs, fingerprint, keepSubscriptions }: { nowMs: number; fingerprint: number; keepSubscriptions: boolean },
  ): boolean {
    const own = this.#groupsOf.get(channel)
    const present = this.#groups.get(data.groupName)
    const isMember = present !== undefined && own?.has(present) === true
    if (!isMember && (own?.size ?? 0) >= GROUPS_PER_CONNECTION_MAX) return false
    const group = present ?? this.#create(data.groupName)
    const sameFingerprint = group.fingerprint === fingerprint
    group.fingerprint = fingerprint
    group.consumeType = data.consumeType
    group.messageModel = data.messageModel
    group.consumeFromWhere = data.consumeFromWhere
    const joined = this.#join(group, channel, client, nowMs)
    const newTopics = !keepSubscriptions && this.#subscribe(group, channel, data.subscriptions, nowMs)
    if (joined || newTopics) this.#changed(group)
    return keepSubscriptions && !sameFingerprint
  }

  unregister(channel: Channel, groupName: string): void {
    const group = this.#groups.get(groupName)
    if (group !== undefined) this.#leave(group, channel)
  }

  /** The connection is gone. */
  closed(channel: Channel): void {
    for (const group of this.#groupsOf.get(channel) ?? []) this.#leave(group, channel)
  }

  /** Connections whose last heartbeat is older than `timeoutMs`, for closing; they are forgotten here. */
  expire(nowMs: number, timeoutMs: number): Channel[] {
    const expired: Channel[] = []
    for (const group of this.#groups.values()) {
      for (const member of group.members.values()) {
        if (nowMs - member.lastSeenMs <= timeoutMs) continue
        expired.push(member.channel)
        this.#leave(group, member.channel)
      }
    }
    return expired
  }

  /** @returns whether a topic was added or removed; a newer expression for a known topic changes no assignment. */
  #subscribe(group: ConsumerGroup<Channel>, channel: Channel, given: readonly Subscription[], nowMs: number): boolean {
    const changed = updateSubscriptions(group.subscriptions, given)
    const before = group.announced.get(channel)
    const announced = new Map<string, Announced>()
    group.announced.set(channel, announced)
    for (const { topic, expression, subVersion } of given) {
      const known = before?.get(topic)
      const isSame = known === undefined || known.expression === expression
      announced.set(
        topic,
        isSame ? (known ?? { expression, since: 0, atMs: nowMs }) : { expression, since: subVersion, atMs: nowMs },
      )
      if (!isSame) this.#resubscribed(channel, group.name, topic)
    }
    return changed
  }

  #create(name: string): ConsumerGroup<Channel> {
    const group = new ConsumerGroup<Channel>(name)
    this.#groups.set(name, group)
    return group
  }

  #join(group: ConsumerGroup<Channel>, channel: Channel, client: ClientInfo, nowMs: number): boolean {
    const present = group.members.get(channel)
    if (present !== undefined && present.clientId === client.clientId) {
      present.lastSeenMs = nowMs
      return false
    }
    group.members.set(channel, { ...client, channel, lastSeenMs: nowMs })
    const groups = this.#groupsOf.get(channel)
    if (groups === undefined) this.#groupsOf.set(channel, new Set([group]))
    else groups.add(group)
    return true
  }

  #leave(group: ConsumerGroup<Channel>, channel: Channel): void {
    if (!group.members.delete(channel)) return
    group.announced.delete(channel)
    const groups = this.#groupsOf.get(channel)
    groups?.delete(group)
    if (groups?.size === 0) this.#groupsOf.delete(channel)
    if (group.members.size === 0) this.#groups.delete(group.name)
    this.#changed(group)
  }
}

/** @returns whether a topic was added or removed. */
function updateSubscriptions(table: Map<string, Subscription>, given: readonly Subscription[]): boolean {
  let changed = false
  const topics = new Set<string>()
  for (const subscription of given) {
    topics.add(subscription.topic)
    const present = table.get(subscription.topic)
    if (present === undefined) changed = true
    // Equal counts as newer: the Go client's nanoseconds are beyond 2^53 and all read as the largest number.
    if (present === undefined || subscription.subVersion >= present.subVersion)
      table.set(subscription.topic, subscription)
  }
  for (const topic of table.keys()) {
    if (topics.has(topic)) continue
    table.delete(topic)
    changed = true
  }
  return changed
}
