/**
 * Who produces: connections by producer group, from heartbeats. Needed to ask a producer something later.
 *
 * Keeps: a group exists here exactly while it has a connection; a connection is in GROUPS_PER_CONNECTION_MAX at most, whatever it says, and
 * when it closes only those are looked at.
 */
import { addTo, removeFrom } from '../keyed-sets.ts'
import { ClientChannels } from './client-channels.ts'
import { type ClientInfo, GROUPS_PER_CONNECTION_MAX, type Member } from './consumer-table.ts'

export class ProducerTable<Channel> {
  readonly #groups = new Map<string, Map<Channel, Member<Channel>>>()
  readonly #groupsOf = new Map<Channel, Set<string>>()
  readonly #clients = new ClientChannels<Channel>()
  readonly #appeared: (group: string) => void

  /** @param appeared called for a group that has its first connection. */
  constructor(appeared: (group: string) => void = () => {}) {
    this.#appeared = appeared
  }

  get size(): number {
    return this.#groups.size
  }

  groups(): IterableIterator<[group: string, members: ReadonlyMap<Channel, Member<Channel>>]> {
    return this.#groups.entries()
  }

  members(group: string): ReadonlyMap<Channel, Member<Channel>> | undefined {
    return this.#groups.get(group)
  }

  /** Where a client is reached that heartbeats as a producer, or was seen otherwise. */
  channelOf(clientId: string): Channel | undefined {
    return this.#clients.channelOf(clientId)
  }

  /** A message of this client came, maybe before its first heartbeat to this member. */
  sawClient(clientId: string, channel: Channel): void {
    this.#clients.saw(clientId, channel)
  }

  register(channel: Channel, client: ClientInfo, group: string, nowMs: number): void {
    this.#clients.saw(client.clientId, channel)
    const own = this.#groupsOf.get(channel)
    if (own !== undefined && own.size >= GROUPS_PER_CONNECTION_MAX && !own.has(group)) return
    addTo(this.#groupsOf, channel, group)
    let members = this.#groups.get(group)
    const isNew = members === undefined
    if (members === undefined) {
      members = new Map()
      this.#groups.set(group, members)
    }
    const present = members.get(channel)
    if (present !== undefined && present.clientId === client.clientId) present.lastSeenMs = nowMs
    else members.set(channel, { ...client, channel, lastSeenMs: nowMs })
    if (isNew) this.#appeared(group)
  }

  unregister(channel: Channel, group: string): void {
    const members = this.#groups.get(group)
    if (members?.delete(channel) !== true) return
    removeFrom(this.#groupsOf, channel, group)
    if (members.size === 0) this.#groups.delete(group)
  }

  closed(channel: Channel): void {
    this.#clients.closed(channel)
    for (const group of this.#groupsOf.get(channel) ?? []) this.unregister(channel, group)
  }

  /** Connections whose last heartbeat is older than `timeoutMs`, for closing; they are forgotten here. */
  expire(nowMs: number, timeoutMs: number): Channel[] {
    const expired: Channel[] = []
    for (const [group, members] of this.#groups) {
      for (const member of members.values()) {
        if (nowMs - member.lastSeenMs <= timeoutMs) continue
        expired.push(member.channel)
        this.unregister(member.channel, group)
      }
    }
    return expired
  }
}
