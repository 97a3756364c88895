/**
 * The clients of a simulation: proposals with unique contents, and what was said about each.
 *
 * Keeps: a proposal is told its outcome once; what it was told agrees with what is committed (docs/invariants.md, sim 20):
 *   acknowledged: in the committed log exactly there, for ever; refused: never there; unknown: there once or never;
 *   what is proposed after an acknowledgement stands behind what was acknowledged.
 */
import type { DLedgerError, EntryPlace, Proposal } from '@dledger-ts/dledger/internals'
import type { RegisterInput } from '../history/register.ts'

const REFUSALS = new Set(['NOT_LEADER', 'BUSY', 'TOO_LARGE', 'DISK_FULL', 'CLOSED'])
const ID_BYTES = 4

export type Outcome = 'pending' | 'acknowledged' | 'refused' | 'unknown' | 'lost'

/** Somebody who waits for what becomes of a proposal, and what it does to the state machine. */
export interface ProposalObserver {
  readonly operation: RegisterInput
  committed(place: EntryPlace): void
  refused(): void
}

export interface ProposalOptions {
  readonly bytes: number
  readonly member: number
  readonly incarnation: number
  readonly observer: ProposalObserver | null
}

export class ClientProposal implements Proposal {
  readonly id: number
  readonly bodyBytes: number
  readonly member: number
  readonly incarnation: number
  readonly observer: ProposalObserver | null
  /** The highest place that was acknowledged to anybody before this was proposed: it comes later. */
  afterIndex: number
  outcome: Outcome = 'pending'
  place: EntryPlace | null = null
  /** Where it is committed, as far as anybody has seen; -1 for nowhere. */
  committedAt = -1
  readonly #workload: Workload
  #encoded = false
  #memberHasStopped = false

  constructor(workload: Workload, id: number, options: ProposalOptions) {
    this.#workload = workload
    this.observer = options.observer
    this.id = id
    this.bodyBytes = ID_BYTES + options.bytes
    this.member = options.member
    this.incarnation = options.incarnation
    this.afterIndex = workload.highestAcknowledged
  }

  encodeBody(target: Buffer, at: number): void {
    if (this.#encoded) this.#workload.violated(`proposal ${this.id} was encoded twice`)
    this.#encoded = true
    target.writeInt32BE(this.id, at)
    target.fill(fillerOf(this.id), at + ID_BYTES, at + this.bodyBytes)
  }

  committed(place: EntryPlace): void {
    this.#told('acknowledged')
    this.place = { index: place.index, term: place.term, pos: place.pos }
    this.#workload.acknowledged(this)
    this.observer?.committed(place)
  }

  failed(error: DLedgerError): void {
    this.#told(REFUSALS.has(error.code) ? 'refused' : 'unknown')
    if (this.outcome === 'refused') this.observer?.refused()
    if (this.outcome === 'refused' && this.committedAt >= 0) {
      this.#workload.violated(`proposal ${this.id} was refused (${error.code}) and is committed at ${this.committedAt}`)
    }
  }

  /** Its member stopped: of what it was asked, only what it had refused by then may be told later, in a pass of its event loop. */
  memberStopped(): void {
    this.#memberHasStopped = true
  }

  /** The member died: nobody will tell. */
  orphan(): void {
    if (this.outcome === 'pending') this.outcome = 'unknown'
  }

  #told(outcome: Outcome): void {
    if (this.outcome !== 'pending') {
      this.#workload.violated(`proposal ${this.id} was told ${outcome} after ${this.outcome} (20)`)
    }
    if (this.#memberHasStopped && outcome !== 'refused') {
      this.#workload.violated(`proposal ${this.id} was told ${outcome} by a member that had stopped (20)`)
    }
    this.outcome = outcome
  }
}

export interface WorkloadOptions {
  readonly violated: (what: string) => void
  readonly acknowledged: (proposal: ClientProposal) => void
}

export class Workload {
  readonly proposals: ClientProposal[] = []
  highestAcknowledged = -1
  readonly #options: WorkloadOptions

  constructor(options: WorkloadOptions) {
    this.#options = options
  }

  /** Whose entry a body is; null for nobody's. */
  proposalOf(body: Buffer): ClientProposal | null {
    return (body.length < ID_BYTES ? undefined : this.proposals[body.readInt32BE(0)]) ?? null
  }

  make(options: ProposalOptions): ClientProposal {
    const proposal = new ClientProposal(this, this.proposals.length, options)
    this.proposals.push(proposal)
    return proposal
  }

  /** A committed data entry: somebody proposed exactly this, once, and was not told no. */
  committedEntry(index: number, body: Buffer): void {
    const id = body.length < ID_BYTES ? -1 : body.readInt32BE(0)
    const proposal = this.proposals[id]
    if (proposal === undefined) return this.violated(`entry ${index} was proposed by nobody`)
    if (body.length !== proposal.bodyBytes || !isFilled(body, fillerOf(id))) {
      this.violated(`entry ${index} holds proposal ${id} with other bytes`)
    }
    if (proposal.committedAt >= 0)
      this.violated(`proposal ${id} is committed twice: ${proposal.committedAt} and ${index}`)
    if (index <= proposal.afterIndex) {
      this.violated(
        `proposal ${id} is at ${index}, though ${proposal.afterIndex} was acknowledged before it was made (20)`,
      )
    }
    proposal.committedAt = index
    if (proposal.outcome === 'refused') this.violated(`proposal ${id} was refused and is committed at ${index} (20)`)
  }

  /** The member stopped itself and lives on for a moment. */
  stopped(member: number): void {
    for (const proposal of this.proposals) if (proposal.member === member) proposal.memberStopped()
  }

  /** The member died: what it had not answered stays unknown. */
  died(member: number): void {
    for (const proposal of this.proposals) if (proposal.member === member) proposal.orphan()
  }

  /** A power cut of a majority took what was committed from `from` on, as ASYNC_FLUSH says it may. */
  lost(from: number): void {
    this.highestAcknowledged = Math.min(this.highestAcknowledged, from - 1)
    for (const proposal of this.proposals) {
      proposal.afterIndex = Math.min(proposal.afterIndex, from - 1)
      if (proposal.committedAt < from) continue
      proposal.committedAt = -1
      if (proposal.outcome === 'acknowledged') proposal.outcome = 'lost'
    }
  }

  acknowledged(proposal: ClientProposal): void {
    this.highestAcknowledged = Math.max(this.highestAcknowledged, proposal.place?.index ?? -1)
    this.#options.acknowledged(proposal)
  }

  violated(what: string): void {
    this.#options.violated(what)
  }
}

function fillerOf(id: number): number {
  return 1 + (id % 250)
}

function isFilled(body: Buffer, filler: number): boolean {
  for (let at = ID_BYTES; at < body.length; at++) if (body[at] !== filler) return false
  return true
}
