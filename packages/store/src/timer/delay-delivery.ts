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
 *   D4  A message whose log file is to go becomes a timer with the same due time (timer-delivery.ts), in the order of its level, too.
 *   D5  A message is due when its record says so: what a queue file says, which has no checksum, only tells how many to look at.
 */
import { assert, type Clock, type Logger } from '@dledger-ts/base'
import { type RecordDraft, SystemTopic } from '@dledger-ts/protocol'
import type { GetResult, PutListener } from '../api.ts'
import type { StoreMachine } from '../apply.ts'
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import { tagsCodeOfRecord } from '../consume-queue/entry-of-record.ts'
import { delivery } from '../delayed-message.ts'
import type { StoreError } from '../errors.ts'
import type { Putter } from '../put.ts'
import type { PutOrder, PutProposal } from '../put-proposal.ts'
import type { MessageReader, QueueEntries } from '../read.ts'
import { TailEntries } from '../read/queue-entries.ts'
import { SOON_MS } from '../retention/row-moves.ts'
import { NearestTime } from './nearest-time.ts'
import { timerOfLevel } from './timer-message.ts'

/** Messages of one level under way at most, and their bytes. */
const WINDOW_COUNT_MAX = 128
const WINDOW_BYTES_MAX = 1024 * 1024
const RETRY_MS = 500
/** Between two windows that are moved. */
const MOVE_PAUSE_MS = 250

export interface DelayDeliveryOptions {
  readonly machine: StoreMachine
  readonly reader: MessageReader
  readonly putter: Putter
  readonly timerPrecisionMs: number
  /** The largest record that the log takes. */
  readonly recordBytesMax: number
  readonly clock: Clock
  readonly logger: Logger
  readonly delayLevelsMs: readonly number[]
}

export class DelayDelivery {
  readonly #options: DelayDeliveryOptions
  #levels = new Map<number, Level>()
  #epoch = -1
  readonly #due: NearestTime

