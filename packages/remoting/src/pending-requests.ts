/**
 * The requests of one side of a connection that wait for their answers.
 *
 * Always holds:
 *   - Each handler is told exactly once: the answer, a timeout, or that the connection is gone; whatever another one throws.
 *   - At most `pendingMax` wait; the next one is refused.
 *   - One timer at most is armed, for the earliest deadline seen when it was armed; an answer never touches it.
 *   - Time in which this process stood still fails no request whose answer has arrived meanwhile.
 */
import { assert, type Clock } from '@dledger-ts/base'
import type { RemotingCommand } from './command.ts'
import { RemotingError } from './errors.ts'

/** A timer that comes later than this was kept waiting by this process itself. */
const LATE_MS = 50

/** Told the outcome of a request, exactly once. */
export interface ResponseHandler {
  responded(response: RemotingCommand): void
  failed(error: RemotingError): void
}

class Pending {
  readonly handler: ResponseHandler
  readonly timeoutMs: number
  readonly deadlineMs: number

  constructor(handler: ResponseHandler, timeoutMs: number, deadlineMs: number) {
    this.handler = handler
    this.timeoutMs = timeoutMs
    this.deadlineMs = deadlineMs
  }
}

export class PendingRequests {
  readonly #clock: Clock
  readonly #address: string
  readonly #pendingMax: number
  readonly #handlerThrew: (error: unknown) => void
  readonly #byOpaque = new Map<number, Pending>()
  #nextOpaque = 0
  #armedDeadlineMs = Number.POSITIVE_INFINITY
  #cancelTimer: (() => void) | undefined

  /** @param options.handlerThrew told what a handler threw when its request had failed. */
  constructor(options: { clock: Clock; address: string; pendingMax: number; handlerThrew: (error: unknown) => void }) {
    this.#clock = options.clock
    this.#address = options.address
    this.#pendingMax = options.pendingMax
    this.#handlerThrew = options.handlerThrew
  }

  get count(): number {
    return this.#byOpaque.size
  }

  /** @returns the opaque of a request that expects no answer. */
  nextOpaque(): number {
    const opaque = this.#nextOpaque
    this.#nextOpaque = (opaque + 1) | 0
    return opaque
  }

  /** @returns the opaque to send, or undefined when `pendingMax` requests wait already: then `handler` is told nothing. Hot. */
  add(handler: ResponseHandler, timeoutMs: number): number | undefined {
    if (this.#byOpaque.size >= this.#pendingMax) return undefined
    const deadlineMs = this.#clock.monotonicMs() + timeoutMs
    let opaque = this.nextOpaque()
    // After 2^32 requests an old one may still wait under this number.
    while (this.#byOpaque.has(opaque)) opaque = this.nextOpaque()
    this.#byOpaque.set(opaque, new Pending(handler, timeoutMs, deadlineMs))
    if (deadlineMs < this.#armedDeadlineMs) this.#arm(deadlineMs)
    return opaque
  }

  /** Gives an answer to its handler. @returns false when nobody waits for it (any more). Hot. */
  complete(response: RemotingCommand): boolean {
    const pending = this.#byOpaque.get(response.opaque)
    if (pending === undefined) return false
    this.#byOpaque.delete(response.opaque)
    pending.handler.responded(response)
    return true
  }

  /** Fails one that was not sent. Does nothing where nobody waits for its answer. */
  fail(opaque: number, error: RemotingError): void {
    const pending = this.#byOpaque.get(opaque)
    if (pending === undefined) return
    this.#byOpaque.delete(opaque)
    pending.handler.failed(error)
  }

  /** Fails all that wait. */
  failAll(error: RemotingError): void {
    this.#disarm()
    const all = [...this.#byOpaque.values()]
    this.#byOpaque.clear()
    for (const { handler } of all) this.#fail(handler, error)
  }

  #fail(handler: ResponseHandler, error: RemotingError): void {
    try {
      handler.failed(error)
    } catch (thrown) {
      this.#handlerThrew(thrown)
    }
  }

  #arm(deadlineMs: number): void {
    this.#disarm()
    this.#armedDeadlineMs = deadlineMs
    this.#cancelTimer = this.#clock.after(Math.max(0, Math.ceil(deadlineMs - this.#clock.monotonicMs())), () => {
      if (this.#clock.monotonicMs() - deadlineMs < LATE_MS) this.#due()
      else this.#dueAfterInput()
    })
  }

  /** Timers come before input: what has arrived while nothing ran is taken first. */
  #dueAfterInput(): void {
    let isWanted = true
    this.#cancelTimer = () => (isWanted = false)
    this.#clock.defer(() => {
      if (isWanted) this.#due()
    })
  }

  #due(): void {
    this.#cancelTimer = undefined
    this.#armedDeadlineMs = Number.POSITIVE_INFINITY
    this.#expire()
  }

  #disarm(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#armedDeadlineMs = Number.POSITIVE_INFINITY
  }

  #expire(): void {
    const nowMs = this.#clock.monotonicMs()
    const expired: Pending[] = []
    let earliestMs = Number.POSITIVE_INFINITY
    for (const [opaque, pending] of this.#byOpaque) {
      if (pending.deadlineMs <= nowMs) {
        this.#byOpaque.delete(opaque)
        expired.push(pending)
      } else if (pending.deadlineMs < earliestMs) {
        earliestMs = pending.deadlineMs
      }
    }
    if (earliestMs < Number.POSITIVE_INFINITY) this.#arm(earliestMs)
    for (const { handler, timeoutMs } of expired) {
      const detail = { code: 'TIMEOUT', address: this.#address, timeoutMs } as const
      this.#fail(handler, new RemotingError(`no answer from ${this.#address} within ${timeoutMs} ms`, detail))
    }
    assert(this.#cancelTimer !== undefined || this.#byOpaque.size === 0, 'whoever waits has a timer')
  }
}
