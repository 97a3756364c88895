/**
 * Majorities. Keeps: any two majorities of the same voters share a member.
 */

/** @returns how many of `voterCount` voters make a majority. */
export function majorityOf(voterCount: number): number {
  return Math.floor(voterCount / 2) + 1
}

/**
 * Sorts the first `length` numbers of `indexes` in place, and finds the highest index that at least `needed` of them reach.
 *
 * Hot: once for each acknowledgement. Voters are few, so this is an insertion sort.
 */
export function highestReachedBy(indexes: Float64Array, length: number, needed: number): number {
  for (let i = 1; i < length; i++) {
    const value = indexes[i]!
    let at = i - 1
    while (at >= 0 && indexes[at]! < value) {
      indexes[at + 1] = indexes[at]!
      at--
    }
    indexes[at + 1] = value
  }
  return indexes[needed - 1]!
}
