/**
 * Whether a small write is made by the calling thread rather than by another one.
 *
 * A few pages into the page cache take some 10 µs; handing them to another thread and being woken by it takes ten times that. But a file
 * system that is short of memory or busy with its journal may hold up a write, and with it everything else the process does. So the other threads
 * write
 *
 *   - while a sync, or a write of theirs, takes long: what holds that up may hold up the next write as well;
 *   - for a while after a write that took long, or many that took a large share of the time, and for twice as long each time that comes
 *     back soon.
 */

/** Larger ones take as long as handing them over does. */
export const QUICK_BYTES_MAX = 256 * 1024

const SLOW_MS = 25
const PAUSE_MS_MIN = 1_000
const PAUSE_MS_MAX = 60_000
/** In so long a time … */
const SHARE_WINDOW_MS = 1_000
/** … all writes together may take so much. */
const SHARE_MS_MAX = 200

export class QuickWrites {
  #pauseMs = PAUSE_MS_MIN
  #pausedUntilMs = Number.NEGATIVE_INFINITY
  #windowFromMs = Number.NEGATIVE_INFINITY
  #windowTookMs = 0
  /** When what other threads do was begun, oldest first. */
  readonly #underWay = new Map<number, number>()
  #begun = 0

  /** Hot. */
  mayWrite(bytes: number, nowMs: number): boolean {
    if (bytes > QUICK_BYTES_MAX || nowMs < this.#pausedUntilMs) return false
    for (const sinceMs of this.#underWay.values()) return nowMs - sinceMs < SLOW_MS
    return true
  }

  /** Another thread syncs or writes. @returns what to call `ended` with. */
  begun(nowMs: number): number {
    this.#underWay.set(++this.#begun, nowMs)
    return this.#begun
  }

  ended(begun: number): void {
    this.#underWay.delete(begun)
  }

  /** Hot: a write by the calling thread was begun and has ended. */
  wrote(begunMs: number, endedMs: number): void {
    const tookMs = endedMs - begunMs
    if (begunMs - this.#windowFromMs > SHARE_WINDOW_MS) {
      this.#windowFromMs = begunMs
      this.#windowTookMs = 0
    }
    this.#windowTookMs += tookMs
    if (tookMs < SLOW_MS && this.#windowTookMs < SHARE_MS_MAX) return
    const isBackSoon = begunMs - this.#pausedUntilMs < Math.max(this.#pauseMs, 10 * tookMs)
    this.#pauseMs = isBackSoon ? Math.min(this.#pauseMs * 2, PAUSE_MS_MAX) : PAUSE_MS_MIN
    this.#pausedUntilMs = endedMs + this.#pauseMs
    this.#windowTookMs = 0
  }
}
