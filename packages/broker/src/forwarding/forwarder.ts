/**
 * Requests that only the leader can do, arriving at a member that does not lead: they go one hop to the leader, marked.
 *
 * Keeps:
 *   F1  a marked request is never forwarded again;
 *   F2  the leader learns the host that a message was born on, and believes it only under its own mark;
 *   F3  a request for which nobody leads just now waits for the next leader, but never beyond `WAIT_MS`: then 14, "not done";
 *   F4  once a request may have reached the leader, a missing answer is 1, "not known whether it was done";
 *   F5  what is on its way to the leader, and what is given up and still waits to be written there, is bounded in bytes;
 *   F6  what it is asked for on behalf of a client is checked by the leader as that client's: only the two fields are added.
 */
import { AssertionError, type Clock, type Logger } from '@dledger-ts/base'
import {
  formatHostAddress,
  formatIp,
  type HostAddress,
  hostAddress,
  parseHostAddress,
  ProtocolError,
} from '@dledger-ts/protocol'
import {
  type Connection,
  createResponse,
  RemotingClient,
  RemotingCommand,
  type RemotingError,
  type ResponseHandler,
  ResponseCode,
  type Sockets,
  tcpSockets,
} from '@dledger-ts/remoting'
import type { StoreStatus } from '@dledger-ts/store'
import type { RequestOrigin } from '../auth/access-control.ts'
import { busy } from '../refusal.ts'
import { type Advertised, decodeAdvertised } from './advertised.ts'

/** Below the 3 s after which clients give up, with room for the leader's work. */
const WAIT_MS = 2_000
const ANSWER_TIMEOUT_MS = 3_000
/** Requests that wait for a leader, and their bytes, at most; beyond, 14 or 2. */
const WAITING_MAX = 10_000
const WAITING_BYTES_MAX = 64 * 1024 * 1024
/** Requests on their way to the leader, and their bytes, at most; beyond, 14 or 2, and one-way requests are dropped. */
const FORWARDED_MAX = 20_000
const FORWARDED_BYTES_MAX = 64 * 1024 * 1024

const MARK_FIELD = '__FORWARD_MARK'
const BORN_HOST_FIELD = '__FORWARD_BORN_HOST'
/** To requests, by the member that passes them on. */
export const ADDED_FIELDS: readonly string[] = [MARK_FIELD, BORN_HOST_FIELD]
const NONE_ADDED: readonly string[] = []
/** In the answer to a marked request: not done, for want of leadership. */
const REFUSED_FIELD = '__FORWARD_REFUSED'

export interface ForwarderOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly ownMark: string
  /** Default: TCP. */
  readonly sockets?: Sockets
  status(): StoreStatus
  isLeader(): boolean
  /** Handles a request on this member. */
  run(connection: Connection, request: RemotingCommand): void
}

class Waiting {
  readonly connection: Connection
  readonly request: RemotingCommand
  readonly deadlineMs: number

  constructor(connection: Connection, request: RemotingCommand, deadlineMs: number) {
    this.connection = connection
    this.request = request
    this.deadlineMs = deadlineMs
  }
}

export class Forwarder {
  readonly #options: ForwarderOptions
  readonly #client: RemotingClient
  /** Requests that were given back once; a second time they are answered. */
  readonly #retried = new WeakSet<RemotingCommand>()
  readonly #bornHosts = new WeakMap<Connection, HostAddress>()
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #forwardedCount = 0
  #forwardedBytes = 0
  #cancelTimer: (() => void) | null = null
  #isClosed = false

  constructor(options: ForwarderOptions) {
    this.#options = options
    const { clock, logger, sockets = tcpSockets } = options
    this.#client = new RemotingClient({ clock, logger, sockets })
  }

  get waitingCount(): number {
    return this.#waiting.length
  }

  /** This member does not lead: the request goes to the one that does, now or when there is one. */
  forward(connection: Connection, request: RemotingCommand): void {
    this.#place(new Waiting(connection, request, this.#options.clock.monotonicMs() + WAIT_MS))
  }

