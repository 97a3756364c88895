/**
 * Pops that found nothing and wait: for a message of their topic, for one that comes again, or for their deadline.
 *
 * Keeps:
 *   W1  a waiting pop is resumed or dropped exactly once for each time it waits;
 *   W2  an idle table costs nothing: there is no scan, and one timer for all that wait;
 *   W3  a message costs one map lookup while nobody waits for its topic;
 *   W4  what arrives in one pass of the event loop wakes one pop of a group for a queue, and one that wants any queue: a pop takes
 *       what there is, and whoever ran it wakes the next while something is left.
 */
import { assert, type Clock } from '@dledger-ts/base'
import { Deadlines, Timed } from '../deadlines.ts'
import { HeldBytes } from '../held-bytes.ts'
import { addTo, removeFrom } from '../keyed-sets.ts'
import { WokenTurns } from '../woken-turns.ts'

/** Any queue of the topic. */
const ANY_QUEUE = -1

export class WaitingPop<Pop> extends Timed {
  readonly group: string
  readonly topic: string
  /** ANY_QUEUE for all. */
  readonly queueId: number
  /** Tags that wake it; null for any message. */
  readonly tagCodes: ReadonlySet<number> | null
  readonly channel: object
  readonly pop: Pop
  readonly requestBytes: number
  /** Queues for which its group needs no other pop woken until it runs; set when it is woken. */
  wokenOf: Set<number> | null = null

  constructor(
    where: { readonly group: string; readonly topic: string; readonly queueId: number },
    tagCodes: ReadonlySet<number> | null,
    channel: object,
    pop: Pop,
    requestBytes = 0,
  ) {
    super()
    this.requestBytes = requestBytes
    this.group = where.group
    this.topic = where.topic
    this.queueId = where.queueId < 0 ? ANY_QUEUE : where.queueId
    this.tagCodes = tagCodes
    this.channel = channel
    this.pop = pop
  }
}

/** Pops of one group that wait for one topic. */
class GroupWaiting<Pop> {
  readonly group: string
  /** The topic, then those in which its messages come again to this group. */
  readonly topics: readonly string[]
  readonly queues = new Map<number, Set<WaitingPop<Pop>>>()
  /** Queues for which one is woken already and has not run yet. */
  readonly woken = new Set<number>()

  constructor(group: string, topics: readonly string[]) {
    this.group = group
    this.topics = topics
  }
}

export interface PopPollingLimits {
  /** Waiting for one queue, or for any, of one topic and group. */
  readonly perQueueMax: number
  readonly totalMax: number
}

export class PopPolling<Pop> {
  readonly #deadlines: Deadlines<WaitingPop<Pop>>
  readonly #woken: WokenTurns<WaitingPop<Pop>>
  readonly #limits: PopPollingLimits
  readonly #retryTopics: (topic: string, group: string) => readonly string[]
  /** By topic, also a retry topic, then by group; what nobody waits for is not in it. */
  readonly #topics = new Map<string, Map<string, GroupWaiting<Pop>>>()
  readonly #channels = new Map<object, Set<WaitingPop<Pop>>>()
  readonly #bytes = new HeldBytes()
  /** Closed; what was woken for one of these may not have run yet. */
  readonly #gone = new WeakSet<object>()

