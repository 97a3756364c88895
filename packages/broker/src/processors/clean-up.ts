/**
 * What Apache's tools ask to be cleaned at once: CLEAN_EXPIRED_CONSUMEQUEUE (306), CLEAN_UNUSED_TOPIC (316) and
 * DELETE_EXPIRED_COMMITLOG (329, `mqadmin deleteExpiredCommitLog`).
 *
 * The first two have nothing to do here, and say that it is done: queue files below a minimum go with the checkpoint that says so, and no
 * queue outlives its topic. The third lets log files that are old enough (`fileReservedTime`) go outside the hours of `deleteWhen`.
 *
 * Source: AdminBrokerProcessor, DefaultMessageStore.CleanCommitLogService.
 */
import { createResponse, RequestCode, ResponseCode } from '@dledger-ts/remoting'
import type { BrokerContext } from '../context.ts'
import type { Processor } from './registry.ts'

export function cleanUpProcessors({ store }: BrokerContext): [number, Processor][] {
  const isDone: Processor = { served: 'here', handle: () => createResponse(ResponseCode.SUCCESS) }
  return [
    [RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE, isDone],
    [RequestCode.CLEAN_UNUSED_TOPIC, isDone],
    [
      RequestCode.DELETE_EXPIRED_COMMITLOG,
      {
        served: 'leader',
        handle: () => {
          store.forgetExpired()
          return createResponse(ResponseCode.SUCCESS)
        },
      },
    ],
  ]
}
