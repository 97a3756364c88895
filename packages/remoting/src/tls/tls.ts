/**
 * TLS of one process: what its keys say, as sockets.
 *
 * Keeps: where nothing is configured these are plain TCP's own, at no cost.
 */
import { isIP, type Socket } from 'node:net'
import { connect, type ConnectionOptions } from 'node:tls'
import type { Clock, Logger } from '@dledger-ts/base'
import type { SocketAddress } from '../address.ts'
import { type Sockets, tcpSockets } from '../sockets.ts'
import { CertificateFiles } from './certificate-files.ts'
import { Door, type DoorLimits, type DoorOptions } from './door.ts'
import type { TlsClientKeys, TlsServerKeys } from './keys.ts'
import { badFile, type PemPaths } from './pem-files.ts'
import { selfSigned } from './self-signed.ts'

const KEEP_ALIVE_DELAY_MS = 10_000

export interface TlsOptions {
  /** Null: nothing is listened on with TLS. */
  readonly server: TlsServerKeys | null
  /** Null: nothing is dialed with TLS. */
  readonly client: TlsClientKeys | null
  readonly clock: Clock
  readonly logger: Logger
  readonly limits?: Partial<DoorLimits>
}

type Certificates = DoorOptions['certificates']

export class Tls {
  /** For clients, name servers and brokers. */
  readonly sockets: Sockets
  /** For the members of a group among each other: who shows no certificate is not let in where certificates are checked at all. */
  readonly memberSockets: Sockets
  readonly #files: CertificateFiles[] = []

  /** @throws RemotingError `TLS_FILES` that names the key and the file. */
  constructor(options: TlsOptions) {
    const { clock, logger, limits, server, client } = options
    const certificates = server === null ? null : this.#ofServer(server, clock, logger)
    const dial = client?.['tls.enable'] === true ? this.#dialer(client, server, clock, logger) : tcpSockets.connect
    const doorway = (accepts: Pick<DoorOptions, 'clientCertificate' | 'isChecked'>): Sockets => {
      if (server === null || certificates === null) return { connect: dial, createServer: tcpSockets.createServer }
      const isEnforcing = server['tls.server.mode'] === 'enforcing'
      const common = {
        certificates,
        isEnforcing,
        clock,
        logger,
        ...accepts,
        limits: { handshakesPerSecond: server['tls.server.handshakesPerSecond'], ...limits },
      }
      return { connect: dial, createServer: (accepted) => new Door({ ...common, accepted }) }
    }
    const clientCertificate = server?.['tls.server.need.client.auth'] ?? 'none'
    this.sockets = doorway({ clientCertificate, isChecked: server?.['tls.server.authClient'] === true })
    const membersAreChecked = (server?.['tls.server.trustCertPath'] ?? '') !== ''
    this.memberSockets = doorway({
      clientCertificate: membersAreChecked ? 'require' : 'none',
      isChecked: membersAreChecked,
    })
  }

  /** Takes certificates that change on disk from now on. */
  start(): void {
    for (const files of this.#files) files.watch()
  }

  close(): void {
    for (const files of this.#files) files.close()
  }

  /** @returns null where only plain connections are taken. */
  #ofServer(keys: TlsServerKeys, clock: Clock, logger: Logger): Certificates | null {
    const mode = keys['tls.server.mode']
    if (mode === 'disabled') return null
    const paths = serverPaths(keys)
    if (paths.certPath !== '' || paths.keyPath !== '') return this.#watched(paths, clock, logger)
    if (keys['tls.test.mode.enable']) {
      logger.warn({}, 'tls.test.mode.enable: the certificate is made up, and nobody can check it')
      return { options: selfSigned(clock.nowMs()), onChange: () => () => {} }
    }
    if (mode === 'enforcing') {
      throw badFile('tls.server.certPath', '', 'tls.server.mode=enforcing needs it, and tls.server.keyPath')
    }
    return null
  }

  #dialer(keys: TlsClientKeys, server: TlsServerKeys | null, clock: Clock, logger: Logger): Sockets['connect'] {
    const files = this.#watched(clientPaths(keys, server), clock, logger)
    const isChecked = keys['tls.client.authServer']
    const isPrivate = keys['tls.client.trustCertPath'] !== ''
    return (address) => dialed(address, { ...files.options, ...checks(isChecked, isPrivate) })
  }

  #watched(paths: PemPaths, clock: Clock, logger: Logger): CertificateFiles {
    const files = new CertificateFiles(paths, clock, logger)
    this.#files.push(files)
    return files
  }
}

/**
 * Where authorities of one's own are trusted whoever they signed for is; where public ones are, the name that was dialed counts,
 * for anybody gets a certificate from them.
 */
function checks(isChecked: boolean, isPrivate: boolean): ConnectionOptions {
  if (!isChecked) return { rejectUnauthorized: false }
  return { rejectUnauthorized: true, ...(isPrivate ? { checkServerIdentity: () => undefined } : {}) }
}

function dialed({ host, port }: SocketAddress, options: ConnectionOptions): Socket {
  const name = isIP(host) === 0 ? { servername: host } : {}
  const socket = connect({ host, port, ...name, ...options })
  socket.setNoDelay(true)
  socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS)
  return socket
}

function serverPaths(keys: TlsServerKeys): PemPaths {
  return {
    side: 'tls.server',
    keyPath: keys['tls.server.keyPath'],
    keyPassword: keys['tls.server.keyPassword'],
    certPath: keys['tls.server.certPath'],
    trustCertPath: keys['tls.server.trustCertPath'],
  }
}

/** A server that has no certificate of its own as a client shows that of the server. */
function clientPaths(keys: TlsClientKeys, server: TlsServerKeys | null): PemPaths {
  const trustCertPath = keys['tls.client.trustCertPath']
  const own: PemPaths = {
    side: 'tls.client',
    keyPath: keys['tls.client.keyPath'],
    keyPassword: keys['tls.client.keyPassword'],
    certPath: keys['tls.client.certPath'],
    trustCertPath,
  }
  return server === null || own.certPath !== '' || own.keyPath !== ''
    ? own
    : { ...serverPaths(server), trustSide: 'tls.client', trustCertPath }
}
