/**
 * The log as the core sees it: its bounds, where terms change, how far it is durable, and the sizes of its newest entries.
 *
 * Keeps:
 *   - terms never decrease with the index (R8);
 *   - `durableIndex` covers only entries that are in the log now: a write that completes after its entries were truncated
 *     vouches for none of what replaced them (R5).
 */
import { assert } from '@dledger-ts/base'
import { HotSizes } from './hot-sizes.ts'
import type { LogShape } from './output.ts'
import type { PlantedFault } from './planted-faults.ts'

interface PendingWrite {
  readonly seq: number
  /** Last index that this write vouches for; lowered by truncation. */
  lastIndex: number
}

export class LogView {
  firstIndex: number
  readonly hot: HotSizes
  lastIndex: number
  durableIndex: number
  readonly #faults: ReadonlySet<PlantedFault>
  #prevTerm: number
  /** Where each run of one term starts, and its term; ascending both. */
  readonly #runFirst: number[] = []
  readonly #runTerm: number[] = []
  readonly #pending: PendingWrite[] = []

  constructor(shape: LogShape, faults: ReadonlySet<PlantedFault>) {
    assert(shape.firstIndex >= 0 && shape.lastIndex >= shape.firstIndex - 1, 'a log ends at or after its start')
    this.#faults = faults
    this.firstIndex = shape.firstIndex
    this.lastIndex = shape.lastIndex
    this.durableIndex = shape.lastIndex
    this.#prevTerm = shape.prevTerm
    for (const run of shape.termRuns) this.#startRun(run.firstIndex, run.term)
    assert(
      this.#runFirst.length === 0 ? shape.lastIndex < shape.firstIndex : this.#runFirst[0] === shape.firstIndex,
      'the first term run starts with the log',
    )
    this.hot = new HotSizes(shape.lastIndex + 1)
  }

  get lastTerm(): number {
    return this.#runTerm.length === 0 ? this.#prevTerm : this.#runTerm[this.#runTerm.length - 1]!
  }

  /** @returns the term of an entry, that of the one before the first one included; -1 where the log does not know. */
  termAt(index: number): number {
    if (index > this.lastIndex || index < this.firstIndex - 1) return -1
    return index === this.firstIndex - 1 ? this.#prevTerm : this.#runTerm[this.#runAt(index)]!
  }

  /** First index of the run of one term that holds this entry of the log. */
  runFirstIndex(index: number): number {
    return this.#runFirst[this.#runAt(index)]!
  }

  /** Last index of the run of one term that holds this entry of the log. */
  runLastIndex(index: number): number {
    const next = this.#runAt(index) + 1
    return next === this.#runFirst.length ? this.lastIndex : this.#runFirst[next]! - 1
  }

  /** @returns the highest index, not above `index`, whose term is at most `term`; `firstIndex - 1` when there is none. */
  lastIndexOfTermAtMost(term: number, index: number): number {
    let at = Math.min(index, this.lastIndex)
    while (at >= this.firstIndex && this.termAt(at) > term) at = this.runFirstIndex(at) - 1
    return at
  }

  /** Appends entries of one term. Without their `sizes` they are cold from the start. */
  append(count: number, term: number, sizes: readonly number[], sizesFrom: number): void {
    assert(count > 0, 'an append has entries')
    assert(term >= this.lastTerm, 'terms never decrease with the index')
    if (term !== this.lastTerm || this.#runFirst.length === 0) this.#startRun(this.lastIndex + 1, term)
    this.lastIndex += count
    if (sizes.length - sizesFrom === count) {
      for (let i = sizesFrom; i < sizes.length; i++) this.hot.append(sizes[i]!)
    } else {
      this.hot.reset(this.lastIndex + 1)
    }
  }

  /** Terms that were guessed are known now. */
  relearn(runs: LogShape['termRuns']): void {
    this.#runFirst.length = 0
    this.#runTerm.length = 0
    for (const run of runs) this.#startRun(run.firstIndex, run.term)
  }

  /** Removes `from` and everything after it. */
  truncate(from: number): void {
    assert(from >= this.firstIndex && from <= this.lastIndex, 'a truncation cuts entries of the log')
    this.lastIndex = from - 1
    while (this.#runFirst.length > 0 && this.#runFirst[this.#runFirst.length - 1]! >= from) {
      this.#runFirst.pop()
      this.#runTerm.pop()
    }
    this.hot.truncate(from)
    this.durableIndex = Math.min(this.durableIndex, from - 1)
    if (this.#faults.has('persist-matched-by-index-only')) return
    for (const write of this.#pending) write.lastIndex = Math.min(write.lastIndex, from - 1)
  }

  /** Forgets what is below `firstIndex`, which is in the log. */
  trim(firstIndex: number): void {
    assert(firstIndex > this.firstIndex && firstIndex <= this.lastIndex, 'a trimmed log keeps its last entry')
    this.#prevTerm = this.termAt(firstIndex - 1)
    const run = this.#runAt(firstIndex)
    this.#runFirst.splice(0, run)
    this.#runTerm.splice(0, run)
    this.#runFirst[0] = firstIndex
    this.firstIndex = firstIndex
    this.hot.dropBefore(firstIndex)
  }

  /** The log as it is now is being written under this number. */
  handedOut(seq: number): void {
    this.#pending.push({ seq, lastIndex: this.lastIndex })
  }

  /** Everything handed out up to `seq` is durable. */
  persisted(seq: number): void {
    let done = 0
    while (done < this.#pending.length && this.#pending[done]!.seq <= seq) {
      const covered = Math.min(this.#pending[done]!.lastIndex, this.lastIndex)
      if (covered > this.durableIndex) this.durableIndex = covered
      done++
    }
    if (done === this.#pending.length) this.#pending.length = 0
    else if (done > 0) this.#pending.splice(0, done)
  }

  checkInvariants(): void {
    for (let i = 1; i < this.#runFirst.length; i++) {
      assert(this.#runFirst[i - 1]! < this.#runFirst[i]!, 'term runs ascend by index')
      assert(this.#runTerm[i - 1]! < this.#runTerm[i]!, 'term runs ascend by term')
    }
    const newest = this.#runFirst.length - 1
    assert(newest < 0 || this.#runFirst[0] === this.firstIndex, 'the first term run starts with the log')
    assert(this.hot.firstIndex >= this.firstIndex, 'hot entries are in the log')
    assert(newest < 0 || this.#runFirst[newest]! <= this.lastIndex, 'no term run is empty')
    assert(this.durableIndex <= this.lastIndex, 'what is durable is in the log')
    assert(this.hot.lastIndex === this.lastIndex, 'hot entries are the newest ones')
    for (let i = 1; i < this.#pending.length; i++) {
      assert(this.#pending[i - 1]!.seq < this.#pending[i]!.seq, 'writes are numbered in order')
    }
  }

  #startRun(firstIndex: number, term: number): void {
    assert(term >= this.lastTerm && (term > this.lastTerm || this.#runFirst.length === 0), 'term runs ascend by term')
    this.#runFirst.push(firstIndex)
    this.#runTerm.push(term)
  }

  /** Hot: nearly always the newest run, else a binary search. */
  #runAt(index: number): number {
    let high = this.#runFirst.length - 1
    if (this.#runFirst[high]! <= index) return high
    let low = 0
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (this.#runFirst[middle]! <= index) low = middle
      else high = middle - 1
    }
    return low
  }
}
