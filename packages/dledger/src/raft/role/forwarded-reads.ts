/**
 * Reads for which this member has asked the leader and waits for the answer.
 *
 * Keeps: each token completes once: by its answer, or refused when that leader is no longer followed. What is lost on the way
 * is given up by the driver.
 */
import type { MemberState } from '../member-state.ts'
import type { MemberId, ReadIndexResponse } from '../messages.ts'

/** Questions under way at most; more are refused with BUSY. The driver asks once for many reads. */
const FORWARDED_MAX = 4_096

export class ForwardedReads {
  readonly #state: MemberState
  readonly #tokens = new Set<number>()
  #leader: MemberId | null = null

  constructor(state: MemberState) {
    this.#state = state
  }

  /** @returns false when there are too many. */
  ask(leader: MemberId, token: number): boolean {
    this.follow(leader)
    if (this.#tokens.size >= FORWARDED_MAX) return false
    this.#tokens.add(token)
    const { self, storeId, term } = this.#state
    this.#state.send({ type: 'ReadIndex', from: self, to: leader, storeId, term, token })
    return true
  }

  answered({ from, token, index }: ReadIndexResponse): void {
    if (from === this.#leader && this.#tokens.delete(token)) this.#state.outbox.read(token, index)
  }

  forget(token: number): void {
    this.#tokens.delete(token)
  }

  /** Whom this member follows now: nobody else is waited for. */
  follow(leader: MemberId | null): void {
    if (leader === this.#leader) return
    this.#leader = leader
    for (const token of this.#tokens) this.#state.outbox.read(token, -1)
    this.#tokens.clear()
  }
}
