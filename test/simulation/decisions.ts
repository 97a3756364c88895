/**
 * Every random decision of a simulation: a function of (seed, name, object, counter), never the next number of a stream.
 *
 * So removing one fault or one proposal from a schedule leaves the decisions about all others as they were, which is what
 * lets fast-check shrink a failing schedule. The counter belongs to the object that the decision is about.
 */
import { keyedHash, type Random } from '@dledger-ts/base'

export class Decisions {
  readonly seed: number

  constructor(seed: number) {
    this.seed = seed | 0
  }

  /** @returns a whole number in `[0, bound)`. */
  below(name: string, id: number, counter: number, bound: number): number {
    return Math.floor((keyedHash(this.seed, name, id, counter) / 0x1_0000_0000) * bound)
  }

  /** @returns true `perMille` times out of 1,000. */
  chance(name: string, id: number, counter: number, perMille: number): boolean {
    return perMille > 0 && this.below(name, id, counter, 1000) < perMille
  }

  /** A `Random` for production code that wants a stream: the n-th number asked for depends on nothing but n. */
  stream(name: string, id: number): Random {
    let counter = 0
    return { below: (bound) => this.below(name, id, counter++, bound) }
  }
}
