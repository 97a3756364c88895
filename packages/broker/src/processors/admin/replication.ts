/**
 * How far the other members are: GET_BROKER_HA_STATUS (907). The leader is the master, and knows of all; another member knows where it is itself.
 *
 * Source: AdminBrokerProcessor, HARuntimeInfo.
 */
import {
  createResponse,
  encodeHaOfMaster,
  encodeHaOfSlave,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import type { BrokerContext } from '../../context.ts'
import { decodeAdvertised } from '../../forwarding/advertised.ts'
import type { Processor } from '../registry.ts'

export function replicationProcessors({ store }: BrokerContext): [number, Processor][] {
  async function status(): Promise<RemotingCommand> {
    const { maxPhysicalOffset, leaderAddress } = store.status()
    if (!store.isReady()) {
      const master = decodeAdvertised(leaderAddress ?? '')?.address ?? ''
      return createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeHaOfSlave(master, maxPhysicalOffset))
    }
    const connections = (await store.replicas()).map(({ id, advertised, inSync, physicalEnd }) => ({
      addr: decodeAdvertised(advertised ?? '')?.address ?? id,
      slaveAckOffset: physicalEnd ?? 0,
      diff: maxPhysicalOffset - (physicalEnd ?? 0),
      inSync,
    }))
    const body = encodeHaOfMaster(maxPhysicalOffset, connections)
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
  }

  return [[RequestCode.GET_BROKER_HA_STATUS, { served: 'here', handle: status }]]
}
