/**
 * The lives of a store: a number that grows at every opening of its directory. Its low bits are drawn, so that two openings that
 * start from one image of a disk differ.
 *
 *   count * 2^20 + nonce
 *
 * What it cannot tell: an image of a running member that is restored before the directory was opened again looks like a restart.
 */
import type { Random } from '@dledger-ts/base'

const NONCES = 2 ** 20

/** @returns the life that follows `incarnation`. */
export function nextIncarnation(incarnation: number, random: Random): number {
  return (Math.floor(incarnation / NONCES) + 1) * NONCES + random.below(NONCES)
}

/** Whether a store that comes in the life `incarnation` is an older image than what was `seen` of it, or another copy of it. */
export function isOlderLife(incarnation: number, seen: number): boolean {
  return incarnation !== seen && Math.floor(incarnation / NONCES) <= Math.floor(seen / NONCES)
}
