/** Much work of the same kind for this process alone, in slices, between which everything else has its turn. */

/** What a slice may take: a few milliseconds at some ten microseconds each. */
const SLICE_COUNT = 256

export interface SlicesOptions {
  readonly count: number
  readonly each: (i: number) => void
  /** Calls back later in the same pass of the event loop, or in the next one. */
  readonly defer: (callback: () => void) => void
}

/** @param callback told after the last one; within the call where one slice is enough. What `each` throws is thrown where its slice runs. */
export function inSlices({ count, each, defer }: SlicesOptions, callback: () => void): void {
  let next = 0
  const slice = (): void => {
    const end = Math.min(count, next + SLICE_COUNT)
    while (next < end) each(next++)
    if (next === count) callback()
    else defer(slice)
  }
  slice()
}
