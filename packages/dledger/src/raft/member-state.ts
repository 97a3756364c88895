/**
 * What a member has whatever its role: term and vote, log, configuration, commit index, and the way out.
 *
 * Keeps: R1 (term and vote), R4 (what is not durable is not revealed), and appliedIndex <= commitIndex <= lastIndex (R2).
 */
import { assert } from '@dledger-ts/base'
import { LogView } from './log-view.ts'
import { firstLostFrom, lostBelow, type LostEntries, NOTHING_LOST } from './lost-entries.ts'
import { Membership } from './membership.ts'
import type { MemberId, Message } from './messages.ts'
import { Outbox } from './outbox.ts'
import { StorageHealth } from './storage-health.ts'
import type { HardTermAndVote, Output, RaftOptions, RoleState } from './output.ts'
import type { PlantedFault } from './planted-faults.ts'

export class MemberState {
  readonly options: RaftOptions
  readonly faults: ReadonlySet<PlantedFault>
  readonly self: MemberId
  storeId: string
  readonly log: LogView
  readonly membership: Membership
  readonly outbox: Outbox
  readonly incarnation: number
  /** It may lack what it acknowledged in an earlier life: it neither counts nor votes as others do. */
  recovering: boolean
  /** Never decreases. */
  term: number
  /** Set at most once in a term. */
  votedFor: MemberId | null
  /** The store that this vote was given to; null when it was in an earlier life. */
  votedForStore: string | null = null
  commitIndex: number
  appliedIndex: number
  lost: LostEntries
  /** How full the disk here is, 0 to 100; 0 where nobody looks. */
  diskUsage = 0
  #storageHealth = 0
  #handedOut: HardTermAndVote
  #durable: HardTermAndVote

  constructor(options: RaftOptions, faults: ReadonlySet<PlantedFault>) {
    this.options = options
    this.faults = faults
    this.self = options.self
    this.storeId = options.selfStoreId
    this.incarnation = options.incarnation ?? 0
    this.recovering = options.recovering ?? false
    this.log = new LogView(options.log, faults)
    this.lost = options.log.lost ?? NOTHING_LOST
    this.membership = new Membership(options)
    // Entries may have become durable before the term in which they came; no vote of that term has left then.
    this.term = Math.max(options.hardState.term, this.log.lastTerm)
    this.votedFor = this.term > options.hardState.term ? null : options.hardState.votedFor
    this.#handedOut = options.hardState
    this.#durable = options.hardState
    this.appliedIndex = Math.max(options.appliedIndex, this.log.firstIndex - 1)
    this.commitIndex = Math.max(this.appliedIndex, options.commitIndex ?? -1)
    assert(this.commitIndex <= this.log.lastIndex, 'what was applied is in the log')
    this.outbox = new Outbox(this.commitIndex)
  }

  /** Of the storage here: bits of `StorageHealth`. */
  get storageHealth(): number {
    return this.isTainted ? this.#storageHealth | StorageHealth.TAINTED : this.#storageHealth
  }

  set storageHealth(bits: number) {
    this.#storageHealth = bits
  }

  get isTainted(): boolean {
    return this.lost.ranges.length > 0 && !this.faults.has('tainted-member-leads')
  }

  /** Durable here, and not lost again where it counts for a commit yet to come (R23). */
  get heldIndex(): number {
    const { durableIndex } = this.log
    if (this.lost.ranges.length === 0 || this.#nobodyElseCounts) return durableIndex
    return Math.min(durableIndex, firstLostFrom(this.lost, this.commitIndex + 1) - 1)
  }

  /** What is lost was durable here, so it was committed or is by what follows, and nobody else can bring it. */
  get #nobodyElseCounts(): boolean {
    return this.membership.selfIsLoneVoter && !this.lost.configurationIsLost
  }

  get hardStateIsDurable(): boolean {
    return this.#durable.term === this.term && this.#durable.votedFor === this.votedFor
  }

  /** Moves to a higher term, in which nothing was voted yet. */
  enterTerm(term: number): void {
    assert(term > this.term, 'term never decreases')
    this.term = term
    this.votedFor = null
    this.votedForStore = null
  }

  vote(candidate: MemberId, storeId: string): void {
    assert(
      this.votedFor === null || this.votedFor === candidate || this.faults.has('votes-twice'),
      'at most one vote in a term',
    )
    this.votedFor = candidate
    this.votedForStore = storeId
  }

  hardStatePersisted(): void {
    this.#durable = this.#handedOut
  }

  /** Hands a message out: at once, or after the hard state that it would reveal. */
  send(message: Message): void {
    this.outbox.send(message, this.hardStateIsDurable || this.faults.has('vote-persisted-after-reply'))
  }

  /** Whether a log that ends thus is at least as up to date as ours (Ongaro §3.6.1). */
  isUpToDate(lastIndex: number, lastTerm: number): boolean {
    if (this.faults.has('no-last-term-comparison')) return lastIndex >= this.log.lastIndex
    return lastTerm > this.log.lastTerm || (lastTerm === this.log.lastTerm && lastIndex >= this.log.lastIndex)
  }

  /** Appends entries of one term to the log, and to what is handed out. */
  append(count: number, term: number, sizes: readonly number[]): void {
    const first = this.log.lastIndex + 1
    this.log.append(count, term, sizes, Math.max(0, sizes.length - count))
    this.outbox.append(first, this.log.lastIndex, term)
    this.#forgetColdSizes()
  }

  truncate(from: number): void {
    assert(from > this.commitIndex, 'a truncation starts above commitIndex')
    this.outbox.truncate(from)
    this.lost = lostBelow(this.lost, from)
    this.log.truncate(from)
    if (!this.faults.has('rolled-back-configuration-kept')) this.membership.truncate(from)
  }

  commitTo(index: number): void {
    if (index <= this.commitIndex) return
    assert(index <= this.log.lastIndex, 'what is committed is in the log')
    this.commitIndex = index
    this.#forgetColdSizes()
  }

  persisted(seq: number): void {
    assert(seq <= this.outbox.persistSeq, 'only what was handed out becomes durable')
    this.log.persisted(seq)
    this.#forgetColdSizes()
  }

  applied(index: number): void {
    assert(index <= this.commitIndex, 'only what is committed is applied')
    if (index > this.appliedIndex) this.appliedIndex = index
  }

  trimmed(firstIndex: number): void {
    assert(firstIndex - 1 <= this.appliedIndex, 'what is trimmed was applied')
    this.log.trim(firstIndex)
    this.membership.trim(firstIndex)
  }

  takeOutput(role: RoleState | null): Output | null {
    let hardState: HardTermAndVote | null = null
    if (this.#handedOut.term !== this.term || this.#handedOut.votedFor !== this.votedFor) {
      this.#handedOut = { term: this.term, votedFor: this.votedFor }
      hardState = this.faults.has('vote-not-persisted') ? { term: this.term, votedFor: null } : this.#handedOut
    }
    const output = this.outbox.take(hardState, this.commitIndex, role)
    if (output !== null && output.persistSeq > 0) this.log.handedOut(output.persistSeq)
    return output
  }

  /** What is not durable here or not committed stays hot; both are bounded by the leader's limit on uncommitted bytes. */
  #forgetColdSizes(): void {
    this.log.hot.shrink(this.options.hotBytesMax, Math.min(this.log.durableIndex, this.commitIndex))
  }
}
