/**
 * Following one leader in one term: taking its entries, and telling it what is durable here.
 *
 * Keeps:
 *   - `verifiedIndex`: up to here our log equals the leader's; it only grows, for a leader never changes its own log.
 *   - R5  an acknowledgement names only what is verified and durable.
 *   - R6  truncation starts above commitIndex and above verifiedIndex, and only where the terms differ.
 *   - R9  commitIndex follows the leader's only within what is verified.
 */
import { assert } from '@dledger-ts/base'
import { isLost } from '../lost-entries.ts'
import type { MemberState } from '../member-state.ts'
import type { AppendEntries, Heartbeat, MemberId } from '../messages.ts'
import { NOTHING_ACCEPTED, type StepResult } from '../step-result.ts'

export class Following {
  readonly leader: MemberId
  readonly leaderStoreId: string
  readonly term: number
  readonly #state: MemberState
  #verifiedIndex = -1
  #acknowledged = -1
  /** Echoed in acknowledgements. */
  #prevIndex = -1
  /** A second heartbeat of one round only tells of a commit: answering it would double the messages of a lone proposal. */
  #answeredRound = -1
  #freshRound = 0
  #freshCommit = -1
  #conflict = -1

  constructor(state: MemberState, leader: MemberId, leaderStoreId: string) {
    this.#state = state
    this.leader = leader
    this.leaderStoreId = leaderStoreId
    this.term = state.term
  }

  get verifiedIndex(): number {
    return this.#verifiedIndex
  }

  /** The newest of our answers for which `freshCommit` holds; 0 for none. */
  get freshRound(): number {
    return this.#freshRound
  }

  /** Whoever has applied this sees all that was committed when the answer to `freshRound` left. */
  get freshCommit(): number {
    return this.#freshCommit
  }

  /** The entry at which the leader's log differs, where the one before is lost and so nothing is cut; infinite for none. */
  get blockedFrom(): number {
    const isBlocked = this.#conflict !== -1 && isLost(this.#state.lost, this.#conflict - 1)
    return isBlocked ? this.#conflict : Number.POSITIVE_INFINITY
  }

