/**
 * What this member has counted: VIEW_BROKER_STATS_DATA (315). The names are in statistics/broker-statistics.ts.
 *
 * Source: AdminBrokerProcessor.
 */
import {
  type Connection,
  createResponse,
  encodeBrokerStatsData,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  ViewBrokerStatsRequest,
} from '@dledger-ts/remoting'
import type { BrokerContext } from '../../context.ts'
import type { Processor } from '../registry.ts'

export function statisticsProcessors({ statistics }: BrokerContext): [number, Processor][] {
  function view(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const { statsName, statsKey } = ViewBrokerStatsRequest.decode(request.extFields)
    const data = statistics.view(statsName, statsKey)
    if (data === undefined) {
      return createResponse(ResponseCode.SYSTEM_ERROR, `The stats <${statsName}> <${statsKey}> not exist`)
    }
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeBrokerStatsData(data))
  }

  return [[RequestCode.VIEW_BROKER_STATS_DATA, { served: 'here', handle: view }]]
}
