/** What producers and consumers are given alike, with its defaults and its checks. */
import { type Clock, type Logger, type Random, silentLogger, systemClock, systemRandom } from '@dledger-ts/base'
import { groupNameError } from '@dledger-ts/protocol'
import { type Credentials, RemotingError, Tls, type TlsClientKeys } from '@dledger-ts/remoting'
import { check, ClientError } from './errors.ts'
import { parseNamesrvAddresses } from './route/namesrv.ts'

export interface ClientOptions {
  /** The producer's or the consumers' group. */
  readonly group: string
  /** `host:port`, several separated by `;`. */
  readonly namesrvAddress: string
  /** Tells this client from others of the process; the default is drawn. */
  readonly instanceName?: string
  /** What every request is signed with, for brokers that ask who sends it. */
  readonly credentials?: Credentials
  /** With TLS: `true` for no check of the brokers' certificates. Default: plain. */
  readonly tls?: boolean | ClientTls
  readonly clock?: Clock
  readonly random?: Random
  readonly logger?: Logger
}

/** Files in PEM format. They may be replaced while the client runs. */
export interface ClientTls {
  /** Whether certificates of brokers and name servers are checked: by `trustCertPath`, or else by public authorities. Default false. */
  readonly authServer?: boolean
  readonly trustCertPath?: string
  /** Shown to servers that ask for it. */
  readonly certPath?: string
  readonly keyPath?: string
  readonly keyPassword?: string
}

export interface CommonSettings {
  readonly group: string
  readonly namesrvAddresses: readonly string[]
  readonly instanceName: string | null
  readonly credentials: Credentials | null
  readonly tls: Tls
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/** @throws ClientError `INVALID`. */
export function commonSettings(options: ClientOptions): CommonSettings {
  const error = groupNameError(options.group)
  check(error === undefined, error ?? '')
  const { clock = systemClock, logger = silentLogger } = options
  return {
    group: options.group,
    namesrvAddresses: parseNamesrvAddresses(options.namesrvAddress),
    instanceName: options.instanceName ?? null,
    credentials: checkedCredentials(options.credentials),
    tls: tlsOf(options.tls ?? false, clock, logger),
    clock,
    random: options.random ?? systemRandom,
    logger,
  }
}

function tlsOf(given: boolean | ClientTls, clock: Clock, logger: Logger): Tls {
  const files = typeof given === 'boolean' ? {} : given
  const client: TlsClientKeys = {
    'tls.enable': given !== false,
    'tls.client.authServer': files.authServer ?? false,
    'tls.client.trustCertPath': files.trustCertPath ?? '',
    'tls.client.certPath': files.certPath ?? '',
    'tls.client.keyPath': files.keyPath ?? '',
    'tls.client.keyPassword': files.keyPassword ?? '',
  }
  try {
    return new Tls({ server: null, client, clock, logger })
  } catch (error) {
    if (!(error instanceof RemotingError)) throw error
    throw new ClientError(error.message, { code: 'INVALID', what: error.message }, { cause: error })
  }
}

function checkedCredentials(credentials: Credentials | undefined): Credentials | null {
  if (credentials === undefined) return null
  const { accessKey, secretKey } = credentials
  check(accessKey !== '' && secretKey !== '', 'credentials have an accessKey and a secretKey')
  return credentials
}

/** @throws ClientError `INVALID` unless `value` is a whole number in the range. */
export function wholeNumber(
  value: number,
  name: string,
  range: { readonly min: number; readonly max: number },
): number {
  const { min, max } = range
  check(Number.isSafeInteger(value) && value >= min && value <= max, `${name} is ${value}, not from ${min} to ${max}`)
  return value
}
