/**
 * Proposals on their way into the log: gathered in one pass of the event loop, accepted by the core, encoded in place.
 *
 * Keeps: a proposal is refused, or has a place in the log and waits among the pending ones; never both, never neither (D3).
 */
import { assert, type Clock } from '@dledger-ts/base'
import { entryBodyBytesMax, type NodeSettings } from '../config.ts'
import { DLedgerError } from '../errors.ts'
import { ENTRY_HEADER_BYTES, type EntryBatch } from '../log/entry-batch.ts'
import type { Configuration } from '../raft/configuration.ts'
import type { ProposalKind, Refusal, RoleState } from '../raft/output.ts'
import type { Raft } from '../raft/raft.ts'
import type { Proposal } from '../state-machine.ts'
import type { BatchBuilder } from './batch-builder.ts'
import type { PendingProposals } from './pending-proposals.ts'
import { ProposalQueue } from './proposal-queue.ts'
import { tellEach } from './tell-each.ts'

/** Entries proposed as one batch at most. */
const PROPOSE_COUNT_MAX = 1024
/** The same, and for one pass, where nobody else has to be sent them: a batch is written and synced while the next one is encoded. */
const PROPOSE_COUNT_ALONE = 128

export interface ProposingOptions {
  readonly settings: NodeSettings
  readonly clock: Clock
  readonly raft: Raft
  readonly builder: BatchBuilder
  readonly pending: PendingProposals
  /** Whether the end of the log is final, so that something can be placed after it. */
  readonly isPlaceable: () => boolean
  readonly role: () => RoleState
  readonly lastIndex: () => number
  /** The leadership is on its way to another member: what is queued waits for the outcome. */
  readonly waitsForSuccessor: () => boolean
  /** Bytes of the log that the state machine has not seen. */
  readonly unappliedBytes: () => number
  /** The core has accepted a batch: its output is due. */
  readonly onProposed: () => void
  readonly schedulePass: () => void
}

export class Proposing {
  readonly #options: ProposingOptions
  readonly #queue = new ProposalQueue()
  #built: EntryBatch[] = []
  /** A new leader begins with an entry of its own term, as soon as that can be placed; nothing is proposed before it. */
  #noopIsDue = false

  constructor(options: ProposingOptions) {
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0
  }

  /** Something waits until it can be placed. */
  get hasWork(): boolean {
    return this.#noopIsDue || this.#queue.length > 0
  }

  /** Whether this member could place an entry of its own after the end of the log, if it leads. */
  get canPlace(): boolean {
    return this.#options.isPlaceable() && !this.#noopIsDue
  }

  /** The role has changed. */
  roleChanged(before: RoleState, now: RoleState): void {
    const isSameTerm = now.term === before.term
    if (before.role === 'LEADER' && !(now.role === 'LEADER' && isSameTerm)) this.#noopIsDue = false
    if (now.role === 'LEADER' && !(before.role === 'LEADER' && isSameTerm)) this.#noopIsDue = true
  }

  /** Begins the term of a new leader, once that can be done. */
  proposeNoop(): void {
    if (!this.#noopIsDue || !this.#options.isPlaceable()) return
    this.#noopIsDue = false
    this.proposeControl('noop', Buffer.alloc(0))
  }

  /** Queues a proposal for the next pass, or refuses it; it is never told within this call. Hot. @returns whether it is queued. */
  queue(proposal: Proposal): boolean {
    if (this.#queue.bytes > this.#options.settings.uncommittedBytesMax || this.#isBehind) {
      this.#options.clock.defer(() => proposal.failed(this.#refusal('BUSY')))
      return false
    }
    this.#queue.push(proposal)
    return true
  }

  /** The state machine of a leader, whose log goes on, is too far behind it. Whoever does not lead says so instead. */
  get #isBehind(): boolean {
    const { unappliedBytes, settings, role } = this.#options
    return unappliedBytes() > settings.unappliedBytesMax && role().role === 'LEADER' && this.canPlace
  }

