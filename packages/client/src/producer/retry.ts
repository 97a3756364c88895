/**
 * What a failed attempt to send means for the next one. Pure.
 *
 *   again       counts; is sent once more, to another broker or after the route was fetched again
 *   leaderless  nothing was stored, because nobody leads there: does not count, the time alone is the limit
 *   final       another attempt would fail in the same way
 */
import { ResponseCode, type RemotingError } from '@dledger-ts/remoting'

export type Verdict = 'again' | 'leaderless' | 'final'

const AGAIN: readonly number[] = [
  ResponseCode.SYSTEM_ERROR,
  ResponseCode.SYSTEM_BUSY,
  ResponseCode.NO_PERMISSION,
  ResponseCode.TOPIC_NOT_EXIST,
  ResponseCode.NO_BUYER_ID,
  ResponseCode.NOT_IN_CURRENT_UNIT,
]

export function verdictOnResponse(code: number): Verdict {
  if (code === ResponseCode.SERVICE_NOT_AVAILABLE || code === ResponseCode.GO_AWAY) return 'leaderless'
  return AGAIN.includes(code) ? 'again' : 'final'
}

export function verdictOnError(error: RemotingError): Verdict {
  switch (error.code) {
    case 'CONNECT_FAILED':
      return 'leaderless'
    case 'CONNECTION_LOST':
    case 'TIMEOUT':
    case 'MALFORMED_FRAME':
    case 'FRAME_TOO_LARGE':
      return 'again'
    default:
      return 'final'
  }
}
