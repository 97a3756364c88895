/**
 * The log as the parts of a store see it: they are made first, and the log is opened with what they are.
 *
 * Keeps: a store is attached to one log, once. Before that nothing is proposed and nothing is read; what is asked about the log then is answered
 * as if it could be anything.
 */
import { assert } from '@dledger-ts/base'
import type { CommittedEntry, Proposal } from '@dledger-ts/dledger'
import type { ProposalTarget } from './put.ts'
import type { LogReader } from './read.ts'
import type { AppliedEntries } from './rebuild/log-scan.ts'
import type { EntryFinder } from './retention/needed-entries.ts'

/** What the store needs of a log: `DLedger` and `LogNode` have it. */
export type AttachedLog = ProposalTarget &
  LogReader &
  AppliedEntries &
  EntryFinder & {
    readonly lastIndex: number
    /** What is derived found no room on the disk: gives what is kept for that; left out by a log that keeps none. */
    makeRoom?(): void
  }

export class LogPort implements ProposalTarget, LogReader, AppliedEntries, EntryFinder {
  #log: AttachedLog | null = null

  get isAttached(): boolean {
    return this.#log !== null
  }

  attach(log: AttachedLog): void {
    assert(this.#log === null, 'a store is attached to one log')
    this.#log = log
  }

  /** A log that is being opened gives what it has at its start. */
  makeRoom(): void {
    this.#log?.makeRoom?.()
  }

  propose(proposal: Proposal): void {
    assert(this.#log !== null, 'nothing is proposed before the log is attached')
    this.#log.propose(proposal)
  }

  get firstIndex(): number {
    assert(this.#log !== null, 'nothing is read before the log is attached')
    return this.#log.firstIndex
  }

  /** Before the log is attached nothing can be told. */
  get lastIndex(): number {
    return this.#log?.lastIndex ?? Number.POSITIVE_INFINITY
  }

  readApplied(
    firstIndex: number,
    lastIndex: number,
    bytesMax: number,
    callback: (error: Error | null, entries: readonly CommittedEntry[] | null) => void,
  ): void {
    assert(this.#log !== null, 'nothing is read before the log is attached')
    this.#log.readApplied(firstIndex, lastIndex, bytesMax, callback)
  }

  readBytes(
    pos: number,
    size: number,
    callback: (error: Error | null, bytes: Buffer | null) => void,
    target?: Buffer,
  ): void {
    assert(this.#log !== null, 'nothing is read before the log is attached')
    this.#log.readBytes(pos, size, callback, target)
  }

  readAppliedAt(pos: number, callback: (error: Error | null, entry: CommittedEntry | null) => void): void {
    assert(this.#log !== null, 'nothing is read before the log is attached')
    this.#log.readAppliedAt(pos, callback)
  }

  /** Before the log is attached nothing can be told. */
  firstIndexInFileOf(pos: number): number | null {
    return this.#log?.firstIndexInFileOf(pos) ?? null
  }

  get forgetBefore(): number {
    return this.#log?.forgetBefore ?? 0
  }
}
