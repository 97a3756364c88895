/**
 * Whether a copy of a log may follow a master: pure, decided by the master.
 *
 * Two logs of one master that have the same term at an index are the same up to there. Where a copy was made the master, the log of the
 * former one is the same up to a known entry, and whatever that has beyond it does not count.
 *
 * Keeps:
 *   - a copy is let in only where it need not give up what it took for committed. What a master had sent and not written when it was killed, a
 *     slave gives up as followers do.
 *   - of the log of a former master nothing is given up so: it may have been acknowledged, whether the copy knows that or not;
 *   - nothing is said of a copy by a term that is guessed;
 *   - a copy is never called the worse one because its own master has lost something: which of them counts then, people say.
 */
import type { CopyStanding, MasterStanding } from '@dledger-ts/store'

export type Verdict =
  | { readonly kind: 'FITS' }
  /** It is of this line, but goes its own way after `lastIndex`, at the latest. */
  | { readonly kind: 'PARTED'; readonly lastIndex: number }
  /** It has what its own master had committed and lost. */
  | { readonly kind: 'AHEAD' }
  /** Nothing is known of its master: it may be another one's of the same name, or of one that was made so later. */
  | { readonly kind: 'FOREIGN' }
  /** What would tell is damaged here. */
  | { readonly kind: 'UNKNOWN' }

const FITS: Verdict = { kind: 'FITS' }
const AHEAD: Verdict = { kind: 'AHEAD' }

export function standingOf(master: MasterStanding, copy: Omit<CopyStanding, 'id' | 'isGuessed'>): Verdict {
  if (copy.lastIndex < 0) return FITS
  const end = lastIndexOf(master, copy.masterStore)
  if (end === null) return { kind: 'FOREIGN' }
  const isOwn = copy.masterStore === master.storeId
  const index = isOwn ? copy.commitIndex : copy.lastIndex
  if (index > end) return isOwn ? AHEAD : { kind: 'PARTED', lastIndex: end }
  if (master.isGuessed(index)) return { kind: 'UNKNOWN' }
  const term = master.termAt(index)
  // What is trimmed here is compared by nobody: the copy is given files.
  if (index < 0 || term === -1 || term === (isOwn ? copy.commitTerm : copy.lastTerm)) return FITS
  return isOwn ? AHEAD : { kind: 'PARTED', lastIndex: index - 1 }
}

/** @returns the last entry that the log of that master and this one share; null when it is none of this line. */
function lastIndexOf(master: MasterStanding, store: string | null): number | null {
  if (store === null) return null
  if (store === master.storeId) return master.lastIndex
  return master.formers.findLast((former) => former.storeId === store)?.lastIndex ?? null
}

/** Whether that master was replaced by the one whose standing this is. @returns the last entry of its own that counts. */
export function replacedAt(master: MasterStanding, former: string): number | null {
  return master.formers.findLast(({ storeId }) => storeId === former)?.lastIndex ?? null
}
