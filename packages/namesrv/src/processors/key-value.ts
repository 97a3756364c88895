/** Settings by namespace and key. */
import {
  createResponse,
  DeleteKvConfigRequest,
  encodeKvTable,
  GetKvConfigRequest,
  GetKvConfigResponse,
  GetKvListRequest,
  PutKvConfigRequest,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { type NamesrvContext, type ProcessorEntry, success } from './context.ts'

export function keyValueProcessors(context: NamesrvContext): ProcessorEntry[] {
  return [
    [RequestCode.PUT_KV_CONFIG, (_, request) => put(context, request)],
    [RequestCode.GET_KV_CONFIG, (_, request) => get(context, request)],
    [RequestCode.DELETE_KV_CONFIG, (_, request) => remove(context, request)],
    [RequestCode.GET_KVLIST_BY_NAMESPACE, (_, request) => list(context, request)],
  ]
}

function put(context: NamesrvContext, request: RemotingCommand): RemotingCommand {
  const { namespace, key, value } = PutKvConfigRequest.decode(request.extFields)
  if (context.keyValues.put(namespace, key, value)) return success()
  return createResponse(ResponseCode.SYSTEM_ERROR, 'the table of settings is full')
}

function get(context: NamesrvContext, request: RemotingCommand): RemotingCommand {
  const { namespace, key } = GetKvConfigRequest.decode(request.extFields)
  const value = context.keyValues.get(namespace, key)
  if (value !== undefined) return GetKvConfigResponse.response(ResponseCode.SUCCESS, { value })
  return createResponse(ResponseCode.QUERY_NOT_FOUND, `No config item, Namespace: ${namespace} Key: ${key}`)
}

function remove(context: NamesrvContext, request: RemotingCommand): RemotingCommand {
  const { namespace, key } = DeleteKvConfigRequest.decode(request.extFields)
  context.keyValues.delete(namespace, key)
  return success()
}

function list(context: NamesrvContext, request: RemotingCommand): RemotingCommand {
  const { namespace } = GetKvListRequest.decode(request.extFields)
  const table = context.keyValues.list(namespace)
  if (table !== undefined) return success(encodeKvTable(table))
  return createResponse(ResponseCode.QUERY_NOT_FOUND, `No config item, Namespace: ${namespace}`)
}
