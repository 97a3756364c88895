/**
 * What waits, in the order of its deadlines.
 *
 * Keeps:
 *   - one timer for all, and none while nothing waits: what waits costs nothing until the first deadline;
 *   - each is told of once, never before its deadline, unless it is removed before;
 *   - adding and removing takes a number of steps that grows with the logarithm of what waits.
 *
 * A binary heap; each item knows its place in it.
 */
import { assert, type Clock } from '@dledger-ts/base'

const NOWHERE = -1

/** Something that waits; the fields are those of the table that it waits in. */
export class Timed {
  /** Monotonic. */
  deadlineMs = 0
  heapPlace = NOWHERE

  get isTimed(): boolean {
    return this.heapPlace !== NOWHERE
  }
}

export class Deadlines<Item extends Timed> {
  readonly #clock: Clock
  readonly #due: (item: Item) => void
  readonly #heap: Item[] = []
  #cancelTimer: (() => void) | null = null
  /** When the timer fires; it may be earlier than the first deadline: that one may have been removed. */
  #timerMs = Infinity

  /** `due` is called with each item whose deadline has come; it is not in here any more. */
  constructor(clock: Clock, due: (item: Item) => void) {
    this.#clock = clock
    this.#due = due
  }

  get size(): number {
    return this.#heap.length
  }

  add(item: Item, delayMs: number): void {
    assert(!item.isTimed, 'an item has one deadline')
    item.deadlineMs = this.#clock.monotonicMs() + delayMs
    this.#heap.push(item)
    this.#rise(item, this.#heap.length - 1)
    if (item.deadlineMs < this.#timerMs) this.#arm(item.deadlineMs, delayMs)
  }

  remove(item: Item): void {
    const place = item.heapPlace
    assert(this.#heap[place] === item, 'only what waits is removed')
    const last = this.#heap.pop() as Item
    item.heapPlace = NOWHERE
    if (last !== item) {
      this.#rise(last, place)
      this.#sink(last, last.heapPlace)
    }
    if (this.#heap.length === 0) this.#disarm()
  }

  #arm(atMs: number, delayMs: number): void {
    this.#cancelTimer?.()
    this.#timerMs = atMs
    // Timers cut fractions of a millisecond off.
    this.#cancelTimer = this.#clock.after(Math.ceil(delayMs), this.#fire)
  }

  #disarm(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#timerMs = Infinity
  }

  readonly #fire = (): void => {
    this.#disarm()
    const nowMs = this.#clock.monotonicMs()
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined) return
      if (first.deadlineMs > nowMs) {
        if (first.deadlineMs < this.#timerMs) this.#arm(first.deadlineMs, first.deadlineMs - nowMs)
        return
      }
      this.remove(first)
      this.#due(first)
    }
  }

  /** Puts an item at `place` or above it. */
  #rise(item: Item, place: number): void {
    let at = place
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = this.#heap[above] as Item
      if (parent.deadlineMs <= item.deadlineMs) break
      this.#put(parent, at)
      at = above
    }
    this.#put(item, at)
  }

  /** Puts an item at `place` or below it. */
  #sink(item: Item, place: number): void {
    const { length } = this.#heap
    let at = place
    for (;;) {
      let below = 2 * at + 1
      if (below >= length) break
      const right = this.#heap[below + 1]
      if (right !== undefined && right.deadlineMs < (this.#heap[below] as Item).deadlineMs) below++
      const child = this.#heap[below] as Item
      if (child.deadlineMs >= item.deadlineMs) break
      this.#put(child, at)
      at = below
    }
    this.#put(item, at)
  }

  #put(item: Item, place: number): void {
    this.#heap[place] = item
    item.heapPlace = place
  }
}
