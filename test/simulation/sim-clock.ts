/**
 * The time of a simulation: one queue of events, run in the order (time, sequence), nothing else moves time.
 *
 * Keeps:
 *   - Two runs that schedule the same events run them in the same order.
 *   - An event of a process that has died since is never run; one of a paused process waits until it is resumed.
 *   - Time never goes back; it is counted in whole microseconds.
 */
import { assert, type Clock } from '@dledger-ts/base'
import type { Decisions } from './decisions.ts'

export const US_PER_MS = 1000
/** What the wall clocks show at the start. */
export const EPOCH_MS = 1_700_000_000_000
/** How long a late pass of an event loop gathers input at most. */
const PASS_DELAY_US_MAX = 1500

/** Whose event it is. Ownerless events (the network, the disk's platter, the fault script) always run. */
export interface Process {
  /** Place of the member in the cluster. */
  readonly id: number
  /** Changes with every death and start: events of an earlier incarnation are void. */
  incarnation: number
  paused: boolean
  /** Events that came due during a pause, in order. */
  readonly heldBack: SimEvent[]
}

export class SimEvent {
  readonly atUs: number
  readonly sequence: number
  readonly kind: string
  readonly owner: Process | null
  readonly incarnation: number
  run: (() => void) | null

  constructor(atUs: number, sequence: number, kind: string, owner: Process | null, run: () => void) {
    this.atUs = atUs
    this.sequence = sequence
    this.kind = kind
    this.owner = owner
    this.incarnation = owner === null ? 0 : owner.incarnation
    this.run = run
  }
}

export class EventQueue {
  /** A binary heap: the earliest event is at 0. */
  readonly #heap: SimEvent[] = []
  #sequence = 0
  nowUs = 0

  get pending(): number {
    return this.#heap.length
  }

  /** Runs `run` `delayUs` from now, after everything already scheduled for the same microsecond. */
  schedule(delayUs: number, kind: string, owner: Process | null, run: () => void): SimEvent {
    assert(delayUs >= 0, 'an event is not in the past')
    const event = new SimEvent(this.nowUs + Math.round(delayUs), this.#sequence++, kind, owner, run)
    this.#push(event)
    return event
  }

  /** @returns the next event that may run, with time moved to it; null when there is none up to `untilUs`. */
  next(untilUs: number): SimEvent | null {
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined || first.atUs > untilUs) {
        if (untilUs !== Number.POSITIVE_INFINITY) this.nowUs = Math.max(this.nowUs, untilUs)
        return null
      }
      this.#pop()
      if (first.run === null) continue
      const { owner } = first
      if (owner !== null) {
        if (first.incarnation !== owner.incarnation) continue
        if (owner.paused) {
          owner.heldBack.push(first)
          continue
        }
      }
      this.nowUs = first.atUs
      return first
    }
  }

  /** Lets a paused process go on: what came due meanwhile happens now, in its order. */
  resume(owner: Process): void {
    owner.paused = false
    for (const held of owner.heldBack) {
      if (held.run === null || held.incarnation !== owner.incarnation) continue
      this.schedule(0, held.kind, owner, () => held.run?.())
    }
    owner.heldBack.length = 0
  }

  #push(event: SimEvent): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as SimEvent
      if (before(above, event)) break
      heap[at] = above
      at = parent
    }
    heap[at] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as SimEvent
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as SimEvent, heap[child] as SimEvent)) child++
      if (before(last, heap[child] as SimEvent)) break
      heap[at] = heap[child] as SimEvent
      at = child
    }
    heap[at] = last
  }
}

function before(a: SimEvent, b: SimEvent): boolean {
  return a.atUs < b.atUs || (a.atUs === b.atUs && a.sequence < b.sequence)
}

/** One process's view of time: its monotonic clock runs a little fast or slow, its wall clock is somewhere else. */
export class SimClock implements Clock {
  readonly #events: EventQueue
  readonly #owner: Process
  readonly #decisions: Decisions
  /** Seconds of this clock in a second of simulated time. */
  readonly #rate: number
  #startUs: number
  #wallSkewMs: number
  #deferred: (() => void)[] = []
  #passes = 0

  constructor(
    events: EventQueue,
    owner: Process,
    decisions: Decisions,
    options: { readonly driftPerMille: number; readonly wallSkewMs: number },
  ) {
    this.#events = events
    this.#owner = owner
    this.#decisions = decisions
    this.#rate = 1 + options.driftPerMille / 1000
    this.#startUs = events.nowUs
    this.#wallSkewMs = options.wallSkewMs
  }

  nowMs(): number {
    return Math.floor(EPOCH_MS + this.#wallSkewMs + (this.#events.nowUs * this.#rate) / US_PER_MS)
  }

  monotonicMs(): number {
    return ((this.#events.nowUs - this.#startUs) * this.#rate) / US_PER_MS
  }

  after(delayMs: number, callback: () => void): () => void {
    const event = this.#events.schedule((delayMs * US_PER_MS) / this.#rate, 'timer', this.#owner, callback)
    return () => {
      event.run = null
    }
  }

  /** Mostly at the end of this instant; sometimes a little later, so that more input falls into the same pass. In order. */
  defer(callback: () => void): void {
    this.#deferred.push(callback)
    if (this.#deferred.length > 1) return
    const counter = this.#passes++
    const late = this.#decisions.chance('pass is late', this.#owner.id, counter, 200)
    const delayUs = late ? this.#decisions.below('pass delay', this.#owner.id, counter, PASS_DELAY_US_MAX) : 0
    this.#events.schedule(delayUs, 'pass', this.#owner, () => {
      const callbacks = this.#deferred
      this.#deferred = []
      for (const run of callbacks) run()
    })
  }

  /** The machine was suspended: its monotonic clock did not run. */
  skip(us: number): void {
    this.#startUs += us
  }

  /** The wall clock is set; nothing but displayed times may depend on it. */
  jump(byMs: number): void {
    this.#wallSkewMs += byMs
  }
}
