/**
 * Which request code is handled by what, and where.
 *
 * Keeps:
 *   R1  every request that wants an answer gets exactly one, whatever its handler does;
 *   R2  requests whose handlers take long are bounded, each kind by itself: one more is refused as busy, and other kinds go on. A handler may put
 *       a request aside, among others like it, before it waits;
 *   R3  while the store applies its log again, only those are handled that say nothing which may prove wrong (`whileRebuilding`). The others
 *       are refused, or forwarded where another member leads; all are where senders are asked who they are, for that is not known yet either;
 *   R4  a request that its sender may not do is refused before its handler sees it, and by a member that does not lead before the leader does;
 *   R5  an answer that no frame has room for is refused with 1: the frame would end its connection.
 *
 * Sends and pulls that wait are bounded where they wait: by the store's bytes under way, and by its reads.
 */
import { AssertionError, background, type Logger } from '@dledger-ts/base'
import { ProtocolError } from '@dledger-ts/protocol'
import {
  type Connection,
  createResponse,
  type ProcessorResult,
  type ProcessorTable,
  type RemotingCommand,
  RemotingError,
  ResponseCode,
} from '@dledger-ts/remoting'
import { StoreError } from '@dledger-ts/store'
import type { AccessControl } from '../auth/access-control.ts'
import { AccessDoubts } from '../auth/doubts.ts'
import { isForwarded } from '../forwarding/forwarder.ts'
import { busy, rebuilding, type Refusal, refusalOf } from '../refusal.ts'
import { BODY_BYTES_MAX, tooLarge } from './admin/answer-size.ts'

/** Of one kind of request; Apache's queues of requests hold 10,000 to 100,000. */
export const WAITING_REQUESTS_MAX = 10_000
/** Of what came of those, headers and bodies. */
export const WAITING_BYTES_MAX = 64 * 1024 * 1024

/** @returns the answer, or undefined when the handler answers through the connection later. */
export type Handler = (
  connection: Connection,
  request: RemotingCommand,
) => ProcessorResult | Promise<ProcessorResult> | Aside

export interface Processor {
  /** `here`: every member serves it. `leader`: a member that does not lead forwards it to the one that does. */
  readonly served: 'here' | 'leader'
  /** Of those served here: also while the store knows a part of its log only. Default false. */
  readonly whileRebuilding?: boolean
  /** It finds out by itself who sends a request: no account is asked for, which may not be known yet. Default false. */
  readonly provesSenders?: boolean
  readonly handle: Handler
}

export interface Dispatch {
  isLeader(): boolean
  /** The store applies much of its log again. */
  isRebuilding(): boolean
  /** Another member leads, as far as is known here. */
  hasOtherLeader(): boolean
  /** Resolves when all that was acknowledged before the call is applied here. @throws StoreError. */
  caughtUp(): Promise<void>
  forward(connection: Connection, request: RemotingCommand): void
  /** A handler found that this member leads no more: does the request elsewhere. @returns false to answer it instead. */
  retry(connection: Connection, request: RemotingCommand): boolean
  readonly logger: Logger
  /** Who may do what; absent: everybody everything. */
  readonly access?: AccessControl
}

/** Requests of one kind whose handlers have not ended, and how many of them there may be. */
export class WaitingRequests {
  #count = 0
  #bytes = 0

  get count(): number {
    return this.#count
  }

  hasRoomFor(bytes: number): boolean {
    return this.#count < WAITING_REQUESTS_MAX && (this.#count === 0 || this.#bytes + bytes <= WAITING_BYTES_MAX)
  }

  begin(bytes: number): void {
    this.#count++
    this.#bytes += bytes
  }

  end(bytes: number): void {
    this.#count--
    this.#bytes -= bytes
  }
}

/** A handler found that a request takes longer than others of its code: it waits among its own, so that the others do not wait for it. */
export class Aside {
  readonly waiting: WaitingRequests
  readonly start: () => Promise<ProcessorResult>

  constructor(waiting: WaitingRequests, start: () => Promise<ProcessorResult>) {
    this.waiting = waiting
    this.start = start
  }
}

/** One kind of request: the codes that a processor serves. */
class Kind {
  readonly processor: Processor
  readonly waiting = new WaitingRequests()

  constructor(processor: Processor) {
    this.processor = processor
  }
}

export class Registry {
  readonly #kinds: ReadonlyMap<number, Kind>
  readonly #dispatch: Dispatch
  readonly #access: AccessControl | null
  readonly #doubts: AccessDoubts

