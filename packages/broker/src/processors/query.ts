/**
 * Single messages: VIEW_MESSAGE_BY_ID (33) by their place in the log, QUERY_MESSAGE (12) by key.
 *
 * There is no key index yet, so a query by key finds nothing and says so in the way that clients understand.
 *
 * Source: QueryMessageProcessor.
 */
import {
  type Connection,
  createResponse,
  QueryMessageRequest,
  QueryMessageResponse,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  ViewMessageRequest,
} from '@dledger-ts/remoting'
import type { BrokerContext } from '../context.ts'
import type { Processor } from './registry.ts'

export function queryProcessors({ store }: BrokerContext): [number, Processor][] {
  async function viewMessage(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { offset } = ViewMessageRequest.decode(request.extFields)
    const record = offset < 0 ? undefined : await store.messageAt(offset)
    return record === undefined
      ? createResponse(ResponseCode.SYSTEM_ERROR, `can not find message by the offset, ${offset}`)
      : createResponse(ResponseCode.SUCCESS, undefined, undefined, record)
  }

  function queryMessage(_connection: Connection, request: RemotingCommand): RemotingCommand {
    QueryMessageRequest.decode(request.extFields)
    const nothing = { indexLastUpdateTimestamp: 0, indexLastUpdatePhyoffset: 0 }
    const remark = 'can not find message, maybe time range not correct'
    return QueryMessageResponse.response(ResponseCode.QUERY_NOT_FOUND, nothing, remark)
  }

  return [
    [RequestCode.VIEW_MESSAGE_BY_ID, { served: 'here', handle: viewMessage }],
    [RequestCode.QUERY_MESSAGE, { served: 'here', handle: queryMessage }],
  ]
}
