/** Much work of the same kind for this process alone, in slices, between which everything else has its turn. */

/** What a slice may take: a few milliseconds at some ten microseconds each. */
const SLICE_COUNT = 256
/** Slices of one piece of work: where there is more to do each is larger, or all the rest would outrun it. */
const SLICES_MAX = 128

/** How many are done within one pass of the event loop, of so many in all. */
export function sliceOf(count: number): number {
  return Math.max(SLICE_COUNT, Math.ceil(count / SLICES_MAX))
}

export interface SlicesOptions {
  readonly count: number
  readonly each: (i: number) => void
  /** Calls back later in the same pass of the event loop, or in the next one. */
  readonly defer: (callback: () => void) => void
}

/** @param callback told after the last one; within the call where one slice is enough. What `each` throws is thrown where its slice runs. */
export function inSlices({ count, each, defer }: SlicesOptions, callback: () => void): void {
  let next = 0
  const sliceCount = sliceOf(count)
  const slice = (): void => {
    const end = Math.min(count, next + sliceCount)
    while (next < end) each(next++)
    if (next === count) callback()
    else defer(slice)
  }
  slice()
}
