/** The end of a transaction, told by its producer, and the broker's question for it. */
import { RequestCode } from '../codes.ts'
import { boolean, defaulted, header, type HeaderOf, int32, int64, named, optional, string } from './header.ts'

/**
 * Ends the half message whose record starts at `commitLogOffset` and is number `tranStateTableOffset` of the half queue.
 * `commitOrRollback` is 8 (commit), 12 (rollback) or 0 (the producer does not know). Java sends it one-way; answered by a code alone.
 */
export const EndTransactionRequest = header(RequestCode.END_TRANSACTION, {
  topic: optional(string),
  producerGroup: string,
  tranStateTableOffset: int64,
  commitLogOffset: int64,
  commitOrRollback: int32,
  /** It answers a CHECK_TRANSACTION_STATE. */
  fromTransactionCheck: defaulted(boolean, false),
  /** The unique id of the message. */
  msgId: optional(string),
  transactionId: optional(string),
  brokerName: named('bname', optional(string)),
})
export type EndTransactionRequest = HeaderOf<typeof EndTransactionRequest>

/** Broker to producer, one-way: what became of this half message? The body is its record, in its real topic and queue. */
export const CheckTransactionStateRequest = header(RequestCode.CHECK_TRANSACTION_STATE, {
  /** The half topic. */
  topic: optional(string),
  tranStateTableOffset: int64,
  commitLogOffset: int64,
  /** The unique id of the message. */
  msgId: optional(string),
  transactionId: optional(string),
  offsetMsgId: optional(string),
  brokerName: named('bname', optional(string)),
})
export type CheckTransactionStateRequest = HeaderOf<typeof CheckTransactionStateRequest>
