/** How far the log is synced, in bytes: the log tells it by indexes, the batches that were applied say which bytes these are. */
export class LogMarks {
  /** Everything before it is synced; a place between two entries. */
  durableEnd = 0
  /** The last entry before it. */
  durableIndex = -1
  #indexes: number[] = []
  #ends: number[] = []

  /** A batch was applied whose last entry is `index` and ends before `physicalEnd`. */
  applied(index: number, physicalEnd: number): void {
    this.#indexes.push(index)
    this.#ends.push(physicalEnd)
  }

  /** Entries up to `index` are synced. */
  durable(index: number): void {
    let count = 0
    while (count < this.#indexes.length && (this.#indexes[count] as number) <= index) count++
    if (count === 0) return
    this.durableEnd = this.#ends[count - 1] as number
    this.durableIndex = this.#indexes[count - 1] as number
    this.#indexes = this.#indexes.slice(count)
    this.#ends = this.#ends.slice(count)
  }

  /** Nothing is known but that everything up to entry `index`, which ends before `physicalEnd`, is synced. */
  reset(index: number, physicalEnd: number): void {
    this.durableEnd = physicalEnd
    this.durableIndex = index
    this.#indexes = []
    this.#ends = []
  }
}
