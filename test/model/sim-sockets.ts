/**
 * TCP between simulated processes: sockets whose bytes travel through the queue of events.
 *
 * Keeps:
 *   - what is written arrives in order, once, after a while, or the connection is lost; nothing arrives within `write`;
 *   - a direction that is cut holds bytes back, as TCP does that tries again, until it is healed;
 *   - what was written before an end arrives before it, and the end that has said so can still read; a server is closed when its connections are;
 *   - a killed process resets its connections, as does one that closes without waiting for the end; a machine that goes off says nothing
 *     before it is on again;
 *   - a process that died is told nothing.
 */
import { EventEmitter } from 'node:events'
import type { Server, Socket } from 'node:net'
import type { SocketAddress, Sockets } from '@dledger-ts/remoting'
import type { Decisions } from '../simulation/decisions.ts'
import { type EventQueue, type Process, US_PER_MS } from '../simulation/sim-clock.ts'

const DELAY_US_MIN = 50
const DELAY_US_MAX = 600
/** How long after a direction was healed its bytes are tried again at most. */
const RETRY_US = 50 * US_PER_MS

/** A process with the address of its machine. */
export interface SimHost {
  readonly host: string
  readonly process: Process
  machineIsOn: boolean
}

export interface SimSocketsOptions {
  readonly events: EventQueue
  readonly decisions: Decisions
  /** Whether bytes from one host to the other get through now. */
  readonly isOpen: (from: SimHost, to: SimHost) => boolean
}

export class SimNet {
  readonly options: SimSocketsOptions
  readonly #servers = new Map<string, SimServer>()
  readonly #sockets = new Set<SimSocket>()
  #connections = 0

  constructor(options: SimSocketsOptions) {
    this.options = options
  }

  /** What one process opens; made anew for each life. */
  socketsOf(owner: SimHost): Sockets {
    const { incarnation } = owner.process
    return {
      // What node:net offers beyond is never asked for.
      connect: (address) => this.#connect(owner, incarnation, address) as unknown as Socket,
      createServer: (accepted) =>
        new SimServer(
          this,
          owner,
          incarnation,
          accepted as unknown as (socket: SimSocket) => void,
        ) as unknown as Server,
    }
  }

  /** The process of that host is gone. */
  died(owner: SimHost): void {
    for (const [address, server] of this.#servers) if (server.owner === owner) this.#servers.delete(address)
    for (const socket of this.#sockets) {
      if (socket.owner !== owner) continue
      this.#sockets.delete(socket)
      socket.isGone = true
      socket.resetOther()
    }
  }

  listen(server: SimServer, address: string): boolean {
    if (this.#servers.has(address)) return false
    this.#servers.set(address, server)
    return true
  }

  stopListening(address: string): void {
    this.#servers.delete(address)
  }

  forget(socket: SimSocket): void {
    this.#sockets.delete(socket)
  }

  #connect(owner: SimHost, incarnation: number, { host, port }: SocketAddress): SimSocket {
    const id = this.#connections++
    const near = new SimSocket(this, { owner, incarnation, id: id * 2, host: owner.host, port: 40_000 + id })
    if (owner.process.incarnation !== incarnation) return near
    this.#sockets.add(near)
    this.#dial(near, id, `${host}:${port}`)
    return near
  }

  #dial(near: SimSocket, id: number, address: string): void {
    const { events, decisions, isOpen } = this.options
    events.schedule(decisions.below('dial', id, near.dials++, DELAY_US_MAX), 'dial', null, () => {
      if (near.isGone) return
      const server = this.#servers.get(address)
      const isReachable = server === undefined || (isOpen(near.owner, server.owner) && isOpen(server.owner, near.owner))
      if (!isReachable) {
        events.schedule(RETRY_US, 'dial again', null, () => this.#dial(near, id, address))
        return
      }
      if (server === undefined) return near.fail('ECONNREFUSED')
      const { owner, incarnation } = server
      const [farHost = '', farPort = '0'] = address.split(':')
      const far = new SimSocket(this, { owner, incarnation, id: id * 2 + 1, host: farHost, port: Number(farPort) })
      this.#sockets.add(far)
      near.other = far
      far.other = near
      far.connecting = false
      server.opened(far)
      far.tell(() => server.accepted(far))
      near.tell(() => {
        near.connecting = false
        near.emit('connect')
      })
    })
  }
}

class SimServer extends EventEmitter {
  readonly owner: SimHost
  readonly incarnation: number
  readonly accepted: (socket: SimSocket) => void
  readonly #net: SimNet
  readonly #open = new Set<SimSocket>()
  #port = 0
  #closed: (() => void) | null = null

  constructor(net: SimNet, owner: SimHost, incarnation: number, accepted: (socket: SimSocket) => void) {
    super()
    this.#net = net
    this.owner = owner
    this.incarnation = incarnation
    this.accepted = accepted
  }

  listen({ port }: SocketAddress, callback: () => void): void {
    const { events } = this.#net.options
    this.#port = port
    // A process that died while it began.
    if (this.owner.process.incarnation !== this.incarnation) return
    const isFree = this.#net.listen(this, `${this.owner.host}:${port}`)
    events.schedule(10, 'listening', this.owner.process, () => {
      if (isFree) callback()
      else this.emit('error', Object.assign(new Error('EADDRINUSE'), { code: 'EADDRINUSE' }))
    })
  }

