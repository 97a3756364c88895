/**
 * Whether a small write is made by the calling thread rather than by another one.
 *
 * A few pages into the page cache take some 10 µs; handing them to another thread and being woken by it takes ten times that. But a file
 * system that is short of memory or busy with its journal may hold up a write, and with it everything else the process does: after one that took
 * long the other threads write for a while, and for twice as long each time that comes back soon.
 */

/** Larger ones take as long as handing them over does. */
export const QUICK_BYTES_MAX = 256 * 1024

const SLOW_MS = 25
const PAUSE_MS_MIN = 1_000
const PAUSE_MS_MAX = 60_000

export class QuickWrites {
  #pauseMs = PAUSE_MS_MIN
  #pausedUntilMs = Number.NEGATIVE_INFINITY

  /** Hot. */
  mayWrite(bytes: number, nowMs: number): boolean {
    return bytes <= QUICK_BYTES_MAX && nowMs >= this.#pausedUntilMs
  }

  /** Hot: a write by the calling thread was begun and has ended. */
  wrote(begunMs: number, endedMs: number): void {
    if (endedMs - begunMs < SLOW_MS) return
    const isBackSoon = begunMs - this.#pausedUntilMs < this.#pauseMs
    this.#pauseMs = isBackSoon ? Math.min(this.#pauseMs * 2, PAUSE_MS_MAX) : PAUSE_MS_MIN
    this.#pausedUntilMs = endedMs + this.#pauseMs
  }
}
