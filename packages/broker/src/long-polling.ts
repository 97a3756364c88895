/**
 * Pulls that found nothing and wait: for a message that matches, or for their deadline.
 *
 * Keeps:
 *   H1  a held pull is resumed or dropped exactly once;
 *   H2  an idle table costs nothing: there is no scan, and one timer for all held pulls;
 *   H3  a message costs one map lookup while nobody waits for its topic, and of those that wait for its queue only the ones that it wakes are
 *       looked at: they are found by their tags.
 *
 * Messages of one batch wake a pull once, after the whole batch is visible.
 */
import { assert, type Clock } from '@dledger-ts/base'
import { Deadlines, Timed } from './deadlines.ts'
import { HeldBytes } from './held-bytes.ts'
import { addTo, removeFrom } from './keyed-sets.ts'
import { WokenTurns } from './woken-turns.ts'

/** Held pulls of a broker at most, beside what they take in memory; beyond, a pull is answered at once. Apache: 100,000 waiting threads' worth of requests. */
const HELD_PULLS_MAX = 100_000
/** Of one connection: no client takes all. */
export const HELD_PULLS_PER_CONNECTION_MAX = 20_000

export class HeldPull<Pull> extends Timed {
  readonly topic: string
  readonly queueId: number
  /** Tags that wake it; null for any message. */
  readonly tagCodes: ReadonlySet<number> | null
  readonly channel: object
  readonly pull: Pull
  readonly requestBytes: number

  constructor(
    topic: string,
    queueId: number,
    tagCodes: ReadonlySet<number> | null,
    channel: object,
    pull: Pull,
    requestBytes = 0,
  ) {
    super()
    this.requestBytes = requestBytes
    this.topic = topic
    this.queueId = queueId
    this.tagCodes = tagCodes
    this.channel = channel
    this.pull = pull
  }
}

/** Pulls that wait for one queue. */
class QueueWaiting<Pull> {
  readonly forAny = new Set<HeldPull<Pull>>()
  /** A pull with several tags is here under each. */
  readonly byTag = new Map<number, Set<HeldPull<Pull>>>()

  add(held: HeldPull<Pull>): void {
    if (held.tagCodes === null) this.forAny.add(held)
    else for (const tag of held.tagCodes) addTo(this.byTag, tag, held)
  }

  remove(held: HeldPull<Pull>): void {
    if (held.tagCodes === null) this.forAny.delete(held)
    else for (const tag of held.tagCodes) removeFrom(this.byTag, tag, held)
  }

  get isEmpty(): boolean {
    return this.forAny.size === 0 && this.byTag.size === 0
  }

  *all(): Generator<HeldPull<Pull>> {
    yield* this.forAny
    for (const waiting of this.byTag.values()) yield* waiting
  }
}

export class LongPolling<Pull> {
  readonly #deadlines: Deadlines<HeldPull<Pull>>
  readonly #woken: WokenTurns<HeldPull<Pull>>
  /** By topic, then by queue id; a topic without held pulls is not in it. */
  readonly #topics = new Map<string, Map<number, QueueWaiting<Pull>>>()
  readonly #channels = new Map<object, Set<HeldPull<Pull>>>()
  readonly #bytes = new HeldBytes()
  /** Held pulls that messages were compared with, in all. */
  #lookedAt = 0

  /** `resume` runs a pull again, this time without holding it. */
  constructor(clock: Clock, resume: (pull: Pull) => void) {
    this.#woken = new WokenTurns(clock, (held) => resume(held.pull))
    this.#deadlines = new Deadlines(clock, (held) => {
      this.#leave(held)
      this.#woken.push(held)
    })
  }

  get size(): number {
    return this.#deadlines.size
  }

  /** Held pulls that arrivals have looked at since the start: the work that messages cause here. */
  get lookedAt(): number {
    return this.#lookedAt
  }

  /** @returns false when too many are held: answer now. */
  hold(held: HeldPull<Pull>, delayMs: number): boolean {
    if (this.size >= HELD_PULLS_MAX) return false
    if ((this.#channels.get(held.channel)?.size ?? 0) >= HELD_PULLS_PER_CONNECTION_MAX) return false
    if (!this.#bytes.add(held)) return false
    let queues = this.#topics.get(held.topic)
    if (queues === undefined) {
      queues = new Map()
      this.#topics.set(held.topic, queues)
    }
    let queue = queues.get(held.queueId)
    if (queue === undefined) {
      queue = new QueueWaiting()
      queues.set(held.queueId, queue)
    }
    queue.add(held)
    addTo(this.#channels, held.channel, held)
    this.#deadlines.add(held, delayMs)
    return true
  }

  // Hot: runs for each applied message.
  /** A message became visible. The pulls that it wakes run when the messages that came with it are visible too. */
  arrived(topic: string, queueId: number, tagsCode: number): void {
    const waiting = this.#topics.get(topic)?.get(queueId)
    if (waiting === undefined) return
    this.#wakeAll(waiting.forAny)
    const tagged = waiting.byTag.get(tagsCode)
    if (tagged !== undefined) this.#wakeAll(tagged)
  }

  /** Whoever waits for one of these topics is answered: there is nothing to wait for any more. */
  wakeTopics(isConcerned: (topic: string) => boolean): void {
    for (const [topic, queues] of this.#topics) {
      if (!isConcerned(topic)) continue
      for (const waiting of queues.values()) for (const held of waiting.all()) if (held.isTimed) this.#wake(held)
    }
  }

  /** Whoever is concerned waits for what it does not want any more. */
  wakeTopic(topic: string, isConcerned: (pull: Pull) => boolean): void {
    for (const waiting of this.#topics.get(topic)?.values() ?? []) {
      for (const held of waiting.all()) if (held.isTimed && isConcerned(held.pull)) this.#wake(held)
    }
  }

  /** The connection is gone: nobody waits for an answer. */
  closed(channel: object): void {
    for (const held of this.#channels.get(channel) ?? []) this.#remove(held)
  }

  // Hot.
  #wakeAll(waiting: Set<HeldPull<Pull>>): void {
    for (const held of waiting) {
      this.#lookedAt++
      this.#wake(held)
    }
  }

  #wake(held: HeldPull<Pull>): void {
    this.#remove(held)
    this.#woken.push(held)
  }

  #remove(held: HeldPull<Pull>): void {
    this.#deadlines.remove(held)
    this.#leave(held)
  }

  /** Takes it out of where it is looked for. */
  #leave(held: HeldPull<Pull>): void {
    const queues = this.#topics.get(held.topic)
    const queue = queues?.get(held.queueId)
    assert(queues !== undefined && queue !== undefined, 'a held pull is found by its topic and queue')
    queue.remove(held)
    if (queue.isEmpty) queues.delete(held.queueId)
    if (queues.size === 0) this.#topics.delete(held.topic)
    removeFrom(this.#channels, held.channel, held)
    this.#bytes.remove(held)
  }
}
