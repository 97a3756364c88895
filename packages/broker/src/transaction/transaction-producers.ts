/**
 * Whom to ask for the outcome of a transaction: any connection of its producer group that is alive. A group is known by its
 * heartbeats, which producers send to the leader alone and every 30 s, and by the half messages that came directly from it: so a
 * leader that was just elected knows a producer with the first one.
 *
 * Keeps: a connection is chosen only while it is open and takes what is written to it; connections take turns.
 */
import type { Connection } from '@dledger-ts/remoting'

/** A connection with more than this unwritten is asked nothing: its questions would pile up in memory. */
const UNWRITTEN_BYTES_MAX = 1024 * 1024
/** Groups that are remembered of one connection by its half messages; of more, heartbeats tell. */
const GROUPS_OF_CONNECTION_MAX = 64

/** Connections by group, from heartbeats. */
export interface HeartbeatProducers {
  members(group: string): ReadonlyMap<Connection, unknown> | undefined
}

export class TransactionProducers {
  readonly #heartbeats: HeartbeatProducers
  readonly #senders = new Map<string, Set<Connection>>()
  readonly #groupsOf = new Map<Connection, Set<string>>()
  #turn = 0

  constructor(heartbeats: HeartbeatProducers) {
    this.#heartbeats = heartbeats
  }

  /** A half message of the group came over this connection. @returns whether that was not known. */
  sent(connection: Connection, group: string): boolean {
    let groups = this.#groupsOf.get(connection)
    if (groups?.has(group) === true) return false
    if (groups === undefined) {
      if (connection.isClosed) return false
      groups = new Set()
      this.#groupsOf.set(connection, groups)
    }
    if (groups.size >= GROUPS_OF_CONNECTION_MAX) return false
    groups.add(group)
    const senders = this.#senders.get(group)
    if (senders === undefined) this.#senders.set(group, new Set([connection]))
    else senders.add(connection)
    return true
  }

  closed(connection: Connection): void {
    for (const group of this.#groupsOf.get(connection) ?? []) {
      const senders = this.#senders.get(group)
      senders?.delete(connection)
      if (senders?.size === 0) this.#senders.delete(group)
    }
    this.#groupsOf.delete(connection)
  }

  /** @returns the connection to ask now; undefined when none of the group can be asked. */
  choose(group: string): Connection | undefined {
    const senders: ReadonlyMap<Connection, unknown> | ReadonlySet<Connection> = this.#senders.get(group) ?? new Set()
    const members = this.#heartbeats.members(group) ?? new Map<Connection, unknown>()
    const known = senders.size + members.size
    const turn = known === 0 ? 0 : this.#turn++ % known
    let first: Connection | undefined
    let passed = 0
    for (const connections of [members, senders]) {
      for (const connection of connections.keys()) {
        if (isAble(connection)) {
          if (passed >= turn) return connection
          first ??= connection
        }
        passed++
      }
    }
    return first
  }
}

function isAble({ isClosed, unwrittenBytes }: Connection): boolean {
  return !isClosed && unwrittenBytes <= UNWRITTEN_BYTES_MAX
}
