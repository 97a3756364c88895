/**
 * One connection that a peer dialed, with the messages it sends to this member on one channel.
 *
 * Until its hello has been accepted it is a stranger's: it may send one small frame (two where a secret is shared), within a
 * time limit, and no payload.
 */
import type { Socket } from 'node:net'
import { type Clock, onBytes } from '@dledger-ts/base'
import { decodeControl, encodeControl, type Scalar } from './control-part.ts'
import { encodeGreeting, FrameError, FrameReader } from './frame-codec.ts'
import { answerValues, type Channel, type Introduction, introductionOf, misfit } from './greeting.ts'
import type { TransportLimits } from './limits.ts'
import { Doorkeeper, type Step } from './secret.ts'
import type { Correspondents } from './message-codec.ts'
import type { MemberId } from '../raft/messages.ts'
import type { Hello, Refusal } from './transport.ts'

/** `Item` is what a frame says. */
export interface IncomingOwner<Item> {
  /** @returns why the stranger is refused, or null: then the connection is its, and messages follow. */
  introduced(incoming: Incoming<Item>, introduction: Introduction): Refusal | null
  /** A control part that follows the hello. @throws FrameError */
  read(incoming: Incoming<Item>, between: Correspondents, values: readonly unknown[], payloadBytes: number): Item
  /** A stranger that does not prove that it knows the secret. */
  unproven(incoming: Incoming<Item>, why: string): void
  /** What is said of oneself now. */
  hello(): Hello
  received(incoming: Incoming<Item>, item: Item, payload: Buffer | null): void
  badFrame(incoming: Incoming<Item>, error: FrameError): void
  closed(incoming: Incoming<Item>): void
}

export interface IncomingOptions<Item> {
  readonly socket: Socket
  readonly self: MemberId
  readonly clock: Clock
  readonly limits: TransportLimits
  /** Values in a control part that follows the hello, at most. */
  readonly valuesMax: number
  readonly secret: string | null
  readonly owner: IncomingOwner<Item>
}

export class Incoming<Item> {
  readonly remote: string
  readonly #socket: Socket
  readonly #self: MemberId
  readonly #owner: IncomingOwner<Item>
  readonly #reader: FrameReader
  readonly #cancelTimer: () => void
  readonly #valuesMax: number
  readonly #doorkeeper: Doorkeeper
  /** Set once the hello is accepted. */
  #between: Correspondents | null = null
  #channel: Channel = 'control'
  /** What the frame says whose payload is yet to come. */
  #item: Item | null = null
  #closed = false

  constructor(options: IncomingOptions<Item>) {
    const { socket, clock, limits } = options
    this.remote = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? '?'}`
    this.#socket = socket
    this.#self = options.self
    this.#owner = options.owner
    this.#valuesMax = options.valuesMax
    this.#doorkeeper = new Doorkeeper(options.secret, options.self)
    this.#reader = new FrameReader(limits, this, 'greetings')
    this.#cancelTimer = clock.after(limits.helloTimeoutMs, () => this.close())
    onBytes(socket, (chunk) => this.#read(chunk))
    // Its 'close' follows and says all that matters.
    socket.on('error', () => {})
    socket.on('end', () => this.close())
    socket.on('close', () => this.close())
  }

  /** The member that speaks here; null for a stranger. */
  get member(): string | null {
    return this.#between?.from ?? null
  }

  get channel(): Channel {
    return this.#channel
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#cancelTimer()
    this.#reader.stop()
    this.#socket.destroySoon()
    this.#owner.closed(this)
  }

  destroy(): void {
    this.close()
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    try {
      this.#reader.push(chunk)
    } catch (error) {
      if (!(error instanceof FrameError)) throw error
      this.#owner.badFrame(this, error)
      this.destroy()
    }
  }

  /** Called by the reader: a control part is whole. */
  controlRead(control: Buffer, payloadBytes: number): void {
    if (this.#between !== null) {
      const values = decodeControl(control, this.#valuesMax)
      this.#item = this.#owner.read(this, this.#between, values, payloadBytes)
      return
    }
    this.#greet(this.#doorkeeper.hear(decodeControl(control)))
  }

  /** Called by the reader: the frame is whole. */
  frameRead(payload: Buffer | null): void {
    const item = this.#item
    if (item === null) return
    this.#item = null
    this.#owner.received(this, item, payload)
  }

  #greet(step: Step): void {
    switch (step.kind) {
      case 'SAY':
        this.#say(step.values)
        return
      case 'HEARD':
        this.#introduce(introductionOf(step.values))
        return
      case 'REFUSE':
        this.#owner.unproven(this, step.why)
        this.#say(answerValues({ welcome: false, ...misfit(step.why) }))
        this.close()
    }
  }

  #say(values: Scalar[]): void {
    this.#socket.write(encodeGreeting(encodeControl(values)))
  }

  #introduce(introduction: Introduction): void {
    const { hello, channel } = introduction
    this.#channel = channel
    this.#cancelTimer()
    this.#between = { from: hello.member, to: this.#self, storeId: hello.storeId }
    const refusal = this.#owner.introduced(this, introduction)
    const answer = answerValues(
      refusal === null ? { welcome: true, hello: this.#owner.hello() } : { welcome: false, ...refusal },
    )
    this.#say(this.#doorkeeper.answer(answer))
    if (refusal === null) this.#reader.greeted()
    else this.close()
  }
}
