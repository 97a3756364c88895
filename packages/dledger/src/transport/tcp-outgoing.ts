/**
 * One connection that this member dials, for the messages it sends to one peer on one channel.
 *
 *   WAITING ──dial──► CONNECTING ──hello──► GREETING ──welcome──► READY        any of them ──closed──► WAITING
 *
 * Nothing comes back on it after the welcome. The host name is looked up at every dial.
 */
import type { Socket } from 'node:net'
import { type Clock, onBytes, type Random } from '@dledger-ts/base'
import type { MemberId } from '../raft/messages.ts'
import { decodeControl, encodeControl, type Scalar } from './control-part.ts'
import { encodeGreeting, FrameError, FrameReader } from './frame-codec.ts'
import { answerOf, type Channel, introductionValues, isRefusal, misfit, unproven } from './greeting.ts'
import type { TransportLimits } from './limits.ts'
import { Visitor } from './secret.ts'
import { connectedEvent, type PeerSockets, tune } from './sockets.ts'
import type { Hello, Refusal } from './transport.ts'

export interface TcpPeer {
  readonly id: MemberId
  /** A name or an address; a name is looked up at every dial. */
  readonly host: string
  readonly port: number
}

export interface OutgoingOwner {
  /** Ready. @returns why the peer does not fit after all, or null. */
  welcomed(outgoing: Outgoing, hello: Hello): Refusal | null
  /** What waited on this connection has left. */
  drained(outgoing: Outgoing): void
  /** What is said of oneself now. */
  hello(): Hello
  /** Reset or refused by the network or by the end of the peer's process; not by a time limit of ours. */
  lost(outgoing: Outgoing): void
  refused(outgoing: Outgoing, refusal: Refusal): void
  /** A dial led to no greeting. */
  unreachable(outgoing: Outgoing, why: string): void
  badFrame(outgoing: Outgoing, error: FrameError): void
}

export interface OutgoingOptions {
  readonly peer: TcpPeer
  readonly channel: Channel
  readonly secret: string | null
  readonly sockets: PeerSockets
  readonly clock: Clock
  readonly random: Random
  readonly limits: TransportLimits
  readonly owner: OutgoingOwner
}

type State = 'WAITING' | 'CONNECTING' | 'GREETING' | 'READY' | 'CLOSED'

/** A payload up to this size is copied behind its head: a plain write costs less than a vectored one saves. */
const COPIED_BYTES_MAX = 4096
/** Failures of a dial that say that nobody listens there, or that the process behind a connection is gone. */
const LOSSES: readonly (string | undefined)[] = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE']

export class Outgoing {
  readonly peer: TcpPeer
  readonly channel: Channel
  readonly #options: OutgoingOptions
  readonly limits: TransportLimits
  #state: State = 'WAITING'
  #socket: Socket | null = null
  #cancelTimer: () => void = () => {}
  /** Dials since a connection last held. */
  #attempts = 0
  #readySinceMs = 0

  constructor(options: OutgoingOptions) {
    this.#options = options
    this.limits = options.limits
    this.peer = options.peer
    this.channel = options.channel
  }

  get ready(): boolean {
    return this.#state === 'READY'
  }

  get queuedBytes(): number {
    return this.#socket?.writableLength ?? 0
  }

