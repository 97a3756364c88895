/**
 * Proof that a slave and its master have the same `innerClientAuthenticationCredentials`: JOIN_AS_SLAVE and its answer are sealed.
 *
 *   seal of the request   HMAC-SHA-256 of "request", a nonce of the slave, and all that it says
 *   seal of the answer    HMAC-SHA-256 of "answer", the seal of that request, and all that is answered
 *
 * Keeps:
 *   - an answer proves something of the one request that it answers: no other time, no other log, no other broker's name;
 *   - neither seal can be taken for the other, nor for one of a connection between members;
 *   - seals are compared in constant time.
 *
 * A request that was overheard can be said again: that lists a slave again where it was let in before, and shows nothing new.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Credentials, JoinAsSlaveRequest, JoinAsSlaveResponse } from '@dledger-ts/remoting'

const NONCE_BYTES = 32

/** Those who sign as one of the brokers are those who may copy it. */
export function haSecret({ accessKey, secretKey }: Credentials): string {
  return createHash('sha256').update(`${accessKey}\n${secretKey}`).digest('hex')
}

export class JoinSeal {
  readonly #secret: string

  constructor(credentials: Credentials) {
    this.#secret = haSecret(credentials)
  }

  sealRequest(request: JoinAsSlaveRequest): JoinAsSlaveRequest {
    const asked = { ...request, nonce: randomBytes(NONCE_BYTES).toString('base64') }
    return { ...asked, seal: this.#ofRequest(asked) }
  }

  isRequest(request: JoinAsSlaveRequest): boolean {
    return request.nonce !== undefined && isSame(request.seal, this.#ofRequest(request))
  }

  /** @param request sealed. */
  sealAnswer(request: JoinAsSlaveRequest, answer: JoinAsSlaveResponse): JoinAsSlaveResponse {
    return { ...answer, seal: this.#ofAnswer(request, answer) }
  }

  /** @param request as it was sealed. */
  isAnswer(request: JoinAsSlaveRequest, answer: JoinAsSlaveResponse): boolean {
    return isSame(answer.seal, this.#ofAnswer(request, answer))
  }

  #ofRequest(request: JoinAsSlaveRequest): string {
    const { nonce, brokerName, memberId, storeId, masterStore, haAddress } = request
    const { lastIndex, lastTerm, commitIndex, commitTerm } = request
    const ends = [lastIndex, lastTerm, commitIndex, commitTerm]
    return this.#seal(['request', nonce, brokerName, memberId, storeId, masterStore, ...ends, haAddress])
  }

  #ofAnswer({ seal }: JoinAsSlaveRequest, answer: JoinAsSlaveResponse): string {
    const { verdict, lastIndex, memberId, storeId, haAddress } = answer
    return this.#seal(['answer', seal, verdict, lastIndex, memberId, storeId, haAddress])
  }

  /** As JSON two different things to seal never read the same; what is left out reads null, which no text does. */
  #seal(said: readonly (string | number | undefined)[]): string {
    return createHmac('sha256', this.#secret).update(JSON.stringify(said)).digest('base64')
  }
}

function isSame(given: string | undefined, right: string): boolean {
  if (given === undefined) return false
  const [one, other] = [Buffer.from(given), Buffer.from(right)]
  return one.length === other.length && timingSafeEqual(one, other)
}
