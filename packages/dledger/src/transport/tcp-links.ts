/**
 * Connections over TCP. Every process dials every peer twice, for what it sends itself:
 *
 *   control   votes, heartbeats, TimeoutNow and all responses: small, never behind log bytes
 *   data      log bytes
 *
 * So one pair has four connections, and what goes on one channel keeps its order. The end of a peer's process shows at once,
 * as a reset or an end of any of them.
 *
 * Keeps: nonsense closes the connection it came on and harms no other; every queue and wait has its limit in `limits.ts`.
 */
import type { Server, Socket } from 'node:net'
import { assert, type Clock, type Logger, type Random, systemRandom } from '@dledger-ts/base'
import { DLedgerError } from '../errors.ts'
import type { MemberId } from '../raft/messages.ts'
import { SHORT_VALUES_MAX } from './control-part.ts'
import type { FrameError } from './frame-codec.ts'
import { type Introduction, whyMisdirected, whyUnfit } from './greeting.ts'
import { DEFAULT_TRANSPORT_LIMITS, type TransportLimits } from './limits.ts'
import type { LinkedPeer, Links, LinksHandler } from './links.ts'
import type { Correspondents } from './message-codec.ts'
import { Incoming, type IncomingOwner } from './tcp-incoming.ts'
import type { Outgoing, OutgoingOwner, TcpPeer } from './tcp-outgoing.ts'
import { Peer } from './tcp-peer.ts'
import { SECRET_BYTES_MIN } from './secret.ts'
import { type PeerSockets, tcpPeerSockets, tune } from './sockets.ts'
import type { Hello, Refusal } from './transport.ts'

export interface TcpLinksOptions {
  readonly self: MemberId
  readonly listenHost: string
  /** 0 takes a free one; see `listeningPort`. */
  readonly listenPort: number
  readonly peers: readonly TcpPeer[]
  readonly clock: Clock
  readonly logger: Logger
  readonly random?: Random
  readonly limits?: Partial<TransportLimits>
  /**
   * Known to all members and to nobody else: who does not prove that is refused before anything else it says is looked at. At
   * least 16 bytes. Default: none.
   */
  readonly secret?: string
  /** Default: TCP. */
  readonly sockets?: PeerSockets
  /** Values in one control part; a longer one closes its connection. Default 15. */
  readonly valuesMax?: number
}

export interface LinkStats {
  accepted: number
  /** Strangers turned away: a hello that does not fit, or too many of them at once. */
  refused: number
  /** Connections closed for bytes that are no frames. */
  badFrames: number
}

export class TcpLinks<Item> implements Links<Item>, OutgoingOwner, IncomingOwner<Item> {
  readonly limits: TransportLimits
  readonly #options: TcpLinksOptions
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #server: Server
  readonly #peers = new Map<MemberId, Peer<Item>>()
  readonly #strangers = new Set<Incoming<Item>>()
  /** All accepted connections that are open. */
  readonly #incoming = new Set<Incoming<Item>>()
  readonly #stats: LinkStats = { accepted: 0, refused: 0, badFrames: 0 }
  #hello: Hello | null = null
  #handler: LinksHandler<Item> | null = null
  #cancelSilenceCheck: () => void = () => {}
  #lastStrangerTold = ''
  #closed = false

  constructor(options: TcpLinksOptions) {
    checkPort('listening', options.listenPort, 0)
    for (const peer of options.peers) checkPort(`of ${peer.id}`, peer.port, 1)
    if (options.secret !== undefined && Buffer.byteLength(options.secret) < SECRET_BYTES_MIN) {
      const what = `a shared secret has at least ${SECRET_BYTES_MIN} bytes`
      throw new DLedgerError(what, { code: 'INVALID', what })
    }
    this.#options = options
    this.#clock = options.clock
    this.#logger = options.logger
    this.limits = { ...DEFAULT_TRANSPORT_LIMITS, ...options.limits }
    this.#server = (options.sockets ?? tcpPeerSockets).createServer((socket) => this.#accept(socket))
  }

  /** The port that is listened on; once started. */
  get listeningPort(): number {
    const address = this.#server.address()
    assert(address !== null && typeof address === 'object', 'a port is known once the transport listens')
    return address.port
  }

