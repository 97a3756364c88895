/** What producers and consumers are given alike, with its defaults and its checks. */
import { type Clock, type Logger, type Random, silentLogger, systemClock, systemRandom } from '@dledger-ts/base'
import { groupNameError } from '@dledger-ts/protocol'
import type { Credentials } from '@dledger-ts/remoting'
import { check } from './errors.ts'
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
  readonly clock?: Clock
  readonly random?: Random
  readonly logger?: Logger
}

export interface CommonSettings {
  readonly group: string
  readonly namesrvAddresses: readonly string[]
  readonly instanceName: string | null
  readonly credentials: Credentials | null
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/** @throws ClientError `INVALID`. */
export function commonSettings(options: ClientOptions): CommonSettings {
  const error = groupNameError(options.group)
  check(error === undefined, error ?? '')
  return {
    group: options.group,
    namesrvAddresses: parseNamesrvAddresses(options.namesrvAddress),
    instanceName: options.instanceName ?? null,
    credentials: checkedCredentials(options.credentials),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    logger: options.logger ?? silentLogger,
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
