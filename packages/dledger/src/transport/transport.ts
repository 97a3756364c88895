/**
 * How members reach each other: best effort, in order for each connection, never blocking, never throwing.
 *
 * A message that cannot be sent is dropped; Raft repeats what matters. Control messages never wait behind data.
 * `memory` and `tcp` pass one conformance suite.
 */
import type { MemberId, Message } from '../raft/messages.ts'

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
}

export interface TransportHandler {
  /** What only the member knows of a peer that fits otherwise. @returns null, or a line for people that says why it is refused. */
  judge(hello: Hello): string | null
  /** `payload` is the raw log bytes of an AppendEntries, else null; it stays valid, the handler may keep it. */
  message(message: Message, payload: Buffer | null): void
  /** A connection to `peer` works in both directions (again). */
  peerConnected(peer: MemberId, hello: Hello): void
  /** Our own connection to `peer` was reset or refused. */
  peerLost(peer: MemberId): void
  /** The other side does not fit (group, file size, wire version) and was refused, or refused us: `why` is a line for people. */
  peerRefused(peer: MemberId, why: string): void
}

export interface Transport {
  /** Listens, connects to the peers and keeps reconnecting. `callback` once listening, or with why it cannot. */
  start(hello: Hello, handler: TransportHandler, callback: (error: Error | null) => void): void
  /** `payload` buffers are sent by reference: they must not change afterwards. */
  send(message: Message, payload: readonly Buffer[] | null): void
  /** Bytes accepted for `peer` and not handed to the network yet. */
  queuedBytes(peer: MemberId): number
  close(callback: () => void): void
}
