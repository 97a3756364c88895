/**
 * Reads that wait for proof that this leader still led after they came (Ongaro §6.4).
 *
 * Keeps:
 *   - R16 a read is answered with the commit index of a round begun after it came, once a majority has answered that round or a
 *     later one; the leader was ready by then, so that everything committed before it is counted.
 *   - One round is under way for reads at a time; what comes meanwhile shares the next. Each read is answered once.
 */
import type { MemberState } from '../member-state.ts'
import type { MemberId } from '../messages.ts'

/** Reads that wait at one leader at most; more are refused with BUSY. Members ask once for many. */
const READS_MAX = 65_536

interface Read {
  /** Who asked; null for this member. */
  readonly from: MemberId | null
  readonly token: number
}

export class ReadRounds {
  readonly #state: MemberState
  #waiting: Read[] = []
  #asked: Read[] = []
  /** Of `#asked`. */
  #round = 0
  #index = -1

  constructor(state: MemberState) {
    this.#state = state
  }

  /** @returns false when there are too many. */
  add(from: MemberId | null, token: number): boolean {
    if (this.#waiting.length + this.#asked.length >= READS_MAX) return false
    this.#waiting.push({ from, token })
    return true
  }

  /** A round is to be begun for reads. */
  get isDue(): boolean {
    return this.#waiting.length > 0 && this.#asked.length === 0
  }

  begun(round: number): void {
    this.#asked = this.#waiting
    this.#waiting = []
    this.#round = round
    this.#index = this.#state.commitIndex
  }

  /** A majority has answered `round`. */
  confirmed(round: number): void {
    if (this.#asked.length === 0 || round < this.#round) return
    const asked = this.#asked
    this.#asked = []
    for (const read of asked) this.#answer(read, this.#index)
  }

  /** The leadership is over. */
  refuseAll(): void {
    for (const read of this.#asked) this.#answer(read, -1)
    for (const read of this.#waiting) this.#answer(read, -1)
    this.#asked = []
    this.#waiting = []
  }

  #answer({ from, token }: Read, index: number): void {
    const state = this.#state
    if (from === null) return state.outbox.read(token, index)
    const { self, storeId, term } = state
    state.send({ type: 'ReadIndexResponse', from: self, to: from, storeId, term, token, index })
  }
}
