/**
 * What was read from files a moment ago and may be wanted again: read ahead for a reader that comes back, or read for one of
 * several consumers at the same place. The system's page cache is the cache; this only saves repeating a read within a moment.
 *
 * Keeps: at most `bytesMax`, nothing for longer than KEPT_MS, oldest dropped first; no timer while nothing is kept.
 */
import type { Clock } from '@dledger-ts/base'

const KEPT_MS = 1_000

/** Something read that is kept for a moment. */
export interface RecentRead {
  readonly bytes: number
  /** Not kept any more. */
  dropped(): void
}

export class RecentReads {
  readonly #clock: Clock
  readonly #bytesMax: number
  #kept: ({ readonly read: RecentRead; readonly atMs: number } | null)[] = []
  /** Those before this place of the array are dropped, and null. */
  #head = 0
  #bytes = 0
  #cancelTimer: (() => void) | null = null

  constructor(clock: Clock, bytesMax: number) {
    this.#clock = clock
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  keep(read: RecentRead): void {
    this.#kept.push({ read, atMs: this.#clock.monotonicMs() })
    this.#bytes += read.bytes
    while (this.#bytes > this.#bytesMax) this.#dropOldest()
    this.#arm()
  }

  clear(): void {
    while (this.#head < this.#kept.length) this.#dropOldest()
    this.#kept = []
    this.#head = 0
    this.#cancelTimer?.()
    this.#cancelTimer = null
  }

  #dropOldest(): void {
    const oldest = this.#kept[this.#head]
    if (oldest === undefined || oldest === null) return
    this.#kept[this.#head++] = null
    this.#bytes -= oldest.read.bytes
    oldest.read.dropped()
    if (this.#head > 64 && this.#head * 2 > this.#kept.length) {
      this.#kept = this.#kept.slice(this.#head)
      this.#head = 0
    }
  }

  #arm(): void {
    const oldest = this.#kept[this.#head]
    if (oldest === undefined || oldest === null || this.#cancelTimer !== null) return
    const waitMs = Math.max(1, oldest.atMs + KEPT_MS - this.#clock.monotonicMs())
    this.#cancelTimer = this.#clock.after(waitMs, () => {
      this.#cancelTimer = null
      const until = this.#clock.monotonicMs() - KEPT_MS
      while ((this.#kept[this.#head]?.atMs ?? Number.POSITIVE_INFINITY) <= until) this.#dropOldest()
      if (this.#head === this.#kept.length) this.clear()
      this.#arm()
    })
  }
}
