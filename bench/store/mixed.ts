/**
 * Puts at a steady rate and a reader of the tail that is woken by each arrival, beside readers that drain the backlog from disk.
 *
 * The rate is the same whatever the backlog's readers do: what they cost shows in the latencies.
 */
import type { MessageArrivalListener, MessageStore, PutListener, PutResult, StoreError } from '@dledger-ts/store'
import type { Messages } from './messages.ts'
import type { Observer } from './observer.ts'
import { pull } from './reading.ts'
import type { Latencies, MixedResult } from './wishes.ts'

const TAIL_TOPIC = 'bench-tail'
const MEBIBYTE = 1024 * 1024
/** What is due is put this often. */
const TICK_MS = 1

export interface MixedWish {
  readonly store: MessageStore
  readonly messages: Messages
  readonly queues: number
  readonly readers: number
  readonly seconds: number
  readonly perSecond: number
  readonly observer: Observer
}

export async function mixed(wish: MixedWish): Promise<MixedResult> {
  const tail = new Tail(wish.store, wish.messages)
  const until = performance.now() + wish.seconds * 1_000
  const backlog = new Backlog(wish, until)
  wish.observer.observe()
  const begun = performance.now()
  const [, drained] = await Promise.all([tail.load(wish.perSecond, until), backlog.drain()])
  const seconds = (performance.now() - begun) / 1_000
  tail.close()
  return {
    putsPerSecond: Math.round(tail.putMs.length / seconds),
    put: latencies(tail.putMs),
    tail: latencies(tail.tailMs),
    backlogPerSecond: Math.round(drained.messages / seconds),
    backlogMegabytesPerSecond: Number((drained.bytes / MEBIBYTE / seconds).toFixed(1)),
    observed: wish.observer.observe(),
  }
}

/** One queue that is written and read at its end. */
class Tail implements MessageArrivalListener {
  readonly putMs: number[] = []
  readonly tailMs: number[] = []
  readonly #store: MessageStore
  readonly #messages: Messages
  /** When the message at a queue offset was put. */
  readonly #putAt = new Map<number, number>()
  readonly #stopListening: () => void
  #readTo: number
  #isReading = false
  #n = 0
  #underWay = 0

  constructor(store: MessageStore, messages: Messages) {
    this.#store = store
    this.#messages = messages
    this.#readTo = store.maxOffset(TAIL_TOPIC, 0)
    this.#stopListening = store.onMessages(this)
  }

  close(): void {
    this.#stopListening()
  }

  /** Puts what is due in each tick; resolves when the last one is stored and read. */
  load(perSecond: number, until: number): Promise<void> {
    const begun = performance.now()
    const first = this.#n
    return new Promise((resolve, reject) => {
      const tick = (): void => {
        const now = performance.now()
        if (now < until) {
          const due = Math.floor(((now - begun) / 1_000) * perSecond)
          while (this.#n - first < due) this.#put(now, reject)
        } else if (this.#underWay === 0 && this.#readTo === this.#store.maxOffset(TAIL_TOPIC, 0)) {
          return resolve()
        }
        setTimeout(tick, TICK_MS)
      }
      tick()
    })
  }

  messageArrived(topic: string): void {
    if (topic !== TAIL_TOPIC || this.#isReading) return
    this.#isReading = true
    this.#read()
  }

  #put(at: number, failed: (error: Error) => void): void {
    const listener: PutListener = {
      stored: ({ queueOffset }: PutResult) => {
        this.#underWay--
        this.putMs.push(performance.now() - at)
        this.#putAt.set(queueOffset, at)
        this.#arrived(queueOffset)
      },
      putFailed: (error: StoreError) => failed(error),
    }
    this.#underWay++
    this.#store.put({ ...this.#messages.make(this.#n++), topic: TAIL_TOPIC, queueId: 0 }, listener)
  }

  /** Pull after pull until there is nothing; the next arrival wakes it again. */
  #read(): void {
    const request = {
      topic: TAIL_TOPIC,
      queueId: 0,
      queueOffset: this.#readTo,
      maxCount: 32,
      maxBytes: 262_144,
      tagFilter: null,
    }
    this.#store.getMessages(request, (error, result) => {
      if (error !== null || result === null) throw error ?? new Error('a read has a result')
      this.#isReading = false
      if (result.records.length === 0) return
      const now = performance.now()
      for (let offset = this.#readTo; offset < result.nextBeginOffset; offset++) this.#hasRead(offset, now)
      this.#readTo = result.nextBeginOffset
      if (this.#readTo < this.#store.maxOffset(TAIL_TOPIC, 0)) {
        this.#isReading = true
        this.#read()
      }
    })
  }

  // A message may be read before its put is told: whoever comes second takes the time.
  readonly #readAt = new Map<number, number>()

  #hasRead(offset: number, now: number): void {
    const at = this.#putAt.get(offset)
    if (at === undefined) this.#readAt.set(offset, now)
    else this.#took(offset, now - at)
  }

  #arrived(offset: number): void {
    const readAt = this.#readAt.get(offset)
    const at = this.#putAt.get(offset)
    if (readAt !== undefined && at !== undefined) this.#took(offset, readAt - at)
  }

  #took(offset: number, ms: number): void {
    this.#putAt.delete(offset)
    this.#readAt.delete(offset)
    this.tailMs.push(ms)
  }
}

/** So many readers, each with its share of the queues, pull after pull; from the beginning again at the end. */
class Backlog {
  readonly #wish: MixedWish
  readonly #until: number
  #messages = 0
  #bytes = 0

  constructor(wish: MixedWish, until: number) {
    this.#wish = wish
    this.#until = until
  }

  async drain(): Promise<{ readonly messages: number; readonly bytes: number }> {
    await Promise.all(Array.from({ length: this.#wish.readers }, (_, i) => this.#reader(i)))
    return { messages: this.#messages, bytes: this.#bytes }
  }

  async #reader(first: number): Promise<void> {
    const { store, messages, queues, readers } = this.#wish
    while (performance.now() < this.#until) {
      for (let queue = first % queues; queue < queues; queue += readers) {
        for (let offset = 0; performance.now() < this.#until;) {
          const result = await pull(store, messages.topicOf(queue), messages.queueIdOf(queue), offset)
          if (result.records.length === 0) break
          this.#messages += result.records.length
          this.#bytes += result.recordBytes
          offset = result.nextBeginOffset
        }
      }
    }
  }
}

function latencies(tookMs: number[]): Latencies {
  tookMs.sort((a, b) => a - b)
  const at = (share: number): number => Number((tookMs[Math.floor(tookMs.length * share)] ?? 0).toFixed(2))
  return { p50: at(0.5), p99: at(0.99), max: Number((tookMs.at(-1) ?? 0).toFixed(2)) }
}
