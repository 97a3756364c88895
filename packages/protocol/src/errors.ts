/**
 * What can be wrong with bytes and texts of the stored format. All of it is bad input from outside: nothing here is retried.
 */
import { CodedError } from '@dledger-ts/base'

export type ProtocolErrorDetail =
  /** Fewer bytes than the record, batch body or id says it has. */
  | { code: 'TRUNCATED'; what: string; needed: number; present: number }
  /** The word at +4 is not the magic of a message record. */
  | { code: 'BAD_MAGIC'; magic: number }
  /** Lengths inside contradict each other. */
  | { code: 'BAD_LENGTH'; what: string; value: number }
  /** The body does not have the CRC-32 that the record states. */
  | { code: 'BAD_CRC'; stated: number; actual: number }
  /** A 64-bit value beyond 2^53, or a field outside its type. */
  | { code: 'NUMBER_OUT_OF_RANGE'; what: string }
  /** Longer than its field can say. */
  | { code: 'TOO_LARGE'; what: string; bytes: number; maxBytes: number }
  /** A text that cannot be parsed: an address, an id, a property, a delay level. */
  | { code: 'BAD_TEXT'; what: string; text: string }

export class ProtocolError extends CodedError<ProtocolErrorDetail> {}
