/** What a core says of itself, for people and for the simulator. A snapshot: it does not change afterwards. */
import type { MemberId } from './messages.ts'
import type { Role } from './output.ts'
import type { ProgressState } from './progress.ts'

export interface PeerStatus {
  readonly id: MemberId
  readonly isVoter: boolean
  /** Of a member that was removed, until it knows. */
  readonly isLeaving: boolean
  readonly state: ProgressState
  readonly matchIndex: number
  readonly nextIndex: number
  readonly inflightBytes: number
  readonly ticksSinceHeard: number
  /** Bits of `StorageHealth`; -1 until it has answered a heartbeat of this leadership. */
  readonly health: number
  readonly recovering: boolean
}

export interface RaftStatus {
  readonly self: MemberId
  readonly role: Role
  readonly term: number
  readonly votedFor: MemberId | null
  readonly leader: MemberId | null
  readonly ready: boolean
  /** It may lack what it acknowledged, and neither counts nor votes as others do. */
  readonly recovering: boolean
  readonly firstIndex: number
  readonly lastIndex: number
  readonly lastTerm: number
  readonly durableIndex: number
  readonly commitIndex: number
  readonly appliedIndex: number
  /** First entry whose size is kept. */
  readonly hotFirstIndex: number
  readonly hotBytes: number
  /** Of the configuration entry in force; -1 while the bootstrap configuration counts. */
  readonly configurationIndex: number
  readonly transferTarget: MemberId | null
  /** Of this member's own storage: bits of `StorageHealth`. */
  readonly storageHealth: number
  /** Messages that made no sense, or came from strangers. */
  readonly ignoredMessages: number
  /** Messages of a member whose store is not the one bound in the configuration. */
  readonly refusedIdentities: number
  /** Leader only. */
  readonly peers: readonly PeerStatus[]
}