  constructor(options: DelayDeliveryOptions) {
    this.#options = options
    this.#due = new NearestTime(options.clock, () => this.wake())
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
    for (const level of this.#allLevels()) level.step()
  }

  #allLevels(): Level[] {
    const all: Level[] = []
    for (const queue of this.#options.machine.queues.ofTopic(SystemTopic.SCHEDULE)) {
      let level = this.#levels.get(queue.queueId)
      if (level === undefined) {
        level = new Level(this, this.#options, queue)
        this.#levels.set(queue.queueId, level)
      }
      all.push(level)
    }
    return all
  }

  stop(): void {
    this.#epoch = -1
    for (const level of this.#levels.values()) level.stop()
    this.#levels = new Map()
    this.#due.cancel()
  }

  /**
   * Puts messages again as timers whose records start before this byte and that are not due soon. Resolves when that is done, or
   * cannot be done now.
   */
  async moveBefore(physicalOffset: number): Promise<void> {
    if (this.#epoch === -1) return
    await Promise.all(this.#allLevels().map((level) => level.moveBefore(physicalOffset)))
  }

  /** Looks at all levels again at this time of the wall clock, or earlier. */
  wakeAt(timeMs: number): void {
    this.#due.wakeAt(timeMs)
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
  /** Messages whose records start before this become timers; 0 for none. */
  #moveBefore = 0
  #whenMoved: (() => void)[] = []

  constructor(owner: DelayDelivery, options: DelayDeliveryOptions, queue: ConsumeQueue) {
    this.#delivery = owner
    this.#options = options
    this.#queue = queue
    this.#level = queue.queueId + 1
    this.#encodedNext = options.machine.metadata.delivered.get(this.#level) ?? 0
  }

  stop(): void {
    this.#stopped = true
    this.#moved()
  }

  /** Resolves when no more can be moved now. */
  moveBefore(physicalOffset: number): Promise<void> {
    return new Promise((resolve) => {
      this.#moveBefore = physicalOffset
      this.#whenMoved.push(resolve)
      this.step()
    })
  }

  #moved(): void {
    this.#moveBefore = 0
    for (const told of this.#whenMoved.splice(0)) told()
  }

  /** Proposes what is due, or is to be moved, when nothing is under way. */
  step(): void {
    if (this.#stopped || this.#reading || this.#underWay.size > 0 || this.#expected > 0) return
    const next = this.#encodedNext
    if (next >= this.#queue.nextOffset) return this.#moved()
    this.#reading = true
    const count = Math.min(WINDOW_COUNT_MAX, this.#queue.nextOffset - next)
    this.#options.reader.entries(this.#queue, next, count, (error, entries) => {
      if (this.#stopped) return
      if (error !== null) return this.#failed(error)
      const due = this.#countDue(entries as QueueEntries)
      if (due > 0) return this.#read(next, due, 'deliver')
      const movable = this.#countMovable(entries as QueueEntries)
      if (movable > 0) return this.#read(next, movable, 'move')
      if (entries instanceof TailEntries) return this.#wait(entries.tagsCodeAt(next))
      this.#read(next, 1, 'deliver')
    })
  }

  /** Nothing is to be done before the next message is due. */
  #wait(dueMs: number): void {
    this.#reading = false
    this.#moved()
    this.#delivery.wakeAt(dueMs)
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
    if (all) return this.#moveBefore === 0 ? this.step() : this.#stepLater()
    this.#moved()
    this.#delivery.wakeAt(this.#options.clock.nowMs() + RETRY_MS)
  }

  /** What is moved is in no hurry. */
  #stepLater(): void {
    this.#delivery.wakeAt(this.#options.clock.nowMs() + MOVE_PAUSE_MS)
  }

  #countDue(entries: QueueEntries): number {
    const nowMs = this.#options.clock.nowMs()
    let offset = entries.from
    while (offset < entries.to && entries.tagsCodeAt(offset) <= nowMs) offset++
    return offset - entries.from
  }

  /** Of the next ones, those that are to be moved. */
  #countMovable(entries: QueueEntries): number {
    const soonMs = this.#options.clock.nowMs() + SOON_MS
    let offset = entries.from
    while (
      offset < entries.to &&
      entries.physicalOffsetAt(offset) < this.#moveBefore &&
      entries.tagsCodeAt(offset) > soonMs
    )
      offset++
    return offset - entries.from
  }

  #read(from: number, count: number, purpose: 'deliver' | 'move'): void {
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
      const { records } = result as GetResult
      this.#reading = false
      const drafts = purpose === 'move' ? this.#moves(from, records) : this.#deliveries(from, records)
      if (drafts.length > 0) this.#propose(from, drafts)
      else this.#wait(this.#dueTime(records[0] as Buffer))
    })
  }

  #dueTime(record: Buffer): number {
    return tagsCodeOfRecord(record, SystemTopic.SCHEDULE, this.#options.delayLevelsMs)
  }

  #deliveries(from: number, records: readonly Buffer[]): RecordDraft[] {
    const nowMs = this.#options.clock.nowMs()
    const notDue = records.findIndex((record) => this.#dueTime(record) > nowMs)
    const due = notDue < 0 ? records : records.slice(0, notDue)
    return due.map((record, i) => delivery(record, { kind: 'level', level: this.#level, queueOffset: from + i }))
  }

  /** Of the first ones, up to one for which there is no room as a timer. */
  #moves(from: number, records: readonly Buffer[]): RecordDraft[] {
    const { timerPrecisionMs: precisionMs, recordBytesMax } = this.#options
    const drafts: RecordDraft[] = []
    for (const [i, record] of records.entries()) {
      const delivered = { kind: 'level', level: this.#level, queueOffset: from + i } as const
      const draft = timerOfLevel(record, delivered, { dueMs: this.#dueTime(record), precisionMs, recordBytesMax })
      if (draft === null) break
      drafts.push(draft)
    }
    return drafts
  }

  #propose(from: number, drafts: readonly RecordDraft[]): void {
    this.#expected = drafts.length
    for (const [i, draft] of drafts.entries()) {
      this.#underWay.set(this.#options.putter.putOrdered(draft, this, this), from + i)
    }
  }

  #failed(error: StoreError): void {
    this.#reading = false
    this.#moved()
    this.#options.logger.error({ err: error, level: this.#level }, 'a delay level cannot be read')
    this.#delivery.wakeAt(this.#options.clock.nowMs() + RETRY_MS)
  }
}
