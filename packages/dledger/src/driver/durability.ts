/**
 * What a running member writes into its hard state: term and vote, and how far the log is known to be synced.
 *
 * Keeps: the durable hint on disk never points beyond what is synced, nor beyond a truncation that has begun (W4); it is written
 * at most once in two ticks while entries are synced, together with the configuration entries up to it.
 */
import type { Clock } from '@dledger-ts/base'
import type { NodeSettings } from '../config.ts'
import type { HardState } from '../hard-state/hard-state-file.ts'
import type { DurableHint } from '../log/segmented-log.ts'
import type { MemberId } from '../raft/messages.ts'
import type { LogMark } from './log-writer.ts'
import type { OpenedMember } from './open-member.ts'

/** Configuration entries remembered beside the durable hint; only the newest two matter. */
const CONFIGURATIONS_KEPT = 16

export interface DurabilityOptions {
  readonly member: OpenedMember
  readonly settings: NodeSettings
  readonly clock: Clock
  /** The newest term and vote handed in are durable. */
  readonly onTermAndVoteDurable: () => void
  readonly onFailed: (error: Error) => void
}

export class Durability {
  readonly #options: DurabilityOptions
  #termAndVoteWrites = 0
  #durableTerm: number
  #hint: DurableHint | null
  #hintAtMs = Number.NEGATIVE_INFINITY

  constructor(options: DurabilityOptions) {
    this.#options = options
    const { durableHint, term } = options.member.hardState
    this.#hint = durableHint
    this.#durableTerm = term
  }

  /** The highest term that is on the disk. No entry of a higher one goes to the log: a start would take the hard state for an older one. */
  get durableTerm(): number {
    return this.#durableTerm
  }

  /** A term or a vote is on its way to the disk. */
  get writesTermOrVote(): boolean {
    return this.#termAndVoteWrites > 0
  }

  writeTermAndVote(term: number, votedFor: MemberId | null): void {
    this.#termAndVoteWrites++
    this.#options.member.writeHardState({ term, votedFor }, (error) => {
      this.#termAndVoteWrites--
      if (error !== null) return this.#options.onFailed(error)
      this.#durableTerm = Math.max(this.#durableTerm, term)
      if (this.#termAndVoteWrites === 0) this.#options.onTermAndVoteDurable()
    })
  }

  synced(mark: LogMark): void {
    const { clock, settings } = this.#options
    const nowMs = clock.monotonicMs()
    if (nowMs - this.#hintAtMs < settings.tickMs * 2) return
    this.#hintAtMs = nowMs
    this.#hint = markOf(mark)
    this.#write({ durableHint: this.#hint, ...this.#configurationIndexes(mark.index) }, () => {})
  }

  /** Before a truncation from `index` on: nothing on disk may point beyond what it leaves. Never calls back within this call. */
  lower(index: number, callback: () => void): void {
    const { clock, member } = this.#options
    if (this.#hint === null || this.#hint.index < index) return clock.defer(callback)
    // What is kept lies below the old hint, so it is synced; an empty log has nothing to vouch for.
    this.#hint = index > member.log.firstIndex ? member.log.hintBefore(index) : null
    const indexes = this.#hint === null ? { configurationIndexes: null } : this.#configurationIndexes(this.#hint.index)
    this.#write({ durableHint: this.#hint, ...indexes }, callback)
  }

  /** What is here is synced: nothing that was acknowledged is missing any more. */
  becomeIntact(callback: () => void): void {
    const asyncAcks = this.#options.settings.flushDiskType === 'ASYNC_FLUSH'
    this.#write({ recovering: false, asyncAcks }, callback)
  }

  /** All that was recovered is synced: from here on SYNC_FLUSH gives no acknowledgement that a power cut could take back. */
  started(): void {
    const { recovering, asyncAcks } = this.#options.member.hardState
    if (asyncAcks && !recovering && this.#options.settings.flushDiskType === 'SYNC_FLUSH') this.becomeIntact(() => {})
  }

  /**
   * The last words of a stop.
   *
   * @param mark the end of what is synced; null when nothing was written in this life.
   * @param cleanStop nothing lies behind it: a start need not doubt what it reads.
   */
  stopped(mark: LogMark | null, cleanStop: boolean, callback: (error: Error | null) => void): void {
    const durableHint = mark === null ? this.#hint : markOf(mark)
    const indexes = durableHint === null ? {} : this.#configurationIndexes(durableHint.index)
    this.#options.member.writeHardState({ durableHint, cleanStop, ...indexes }, callback)
  }

  #write(change: Partial<HardState>, callback: () => void): void {
    this.#options.member.writeHardState(change, (error) => {
      if (error !== null) return this.#options.onFailed(error)
      callback()
    })
  }

  /** Those up to a durable hint are kept with it, so that recovery need not read the log to find them. */
  #configurationIndexes(hintIndex: number): { configurationIndexes: readonly number[] } {
    const indexes = this.#options.member.log.configurationIndexes().filter((index) => index <= hintIndex)
    return { configurationIndexes: indexes.slice(-CONFIGURATIONS_KEPT) }
  }
}

function markOf({ index, endPos, chain, term }: LogMark): LogMark {
  return { index, endPos, chain, term }
}