  /** Hands what is queued to the core: all that was queued before this call, or one batch where this member is alone. */
  proposeQueued(): void {
    const { settings, raft, role, waitsForSuccessor, schedulePass } = this.#options
    if (waitsForSuccessor() || this.#queue.length === 0) return
    // No leader that takes writes is here before these are over, however long the disk takes.
    if (!this.canPlace) {
      return refuse(this.#queue.takeAll(), this.#refusal(role().role === 'LEADER' ? 'NOT_READY' : 'NOT_LEADER'))
    }
    const bodyBytesMax = entryBodyBytesMax(settings)
    const isAlone = raft.peers.length === 0
    const countMax = isAlone ? PROPOSE_COUNT_ALONE : PROPOSE_COUNT_MAX
    const tooLarge: Proposal[] = []
    let left = this.#queue.length
    try {
      do {
        const chunk: Proposal[] = []
        let bytes = 0
        for (; left > 0 && chunk.length < countMax && bytes < settings.appendBytesMax; left--) {
          const proposal = this.#queue.shift()
          if (proposal.bodyBytes > bodyBytesMax) {
            tooLarge.push(proposal)
            continue
          }
          bytes += ENTRY_HEADER_BYTES + proposal.bodyBytes
          chunk.push(proposal)
        }
        if (chunk.length > 0) this.#proposeChunk(chunk)
        // A member that has stopped, or closes, has told them.
        left = Math.min(left, this.#queue.length)
      } while (left > 0 && !isAlone)
    } catch (error) {
      // The member stops, which tells them.
      for (const proposal of tooLarge) this.#queue.push(proposal)
      throw error
    }
    if (this.#queue.length > 0) schedulePass()
    tellEach(tooLarge, (proposal) => proposal.failed(tooLargeError(proposal.bodyBytes, bodyBytesMax)))
  }

  #proposeChunk(chunk: readonly Proposal[]): void {
    const { raft, clock, settings, builder, pending } = this.#options
    const sizes = chunk.map((proposal) => ENTRY_HEADER_BYTES + proposal.bodyBytes)
    const placed = raft.propose('data', sizes)
    if (typeof placed === 'string') {
      // What is behind them must not come to stand without them.
      return refuse([...chunk, ...this.#queue.takeAll()], this.#refusal(placed))
    }
    assert(placed.firstIndex === this.#options.lastIndex() + 1, 'a proposal follows the end of the log')
    const deadlineMs = clock.monotonicMs() + settings.proposalTimeoutMs
    let placedCount = 0
    try {
      this.#built.push(
        builder.build(placed.firstIndex, placed.term, sizes, (i, target, bodyAt, pos) => {
          const proposal = chunk[i] as Proposal
          const place = pending.add(placed.firstIndex + i, placed.term, pos, deadlineMs, proposal)
          placedCount++
          proposal.encodeBody(target, bodyAt, place)
        }),
      )
    } catch (error) {
      for (const proposal of chunk.slice(placedCount)) this.#queue.push(proposal)
      throw error
    }
    this.#options.onProposed()
  }

  /** @returns whether the core took it. */
  proposeControl(kind: Exclude<ProposalKind, 'data'>, payload: Buffer, configuration?: Configuration): boolean {
    const { raft, builder } = this.#options
    const wrapped = builder.wrapControl(kind, payload, this.#options.role().term)
    const placed = raft.propose(kind, [wrapped.bytes.length], configuration)
    if (typeof placed === 'string') return false
    assert(placed.firstIndex === wrapped.firstIndex && placed.term === wrapped.term, 'a control entry follows the log')
    this.#built.push(wrapped)
    this.#options.onProposed()
    return true
  }

  /** The batches built since the last call, for the output that appends them. */
  takeBuilt(): readonly EntryBatch[] {
    const built = this.#built
    this.#built = []
    return built
  }

  /** Refuses what is queued: it never gets a place in the log. */
  failQueued(error: DLedgerError): void {
    refuse(this.#queue.takeAll(), error)
  }

  #refusal(why: Refusal): DLedgerError {
    if (why === 'BUSY') {
      const { uncommittedBytesMax, unappliedBytesMax } = this.#options.settings
      const what = `more than ${uncommittedBytesMax} bytes wait to be committed, or ${unappliedBytesMax} to be applied`
      return new DLedgerError(`${what}; try again later`, { code: 'BUSY', uncommittedBytes: uncommittedBytesMax })
    }
    if (why === 'DISK_FULL') {
      return new DLedgerError('the disk has no room for more data; make room, or let the log be trimmed', {
        code: 'DISK_FULL',
      })
    }
    const role = this.#options.role()
    const leader = role.role === 'LEADER' ? null : role.leader
    const text =
      why === 'TRANSFERRING'
        ? 'this member is handing over the leadership'
        : why === 'NOT_READY'
          ? 'this member has just become leader and does not take writes yet'
          : `this member is not the leader${leader === null ? '; none is known' : `; ${leader} is`}`
    return new DLedgerError(text, { code: 'NOT_LEADER', leader })
  }
}

/** Every one of them is told, also when one throws. */
function refuse(proposals: readonly Proposal[], error: DLedgerError): void {
  tellEach(proposals, (proposal) => proposal.failed(error))
}

function tooLargeError(bytes: number, bytesMax: number): DLedgerError {
  return new DLedgerError(`a body of ${bytes} bytes is too large; ${bytesMax} are allowed`, {
    code: 'TOO_LARGE',
    bytes,
    bytesMax,
  })
}
