/**
 * One queue that this consumer owns: what was received from it and is not consumed yet. Pure.
 *
 * Keeps: `committableOffset` is the first message that is not consumed; all before it are. It never decreases, so a crash
 * repeats messages and loses none.
 */
import { assert } from '@dledger-ts/base'
import type { MessageQueue } from '@dledger-ts/remoting'
import type { ReceivedMessage } from './received-message.ts'

/** The place of a received message, and the message as long as it is not consumed: places are kept longer, bodies are not. */
export class Cached {
  readonly queueOffset: number
  readonly bytes: number
  #message: ReceivedMessage | null

  constructor(message: ReceivedMessage) {
    this.#message = message
    this.queueOffset = message.queueOffset
    this.bytes = message.cachedBytes
  }

  get isDone(): boolean {
    return this.#message === null
  }

  get message(): ReceivedMessage {
    assert(this.#message !== null, 'nobody asks for a message that is consumed')
    return this.#message
  }

  /** @internal */
  done(): void {
    assert(!this.isDone, 'a message is consumed once')
    this.#message = null
  }
}

export class AssignedQueue {
  readonly queue: MessageQueue
  /** The next message to pull. */
  nextOffset: number
  /** The offset that the broker was last told, or gave; -1 for none. */
  persistedOffset: number
  /** Another member owns it now, or it starts over elsewhere: what is still consumed from it counts no more. */
  isDropped = false
  #cached: Cached[] = []
  /** `#cached` before this place is done. */
  #first = 0
  #cachedBytes = 0

  constructor(queue: MessageQueue, offset: number, persistedOffset: number) {
    this.queue = queue
    this.nextOffset = offset
    this.persistedOffset = persistedOffset
  }

  get cachedCount(): number {
    return this.#cached.length - this.#first
  }

  get cachedBytes(): number {
    return this.#cachedBytes
  }

  get committableOffset(): number {
    return this.#first < this.#cached.length ? (this.#cached[this.#first] as Cached).queueOffset : this.nextOffset
  }

  /**
   * Takes what one pull gave.
   *
   * @param nextOffset where the next pull begins: behind these messages and those that were filtered out.
   */
  received(messages: readonly ReceivedMessage[], nextOffset: number): Cached[] {
    assert(nextOffset >= this.nextOffset, 'a pull moves forward')
    const added = messages.map((message) => new Cached(message))
    for (const cached of added) {
      this.#cached.push(cached)
      this.#cachedBytes += cached.bytes
    }
    this.nextOffset = nextOffset
    return added
  }

  consumed(cached: Cached): void {
    cached.done()
    this.#cachedBytes -= cached.bytes
    while (this.#first < this.#cached.length && (this.#cached[this.#first] as Cached).isDone) this.#first++
    // Cut in large pieces, so that the cost for each message stays constant.
    if (this.#first > 1_024 && this.#first * 2 > this.#cached.length) {
      this.#cached = this.#cached.slice(this.#first)
      this.#first = 0
    }
  }
}
