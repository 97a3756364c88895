/**
 * Consumer offsets of the leader: answered at once from memory, appended in bulk.
 *
 * Keeps:
 *   O1  Last write wins; a negative offset is dropped.
 *   O2  What was committed is appended within COALESCE_MS, or kept and tried again while the leadership lasts.
 *   O3  On losing the leadership everything not applied is dropped: a crash repeats at most what was consumed meanwhile.
 *   O4  Nothing is written for an offset that did not change.
 *   O5  What is told here and what is applied end the same: offsets are appended in the order in which they were told.
 *   O6  While no consumer of a group that was moved stands where it goes on, what they commit does not count. That one does is
 *       proposed before anything that they commit after it; when that is lost with the leader they are told again.
 */
import type { Clock, Logger } from '@dledger-ts/base'
import type { StoreMachine } from '../apply.ts'
import { StoreError } from '../errors.ts'
import { QUEUE_COUNT_MAX } from '../put-checks.ts'
import type { ConsumerOffsetRow } from './change.ts'
import type { ChangeProposer } from './change-proposals.ts'
import { isKeptName } from './kept-names.ts'
import { OffsetTable } from './offset-table.ts'

const COALESCE_MS = 200
/** Offsets in one entry at most. */
const ROWS_MAX = 1_000
/** Offsets that wait to be appended at most; beyond, a commit is refused with BUSY. */
const WAITING_MAX = 200_000

/** Of a name that is refused, in what says so. */
const SHOWN_LENGTH = 300

type Callback = (error: StoreError | null) => void

export interface ConsumerOffsetsOptions {
  readonly machine: StoreMachine
  readonly changes: ChangeProposer
  readonly clock: Clock
  readonly logger: Logger
}

export class ConsumerOffsets {
  readonly #options: ConsumerOffsetsOptions
  /** What this leader was told, applied or not; asked before the applied table. */
  readonly #told = new OffsetTable()
  /** By a key of group, topic and queue: to be appended. */
  #waiting = new Map<string, ConsumerOffsetRow>()
  #underWay = 0
  #cancelTimer: (() => void) | null = null
  #epoch = -1
  #flushWaiters: Callback[] = []
  /** Resets and their ends that are proposed and not applied yet, by the same keys. */
  readonly #resetting = new Map<string, { readonly offset: number | null }>()

  constructor(options: ConsumerOffsetsOptions) {
    this.#options = options
  }

  get(group: string, topic: string, queueId: number): number | undefined {
    const reset = this.pendingReset(group, topic, queueId)
    if (reset !== undefined) return reset
    const { metadata } = this.#options.machine
    const told = this.#isCurrent() ? this.#told.get(group, topic, queueId) : undefined
    return told ?? metadata.offsets.get(group, topic, queueId)
  }

