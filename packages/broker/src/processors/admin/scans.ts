/**
 * Answers that look at many queues: the store time of a message in each, from the disk where it is old.
 *
 * Keeps:
 *   A1  no scan keeps the event loop from going round for longer than PASS_MS_MAX;
 *   A2  a scan has few reads under way, and there are few scans at once: others wait their turn.
 */
import type { Clock } from '@dledger-ts/base'
import { type MessageStoreApi, StoreError } from '@dledger-ts/store'

/** Short beside a heartbeat. */
const PASS_MS_MAX = 5
const READS_AT_ONCE = 16
const SCANS_AT_ONCE = 2

export class Scans {
  readonly #clock: Clock
  readonly #store: Pick<MessageStoreApi, 'storeTimeAt'>
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(clock: Clock, store: Pick<MessageStoreApi, 'storeTimeAt'>) {
    this.#clock = clock
    this.#store = store
  }

  /** Visits 0 to `count - 1`, several at once, in its turn. @returns what the visits returned, in order. */
  async run<T>(count: number, visit: (i: number) => Promise<T> | T): Promise<T[]> {
    if (this.#running < SCANS_AT_ONCE) this.#running++
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await this.#scan(count, visit)
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }

  /** Store time of a message; 0 where there is none, or where it is damaged: one bad message hides no queue. */
  async storeTime(topic: string, queueId: number, queueOffset: number): Promise<number> {
    if (queueOffset < 0) return 0
    try {
      return Math.max(0, await this.#store.storeTimeAt(topic, queueId, queueOffset))
    } catch (error) {
      if (error instanceof StoreError && error.code === 'CORRUPT') return 0
      throw error
    }
  }

  async #scan<T>(count: number, visit: (i: number) => Promise<T> | T): Promise<T[]> {
    const found: T[] = []
    let next = 0
    let sinceMs = this.#clock.monotonicMs()
    let pause: Promise<void> | null = null
    const breathe = (): Promise<void> => {
      pause ??= new Promise((resolve) => {
        this.#clock.defer(() => {
          pause = null
          sinceMs = this.#clock.monotonicMs()
          resolve()
        })
      })
      return pause
    }
    const visitor = async (): Promise<void> => {
      while (next < count) {
        const i = next++
        found[i] = await visit(i)
        if (pause !== null || this.#clock.monotonicMs() - sinceMs >= PASS_MS_MAX) await breathe()
      }
    }
    await Promise.all(Array.from({ length: Math.min(READS_AT_ONCE, count) }, visitor))
    return found
  }
}