  /**
   * The store refused with NOT_LEADER what this member took for its own to do: nothing was done, the next leader will.
   *
   * @returns false when that happened to this request before: answer it.
   */
  retry(connection: Connection, request: RemotingCommand): boolean {
    if (this.#isClosed || this.#retried.has(request)) return false
    this.#retried.add(request)
    const one = new Waiting(connection, request, this.#options.clock.monotonicMs() + WAIT_MS)
    // The next leader may be known already; a role that has not changed yet will.
    if (this.#options.isLeader()) this.#wait(one)
    else this.#place(one)
    return true
  }

  /** The role, the leader or its readiness changed. */
  leaderChanged(): void {
    if (this.#waiting.length === 0) return
    const waiting = this.#takeWaiting()
    for (const one of waiting) this.#place(one)
  }

  /** Where a request came from, and which of its fields the member that passed it on has added: believed only under the own mark. */
  originOf(connection: Connection, request: RemotingCommand): RequestOrigin {
    if (!this.isFromMember(request)) return { ip: connection.remoteIp, added: NONE_ADDED }
    return { ip: formatIp(this.bornHostOf(connection, request).address), added: ADDED_FIELDS }
  }

  /** Whether another member passed it on: believed only under the own mark. */
  isFromMember(request: RemotingCommand): boolean {
    return request.extFields?.[MARK_FIELD] === this.#options.ownMark
  }

  /** The host that a message was born on. */
  bornHostOf(connection: Connection, request: RemotingCommand): HostAddress {
    const forwarded = request.extFields?.[BORN_HOST_FIELD]
    if (forwarded !== undefined && this.isFromMember(request)) {
      const host = parsedHost(forwarded)
      if (host !== null) return host
    }
    let host = this.#bornHosts.get(connection)
    if (host === undefined) {
      host = hostAddress(connection.remoteIp, connection.remotePort)
      this.#bornHosts.set(connection, host)
    }
    return host
  }

  /** Answers what waits for a leader with 14, what waits for the leader's answer with 1, and forwards nothing more. */
  close(): void {
    this.#isClosed = true
    for (const one of this.#takeWaiting()) this.#refuse(one, 'this broker is shutting down')
    this.#client.close()
  }

  #place(one: Waiting): void {
    if (one.connection.isClosed) return
    if (this.#options.isLeader()) return this.#options.run(one.connection, one.request)
    if (this.#isClosed) return this.#refuse(one, 'this broker is shutting down')
    const status = this.#options.status()
    const isMarked = isForwarded(one.request)
    const leader =
      status.leader === null || status.leader === status.self ? null : decodeAdvertised(status.leaderAddress ?? '')
    if (leader === null) return this.#wait(one)
    if (isMarked) return this.#refuse(one, `this broker does not lead, ${status.leader} does`)
    this.#send(one, leader)
  }

  #wait(one: Waiting): void {
    const bytes = one.request.receivedBytes
    if (one.deadlineMs <= this.#options.clock.monotonicMs()) return this.#refuse(one, 'no leader is known')
    if (this.#waiting.length >= WAITING_MAX || this.#waitingBytes + bytes > WAITING_BYTES_MAX) {
      return this.#refuseBusy(one)
    }
    this.#waiting.push(one)
    this.#waitingBytes += bytes
    if (this.#cancelTimer === null) this.#arm(one.deadlineMs)
  }

  #arm(deadlineMs: number): void {
    // A timer that is a fraction early would find everything still waiting.
    const delayMs = Math.max(1, Math.ceil(deadlineMs - this.#options.clock.monotonicMs()))
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      this.#cancelTimer = null
      for (const one of this.#takeWaiting()) this.#place(one)
    })
  }

  #takeWaiting(): Waiting[] {
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    this.#cancelTimer?.()
    this.#cancelTimer = null
    return waiting
  }

  #send(one: Waiting, leader: Advertised): void {
    const bytes = one.request.receivedBytes
    // What was one-way, or is waited for no more, is only seen where it waits to be written.
    const bytesBefore = Math.max(this.#forwardedBytes, this.#client.unwrittenBytes(leader.address))
    if (this.#forwardedCount >= FORWARDED_MAX || bytesBefore + bytes > FORWARDED_BYTES_MAX) {
      return this.#refuseBusy(one)
    }
    const command = marked(one.request, leader.mark, formatHostAddress(this.bornHostOf(one.connection, one.request)))
    if (one.request.isOneway) {
      this.#client.oneway(leader.address, command)
      return
    }
    this.#forwardedCount++
    this.#forwardedBytes += bytes
    const ended = (): void => {
      this.#forwardedCount--
      this.#forwardedBytes -= bytes
    }
    const handler: ResponseHandler = {
      responded: (response) => {
        ended()
        this.#responded(one, response)
      },
      failed: (error) => {
        ended()
        this.#failed(one, error)
      },
    }
    this.#client.invokeCallback(leader.address, command, ANSWER_TIMEOUT_MS, handler)
  }

  #responded(one: Waiting, response: RemotingCommand): void {
    // The member that was asked leads no more, and did nothing; the next leader may be known in a moment.
    if (response.extFields?.[REFUSED_FIELD] !== undefined && !this.#isClosed) this.#wait(one)
    else one.connection.respond(one.request, response)
  }

  #failed(one: Waiting, error: RemotingError): void {
    this.#options.logger.debug({ err: error, code: one.request.code }, 'a request was not forwarded')
    switch (error.detail.code) {
      case 'CONNECT_FAILED':
      case 'BUSY':
        // It never left.
        if (this.#isClosed) this.#refuse(one, 'this broker is shutting down')
        else this.#wait(one)
        return
      // Closed here: the leader may have had it.
      case 'CLOSED':
      case 'CONNECTION_LOST':
      case 'TIMEOUT':
      case 'MALFORMED_FRAME':
      case 'FRAME_TOO_LARGE': {
        const remark = `not known whether it was done: the leader did not answer (${error.message})`
        one.connection.respond(one.request, createResponse(ResponseCode.SYSTEM_ERROR, remark))
        return
      }
      case 'BAD_HEADER':
      case 'BAD_BODY':
      case 'LISTEN_FAILED':
        throw new AssertionError('a forwarded request fails by its connection only')
    }
  }

  #refuseBusy(one: Waiting): void {
    const { code, remark } = busy(one.request.version)
    one.connection.respond(one.request, createResponse(code, remark))
  }

  #refuse(one: Waiting, remark: string): void {
    const extFields = isForwarded(one.request) ? { [REFUSED_FIELD]: 'true' } : undefined
    one.connection.respond(one.request, createResponse(ResponseCode.SERVICE_NOT_AVAILABLE, remark, extFields))
  }
}

/** Whether another member sent it on: its connection is that member's, not the client's. */
export function isForwarded(request: RemotingCommand): boolean {
  return request.extFields?.[MARK_FIELD] !== undefined
}

/** The request as the client sent it, version and language included, with the marks. */
function marked(request: RemotingCommand, mark: string, bornHost: string): RemotingCommand {
  const command = new RemotingCommand(request.code)
  command.language = request.language
  command.version = request.version
  command.remark = request.remark
  command.extFields = { ...request.extFields, [MARK_FIELD]: mark, [BORN_HOST_FIELD]: bornHost }
  command.body = request.body
  return command
}

function parsedHost(text: string): HostAddress | null {
  try {
    return parseHostAddress(text)
  } catch (error) {
    if (error instanceof ProtocolError) return null
    throw error
  }
}
