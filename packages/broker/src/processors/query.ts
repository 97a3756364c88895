/**
 * Single messages: VIEW_MESSAGE_BY_ID (33) by their place in the log, QUERY_MESSAGE (12) by key.
 *
 * A query is answered with the newest messages, oldest of them first, as Apache's broker does; what clients make of one key in several
 * messages depends on that order. The key itself is compared here already.
 *
 * Source: QueryMessageProcessor, DefaultMessageStore.queryMessage.
 */
import { recordTopic } from '@dledger-ts/protocol'
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
import { busy } from '../refusal.ts'
import { UNTAKEN_BYTES_MAX } from './pull.ts'
import type { Processor } from './registry.ts'

/** How clients mark a query by unique id. */
const UNIQUE_KEY_QUERY = 'true'

export function queryProcessors({ store, config, access }: BrokerContext): [number, Processor][] {
  async function viewMessage(connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { offset } = ViewMessageRequest.decode(request.extFields)
    const record = offset < 0 ? undefined : await store.messageAt(offset)
    if (record === undefined) {
      return createResponse(ResponseCode.SYSTEM_ERROR, `can not find message by the offset, ${offset}`)
    }
    const message = { topic: recordTopic(record), action: 'read', group: null } as const
    const refusal = access.refusalOfMessage(connection, request, message)
    return refusal ?? createResponse(ResponseCode.SUCCESS, undefined, undefined, record)
  }

  async function queryMessage(connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    if (connection.unwrittenBytes > UNTAKEN_BYTES_MAX) {
      const { code, remark } = busy(request.version)
      return createResponse(code, remark)
    }
    const { topic, key, maxNum, beginTimestamp, endTimestamp, uniqueKeyQuery } = QueryMessageRequest.decode(
      request.extFields,
    )
    const uniqueKeyOnly = uniqueKeyQuery === UNIQUE_KEY_QUERY
    const maxCount = Math.min(uniqueKeyOnly ? config.defaultQueryMaxNum : maxNum, config.maxMsgsNumBatch)
    const times = { beginTime: beginTimestamp, endTime: endTimestamp }
    const result = maxCount < 1 ? null : await store.query({ topic, key, maxCount, ...times, uniqueKeyOnly })
    if (result === null || result.records.length === 0) {
      const nothing = { indexLastUpdateTimestamp: 0, indexLastUpdatePhyoffset: 0 }
      const remark = 'can not find message, maybe time range not correct'
      return QueryMessageResponse.response(ResponseCode.QUERY_NOT_FOUND, nothing, remark)
    }
    const last = {
      indexLastUpdateTimestamp: result.lastStoreTimestamp,
      indexLastUpdatePhyoffset: result.lastPhysicalOffset,
    }
    // Not put together: of many queries at once that would keep everything else waiting.
    const body = result.records.toReversed()
    return createResponse(ResponseCode.SUCCESS, undefined, QueryMessageResponse.encode(last), body)
  }

  return [
    [RequestCode.VIEW_MESSAGE_BY_ID, { served: 'here', whileRebuilding: true, handle: viewMessage }],
    [RequestCode.QUERY_MESSAGE, { served: 'here', handle: queryMessage }],
  ]
}
