/** What is answered while the store opens: not done, ask again. */
import { createResponse, type ProcessorTable, RequestCode, ResponseCode } from '@dledger-ts/remoting'

export function startingProcessors(): ProcessorTable {
  const refuse = () => createResponse(ResponseCode.SERVICE_NOT_AVAILABLE, 'this broker is starting')
  return new Map(Object.values(RequestCode).map((code) => [code, refuse]))
}