  /** Bytes of the present connection that the network has taken. */
  get handedBytes(): number {
    return (this.#socket?.bytesWritten ?? 0) - this.queuedBytes
  }

  /** Hot: hands the frame to the socket, as one write; a large payload by reference. Only when `ready`. */
  send(head: Buffer, payload: readonly Buffer[] | null): void {
    const socket = this.#socket as Socket
    if (payload === null) {
      socket.write(head)
      return
    }
    const [first] = payload
    if (payload.length === 1 && first !== undefined && first.length <= COPIED_BYTES_MAX) {
      socket.write(Buffer.concat([head, first]))
      return
    }
    socket.cork()
    socket.write(head)
    for (const part of payload) socket.write(part)
    socket.uncork()
  }

  dial(): void {
    if (this.#state !== 'WAITING') return
    this.#cancelTimer()
    this.#state = 'CONNECTING'
    this.#attempts++
    const { host, port } = this.peer
    const socket = this.#options.sockets.connect({ host, port })
    tune(socket)
    this.#socket = socket
    const dialed = new Dialed(this, socket)
    socket.once(connectedEvent(socket), () => this.#connected(dialed))
    onBytes(socket, (chunk) => this.#read(dialed, chunk))
    socket.on('error', (error: NodeJS.ErrnoException) => (dialed.failure = error))
    socket.on('drain', () => {
      if (this.#state === 'READY' && dialed.socket === this.#socket) this.#options.owner.drained(this)
    })
    socket.on('end', () => this.#closed(dialed))
    socket.on('close', () => this.#closed(dialed))
    this.#limitTime(dialed, this.limits.connectTimeoutMs)
  }

  /** Something says that the peer is there: does not wait for the next dial. */
  hurry(): void {
    this.#attempts = 0
    this.dial()
  }

  /** Gives up a connection that says nothing and dials anew, without calling it lost. */
  renew(): void {
    if (this.#state !== 'READY') return
    this.#leave()
    this.#state = 'WAITING'
    this.hurry()
  }

  /** Final. What is queued may still leave, until `destroy`. @param closed called once the socket is. */
  close(closed: () => void = () => {}): void {
    this.#cancelTimer()
    this.#state = 'CLOSED'
    const socket = this.#socket
    if (socket === null || socket.closed) {
      closed()
      return
    }
    socket.once('close', closed)
    socket.destroySoon()
  }

  destroy(): void {
    this.close()
    this.#socket?.destroy()
  }

  #connected(dialed: Dialed): void {
    if (dialed.socket !== this.#socket || this.#state !== 'CONNECTING') return
    this.#state = 'GREETING'
    const { owner, channel, secret } = this.#options
    const introduction = introductionValues({ hello: owner.hello(), to: this.peer.id, channel })
    dialed.visitor = new Visitor(secret, this.peer.id, introduction)
    dialed.say(dialed.visitor.first())
    this.#limitTime(dialed, this.limits.helloTimeoutMs)
  }

  #limitTime(dialed: Dialed, limitMs: number): void {
    this.#cancelTimer()
    this.#cancelTimer = this.#options.clock.after(limitMs, () => {
      dialed.tooLate = true
      dialed.socket.destroy()
    })
  }

  #read(dialed: Dialed, chunk: Buffer): void {
    if (dialed.socket !== this.#socket) return
    try {
      dialed.reader.push(chunk)
    } catch (error) {
      if (!(error instanceof FrameError)) throw error
      this.#options.owner.badFrame(this, error)
      dialed.socket.destroy()
    }
  }

  /** The answer to the hello; called by the reader of the present connection. */
  answered(dialed: Dialed, control: Buffer): void {
    if (this.#state !== 'GREETING') {
      throw new FrameError('nothing follows the answer to a hello', { code: 'CONTENT' })
    }
    const values = decodeControl(control)
    const step = (dialed.visitor as Visitor).hear(values, isRefusal(values))
    if (step.kind === 'SAY') return dialed.say(step.values)
    this.#cancelTimer()
    if (step.kind === 'REFUSE') return this.#refuse(dialed, misfit(step.why))
    const answer = answerOf(step.values)
    if (!answer.welcome) {
      // Neither a member's identity nor a master ends by what is not proven, nor the wait of one that is to be let in yet.
      const isUnproven = this.#options.secret !== null && isRefusal(values)
      this.#refuse(dialed, isUnproven ? unproven(answer) : answer)
      return
    }
    this.#state = 'READY'
    this.#readySinceMs = this.#options.clock.monotonicMs()
    const refusal = this.#options.owner.welcomed(this, answer.hello)
    if (refusal !== null) this.#refuse(dialed, refusal)
  }

  #refuse(dialed: Dialed, refusal: Refusal): void {
    dialed.refused = true
    // Not ready (any more), until the socket has closed.
    this.#state = 'GREETING'
    dialed.socket.destroy()
    this.#options.owner.refused(this, refusal)
  }

  #closed(dialed: Dialed): void {
    if (dialed.socket !== this.#socket) return
    const before = this.#state
    this.#leave()
    if (before === 'CLOSED') return
    this.#state = 'WAITING'
    const held =
      before === 'READY' && this.#options.clock.monotonicMs() - this.#readySinceMs > this.limits.reconnectMaxMs
    if (held) this.#attempts = 0
    this.#waitAndDial(dialed.refused)
    const why = dialed.whyUnreachable
    if (why !== null && before !== 'READY') this.#options.owner.unreachable(this, why)
    if (dialed.refused || dialed.tooLate) return
    // Closed in the middle of the greeting without a word: the process behind it ended.
    if (before !== 'CONNECTING' || LOSSES.includes(dialed.failure?.code)) this.#options.owner.lost(this)
  }

  #leave(): void {
    this.#cancelTimer()
    const socket = this.#socket
    this.#socket = null
    socket?.destroy()
  }

  #waitAndDial(refused: boolean): void {
    const { reconnectMinMs, reconnectMaxMs } = this.limits
    // A peer that refused will hardly have changed its mind in a few milliseconds.
    const most = refused ? reconnectMaxMs : Math.min(reconnectMaxMs, reconnectMinMs * 2 ** Math.min(this.#attempts, 16))
    const waitMs = most - this.#options.random.below(Math.ceil(most / 2))
    this.#cancelTimer = this.#options.clock.after(waitMs, () => this.dial())
  }
}

/** One dial: its socket, its reader and what became of it. */
class Dialed {
  readonly socket: Socket
  readonly reader: FrameReader
  failure: NodeJS.ErrnoException | null = null
  refused = false
  tooLate = false
  /** Once connected. */
  visitor: Visitor | null = null

  constructor(owner: Outgoing, socket: Socket) {
    this.socket = socket
    const sink = { controlRead: (control: Buffer) => owner.answered(this, control), frameRead: () => {} }
    this.reader = new FrameReader(owner.limits, sink, 'greetings')
  }

  /** What the network said, or that nothing was heard in time; null where it was reached. */
  get whyUnreachable(): string | null {
    if (this.tooLate) return 'nothing was heard in time'
    if (this.failure === null) return null
    const { code = '', message } = this.failure
    // Of several addresses each has failed; then there is a code and no message.
    return message === '' ? code : message
  }

  say(values: Scalar[]): void {
    this.socket.write(encodeGreeting(encodeControl(values)))
  }
}
