/**
 * Runs of entries that are known to exist and whose bytes are not good: marked, kept out of service until they are repaired.
 *
 * Keeps: ranges ascend, never touch each other (neighbours are one range), and each is bounded by good entries or the log's ends.
 */
import { assert } from '@dledger-ts/base'

export interface TermRun {
  readonly firstIndex: number
  readonly term: number
}

export interface LostRange {
  readonly firstIndex: number
  readonly lastIndex: number
  /** End of the entry before: the first lost one starts here, or in the next file. */
  readonly pos: number
  /** The end of the last lost entry where it is known, else the start of the entry after it. */
  readonly endPos: number
  /** Chain value of the entry before; null where it is not known: it has no checksum. */
  readonly prevChain: number | null
  /** Where the term changes among them, as far as the index and trusted headers agree on it; null: not known. */
  readonly termRuns: readonly TermRun[] | null
  /** Its last entry looked good but was not continued by what was before it: so the end is beyond doubt now. */
  readonly isExtended?: boolean
}

export class LostRanges {
  #ranges: LostRange[] = []

  get isEmpty(): boolean {
    return this.#ranges.length === 0
  }

  get all(): readonly LostRange[] {
    return this.#ranges
  }

  /** The range that holds `index`, or null. */
  of(index: number): LostRange | null {
    for (const range of this.#ranges) if (range.firstIndex <= index && index <= range.lastIndex) return range
    return null
  }

  /** The first lost entry at or after `index`; infinite where there is none. */
  firstFrom(index: number): number {
    for (const range of this.#ranges) if (range.lastIndex >= index) return Math.max(index, range.firstIndex)
    return Number.POSITIVE_INFINITY
  }

  /** The first range that has bytes within `[pos, endPos)`, or null. */
  overlapping(pos: number, endPos: number): LostRange | null {
    for (const range of this.#ranges) if (range.pos < endPos && range.endPos > pos) return range
    return null
  }

  /** Takes a range in; what overlaps or touches it becomes one with it. */
  add(added: LostRange): void {
    let range = added
    const rest: LostRange[] = []
    for (const known of this.#ranges) {
      if (known.lastIndex < range.firstIndex - 1 || known.firstIndex > range.lastIndex + 1) rest.push(known)
      else range = merged(known, range)
    }
    rest.push(range)
    this.#ranges = rest.sort((a, b) => a.firstIndex - b.firstIndex)
  }

  /** Entries from the beginning of `range` up to `upTo` are good now. The next of them, if any, is bounded by these. */
  repaired(range: LostRange, upTo: { readonly index: number; readonly endPos: number; readonly chain: number }): void {
    const at = this.#ranges.indexOf(range)
    assert(at >= 0 && upTo.index >= range.firstIndex, 'what is repaired was lost')
    if (upTo.index >= range.lastIndex) {
      this.#ranges = this.#ranges.toSpliced(at, 1)
      return
    }
    const firstIndex = upTo.index + 1
    const runs = range.termRuns === null ? null : runsFrom(range.termRuns, firstIndex)
    const left = { ...range, firstIndex, pos: upTo.endPos, prevChain: upTo.chain, termRuns: runs }
    this.#ranges = this.#ranges.with(at, left)
  }

  /** Entries before `firstIndex` are no longer in the log. */
  trim(firstIndex: number): void {
    this.#ranges = this.#ranges.filter((range) => range.lastIndex >= firstIndex)
  }

  /** Entries from `index` on are no longer in the log. */
  truncate(index: number): void {
    this.#ranges = this.#ranges.filter((range) => range.firstIndex < index)
    const last = this.#ranges.at(-1)
    assert(last === undefined || last.lastIndex < index, 'the entry before a truncation is good')
  }
}

function merged(a: LostRange, b: LostRange): LostRange {
  const [low, high] = a.firstIndex <= b.firstIndex ? [a, b] : [b, a]
  const last = high.lastIndex >= low.lastIndex ? high : low
  const runs =
    low.termRuns === null || high.termRuns === null
      ? null
      : distinct([...low.termRuns.filter((run) => run.firstIndex < high.firstIndex), ...high.termRuns])
  return {
    ...low,
    lastIndex: last.lastIndex,
    endPos: last.endPos,
    termRuns: runs,
    isExtended: last.isExtended === true,
  }
}

function distinct(runs: readonly TermRun[]): TermRun[] {
  return runs.filter((run, i) => runs[i - 1]?.term !== run.term)
}

/** The runs as they are when only entries from `firstIndex` on are looked at. */
function runsFrom(runs: readonly TermRun[], firstIndex: number): TermRun[] {
  const before = runs.findLast((run) => run.firstIndex <= firstIndex)
  const rest = runs.filter((run) => run.firstIndex > firstIndex)
  return before === undefined ? rest : [{ firstIndex, term: before.term }, ...rest]
}
