/**
 * Queue locks of ordered consumers: LOCK_BATCH_MQ (41), UNLOCK_BATCH_MQ (42). The locks are facts of the log.
 *
 * Source: AdminBrokerProcessor.lockBatchMQ.
 */
import {
  type Connection,
  createResponse,
  decodeLockBatchRequest,
  encodeLockBatchResponse,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import type { BrokerContext } from '../context.ts'
import type { Processor } from './registry.ts'

export function lockProcessors({ config, store }: BrokerContext): [number, Processor][] {
  async function lock(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { consumerGroup, clientId, mqSet } = decodeLockBatchRequest(request.bodyBytes)
    const locked = await store.lockQueues(consumerGroup, clientId, mqSet)
    const queues = locked.map(({ topic, queueId }) => ({ brokerName: config.brokerName, queueId, topic }))
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeLockBatchResponse(queues))
  }

  async function unlock(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { consumerGroup, clientId, mqSet } = decodeLockBatchRequest(request.bodyBytes)
    await store.unlockQueues(consumerGroup, clientId, mqSet)
    return createResponse(ResponseCode.SUCCESS)
  }

  return [
    [RequestCode.LOCK_BATCH_MQ, { served: 'leader', handle: lock }],
    [RequestCode.UNLOCK_BATCH_MQ, { served: 'leader', handle: unlock }],
  ]
}
