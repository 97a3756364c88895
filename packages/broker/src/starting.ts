/** What is answered while the store opens, or is not to be served: not done, ask again, or another one. */
import { createResponse, type ProcessorTable, RequestCode, ResponseCode } from '@dledger-ts/remoting'

export function startingProcessors(remark = 'this broker is starting'): ProcessorTable {
  const refuse = () => createResponse(ResponseCode.SERVICE_NOT_AVAILABLE, remark)
  return new Map(Object.values(RequestCode).map((code) => [code, refuse]))
}
