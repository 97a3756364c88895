/**
 * A listening socket that takes plain connections and TLS on one port: the first byte tells which.
 *
 *   accepted ──first byte 0x16──► its turn ──► handshake ──certificate as wanted──► handed over
 *        └────any other byte────► handed over with all that was read
 *
 * Always holds:
 *   D1  Who says nothing, does not end its handshake in time, or sends what is none costs its own connection and nothing else.
 *   D2  How many connections are not handed over yet is bounded; all are gone when the door closes.
 *   D3  A plain connection is handed over with all that was read, in the same pass of the event loop; after that nothing of the door is in
 *       its way.
 *   D4  Nobody is handed over whose certificate is not as wanted; what holds for plain connections holds for it.
 *   D5  Handshakes begin no oftener than the limit says, the addresses in turn (handshake-turns.ts); what strangers cause is logged once a
 *       second at most.
 */
import {
  createServer as createTlsServer,
  type SecureContextOptions,
  type Server as TlsServer,
  type TLSSocket,
} from 'node:tls'
import { Server, type Socket } from 'node:net'
import type { Clock, Logger } from '@dledger-ts/base'
import { normalizedIp } from '../address.ts'
import type { CertificateFiles } from './certificate-files.ts'
import { HandshakeTurns, type Turn } from './handshake-turns.ts'
import { PacedWarnings } from './paced-warnings.ts'

/** The type of the record with which every client begins. */
const HANDSHAKE_RECORD = 0x16
const KEEP_ALIVE_DELAY_MS = 10_000
/** Who begins a handshake sends less before it is answered. */
const HELLO_BYTES_MAX = 64 * 1024

export interface DoorLimits {
  /** How long somebody may say nothing before the first byte. */
  readonly firstByteMs: number
  /** From the first byte to the end of the handshake, the wait for its turn included, however busily it goes on. */
  readonly handshakeMs: number
  /** Handshakes that begin; more wait. */
  readonly handshakesPerSecond: number
  /** Connections that wait for their turn, with HELLO_BYTES_MAX each; beyond, those of the address that has most are closed. */
  readonly turnsWaitingMax: number
  /** Connections that were not handed over yet; more are closed at once. */
  readonly waitingMax: number
}

const DEFAULT_DOOR_LIMITS: DoorLimits = {
  firstByteMs: 120_000,
  handshakeMs: 10_000,
  handshakesPerSecond: 250,
  turnsWaitingMax: 1_000,
  waitingMax: 20_000,
}

export interface DoorOptions {
  readonly certificates: Pick<CertificateFiles, 'options' | 'onChange'>
  /** Whether only TLS is taken. */
  readonly isEnforcing: boolean
  /** Whether clients are asked for a certificate, and turned away without one. */
  readonly clientCertificate: 'none' | 'optional' | 'require'
  /** Whether the certificate that a client shows is checked. */
  readonly isChecked: boolean
  readonly clock: Clock
  readonly logger: Logger
  readonly limits?: Partial<DoorLimits>
  readonly accepted: (socket: Socket) => void
}

/** One that was accepted and not handed over yet. */
interface Waiting {
  readonly remote: string
  cancelTimer: () => void
  /** Of one that has begun a handshake. */
  turn: Turn | null
}

export class Door extends Server {
  readonly #options: DoorOptions
  readonly #limits: DoorLimits
  readonly #tls: TlsServer
  readonly #turns: HandshakeTurns
  readonly #warnings: PacedWarnings
  readonly #forgetCertificates: () => void
  readonly #waiting = new Map<Socket, Waiting>()
  /** Those whose handshake goes on, by both of their addresses. */
  readonly #shaking = new Map<string, Socket>()

