/**
 * The namesrvs of a client: one of them is asked until it fails, then the next.
 *
 * They are equal and never talk to each other, so any answer counts. The first one is drawn, so clients spread over them.
 */
import type { Random } from '@dledger-ts/base'
import type { RemotingClient, RemotingCommand, RemotingError, ResponseHandler } from '@dledger-ts/remoting'
import { check, ClientError } from '../errors.ts'

/** A namesrv answers from memory: longer than this means that it is gone. */
const NAMESRV_TIMEOUT_MS = 1_000

/** Splits `host:port;host:port`. @throws ClientError `INVALID` when nothing is left. */
export function parseNamesrvAddresses(text: string): string[] {
  const addresses = text
    .split(/[;,]/)
    .map((address) => address.trim())
    .filter((address) => address !== '')
  check(addresses.length > 0, `no namesrv address in "${text}"`)
  return addresses
}

export interface AnswerHandler {
  /** Any answer of any namesrv, whatever its code. */
  answered(response: RemotingCommand): void
  /** None of them answered. */
  unanswered(error: ClientError): void
}

export class Namesrv {
  readonly #remoting: RemotingClient
  readonly #addresses: readonly string[]
  #present: number

  constructor(options: { remoting: RemotingClient; addresses: readonly string[]; random: Random }) {
    this.#remoting = options.remoting
    this.#addresses = options.addresses
    this.#present = options.random.below(options.addresses.length)
  }

  /** @param makeRequest makes the request anew for each namesrv that is asked. */
  ask(makeRequest: () => RemotingCommand, handler: AnswerHandler): void {
    new Question(this, makeRequest, handler).askNext()
  }

  /** @internal */
  get count(): number {
    return this.#addresses.length
  }

  /** @internal */
  get presentAddress(): string {
    return this.#addresses[this.#present] as string
  }

  /** @internal Leaves a namesrv that failed, unless another question has left it already. */
  leave(address: string, why: RemotingError): void {
    // A connection that is mute may stay so for minutes; the next question gets a new one.
    if (why.code === 'TIMEOUT') this.#remoting.closeAddress(address)
    if (this.presentAddress === address) this.#present = (this.#present + 1) % this.#addresses.length
  }

  /** @internal */
  invoke(address: string, request: RemotingCommand, handler: ResponseHandler): void {
    this.#remoting.invokeCallback(address, request, NAMESRV_TIMEOUT_MS, handler)
  }

  /** @internal */
  unreachable(cause: RemotingError): ClientError {
    const addresses = this.#addresses
    const message = `no namesrv answers: ${addresses.join(', ')}`
    return new ClientError(message, { code: 'NAMESRV_UNREACHABLE', addresses }, { cause })
  }
}

/** One request on its way through the namesrvs. */
class Question implements ResponseHandler {
  readonly #namesrv: Namesrv
  readonly #makeRequest: () => RemotingCommand
  readonly #handler: AnswerHandler
  #asked = 0
  #address = ''

  constructor(namesrv: Namesrv, makeRequest: () => RemotingCommand, handler: AnswerHandler) {
    this.#namesrv = namesrv
    this.#makeRequest = makeRequest
    this.#handler = handler
  }

  askNext(): void {
    this.#asked++
    this.#address = this.#namesrv.presentAddress
    this.#namesrv.invoke(this.#address, this.#makeRequest(), this)
  }

  responded(response: RemotingCommand): void {
    this.#handler.answered(response)
  }

  failed(error: RemotingError): void {
    if (error.code === 'CLOSED') return this.#handler.unanswered(this.#namesrv.unreachable(error))
    this.#namesrv.leave(this.#address, error)
    if (this.#asked < this.#namesrv.count) this.askNext()
    else this.#handler.unanswered(this.#namesrv.unreachable(error))
  }
}
