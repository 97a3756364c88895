/**
 * What becomes of the store's errors on the wire. Clients decide by the code whether to retry, so each has its reason:
 *
 *   14  certainly not stored; ask again, or ask another broker: no leader, shutting down, disk full, too busy for old clients, or the log is
 *       being applied again and what was asked for is not known yet (a consumer keeps its offset, and pulls again after 3 s)
 *    1  it may be stored: no majority in time, or the leadership went while waiting
 *    2  too busy; only clients newer than 4.9 retry it
 *   13  the message itself cannot be stored
 *
 * 10, 11 and 12 count as stored in all clients, so they are never answered here.
 */
import { ResponseCode } from '@dledger-ts/remoting'
import type { StoreError } from '@dledger-ts/store'

/** 4.9.8, the last version whose clients do not retry SYSTEM_BUSY. */
const LAST_VERSION_WITHOUT_BUSY_RETRY = 409

export interface Refusal {
  readonly code: number
  readonly remark: string
}

export function refusalOf(error: StoreError, clientVersion: number): Refusal {
  switch (error.detail.code) {
    case 'NOT_LEADER':
      return { code: ResponseCode.SERVICE_NOT_AVAILABLE, remark: `this broker does not lead: ${error.message}` }
    case 'CLOSED':
    case 'OUTDATED':
      return { code: ResponseCode.SERVICE_NOT_AVAILABLE, remark: 'this broker is shutting down' }
    case 'DISK_FULL':
      return { code: ResponseCode.SERVICE_NOT_AVAILABLE, remark: 'the disk of this broker group is full' }
    case 'REBUILDING':
      return rebuilding(error.message)
    case 'BUSY':
      return busy(clientVersion)
    case 'TIMEOUT':
      return {
        code: ResponseCode.SYSTEM_ERROR,
        remark: 'not known whether it is stored: no majority confirmed it in time',
      }
    case 'TOO_LARGE':
    case 'INVALID':
      return { code: ResponseCode.MESSAGE_ILLEGAL, remark: `the message is illegal: ${error.message}` }
    case 'CORRUPT':
    case 'UNSUPPORTED':
    case 'STORAGE_FAILED':
      return { code: ResponseCode.SYSTEM_ERROR, remark: error.message }
  }
}

/** Of a broker whose store applies its log again. */
export function rebuilding(remark = 'this broker is applying its log again and does not know that yet'): Refusal {
  return { code: ResponseCode.SERVICE_NOT_AVAILABLE, remark }
}

export function busy(clientVersion: number): Refusal {
  return {
    code:
      clientVersion > LAST_VERSION_WITHOUT_BUSY_RETRY ? ResponseCode.SYSTEM_BUSY : ResponseCode.SERVICE_NOT_AVAILABLE,
    remark: '[OVERLOAD]system busy, start flow control for a while',
  }
}