  ofGroup(group: string): ReadonlyMap<string, ReadonlyMap<number, number>> {
    const merged = new Map<string, Map<number, number>>()
    const { metadata } = this.#options.machine
    const tables = [metadata.offsets]
    if (this.#isCurrent()) tables.push(this.#told)
    for (const table of tables) {
      for (const [topic, queues] of table.ofGroup(group)) {
        const into = merged.get(topic) ?? new Map<number, number>()
        for (const [queueId, offset] of queues) into.set(queueId, offset)
        merged.set(topic, into)
      }
    }
    for (const [topic, queues] of metadata.resets.ofGroup(group)) {
      for (const queueId of queues.keys()) {
        const offset = this.pendingReset(group, topic, queueId)
        if (offset !== undefined) merged.get(topic)?.set(queueId, offset)
      }
    }
    return merged
  }

  /** Groups that have an offset of some queue. */
  groups(): ReadonlySet<string> {
    const groups = new Set(this.#options.machine.metadata.offsets.groups())
    if (this.#isCurrent()) for (const group of this.#told.groups()) groups.add(group)
    return groups
  }

  /** Where the group goes on that was moved, while none of its consumers stands there. */
  pendingReset(group: string, topic: string, queueId: number): number | undefined {
    const { resets } = this.#options.machine.metadata
    if (this.#resetting.size > 0 && this.#isCurrent()) {
      const underWay = this.#resetting.get(keyOf(group, topic, queueId))
      if (underWay !== undefined) return underWay.offset ?? undefined
    }
    return resets.get(group, topic, queueId)
  }

  /** Moves a group; called back when that is applied. From now on it is known here. @throws StoreError NOT_LEADER, INVALID. */
  reset(rows: readonly ConsumerOffsetRow[], callback: Callback): void {
    this.#requireLeader()
    for (const row of rows) checkRow(row)
    this.#enterEpoch()
    this.#proposeResets({ kind: 'resetOffsets', offsets: rows }, (offset) => offset, callback)
  }

  /** A consumer of the group stands there now, or pops from there. @returns where the group goes on; undefined when it was not moved. */
  takeReset(group: string, topic: string, queueId: number): number | undefined {
    const offset = this.pendingReset(group, topic, queueId)
    if (offset === undefined) return undefined
    this.#requireLeader()
    this.#enterEpoch()
    const offsets: ConsumerOffsetRow[] = [[group, topic, queueId, offset]]
    this.#proposeResets(
      { kind: 'endResets', offsets },
      () => null,
      (error) => {
        if (error !== null)
          this.#options.logger.info({ err: error, group, topic }, 'consumers are told again of a reset')
      },
    )
    return offset
  }

  #proposeResets(
    change: { readonly kind: 'resetOffsets' | 'endResets'; readonly offsets: readonly ConsumerOffsetRow[] },
    meanwhile: (offset: number) => number | null,
    callback: Callback,
  ): void {
    const underWay = change.offsets.map((row) => {
      const [group, topic, queueId, offset] = row
      const key = keyOf(group, topic, queueId)
      const failed = this.proposed(row)
      const state = { offset: meanwhile(offset) }
      const former = this.#resetting.get(key)
      this.#resetting.set(key, state)
      return { key, state, former, failed }
    })
    const ended = (isDone: boolean): void => {
      // Backwards: a queue that stands twice gets back what was before the first.
      for (const { key, state, failed } of underWay.toReversed()) {
        // Another change of it may be under way since.
        if (this.#resetting.get(key) === state) this.#resetting.delete(key)
        if (!isDone) failed()
      }
    }
    try {
      this.#options.changes.proposeWith(change, (error) => {
        ended(error === null)
        callback(error)
      })
    } catch (error) {
      // Too large for one entry, or refused: it was not proposed, so no answer will come that ends it.
      ended(false)
      for (const { key, former } of underWay.toReversed()) if (former !== undefined) this.#resetting.set(key, former)
      throw error
    }
  }

  /** @throws StoreError NOT_LEADER, BUSY, INVALID. */
  commit(group: string, topic: string, queueId: number, offset: number): void {
    this.#requireLeader()
    checkQueue(group, topic, queueId)
    if (!Number.isSafeInteger(offset)) {
      throw new StoreError(`offset ${offset} is no whole number`, { code: 'INVALID', what: 'offset' })
    }
    if (offset < 0) return
    this.#enterEpoch()
    const reset = this.pendingReset(group, topic, queueId)
    if (reset !== undefined) {
      // It says that it goes on there.
      if (reset === offset) this.takeReset(group, topic, queueId)
      return
    }
    if (this.get(group, topic, queueId) === offset) return
    if (this.#waiting.size >= WAITING_MAX) {
      throw new StoreError(`${WAITING_MAX} offsets wait to be appended`, { code: 'BUSY' })
    }
    this.#told.set(group, topic, queueId, offset)
    this.#waiting.set(keyOf(group, topic, queueId), [group, topic, queueId, offset])
    this.#arm()
  }

