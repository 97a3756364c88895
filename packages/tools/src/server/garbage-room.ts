/**
 * How much garbage may gather before V8 marks the whole heap: as much as the heap holds, and four times as much while messages are so large
 * that it would be marked several times a second otherwise. Once that is over, what has gathered is collected and the room is as before. A large
 * heap has room enough as it is, and takes long to be collected at once.
 *
 * Buffers of messages lie outside of V8's heap and count against its room, and only a collection finds out which of them are free again.
 */

/** Of what was alive after the last collection. */
export const NARROW_PERCENT = 100
export const WIDE_PERCENT = 400

/** Of a heap that is large. */
const LARGE_BYTES = 32 * 1024 * 1024

/** A collection comes soon when the last one began less than this before … */
const SOON_MS = 500
/** … and so many that come soon in a row are too many. */
const SOON_COUNT = 3
/** None for so long: the large messages are over, or the room is enough for far more than there are. */
const CALM_MS = 5_000

export interface GarbageRoomOptions {
  /** What V8 goes by from the end of the next collection on. */
  readonly setGrowthPercent: (percent: number) => void
  /** Of the heap as it is now, without the buffers. */
  readonly heapBytes: () => number
  /** Collects the old generation now: 20 to 50 ms where the heap is not large, once for a spell of large messages. */
  readonly collect: () => void
  /** @returns what cancels it. Keeps no process alive. */
  readonly after: (delayMs: number, callback: () => void) => () => void
}

export class GarbageRoom {
  readonly #options: GarbageRoomOptions
  #lastMs = Number.NEGATIVE_INFINITY
  #soonCount = 0
  #cancelCalm: (() => void) | null = null

  constructor(options: GarbageRoomOptions) {
    this.#options = options
    options.setGrowthPercent(NARROW_PERCENT)
  }

  /** The old generation was collected. @param nowMs when that began, of a clock that only goes forward. */
  collected(nowMs: number): void {
    this.#soonCount = nowMs - this.#lastMs < SOON_MS ? this.#soonCount + 1 : 0
    this.#lastMs = nowMs
    if (this.#cancelCalm !== null) {
      if (this.#isLarge) this.#narrow()
      else this.#awaitCalm()
    } else if (this.#soonCount >= SOON_COUNT && !this.#isLarge) {
      this.#options.setGrowthPercent(WIDE_PERCENT)
      this.#awaitCalm()
    }
  }

  get #isLarge(): boolean {
    return this.#options.heapBytes() > LARGE_BYTES
  }

  #awaitCalm(): void {
    this.#cancelCalm?.()
    this.#cancelCalm = this.#options.after(CALM_MS, () => {
      this.#narrow()
      if (!this.#isLarge) this.#options.collect()
    })
  }

  #narrow(): void {
    this.#cancelCalm?.()
    this.#cancelCalm = null
    this.#soonCount = 0
    this.#options.setGrowthPercent(NARROW_PERCENT)
  }
}
