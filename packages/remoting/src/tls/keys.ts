/**
 * What TLS is configured with: the names are those of Apache's keys, so an error names what the operator has written.
 */

/** Of what is listened on. */
export interface TlsServerKeys {
  /** What is taken on a port: `disabled` plain connections only, `enforcing` TLS only, `permissive` both. */
  readonly 'tls.server.mode': 'disabled' | 'permissive' | 'enforcing'
  /** Empty where there is none; so are all paths. */
  readonly 'tls.server.keyPath': string
  readonly 'tls.server.keyPassword': string
  readonly 'tls.server.certPath': string
  readonly 'tls.server.trustCertPath': string
  /** Whether clients are asked for a certificate: no, yes, or not let in without one. */
  readonly 'tls.server.need.client.auth': 'none' | 'optional' | 'require'
  /** Whether a certificate that a client shows must be signed by one in `trustCertPath`. */
  readonly 'tls.server.authClient': boolean
  /** Handshakes that begin on each port; more wait. Apache has no such key. */
  readonly 'tls.server.handshakesPerSecond': number
  /** Without a certificate, one is made at the start that nobody can check. */
  readonly 'tls.test.mode.enable': boolean
}

/** Of what is dialed. */
export interface TlsClientKeys {
  readonly 'tls.enable': boolean
  readonly 'tls.client.keyPath': string
  readonly 'tls.client.keyPassword': string
  readonly 'tls.client.certPath': string
  readonly 'tls.client.trustCertPath': string
  /** Whether the server's certificate must be signed by one in `trustCertPath`, or where that is empty by a public authority. */
  readonly 'tls.client.authServer': boolean
}

export const NO_SERVER_TLS: TlsServerKeys = {
  'tls.server.mode': 'permissive',
  'tls.server.keyPath': '',
  'tls.server.keyPassword': '',
  'tls.server.certPath': '',
  'tls.server.trustCertPath': '',
  'tls.server.need.client.auth': 'none',
  'tls.server.authClient': false,
  'tls.server.handshakesPerSecond': 250,
  'tls.test.mode.enable': false,
}

export const NO_CLIENT_TLS: TlsClientKeys = {
  'tls.enable': false,
  'tls.client.keyPath': '',
  'tls.client.keyPassword': '',
  'tls.client.certPath': '',
  'tls.client.trustCertPath': '',
  'tls.client.authServer': false,
}
