/** What a driver says of itself. */
import type { ScrubProgress } from '../log/scrubber.ts'
import type { FormerMaster, Learner, Member } from '../raft/configuration.ts'
import type { MemberId } from '../raft/messages.ts'
import type { RoleState } from '../raft/output.ts'
import type { PeerStatus } from './members.ts'
import type { StorageState } from './storage-watch.ts'

export interface NodeStatus extends RoleState {
  readonly self: MemberId
  readonly group: string
  readonly storeId: string
  readonly firstIndex: number
  readonly lastIndex: number
  readonly commitIndex: number
  readonly appliedIndex: number
  /** A state received from another member is being taken in: nothing is applied meanwhile. */
  readonly restoring: boolean
  /** It may lack what it acknowledged before a power cut, and does not count until a leader has made it whole. */
  readonly recovering: boolean
  /** How old the state that is applied here may be at most, in milliseconds; null while that is not known. */
  readonly stalenessMs: number | null
  /** Bytes of entries held in memory: the newest `hotBytesMax`, and what is not durable or not committed yet. */
  readonly hotBytes: number
  readonly peers: readonly PeerStatus[]
  readonly storage: StorageState
  /** Entries whose bytes are damaged here, ascending: they are not served until they are repaired from a peer. */
  readonly lost: readonly { readonly firstIndex: number; readonly lastIndex: number; readonly pos: number }[]
  readonly scrub: ScrubProgress
  /** The newest configuration in this member's log, with the store identities that it binds. */
  readonly voters: readonly Member[]
  readonly learners: readonly Learner[]
  /** Masters before the present one, oldest first, where one was made by hand; else none. */
  readonly formers: readonly FormerMaster[]
}
