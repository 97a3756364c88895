/**
 * What the core wants done, collected until `takeOutput`. The driver handles one output completely, in this order:
 *
 *   1. `hardState`: start making it durable; tell `hardStatePersisted()` when it is.
 *   2. `truncateFrom`, then `append`: hand to the log; tell `persisted(persistSeq)` when all of it is durable.
 *   3. `send`: at once. `sendAfterHardState`: after the newest hard state handed out is durable, in order.
 *   4. `coldReads`, `commitIndex`, `role`, `reads`.
 *   5. `becomesIntact`: sync what the log has, say in the hard state that this member is intact, then tell `intact()`.
 */
import type { Configuration } from './configuration.ts'
import type { LostEntries } from './lost-entries.ts'
import type { MemberId, Message } from './messages.ts'
import type { HandoverOptions } from './role/handover.ts'

export type Role = 'FOLLOWER' | 'PRE_CANDIDATE' | 'CANDIDATE' | 'LEADER'

export interface HardTermAndVote {
  readonly term: number
  readonly votedFor: MemberId | null
}
export interface RoleState {
  readonly role: Role
  readonly term: number
  readonly leader: MemberId | null
  /** A leader whose no-op is applied: it takes writes. Always false for others. */
  readonly ready: boolean
}
export interface AppendRange {
  readonly firstIndex: number
  readonly lastIndex: number
  readonly term: number
}
/** Entries that are no longer hot: the driver reads them and answers with `coldRead(peer, firstIndex, count, bytes)`. */
export interface ColdRead {
  readonly peer: MemberId
  readonly firstIndex: number
  /** Not beyond this index: the run of one term ends there. */
  readonly lastIndex: number
  readonly bytesMax: number
}
/** What became of a `readIndex(token)`. */
export interface ReadOutcome {
  readonly token: number
  /** A state with this applied is linearizable for the read; -1: refused, the leadership that was asked is over. */
  readonly index: number
}
export interface Output {
  readonly hardState: HardTermAndVote | null
  /** Remove this entry and all after it, before `append`. Always above commitIndex. */
  readonly truncateFrom: number | null
  readonly append: AppendRange | null
  /** Greater than 0 where `truncateFrom` or `append` is set; grows by each. */
  readonly persistSeq: number
  readonly send: readonly Message[]
  readonly sendAfterHardState: readonly Message[]
  readonly coldReads: readonly ColdRead[]
  readonly commitIndex: number
  /** Set when role, term, leader or ready changed. */
  readonly role: RoleState | null
  /** Each token once. */
  readonly reads: readonly ReadOutcome[]
  /** A recovering member has here again whatever it may have lost. */
  readonly becomesIntact: boolean
}

export type ProposalKind = 'data' | 'noop' | 'configuration' | 'trim'
export type ReadRefusal = 'NOT_LEADER' | 'NOT_READY' | 'BUSY'
export type Refusal = 'NOT_LEADER' | 'TRANSFERRING' | 'BUSY' | 'DISK_FULL' | 'NOT_READY'
export interface LogShape {
  /** Index of the first entry kept; firstIndex - 1 === lastIndex for an empty log. */
  readonly firstIndex: number
  readonly lastIndex: number
  /** Term of the entry before firstIndex; 0 when there never was one. */
  readonly prevTerm: number
  /** Ascending: from `firstIndex` of a run on, entries have `term`. */
  readonly termRuns: readonly { readonly firstIndex: number; readonly term: number }[]
  /** Entries of the log whose bytes are not good; left out: none. */
  readonly lost?: LostEntries
  /** Configuration entries in the log, ascending; before them the one that was in force where a trimmed log starts. */
  readonly configurations: readonly { readonly index: number; readonly configuration: Configuration }[]
}
export interface RaftOptions {
  readonly self: MemberId
  readonly selfStoreId: string
  /** Voters while the log holds no configuration entry. */
  readonly bootstrapVoters: readonly MemberId[]
  /** This store neither votes nor stands before a configuration names it by its identity. Default false. */
  readonly mustBeNamed?: boolean
  /** An entry has named this store, in this log or in what was lost of it. Default false. */
  readonly wasNamed?: boolean
  /** Under which store each peer was heard first, from earlier lives; counts for members that the log does not bind. */
  readonly knownStores?: ReadonlyMap<MemberId, string>
  readonly heartbeatTicks: number
  /** The least election timeout; the timeout is drawn from [electionTicks, 2 * electionTicks] by `random`. */
  readonly electionTicks: number
  readonly random: { below(bound: number): number }
  /** When a leader hands over unasked. */
  readonly handover: HandoverOptions
  /** Bytes in flight to one peer at most (one append always goes). */
  readonly inflightBytesMax: number
  /** Bytes of one AppendEntries at most (one entry always goes). */
  readonly appendBytesMax: number
  /** Proposals beyond this many uncommitted bytes are refused with BUSY. */
  readonly uncommittedBytesMax: number
  /** The caller says when followers are told of a commit that no entries carry (`tellCommit`); else they are at once. Default false. */
  readonly tellsCommitWhenAsked?: boolean
  /** Bytes of newest entries whose sizes the core keeps (and whose bytes the driver keeps); older ones are read cold. */
  readonly hotBytesMax: number
  /**
   * Leaders may read under a lease: a voter keeps its promise not to vote for another whatever happens to its term, its
   * connections and its process. Equal in the whole group. Default false.
   */
  readonly leaseReads?: boolean
  /** Restored from disk. */
  readonly hardState: HardTermAndVote
  /** Counts the openings of the directory. */
  readonly incarnation?: number
  /** It may have lost what it acknowledged before a sync (raft/role/recovery.ts). Default false. */
  readonly recovering?: boolean
  readonly log: LogShape
  /** Known committed and applied already (from a checkpoint), or -1. */
  readonly appliedIndex: number
  /** Known committed beyond that: the log was installed. Left out: what is applied. */
  readonly commitIndex?: number
}