  /** Takes what is new, answers what is durable already; the rest is acknowledged by `acknowledgeDurable`. */
  append(message: AppendEntries, sizes: readonly number[]): StepResult {
    const state = this.#state
    const log = state.log
    const prev = message.prevIndex
    const prevTermHere = log.termAt(prev)
    if (prevTermHere !== message.prevTerm) {
      // Below commitIndex both logs are the same, also where ours begins later.
      if (prev > state.commitIndex) return this.#refuse(prev)
      assert(prevTermHere === -1, 'a leader has what is committed')
    }
    const end = prev + message.count
    const accepted = this.#takeEntries(message, sizes, end)
    if (accepted === null) return NOTHING_ACCEPTED
    this.#prevIndex = prev
    if (end > this.#verifiedIndex) this.#verifiedIndex = end
    const verified = state.faults.has('follower-commits-unverified') ? log.lastIndex : end
    state.commitTo(Math.min(message.commitIndex, verified))
    if (message.count === 0 || end <= this.#durableIndex) this.#acknowledge()
    return accepted
  }

  heartbeat(message: Heartbeat): void {
    const state = this.#state
    // The leader names only what it knows to be durable here; anything beyond our log would be another member's answer.
    if (message.commitIndex <= state.log.lastIndex) state.commitTo(message.commitIndex)
    // What an earlier life answered is as old as that, whenever this one answered the same round: a heartbeat may come late.
    if (message.freshRound > this.#freshRound && message.freshIncarnation === state.incarnation) {
      this.#freshRound = message.freshRound
      this.#freshCommit = message.leaderCommit
    }
    if (message.round <= this.#answeredRound) return
    this.#answeredRound = message.round
    state.send({
      type: 'HeartbeatResponse',
      from: state.self,
      to: message.from,
      storeId: state.storeId,
      term: state.term,
      round: message.round,
      incarnation: state.incarnation,
      health: state.storageHealth,
      diskUsage: state.diskUsage,
    })
  }

  /** More has become durable: tells the leader, if that is news to it. */
  acknowledgeDurable(): void {
    if (Math.min(this.#verifiedIndex, this.#durableIndex) > this.#acknowledged) this.#acknowledge()
  }

  /** Up to here the leader's log is here, durable as the flush mode promises, and nothing of it is damaged. */
  get heldIndex(): number {
    const { log, lost } = this.#state
    return lost.ranges.length > 0 ? -1 : Math.min(this.#verifiedIndex, log.durableIndex)
  }

  /** What was acknowledged before did not count. */
  acknowledgeIntact(): void {
    if (this.#acknowledged >= 0) this.#acknowledge()
  }

  get #durableIndex(): number {
    return this.#state.faults.has('ack-before-durable') ? this.#state.log.lastIndex : this.#state.heldIndex
  }

  /** @returns null when they cannot be taken now. */
  #takeEntries(message: AppendEntries, sizes: readonly number[], end: number): StepResult | null {
    const state = this.#state
    const log = state.log
    const conflict = this.#firstConflict(message, end)
    // It could not be told where the log ends then; the repair of what is before comes first.
    this.#conflict = conflict
    if (this.blockedFrom === conflict) return null
    if (conflict !== -1) {
      assert(conflict > this.#verifiedIndex, 'a leader never changes its own log')
      state.truncate(conflict)
    } else if (state.faults.has('truncate-on-late-duplicate') && end < log.lastIndex && message.count > 0) {
      state.truncate(end + 1)
    }
    if (end <= log.lastIndex) return NOTHING_ACCEPTED
    const first = log.lastIndex + 1
    const count = end - log.lastIndex
    state.append(count, message.entriesTerm, sizes)
    return { acceptedFirst: first, acceptedCount: count }
  }

  /** @returns the first entry of ours that differs from the one carried, -1 if none does. */
  #firstConflict(message: AppendEntries, end: number): number {
    const { log, commitIndex } = this.#state
    const last = Math.min(end, log.lastIndex)
    // What is committed is the same in both logs, also below our first entry.
    let at = Math.max(message.prevIndex, Math.min(commitIndex, log.firstIndex - 1)) + 1
    while (at <= last) {
      if (log.termAt(at) !== message.entriesTerm) return at
      at = log.runLastIndex(at) + 1
    }
    return -1
  }

  #acknowledge(): void {
    const state = this.#state
    const matchIndex = Math.min(this.#verifiedIndex, this.#durableIndex)
    if (matchIndex > this.#acknowledged) this.#acknowledged = matchIndex
    state.send({
      type: 'AppendEntriesResponse',
      from: state.self,
      to: this.leader,
      storeId: state.storeId,
      term: state.term,
      success: true,
      matchIndex,
      prevIndex: this.#prevIndex,
      lastIndex: state.log.lastIndex,
      conflictTerm: 0,
      conflictFirstIndex: 0,
      incarnation: state.incarnation,
      recovering: state.recovering,
    })
  }

  #refuse(prevIndex: number): StepResult {
    const state = this.#state
    const log = state.log
    const at = Math.min(prevIndex, log.lastIndex)
    const inLog = at >= log.firstIndex
    state.send({
      type: 'AppendEntriesResponse',
      from: state.self,
      to: this.leader,
      storeId: state.storeId,
      term: state.term,
      success: false,
      matchIndex: -1,
      prevIndex,
      lastIndex: log.lastIndex,
      conflictTerm: Math.max(log.termAt(at), 0),
      conflictFirstIndex: inLog ? log.runFirstIndex(at) : log.firstIndex,
      incarnation: state.incarnation,
      recovering: state.recovering,
    })
    return NOTHING_ACCEPTED
  }
}