  constructor(processors: ReadonlyMap<number, Processor>, dispatch: Dispatch) {
    const kinds = new Map([...processors.values()].map((processor) => [processor, new Kind(processor)]))
    this.#kinds = new Map([...processors].map(([code, processor]) => [code, kinds.get(processor) as Kind]))
    this.#dispatch = dispatch
    this.#access = dispatch.access ?? null
    this.#doubts = new AccessDoubts({
      caughtUp: () => dispatch.caughtUp(),
      judge: (connection, request) => this.#judge(connection, request),
      fail: (connection, request, error) => {
        const remark = `it is not known whether that is allowed: ${error.message}`
        refuse(connection, request, { code: ResponseCode.SERVICE_NOT_AVAILABLE, remark })
      },
      logger: dispatch.logger,
    })
  }

  /** For the server: every code that is known here. */
  table(): ProcessorTable {
    const table = new Map<number, (connection: Connection, request: RemotingCommand) => undefined>()
    for (const [code, { processor }] of this.#kinds) {
      const needsAccount = this.#access !== null && processor.provesSenders !== true
      const runHere = processor.whileRebuilding === true && !needsAccount ? this.#runHere : this.#runWhole
      table.set(code, processor.served === 'here' ? runHere : this.#runOnLeader)
    }
    return table
  }

  /** Handles a request on this member and answers it. Hot. */
  run(connection: Connection, request: RemotingCommand): void {
    const kind = this.#kinds.get(request.code)
    if (kind === undefined) {
      const remark = ` request type ${request.code} not supported`
      connection.respond(request, createResponse(ResponseCode.REQUEST_CODE_NOT_SUPPORTED, remark))
      return
    }
    const access = kind.processor.provesSenders === true ? null : this.#access
    const refusal = access === null ? null : access.refusal(connection, request)
    if (refusal !== null) return connection.respond(request, refusal)
    if (!kind.waiting.hasRoomFor(request.receivedBytes)) return refuse(connection, request, busy(request.version))
    let { waiting } = kind
    let result: ProcessorResult | Promise<ProcessorResult>
    try {
      const handled = kind.processor.handle(connection, request)
      if (handled instanceof Aside) {
        waiting = handled.waiting
        if (!waiting.hasRoomFor(request.receivedBytes)) return refuse(connection, request, busy(request.version))
        result = handled.start()
      } else result = handled
    } catch (error) {
      const answer = this.#answerFor(connection, request, error)
      if (answer !== undefined) connection.respond(request, answer)
      return
    }
    if (result instanceof Promise) {
      background(this.#respondLater(waiting, connection, request, result), 'handling a request', this.#dispatch.logger)
    } else if (result !== undefined) connection.respond(request, sent(result))
  }

  readonly #runHere = (connection: Connection, request: RemotingCommand): undefined => {
    this.run(connection, request)
  }

  readonly #runWhole = (connection: Connection, request: RemotingCommand): undefined => {
    if (this.#dispatch.isRebuilding()) refuse(connection, request, rebuilding())
    else this.run(connection, request)
  }

  readonly #runOnLeader = (connection: Connection, request: RemotingCommand): undefined => {
    const dispatch = this.#dispatch
    if (dispatch.isLeader()) this.run(connection, request)
    // A leader that is not ready for long: there is nobody to wait for.
    else if (dispatch.isRebuilding() && !dispatch.hasOtherLeader()) refuse(connection, request, rebuilding())
    else if (this.#isAllowed(connection, request)) dispatch.forward(connection, request)
    else if (!this.#doubts.put(connection, request)) refuse(connection, request, busy(request.version))
  }

  /** As far as is known here; the leader looks again. What another member passed on is not passed on once more. */
  #isAllowed(connection: Connection, request: RemotingCommand): boolean {
    if (this.#access === null || this.#dispatch.isRebuilding() || isForwarded(request)) return true
    return this.#access.refusal(connection, request) === null
  }

  /** What this member would have refused, now that it knows what the leader knew when it came. */
  #judge(connection: Connection, request: RemotingCommand): void {
    if (this.#dispatch.isLeader()) return this.run(connection, request)
    const refusal = this.#access === null ? null : this.#access.refusal(connection, request)
    if (refusal === null) this.#dispatch.forward(connection, request)
    else connection.respond(request, refusal)
  }

  async #respondLater(
    waiting: WaitingRequests,
    connection: Connection,
    request: RemotingCommand,
    result: Promise<ProcessorResult>,
  ): Promise<void> {
    const bytes = request.receivedBytes
    waiting.begin(bytes)
    let response: ProcessorResult
    try {
      response = await result
    } catch (error) {
      response = this.#answerFor(connection, request, error)
    } finally {
      waiting.end(bytes)
    }
    if (response !== undefined) connection.respond(request, sent(response))
  }

  /** What cannot be read is the client's fault and answered as such; anything else is a bug here, and said. */
  #answerFor(connection: Connection, request: RemotingCommand, error: unknown): ProcessorResult {
    if (error instanceof AssertionError) throw error
    if (error instanceof StoreError) {
      if (error.code === 'NOT_LEADER' && this.#dispatch.retry(connection, request)) return undefined
      const refusal = refusalOf(error, request.version)
      return createResponse(refusal.code, refusal.remark)
    }
    if (error instanceof ProtocolError) return createResponse(ResponseCode.MESSAGE_ILLEGAL, error.message)
    if (!(error instanceof RemotingError)) {
      this.#dispatch.logger.error({ err: error, code: request.code }, 'a request processor failed')
    }
    const remark = error instanceof Error ? `${error.name}: ${error.message}` : 'the request failed'
    return createResponse(ResponseCode.SYSTEM_ERROR, remark)
  }
}

/** What no frame has room for is refused: clients end their connection where a frame is too large, and all that waits on it. Hot. */
function sent(response: RemotingCommand): RemotingCommand {
  const { body } = response
  if (body === undefined || (Buffer.isBuffer(body) && body.length <= BODY_BYTES_MAX)) return response
  const bytes = Buffer.isBuffer(body) ? body.length : body.reduce((sum, part) => sum + part.length, 0)
  if (bytes <= BODY_BYTES_MAX) return response
  response.releasable?.release()
  return tooLarge(bytes)
}

function refuse(connection: Connection, request: RemotingCommand, { code, remark }: Refusal): void {
  connection.respond(request, createResponse(code, remark))
}
