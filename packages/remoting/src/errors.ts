/**
 * What can go wrong on the wire. The table in README.md says for each whether the outcome of a request is known.
 */
import { CodedError } from '@dledger-ts/base'

export type RemotingErrorDetail =
  /** Bytes that are no frame: lengths that contradict each other, a header that cannot be parsed. Closes that connection. */
  | { code: 'MALFORMED_FRAME'; reason: string }
  /** A frame longer than the limit: one that came closes its connection, a request that would be one is not sent. */
  | { code: 'FRAME_TOO_LARGE'; bytes: number; maxBytes: number }
  /** A required header field is missing, or a field is not of its type. */
  | { code: 'BAD_HEADER'; requestCode: number; field: string; reason: string }
  /** A body that is not what its request or response code says. */
  | { code: 'BAD_BODY'; what: string }
  /** No connection could be made: the request was never sent. */
  | { code: 'CONNECT_FAILED'; address: string }
  /** The connection ended while a request waited: whether it was executed is unknown. */
  | { code: 'CONNECTION_LOST'; address: string }
  /** No answer in time: whether the request was executed is unknown. */
  | { code: 'TIMEOUT'; address: string; timeoutMs: number }
  /** Too many requests wait on this connection already: this one was not sent. */
  | { code: 'BUSY'; address: string; pendingMax: number }
  /** The client is closed. Whether a request that waited was executed is unknown; a later one was not sent. */
  | { code: 'CLOSED' }
  /** A port cannot be listened on. */
  | { code: 'LISTEN_FAILED'; host: string; port: number }
  /** A file for TLS that cannot be used, or is missing: `key` of the configuration names it. */
  | { code: 'TLS_FILES'; key: string; path: string }

export class RemotingError extends CodedError<RemotingErrorDetail> {}

export function malformedFrame(reason: string, cause?: unknown): RemotingError {
  return new RemotingError(`malformed frame: ${reason}`, { code: 'MALFORMED_FRAME', reason }, { cause })
}

export function badBody(what: string, cause?: unknown): RemotingError {
  return new RemotingError(`bad body: ${what}`, { code: 'BAD_BODY', what }, { cause })
}
