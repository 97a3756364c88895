/**
 * Collects what the core wants done until the driver takes it.
 *
 * Keeps: a message made while the newest term or vote is not durable waits for it, and so does every later one (R4);
 * appends of one output are one range of one term; truncation and append are numbered together.
 */
import { assert } from '@dledger-ts/base'
import type { Message } from './messages.ts'
import type { AppendRange, ColdRead, HardTermAndVote, Output, ReadOutcome, RoleState } from './output.ts'

export class Outbox {
  persistSeq = 0
  #send: Message[] = []
  #sendAfterHardState: Message[] = []
  #coldReads: ColdRead[] = []
  #reads: ReadOutcome[] = []
  #truncateFrom: number | null = null
  #append: AppendRange | null = null
  #commitIndex: number
  #becomesIntact = false

  constructor(commitIndex: number) {
    this.#commitIndex = commitIndex
  }

  /** Truncation or append not yet taken by the driver. */
  get changesLog(): boolean {
    return this.#truncateFrom !== null || this.#append !== null
  }

  send(message: Message, hardStateIsDurable: boolean): void {
    if (hardStateIsDurable) this.#send.push(message)
    else this.#sendAfterHardState.push(message)
  }

  coldRead(read: ColdRead): void {
    this.#coldReads.push(read)
  }

  /** @param index -1: refused. */
  read(token: number, index: number): void {
    this.#reads.push({ token, index })
  }

  /** All that a recovering member lacked is here. */
  makeIntact(): void {
    this.#becomesIntact = true
  }

  truncate(from: number): void {
    assert(!this.changesLog, 'the output is taken before the log is truncated')
    this.#truncateFrom = from
  }

  append(firstIndex: number, lastIndex: number, term: number): void {
    if (this.#append === null) {
      this.#append = { firstIndex, lastIndex, term }
      return
    }
    assert(this.#append.term === term, 'the appends of one output are of one term')
    assert(this.#append.lastIndex + 1 === firstIndex, 'the appends of one output are one range')
    this.#append = { firstIndex: this.#append.firstIndex, lastIndex, term }
  }

  take(hardState: HardTermAndVote | null, commitIndex: number, role: RoleState | null): Output | null {
    const changesLog = this.changesLog
    if (
      hardState === null &&
      role === null &&
      !changesLog &&
      commitIndex === this.#commitIndex &&
      this.#send.length === 0 &&
      this.#sendAfterHardState.length === 0 &&
      this.#coldReads.length === 0 &&
      this.#reads.length === 0 &&
      !this.#becomesIntact
    ) {
      return null
    }
    if (changesLog) this.persistSeq++
    const output: Output = {
      hardState,
      truncateFrom: this.#truncateFrom,
      append: this.#append,
      persistSeq: changesLog ? this.persistSeq : 0,
      send: this.#send,
      sendAfterHardState: this.#sendAfterHardState,
      coldReads: this.#coldReads,
      commitIndex,
      role,
      reads: this.#reads,
      becomesIntact: this.#becomesIntact,
    }
    this.#commitIndex = commitIndex
    this.#truncateFrom = null
    this.#append = null
    this.#send = []
    this.#sendAfterHardState = []
    this.#coldReads = []
    this.#reads = []
    this.#becomesIntact = false
    return output
  }
}
