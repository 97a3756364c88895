/**
 * The model of half messages: what their producer asked for, or answered when it was asked, decides whether they are ever seen.
 *
 * Keeps: a half message that was rolled back before anybody committed it is refused; one that was committed before anybody rolled it
 * back is acknowledged; of one for which both were under way at once either may be true. Each question has a number of its own.
 */
import type { Sent } from './queues.ts'

export class HalfMessage {
  readonly sent: Sent
  /** What the producer needs to end it. */
  readonly physicalOffset: number
  readonly halfOffset: number
  #commits = 0
  #rollbacks = 0
  /** Its producer was told that it is ended. */
  #isEnded = false
  /** Its producer has asked for an end, and nobody knows whether it came. */
  #mayBeEnded = false
  readonly #questions = new Set<number>()

  constructor(sent: Sent, physicalOffset: number, halfOffset: number) {
    this.sent = sent
    this.physicalOffset = physicalOffset
    this.halfOffset = halfOffset
  }

  /** Its producer is to end it yet, or to be asked. */
  get isOpen(): boolean {
    return !this.#isEnded && !this.#mayBeEnded
  }

  get isCertain(): boolean {
    return this.#isEnded
  }

  /** What its producer says when it is asked for the first time, the second …; null: it does not know yet. */
  answer(times: number): 'commit' | 'rollback' | null {
    if (this.#commits > 0) return 'commit'
    if (this.#rollbacks > 0) return 'rollback'
    if (times < 3 && this.halfOffset % 3 === 0) return null
    return this.halfOffset % 2 === 0 ? 'commit' : 'rollback'
  }

  /** @returns whether this question was asked before. */
  isAskedAgain(times: number): boolean {
    this.#mayBeEnded = false
    const isKnown = this.#questions.has(times)
    this.#questions.add(times)
    return isKnown
  }

  asked(outcome: 'commit' | 'rollback', moment: number): void {
    if (outcome === 'rollback') this.#rollbacks++
    else {
      this.#commits++
      this.sent.begun = Math.min(this.sent.begun, moment)
    }
  }

  /** Nobody knows whether it is ended: it may be asked for again, or never. */
  maybeEnded(): void {
    this.#mayBeEnded = true
  }

  /** It was answered 0. */
  ended(outcome: 'commit' | 'rollback', moment: number): void {
    const { sent } = this
    this.#isEnded = true
    if (outcome === 'commit' && this.#rollbacks === 0) sent.queue.acknowledged(sent, -1, moment)
    if (outcome === 'rollback' && this.#commits === 0) sent.queue.forbidden(sent, 'it was rolled back')
  }
}
