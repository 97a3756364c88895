/**
 * Registers that the simulated group replicates, and the clients that use them: what these saw is judged at the end by a search for
 * an order that explains it (test/history). It looks from outside only, so it also sees what no invariant was thought of for.
 *
 * An operation goes through the log as an ordinary proposal: it takes effect where its entry is applied, and is answered with what
 * the state machine of the asked member said there. One that was not answered stays open for ever.
 */
import type { EntryPlace } from '@dledger-ts/dledger/internals'
import {
  answerOf,
  checkRegisters,
  type RegisterInput,
  type RegisterOperation,
  type RegisterOutput,
} from '../history/register.ts'
import type { Cluster } from './cluster.ts'
import type { Member } from './member.ts'
import type { RegisterRequest } from './schedule.ts'
import type { ClientProposal, ProposalObserver } from './workload.ts'

interface Effect {
  readonly index: number
  readonly key: string
  readonly value: string | null
  readonly output: RegisterOutput
}

/** One member's registers. Every effect is kept, so the state at any index can be taken up again. */
export class RegisterMap {
  #effects: Effect[] = []
  readonly #values = new Map<string, string | null>()

  apply(index: number, input: RegisterInput): void {
    const { value, output } = answerOf(this.valueOf(input.key), input)
    this.#values.set(input.key, value)
    this.#effects.push({ index, key: input.key, value, output })
  }

  valueOf(key: string): string | null {
    return this.#values.get(key) ?? null
  }

  outputAt(index: number): RegisterOutput | undefined {
    return this.#effects.findLast((effect) => effect.index === index)?.output
  }

  /** As it was when the entry at `index` had been applied: what a checkpoint or a snapshot of that index holds. */
  asOf(index: number): RegisterMap {
    const copy = new RegisterMap()
    copy.#effects = this.#effects.filter((effect) => effect.index <= index)
    for (const { key, value } of copy.#effects) copy.#values.set(key, value)
    return copy
  }
}

export class RegisterClients {
  readonly history: RegisterOperation[] = []
  readonly #cluster: Cluster
  readonly #readsOwnState: boolean
  /** After every operation that anybody has applied: what a state that is handed over is cut from. */
  readonly #all = new RegisterMap()
  #appliedByAnybody = -1
  /** By key: the last value that a client learned. */
  readonly #known = new Map<string, string | null>()

  /** @param options `readsOwnState` plants a fault: a member that believes to lead answers reads from its own registers. */
  constructor(cluster: Cluster, options: { readonly readsOwnState: boolean }) {
    this.#cluster = cluster
    this.#readsOwnState = options.readsOwnState
  }

  use(member: Member, request: RegisterRequest): void {
    const key = `k${request.key}`
    const value = `v${this.history.length}`
    const { kind } = request
    const input: RegisterInput =
      kind === 'read'
        ? { kind, key }
        : kind === 'write'
          ? { kind, key, value }
          : { kind, key, expected: this.#known.get(key) ?? null, value }
    const place = this.history.length
    const invokedAt = this.#cluster.events.nowUs
    const client = `to ${member.name}`
    this.history.push({ client, input, output: undefined, invokedAt, answeredAt: Number.POSITIVE_INFINITY })
    if (this.#readsOwnState && kind === 'read' && member.role?.ready === true) {
      return this.#answered(place, { kind, value: member.registers.valueOf(key) })
    }
    const observer: ProposalObserver = {
      operation: input,
      committed: (at: EntryPlace) => this.#answered(place, member.registers.outputAt(at.index)),
      refused: () => {
        // It never takes effect: an open operation that changes nothing is no operation.
        this.history[place] = {
          client,
          input: { kind: 'read', key },
          output: undefined,
          invokedAt,
          answeredAt: Infinity,
        }
      },
    }
    this.#cluster.propose(member, request.bytes, observer)
  }

  /** The state after `index`, from which a member goes on that was given it. */
  restored(member: Member, index: number): void {
    member.registers = this.#all.asOf(index)
  }

  applied(member: Member, index: number, proposal: ClientProposal | null): void {
    const operation = proposal?.observer?.operation
    if (operation === undefined) return
    member.registers.apply(index, operation)
    if (index <= this.#appliedByAnybody) return
    this.#appliedByAnybody = index
    this.#all.apply(index, operation)
  }

  /** @returns what is wrong with what the clients saw, or null. */
  judge(): string | null {
    const violations = checkRegisters(this.history)
    return violations.length === 0 ? null : violations.join('\n')
  }

  #answered(place: number, output: RegisterOutput | undefined): void {
    const operation = this.history[place] as RegisterOperation
    if (output === undefined) return this.#cluster.violated('an operation was acknowledged before it was applied (20)')
    this.history[place] = { ...operation, output, answeredAt: this.#cluster.events.nowUs }
    const { input } = operation
    if (output.kind === 'read') this.#known.set(input.key, output.value)
    else if (input.kind !== 'read' && (output.kind === 'write' || output.swapped))
      this.#known.set(input.key, input.value)
  }
}
