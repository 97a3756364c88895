/**
 * Proposals that have a place in the log and wait for it to be committed and applied.
 *
 * Keeps: indexes ascend; each proposal is told its outcome exactly once and then forgotten. Timeouts are one span for all,
 * so the oldest always expires first and no timer per proposal is needed.
 */
import { assert } from '@dledger-ts/base'
import { DLedgerError } from '../errors.ts'
import type { EntryPlace, Proposal } from '../state-machine.ts'
import { tellEach } from './tell-each.ts'

class Pending implements EntryPlace {
  readonly index: number
  readonly term: number
  readonly pos: number
  readonly deadlineMs: number
  proposal: Proposal | null

  constructor(index: number, term: number, pos: number, deadlineMs: number, proposal: Proposal) {
    this.index = index
    this.term = term
    this.pos = pos
    this.deadlineMs = deadlineMs
    this.proposal = proposal
  }
}

export class PendingProposals {
  #queue: Pending[] = []
  #head = 0
  /** Entries before this place have expired already, though they are not committed yet. */
  #expired = 0

  get count(): number {
    return this.#queue.length - this.#head
  }

  add(index: number, term: number, pos: number, deadlineMs: number, proposal: Proposal): EntryPlace {
    const last = this.#queue.at(-1)
    assert(last === undefined || last.index < index, 'pending proposals are in log order')
    const pending = new Pending(index, term, pos, deadlineMs, proposal)
    this.#queue.push(pending)
    return pending
  }

  /** Completes everything up to `index`, which is applied. */
  applied(index: number): void {
    while (this.#head < this.#queue.length) {
      const pending = this.#queue[this.#head] as Pending
      if (pending.index > index) break
      this.#head++
      const proposal = pending.proposal
      pending.proposal = null
      proposal?.committed(pending)
    }
    this.#compact()
  }

  /** Fails with TIMEOUT what has waited past its deadline; the entries stay in the log, their outcome is unknown. */
  expire(nowMs: number): void {
    if (this.#expired < this.#head) this.#expired = this.#head
    while (this.#expired < this.#queue.length) {
      const pending = this.#queue[this.#expired] as Pending
      if (pending.deadlineMs > nowMs) return
      this.#expired++
      this.#fail(pending, 'was not committed in time; it may still be')
    }
  }

  /** The leadership is gone: nobody here will learn what becomes of the rest. */
  abandon(why: string): void {
    const rest = this.#queue.slice(this.#head)
    this.#queue = []
    this.#head = 0
    this.#expired = 0
    tellEach(rest, (pending) => this.#fail(pending, why))
  }

  #fail(pending: Pending, why: string): void {
    const proposal = pending.proposal
    pending.proposal = null
    proposal?.failed(new DLedgerError(`entry ${pending.index} of term ${pending.term} ${why}`, { code: 'TIMEOUT' }))
  }

  #compact(): void {
    if (this.#head === this.#queue.length) {
      this.#queue = []
      this.#head = 0
      this.#expired = 0
    } else if (this.#head > 4096 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head)
      this.#expired = Math.max(0, this.#expired - this.#head)
      this.#head = 0
    }
  }
}
