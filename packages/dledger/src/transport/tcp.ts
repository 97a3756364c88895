/**
 * The transport of one member over TCP: the messages of one group, one in each frame.
 *
 * AppendEntries goes on the data channel, everything else on the control channel, so messages of one type keep their order.
 */
import { assert, type Clock, type Logger } from '@dledger-ts/base'
import type { MemberId, Message } from '../raft/messages.ts'
import { encodeControl } from './control-part.ts'
import { encodeFrame } from './frame-codec.ts'
import type { Channel } from './greeting.ts'
import type { LinkedPeer, LinksHandler } from './links.ts'
import {
  answersData,
  asksOnData,
  type Correspondents,
  isAnswered,
  isData,
  messageOf,
  messageValues,
  payloadBytesOf,
} from './message-codec.ts'
import { type LinkStats, TcpLinks, type TcpLinksOptions } from './tcp-links.ts'
import type { TcpPeer } from './tcp-outgoing.ts'
import type { Hello, PeerAddress, Refusal, Standing, Transport, TransportHandler } from './transport.ts'

export type { TcpPeer } from './tcp-outgoing.ts'
export type TcpTransportOptions = Omit<TcpLinksOptions, 'valuesMax'>

export interface TransportStats extends LinkStats {
  sent: number
  received: number
  /** Not connected, or beyond a limit. */
  dropped: number
}

export class TcpTransport implements Transport, LinksHandler<Message> {
  readonly #options: TcpTransportOptions
  readonly #links: TcpLinks<Message>
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #stats = { sent: 0, received: 0, dropped: 0 }
  #hello: Hello | null = null
  #handler: TransportHandler | null = null

  constructor(options: TcpTransportOptions) {
    this.#options = options
    this.#links = new TcpLinks<Message>(options)
    this.#clock = options.clock
    this.#logger = options.logger
  }

  /** The port that is listened on; once started. */
  get listeningPort(): number {
    return this.#links.listeningPort
  }

  stats(): Readonly<TransportStats> {
    return { ...this.#links.stats(), ...this.#stats }
  }

  start(hello: Hello, handler: TransportHandler, callback: (error: Error | null) => void): void {
    this.#hello = hello
    this.#handler = handler
    this.#links.start(hello, this, callback)
  }

  /** Who has no address here is reached as the options say; whom they do not know either cannot be reached. */
  setPeers(peers: readonly PeerAddress[]): void {
    const reachable: TcpPeer[] = []
    for (const { id, address } of peers) {
      const peer = address === null ? this.#options.peers.find((each) => each.id === id) : peerAt(id, address)
      if (peer !== undefined) reachable.push(peer)
      else this.#logger.warn({ peer: id, address }, 'a peer has no address: it is not dialed')
    }
    this.#links.setPeers(reachable)
  }

  renew(hello: Hello): void {
    this.#hello = hello
    this.#links.renew(hello)
  }

  /** Hot: writing a head and reading it back cost about 1 µs; see the note in `frame-codec.ts`. */
  send(message: Message, payload: readonly Buffer[] | null): void {
    let payloadBytes = 0
    if (payload !== null) for (const part of payload) payloadBytes += part.length
    assert(payloadBytes === payloadBytesOf(message), 'a message names the bytes that go with it')
    const onData = isData(message)
    const peer = this.#links.peer(message.to)
    if (peer === undefined || !this.#mayQueue(peer, onData, payloadBytes)) {
      this.#stats.dropped++
      return
    }
    assert(message.storeId === this.#hello?.storeId, 'a message carries the store identity of the hello')
    const head = encodeFrame(encodeControl(messageValues(message)), payload)
    const way = onData ? peer.data : peer.control
    way.send(head, payloadBytes > 0 ? payload : null)
    this.#stats.sent++
    if (isAnswered(message)) peer.asked(this.#clock.monotonicMs())
    if (onData && asksOnData(message)) peer.askedOnData(this.#clock.monotonicMs())
  }

  #mayQueue(peer: LinkedPeer, onData: boolean, payloadBytes: number): boolean {
    const { queuedDataBytesMax, queuedControlBytesMax, payloadBytesMax } = this.#links.limits
    if (!onData) return peer.control.ready && peer.control.queuedBytes < queuedControlBytesMax
    if (payloadBytes > payloadBytesMax) {
      this.#logger.error({ peer: peer.id, payloadBytes, payloadBytesMax }, 'a message is too long to be sent')
      return false
    }
    const queued = peer.data.queuedBytes
    return peer.data.ready && (queued === 0 || queued + payloadBytes <= queuedDataBytesMax)
  }

  queuedBytes(id: MemberId): number {
    const peer = this.#links.peer(id)
    return peer === undefined ? 0 : peer.control.queuedBytes + peer.data.queuedBytes
  }

  close(callback: () => void): void {
    this.#links.close(callback)
  }

  judge(hello: Hello): Refusal | null {
    return this.#handler?.judge(hello) ?? null
  }

  standing(): Standing | null {
    return this.#handler?.standing?.() ?? null
  }

  read(_channel: Channel, between: Correspondents, values: readonly unknown[], payloadBytes: number): Message {
    return messageOf(values, between, payloadBytes)
  }

  received(peer: MemberId, _channel: Channel, message: Message, payload: Buffer | null): void {
    this.#stats.received++
    if (answersData(message)) this.#links.peer(peer)?.answeredData()
    this.#handler?.message(message, payload)
  }

  opened(): void {}

  accepted(): void {}

  drained(): void {}

  connected(peer: MemberId, hello: Hello): void {
    this.#handler?.peerConnected(peer, hello)
  }

  lost(peer: MemberId): void {
    this.#handler?.peerLost(peer)
  }

  refused(peer: MemberId, refusal: Refusal): void {
    this.#handler?.peerRefused(peer, refusal)
  }
}

/** @returns undefined for what is no `host:port`. */
function peerAt(id: MemberId, address: string): TcpPeer | undefined {
  const colon = address.lastIndexOf(':')
  const port = Number(address.slice(colon + 1))
  if (colon <= 0 || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined
  return { id, host: address.slice(0, colon).replace(/^\[(.*)\]$/, '$1'), port }
}
