/**
 * One side's certificates as files that may be replaced while the process runs.
 *
 * Keeps: what is in use was whole when it was read; files that cannot be used are told once, and the former ones stay.
 */
import { statSync } from 'node:fs'
import type { SecureContextOptions } from 'node:tls'
import type { Clock, Logger } from '@dledger-ts/base'
import { type PemPaths, type Pems, readPems } from './pem-files.ts'

const LOOK_EVERY_MS = 5_000

export class CertificateFiles {
  readonly #paths: PemPaths
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #listeners = new Set<(options: SecureContextOptions) => void>()
  /** Of the files that are in use. */
  #seen: string
  /** Of files that could not be used, and why: told once. */
  #toldOf = ''
  #pems: Pems
  #cancel: (() => void) | null = null

  /** @throws RemotingError `TLS_FILES` that names the key and the file. */
  constructor(paths: PemPaths, clock: Clock, logger: Logger) {
    this.#paths = paths
    this.#clock = clock
    this.#logger = logger
    this.#seen = this.#look()
    this.#pems = readPems(paths)
    this.#tellIfExpired()
  }

  get options(): SecureContextOptions {
    return this.#pems.options
  }

  /** Calls `listener` with what is to be used from now on. @returns a function that stops that. */
  onChange(listener: (options: SecureContextOptions) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Looks at the files from now on. */
  watch(): void {
    this.#cancel = this.#clock.after(LOOK_EVERY_MS, () => {
      this.#lookAgain()
      this.watch()
    })
  }

  close(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  /** Nothing that becomes of a file, or of who is told of it, ends the process. */
  #lookAgain(): void {
    const seen = this.#look()
    if (seen === this.#seen) {
      this.#toldOf = ''
      return
    }
    const { side, certPath } = this.#paths
    const before = this.#pems
    try {
      this.#pems = readPems(this.#paths)
      for (const listener of this.#listeners) listener(this.options)
    } catch (error) {
      this.#pems = before
      // A key that is there before its certificate, or a drive that fails for a while: a later look may take both.
      const what = `${seen} ${error instanceof Error ? error.message : String(error)}`
      if (what === this.#toldOf) return
      this.#toldOf = what
      this.#logger.error({ err: error }, 'new certificates cannot be used; the former ones stay')
      return
    }
    this.#seen = seen
    this.#toldOf = ''
    this.#logger.info({ side, certPath }, 'new certificates are in use')
    this.#tellIfExpired()
  }

  /** @returns what differs when a file was written, or another one put in its place; links are followed. */
  #look(): string {
    const { keyPath, certPath, trustCertPath } = this.#paths
    return [keyPath, certPath, trustCertPath].map(fingerprint).join()
  }

  #tellIfExpired(): void {
    const { validToMs } = this.#pems
    if (validToMs === null || validToMs > this.#clock.nowMs()) return
    const { certPath } = this.#paths
    this.#logger.error({ certPath, validTo: new Date(validToMs).toISOString() }, 'a certificate is no longer valid')
  }
}

function fingerprint(path: string): string {
  if (path === '') return ''
  try {
    const stat = statSync(path, { throwIfNoEntry: false, bigint: true })
    return stat === undefined ? 'none' : `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs}`
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
  }
}
