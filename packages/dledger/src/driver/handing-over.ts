/**
 * The leadership on its way to another member: who asked for it, and what waits meanwhile.
 *
 * Keeps: proposals wait while this leader hands over, and then until the next leader is known, an election timeout in all and no
 * longer. So they are refused naming the new leader, or proposed here when the transfer came to nothing. Whoever asked for a
 * transfer is told its outcome once.
 */
import type { Clock } from '@dledger-ts/base'
import { invalid } from '../config.ts'
import { DLedgerError } from '../errors.ts'
import type { MemberId } from '../raft/messages.ts'
import type { Raft } from '../raft/raft.ts'
import type { RoleState } from '../raft/output.ts'
import { tellEach } from './tell-each.ts'

/** Who asked for a transfer hears so many election timeouts after its beginning that no leader is known. */
const OUTCOME_ELECTION_TIMEOUTS = 4

/** Null: the other member leads. */
export type TransferCallback = (error: DLedgerError | null) => void

export interface HandingOverOptions {
  readonly clock: Clock
  readonly self: MemberId
  readonly electionTimeoutMs: number
  readonly raft: Raft
}

interface Wish {
  readonly target: MemberId | null
  readonly done: TransferCallback
}

export class HandingOver {
  readonly #options: HandingOverOptions
  /** Null while nothing is handed over. */
  #beganMs: number | null = null
  #wishes: Wish[] = []

  constructor(options: HandingOverOptions) {
    this.#options = options
  }

  /** Hands over to `target`, or to the best follower; a transfer to the same member that is under way already is shared. */
  transfer(target: MemberId | null, role: RoleState, done: TransferCallback): void {
    const { clock, raft } = this.#options
    const { role: now, transferTarget } = raft.status()
    let refusal: DLedgerError | null = null
    if (now !== 'LEADER') refusal = this.#notLeader(role)
    else if (transferTarget !== null && target !== null && target !== transferTarget) {
      refusal = invalid(`the leadership is already on its way to ${transferTarget}`)
    } else if (transferTarget === null && !raft.transferLeadership(target)) {
      refusal = invalid(
        target === null ? 'there is nobody to hand over to' : `${target} is no other voter of the group`,
      )
    }
    if (refusal === null) this.#wishes.push({ target, done })
    else {
      const error = refusal
      clock.defer(() => done(error))
    }
  }

  /** Asked in every pass, so that no beginning and no end is missed. @returns whether proposals wait. */
  waits(role: RoleState): boolean {
    const { clock, raft, electionTimeoutMs } = this.#options
    const isTransferring = raft.isTransferring
    if (!isTransferring && this.#beganMs === null && this.#wishes.length === 0) return false
    const nowMs = clock.monotonicMs()
    if (isTransferring) {
      this.#beganMs ??= nowMs
      return true
    }
    const waitedMs = nowMs - (this.#beganMs ?? Number.NEGATIVE_INFINITY)
    const isUndecided = role.role !== 'LEADER' && role.leader === null
    if (isUndecided && waitedMs < electionTimeoutMs) return true
    // The other is elected perhaps, and its first heartbeat on its way.
    if (isUndecided && waitedMs < OUTCOME_ELECTION_TIMEOUTS * electionTimeoutMs) return false
    this.#beganMs = null
    this.#tell((target) => this.#outcome(target, role))
    return false
  }

  /** The member stops: nobody here will learn what becomes of it. */
  abandon(error: DLedgerError): void {
    this.#tell(() => error)
  }

  #tell(outcome: (target: MemberId | null) => DLedgerError | null): void {
    const wishes = this.#wishes
    this.#wishes = []
    tellEach(wishes, ({ target, done }) => done(outcome(target)))
  }

  #outcome(target: MemberId | null, role: RoleState): DLedgerError | null {
    const { self } = this.#options
    if (role.leader !== null && role.leader !== self) {
      return target === null || role.leader === target ? null : this.#notLeader(role)
    }
    const who = role.leader === self ? `${self} goes on leading` : 'no leader is known'
    const nobody = target === null ? 'nobody took over' : `${target} did not take over`
    return new DLedgerError(`${nobody} in time; ${who}`, { code: 'TIMEOUT' })
  }

  #notLeader({ leader }: RoleState): DLedgerError {
    const text = `this member is not the leader${leader === null ? '; none is known' : `; ${leader} is`}`
    return new DLedgerError(text, { code: 'NOT_LEADER', leader })
  }
}
