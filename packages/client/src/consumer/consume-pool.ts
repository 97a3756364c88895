/**
 * Gives received messages to the listener: a limited number of calls at a time, in order of arrival.
 *
 * Keeps: a message counts as consumed when the listener took it or it was sent back, never before; what belongs to a queue
 * that was dropped counts for nothing.
 */
import { background, type Clock, type Logger } from '@dledger-ts/base'
import type { AssignedQueue, Cached } from './assigned-queue.ts'
import type { ConsumeResult, MessageListener } from './listener.ts'
import type { ReceivedMessage } from './received-message.ts'

/** A message that could neither be consumed nor be sent back is tried again after this. */
const LOCAL_RETRY_MS = 5_000

/** Told that messages of its queue were consumed: there is room for more. */
export interface RoomListener {
  roomMade(): void
}

export interface ConsumePoolOptions {
  readonly listener: MessageListener
  readonly batchMax: number
  readonly concurrency: number
  readonly clock: Clock
  readonly logger: Logger
  /** Resolves to whether a broker has taken the message back. */
  readonly sendBack: (message: ReceivedMessage) => Promise<boolean>
}

class Batch {
  readonly assigned: AssignedQueue
  readonly items: readonly Cached[]
  readonly room: RoomListener

  constructor(assigned: AssignedQueue, items: readonly Cached[], room: RoomListener) {
    this.assigned = assigned
    this.items = items
    this.room = room
  }
}

export class ConsumePool {
  readonly #options: ConsumePoolOptions
  readonly #cancels = new Set<() => void>()
  #waiting: Batch[] = []
  #running = 0
  #isStarting = false
  #closed = false
  #idle: () => void = () => {}

  constructor(options: ConsumePoolOptions) {
    this.#options = options
  }

  submit(assigned: AssignedQueue, items: readonly Cached[], room: RoomListener): void {
    const { batchMax } = this.#options
    for (let at = 0; at < items.length; at += batchMax) {
      this.#waiting.push(new Batch(assigned, items.slice(at, at + batchMax), room))
    }
    this.#startWaiting()
  }

  /** Starts no more calls. @returns once those under way have ended, or `waitMs` are over. */
  close(waitMs: number): Promise<void> {
    this.#closed = true
    this.#waiting = []
    for (const cancel of this.#cancels) cancel()
    if (this.#running === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(waitMs, () => {
        this.#options.logger.warn({ calls: this.#running, waitMs }, 'calls of the listener did not end')
        resolve()
      })
      this.#idle = () => {
        cancel()
        resolve()
      }
    })
  }

  /** A loop, not a recursion: a listener that returns at once may have thousands of messages before it. */
  #startWaiting(): void {
    if (this.#isStarting) return
    this.#isStarting = true
    while (this.#running < this.#options.concurrency) {
      const batch = this.#waiting.shift()
      if (batch === undefined) break
      if (!batch.assigned.isDropped) this.#start(batch)
    }
    this.#isStarting = false
  }

  #start(batch: Batch): void {
    this.#running++
    let result: ConsumeResult | Promise<ConsumeResult>
    try {
      result = this.#options.listener(batch.items.map(({ message }) => message))
    } catch (error) {
      this.#failed(batch, error)
      return
    }
    if (typeof result === 'string') {
      this.#ended(batch, result)
    } else {
      // Promises of other classes, a library's or those of another realm, are waited for like our own.
      Promise.resolve(result).then(
        (outcome) => this.#ended(batch, outcome),
        (error: unknown) => this.#failed(batch, error),
      )
    }
  }

  #failed(batch: Batch, error: unknown): void {
    const { topic, queueId, brokerName } = batch.assigned.queue
    this.#options.logger.warn({ err: error, topic, brokerName, queueId }, 'a message listener failed')
    this.#ended(batch, 'RECONSUME_LATER')
  }

  #ended(batch: Batch, result: ConsumeResult): void {
    if (result === 'CONSUME_SUCCESS') {
      this.#running--
      this.#consumed(batch)
    } else {
      // Counts as running until it is sent back, so that closing waits for it.
      background(this.#sendBack(batch), 'sending messages back', this.#options.logger)
      return
    }
    this.#continue()
  }

  #continue(): void {
    if (this.#closed) {
      if (this.#running === 0) this.#idle()
    } else {
      this.#startWaiting()
    }
  }

  #consumed(batch: Batch): void {
    if (batch.assigned.isDropped) return
    for (const item of batch.items) batch.assigned.consumed(item)
    batch.room.roomMade()
  }

  async #sendBack(batch: Batch): Promise<void> {
    const { assigned, room } = batch
    for (const item of batch.items) {
      if (assigned.isDropped) break
      const single = new Batch(assigned, [item], room)
      if (await this.#isTakenBack(item.message)) this.#consumed(single)
      else this.#tryLater(single)
    }
    this.#running--
    this.#continue()
  }

  async #isTakenBack(message: ReceivedMessage): Promise<boolean> {
    try {
      return await this.#options.sendBack(message)
    } catch (error) {
      this.#options.logger.warn({ err: error, msgId: message.msgId }, 'sending a message back failed')
      return false
    }
  }

  #tryLater(batch: Batch): void {
    if (this.#closed) return
    const cancel = this.#options.clock.after(LOCAL_RETRY_MS, () => {
      this.#cancels.delete(cancel)
      this.#waiting.push(batch)
      this.#startWaiting()
    })
    this.#cancels.add(cancel)
  }
}
