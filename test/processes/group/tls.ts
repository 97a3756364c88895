/** TLS for a group of tests: certificates from `test/vectors/tls`. */
import { silentLogger, systemClock } from '@dledger-ts/base'
import { NO_CLIENT_TLS, type Sockets, Tls } from '@dledger-ts/remoting'
import { join } from 'node:path'
import { REPOSITORY } from './fast-try.ts'

const vector = (name: string): string => join(REPOSITORY, 'test', 'vectors', 'tls', name)

/** Nothing is said or heard without TLS, and members know each other by certificates. */
export const ENFORCING: Readonly<Record<string, string>> = {
  'tls.server.mode': 'enforcing',
  'tls.server.keyPath': vector('server.key'),
  'tls.server.certPath': vector('server.pem'),
  'tls.server.trustCertPath': vector('authority.pem'),
  'tls.enable': 'true',
  'tls.client.authServer': 'true',
  'tls.client.trustCertPath': vector('authority.pem'),
}

/** The same, and clients show a certificate that the authority has signed. */
export const MUTUAL: Readonly<Record<string, string>> = {
  ...ENFORCING,
  'tls.server.need.client.auth': 'require',
  'tls.server.authClient': 'true',
}

export const AUTHORITY = vector('authority.pem')
export const CLIENT = { key: vector('client.key'), cert: vector('client.pem') }

/** What dials with TLS. */
export function tlsSockets(): Sockets {
  const client = {
    ...NO_CLIENT_TLS,
    'tls.enable': true,
    'tls.client.keyPath': CLIENT.key,
    'tls.client.certPath': CLIENT.cert,
  }
  return new Tls({ server: null, client, clock: systemClock, logger: silentLogger }).sockets
}