  /**
   * An offset goes into the log with an entry that is proposed now: what was told before it is not appended after it.
   *
   * @returns to be called when that entry failed: what was known before counts again, unless something newer was told.
   */
  proposed([group, topic, queueId, offset]: ConsumerOffsetRow): () => void {
    this.#enterEpoch()
    const epoch = this.#epoch
    const before = this.get(group, topic, queueId)
    this.#told.set(group, topic, queueId, offset)
    this.#waiting.delete(keyOf(group, topic, queueId))
    return () => {
      if (this.#epoch !== epoch || this.#told.get(group, topic, queueId) !== offset) return
      if (before === undefined) return this.#told.delete(group, topic, queueId)
      this.#told.set(group, topic, queueId, before)
      this.#waiting.set(keyOf(group, topic, queueId), [group, topic, queueId, before])
      this.#arm()
    }
  }

  /** The topic is deleted: what was told of it counts no more. */
  forgetTopic(topic: string): void {
    this.#told.deleteTopic(topic)
    for (const [key, row] of this.#waiting) if (row[1] === topic) this.#waiting.delete(key)
  }

  /** The same of a group. */
  forgetGroup(group: string): void {
    this.#told.deleteGroup(group)
    for (const [key, row] of this.#waiting) if (row[0] === group) this.#waiting.delete(key)
  }

  /** Appends what waits; called back when all of it is applied, or with the first failure. */
  flush(callback: Callback): void {
    if (!this.#isCurrent() || (this.#waiting.size === 0 && this.#underWay === 0)) {
      this.#options.clock.defer(() => callback(null))
      return
    }
    this.#flushWaiters.push(callback)
    this.#append()
  }

  /** After every change of role. */
  roleChanged(): void {
    if (this.#isCurrent()) return
    this.#drop()
    const waiters = this.#flushWaiters
    this.#flushWaiters = []
    const error = new StoreError('the leadership was lost while waiting', { code: 'TIMEOUT' })
    for (const waiter of waiters) waiter(error)
  }

  #requireLeader(): void {
    const { role } = this.#options.machine
    if (role.ready) return
    throw new StoreError('this member does not lead', { code: 'NOT_LEADER', leader: role.leader })
  }

  #isCurrent(): boolean {
    return this.#epoch === this.#options.machine.epoch
  }

  #enterEpoch(): void {
    if (this.#isCurrent()) return
    this.#drop()
    this.#epoch = this.#options.machine.epoch
  }

  #drop(): void {
    this.#epoch = -1
    this.#told.clear()
    this.#resetting.clear()
    this.#waiting = new Map()
    this.#underWay = 0
    this.#cancelTimer?.()
    this.#cancelTimer = null
  }

  #arm(): void {
    if (this.#cancelTimer !== null) return
    this.#cancelTimer = this.#options.clock.after(COALESCE_MS, () => {
      this.#cancelTimer = null
      this.#append()
    })
  }

  #append(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    const rows = [...this.#waiting.values()]
    this.#waiting = new Map()
    for (let at = 0; at < rows.length; at += ROWS_MAX) this.#appendRows(rows.slice(at, at + ROWS_MAX))
  }

  #appendRows(rows: readonly ConsumerOffsetRow[]): void {
    const epoch = this.#epoch
    this.#underWay++
    this.#options.changes.proposeWith({ kind: 'consumerOffsets', offsets: rows }, (error) => {
      if (this.#epoch !== epoch) return
      this.#underWay--
      if (error !== null) {
        this.#options.logger.warn({ err: error, rows: rows.length }, 'consumer offsets were not appended')
        this.#waitAgain(rows)
      }
      if (error === null && (this.#underWay > 0 || this.#waiting.size > 0)) return
      const waiters = this.#flushWaiters
      this.#flushWaiters = []
      for (const waiter of waiters) waiter(error)
    })
  }

  /** Rows that failed wait again, unless something newer was told. */
  #waitAgain(rows: readonly ConsumerOffsetRow[]): void {
    for (const row of rows) {
      const [group, topic, queueId, offset] = row
      if (this.#told.get(group, topic, queueId) !== offset) continue
      this.#waiting.set(keyOf(group, topic, queueId), row)
    }
    if (this.#waiting.size > 0) this.#arm()
  }
}

function keyOf(group: string, topic: string, queueId: number): string {
  return `${group}\0${topic}\0${queueId}`
}

/** @throws StoreError INVALID. */
function checkQueue(group: string, topic: string, queueId: number): void {
  const isQueueId = Number.isInteger(queueId) && queueId >= 0 && queueId < QUEUE_COUNT_MAX
  if (isQueueId && isKeptName(group) && isKeptName(topic)) return
  const shown = [group.slice(0, SHOWN_LENGTH), topic.slice(0, SHOWN_LENGTH), queueId]
  const what = `no queue of a group: ${JSON.stringify(shown)}`
  throw new StoreError(what, { code: 'INVALID', what })
}

/** @throws StoreError INVALID. */
function checkRow([group, topic, queueId, offset]: ConsumerOffsetRow): void {
  checkQueue(group, topic, queueId)
  if (Number.isSafeInteger(offset) && offset >= 0) return
  throw new StoreError(`offset ${offset} is none`, { code: 'INVALID', what: 'offset' })
}
