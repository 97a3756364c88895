/**
 * A master and the slaves that copy its log, as the store's embedder sees them: where each stands, who is let in, whom to follow.
 *
 * Keeps: nothing is decided here; whether a copy may follow a master is for who has both standings.
 */
import { type DLedger, DLedgerError, type Learner } from '@dledger-ts/dledger'
import { storeErrorOf } from './log-errors.ts'

/** Where a copy of a log stands. */
export interface CopyStanding {
  readonly id: string
  readonly storeId: string
  /** The store of the master whose log this is, or goes on from; null while it holds nothing. */
  readonly masterStore: string | null
  /** -1: it holds nothing. */
  readonly lastIndex: number
  readonly lastTerm: number
  /** What it can never give up again; as far as it knows. */
  readonly commitIndex: number
  readonly commitTerm: number
  /** One of the terms is a likely one only: that part of the log is damaged. */
  readonly isGuessed: boolean
}

/** Where the log of a master came from, and what is in it. */
export interface MasterStanding {
  readonly storeId: string
  readonly lastIndex: number
  /** Masters before it, oldest first, and up to where this log is theirs. */
  readonly formers: readonly { readonly storeId: string; readonly lastIndex: number }[]
  /** -1 where that is not known. */
  termAt(index: number): number
  /** What `termAt` says there is a likely term only: that part of the log is damaged. */
  isGuessed(index: number): boolean
}

export class Copies {
  readonly #log: DLedger

  constructor(log: DLedger) {
    this.#log = log
  }

  standing(): CopyStanding {
    const { self, storeId, voters, lastIndex, commitIndex } = this.#log.status()
    const termAt = (index: number): number => Math.max(0, this.#log.termAt(index))
    return {
      id: self,
      storeId,
      masterStore: voters[0]?.storeId ?? null,
      lastIndex,
      lastTerm: termAt(lastIndex),
      commitIndex,
      commitTerm: termAt(commitIndex),
      isGuessed: this.#log.isTermGuessed(lastIndex) || this.#log.isTermGuessed(commitIndex),
    }
  }

  masterStanding(): MasterStanding {
    const { storeId, lastIndex, formers } = this.#log.status()
    return {
      storeId,
      lastIndex,
      formers,
      termAt: (index) => this.#log.termAt(index),
      isGuessed: (index) => this.#log.isTermGuessed(index),
    }
  }

  /** The slaves that the master lets in; `heldIndex`: up to here they have its log, as far as is known. */
  slaves(): readonly (Pick<Learner, 'id' | 'address'> & {
    readonly isConnected: boolean
    readonly heldIndex: number
  })[] {
    const { learners, peers } = this.#log.status()
    return learners.map(({ id, address }) => {
      const peer = peers.find((each) => each.id === id)
      return { id, address, isConnected: peer?.connected === true, heldIndex: peer?.matchIndex ?? -1 }
    })
  }

  /** It goes on when what is damaged next is repaired from a copy, and not before. */
  get isHeldUp(): boolean {
    return this.#log.isHeldUp
  }

  /** Where this member is reached by the others, as its log says; null where it says nothing. */
  get ownAddress(): string | null {
    const { voters, self } = this.#log.status()
    return voters.find(({ id }) => id === self)?.address ?? null
  }

  /** @throws StoreError as `DLedger.addMember`. */
  setOwnAddress(address: string): Promise<void> {
    return told(this.#log.addMember({ id: this.#log.status().self, address }))
  }

  add(id: string, address: string): Promise<void> {
    return told(this.#log.addMember({ id, address, role: 'learner' }))
  }

  remove(id: string): Promise<void> {
    return told(this.#log.removeMember(id))
  }

  /** @see DLedger.follow */
  follow(master: { readonly id: string; readonly storeId: string; readonly address: string }): void {
    this.#log.follow(master)
  }

  /** @see DLedger.bytesAfter. @returns null where that cannot be told. */
  bytesAfter(index: number): number | null {
    try {
      return this.#log.bytesAfter(index)
    } catch (error) {
      if (!(error instanceof DLedgerError)) throw error
      return null
    }
  }

  /** @see DLedger.outdated */
  outdated(why: string): void {
    this.#log.outdated(why)
  }

  /** Everything stored so far is in the log up to here. Hot. */
  get commitIndex(): number {
    return this.#log.commitIndex
  }

  /** What at least so many slaves have, durably as they promise; -1: nothing is known. */
  heldBy(count: number): number {
    return this.#log.heldBy(count)
  }

  /** A connection to a slave works now, or is lost. @returns what ends this. */
  onConnection(listener: () => void): () => void {
    this.#log.on('peer', listener)
    return () => this.#log.off('peer', listener)
  }
}

async function told(change: Promise<void>): Promise<void> {
  try {
    await change
  } catch (error) {
    throw error instanceof DLedgerError ? storeErrorOf(error) : error
  }
}
