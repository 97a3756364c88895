/**
 * UPDATE_BROKER_CONFIG (25): keys of this member's configuration changed while it runs.
 *
 * Keeps: what is answered 0 counts, and is in the configuration file where the program has one. Each member has its own: a tool changes each.
 *
 * Source: AdminBrokerProcessor.updateBrokerConfig.
 */
import {
  type Connection,
  createResponse,
  decodeProperties,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { ConfigError } from '../config/config.ts'
import type { ConfigChanges, RunningConfig } from '../config/running-config.ts'
import type { BrokerContext } from '../context.ts'
import type { Processor } from './registry.ts'

/** Apache's default of the key of that name. */
const CONFIG_BLACK_LIST = ['configBlackList', 'brokerConfigPath']

/** Puts changed keys where the next start reads them. */
export type SaveConfig = (changes: ReadonlyMap<string, string>) => Promise<void>

export interface ConfigChangeOptions {
  readonly running: RunningConfig
  readonly save: SaveConfig
  readonly changed: (changes: ConfigChanges) => void
}

export function configChangeProcessors(
  { logger }: Pick<BrokerContext, 'logger'>,
  { running, save, changed }: ConfigChangeOptions,
): [number, Processor][] {
  /** One after another: each writes the whole file. */
  let last: Promise<unknown> = Promise.resolve()

  function updateConfig(connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const own = last.then(() => update(connection, request))
    last = own.catch(() => undefined)
    return own
  }

  async function update(connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const wanted = decodeProperties(request.bodyBytes)
    if (CONFIG_BLACK_LIST.some((key) => wanted.has(key))) {
      return createResponse(ResponseCode.NO_PERMISSION, 'Can not update config in black list.')
    }
    let changes: ConfigChanges
    try {
      changes = running.changes(wanted)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      return createResponse(ResponseCode.INVALID_PARAMETER, error.message)
    }
    if (changes.size === 0) return createResponse(ResponseCode.SUCCESS)
    const texts = new Map([...changes].map(([key, value]) => [key, String(value)]))
    try {
      await save(texts)
    } catch (error) {
      logger.error({ err: error }, 'the configuration file was not changed')
      const remark = `nothing is changed: the configuration file cannot be written: ${(error as Error).message}`
      return createResponse(ResponseCode.SYSTEM_ERROR, remark)
    }
    running.change(changes)
    logger.info({ changes: Object.fromEntries(texts), by: connection.remoteAddress }, 'configuration changed')
    changed(changes)
    return createResponse(ResponseCode.SUCCESS)
  }

  return [[RequestCode.UPDATE_BROKER_CONFIG, { served: 'here', handle: updateConfig }]]
}
