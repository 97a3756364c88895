/**
 * The newest ids with the places of their messages, in a fixed amount of memory: 32 bytes for each of `countMax`.
 *
 * A ring holds them in log order; a hash index chains those of one bucket, newest first. Nothing is ever removed: a chain ends
 * where it leads to a slot that was taken by a newer id since, because everything behind it is older still.
 *
 * Keeps: times ascend in the order of adding; a chain is walked from newer to older only, so every walk ends.
 */
import { assert } from '@dledger-ts/base'

const NONE = -1

export class IdTable {
  readonly #countMax: number
  readonly #bucketMask: number
  readonly #high: Int32Array
  readonly #low: Int32Array
  readonly #places: Float64Array
  readonly #times: Float64Array
  /** The next older slot of the same bucket. */
  readonly #older: Int32Array
  /** The newest slot of each bucket. */
  readonly #newest: Int32Array
  /** How many were ever added; the newest one is at `(#added - 1) % #countMax`. */
  #added = 0

  constructor(countMax: number) {
    assert(countMax >= 1, 'a table of ids holds one at least')
    let buckets = 1
    while (buckets < countMax) buckets *= 2
    this.#countMax = countMax
    this.#bucketMask = buckets - 1
    // Untouched pages of a large typed array take no memory.
    this.#high = new Int32Array(countMax)
    this.#low = new Int32Array(countMax)
    this.#places = new Float64Array(countMax)
    this.#times = new Float64Array(countMax)
    this.#older = new Int32Array(countMax)
    this.#newest = new Int32Array(buckets).fill(NONE)
  }

  get count(): number {
    return Math.min(this.#added, this.#countMax)
  }

  /** The time of the id that the next `add` forgets; undefined while there is room. Hot. */
  get timeToBeForgotten(): number | undefined {
    return this.#added < this.#countMax ? undefined : this.#times[this.#added % this.#countMax]
  }

  /** Hot. */
  add(high: number, low: number, place: number, time: number): void {
    const slot = this.#added % this.#countMax
    const bucket = low & this.#bucketMask
    this.#older[slot] = this.#newestOf(bucket, slot)
    this.#high[slot] = high
    this.#low[slot] = low
    this.#places[slot] = place
    this.#times[slot] = time
    this.#newest[bucket] = slot
    this.#added++
  }

  /** @returns the newest slot with this hash that is not older than `timeMin`, or -1. Hot. */
  find(high: number, low: number, timeMin: number): number {
    const slot = this.#newestOf(low & this.#bucketMask, NONE)
    return slot === NONE ? NONE : this.#walk(slot, high, low, timeMin)
  }

  /** @returns the next older slot with the same hash, or -1; valid only while nothing is added. */
  findOlder(slot: number, timeMin: number): number {
    const older = this.#older[slot] as number
    if (older === NONE || this.#age(older) <= this.#age(slot)) return NONE
    return this.#walk(older, this.#high[slot] as number, this.#low[slot] as number, timeMin)
  }

  placeAt(slot: number): number {
    return this.#places[slot] as number
  }

  clear(): void {
    this.#added = 0
    this.#newest.fill(NONE)
  }

  /** @returns the newest slot of a bucket, or -1. @param taken a slot that is about to be taken by a new id. */
  #newestOf(bucket: number, taken: number): number {
    const slot = this.#newest[bucket] as number
    // Taken by an id of another bucket since: all that this bucket had are older, and gone.
    if (slot === NONE || slot === taken || ((this.#low[slot] as number) & this.#bucketMask) !== bucket) return NONE
    return slot
  }

  #walk(from: number, high: number, low: number, timeMin: number): number {
    let slot = from
    for (;;) {
      if ((this.#times[slot] as number) < timeMin) return NONE
      if (this.#low[slot] === low && this.#high[slot] === high) return slot
      const older = this.#older[slot] as number
      if (older === NONE || this.#age(older) <= this.#age(slot)) return NONE
      slot = older
    }
  }

  /** 0 for the newest. */
  #age(slot: number): number {
    const newest = (this.#added - 1) % this.#countMax
    return newest >= slot ? newest - slot : newest - slot + this.#countMax
  }
}
