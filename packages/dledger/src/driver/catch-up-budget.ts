/**
 * How fast followers are fed from disk, all together: bytes per second, handed out anew at every wake-up, for the time since the last one.
 *
 * Keeps: over any time no more than the rate and one piece for each follower; what was not used is not saved up.
 */
export class CatchUpBudget {
  readonly #bytesPerSecond: number
  #left: number

  /** @param bytesPerSecond 0: no limit. */
  constructor(bytesPerSecond: number, firstMs: number) {
    this.#bytesPerSecond = bytesPerSecond
    this.#left = (bytesPerSecond * firstMs) / 1000
  }

  /** Whether another piece may go now. */
  get isOpen(): boolean {
    return this.#bytesPerSecond === 0 || this.#left > 0
  }

  take(bytes: number): void {
    this.#left -= bytes
  }

  /** So much time has passed. */
  refill(elapsedMs: number): void {
    const bytes = (this.#bytesPerSecond * elapsedMs) / 1000
    this.#left = Math.min(this.#left + bytes, bytes)
  }
}
