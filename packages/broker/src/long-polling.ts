/**
 * Pulls that found nothing and wait: for a message that matches, or for their deadline.
 *
 * Keeps:
 *   - a held pull is resumed or dropped exactly once;
 *   - an idle table costs nothing: there is no scan, only one timer for each held pull;
 *   - a message costs one map lookup while nobody waits for its topic.
 *
 * Messages of one batch wake a pull once, after the whole batch is visible.
 */
import { assert, type Clock } from '@dledger-ts/base'

/** Held pulls of a broker at most; beyond, a pull is answered at once. Apache: 100,000 waiting threads' worth of requests. */
export const HELD_PULLS_MAX = 100_000

export class HeldPull<Pull> {
  readonly topic: string
  readonly queueId: number
  /** Tags that wake it; null for any message. */
  readonly tagCodes: ReadonlySet<number> | null
  readonly channel: object
  readonly pull: Pull
  /** Set while it is held. */
  cancelDeadline: (() => void) | null = null

  constructor(topic: string, queueId: number, tagCodes: ReadonlySet<number> | null, channel: object, pull: Pull) {
    this.topic = topic
    this.queueId = queueId
    this.tagCodes = tagCodes
    this.channel = channel
    this.pull = pull
  }
}

export class LongPolling<Pull> {
  readonly #clock: Clock
  readonly #resume: (pull: Pull) => void
  /** By topic, then by queue id; a topic without held pulls is not in it. */
  readonly #topics = new Map<string, Map<number, Set<HeldPull<Pull>>>>()
  readonly #channels = new Map<object, Set<HeldPull<Pull>>>()
  #woken: HeldPull<Pull>[] = []
  #size = 0

  /** `resume` runs a pull again, this time without holding it. */
  constructor(clock: Clock, resume: (pull: Pull) => void) {
    this.#clock = clock
    this.#resume = resume
  }

  get size(): number {
    return this.#size
  }

  /** @returns false when too many are held: answer now. */
  hold(held: HeldPull<Pull>, delayMs: number): boolean {
    if (this.#size >= HELD_PULLS_MAX) return false
    let queues = this.#topics.get(held.topic)
    if (queues === undefined) {
      queues = new Map()
      this.#topics.set(held.topic, queues)
    }
    addTo(queues, held.queueId, held)
    addTo(this.#channels, held.channel, held)
    this.#size++
    held.cancelDeadline = this.#clock.after(delayMs, () => {
      this.#remove(held)
      this.#resume(held.pull)
    })
    return true
  }

  // Hot: runs for each applied message.
  /** A message became visible. The pulls that it wakes run when the messages that came with it are visible too. */
  arrived(topic: string, queueId: number, tagsCode: number): void {
    const waiting = this.#topics.get(topic)?.get(queueId)
    if (waiting === undefined) return
    for (const held of waiting) {
      if (held.tagCodes !== null && !held.tagCodes.has(tagsCode)) continue
      this.#wake(held)
    }
  }

  /** Whoever waits for one of these topics is answered: there is nothing to wait for any more. */
  wakeTopics(isConcerned: (topic: string) => boolean): void {
    for (const [topic, queues] of this.#topics) {
      if (!isConcerned(topic)) continue
      for (const waiting of queues.values()) for (const held of waiting) this.#wake(held)
    }
  }

  /** Whoever is concerned waits for what it does not want any more. */
  wakeTopic(topic: string, isConcerned: (pull: Pull) => boolean): void {
    for (const waiting of this.#topics.get(topic)?.values() ?? []) {
      for (const held of waiting) if (isConcerned(held.pull)) this.#wake(held)
    }
  }

  /** The connection is gone: nobody waits for an answer. */
  closed(channel: object): void {
    for (const held of this.#channels.get(channel) ?? []) this.#remove(held)
  }

  #wake(held: HeldPull<Pull>): void {
    this.#remove(held)
    if (this.#woken.length === 0) this.#clock.defer(this.#runWoken)
    this.#woken.push(held)
  }

  readonly #runWoken = (): void => {
    const woken = this.#woken
    this.#woken = []
    for (const held of woken) this.#resume(held.pull)
  }

  #remove(held: HeldPull<Pull>): void {
    assert(held.cancelDeadline !== null, 'only a held pull is removed')
    held.cancelDeadline()
    held.cancelDeadline = null
    this.#size--
    const queues = this.#topics.get(held.topic)
    assert(queues !== undefined, 'a held pull is found by its topic')
    removeFrom(queues, held.queueId, held)
    if (queues.size === 0) this.#topics.delete(held.topic)
    removeFrom(this.#channels, held.channel, held)
  }
}

function addTo<Key, Item>(sets: Map<Key, Set<Item>>, key: Key, item: Item): void {
  const set = sets.get(key)
  if (set === undefined) sets.set(key, new Set([item]))
  else set.add(item)
}

function removeFrom<Key, Item>(sets: Map<Key, Set<Item>>, key: Key, item: Item): void {
  const set = sets.get(key)
  set?.delete(item)
  if (set?.size === 0) sets.delete(key)
}