  stats(): Readonly<LinkStats> {
    return { ...this.#stats }
  }

  start(hello: Hello, handler: LinksHandler<Item>, callback: (error: Error | null) => void): void {
    assert(this.#hello === null, 'a transport starts once')
    assert(hello.member === this.#options.self, 'a hello is that of the member itself')
    this.#hello = hello
    this.#handler = handler
    const { listenHost: host, listenPort: port } = this.#options
    const server = this.#server
    const cannotListen = (cause: NodeJS.ErrnoException): void => {
      const why = cause.code === 'EADDRINUSE' ? 'the port is in use' : cause.message
      const what = `cannot listen on ${host}:${port}: ${why}`
      callback(new DLedgerError(what, { code: 'INVALID', what }, { cause }))
    }
    server.once('error', cannotListen)
    server.listen({ host, port }, () => {
      server.off('error', cannotListen)
      server.on('error', (error) => this.#logger.error({ err: error }, 'accepting a connection failed'))
      this.setPeers(this.#options.peers)
      this.#checkSilenceLater()
      callback(null)
    })
  }

  /** Dials those that are new, leaves those that are gone or have another address now. Once started. */
  setPeers(peers: readonly TcpPeer[]): void {
    assert(this.#hello !== null, 'peers are dialed once the transport is started')
    if (this.#closed) return
    const wanted = new Map(peers.filter((peer) => peer.id !== this.#options.self).map((peer) => [peer.id, peer]))
    for (const [id, peer] of this.#peers) {
      const now = wanted.get(id)
      const { host, port } = peer.control.peer
      if (now !== undefined && now.host === host && now.port === port) continue
      this.#peers.delete(id)
      peer.destroy()
    }
    for (const [id, peer] of wanted) {
      if (this.#peers.has(id)) continue
      const { clock, random = systemRandom, secret = null, sockets = tcpPeerSockets } = this.#options
      const added = new Peer<Item>({ peer, secret, sockets, clock, random, limits: this.limits, owner: this })
      this.#peers.set(id, added)
      added.dial()
    }
  }

  /** Ends all connections and greets everybody anew, as another store. Once started. */
  renew(hello: Hello): void {
    assert(hello.member === this.#options.self, 'a hello is that of the member itself')
    this.#hello = hello
    const peers = [...this.#peers.values()].map((peer) => peer.control.peer)
    this.setPeers([])
    for (const incoming of this.#incoming) incoming.destroy()
    this.setPeers(peers)
  }

  peer(id: MemberId): LinkedPeer | undefined {
    return this.#peers.get(id)
  }

  close(callback: () => void): void {
    this.#cancelSilenceCheck()
    if (this.#closed) {
      this.#clock.defer(callback)
      return
    }
    this.#closed = true
    const destroyAll = (): void => {
      for (const peer of this.#peers.values()) peer.destroy()
      for (const incoming of this.#incoming) incoming.destroy()
    }
    const cancel = this.#clock.after(this.limits.closeLingerMs, destroyAll)
    let open = 1 + 2 * this.#peers.size
    const closed = (): void => {
      if (--open > 0) return
      cancel()
      callback()
    }
    for (const incoming of this.#incoming) incoming.close()
    for (const peer of this.#peers.values()) peer.close(closed)
    // Calls back also when it never listened; else when every accepted connection has ended.
    this.#server.close(closed)
  }

  #checkSilenceLater(): void {
    const { silenceMs, dataSilenceMs } = this.limits
    this.#cancelSilenceCheck = this.#clock.after(Math.ceil(Math.min(silenceMs, dataSilenceMs) / 3), () => {
      // After a pause of this process the answers of all peers are there and not yet read: they are heard first.
      this.#clock.defer(() => this.#checkSilence(silenceMs))
      this.#checkSilenceLater()
    })
  }

  #checkSilence(silenceMs: number): void {
    if (this.#closed) return
    const nowMs = this.#clock.monotonicMs()
    for (const peer of this.#peers.values()) {
      if (peer.renewIfSilent(nowMs, silenceMs)) {
        this.#logger.warn({ peer: peer.id, silenceMs }, 'a peer answers nothing and gets new connections')
        continue
      }
      const silentMs = peer.renewDataIfSilent(nowMs)
      if (silentMs !== null) {
        const what = 'a peer answers nothing that is sent on its data connection, which is made anew'
        this.#logger.warn({ peer: peer.id, silentMs: Math.round(silentMs) }, what)
      }
    }
  }

  #accept(socket: Socket): void {
    this.#stats.accepted++
    if (this.#closed || this.#strangers.size >= this.limits.greetingConnectionsMax) {
      this.#stats.refused++
      // Of somebody who is turned away it matters to nobody; without a listener it would end the process.
      socket.on('error', () => {})
      socket.destroy()
      return
    }
    tune(socket)
    const { clock, self, valuesMax = SHORT_VALUES_MAX, secret = null } = this.#options
    const incoming = new Incoming<Item>({ socket, self, clock, limits: this.limits, valuesMax, secret, owner: this })
    this.#strangers.add(incoming)
    this.#incoming.add(incoming)
  }

  hello(): Hello {
    return { ...(this.#hello as Hello), standing: this.#handler?.standing() ?? null }
  }

  introduced(incoming: Incoming<Item>, introduction: Introduction): Refusal | null {
    this.#strangers.delete(incoming)
    const own = this.#hello as Hello
    const { hello } = introduction
    const refusal =
      whyUnfit(own, hello, null) ??
      whyMisdirected(own, introduction) ??
      this.#judge(hello) ??
      whyUnfit(own, hello, this.#peers.keys())
    const peer = this.#peers.get(hello.member)
    if (refusal !== null || peer === undefined) {
      this.#stats.refused++
      if (refusal !== null) this.#tellRefused(hello.member, refusal)
      return refusal
    }
    peer.adopt(incoming)
    if (!this.#closed) this.#handler?.accepted(peer.id, incoming.channel)
    this.#tellIfConnected(peer, hello)
    return null
  }

  unproven(incoming: Incoming<Item>, why: string): void {
    this.#strangers.delete(incoming)
    this.#stats.refused++
    if (this.#lastStrangerTold === why) return
    this.#lastStrangerTold = why
    this.#logger.warn({ from: incoming.remote, why }, 'a stranger is refused')
  }

  read(incoming: Incoming<Item>, between: Correspondents, values: readonly unknown[], payloadBytes: number): Item {
    const handler = this.#handler
    assert(handler !== null, 'nothing arrives before the start')
    return handler.read(incoming.channel, between, values, payloadBytes)
  }

  received(incoming: Incoming<Item>, item: Item, payload: Buffer | null): void {
    const peer = this.#peers.get(incoming.member ?? '')
    if (peer === undefined || !peer.owns(incoming)) return
    peer.heard()
    this.#handler?.received(peer.id, incoming.channel, item, payload)
  }

  closed(incoming: Incoming<Item>): void {
    this.#strangers.delete(incoming)
    this.#incoming.delete(incoming)
    const peer = this.#peers.get(incoming.member ?? '')
    if (peer === undefined || !peer.owns(incoming)) return
    peer.release(incoming.channel)
    this.#tellLost(peer)
  }

  welcomed(outgoing: Outgoing, hello: Hello): Refusal | null {
    const peer = this.#peers.get(outgoing.peer.id)
    if (peer === undefined) return null
    const refusal = whyUnfit(this.#hello as Hello, hello, [peer.id]) ?? this.#judge(hello)
    if (refusal !== null) return refusal
    peer.heard()
    if (!this.#closed) this.#handler?.opened(peer.id, outgoing.channel)
    this.#tellIfConnected(peer, hello)
    return null
  }

  drained(outgoing: Outgoing): void {
    if (!this.#closed) this.#handler?.drained(outgoing.peer.id, outgoing.channel)
  }

  lost(outgoing: Outgoing): void {
    const peer = this.#peers.get(outgoing.peer.id)
    if (peer !== undefined) this.#tellLost(peer)
  }

  refused(outgoing: Outgoing, refusal: Refusal): void {
    this.#tellRefused(outgoing.peer.id, refusal)
  }

  unreachable(outgoing: Outgoing, why: string): void {
    const { id, host, port } = outgoing.peer
    if (this.#closed || this.#peers.get(id)?.becameUnreachable(why) !== true) return
    this.#logger.warn({ peer: id, host, port, why }, 'a peer cannot be reached')
  }

  badFrame(connection: Incoming<Item> | Outgoing, error: FrameError): void {
    this.#stats.badFrames++
    const from = connection instanceof Incoming ? (connection.member ?? connection.remote) : connection.peer.id
    this.#logger.warn({ from, why: error.message }, 'a connection is closed: its bytes are no frames')
  }

  #judge(hello: Hello): Refusal | null {
    return this.#handler?.judge(hello) ?? null
  }

  #tellIfConnected(peer: Peer<Item>, hello: Hello): void {
    if (this.#closed || !peer.becameConnected()) return
    this.#logger.info({ peer: peer.id }, 'a peer is connected')
    this.#handler?.connected(peer.id, hello)
  }

  #tellLost(peer: Peer<Item>): void {
    if (this.#closed || !peer.becameLost()) return
    this.#logger.info({ peer: peer.id }, 'a peer is lost')
    this.#handler?.lost(peer.id)
  }

  #tellRefused(id: MemberId, refusal: Refusal): void {
    if (this.#closed) return
    const { why } = refusal
    const peer = this.#peers.get(id)
    if (peer === undefined ? this.#lastStrangerTold === why : !peer.becameRefused(why)) return
    if (peer === undefined) this.#lastStrangerTold = why
    this.#logger.warn({ peer: id, why }, 'a peer is refused')
    this.#handler?.refused(id, refusal)
  }
}

/** @throws DLedgerError INVALID. */
function checkPort(whose: string, port: number, least: 0 | 1): void {
  if (Number.isInteger(port) && port >= least && port <= 65_535) return
  const what = `the port ${whose} is ${port}; a whole number from ${least} to 65535 is allowed`
  throw new DLedgerError(what, { code: 'INVALID', what })
}
