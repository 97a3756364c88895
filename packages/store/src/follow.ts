/**
 * Following a queue: its messages from some place on, those that are there and those that come.
 *
 * Keeps:
 *   F1  Every visible message of the queue that matches is given once, in order; below the queue's minimum it goes on there.
 *   F2  One read is in memory at a time (256 KiB, or one message), and the next one is made when all of it was taken.
 *   F3  Who waits costs nothing until a message arrives in its queue; nothing listens while nobody waits.
 *   F4  It ends, without an error, with its signal and with the store.
 */
import { decodeRecord, getProperty, javaHash, type MessageRecord, PropertyName } from '@dledger-ts/protocol'
import type { GetRequest, GetResult, MessageArrivalListener } from './api.ts'
import { StoreError } from './errors.ts'

const READ_COUNT_MAX = 512
const READ_BYTES_MAX = 256 * 1024

export interface FollowOptions {
  readonly topic: string
  /** Default 0. */
  readonly queueId?: number
  /** The first message wanted, e.g. a consumer's offset. Default: the first there is. One beyond the end is waited for. */
  readonly from?: number
  /** Only messages with one of these tags. Default: all. */
  readonly tags?: readonly string[]
  /** Ends it. */
  readonly signal?: AbortSignal
}

export interface FollowSource {
  get(request: GetRequest): Promise<GetResult>
  maxOffset(topic: string, queueId: number): number
  minOffset(topic: string, queueId: number): number
  /** Aborted when the store closes. */
  readonly closing: AbortSignal
  /** Lets other work run. */
  pause(): Promise<void>
}

export async function* follow(
  source: FollowSource,
  arrivals: Arrivals,
  options: FollowOptions,
): AsyncGenerator<MessageRecord, void, undefined> {
  const { topic, queueId = 0, signal } = options
  const tags = options.tags === undefined ? null : new Set(options.tags)
  const tagFilter = tags === null ? null : new Set([...tags].map(javaHash))
  let next = options.from ?? source.minOffset(topic, queueId)
  if (!Number.isSafeInteger(next) || next < 0) throw invalid(`from is ${next}; a whole number from 0 is allowed`)
  const isOver = (): boolean => signal?.aborted === true || source.closing.aborted
  for (;;) {
    if (isOver()) return
    if (next >= source.maxOffset(topic, queueId)) {
      await arrivals.next(topic, queueId, signal)
      continue
    }
    const request = { topic, queueId, queueOffset: next, maxCount: READ_COUNT_MAX, maxBytes: READ_BYTES_MAX, tagFilter }
    let result: GetResult
    try {
      result = await source.get(request)
    } catch (error) {
      if (error instanceof StoreError && error.code === 'CLOSED') return
      throw error
    }
    for (const bytes of result.records) {
      const record = decodeRecord(bytes)
      // Different tags may have one hash.
      if (tags !== null && !tags.has(tagOf(record))) continue
      if (isOver()) return
      yield record
    }
    // Reads from memory end within a microtask: a long backlog would let nothing else run.
    await source.pause()
    next = result.nextBeginOffset
  }
}

/** Wakes those who wait for the next message of a queue. */
export class Arrivals implements MessageArrivalListener {
  readonly #listen: (listener: MessageArrivalListener) => () => void
  readonly #topics = new Map<string, Map<number, Set<() => void>>>()
  #stopListening: (() => void) | null = null

  constructor(listen: (listener: MessageArrivalListener) => () => void) {
    this.#listen = listen
  }

  get isListening(): boolean {
    return this.#stopListening !== null
  }

  /** Resolves when a message has arrived in the queue, the signal is aborted, or `wakeAll` is called. */
  next(topic: string, queueId: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal?.removeEventListener('abort', wake)
        this.#forget(topic, queueId, wake)
        resolve()
      }
      this.#waiting(topic, queueId).add(wake)
      this.#stopListening ??= this.#listen(this)
      signal?.addEventListener('abort', wake, { once: true })
    })
  }

  // Hot while somebody waits.
  messageArrived(topic: string, queueId: number): void {
    const waiting = this.#topics.get(topic)?.get(queueId)
    if (waiting !== undefined) for (const wake of waiting) wake()
  }

  wakeAll(): void {
    const all = [...this.#topics.values()].flatMap((queues) => [...queues.values()].flatMap((waiting) => [...waiting]))
    for (const wake of all) wake()
  }

  #waiting(topic: string, queueId: number): Set<() => void> {
    const queues = this.#topics.get(topic) ?? new Map<number, Set<() => void>>()
    this.#topics.set(topic, queues)
    const waiting = queues.get(queueId) ?? new Set()
    queues.set(queueId, waiting)
    return waiting
  }

  #forget(topic: string, queueId: number, wake: () => void): void {
    const queues = this.#topics.get(topic)
    const waiting = queues?.get(queueId)
    waiting?.delete(wake)
    if (waiting?.size === 0) queues?.delete(queueId)
    if (queues?.size === 0) this.#topics.delete(topic)
    if (this.#topics.size > 0) return
    this.#stopListening?.()
    this.#stopListening = null
  }
}

function tagOf(record: MessageRecord): string {
  return getProperty(record.properties, PropertyName.TAGS) ?? ''
}

function invalid(what: string): StoreError {
  return new StoreError(what, { code: 'INVALID', what })
}
