/**
 * Clients that ask a member up to which index they must read: the checks of linearizable and of bounded reads.
 *
 * Keeps (docs/invariants.md, sim 15 and 22): a linearizable read, under a lease or not, sees all that anybody was told before it began: every
 * acknowledged proposal, and what any read that was over by then saw. A bounded one sees all that was acknowledged so long
 * before it began, in true time. Each is told its outcome once, and what it may read is applied by then.
 */
import type { DLedgerError, ReadConsistency, ReadRequest } from '@dledger-ts/dledger/internals'

export interface ReadersOptions {
  readonly violated: (what: string) => void
  readonly nowUs: () => number
  readonly appliedIndexOf: (member: number) => number
}

export class ClientRead implements ReadRequest {
  readonly id: number
  readonly member: number
  readonly consistency: ReadConsistency
  readonly maxStalenessMs: number
  /** What it must see. */
  atLeast: number
  readonly begunAtUs: number
  outcome: 'pending' | 'served' | 'failed' | 'orphaned' = 'pending'
  readonly #readers: Readers

  constructor(readers: Readers, id: number, wish: Pick<ReadRequest, 'consistency' | 'maxStalenessMs'>, member: number) {
    this.#readers = readers
    this.id = id
    this.member = member
    this.consistency = wish.consistency
    this.maxStalenessMs = wish.maxStalenessMs
    this.atLeast = readers.highestSeen
    this.begunAtUs = readers.nowUs
  }

  done(index: number): void {
    this.#told('served')
    this.#readers.served(this, index)
  }

  failed(_error: DLedgerError): void {
    this.#told('failed')
  }

  /** The member died: nobody will tell. */
  orphan(): void {
    if (this.outcome === 'pending') this.outcome = 'orphaned'
  }

  #told(outcome: 'served' | 'failed'): void {
    if (this.outcome !== 'pending') this.#readers.violated(`read ${this.id} was told ${outcome} after ${this.outcome}`)
    this.outcome = outcome
  }
}

export class Readers {
  readonly reads: ClientRead[] = []
  /** The highest index that was acknowledged to anybody, or that a linearizable read saw. */
  highestSeen = -1
  readonly #options: ReadersOptions
  /** Rises of the highest acknowledged index. */
  #acknowledged: { readonly atUs: number; readonly index: number }[] = []

  constructor(options: ReadersOptions) {
    this.#options = options
  }

  get nowUs(): number {
    return this.#options.nowUs()
  }

  make(member: number, wish: Pick<ReadRequest, 'consistency' | 'maxStalenessMs'>): ClientRead {
    const read = new ClientRead(this, this.reads.length, wish, member)
    this.reads.push(read)
    return read
  }

  /** A proposal at `index` was acknowledged. */
  acknowledged(index: number): void {
    this.highestSeen = Math.max(this.highestSeen, index)
    if (index > (this.#acknowledged.at(-1)?.index ?? -1)) {
      this.#acknowledged.push({ atUs: this.#options.nowUs(), index })
    }
  }

  /** Committed entries from this index on are lost, within what ASYNC_FLUSH promises: nobody can see them any more. */
  lost(from: number): void {
    this.highestSeen = Math.min(this.highestSeen, from - 1)
    for (const read of this.reads) read.atLeast = Math.min(read.atLeast, from - 1)
    const kept = this.#acknowledged.filter((one) => one.index < from)
    const gone = this.#acknowledged.find((one) => one.index >= from)
    if (gone !== undefined) kept.push({ atUs: gone.atUs, index: from - 1 })
    this.#acknowledged = kept
  }

  died(member: number): void {
    for (const read of this.reads) if (read.member === member) read.orphan()
  }

  violated(what: string): void {
    this.#options.violated(what)
  }

  /** @param index what it may see. */
  served(read: ClientRead, index: number): void {
    const applied = this.#options.appliedIndexOf(read.member)
    if (index > applied)
      this.violated(`read ${read.id} may see ${index} on n${read.member}, which has applied ${applied}`)
    if (read.consistency === 'bounded') {
      const wanted = this.#acknowledgedBefore(read.begunAtUs - read.maxStalenessMs * 1000)
      if (index >= wanted) return
      this.violated(
        `n${read.member} let a read see ${index}; ${wanted} was acknowledged over ${read.maxStalenessMs} ms before it began (15)`,
      )
      return
    }
    if (index < read.atLeast) {
      this.violated(
        `n${read.member} let a ${read.consistency} read see ${index} though ${read.atLeast} was known before it began (15)`,
      )
    }
    this.highestSeen = Math.max(this.highestSeen, index)
  }

  #acknowledgedBefore(atUs: number): number {
    for (let i = this.#acknowledged.length - 1; i >= 0; i--) {
      const one = this.#acknowledged[i]
      if (one !== undefined && one.atUs < atUs) return one.index
    }
    return -1
  }
}