  constructor(options: DoorOptions) {
    super({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS })
    this.#options = options
    this.#limits = { ...DEFAULT_DOOR_LIMITS, ...options.limits }
    const { certificates, clientCertificate, clock, logger } = options
    const { handshakesPerSecond: perSecond, turnsWaitingMax } = this.#limits
    this.#turns = new HandshakeTurns({ perSecond, waitingMax: turnsWaitingMax, clock })
    this.#warnings = new PacedWarnings(clock, logger)
    // What a client shows is judged in #secured: OpenSSL's own refusal knows no `optional`.
    const asked = { requestCert: clientCertificate !== 'none', rejectUnauthorized: false }
    this.#tls = createTlsServer({ ...certificates.options, ...asked }, (socket) => this.#secured(socket))
    this.#tls.on('tlsClientError', (error, socket) => this.#handshakeFailed(error, socket))
    this.#forgetCertificates = certificates.onChange((changed: SecureContextOptions) => {
      this.#tls.setSecureContext(changed)
    })
    this.on('connection', (socket) => this.#arrived(socket))
  }

  /** Connections that were not handed over yet. */
  get waitingCount(): number {
    return this.#waiting.size
  }

  override close(callback?: (error?: Error) => void): this {
    this.#forgetCertificates()
    for (const socket of this.#waiting.keys()) {
      this.#leaves(socket)
      socket.destroy()
    }
    this.#turns.stop()
    return super.close(callback)
  }

  #arrived(socket: Socket): void {
    const { clock } = this.#options
    const { firstByteMs, waitingMax } = this.#limits
    const remote = `${normalizedIp(socket.remoteAddress ?? '')}:${socket.remotePort ?? 0}`
    // Its 'close' follows and says all that matters.
    socket.on('error', () => {})
    if (this.#waiting.size >= waitingMax) {
      this.#warnings.warn({ remote, waitingMax }, 'refused a connection: too many have not said yet what they are')
      socket.destroy()
      return
    }
    const cancelTimer = clock.after(firstByteMs, () => socket.destroy())
    this.#waiting.set(socket, { remote, cancelTimer, turn: null })
    socket.once('close', () => this.#leaves(socket))
    socket.once('data', (chunk: Buffer) => this.#begins(socket, chunk))
  }

  #leaves(socket: Socket): void {
    const waiting = this.#waiting.get(socket)
    if (waiting === undefined) return
    waiting.cancelTimer()
    if (waiting.turn !== null) this.#turns.leave(waiting.turn)
    this.#waiting.delete(socket)
  }

  #begins(socket: Socket, chunk: Buffer): void {
    if (chunk[0] === HANDSHAKE_RECORD) return this.#awaitTurn(socket, chunk)
    const { isEnforcing, accepted } = this.#options
    const { remote = '' } = this.#waiting.get(socket) ?? {}
    this.#leaves(socket)
    if (isEnforcing) {
      this.#warnings.warn({ remote }, 'closed a connection without TLS: tls.server.mode is enforcing')
      socket.destroy()
      return
    }
    accepted(socket)
    // The one who took it listens now and is given this at once, in this pass of the event loop.
    if (!socket.destroyed) socket.unshift(chunk)
  }

  #awaitTurn(socket: Socket, chunk: Buffer): void {
    const waiting = this.#waiting.get(socket)
    if (waiting === undefined) return void socket.destroy()
    const { remote } = waiting
    waiting.cancelTimer()
    waiting.cancelTimer = this.#options.clock.after(this.#limits.handshakeMs, () => {
      this.#warnings.warn({ remote }, 'closed a connection whose TLS handshake does not end')
      socket.destroy()
    })
    // Read on meanwhile: who hangs up is noticed.
    const chunks = [chunk]
    let bytes = chunk.length
    const gather = (more: Buffer): void => {
      bytes += more.length
      if (bytes > HELLO_BYTES_MAX) socket.destroy()
      else chunks.push(more)
    }
    socket.on('data', gather)
    waiting.turn = {
      address: normalizedIp(socket.remoteAddress ?? ''),
      begin: () => {
        socket.off('data', gather)
        this.#shakeHands(socket, Buffer.concat(chunks, bytes))
      },
      refuse: () => {
        this.#warnings.warn({ remote }, 'closed a connection: too many wait for their TLS handshake')
        socket.destroy()
      },
    }
    if (this.#turns.ask(waiting.turn)) return
    this.#warnings.warn({ remote, waiting: this.#turns.waitingCount }, 'TLS handshakes wait for their turn')
  }

  #shakeHands(socket: Socket, bytes: Buffer): void {
    const pair = pairOf(socket)
    if (socket.destroyed || pair === null) return void socket.destroy()
    this.#shaking.set(pair, socket)
    socket.once('close', () => {
      if (this.#shaking.get(pair) === socket) this.#shaking.delete(pair)
    })
    socket.pause()
    socket.unshift(bytes)
    this.#tls.emit('connection', socket)
  }

  #secured(socket: TLSSocket): void {
    const pair = pairOf(socket)
    const raw = pair === null ? undefined : this.#shaking.get(pair)
    // It went away meanwhile.
    if (pair === null || raw === undefined) return void socket.destroy()
    const { remote = '' } = this.#waiting.get(raw) ?? {}
    this.#shaking.delete(pair)
    this.#leaves(raw)
    const why = this.#whyUnfit(socket)
    if (why === null) return this.#options.accepted(socket)
    this.#warnings.warn({ remote, why }, 'closed a TLS connection: its certificate is not taken')
    socket.on('error', () => {})
    socket.destroy()
  }

  /** @returns why this client is not let in; null: it is. */
  #whyUnfit(socket: TLSSocket): string | null {
    const { clientCertificate, isChecked } = this.#options
    if (clientCertificate === 'none') return null
    if (Object.keys(socket.getPeerCertificate()).length === 0)
      return clientCertificate === 'require' ? 'none shown' : null
    if (!isChecked || socket.authorized) return null
    return String(socket.authorizationError)
  }

  #handshakeFailed(error: Error, socket: TLSSocket): void {
    const pair = pairOf(socket)
    const raw = pair === null ? undefined : this.#shaking.get(pair)
    const { remote } = (raw === undefined ? undefined : this.#waiting.get(raw)) ?? {}
    // Not of one that has hung up, or was closed here.
    if (raw?.destroyed === false) this.#warnings.warn({ remote, why: error.message }, 'a TLS handshake failed')
    socket.destroy()
    raw?.destroy()
  }
}

/** @returns what tells this connection from all others of this machine; null when it is gone. */
function pairOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string | null {
  return remoteAddress === undefined ? null : `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}
