/**
 * Members of one process that reach each other through a shared `MemoryNetwork`.
 *
 * Keeps: nothing is delivered from within a call (the clock defers it); messages of one pair stay in order; a link that is
 * cut loses what is sent on it in silence, like a partition; `reset` is the end of a connection, told to both.
 */
import { assert, type Clock } from '@dledger-ts/base'
import type { MemberId, Message } from '../raft/messages.ts'
import { whyUnfit } from './greeting.ts'
import { DEFAULT_TRANSPORT_LIMITS } from './limits.ts'
import { payloadBytesOf } from './message-codec.ts'
import type { Hello, PeerAddress, Refusal, Transport, TransportHandler } from './transport.ts'

/** What a message counts in the queue besides its payload. */
const MESSAGE_BYTES = 64
const ANYONE = '*'
/** Before two that refused each other try again. */
const RETRY_MS = 100

interface Parcel {
  readonly sender: MemoryTransport
  readonly receiver: MemoryTransport
  readonly message: Message
  readonly payload: Buffer | null
  readonly bytes: number
}

export class MemoryNetwork {
  readonly #clock: Clock
  readonly #members = new Map<MemberId, MemoryTransport>()
  /** Directed links that lose everything, as `from>to`. */
  readonly #cuts = new Set<string>()
  #parcels: Parcel[] = []
  readonly #retries = new Set<string>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** From now on, what `from` sends to `to` is lost, and they cannot connect. */
  cut(from: MemberId, to: MemberId): void {
    this.#cuts.add(linkName(from, to))
  }

  /** Cuts a member off from all others in both directions, later ones included. */
  isolate(member: MemberId): void {
    this.cut(member, ANYONE)
    this.cut(ANYONE, member)
  }

  heal(from: MemberId, to: MemberId): void {
    this.#cuts.delete(linkName(from, to))
    this.#connectAll()
  }

  healAll(): void {
    this.#cuts.clear()
    this.#connectAll()
  }

  isCut(from: MemberId, to: MemberId): boolean {
    const cuts = this.#cuts
    return (
      cuts.size > 0 &&
      (cuts.has(linkName(from, to)) || cuts.has(linkName(from, ANYONE)) || cuts.has(linkName(ANYONE, to)))
    )
  }

  /** Ends the connection between two members: both are told of the loss, and soon that it works again. */
  reset(a: MemberId, b: MemberId): void {
    const one = this.#members.get(a)
    const other = this.#members.get(b)
    if (one === undefined || other === undefined) return
    this.#clock.defer(() => {
      one.lose(other)
      other.lose(one)
      this.#clock.defer(() => this.#connect(one, other))
    })
  }

  /** @internal A transport starts. */
  join(member: MemoryTransport): void {
    assert(!this.#members.has(member.self), 'a member is in a network once at a time')
    this.#members.set(member.self, member)
    this.#connectAll()
  }

  /** @internal A transport closes. Over a link that is cut, the other side does not notice. */
  leave(member: MemoryTransport): void {
    if (this.#members.get(member.self) !== member) return
    this.#members.delete(member.self)
    for (const other of this.#members.values()) {
      if (!this.isCut(member.self, other.self)) this.#clock.defer(() => other.lose(member))
    }
  }

  /** @internal Somebody may be reached who was not before, or under another identity. */
  peersChanged(): void {
    this.#connectAll()
  }

  /** @internal */
  carry(parcel: Parcel): void {
    this.#parcels.push(parcel)
    if (this.#parcels.length === 1) this.#clock.defer(() => this.#deliver())
  }

  #deliver(): void {
    // What handlers send meanwhile is of the next pass.
    const parcels = this.#parcels
    this.#parcels = []
    for (const parcel of parcels) {
      const { from, to } = parcel.message
      parcel.sender.handedOver(to, parcel.bytes)
      if (!this.isCut(from, to)) parcel.receiver.receive(parcel)
    }
  }

  #connectAll(): void {
    for (const one of this.#members.values()) {
      for (const other of this.#members.values()) {
        if (one.self < other.self) this.#clock.defer(() => this.#connect(one, other))
      }
    }
  }

  #connect(one: MemoryTransport, other: MemoryTransport): void {
    if (one.isClosed || other.isClosed || (one.isLinkedTo(other) && other.isLinkedTo(one))) return
    if (this.isCut(one.self, other.self) || this.isCut(other.self, one.self)) return
    const refusal = one.whyUnfit(other) ?? other.whyUnfit(one)
    if (refusal !== null) {
      one.refuse(other, refusal)
      other.refuse(one, refusal)
      this.#tryAgain(one, other)
      return
    }
    one.link(other)
    other.link(one)
  }

  /** Who was refused may fit later. One try of a pair waits at a time. */
  #tryAgain(one: MemoryTransport, other: MemoryTransport): void {
    const pair = linkName(one.self, other.self)
    if (this.#retries.has(pair)) return
    this.#retries.add(pair)
    this.#clock.after(RETRY_MS, () => {
      this.#retries.delete(pair)
      this.#connect(one, other)
    })
  }
}

function linkName(from: MemberId, to: MemberId): string {
  return `${from}>${to}`
}

