/** Certificates for tests, made once with OpenSSL: `test/vectors/tls`. */
import { fileURLToPath } from 'node:url'
import { NO_CLIENT_TLS, NO_SERVER_TLS, type TlsClientKeys, type TlsServerKeys } from '../tls/keys.ts'

export function vector(name: string): string {
  return fileURLToPath(new URL(`../../../../test/vectors/tls/${name}`, import.meta.url))
}

export function serverKeys(more: Partial<TlsServerKeys> = {}): TlsServerKeys {
  return {
    ...NO_SERVER_TLS,
    'tls.server.keyPath': vector('server.key'),
    'tls.server.certPath': vector('server.pem'),
    ...more,
  }
}

export function clientKeys(more: Partial<TlsClientKeys> = {}): TlsClientKeys {
  return { ...NO_CLIENT_TLS, 'tls.enable': true, ...more }
}
