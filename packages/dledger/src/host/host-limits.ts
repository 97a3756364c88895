/** Every bound of the connections that many groups share, by name. What happens at each bound stands beside it. */
import { DEFAULT_TRANSPORT_LIMITS, type TransportLimits } from '../transport/limits.ts'

export interface HostLimits extends TransportLimits {
  /** Groups of one node. A further one is not opened here; a peer that joins with more has its connection closed. */
  readonly groupsMax: number
  /** Payload bytes of one group that wait for one node. Messages beyond are dropped, unless nothing of the group waits. */
  readonly groupQueuedBytesMax: number
  /** Bytes handed to the data connection at once; the rest waits in the groups' queues, where turns are fair. */
  readonly handedBytesMax: number
}

const MIB = 1024 * 1024

export const DEFAULT_HOST_LIMITS: HostLimits = {
  ...DEFAULT_TRANSPORT_LIMITS,
  groupsMax: 4_096,
  groupQueuedBytesMax: 16 * MIB,
  handedBytesMax: 256 * 1024,
}
