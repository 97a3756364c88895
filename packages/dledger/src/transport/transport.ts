/**
 * How members reach each other: best effort, in order for each connection, never blocking, never throwing.
 *
 * A message that cannot be sent is dropped; Raft repeats what matters. Control messages never wait behind data.
 * `memory` and `tcp` pass one conformance suite.
 */
import type { MemberId, Message } from '../raft/messages.ts'

/**
 * Where a member stands that takes itself for one of its group's, or leads it. Whoever's log is behind may not know it yet, and must
 * hear it all the same: it may be the only one that can be elected, or the leader (Ongaro §4.1).
 */
export interface Standing {
  /** Where its log ends. */
  readonly lastTerm: number
  readonly lastIndex: number
  /** Where it is reached, as its configuration says; null: as the options of the others say. */
  readonly address: string | null
  /** Of the members that its configuration binds, itself among them: by one of these it shows that it is of the same group. */
  readonly stores: readonly string[]
}

/** What a member says of itself when it connects; both sides compare. */
export interface Hello {
  readonly wireVersion: number
  readonly group: string
  readonly member: MemberId
  readonly storeId: string
  readonly fileBytes: number
  /** Free text of the embedder, for its peers: a broker puts the address there on which it serves clients. */
  readonly advertised: string
  /** How often its directory was opened: a lower one than was seen of the same store is an old image of its disk. */
  readonly incarnation: number
  /** Its last ones before, oldest first: one that was seen and is not among them, though its count is, was lost with the disk. */
  readonly formerIncarnations: readonly number[]
  /** Whether this member keeps the promises that leases rest on. Equal in a group. */
  readonly leaseReads: boolean
  /** As it is when this is said. Null: its own log does not name it. */
  readonly standing: Standing | null
}

/** How a peer is reached. */
export interface PeerAddress {
  readonly id: MemberId
  /** As the log has it, e.g. `host:port`; null: as the transport's own options say. */
  readonly address: string | null
}

/**
 * MISFIT: group, file size or wire version differ, or an address is wrong. STRANGER: it is no member, as far as is committed.
 * REMOVED: it was one. OTHER_STORE: the store that counts under this name is heard. OLD_IMAGE: the same store was seen in a later life.
 * OUTDATED: it is, or follows, a master in whose place another was put by hand.
 */
export const REFUSAL_KINDS = ['MISFIT', 'STRANGER', 'REMOVED', 'OTHER_STORE', 'OLD_IMAGE', 'OUTDATED'] as const
export type RefusalKind = (typeof REFUSAL_KINDS)[number]

export interface Refusal {
  readonly kind: RefusalKind
  /** A line for people. */
  readonly why: string
  /** Whom it is about: of the two, the one that does not fit. */
  readonly member: MemberId
  /** REMOVED, STRANGER: where the committed configuration stands that does not name it; else -1. */
  readonly configurationIndex: number
}

export interface TransportHandler {
  /**
   * What only the member knows of a peer that fits otherwise. Whom it lets in that it did not talk to before it adds to the peers
   * (`setPeers`) before it returns. @returns null, or why it is refused.
   */
  judge(hello: Hello): Refusal | null
  /** Said in each hello, as it is then. Left out: nothing is. */
  standing?(): Standing | null
  /** `payload` is the raw log bytes of an AppendEntries, else null; it stays valid, the handler may keep it. */
  message(message: Message, payload: Buffer | null): void
  /** A connection to `peer` works in both directions (again). */
  peerConnected(peer: MemberId, hello: Hello): void
  /** Our own connection to `peer` was reset or refused. */
  peerLost(peer: MemberId): void
  /** The other side was refused, or refused us. */
  peerRefused(peer: MemberId, refusal: Refusal): void
}

export interface Transport {
  /** Listens, connects to the peers and keeps reconnecting. `callback` once listening, or with why it cannot. */
  start(hello: Hello, handler: TransportHandler, callback: (error: Error | null) => void): void
  /** Talks to these from now on, and to nobody else. Once started. */
  setPeers(peers: readonly PeerAddress[]): void
  /** Greets everybody anew, as another store: connections made under the former identity end. Once started. */
  renew(hello: Hello): void
  /** `payload` buffers are sent by reference: they must not change afterwards. */
  send(message: Message, payload: readonly Buffer[] | null): void
  /** Bytes accepted for `peer` and not handed to the network yet. */
  queuedBytes(peer: MemberId): number
  close(callback: () => void): void
}
