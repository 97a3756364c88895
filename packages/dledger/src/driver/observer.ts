/**
 * What a driver tells those who watch it. It changes nothing: an observer that throws stops the member like any other bug.
 *
 * Each is called at most once for a batch, never for an entry.
 */
import type { MemberId } from '../raft/messages.ts'
import type { RoleState } from '../raft/output.ts'

export interface NodeObserver {
  /** A batch has got its place in this member's log: its own proposals, or entries of its leader. */
  appended(firstIndex: number, count: number, bytes: number, term: number): void
  /** A batch leaves for `peer`. */
  replicated(peer: MemberId, firstIndex: number, count: number, bytes: number): void
  /** The log is synced up to `index`; the sync took so many milliseconds. */
  synced(index: number, tookMs: number): void
  /** Role, term, leader or readiness changed. */
  elected(role: RoleState): void
  peerChanged(peer: MemberId, connected: boolean): void
}
