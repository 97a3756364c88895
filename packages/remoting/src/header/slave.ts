/** What a broker that copies another asks of it; ours alone, for Apache's slaves ask on a port and by a protocol of their own. */
import { RequestCode } from '../codes.ts'
import { header, type HeaderOf, int64, optional, string } from './header.ts'

/**
 * Where the log of a copy stands, to the broker that is taken for its master. With `haAddress` it asks to be let in; without, only how the
 * two logs are to each other.
 */
export const JoinAsSlaveRequest = header(RequestCode.JOIN_AS_SLAVE, {
  brokerName: string,
  memberId: string,
  storeId: string,
  /** The master whose log it has; left out where it has nothing. */
  masterStore: optional(string),
  lastIndex: int64,
  lastTerm: int64,
  /** As far as it knows. */
  commitIndex: int64,
  commitTerm: int64,
  haAddress: optional(string),
  /** Where brokers have credentials among each other; see `JoinSeal` of the broker. */
  nonce: optional(string),
  seal: optional(string),
})
export type JoinAsSlaveRequest = HeaderOf<typeof JoinAsSlaveRequest>

/**
 * `verdict`: FITS (it is let in, if it asked), PARTED (it goes its own way after `lastIndex`), AHEAD (its own master has lost what it has),
 * FOREIGN (nothing is known of its master), REPLACED (its store led itself, up to `lastIndex`, before the one that answers).
 */
export const JoinAsSlaveResponse = header(RequestCode.JOIN_AS_SLAVE, {
  verdict: string,
  lastIndex: int64,
  memberId: string,
  storeId: string,
  haAddress: string,
  seal: optional(string),
})
export type JoinAsSlaveResponse = HeaderOf<typeof JoinAsSlaveResponse>
