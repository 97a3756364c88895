/**
 * What runs against the group while its leaders die: senders that never stop and one push consumer, by our own client.
 *
 * Ordered senders each fill one queue, one message after the other, so their numbers must stay in order there. Concurrent
 * senders keep several messages under way and go round the queues. No sender repeats a message that failed: what becomes of
 * such a one is unknown, and the next number is sent. (The client itself may try twice within one send.)
 */
import { setTimeout as delay } from 'node:timers/promises'
import {
  type ClientTls,
  Producer,
  PushConsumer,
  type QueueSelector,
  type ReceivedMessage,
  type SendResult,
} from '@dledger-ts/client'
import { bodyOf, type DeliveryLedger } from '../group/delivery-ledger.ts'

export const TAG = 'TagA'
const PACE_MS = 8
const PACE_AFTER_FAILURE_MS = 20
const CONCURRENCY = 8
const BODY_BYTES = 700
const PADDING = '.'

export interface LoadOptions {
  namesrv: string
  tls: boolean | ClientTls
  topic: string
  queueCount: number
  /** As many senders as queues keep order; these are further ones. */
  concurrentSenders: number
  ledger: DeliveryLedger
}

/** The series of each sender is its name. */
export function orderedSeries(queueId: number): string {
  return `ordered${queueId}`
}

/** What a message with this key carries. */
export function paddedBody(key: string): string {
  return bodyOf(key).padEnd(BODY_BYTES, PADDING)
}

export class Load {
  readonly series: readonly string[]
  readonly #options: LoadOptions
  readonly #producers: Producer[] = []
  readonly #senders: Promise<void>[] = []
  readonly #consumer: PushConsumer
  /** By queue: the offset that nothing was handed out from on yet. */
  readonly #nextOffsets = new Map<number, number>()
  readonly #violations: string[] = []
  #ending = false
  #acknowledgedCount = 0
  #failedCount = 0
  #lastAcknowledgedAtMs = Number.POSITIVE_INFINITY
  #longestGapMs = 0
  #bug: unknown

  constructor(options: LoadOptions) {
    const { namesrv, topic, queueCount, concurrentSenders } = options
    this.#options = options
    this.#consumer = new PushConsumer({
      group: `C_${topic}`,
      namesrvAddress: namesrv,
      tls: options.tls,
      consumeFrom: { from: 'FIRST_OFFSET' },
      listener: (messages) => {
        for (const message of messages) this.#consume(message)
        return 'CONSUME_SUCCESS'
      },
    })
    const ordered = Array.from({ length: queueCount }, (_, queueId) => orderedSeries(queueId))
    const concurrent = Array.from({ length: concurrentSenders }, (_, i) => `concurrent${i}`)
    this.series = [...ordered, ...concurrent]
  }

  get acknowledgedCount(): number {
    return this.#acknowledgedCount
  }

  /** Sends whose outcome is unknown. */
  get failedCount(): number {
    return this.#failedCount
  }

  /** What was handed out out of order, in words. */
  get violations(): readonly string[] {
    return this.#violations
  }

  /** The longest time without any acknowledgement since the last call. */
  takeLongestGapMs(): number {
    const gapMs = this.#longestGapMs
    this.#longestGapMs = 0
    return gapMs
  }

  async start(): Promise<void> {
    const { topic, queueCount } = this.#options
    this.#consumer.subscribe(topic, TAG)
    await this.#consumer.start()
    for (const [i, series] of this.series.entries()) {
      const producer = new Producer({
        group: `P_${topic}`,
        namesrvAddress: this.#options.namesrv,
        tls: this.#options.tls,
      })
      producer.start()
      this.#producers.push(producer)
      const sending = i < queueCount ? this.#sendInOrder(producer, series, i) : this.#sendConcurrently(producer, series)
      this.#senders.push(sending.catch((failure: unknown) => void (this.#bug ??= failure)))
    }
  }

  /** Ends the senders after what they have under way. The consumer goes on. @throws what broke a sender. */
  async endSending(): Promise<void> {
    this.#ending = true
    await Promise.all(this.#senders)
    for (const producer of this.#producers.splice(0)) await producer.close()
    if (this.#bug !== undefined) throw this.#bug
  }

  async close(): Promise<void> {
    await this.endSending()
    await this.#consumer.close()
  }

  /** A consumer of all there is gets each queue in order: it may be given a message again, but never one before its turn. */
  #consume(message: ReceivedMessage): void {
    const { queueId, queueOffset } = message
    const next = this.#nextOffsets.get(queueId) ?? 0
    if (queueOffset > next) {
      this.#violations.push(`queue ${queueId}: ${queueOffset} was handed out, ${next} was not yet`)
    }
    this.#nextOffsets.set(queueId, Math.max(next, queueOffset + 1))
    this.#options.ledger.consumed({ ...contentOf(message), consumer: 'consumer', atMs: performance.now() })
  }

  async #sendInOrder(producer: Producer, series: string, queueId: number): Promise<void> {
    for (let n = 0; !this.#ending; n++) {
      const sent = await this.#send(producer, `${series}-${n}`, queueId)
      await delay(sent ? PACE_MS : PACE_AFTER_FAILURE_MS)
    }
  }

  async #sendConcurrently(producer: Producer, series: string): Promise<void> {
    let next = 0
    const lane = async () => {
      while (!this.#ending) {
        const sent = await this.#send(producer, `${series}-${next++}`, undefined)
        await delay(sent ? PACE_MS * CONCURRENCY : PACE_AFTER_FAILURE_MS)
      }
    }
    await Promise.all(Array.from({ length: CONCURRENCY }, lane))
  }

  async #send(producer: Producer, key: string, queueId: number | undefined): Promise<boolean> {
    const { topic, ledger } = this.#options
    const message = { topic, tags: TAG, keys: key, body: Buffer.from(paddedBody(key)) }
    let result: SendResult
    try {
      // The key only makes the client ask the selector.
      const toQueue = queueId === undefined ? {} : { key, selector: queueOf(queueId) }
      result = await producer.send(message, toQueue)
    } catch {
      // Whatever the reason: the outcome is unknown, and that is what the ledger is told.
      this.#failedCount++
      ledger.failed({ key, tag: TAG })
      return false
    }
    if (result.status !== 'SEND_OK') throw new Error(`${key} was answered ${result.status}`)
    this.#acknowledgedCount++
    const nowMs = performance.now()
    this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastAcknowledgedAtMs)
    this.#lastAcknowledgedAtMs = nowMs
    const { queue, queueOffset, offsetMsgId: msgId } = result
    ledger.acknowledged({ key, tag: TAG, queueId: queue.queueId, queueOffset, msgId })
    return true
  }
}

function queueOf(queueId: number): QueueSelector {
  return (queues) => {
    const queue = queues.find((each) => each.queueId === queueId)
    if (queue === undefined) throw new Error(`the topic has no queue ${queueId}`)
    return queue
  }
}

function contentOf(message: ReceivedMessage) {
  const { queueId, queueOffset, offsetMsgId: msgId } = message
  const body = message.body.toString().replace(/\.+$/, '')
  return { key: message.keys ?? '', tag: message.tags ?? '', queueId, queueOffset, msgId, body }
}
