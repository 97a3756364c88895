/**
 * Sends at a steady rate and a consumer that is given each message as it arrives.
 *
 * A send is due whatever became of those before it, and its latency counts from then: a group that stands for a while delays all that
 * would have been sent meanwhile, and all of that shows.
 */
import { type Message, Producer, PushConsumer } from '@dledger-ts/client'
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'

/** What is due is sent this often. */
const TICK_MS = 1
const MICROS = 1_000
const DUE_BYTES = 8

export interface TailWish {
  readonly namesrvAddress: string
  readonly topic: string
  readonly perSecond: number
  readonly size: number
}

/** Milliseconds. */
export interface Latency {
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

export interface TailResult {
  readonly sent: number
  readonly failed: number
  readonly send: Latency
  readonly read: Latency
}

export class Tail {
  readonly #wish: TailWish
  readonly #producer: Producer
  readonly #consumer: PushConsumer
  readonly #send = newHistogram()
  readonly #read = newHistogram()
  #sent = 0
  #failed = 0
  #stopped: (() => void) | null = null

  constructor(wish: TailWish) {
    this.#wish = wish
    const { namesrvAddress } = wish
    this.#producer = new Producer({ group: 'bench-tail', namesrvAddress })
    this.#consumer = new PushConsumer({
      group: `bench-tail-${process.pid}`,
      namesrvAddress,
      batchMax: 32,
      listener: (messages) => {
        const now = performance.now()
        for (const { body } of messages) note(this.#read, now - body.readDoubleBE(0))
        return 'CONSUME_SUCCESS'
      },
    })
  }

  async start(): Promise<void> {
    this.#producer.start()
    // The first message makes the topic.
    await this.#producer.send(this.#message(performance.now()))
    this.#consumer.subscribe(this.#wish.topic)
    await this.#consumer.start()
    const begun = performance.now()
    let count = 0
    const tick = (): void => {
      if (this.#stopped !== null) return this.#stopped()
      const due = ((performance.now() - begun) / 1_000) * this.#wish.perSecond
      for (; count < due; count++) this.#sendOne(begun + (count / this.#wish.perSecond) * 1_000)
      setTimeout(tick, TICK_MS)
    }
    tick()
  }

  /** Since the call before. */
  take(): TailResult {
    const result = { sent: this.#sent, failed: this.#failed, send: latency(this.#send), read: latency(this.#read) }
    this.#send.reset()
    this.#read.reset()
    this.#sent = 0
    this.#failed = 0
    return result
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#stopped = resolve
    })
    await this.#consumer.close()
    await this.#producer.close()
  }

  #sendOne(dueAt: number): void {
    this.#producer.sendAsync(this.#message(dueAt), (error) => {
      note(this.#send, performance.now() - dueAt)
      if (error === null) this.#sent++
      else this.#failed++
    })
  }

  #message(dueAt: number): Message {
    const body = Buffer.alloc(Math.max(DUE_BYTES, this.#wish.size), 'x')
    body.writeDoubleBE(dueAt, 0)
    return { topic: this.#wish.topic, body }
  }
}

/** In microseconds: a histogram takes whole numbers. */
function newHistogram(): RecordableHistogram {
  return createHistogram({ lowest: 1, highest: 60_000_000, figures: 3 })
}

function note(histogram: RecordableHistogram, ms: number): void {
  histogram.record(Math.max(1, Math.round(ms * MICROS)))
}

function latency(histogram: RecordableHistogram): Latency {
  const ms = (micros: number): number => Number((micros / MICROS).toFixed(2))
  const at = (percent: number): number => ms(histogram.percentile(percent))
  return { p50: at(50), p99: at(99), p999: at(99.9), max: ms(histogram.max) }
}
