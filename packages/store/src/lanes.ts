/** Much of the same work, a bounded number of pieces at a time, so that neither the disk nor the event loop is held up. */

export interface LanesOptions {
  readonly count: number
  /** Pieces under way at most. */
  readonly lanes: number
  /** Begins the i-th; `done` may be called from within the call. */
  readonly begin: (i: number, done: (error: Error | null) => void) => void
}

/** @param callback told once, when nothing is under way any more: the first error, after which no other piece is begun. */
export function inLanes({ count, lanes, begin }: LanesOptions, callback: (error: Error | null) => void): void {
  let next = 0
  let underWay = 0
  let failure: Error | null = null
  let isBeginning = false
  const go = (): void => {
    if (isBeginning) return // What ended within its call is counted; the loop that began it goes on.
    isBeginning = true
    while (next < count && underWay < lanes && failure === null) {
      underWay++
      begin(next++, (error) => {
        failure ??= error
        underWay--
        go()
      })
    }
    isBeginning = false
    if (underWay === 0) callback(failure)
  }
  go()
}
