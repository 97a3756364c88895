/**
 * Proof, before anything else is said on a connection, that both sides know the same secret.
 *
 *   the side that dialed: Secure(nonce)  ──►
 *                                        ◄──  Challenge(nonce)
 *                        Sealed(hello)   ──►
 *                                        ◄──  Sealed(answer to the hello)
 *
 * A refusal may come in the clear at any time: from a side that does not know the secret, or does not believe that the other one does; of older
 * members each is. It ends this connection and nothing else, but that a member which holds nothing yet stops where the two do not fit.
 *
 * A seal is the HMAC-SHA-256, under the secret, of which side speaks, both nonces and what is said. So nothing said on one
 * connection proves anything on another, nor to the side that said it. What follows the greeting is neither encrypted nor sealed:
 * this keeps strangers out, not somebody who holds the wire.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { assert } from '@dledger-ts/base'
import { decodeControl, encodeControl, type Scalar } from './control-part.ts'
import { FrameError } from './frame-codec.ts'

const SECURE = 104
const CHALLENGE = 105
const SEALED = 106

const NONCE_BYTES = 32
const NONCE_CHARACTERS = 4 * Math.ceil(NONCE_BYTES / 3)
export const SECRET_BYTES_MIN = 16

type Side = 'dialer' | 'listener'

interface Nonces {
  readonly dialer: string
  readonly listener: string
}

/** What comes of a frame of the greeting: something to say, a refusal, or what the other side says now that it is trusted. */
export type Step =
  | { readonly kind: 'SAY'; readonly values: Scalar[] }
  | { readonly kind: 'REFUSE'; readonly why: string }
  | { readonly kind: 'HEARD'; readonly values: readonly unknown[] }

/** The side that was dialed, on one connection. */
export class Doorkeeper {
  readonly #secret: string | null
  readonly #self: string
  #nonces: Nonces | null = null

  constructor(secret: string | null, self: string) {
    this.#secret = secret
    this.#self = self
  }

  /** @throws FrameError when the values are none of a greeting. */
  hear(values: readonly unknown[]): Step {
    if (this.#secret === null) {
      if (values[0] !== SECURE) return { kind: 'HEARD', values }
      return { kind: 'REFUSE', why: `${this.#self} has no shared secret, and the side that dialed has one` }
    }
    if (this.#nonces === null) {
      if (values[0] !== SECURE) return { kind: 'REFUSE', why: `${this.#self} demands the shared secret` }
      this.#nonces = { dialer: nonceOf(values), listener: newNonce() }
      return { kind: 'SAY', values: [CHALLENGE, this.#nonces.listener] }
    }
    const said = opened(this.#secret, 'dialer', this.#nonces, values)
    if (said === null) return { kind: 'REFUSE', why: `the shared secret differs from that of ${this.#self}` }
    return { kind: 'HEARD', values: said }
  }

  /** The answer to what was heard, as it is said. */
  answer(values: Scalar[]): Scalar[] {
    if (this.#secret === null) return values
    assert(this.#nonces !== null, 'an answer follows a hello')
    return sealed(this.#secret, 'listener', this.#nonces, values)
  }
}

/** The side that dialed, on one connection. */
export class Visitor {
  readonly #secret: string | null
  readonly #peer: string
  readonly #hello: Scalar[]
  readonly #nonce: string
  #nonces: Nonces | null = null

  constructor(secret: string | null, peer: string, hello: Scalar[]) {
    this.#secret = secret
    this.#peer = peer
    this.#hello = hello
    this.#nonce = secret === null ? '' : newNonce()
  }

  first(): Scalar[] {
    return this.#secret === null ? this.#hello : [SECURE, this.#nonce]
  }

  /** @param isRefusal whether these values are a refusal, which needs no proof. @throws FrameError */
  hear(values: readonly unknown[], isRefusal: boolean): Step {
    if (this.#secret === null || isRefusal) return { kind: 'HEARD', values }
    if (this.#nonces === null) {
      if (values[0] !== CHALLENGE) return { kind: 'REFUSE', why: `${this.#peer} does not ask for the shared secret` }
      this.#nonces = { dialer: this.#nonce, listener: nonceOf(values) }
      return { kind: 'SAY', values: sealed(this.#secret, 'dialer', this.#nonces, this.#hello) }
    }
    const said = opened(this.#secret, 'listener', this.#nonces, values)
    if (said === null) return { kind: 'REFUSE', why: `${this.#peer} does not prove that it knows the shared secret` }
    return { kind: 'HEARD', values: said }
  }
}

function sealed(secret: string, side: Side, nonces: Nonces, values: Scalar[]): Scalar[] {
  const content = encodeControl(values).toString('base64')
  return [SEALED, seal(secret, side, nonces, content).toString('base64'), content]
}

/** @returns what was said, or null without a right seal; nothing of it is looked at before. */
function opened(secret: string, side: Side, nonces: Nonces, values: readonly unknown[]): readonly unknown[] | null {
  const [code, claimed, content] = values
  if (code !== SEALED || typeof claimed !== 'string' || typeof content !== 'string') return null
  const right = seal(secret, side, nonces, content)
  const given = Buffer.from(claimed, 'base64')
  if (given.length !== right.length || !timingSafeEqual(given, right)) return null
  return decodeControl(Buffer.from(content, 'base64'))
}

/** Nonces and base64 have no blanks, so two different things to seal never read the same. */
function seal(secret: string, side: Side, { dialer, listener }: Nonces, content: string): Buffer {
  return createHmac('sha256', secret).update(`${side} ${dialer} ${listener} ${content}`).digest()
}

function newNonce(): string {
  return randomBytes(NONCE_BYTES).toString('base64')
}

function nonceOf(values: readonly unknown[]): string {
  const nonce = values[1]
  if (values.length === 2 && typeof nonce === 'string' && nonce.length === NONCE_CHARACTERS && !nonce.includes(' ')) {
    return nonce
  }
  throw new FrameError(`a nonce has ${NONCE_CHARACTERS} characters`, { code: 'CONTENT' })
}
