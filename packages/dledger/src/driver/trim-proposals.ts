/**
 * What this member, as the leader, proposes to be forgotten.
 *
 * Keeps: no entry is proposed to be forgotten that somebody can get from the members' logs only.
 */
import type { Raft } from '../raft/raft.ts'
import type { RoleState } from '../raft/output.ts'
import type { StateMachine } from '../state-machine.ts'
import { canBeHandedOver } from './install-sender.ts'
import type { Proposing } from './proposing.ts'
import { encodeTrim } from './trimming.ts'

export interface TrimProposalsOptions {
  readonly raft: Raft
  readonly proposing: Proposing
  readonly stateMachine: StateMachine | null
  readonly role: () => RoleState
  readonly schedulePass: () => void
}

export class TrimProposals {
  readonly #options: TrimProposalsOptions

  constructor(options: TrimProposalsOptions) {
    this.#options = options
  }

  /** From where on the log must stay: a state that cannot be handed over must be built from entries, by every member. */
  get neededFrom(): number {
    const { raft, stateMachine } = this.#options
    // Entries that a member has lost it gets from the others' logs alone: it is not behind, so nothing is installed there.
    if (raft.someoneHasLost()) return 0
    if (stateMachine === null || canBeHandedOver(stateMachine)) return Number.POSITIVE_INFINITY
    return raft.matchedByAll() + 1
  }

  /** @returns whether it was proposed that entries below `before` are forgotten: this member leads and takes entries now. */
  propose(before: number): boolean {
    const { proposing, role, schedulePass } = this.#options
    const mayPropose = role().role === 'LEADER' && proposing.canPlace
    if (!mayPropose || !proposing.proposeControl('trim', encodeTrim(before))) return false
    schedulePass()
    return true
  }
}