export interface MemoryTransportOptions {
  readonly self: MemberId
  readonly network: MemoryNetwork
  readonly clock: Clock
  readonly peers: readonly MemberId[]
  /** Bytes that wait for one peer; messages beyond are dropped. */
  readonly queuedBytesMax?: number
}

export class MemoryTransport implements Transport {
  readonly self: MemberId
  readonly #network: MemoryNetwork
  readonly #clock: Clock
  #peers: readonly MemberId[]
  readonly #queuedBytesMax: number
  readonly #links = new Map<MemberId, MemoryTransport>()
  readonly #queuedBytes = new Map<MemberId, number>()
  #hello: Hello | null = null
  #handler: TransportHandler | null = null
  #closed = false

  constructor(options: MemoryTransportOptions) {
    this.self = options.self
    this.#network = options.network
    this.#clock = options.clock
    this.#peers = options.peers
    this.#queuedBytesMax = options.queuedBytesMax ?? DEFAULT_TRANSPORT_LIMITS.queuedDataBytesMax
  }

  start(hello: Hello, handler: TransportHandler, callback: (error: Error | null) => void): void {
    assert(this.#hello === null, 'a transport starts once')
    assert(hello.member === this.self, 'a hello is that of the member itself')
    this.#hello = hello
    this.#handler = handler
    this.#clock.defer(() => {
      if (this.#closed) return
      this.#network.join(this)
      callback(null)
    })
  }

  setPeers(peers: readonly PeerAddress[]): void {
    this.#peers = peers.map((peer) => peer.id).filter((id) => id !== this.self)
    for (const [id, other] of this.#links) {
      if (this.#peers.includes(id)) continue
      this.#links.delete(id)
      this.#clock.defer(() => other.lose(this))
    }
    if (!this.#closed) this.#network.peersChanged()
  }

  renew(hello: Hello): void {
    assert(hello.member === this.self, 'a hello is that of the member itself')
    this.#hello = hello
    for (const other of this.#links.values()) this.#clock.defer(() => other.lose(this))
    this.#links.clear()
    if (!this.#closed) this.#network.peersChanged()
  }

  send(message: Message, payload: readonly Buffer[] | null): void {
    const whole = payload === null || payload.length === 0 ? null : wholePayload(payload)
    const payloadBytes = whole?.length ?? 0
    assert(payloadBytes === payloadBytesOf(message), 'a message names the bytes that go with it')
    const receiver = this.#links.get(message.to)
    if (receiver === undefined) return
    assert(message.storeId === this.#hello?.storeId, 'a message carries the store identity of the hello')
    const queued = this.queuedBytes(message.to)
    const bytes = MESSAGE_BYTES + payloadBytes
    if (queued > 0 && queued + bytes > this.#queuedBytesMax) return
    this.#queuedBytes.set(message.to, queued + bytes)
    this.#network.carry({ sender: this, receiver, message, payload: payloadBytes === 0 ? null : whole, bytes })
  }

  queuedBytes(peer: MemberId): number {
    return this.#queuedBytes.get(peer) ?? 0
  }

  close(callback: () => void): void {
    if (!this.#closed) {
      this.#closed = true
      this.#links.clear()
      this.#network.leave(this)
    }
    this.#clock.defer(callback)
  }

  get isClosed(): boolean {
    return this.#closed
  }

  /** @internal The rest is called by the network. */
  isLinkedTo(other: MemoryTransport): boolean {
    return this.#links.get(other.self) === other
  }

  /** @internal What it says of itself now. */
  hello(): Hello {
    return { ...(this.#hello as Hello), standing: this.#handler?.standing?.() ?? null }
  }

  /** @internal */
  whyUnfit(other: MemoryTransport): Refusal | null {
    const own = this.#hello as Hello
    const hello = other.hello()
    return whyUnfit(own, hello, null) ?? this.#handler?.judge(hello) ?? whyUnfit(own, hello, this.#peers)
  }

  /** @internal */
  link(other: MemoryTransport): void {
    const former = this.#links.get(other.self)
    if (former === other) return
    if (former !== undefined) this.lose(former)
    this.#links.set(other.self, other)
    this.#handler?.peerConnected(other.self, other.hello())
  }

  /** @internal */
  lose(other: MemoryTransport): void {
    if (this.#closed || !this.isLinkedTo(other)) return
    this.#links.delete(other.self)
    this.#handler?.peerLost(other.self)
  }

  /** @internal */
  refuse(other: MemoryTransport, refusal: Refusal): void {
    if (!this.#closed) this.#handler?.peerRefused(other.self, refusal)
  }

  /** @internal */
  handedOver(peer: MemberId, bytes: number): void {
    this.#queuedBytes.set(peer, this.queuedBytes(peer) - bytes)
  }

  /** @internal */
  receive(parcel: Parcel): void {
    if (this.#closed || !this.isLinkedTo(parcel.sender)) return
    this.#handler?.message(parcel.message, parcel.payload)
  }
}

/** One buffer, as the other side of a real network would have it. */
function wholePayload(payload: readonly Buffer[]): Buffer {
  return payload.length === 1 ? (payload[0] as Buffer) : Buffer.concat(payload)
}
