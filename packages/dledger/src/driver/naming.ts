/**
 * Remembers beside the log that the group has taken this store in.
 *
 * A store that joins, or that takes another's place, votes only once an entry has named it. Under asynchronous flush a power cut may
 * take that entry away again, on every member that had it in the page cache only; the group then waits for the votes of all, this
 * store's among them, and would wait for ever if it did not know itself any more.
 *
 * Keeps:
 *   N1  no entry is acknowledged from the one that names this store on before the hard state says that one did. A leader makes a
 *       voter of a member only when that has acknowledged the entry that names it, so every voter knows.
 *
 * What is remembered is of the store, not of the member: it is void as soon as this goes on as another store. Granting is safe
 * without a name in the log: whose votes count is for the candidate's configuration to say, and a vote is given once in a term,
 * to a log that goes as far as the one here.
 */
import type { Raft } from '../raft/raft.ts'
import type { OpenedMember } from './open-member.ts'

export interface NamingOptions {
  readonly member: OpenedMember
  readonly raft: () => Raft
  /** What was written under this number counts as durable. */
  readonly tell: (seq: number) => void
  readonly onFailed: (error: Error) => void
}

export class Naming {
  readonly #options: NamingOptions
  #isUnderWay = false
  /** The newest that waits; 0 for none. */
  #heldSeq = 0

  constructor(options: NamingOptions) {
    this.#options = options
  }

  /** Everything written up to this number is durable. Hot, but for a store that was just taken in. */
  durable(seq: number): void {
    const { raft, tell, member } = this.#options
    const { namedAs, storeId } = member.hardState
    if (!this.#isUnderWay && (namedAs === storeId || !raft().isBound)) return tell(seq)
    this.#heldSeq = seq
    if (!this.#isUnderWay) this.#remember(storeId)
  }

  #remember(namedAs: string): void {
    const { member, tell, onFailed } = this.#options
    this.#isUnderWay = true
    member.writeHardState({ namedAs }, (error) => {
      this.#isUnderWay = false
      if (error !== null) return onFailed(error)
      tell(this.#heldSeq)
    })
  }
}
