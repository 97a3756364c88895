/**
 * The model of one group that pops in order, for one queue.
 *
 * Keeps, and says when the broker does not:
 *   - a message is given out only when all before it were, and were acknowledged, or come with it;
 *   - a message that is out is not given out again before its time is over, and never again once it was acknowledged in time;
 *   - in the end everything that can be seen was given out and acknowledged.
 */
import type { Handle } from './pops.ts'

interface State {
  handle: Handle
  /** When an acknowledgement was answered in time; Infinity: none was. */
  acknowledgedAt: number
  mayBeAcknowledged: boolean
}

export class OrderedPopModel {
  readonly #name: string
  readonly #violated: (what: string) => void
  readonly #states = new Map<number, State>()
  #newestPoppedMs = 0

  constructor(name: string, violated: (what: string) => void) {
    this.#name = name
    this.#violated = violated
  }

  /** Messages that are out, oldest first. */
  get out(): Handle[] {
    const handles: Handle[] = []
    for (const { handle, mayBeAcknowledged } of this.#states.values()) if (!mayBeAcknowledged) handles.push(handle)
    return handles.sort((a, b) => a.queueOffset - b.queueOffset)
  }

  /** @param batch of one answer, in its order. @param begun when it was asked for. */
  given(batch: readonly Handle[], begun: number, by: string): void {
    const [first] = batch
    // Answers may overtake each other.
    if (first === undefined || first.poppedMs < this.#newestPoppedMs) return
    this.#newestPoppedMs = first.poppedMs
    const offsets = batch.map(({ queueOffset }) => queueOffset)
    for (const handle of batch) {
      this.#checkBefore(handle, offsets, by)
      this.#checkAgain(handle, begun, by)
    }
    for (const handle of batch) {
      const acknowledgedAt = this.#states.get(handle.queueOffset)?.acknowledgedAt ?? Number.POSITIVE_INFINITY
      this.#states.set(handle.queueOffset, { handle, acknowledgedAt, mayBeAcknowledged: false })
    }
  }

  acknowledging({ queueOffset }: Handle): void {
    const state = this.#states.get(queueOffset)
    if (state !== undefined) state.mayBeAcknowledged = true
  }

  /** @param wallMs when the answer came. */
  acknowledged(handle: Handle, moment: number, wallMs: number): void {
    const state = this.#states.get(handle.queueOffset)
    if (state === undefined || state.handle !== handle || wallMs >= handle.untilMs) return
    state.acknowledgedAt = Math.min(state.acknowledgedAt, moment)
  }

  /** Everything was popped and acknowledged until nothing came any more. @param end one behind the last message. */
  checkAll(end: number): void {
    for (let offset = 0; offset < end; offset++) {
      const state = this.#states.get(offset)
      if (state === undefined) this.#violated(`${offset} of ${this.#name} was never given out in order`)
      else if (!state.mayBeAcknowledged) this.#violated(`${offset} of ${this.#name} does not come again in order`)
    }
  }

  #checkBefore({ queueOffset, body }: Handle, batch: readonly number[], by: string): void {
    for (let before = 0; before < queueOffset; before++) {
      const state = this.#states.get(before)
      if (batch.includes(before)) {
        if (batch.indexOf(before) > batch.indexOf(queueOffset)) {
          this.#violated(`${by} gives ${queueOffset} of ${this.#name} before ${before}`)
        }
      } else if (state === undefined) {
        this.#violated(`${by} gives ${body}, ${queueOffset} of ${this.#name}, in order; ${before} was never given`)
      } else if (!state.mayBeAcknowledged) {
        this.#violated(`${by} gives ${body}, ${queueOffset} of ${this.#name}, in order; ${before} is not acknowledged`)
      }
    }
  }

  #checkAgain({ queueOffset, body, poppedMs }: Handle, begun: number, by: string): void {
    const state = this.#states.get(queueOffset)
    if (state === undefined) return
    if (state.acknowledgedAt < begun) this.#violated(`${by} gives ${body} again in order, which was acknowledged`)
    const earlyMs = state.handle.untilMs - poppedMs
    if (earlyMs > 0 && !state.mayBeAcknowledged) {
      this.#violated(`${by} gives ${body} again in order, ${earlyMs} ms before its time is over`)
    }
  }
}
