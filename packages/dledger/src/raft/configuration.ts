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
export interface Configuration {
  readonly voters: readonly Member[]
  readonly learners: readonly Learner[]
}
