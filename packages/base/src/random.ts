/**
 * Randomness as a dependency, in two forms.
 *
 * `Random` is a stream (production). `keyedHash` draws each decision from (seed, name, id, counter): removing one decision
 * leaves all others as they were, which is what lets a property test shrink a failing schedule.
 */
import { assert } from './assert.ts'

export interface Random {
  /** @returns a whole number in `[0, bound)`. */
  below(bound: number): number
}

export const systemRandom: Random = {
  below: (bound) => {
    assert(bound > 0, 'a random bound is positive')
    return Math.floor(Math.random() * bound)
  },
}

/** A reproducible stream (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return {
    below: (bound) => {
      assert(bound > 0, 'a random bound is positive')
      state = (state + 0x6d2b79f5) >>> 0
      let t = state
      t = Math.imul(t ^ (t >>> 15), t | 1)
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
      return Math.floor((((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000) * bound)
    },
  }
}

/** @returns an unsigned 32-bit hash of the decision's name and numbers (FNV-1a, then an avalanche). */
export function keyedHash(seed: number, name: string, id: number, counter: number): number {
  let h = 0x811c9dc5 ^ seed
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ id, 0x01000193)
  h = Math.imul(h ^ counter, 0x85ebca6b)
  h ^= h >>> 16
  h = Math.imul(h, 0xc2b2ae35)
  h ^= h >>> 13
  h = Math.imul(h, 0x27d4eb2f)
  return (h ^ (h >>> 16)) >>> 0
}
