/**
 * The model of half messages: what their producer asked for decides whether they are ever seen.
 *
 * Keeps: a half message that was rolled back before anybody committed it is refused; one that was committed before anybody rolled it
 * back is acknowledged; of one for which both were under way at once either may be true.
 */
import type { Sent } from './queues.ts'

export class HalfMessage {
  readonly sent: Sent
  /** What the producer needs to end it. */
  readonly physicalOffset: number
  readonly halfOffset: number
  #commits = 0
  #rollbacks = 0

  constructor(sent: Sent, physicalOffset: number, halfOffset: number) {
    this.sent = sent
    this.physicalOffset = physicalOffset
    this.halfOffset = halfOffset
  }

  asked(outcome: 'commit' | 'rollback', moment: number): void {
    if (outcome === 'rollback') this.#rollbacks++
    else {
      this.#commits++
      this.sent.begun = Math.min(this.sent.begun, moment)
    }
  }

  /** It was answered 0. */
  ended(outcome: 'commit' | 'rollback', moment: number): void {
    const { sent } = this
    if (outcome === 'commit' && this.#rollbacks === 0) sent.queue.acknowledged(sent, -1, moment)
    if (outcome === 'rollback' && this.#commits === 0) sent.queue.refused(sent, 'it was rolled back')
  }
}
