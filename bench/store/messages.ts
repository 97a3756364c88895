/** The messages of the measurement: the n-th is told from n alone, so every process knows what is in the store. */
import { hostAddress } from '@dledger-ts/protocol'
import type { NewMessage } from '@dledger-ts/store'
import type { Shape } from './wishes.ts'

const QUEUES_PER_TOPIC = 16
const HOST = hostAddress('127.0.0.1', 10911)
const TAGS = 16

export class Messages {
  readonly #queues: number
  readonly #body: Buffer
  readonly #topics: readonly string[]

  constructor({ queues, size }: Pick<Shape, 'queues' | 'size'>) {
    this.#queues = queues
    this.#body = Buffer.alloc(size, 'm')
    this.#topics = Array.from({ length: Math.ceil(queues / QUEUES_PER_TOPIC) }, (_, i) => `bench-${i}`)
  }

  topicOf(queue: number): string {
    return this.#topics[Math.floor(queue / QUEUES_PER_TOPIC)] as string
  }

  queueIdOf(queue: number): number {
    return queue % QUEUES_PER_TOPIC
  }

  /** The queues take turns: neighbours of one queue are as far apart in the log as can be. */
  make(n: number): NewMessage {
    const queue = n % this.#queues
    return {
      topic: this.topicOf(queue),
      queueId: this.queueIdOf(queue),
      flag: 0,
      sysFlag: 0,
      bornTimestamp: Date.now(),
      bornHost: HOST,
      storeHost: HOST,
      reconsumeTimes: 0,
      preparedTransactionOffset: 0,
      body: this.#body,
      properties: `UNIQ_KEY\x01${keyOf(n)}\x02TAGS\x01tag${n % TAGS}\x02`,
    }
  }
}

export function keyOf(n: number): string {
  return n.toString(16).toUpperCase().padStart(32, '0')
}
