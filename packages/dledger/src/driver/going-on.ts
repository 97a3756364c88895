/**
 * A leader of an idle group commits a little more for a member that waits for it.
 *
 * Where the terms of lost entries are not known, which reach beyond what is committed, what is behind them may yet be committed, for
 * all that member can tell: only a log that ends further on takes the place of its own (install-receiver.ts). Where nobody appends
 * anything there is none, so the leader appends what changes nothing: that its log starts where it does.
 *
 * Keeps: one entry at a time, for a member that asks, while nothing else is under way; none on a full disk.
 */
import type { SegmentedLog } from '../log/segmented-log.ts'
import type { RoleState } from '../raft/output.ts'
import type { TrimProposals } from './trim-proposals.ts'

export interface GoingOnOptions {
  readonly log: Pick<SegmentedLog, 'firstIndex' | 'lastIndex' | 'isFull'>
  readonly role: () => Pick<RoleState, 'role' | 'ready'>
  readonly commitIndex: () => number
  readonly trimProposals: Pick<TrimProposals, 'propose'>
}

export class GoingOn {
  readonly #options: GoingOnOptions

  constructor(options: GoingOnOptions) {
    this.#options = options
  }

  /** A member has lost entries up to `lastIndex`, some of which were trimmed here. */
  lostUpTo(lastIndex: number): void {
    const { log, role, commitIndex, trimProposals } = this.#options
    const { role: name, ready } = role()
    if (name !== 'LEADER' || !ready || log.isFull) return
    if (lastIndex >= commitIndex() && log.lastIndex === commitIndex()) trimProposals.propose(log.firstIndex)
  }
}
