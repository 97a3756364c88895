/** What the processors of a namesrv work on. */
import type { Clock, Logger } from '@dledger-ts/base'
import { createResponse, type Processor, type RemotingCommand, ResponseCode } from '@dledger-ts/remoting'
import type { KeyValueTable } from '../key-value-table.ts'
import type { RouteTable } from '../route-table.ts'

export interface NamesrvContext {
  routes: RouteTable
  keyValues: KeyValueTable
  clock: Clock
  logger: Logger
  /** Serve `orderTopicConf` with routes. */
  orderMessageEnable: boolean
  /** Answer registrations with the order settings of all topics. */
  returnOrderTopicConfigToBroker: boolean
  /** What GET_NAMESRV_CONFIG shows. */
  shownConfig: () => Record<string, string | number | boolean>
  /** Puts changed keys where the next start reads them. */
  saveConfig: (changes: ReadonlyMap<string, string>) => Promise<void>
}

export type ProcessorEntry = readonly [code: number, processor: Processor]

/** @returns an answer with code 0. */
export function success(body?: Buffer): RemotingCommand {
  return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
}
