/**
 * The state machine of a simulated member: counts and shows what is applied, and keeps a checkpoint as an embedder would.
 *
 * Keeps: its checkpoint, which survives every death, is at most what is applied and synced (raft.md e.9, 11).
 */
import type { CommittedEntry, RoleState, StateMachine } from '@dledger-ts/dledger/internals'

/** What is left of a state machine when its process dies. */
export interface Checkpoint {
  appliedIndex: number
}

export interface StateMachineOptions {
  readonly checkpoint: Checkpoint
  /** Without checkpoints everything is applied again after each start. */
  readonly keepsCheckpoints: boolean
  readonly applied: (entry: CommittedEntry) => void
  readonly roleChanged: (state: RoleState) => void
  readonly violated: (what: string) => void
}

export class SimStateMachine implements StateMachine {
  readonly #options: StateMachineOptions
  #appliedIndex: number
  #durableIndex = -1

  constructor(options: StateMachineOptions) {
    this.#options = options
    this.#appliedIndex = options.checkpoint.appliedIndex
  }

  get appliedIndex(): number {
    return this.#appliedIndex
  }

  get checkpointIndex(): number {
    return this.#options.keepsCheckpoints ? this.#options.checkpoint.appliedIndex : -1
  }

  discard(): void {
    this.#options.violated('a checkpoint was ahead of the log (11)')
    this.#appliedIndex = -1
    this.#options.checkpoint.appliedIndex = -1
  }

  apply(entries: readonly CommittedEntry[]): void {
    for (const entry of entries) {
      if (entry.index !== this.#appliedIndex + 1) {
        this.#options.violated(`entry ${entry.index} was applied after ${this.#appliedIndex} (5)`)
      }
      this.#appliedIndex = entry.index
      this.#options.applied(entry)
    }
    this.#checkpoint()
  }

  roleChanged(state: RoleState): void {
    this.#options.roleChanged(state)
  }

  durable(index: number): void {
    this.#durableIndex = index
    this.#checkpoint()
  }

  #checkpoint(): void {
    if (!this.#options.keepsCheckpoints) return
    this.#options.checkpoint.appliedIndex = Math.max(
      this.#options.checkpoint.appliedIndex,
      Math.min(this.#appliedIndex, this.#durableIndex),
    )
  }
}
