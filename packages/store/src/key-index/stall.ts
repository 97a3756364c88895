/**
 * The log cannot be read, or the disk takes nothing, for now.
 *
 * Keeps: while it lasts one retry is pending, unless nothing begins by itself any more.
 */
import type { Clock, Logger } from '@dledger-ts/base'

const RETRY_MS = 10_000

export interface StallOptions {
  readonly clock: Clock
  readonly logger: Logger
  /** It is tried again. */
  readonly retry: () => void
}

export class Stall {
  readonly #options: StallOptions
  #isStalled = false
  #isStopped = false
  #cancelRetry: (() => void) | null = null

  constructor(options: StallOptions) {
    this.#options = options
  }

  get isStalled(): boolean {
    return this.#isStalled
  }

  begin(error: Error, message: string): void {
    this.#isStalled = true
    if (this.#isStopped || this.#cancelRetry !== null) return
    const { clock, logger, retry } = this.#options
    logger.warn({ err: error }, message)
    this.#cancelRetry = clock.after(RETRY_MS, () => {
      this.#cancelRetry = null
      this.#isStalled = false
      retry()
    })
  }

  /** What it was about is void. */
  discard(): void {
    this.#isStalled = false
  }

  /** No retry after this. */
  stop(): void {
    this.#isStopped = true
    this.#cancelRetry?.()
    this.#cancelRetry = null
  }
}
