/** The errors of the client. The table with what is known about the outcome, and whether to try again, is in this package's README. */
import { CodedError } from '@dledger-ts/base'

export type ClientErrorDetail =
  /** An argument or a setting that cannot be used; nothing was sent. */
  | { readonly code: 'INVALID'; readonly what: string }
  /** The producer or consumer is not started, or is closed; nothing was sent. */
  | { readonly code: 'CLOSED' }
  /** Too many sends wait already; this one was not sent. */
  | { readonly code: 'BUSY'; readonly pendingMax: number }
  /** No namesrv knows the topic, and it would not be created; nothing was sent. */
  | { readonly code: 'NO_ROUTE'; readonly topic: string }
  /** A broker answered with a code that means failure. Code 1 may hide a message that was stored after all. */
  | { readonly code: 'REFUSED'; readonly responseCode: number; readonly remark: string; readonly address: string }
  /** Every attempt lost its connection or its answer: the message may or may not be stored. */
  | { readonly code: 'CONNECTION_LOST'; readonly address: string }
  /** The time for it ran out, in an attempt (the outcome is unknown) or in waiting for a leader; see `cause`. */
  | { readonly code: 'TIMEOUT'; readonly timeoutMs: number }
  /** No namesrv answered. */
  | { readonly code: 'NAMESRV_UNREACHABLE'; readonly addresses: readonly string[] }

export class ClientError extends CodedError<ClientErrorDetail> {}

/** @throws ClientError `INVALID` naming `what` when `condition` is false. */
export function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new ClientError(what, { code: 'INVALID', what })
}

export function closedError(): ClientError {
  return new ClientError('it is closed, or was not started', { code: 'CLOSED' })
}
