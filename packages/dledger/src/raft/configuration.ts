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
}
export interface Configuration {
  readonly voters: readonly Member[]
}
