/**
 * Connections between processes as whatever speaks over them sees them: to each peer one way out on each channel, and what
 * comes in. `TcpLinks` are real ones; the transports of one group and of many speak over the same interface.
 */
import type { MemberId } from '../raft/messages.ts'
import type { Channel } from './greeting.ts'
import type { Correspondents } from './message-codec.ts'
import type { Hello, Refusal, Standing } from './transport.ts'

/** One connection of ours to a peer. */
export interface WayOut {
  readonly ready: boolean
  /** Bytes accepted and not handed to the network yet. */
  readonly queuedBytes: number
  /** Only when `ready`. Buffers are sent by reference: they must not change afterwards. */
  send(head: Buffer, payload: readonly Buffer[] | null): void
}

export interface LinkedPeer {
  readonly id: MemberId
  readonly control: WayOut
  readonly data: WayOut
  /** Something was sent that every living peer answers: its silence counts from now. */
  asked(nowMs: number): void
  /** As `asked`, on the data connection: its silence counts from now. */
  askedOnData(nowMs: number): void
  /** Something that was sent on the data connection has arrived. */
  answeredData(): void
}

/** `Item` is what a frame says, decoded before its payload has arrived. */
export interface LinksHandler<Item> {
  /** Why a peer that fits otherwise is refused, or null: also who is a peer is judged here. */
  judge(hello: Hello): Refusal | null
  /** Said in each hello, as it is then. */
  standing(): Standing | null
  /** The control part of a frame that a greeted peer sends. @throws FrameError: its connection is closed. */
  read(channel: Channel, between: Correspondents, values: readonly unknown[], payloadBytes: number): Item
  /** The frame is whole. */
  received(peer: MemberId, channel: Channel, item: Item, payload: Buffer | null): void
  /** Our connection to the peer works from now on; what must be said first on it is said now. */
  opened(peer: MemberId, channel: Channel): void
  /** The peer has a connection to us; what it said on an earlier one of this channel is void. */
  accepted(peer: MemberId, channel: Channel): void
  /** Everything that waited on our connection has left. */
  drained(peer: MemberId, channel: Channel): void
  /** All connections with the peer work (again). */
  connected(peer: MemberId, hello: Hello): void
  lost(peer: MemberId): void
  refused(peer: MemberId, refusal: Refusal): void
}

export interface Links<Item> {
  start(hello: Hello, handler: LinksHandler<Item>, callback: (error: Error | null) => void): void
  peer(id: MemberId): LinkedPeer | undefined
  close(callback: () => void): void
}
