/**
 * Who is a member. A member is its id and its store identity; an identity is null until an entry of the log binds it.
 *
 * The peers of the configuration file bootstrap an empty group only; afterwards the log's newest configuration entry counts,
 * from the moment it is appended, and is rolled back with it when truncated (Ongaro §4.1).
 */
import type { MemberId } from './messages.ts'

export interface Member {
  readonly id: MemberId
  readonly storeId: string | null
  /** Where the transport reaches it, e.g. `host:port`; null: as the options of this member say. */
  readonly address: string | null
}
/** Is replicated to, and counts neither for commit nor in elections. */
export interface Learner extends Member {
  /** Becomes a voter as soon as it has caught up. */
  readonly promote: boolean
}
/** A master before this one: the log here goes on from its log, whatever that store has beyond `lastIndex`. */
export interface FormerMaster {
  readonly storeId: string
  /** The last entry of its log that is in this one. */
  readonly lastIndex: number
}
export interface Configuration {
  readonly voters: readonly Member[]
  readonly learners: readonly Learner[]
  /**
   * A copy of a lone voter's log was made a master by hand: those before it, oldest first. Whoever is one of them, or follows one, is
   * outdated. Left out: nobody was; always in a group that elects.
   */
  readonly formers?: readonly FormerMaster[]
}
