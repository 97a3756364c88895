/**
 * How many requests may hold bytes from disk at once. The others wait, first come first served, and hold nothing.
 *
 * Keeps: what admitted requests may give out is at most BYTES_MAX together (one is always admitted); at most WAITING_MAX wait.
 */
import type { Clock } from '@dledger-ts/base'
import type { StoreError } from '../errors.ts'
import { isClosed, tooMuchIsRead } from './read-errors.ts'

const BYTES_MAX = 16 * 1024 * 1024
const WAITING_MAX = 16_384

export interface Admitted {
  /** What it may give out at most. */
  readonly bytesMax: number
  admitted(): void
  refused(error: StoreError): void
}

export class Admission {
  readonly #clock: Clock
  #bytes = 0
  #count = 0
  #waiting: Admitted[] = []
  #head = 0
  #closed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  enter(request: Admitted): void {
    if (this.#closed) return request.refused(isClosed())
    if (this.#head === this.#waiting.length && this.#hasRoomFor(request)) {
      this.#reserve(request)
      return request.admitted()
    }
    if (this.#waiting.length - this.#head >= WAITING_MAX) return request.refused(tooMuchIsRead())
    this.#waiting.push(request)
  }

  /** An admitted request is answered. */
  leave(request: Admitted): void {
    this.#bytes -= request.bytesMax
    this.#count--
    for (;;) {
      const next = this.#waiting[this.#head]
      if (next === undefined) {
        this.#waiting = []
        this.#head = 0
        return
      }
      if (!this.#hasRoomFor(next)) return
      this.#head++
      if (this.#head > 1024 && this.#head * 2 > this.#waiting.length) {
        this.#waiting = this.#waiting.slice(this.#head)
        this.#head = 0
      }
      this.#reserve(next)
      // Not from within the call: one that finds all at hand is answered at once and would admit the next in turn.
      this.#clock.defer(() => next.admitted())
    }
  }

  /** Refuses what waits and all that comes. */
  close(): void {
    this.#closed = true
    const waiting = this.#waiting.slice(this.#head)
    this.#waiting = []
    this.#head = 0
    for (const request of waiting) request.refused(isClosed())
  }

  #hasRoomFor(request: Admitted): boolean {
    return this.#count === 0 || this.#bytes + request.bytesMax <= BYTES_MAX
  }

  #reserve(request: Admitted): void {
    this.#bytes += request.bytesMax
    this.#count++
  }
}
