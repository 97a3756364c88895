/**
 * Warnings that strangers cause as often as they like.
 *
 * Keeps: each kind is logged once a second at most, with how many others of its kind there were since.
 */
import type { Clock, Logger } from '@dledger-ts/base'

const EVERY_MS = 1_000

interface Told {
  readonly atMs: number
  others: number
}

export class PacedWarnings {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #told = new Map<string, Told>()

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock
    this.#logger = logger
  }

  /** @param event a constant: each is remembered. */
  warn(fields: Readonly<Record<string, unknown>>, event: string): void {
    const nowMs = this.#clock.monotonicMs()
    const told = this.#told.get(event)
    if (told !== undefined && nowMs - told.atMs < EVERY_MS) {
      told.others++
      return
    }
    const others = told?.others ?? 0
    this.#told.set(event, { atMs: nowMs, others: 0 })
    this.#logger.warn(others === 0 ? fields : { ...fields, others }, event)
  }
}
