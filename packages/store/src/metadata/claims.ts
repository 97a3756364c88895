/**
 * Rows that a leader is about to end or change: not part of the state, but of one leadership.
 *
 * Apply does not read rows, so whoever proposes an entry for one must know that it is there and that no other entry for it is
 * under way. Both are known at one moment: when a page of the table is told, and the row is in it and unclaimed.
 *
 * Keeps: a claim is dropped only when its entry is applied, when it is certain that the entry is not in the log, or with the
 * leadership.
 */
import { assert } from '@dledger-ts/base'

/** Waiting for one claim at most; beyond, the caller is told at once and looks again. */
const WAITERS_MAX = 16

export class Claims {
  readonly #waiters = new Map<string, (() => void)[]>()

  get count(): number {
    return this.#waiters.size
  }

  has(key: string): boolean {
    return this.#waiters.has(key)
  }

  claim(key: string): void {
    assert(!this.#waiters.has(key), 'a row is claimed by one')
    this.#waiters.set(key, [])
  }

  /** Drops a claim, if there is one. */
  release(key: string): void {
    const waiters = this.#waiters.get(key)
    this.#waiters.delete(key)
    for (const waiter of waiters ?? []) waiter()
  }

  /** Calls back when the claim is dropped. @returns false when too many wait for it already. */
  whenReleased(key: string, callback: () => void): boolean {
    const waiters = this.#waiters.get(key)
    assert(waiters !== undefined, 'a claim is waited for while it is there')
    if (waiters.length >= WAITERS_MAX) return false
    waiters.push(callback)
    return true
  }

  /** Another leadership. */
  clear(): void {
    const all = [...this.#waiters.keys()]
    for (const key of all) this.release(key)
  }
}