  address(): { readonly port: number } {
    return { port: this.#port }
  }

  opened(socket: SimSocket): void {
    this.#open.add(socket)
    socket.once('close', () => {
      this.#open.delete(socket)
      this.#closeIfEmpty()
    })
  }

  /** `callback` is told when its connections are closed, too. */
  close(callback: () => void): void {
    this.#net.stopListening(`${this.owner.host}:${this.#port}`)
    this.#closed = callback
    this.#closeIfEmpty()
  }

  #closeIfEmpty(): void {
    const closed = this.#closed
    if (closed === null || this.#open.size > 0) return
    this.#closed = null
    this.#net.options.events.schedule(10, 'closed', this.owner.process, closed)
  }
}

class SimSocket extends EventEmitter {
  readonly owner: SimHost
  readonly #net: SimNet
  readonly #incarnation: number
  readonly #id: number
  readonly localAddress: string
  readonly localPort: number
  other: SimSocket | null = null
  connecting = true
  /** Closed at this end, or its process is dead. */
  isGone = false
  /** The other end has said that nothing more comes. */
  hasHeardEnd = false
  dials = 0
  #isPaused = false
  /** Arrived while it was paused. */
  #unread: Buffer[] = []
  /** On the way to the other end, in order; null ends the stream. */
  readonly #underWay: (Buffer | null)[] = []
  #underWayBytes = 0
  #written: (() => void)[] = []
  #isTravelling = false
  #sent = 0

  constructor(
    net: SimNet,
    options: {
      readonly owner: SimHost
      readonly incarnation: number
      readonly id: number
      readonly host: string
      readonly port: number
    },
  ) {
    super()
    this.#net = net
    this.owner = options.owner
    this.#incarnation = options.incarnation
    this.#id = options.id
    this.localAddress = options.host
    this.localPort = options.port
  }

  get remoteAddress(): string | undefined {
    return this.other?.localAddress
  }

  get remotePort(): number | undefined {
    return this.other?.localPort
  }

  get writableLength(): number {
    return this.#underWayBytes
  }

  setNoDelay(): this {
    return this
  }

  cork(): void {}

  uncork(): void {}

  pause(): this {
    this.#isPaused = true
    return this
  }

  resume(): this {
    this.#isPaused = false
    const unread = this.#unread
    this.#unread = []
    if (unread.length > 0) this.tell(() => this.#read(Buffer.concat(unread)))
    return this
  }

  write(bytes: Buffer, written?: () => void): boolean {
    if (this.isGone) return false
    this.#underWay.push(Buffer.from(bytes))
    this.#underWayBytes += bytes.length
    if (written !== undefined) this.#written.push(written)
    this.#travel()
    return true
  }

  destroy(): this {
    if (this.isGone) return this
    this.isGone = true
    this.#net.forget(this)
    if (this.hasHeardEnd) this.#tellOther((other) => other.finished())
    else this.resetOther()
    this.tell(() => this.emit('close'))
    return this
  }

  /** What was written arrives before the end does; what the other end still writes is read until that closes. */
  end(): void {
    if (this.isGone || this.#underWay.at(-1) === null) return
    this.#underWay.push(null)
    this.#travel()
  }

  /** The other end, which knew that nothing more would come, has closed. */
  finished(): void {
    if (this.isGone) return
    this.isGone = true
    this.#net.forget(this)
    this.tell(() => {
      this.emit('end')
      this.emit('close')
    })
  }

  /** Runs in this end's process, unless that is another one by then. */
  tell(run: () => void): void {
    const { events } = this.#net.options
    const { process } = this.owner
    if (process.incarnation !== this.#incarnation) return
    events.schedule(1, 'socket', process, run)
  }

  fail(code: string): void {
    if (this.isGone) return
    this.isGone = true
    this.#net.forget(this)
    this.tell(() => {
      this.emit('error', Object.assign(new Error(code), { code }))
      this.emit('close')
    })
  }

  /** The other end hears that this one is gone, when it can hear of it. */
  resetOther(): void {
    this.#tellOther((other) => other.fail('ECONNRESET'))
  }

  #tellOther(what: (other: SimSocket) => void): void {
    const { other } = this
    if (other === null || other.isGone) return
    const { events, isOpen } = this.#net.options
    const deliver = (): void => {
      if (other.isGone) return
      if (!this.owner.machineIsOn || !isOpen(this.owner, other.owner)) {
        events.schedule(RETRY_US, 'reset', null, deliver)
        return
      }
      what(other)
    }
    events.schedule(this.#delayUs(), 'reset', null, deliver)
  }

  #travel(): void {
    if (this.#isTravelling || this.other === null || this.#underWay.length === 0) return
    this.#isTravelling = true
    this.#net.options.events.schedule(this.#delayUs(), 'bytes', null, () => this.#arrive())
  }

  #arrive(): void {
    const { other } = this
    const { events, isOpen } = this.#net.options
    if (this.isGone || other === null || other.isGone) return
    if (!isOpen(this.owner, other.owner) || !isOpen(other.owner, this.owner)) {
      events.schedule(RETRY_US, 'bytes again', null, () => this.#arrive())
      return
    }
    this.#isTravelling = false
    const chunks = this.#underWay.splice(0)
    const ends = chunks.at(-1) === null
    const bytes = Buffer.concat(chunks.filter((chunk) => chunk !== null))
    this.#underWayBytes = 0
    const written = this.#written
    this.#written = []
    if (bytes.length > 0) other.tell(() => other.#read(bytes))
    if (written.length > 0) this.tell(() => written.forEach((tell) => tell()))
    if (!ends) return
    other.tell(() => {
      other.hasHeardEnd = true
      if (!other.isGone) other.emit('end')
    })
  }

  #read(bytes: Buffer): void {
    if (this.isGone) return
    if (this.#isPaused) this.#unread.push(bytes)
    else this.emit('data', bytes)
  }

  #delayUs(): number {
    const { decisions } = this.#net.options
    return DELAY_US_MIN + decisions.below('bytes', this.#id, this.#sent++, DELAY_US_MAX - DELAY_US_MIN)
  }
}
