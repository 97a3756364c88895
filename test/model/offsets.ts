/**
 * The model of a group's offsets: the last one that was committed wins.
 *
 * Keeps, and says when the broker does not:
 *   - what is told is what somebody committed;
 *   - what was acknowledged in a group that is whole, and stayed so for `SETTLED_MS`, is never lost: at most the newest 200 ms are. So
 *     nothing is told that was over before that was asked for.
 */

/** Offsets are appended within 200 ms; so long a healthy group takes to replicate that, at most. */
export const SETTLED_MS = 400

/** One commit; moments only grow. */
export interface Commit {
  readonly offset: number
  readonly askedAt: number
  /** Infinity: it was not, and may still happen. */
  answeredAt: number
}

export class OffsetsModel {
  readonly #name: string
  readonly #violated: (what: string) => void
  readonly #asked = new Map<number, Commit>()
  #latest = 0
  /** The last that is never lost. */
  #settled: Commit | null = null

  constructor(name: string, violated: (what: string) => void) {
    this.#name = name
    this.#violated = violated
  }

  get settled(): Commit | null {
    return this.#settled
  }

  /** @returns what to commit next: each offset is another one. */
  next(by: number, moment: number): Commit {
    this.#latest += by
    const commit = { offset: this.#latest, askedAt: moment, answeredAt: Number.POSITIVE_INFINITY }
    this.#asked.set(commit.offset, commit)
    return commit
  }

  /** It was acknowledged, and nothing has happened to the group for long enough since. */
  settle(commit: Commit): void {
    if (this.#settled === null || commit.askedAt > this.#settled.askedAt) this.#settled = commit
  }

  /** @param offset null: the leader knows of none. @param settled as it was when this was asked for; null: not looked at. */
  told(offset: number | null, settled: Commit | null, by: string): void {
    const commit = this.#asked.get(offset ?? 0)
    if (commit === undefined && offset !== null && offset !== 0) {
      this.#violated(`${by} tells offset ${offset} of ${this.#name}, which nobody committed`)
    }
    if (settled === null || (commit?.answeredAt ?? -1) >= settled.askedAt || commit === settled) return
    this.#violated(`${by} tells offset ${offset} of ${this.#name}; ${settled.offset} was committed long before`)
  }
}
