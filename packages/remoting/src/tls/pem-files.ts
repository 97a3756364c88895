/**
 * Reads one side's key, certificate chain and trusted certificates.
 *
 * Keeps: what it gives OpenSSL takes; what is wrong names the key of the configuration and the file.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import { RemotingError } from '../errors.ts'

/** Apache's clients, also on Java 8, know it; what is older is broken. */
const MIN_VERSION = 'TLSv1.2'
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/** Empty where there is none. */
export interface PemPaths {
  /** The beginning of the keys that name these files: errors name them. */
  readonly side: 'tls.server' | 'tls.client'
  readonly keyPath: string
  readonly keyPassword: string
  readonly certPath: string
  /** Where it is not that of the others: a server that dials may show the certificate that it has as a server. */
  readonly trustSide?: 'tls.client'
  readonly trustCertPath: string
}

export interface Pems {
  readonly options: SecureContextOptions
  /** When the first of the certificates that are shown is no longer valid; null: none is shown. */
  readonly validToMs: number | null
}

/** @throws RemotingError `TLS_FILES` that names the key and the file. */
export function readPems(paths: PemPaths): Pems {
  const { side, keyPath, keyPassword, certPath, trustCertPath } = paths
  if ((keyPath === '') !== (certPath === '')) {
    const [given, missing] = keyPath === '' ? ['certPath', 'keyPath'] : ['keyPath', 'certPath']
    const path = keyPath === '' ? certPath : keyPath
    throw badFile(`${side}.${given}`, path, `it counts only with ${side}.${missing}, which is missing`)
  }
  let options: SecureContextOptions = { minVersion: MIN_VERSION }
  let validToMs: number | null = null
  if (keyPath !== '') {
    const keyText = read(`${side}.keyPath`, keyPath)
    const key = privateKey(paths, keyText)
    const chainText = read(`${side}.certPath`, certPath)
    const chain = certificates(`${side}.certPath`, certPath, chainText)
    const [first] = chain as [X509Certificate, ...X509Certificate[]]
    if (!first.checkPrivateKey(key)) {
      throw badFile(`${side}.certPath`, certPath, `its first certificate is not for the key in ${keyPath}`)
    }
    validToMs = Math.min(...chain.map((each) => Date.parse(each.validTo)))
    options = { ...options, key: keyText, cert: chainText, ...(keyPassword === '' ? {} : { passphrase: keyPassword }) }
  }
  if (trustCertPath !== '') {
    const trustKey = `${paths.trustSide ?? side}.trustCertPath`
    const text = read(trustKey, trustCertPath)
    certificates(trustKey, trustCertPath, text)
    options = { ...options, ca: text }
  }
  try {
    // What OpenSSL does not take for another reason, a key that is too short by today's measure for one.
    createSecureContext(options)
  } catch (cause) {
    throw badFile(`${side}.certPath`, certPath, messageOf(cause), cause)
  }
  return { options, validToMs }
}

function read(key: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw badFile(key, path, `it cannot be read: ${messageOf(cause)}`, cause)
  }
}

function privateKey({ side, keyPath, keyPassword }: PemPaths, text: string): KeyObject {
  try {
    return createPrivateKey(keyPassword === '' ? text : { key: text, passphrase: keyPassword })
  } catch (cause) {
    if (!/ENCRYPTED/.test(text)) throw badFile(`${side}.keyPath`, keyPath, 'it has no private key in PEM format', cause)
    const what = keyPassword === '' ? 'is missing' : 'does not open it'
    throw badFile(`${side}.keyPath`, keyPath, `it is encrypted, and ${side}.keyPassword ${what}`, cause)
  }
}

/** @returns at least one. */
function certificates(key: string, path: string, text: string): X509Certificate[] {
  const blocks = text.match(PEM_CERTIFICATE) ?? []
  if (blocks.length === 0) throw badFile(key, path, 'it has no certificate in PEM format')
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block)
    } catch (cause) {
      throw badFile(key, path, `certificate ${i + 1} of it is none: ${messageOf(cause)}`, cause)
    }
  })
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

export function badFile(key: string, path: string, why: string, cause?: unknown): RemotingError {
  return new RemotingError(`${key}=${path}: ${why}`, { code: 'TLS_FILES', key, path }, { cause })
}
