/**
 * Delivers messages of the delay levels when they are due. Runs on a leader that takes writes, and only there.
 *
 * A level's queue is in order of due time. The leader puts each due message into its real queue as a record that names the
 * entry it ends; applying that record moves the level on. So a message is delivered into the log exactly once, whoever leads.
 *
 * Keeps:
 *   D1  Records of one level enter the log in the order of their entries, none left out (put-proposal.ts, `PutOrder`).
 *   D2  An entry is proposed again only if it is certain that its record is not in the log: it was refused. One of unknown
 *       outcome is left to the apply, or to the next leader.
 *   D3  One timer, for the nearest due time; none while all levels are empty.
 */
import { assert, type Clock, type Logger } from '@dledger-ts/base'
import { SystemTopic } from '@dledger-ts/protocol'
import type { GetResult, PutListener } from '../api.ts'
import type { StoreMachine } from '../apply.ts'
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import { delivery } from '../delayed-message.ts'
import type { StoreError } from '../errors.ts'
import type { Putter } from '../put.ts'
import type { PutOrder, PutProposal } from '../put-proposal.ts'
import type { MessageReader, QueueEntries } from '../read.ts'

/** Messages of one level under way at most, and their bytes. */
const WINDOW_COUNT_MAX = 128
const WINDOW_BYTES_MAX = 1024 * 1024
const RETRY_MS = 500
/** Longest sleep of one timer; Node's own limit is 2^31 - 1 ms. */
const SLEEP_MS_MAX = 3_600_000

export interface DelayDeliveryOptions {
  readonly machine: StoreMachine
  readonly reader: MessageReader
  readonly putter: Putter
  readonly clock: Clock
  readonly logger: Logger
}

export class DelayDelivery {
  readonly #options: DelayDeliveryOptions
  #levels = new Map<number, Level>()
  #epoch = -1
  #cancelTimer: (() => void) | null = null
  #wakeAtMs = Number.POSITIVE_INFINITY

  constructor(options: DelayDeliveryOptions) {
    this.#options = options
  }

  /** After every change of role. */
  roleChanged(): void {
    const { machine } = this.#options
    if (!machine.role.ready) return this.stop()
    if (this.#epoch === machine.epoch) return
    this.stop()
    this.#epoch = machine.epoch
    this.wake()
  }

  /** Entries or deliveries were applied. */
  wake(): void {
    if (this.#epoch === -1) return
    for (const queue of this.#options.machine.queues.ofTopic(SystemTopic.SCHEDULE)) {
      let level = this.#levels.get(queue.queueId)
      if (level === undefined) {
        level = new Level(this, this.#options, queue)
        this.#levels.set(queue.queueId, level)
      }
      level.step()
    }
  }

  stop(): void {
    this.#epoch = -1
    for (const level of this.#levels.values()) level.stop()
    this.#levels = new Map()
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#wakeAtMs = Number.POSITIVE_INFINITY
  }

  /** Looks at all levels again at this time of the wall clock, or earlier. */
  wakeAt(timeMs: number): void {
    if (this.#cancelTimer !== null && this.#wakeAtMs <= timeMs) return
    this.#cancelTimer?.()
    this.#wakeAtMs = timeMs
    const delayMs = Math.min(Math.max(1, timeMs - this.#options.clock.nowMs()), SLEEP_MS_MAX)
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      this.#cancelTimer = null
      this.#wakeAtMs = Number.POSITIVE_INFINITY
      this.wake()
    })
  }
}

/** One level during one leadership. */
class Level implements PutOrder, PutListener {
  readonly #delivery: DelayDelivery
  readonly #options: DelayDeliveryOptions
  readonly #queue: ConsumeQueue
  readonly #level: number
  /** The next entry whose record may enter the log. */
  #encodedNext: number
  /** Proposed, outcome not told. */
  readonly #underWay = new Map<PutProposal, number>()
  #expected = 0
  #reading = false
  #stopped = false

  constructor(owner: DelayDelivery, options: DelayDeliveryOptions, queue: ConsumeQueue) {
    this.#delivery = owner
    this.#options = options
    this.#queue = queue
    this.#level = queue.queueId + 1
    this.#encodedNext = options.machine.metadata.delivered.get(this.#level) ?? 0
  }

  stop(): void {
    this.#stopped = true
  }

  /** Proposes what is due, when nothing is under way. */
  step(): void {
    if (this.#stopped || this.#reading || this.#underWay.size > 0 || this.#expected > 0) return
    const next = this.#encodedNext
    if (next >= this.#queue.nextOffset) return
    this.#reading = true
    const count = Math.min(WINDOW_COUNT_MAX, this.#queue.nextOffset - next)
    this.#options.reader.entries(this.#queue, next, count, (error, entries) => {
      if (this.#stopped) return
      if (error !== null) return this.#failed(error)
      const due = this.#countDue(entries as QueueEntries)
      if (due === 0) {
        this.#reading = false
        this.#delivery.wakeAt((entries as QueueEntries).tagsCodeAt(next))
        return
      }
      this.#read(next, due)
    })
  }

  maySucceed(proposal: PutProposal): boolean {
    if (this.#stopped || this.#underWay.get(proposal) !== this.#encodedNext) return false
    this.#encodedNext++
    return true
  }

  stored(): void {
    this.#told()
  }

  putFailed(error: StoreError): void {
    if (!this.#stopped) {
      this.#options.logger.warn({ err: error, level: this.#level }, 'a delayed message was not delivered yet')
    }
    this.#told()
  }

  #told(): void {
    this.#expected--
    assert(this.#expected >= 0, 'each delivery is told its outcome once')
    if (this.#expected > 0) return
    const wanted = this.#encodedNext
    const first = Math.min(...this.#underWay.values())
    const all = first + this.#underWay.size === wanted
    this.#underWay.clear()
    if (this.#stopped) return
    if (all) this.step()
    else this.#delivery.wakeAt(this.#options.clock.nowMs() + RETRY_MS)
  }

  #countDue(entries: QueueEntries): number {
    const nowMs = this.#options.clock.nowMs()
    let offset = entries.from
    while (offset < entries.to && entries.tagsCodeAt(offset) <= nowMs) offset++
    return offset - entries.from
  }

  #read(from: number, count: number): void {
    const request = {
      topic: this.#queue.topic,
      queueId: this.#queue.queueId,
      queueOffset: from,
      maxCount: count,
      maxBytes: WINDOW_BYTES_MAX,
      tagFilter: null,
    }
    this.#options.reader.get(request, (error, result) => {
      if (this.#stopped) return
      if (error !== null) return this.#failed(error)
      this.#reading = false
      this.#propose(from, (result as GetResult).records)
    })
  }

  #propose(from: number, records: readonly Buffer[]): void {
    const drafts = records.map((record, i) =>
      delivery(record, { kind: 'level', level: this.#level, queueOffset: from + i }),
    )
    this.#expected = drafts.length
    for (const [i, draft] of drafts.entries()) {
      this.#underWay.set(this.#options.putter.putOrdered(draft, this, this), from + i)
    }
  }

  #failed(error: StoreError): void {
    this.#reading = false
    this.#options.logger.error({ err: error, level: this.#level }, 'a delay level cannot be read')
    this.#delivery.wakeAt(this.#options.clock.nowMs() + RETRY_MS)
  }
}
