/**
 * The lives of a store: a number that grows at every opening of its directory. Its low bits are drawn, so that two openings that
 * start from one image of a disk differ.
 *
 *   count * 2^20 + nonce
 *
 * A store remembers its last ones and tells them. An image that goes on in the place of what came after it has other ones under the same
 * counts, however often it was opened before a peer sees it.
 *
 * What it cannot tell: an image of a running member that is restored before the directory was opened again looks like a restart; and so
 * does one that was opened more often, before it met the peer, than it remembers lives.
 */
import type { Random } from '@dledger-ts/base'
import type { HardState } from '../hard-state/hard-state-codec.ts'
import { FORMER_LIVES_MAX } from '../transport/greeting.ts'
import type { Hello } from '../transport/transport.ts'

const NONCES = 2 ** 20

type Lives = Pick<HardState, 'incarnation' | 'formerIncarnations'>

/** @returns the life that follows, and those before it. */
export function nextLife({ incarnation, formerIncarnations = [] }: Lives, random: Random): Lives {
  const next = (countOf(incarnation) + 1) * NONCES + random.below(NONCES)
  // A store that was never opened has none.
  if (incarnation === 0) return { incarnation: next }
  return { incarnation: next, formerIncarnations: [...formerIncarnations, incarnation].slice(-FORMER_LIVES_MAX) }
}

/** Whether a store that comes in the life `incarnation` is an older image than what was `seen` of it, or another copy of it. */
export function isOlderLife(incarnation: number, seen: number): boolean {
  return incarnation !== seen && countOf(incarnation) <= countOf(seen)
}

/** Whether the store that comes lived another life at the count of the one that was `seen`: it went on from an image of before that. */
export function isOtherBranch({ formerIncarnations }: Pick<Hello, 'formerIncarnations'>, seen: number): boolean {
  return formerIncarnations.some((life) => life !== seen && countOf(life) === countOf(seen))
}

function countOf(incarnation: number): number {
  return Math.floor(incarnation / NONCES)
}