  /**
   * @param resume      runs a pop again; it may wait once more.
   * @param retryTopics where messages of a topic come again to a group.
   */
  constructor(
    clock: Clock,
    limits: PopPollingLimits,
    resume: (pop: Pop) => void,
    retryTopics: (topic: string, group: string) => readonly string[],
  ) {
    this.#limits = limits
    this.#retryTopics = retryTopics
    this.#woken = new WokenTurns(clock, (waiting) => {
      const { wokenOf } = waiting
      waiting.wokenOf = null
      wokenOf?.delete(waiting.queueId)
      if (!this.#gone.has(waiting.channel)) resume(waiting.pop)
      else if (wokenOf !== null) this.#wakeInstead(waiting)
    })
    this.#deadlines = new Deadlines(clock, (waiting) => {
      this.#leave(waiting)
      this.#woken.push(waiting)
    })
  }

  get size(): number {
    return this.#deadlines.size
  }

  /** Pops that wait for this queue; with a negative one, for any. */
  waiting(topic: string, group: string, queueId: number): number {
    return this.#topics.get(topic)?.get(group)?.queues.get(Math.max(queueId, ANY_QUEUE))?.size ?? 0
  }

  /** Whose client is gone waits for nothing. @returns false when too many wait. */
  hold(pop: WaitingPop<Pop>, delayMs: number): boolean {
    if (this.#gone.has(pop.channel)) return true
    if (this.size >= this.#limits.totalMax) return false
    if (this.waiting(pop.topic, pop.group, pop.queueId) >= this.#limits.perQueueMax) return false
    if (!this.#bytes.add(pop)) return false
    const group = this.#topics.get(pop.topic)?.get(pop.group) ?? this.#addGroup(pop)
    addTo(group.queues, pop.queueId, pop)
    addTo(this.#channels, pop.channel, pop)
    this.#deadlines.add(pop, delayMs)
    return true
  }

  // Hot: runs for each applied message.
  /** A message became visible. The pops that it wakes run when the messages that came with it are visible too. */
  arrived(topic: string, queueId: number, tagsCode: number): void {
    const groups = this.#topics.get(topic)
    if (groups === undefined) return
    for (const group of groups.values()) {
      if (group.topics[0] === topic) {
        this.#wakeOne(group, ANY_QUEUE, tagsCode)
        this.#wakeOne(group, queueId, tagsCode)
      } else {
        // Whatever queue a pop wants, it gets what comes again, too.
        for (const waitedFor of group.queues.keys()) if (this.#wakeOne(group, waitedFor, tagsCode)) break
      }
    }
  }

  /** Something is to be popped of this queue, whatever its tag: a pop left it, or gave it back. */
  wake(topic: string, group: string, queueId: number): void {
    const waiting = this.#topics.get(topic)?.get(group)
    if (waiting === undefined) return
    if (!this.#wakeOne(waiting, ANY_QUEUE, null)) this.#wakeOne(waiting, queueId, null)
  }

  /** The connection is gone: nobody waits for an answer. */
  closed(channel: object): void {
    this.#gone.add(channel)
    for (const pop of this.#channels.get(channel) ?? []) this.#remove(pop)
  }

  /** Another member leads: all are run again, and find that out. */
  resumeAll(): void {
    for (const pops of this.#channels.values()) {
      for (const pop of pops) {
        this.#remove(pop)
        this.#woken.push(pop)
      }
    }
  }

  #addGroup({ topic, group }: WaitingPop<Pop>): GroupWaiting<Pop> {
    const waiting = new GroupWaiting<Pop>(group, [topic, ...this.#retryTopics(topic, group)])
    for (const name of waiting.topics) {
      const groups = this.#topics.get(name) ?? new Map<string, GroupWaiting<Pop>>()
      // Names of retry topics are ambiguous: a topic of that name may be waited for itself.
      if (!groups.has(group)) groups.set(group, waiting)
      this.#topics.set(name, groups)
    }
    return waiting
  }

  /** @returns whether one is woken, now or before in this pass. */
  #wakeOne(group: GroupWaiting<Pop>, queueId: number, tagsCode: number | null): boolean {
    if (group.woken.has(queueId)) return true
    for (const pop of group.queues.get(queueId) ?? []) {
      if (tagsCode !== null && pop.tagCodes !== null && !pop.tagCodes.has(tagsCode)) continue
      this.#remove(pop)
      group.woken.add(queueId)
      pop.wokenOf = group.woken
      this.#woken.push(pop)
      return true
    }
    return false
  }

  /** Its client went before it ran: what woke it is for the next. */
  #wakeInstead({ topic, group, queueId }: WaitingPop<Pop>): void {
    const waiting = this.#topics.get(topic)?.get(group)
    if (waiting !== undefined) this.#wakeOne(waiting, queueId, null)
  }

  #remove(pop: WaitingPop<Pop>): void {
    this.#deadlines.remove(pop)
    this.#leave(pop)
  }

  /** Takes it out of where it is looked for. */
  #leave(pop: WaitingPop<Pop>): void {
    const group = this.#topics.get(pop.topic)?.get(pop.group)
    assert(group !== undefined, 'a waiting pop is found by its topic and group')
    removeFrom(group.queues, pop.queueId, pop)
    if (group.queues.size === 0) this.#removeGroup(group)
    removeFrom(this.#channels, pop.channel, pop)
    this.#bytes.remove(pop)
  }

  #removeGroup(group: GroupWaiting<Pop>): void {
    for (const name of group.topics) {
      const groups = this.#topics.get(name)
      if (groups?.get(group.group) === group) groups.delete(group.group)
      if (groups?.size === 0) this.#topics.delete(name)
    }
  }
}
