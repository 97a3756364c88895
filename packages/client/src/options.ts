/** What producers and consumers are given alike, with its defaults and its checks. */
import { type Clock, type Logger, type Random, silentLogger, systemClock, systemRandom } from '@dledger-ts/base'
import { groupNameError } from '@dledger-ts/protocol'
import { check } from './errors.ts'
import { parseNamesrvAddresses } from './route/namesrv.ts'

export interface ClientOptions {
  /** The producer's or the consumers' group. */
  readonly group: string
  /** `host:port`, several separated by `;`. */
  readonly namesrvAddress: string
  /** Tells this client from others of the process; the default is drawn. */
  readonly instanceName?: string
  readonly clock?: Clock
  readonly random?: Random
  readonly logger?: Logger
}

export interface CommonSettings {
  readonly group: string
  readonly namesrvAddresses: readonly string[]
  readonly instanceName: string | null
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
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    logger: options.logger ?? silentLogger,
  }
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
