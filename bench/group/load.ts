/** Sends through one producer, so many at a time: the load of the measurements of a group. */
import type { Message, Producer } from '@dledger-ts/client'

const BATCH_COUNT = 32
export const MODES = ['sync', 'async', 'batch'] as const
/** sync: so many senders, each waiting for its answer. async: so many sends in flight. batch: so many senders of batches of 32. */
export type Mode = (typeof MODES)[number]

export interface Counts {
  sent: number
  failed: number
}

export interface LoadWish {
  readonly producer: Producer
  readonly mode: Mode
  readonly message: Message
  readonly concurrency: number
  readonly counts: Counts
  /** Told how long each request took. */
  readonly record: (ms: number) => void
  readonly isOver: () => boolean
}

/** Keeps `concurrency` requests under way until `isOver`; resolves when the last one has ended. */
export function load(wish: LoadWish): Promise<void> {
  const { producer, mode, message, concurrency, counts, record, isOver } = wish
  const messages = Array.from({ length: BATCH_COUNT }, () => message)
  const perRequest = mode === 'batch' ? BATCH_COUNT : 1
  return new Promise((resolve) => {
    let underWay = concurrency
    const next = (): void => {
      if (isOver()) {
        underWay--
        if (underWay === 0) resolve()
        return
      }
      const begun = performance.now()
      const ended = (error: Error | null): void => {
        record(performance.now() - begun)
        if (error === null) counts.sent += perRequest
        else counts.failed += perRequest
        next()
      }
      if (mode === 'batch') producer.sendBatchAsync(messages, ended)
      else if (mode === 'async') producer.sendAsync(message, ended)
      else
        producer.send(message).then(
          () => ended(null),
          (error: Error) => ended(error),
        )
    }
    for (let i = 0; i < concurrency; i++) next()
  })
}

/** The same for a fixed number of messages. */
export function loadOf(count: number, wish: Omit<LoadWish, 'isOver'>): Promise<void> {
  let begun = 0
  return load({ ...wish, isOver: () => ++begun > count })
}
