/**
 * The model of one group that pops: each message, and under which handle it is out.
 *
 * Keeps, and says when the broker does not:
 *   - a message whose acknowledgement was answered while its handle held is never given out again;
 *   - a message that is out is not given out again before its time is over;
 *   - what was not acknowledged comes again: in the end everything that can be seen was given out and acknowledged.
 */
export interface Handle {
  readonly body: string
  readonly extraInfo: string
  readonly topic: string
  readonly queueId: number
  readonly queueOffset: number
  /** By the wall clock: when it was given out, and until when it is nobody else's. */
  readonly poppedMs: number
  readonly untilMs: number
}

interface State {
  handle: Handle
  /** When an acknowledgement was answered in time; Infinity: none was. */
  acknowledgedAt: number
  /** An acknowledgement was asked for, whatever became of it. */
  mayBeAcknowledged: boolean
  /** Its time was changed, and nobody knows whether. */
  isTimeUnknown: boolean
}

export class PopModel {
  readonly #violated: (what: string) => void
  readonly #states = new Map<string, State>()
  /** Pops that were asked for. */
  asked = 0

  constructor(violated: (what: string) => void) {
    this.#violated = violated
  }

  /** Messages that are out, oldest first. */
  get out(): Handle[] {
    const found: Handle[] = []
    for (const { handle, mayBeAcknowledged } of this.#states.values()) if (!mayBeAcknowledged) found.push(handle)
    return found
  }

  /** @param begun when the pop was asked for. */
  given(handle: Handle, begun: number, by: string): void {
    const state = this.#states.get(handle.body)
    if (state !== undefined) {
      if (state.acknowledgedAt < begun) this.#violated(`${by} gives ${handle.body} again, which was acknowledged`)
      // Answers may overtake each other.
      const isLate = handle.poppedMs < state.handle.poppedMs
      const [first, second] = isLate ? [handle, state.handle] : [state.handle, handle]
      const earlyMs = first.untilMs - second.poppedMs
      if (!state.isTimeUnknown && earlyMs > 0) {
        this.#violated(`${by} gives ${handle.body} again, ${earlyMs} ms before its time is over`)
      }
      if (isLate) return
    }
    const acknowledgedAt = state?.acknowledgedAt ?? Number.POSITIVE_INFINITY
    this.#states.set(handle.body, { handle, acknowledgedAt, mayBeAcknowledged: false, isTimeUnknown: false })
  }

  acknowledging({ body }: Handle): void {
    const state = this.#states.get(body)
    if (state !== undefined) state.mayBeAcknowledged = true
  }

  /** @param wallMs when the answer came. */
  acknowledged(handle: Handle, moment: number, wallMs: number): void {
    const state = this.#states.get(handle.body)
    // What came again meanwhile is another pop's.
    if (state === undefined || state.handle !== handle || state.isTimeUnknown || wallMs >= handle.untilMs) return
    state.acknowledgedAt = Math.min(state.acknowledgedAt, moment)
  }

  changing({ body }: Handle): void {
    const state = this.#states.get(body)
    if (state !== undefined) state.isTimeUnknown = true
  }

  /** @param wallMs when the answer came. */
  changed(former: Handle, handle: Handle, wallMs: number): void {
    const state = this.#states.get(handle.body)
    if (state === undefined || state.handle !== former || wallMs >= former.untilMs) return
    state.handle = handle
    state.isTimeUnknown = false
  }

  /** Everything was popped and acknowledged until nothing came any more. */
  checkAll(bodies: Iterable<string>): void {
    for (const body of bodies) {
      const state = this.#states.get(body)
      if (state === undefined) this.#violated(`${body} was never given out to those that pop`)
      else if (!state.mayBeAcknowledged) this.#violated(`${body} was not acknowledged and does not come again`)
    }
  }
}
