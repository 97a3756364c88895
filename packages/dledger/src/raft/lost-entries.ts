/**
 * What the core knows of entries that are in the log here and whose bytes are not good: where they are, and no more.
 *
 *   R22 a member with lost entries votes by where its log ends, as if nothing were lost, and neither stands for election nor is
 *       handed the leadership; alone in its group it leads, unless a configuration may be among what is lost.
 *   R23 lost entries above commitIndex, and all after them, count for no new commit until they are filled in again; of a member that leads
 *       alone they count, for nobody else can ever fill them in, and what is good before and behind them is not to wait for that.
 */
export interface LostEntries {
  /** Ascending. */
  readonly ranges: readonly { readonly firstIndex: number; readonly lastIndex: number }[]
  /** The terms of some are not known: nothing can be compared with a leader's log before that is. */
  readonly termsUnknown: boolean
  /** One of them is, or may be, a configuration. */
  readonly configurationIsLost: boolean
}

export const NOTHING_LOST: LostEntries = { ranges: [], termsUnknown: false, configurationIsLost: false }

export function isLost({ ranges }: LostEntries, index: number): boolean {
  for (const range of ranges) if (range.firstIndex <= index && index <= range.lastIndex) return true
  return false
}

/** The first lost entry at or after `index`; infinite where there is none. */
export function firstLostFrom({ ranges }: LostEntries, index: number): number {
  for (const range of ranges) if (range.lastIndex >= index) return Math.max(index, range.firstIndex)
  return Number.POSITIVE_INFINITY
}

/** What is left when entries from `index` on are no longer in the log. */
export function lostBelow(lost: LostEntries, index: number): LostEntries {
  if (firstLostFrom(lost, index) === Number.POSITIVE_INFINITY) return lost
  const ranges = lost.ranges
    .filter((range) => range.firstIndex < index)
    .map((range) => ({ firstIndex: range.firstIndex, lastIndex: Math.min(range.lastIndex, index - 1) }))
  return ranges.length === 0 ? NOTHING_LOST : { ...lost, ranges }
}
