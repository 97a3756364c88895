/**
 * The sizes of the newest entries, from which appends and windows are cut. A ring; nothing else of an entry is kept here.
 *
 * Keeps: sizes are known for exactly `firstIndex … lastIndex`, a suffix of the log; memory follows the bytes kept, not the log.
 */
import { assert } from '@dledger-ts/base'

const INITIAL_CAPACITY = 1024

export class HotSizes {
  /** `lastIndex + 1` when nothing is hot. */
  firstIndex: number
  lastIndex: number
  /** Bytes from an arbitrary origin to the end of each entry; entry i stands at i & mask. */
  #ends = new Float64Array(INITIAL_CAPACITY)
  #mask = INITIAL_CAPACITY - 1
  /** Where the first hot entry starts, from the same origin. */
  #start = 0
  #end = 0

  constructor(nextIndex: number) {
    this.firstIndex = nextIndex
    this.lastIndex = nextIndex - 1
  }

  get bytes(): number {
    return this.#end - this.#start
  }

  append(size: number): void {
    if (this.lastIndex - this.firstIndex + 1 > this.#mask) this.#grow()
    this.lastIndex++
    this.#end += size
    this.#ends[this.lastIndex & this.#mask] = this.#end
  }

  /** Forgets everything; the next entry appended has this index. */
  reset(nextIndex: number): void {
    this.firstIndex = nextIndex
    this.lastIndex = nextIndex - 1
    this.#start = 0
    this.#end = 0
  }

  truncate(from: number): void {
    if (from > this.lastIndex) return
    if (from <= this.firstIndex) return this.reset(from)
    this.lastIndex = from - 1
    this.#end = this.#ends[this.lastIndex & this.#mask]!
  }

  /** Drops the entries below `index`, which is in the log. */
  dropBefore(index: number): void {
    if (index <= this.firstIndex) return
    this.#start = this.#endOf(index - 1)
    this.firstIndex = index
  }

  /** Drops the oldest entries while there are more than `bytesMax` bytes, none above `dropUpTo`. */
  shrink(bytesMax: number, dropUpTo: number): void {
    while (this.#end - this.#start > bytesMax && this.firstIndex <= dropUpTo && this.firstIndex <= this.lastIndex) {
      this.#start = this.#ends[this.firstIndex & this.#mask]!
      this.firstIndex++
    }
  }

  /** Bytes of the hot entries above `index`. */
  bytesAbove(index: number): number {
    return index >= this.lastIndex ? 0 : this.#end - this.#endOf(Math.max(index, this.firstIndex - 1))
  }

  bytesOf(first: number, last: number): number {
    return this.#endOf(last) - this.#endOf(first - 1)
  }

  /** @returns the last index of the longest run from `first` on, not beyond `last`, of at most `bytesMax`; one entry always fits. */
  endOfBatch(first: number, last: number, bytesMax: number): number {
    assert(first >= this.firstIndex && last <= this.lastIndex && first <= last, 'a batch is cut from hot entries')
    const limit = this.#endOf(first - 1) + bytesMax
    let low = first
    let high = last
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (this.#ends[middle & this.#mask]! <= limit) low = middle
      else high = middle - 1
    }
    return low
  }

  #endOf(index: number): number {
    return index < this.firstIndex ? this.#start : this.#ends[index & this.#mask]!
  }

  #grow(): void {
    const grown = new Float64Array(this.#ends.length * 2)
    const mask = grown.length - 1
    for (let i = this.firstIndex; i <= this.lastIndex; i++) grown[i & mask] = this.#ends[i & this.#mask]!
    this.#ends = grown
    this.#mask = mask
  }
}
