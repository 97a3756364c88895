/**
 * Signed requests: who sends one, and that it is as its sender made it.
 *
 *   AccessKey       the sender's name
 *   SecurityToken   may be absent
 *   Signature       base64 of HMAC-SHA1, under the sender's secret, of the content
 *
 * The content is the values of all ext fields but the signature, in the order of their keys, and the body behind them. Keys are ordered
 * by UTF-16 code units, as Java orders strings, and values are the texts as they were sent: one that is parsed and written again
 * may be another.
 *
 * Keeps: signatures are compared in constant time.
 *
 * Source: org.apache.rocketmq.acl.common.AclClientRPCHook, AclUtils, AclSigner, DefaultAuthenticationContextBuilder.
 */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
import type { ExtFields, RemotingCommand } from './command.ts'

export const SignatureField = { ACCESS_KEY: 'AccessKey', SIGNATURE: 'Signature', TOKEN: 'SecurityToken' } as const

export interface Credentials {
  readonly accessKey: string
  readonly secretKey: string
  readonly securityToken?: string
}

/** A secret, made ready once for many requests. */
export type SigningKey = KeyObject

/** Clients of 4.9.3 and older set this field after they have signed. */
const UNIQUE_KEY_QUERY_FIELD = '_UNIQUE_KEY_QUERY'
const VERSION_4_9_3 = 399

/** @param secret not empty. */
export function signingKey(secret: string): SigningKey {
  return createSecretKey(secret, 'utf8')
}

/** Signs a request for whoever holds the key; what is set in it later is not covered. */
export function signRequest(request: RemotingCommand, credentials: Credentials, key: SigningKey): void {
  const extFields: ExtFields = { ...request.extFields, [SignatureField.ACCESS_KEY]: credentials.accessKey }
  if (credentials.securityToken !== undefined) extFields[SignatureField.TOKEN] = credentials.securityToken
  request.extFields = extFields
  extFields[SignatureField.SIGNATURE] = signatureOf(request, key, [])
}

/** @param added fields that were put in after the sender signed: they are no part of what it signed. */
export function isSignedWith(request: RemotingCommand, key: SigningKey, added: readonly string[]): boolean {
  const given = request.extFields?.[SignatureField.SIGNATURE]
  if (given === undefined) return false
  const expected = Buffer.from(signatureOf(request, key, added))
  const actual = Buffer.from(given)
  return expected.length === actual.length && timingSafeEqual(expected, actual)
}

function signatureOf(request: RemotingCommand, key: SigningKey, added: readonly string[]): string {
  const { extFields = {}, body } = request
  const isOld = request.version <= VERSION_4_9_3
  let text = ''
  for (const name of Object.keys(extFields).sort()) {
    if (name === SignatureField.SIGNATURE || (isOld && name === UNIQUE_KEY_QUERY_FIELD)) continue
    if (!added.includes(name)) text += extFields[name] as string
  }
  const hmac = createHmac('sha1', key).update(text, 'utf8')
  if (Buffer.isBuffer(body)) hmac.update(body)
  else if (body !== undefined) for (const part of body) hmac.update(part)
  return hmac.digest('base64')
}
