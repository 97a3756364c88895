/**
 * Committed entries on their way to the state machine, and what it is told to be durable.
 *
 * Keeps: D2, entries are applied in log order, once, and only when committed; only what is applied and synced is told durable.
 */
import { assert } from '@dledger-ts/base'
import { ENTRY_HEADER_BYTES, EntryChannel, type EntryBatch } from '../log/entry-batch.ts'
import { channelAt } from '../log/entry-codec.ts'
import type { StateMachine } from '../state-machine.ts'
import { committedEntries } from './committed-entries.ts'
import { type HotTail, offsetIn } from './hot-tail.ts'
import type { ReadCold } from './log-reading.ts'

/** Entries and bytes applied in one pass at most, so that applying a long log does not hold up heartbeats. */
const APPLY_COUNT_MAX = 4096
const APPLY_BYTES_MAX = 8 * 1024 * 1024

export interface ApplyingOptions {
  readonly hot: HotTail
  readonly stateMachine: StateMachine | null
  /** Applied already, by the state machine's own checkpoint. */
  readonly appliedIndex: number
  /** Known committed; at least what is applied. */
  readonly commitIndex: number
  /** A received state is being taken in: nothing is applied before `restored`. */
  readonly isRestoring: boolean
  readonly readCold: ReadCold
  /** False while nobody waits for what is read from the files: a member that closes leaves it to its next start. */
  readonly mayReadCold: () => boolean
  /** The first entry from there on whose bytes are not good; infinite where there is none. */
  readonly firstLostFrom: (index: number) => number
  readonly onApplied: (index: number) => void
  /** The body of a trim entry, as it is applied. */
  readonly onTrim: (body: Buffer) => void
  readonly schedulePass: () => void
}

export class Applying {
  readonly #options: ApplyingOptions
  #commitIndex: number
  #appliedIndex: number
  /** Entries of the log as it is now are synced up to here. */
  #syncedIndex = -1
  /** What the state machine was told to be durable. */
  #toldDurable = -1
  #reading = false
  /** Where the last entry applied ends; -1 while that is not known. */
  #appliedEndPos = -1
  #isRestoring: boolean

  constructor(options: ApplyingOptions) {
    this.#options = options
    this.#appliedIndex = options.appliedIndex
    this.#commitIndex = options.commitIndex
    this.#isRestoring = options.isRestoring
  }

  get commitIndex(): number {
    return this.#commitIndex
  }

  /** Entries of the log as it is now are synced up to here. */
  get syncedIndex(): number {
    return this.#syncedIndex
  }

  get appliedIndex(): number {
    return this.#appliedIndex
  }

  /** @returns how many bytes of the log, which ends at `endPos`, the state machine has not seen; 0 while that is not known. */
  unappliedBytes(endPos: number): number {
    return this.#appliedEndPos < 0 ? 0 : endPos - this.#appliedEndPos
  }

  /** @returns whether that is news. */
  committed(index: number): boolean {
    if (index <= this.#commitIndex) return false
    this.#commitIndex = index
    return true
  }

  /** The log as it is now is synced up to there. */
  synced(index: number): void {
    this.#syncedIndex = index
    this.tellDurable()
  }

  truncated(from: number): void {
    this.#syncedIndex = Math.min(this.#syncedIndex, from - 1)
  }

  get isRestoring(): boolean {
    return this.#isRestoring
  }

  /** The state machine has taken in the state at `index`. */
  restored(index: number): void {
    assert(this.#isRestoring && index <= this.#commitIndex, 'a received state holds what is committed')
    this.#isRestoring = false
    this.#appliedEndPos = -1
    this.#afterApply(index)
  }

  apply(): void {
    if (this.#isRestoring) return
    let count = 0
    let bytes = 0
    while (this.#appliedIndex < this.#commitIndex && !this.#reading) {
      const batch = this.#options.hot.find(this.#appliedIndex + 1)
      if (batch === undefined) return this.#applyCold()
      if (count >= APPLY_COUNT_MAX || bytes >= APPLY_BYTES_MAX) return this.#options.schedulePass()
      count += batch.count
      bytes += batch.bytes.length
      this.#applyBatch(batch)
    }
  }

  #applyBatch(batch: EntryBatch): void {
    const from = this.#appliedIndex + 1
    const to = Math.min(this.#commitIndex, batch.firstIndex + batch.count - 1)
    const machine = this.#options.stateMachine
    if (machine !== null) machine.apply(committedEntries(batch, from, to))
    this.#noticeTrims(batch, from, to)
    const last = to - batch.firstIndex
    this.#appliedEndPos = (batch.positions[last] as number) + (batch.sizes[last] as number)
    this.#afterApply(to)
  }

  #noticeTrims(batch: EntryBatch, from: number, to: number): void {
    let at = offsetIn(batch, from)
    for (let index = from; index <= to; index++) {
      const size = batch.sizes[index - batch.firstIndex] as number
      if (channelAt(batch.bytes, at) === EntryChannel.TRIM) {
        this.#options.onTrim(batch.bytes.subarray(at + ENTRY_HEADER_BYTES, at + size))
      }
      at += size
    }
  }

  #afterApply(index: number): void {
    this.#appliedIndex = index
    this.#options.onApplied(index)
    this.tellDurable()
  }

  /** Only what is applied, and so committed, is told durable: what is synced beyond may still be truncated and replaced. */
  tellDurable(): void {
    const index = Math.min(this.#syncedIndex, this.#appliedIndex)
    if (index <= this.#toldDurable) return
    this.#toldDurable = index
    this.#options.stateMachine?.durable(index)
  }

  #applyCold(): void {
    const { hot, stateMachine, readCold, mayReadCold, firstLostFrom, schedulePass } = this.#options
    const from = this.#appliedIndex + 1
    // What is hot may not be in the files yet.
    const to = Math.min(this.#commitIndex, hot.firstIndex - 1)
    if (stateMachine === null) {
      this.#appliedEndPos = -1
      this.#afterApply(to)
      return schedulePass()
    }
    // What is lost is waited for: a pass follows its repair.
    const readable = Math.min(to, firstLostFrom(from) - 1)
    if (readable < from || !mayReadCold()) return
    this.#reading = true
    readCold(from, readable, APPLY_BYTES_MAX, (batch) => {
      this.#reading = false
      // Then it is lost.
      if (batch === null) return
      assert(batch.firstIndex === from, 'what is read is what was asked for')
      this.#applyBatch(batch)
    })
  }
}
