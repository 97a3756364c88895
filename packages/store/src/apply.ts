/**
 * Applying committed entries: the state machine of a member, in memory.
 *
 *   entries ──► apply ──► ConsumeQueue entries, metadata, newest records ──► listeners, once for a batch
 *
 * Keeps:
 *   A1  What apply leaves depends on the entries alone, in log order: no clock, no randomness.
 *   A2  The queue offset in a record is the next one of its queue, and its physicalOffset is its place.
 *   A3  What is written to files and database (checkpoint.ts) is the state at one index, and that is synced in the log.
 *   A4  A message is visible exactly when it is applied.
 *   A5  Store timestamps never go back in log order, whichever member led.
 */
import { assert, type Clock } from '@dledger-ts/base'
import type { CommittedEntry, RoleState, StateMachine, StateRestore, StateSnapshot } from '@dledger-ts/dledger'
import {
  isQueued,
  isSystemTopic,
  recordBody,
  recordQueueId,
  recordQueueOffset,
  recordStoreTimestamp,
  recordSysFlag,
  recordTopic,
  SystemTopic,
  topicNameError,
} from '@dledger-ts/protocol'
import type { MessageArrivalListener } from './api.ts'
import type { ConsumeQueue } from './consume-queue/consume-queue.ts'
import { checkRecordsBody, checkWholeRecord, corrupt, tagsCodeOfRecord } from './consume-queue/entry-of-record.ts'
import { QueueTable } from './consume-queue/queue-table.ts'
import { type Delivered, deliveredOf } from './delivered-property.ts'
import { HotRecords } from './hot-records.ts'
import { physicalOffsetOf } from './log-place.ts'
import { CHANGE_TOPIC, decodeChange, type QueueEndRow } from './metadata/change.ts'
import { MetadataState } from './metadata/state.ts'
import type { StoredSends } from './send-once/stored-sends.ts'
import { timerRowOf } from './timer/timer-message.ts'
import { type Amount, MessageCount } from './message-count.ts'
import { halfMessageRowOf, movedHalfMessageRow } from './transaction/half-message.ts'

/** The state after some entry: what a checkpoint names. */
export interface AppliedMark {
  readonly index: number
  readonly term: number
  /** One after the last byte of that entry's record. */
  readonly physicalEnd: number
  readonly storeTimestamp: number
}

export const NOTHING_APPLIED: AppliedMark = { index: -1, term: 0, physicalEnd: 0, storeTimestamp: 0 }

export interface StoreMachineOptions {
  readonly clock: Clock
  readonly delayLevelsMs: readonly number[]
  readonly hotBytesMax: number
  /** A log that begins with a message was begun by Apache's broker. Ours begin with an entry of the log itself. */
  readonly takesOverApache: boolean
  /** Follows the sends that are applied; null where repeated sends are not recognised. */
  readonly sends?: StoredSends | null
  /** Size of a log file. */
  readonly fileBytes: number
}

/** What hangs on the machine; each is called after the state is complete. */
export interface StoreMachineHooks {
  /** A batch was applied: something may be written once it is synced. */
  applied(): void
  /** Entries up to `index` are synced. */
  durable(index: number): void
  /** A batch changed the topic table. */
  topicsChanged(): void
  /** A message that is delayed was applied, or the delivery of one. */
  delaysChanged(): void
  roleChanged(role: RoleState): void
  /** The kept state is beyond the log: everything derived must go. */
  discarded(): void
  /** Entries below some index are to be forgotten: the next checkpoint is waited for. */
  trimApplied(): void
  /** @see StateMachine.openSnapshot */
  openSnapshot(callback: (error: Error | null, snapshot: StateSnapshot | null) => void): void
  /** @see StateMachine.restore */
  restore(index: number): StateRestore
  /** The log starts later than before, or elsewhere. */
  logStarts(): void
  /** @see StateMachine.logEnds */
  logEnds(lastIndex: number, endPos: number): void
}

export class StoreMachine implements StateMachine {
  readonly queues = new QueueTable()
  readonly metadata: MetadataState
  readonly hot: HotRecords
  readonly #clock: Clock
  readonly #delayLevelsMs: readonly number[]
  readonly #takesOverApache: boolean
  readonly #sends: StoredSends | null
  /** Never changed, only replaced: listeners come and go while they are told. */
  #arrivalListeners: readonly MessageArrivalListener[] = []
  #hooks: StoreMachineHooks | null = null
  #applied: AppliedMark = NOTHING_APPLIED
  /** Boundaries of applied batches that are not in a checkpoint yet, ascending. */
  #marks: AppliedMark[] = []
  /** Queues with entries that are not in the files yet. */
  #dirtyQueues: ConsumeQueue[] = []
  #lastStoreTimestamp = 0
  #repeatedOffsets = 0
  /** Messages and bytes of records that became visible. */
  readonly #visible = new MessageCount()
  #failure: Error | null = null
  #role: RoleState = { role: 'FOLLOWER', term: 0, leader: null, ready: false }
  #epoch = 0
  #checkpointIndex = -1
  #logFirstIndex = 0
  #logStartPos = 0
  // What became visible in the batch under way; four columns instead of an object for each message.
  #arrivedQueues: ConsumeQueue[] = []
  #arrivedOffsets: number[] = []
  #arrivedTags: number[] = []
  #arrivedBytes: number[] = []

  constructor(options: StoreMachineOptions) {
    this.#clock = options.clock
    this.#delayLevelsMs = options.delayLevelsMs
    this.#takesOverApache = options.takesOverApache
    this.#sends = options.sends ?? null
    this.hot = new HotRecords(options.hotBytesMax)
    this.metadata = new MetadataState(options.fileBytes)
  }

  get appliedIndex(): number {
    return this.#applied.index
  }

  get applied(): AppliedMark {
    return this.#applied
  }

  /** Messages of Apache's under a queue offset that was taken, seen since this member started. */
  get repeatedOffsets(): number {
    return this.#repeatedOffsets
  }

  /** Messages that became visible since this member started. */
  get visible(): Amount {
    return this.#visible.amount()
  }

  get role(): RoleState {
    return this.#role
  }

  /** The log may forget the entries up to here: a synced checkpoint has their effects, and nothing pending reads them. */
  get checkpointIndex(): number {
    return this.#checkpointIndex
  }

  /** Records before this byte of the log cannot be read any more. */
  get logStartPos(): number {
    return this.#logStartPos
  }

  /** The oldest entry of the log. */
  get logFirstIndex(): number {
    return this.#logFirstIndex
  }

  /** Grows with every change of leadership: what was given out in an earlier one is void. */
  get epoch(): number {
    return this.#epoch
  }

  hook(hooks: StoreMachineHooks): void {
    this.#hooks = hooks
  }

  onMessages(listener: MessageArrivalListener): () => void {
    this.#arrivalListeners = [...this.#arrivalListeners, listener]
    return () => {
      this.#arrivalListeners = this.#arrivalListeners.filter((other) => other !== listener)
    }
  }

  /** Takes up a kept state; queues and metadata are filled already. */
  restored(mark: AppliedMark): void {
    assert(this.#applied.index === -1, 'a state is restored before anything is applied')
    this.#applied = mark
    this.#lastStoreTimestamp = mark.storeTimestamp
    this.metadata.restored()
  }

  /** Leader: the time of the next record, not before any earlier one. Hot. */
  nextStoreTimestamp(): number {
    const nowMs = this.#clock.nowMs()
    if (nowMs > this.#lastStoreTimestamp) this.#lastStoreTimestamp = nowMs
    return this.#lastStoreTimestamp
  }

  /** The time that `nextStoreTimestamp` would give. */
  timeOfNext(): number {
    return Math.max(this.#clock.nowMs(), this.#lastStoreTimestamp)
  }

  startsBehind(index: number, endPos: number): void {
    assert(this.#applied.index === -1, 'only a member that has applied nothing begins behind the start of a log')
    if (!this.#takesOverApache) return
    this.#applied = { index, term: 0, physicalEnd: endPos, storeTimestamp: 0 }
    this.metadata.setOrigin('apache', index)
  }

  discard(): void {
    this.forget()
    this.#hooks?.discarded()
    assert(this.appliedIndex === -1, 'a discarded state has nothing applied')
  }

  /** Writing what is derived failed: nothing more is applied, so the member stops and another one leads. */
  fail(error: Error): void {
    this.#failure ??= error
  }

  // Hot.
  apply(entries: readonly CommittedEntry[]): void {
    if (this.#failure !== null) throw this.#failure
    const topicsBefore = this.metadata.topicsVersion.counter
    let delaysChanged = false
    let isTrimmed = false
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as CommittedEntry
      assert(entry.index === this.#applied.index + 1 + i, 'entries are applied in log order, each once')
      if (this.#applyEntry(entry)) delaysChanged = true
      if (entry.kind === 'trim') isTrimmed = true
    }
    const last = entries[entries.length - 1]
    if (last === undefined) return
    this.#applied = {
      index: last.index,
      term: last.term,
      physicalEnd: physicalOffsetOf(last.pos) + last.body.length,
      storeTimestamp: this.#lastStoreTimestamp,
    }
    this.#marks.push(this.#applied)
    this.hot.settle()
    this.#tellArrivals()
    if (isTrimmed) this.#hooks?.trimApplied()
    this.#hooks?.applied()
    if (delaysChanged) this.#hooks?.delaysChanged()
    if (this.metadata.topicsVersion.counter !== topicsBefore) this.#hooks?.topicsChanged()
  }

  roleChanged(state: RoleState): void {
    if (state.role !== this.#role.role || state.term !== this.#role.term) this.#epoch++
    this.#role = state
    this.#hooks?.roleChanged(state)
  }

  durable(index: number): void {
    this.#hooks?.durable(index)
  }

  logStarts(firstIndex: number, startPos: number): void {
    this.#logFirstIndex = firstIndex
    this.#logStartPos = startPos
    this.#hooks?.logStarts()
  }

  logEnds(lastIndex: number, endPos: number): void {
    this.#hooks?.logEnds(lastIndex, endPos)
  }

  openSnapshot(callback: (error: Error | null, snapshot: StateSnapshot | null) => void): void {
    assert(this.#hooks !== null, 'a state is handed over when its parts are there')
    this.#hooks.openSnapshot(callback)
  }

  restore(index: number): StateRestore {
    assert(this.#hooks !== null && index > this.appliedIndex, 'a state that comes is newer')
    return this.#hooks.restore(index)
  }

  /** The log may forget the entries up to `index`, as of now. */
  mayForget(index: number): void {
    assert(index <= this.appliedIndex, 'only what is applied is forgotten')
    // What came to be pending since is newer than the checkpoint before.
    if (index > this.#checkpointIndex) this.#checkpointIndex = index
  }

  /** @returns the newest boundary at or before `index` that is not in a checkpoint yet, and forgets those before it. */
  takeMark(index: number): AppliedMark | undefined {
    let count = 0
    while (count < this.#marks.length && (this.#marks[count] as AppliedMark).index <= index) count++
    if (count === 0) return undefined
    const mark = this.#marks[count - 1]
    this.#marks = this.#marks.slice(count)
    return mark
  }

  /** Whether `takeMark` would find one. */
  hasMark(index: number): boolean {
    const oldest = this.#marks[0]
    return oldest !== undefined && oldest.index <= index
  }

  /** Whether something was applied that no checkpoint covers. */
  get isAhead(): boolean {
    return this.#marks.length > 0
  }

  /** @returns and forgets the queues that have unwritten entries; those that keep some must be given back. */
  takeDirtyQueues(): ConsumeQueue[] {
    const dirty = this.#dirtyQueues
    this.#dirtyQueues = []
    for (const queue of dirty) queue.isDirty = false
    return dirty
  }

  markDirty(queue: ConsumeQueue): void {
    if (queue.isDirty) return
    queue.isDirty = true
    this.#dirtyQueues.push(queue)
  }

  checkInvariants(): void {
    for (const queue of this.queues.all()) queue.checkInvariants()
    this.metadata.checkInvariants()
  }

  /** Back to a member that has applied nothing. */
  forget(): void {
    this.queues.clear()
    this.metadata.clear()
    this.hot.clear()
    this.#sends?.clear()
    this.#applied = NOTHING_APPLIED
    this.#marks = []
    this.#dirtyQueues = []
    this.#lastStoreTimestamp = 0
    this.#checkpointIndex = -1
  }

  /** @returns whether delayed messages are concerned. */
  #applyEntry(entry: CommittedEntry): boolean {
    const record = entry.body
    const physicalOffset = physicalOffsetOf(entry.pos)
    checkWholeRecord(record, physicalOffset)
    this.hot.add(physicalOffset, record)
    const storeTimestamp = recordStoreTimestamp(record)
    if (storeTimestamp > this.#lastStoreTimestamp) this.#lastStoreTimestamp = storeTimestamp
    if (!(storeTimestamp >= 0)) throw corrupt(`its store time cannot be`, physicalOffset)
    if (entry.kind !== 'data') {
      if (this.metadata.origin === 'apache') this.metadata.setOrigin('takenOver', entry.index)
      return false
    }
    if (entry.index === 0 && this.#takesOverApache) this.metadata.setOrigin('apache', 0)
    if (this.metadata.origin === 'apache') return this.#applyApaches(record, physicalOffset)
    const topic = recordTopic(record)
    if (topic === CHANGE_TOPIC) {
      const change = decodeChange(recordBody(record), physicalOffset)
      if (change.kind === 'apacheImport' && this.metadata.origin === 'takenOver') {
        this.#endQueues(change.queueEnds, physicalOffset)
      }
      if (change.kind === 'deleteTopic') this.#deleteMessages(change.topicName, entry.index)
      this.metadata.apply(change, { index: entry.index, storeTimestamp })
      return false
    }
    const delivered = deliveredOf(record)
    if (delivered !== undefined) this.#applyDelivered(delivered, physicalOffset, entry.index)
    if (!isQueued(recordSysFlag(record))) return delivered !== undefined
    this.#applyMessage(record, physicalOffset, topic)
    if (topic === SystemTopic.WHEEL_TIMER) {
      const timer = timerRowOf(record, physicalOffset)
      if (timer !== undefined) this.metadata.timers.put(entry.index, timer)
      return true
    }
    if (topic === SystemTopic.TRANSACTION_HALF) this.#applyHalf(record, physicalOffset, delivered, entry.index)
    return delivered !== undefined || topic === SystemTopic.SCHEDULE
  }

  #applyHalf(record: Buffer, physicalOffset: number, delivered: Delivered | undefined, index: number): void {
    const { halfMessages } = this.metadata
    if (delivered?.kind === 'halfMove') {
      const moved = movedHalfMessageRow(record, physicalOffset, delivered)
      if (moved === undefined) throw corrupt('it moves a half message and is none', physicalOffset)
      return halfMessages.moved(index, delivered.recordOffset, moved)
    }
    const half = halfMessageRowOf(record, physicalOffset)
    if (half !== undefined) halfMessages.put(index, half)
  }

  #applyDelivered(delivered: Delivered, physicalOffset: number, index: number): void {
    if (delivered.kind === 'level') {
      const { level, queueOffset } = delivered
      const next = this.metadata.delivered.get(level) ?? 0
      if (queueOffset !== next) {
        throw corrupt(
          `it delivers entry ${queueOffset} of delay level ${level}, where ${next} is the next`,
          physicalOffset,
        )
      }
    }
    this.metadata.applyDelivered(delivered, index)
  }

  /**
   * A record of Apache's broker. Its entry has no checksum, and Apache may have given a queue offset twice after a failover: then
   * the first one counts, as it does in the ConsumeQueues of Apache's members that did not fail.
   */
  #applyApaches(record: Buffer, physicalOffset: number): boolean {
    checkRecordsBody(record, physicalOffset)
    const topic = recordTopic(record)
    if (!isQueued(recordSysFlag(record)) || topic === CHANGE_TOPIC) return false
    const queue = this.#queueOf(topic, recordQueueId(record), physicalOffset)
    const queueOffset = recordQueueOffset(record)
    if (queueOffset < queue.nextOffset) {
      this.#repeatedOffsets++
      return false
    }
    // The queue's older messages were in files that Apache has deleted.
    const isNew = queue.minOffset === queue.nextOffset && this.#logStartPos > 0
    if (isNew && queueOffset > queue.nextOffset) queue.beginAt(queueOffset)
    this.#applyMessage(record, physicalOffset, topic)
    return topic === SystemTopic.SCHEDULE
  }

  /** Queues end, on all members, where they end for the leader: each of Apache's members has deleted files as it liked. */
  #endQueues(rows: readonly QueueEndRow[], physicalOffset: number): void {
    for (const [topic, queueId, nextOffset] of rows) {
      const queue = this.#queueOf(topic, queueId, physicalOffset)
      if (queue.nextOffset >= nextOffset) continue
      if (queue.minOffset < queue.nextOffset) {
        const known = `this member has ${queue.nextOffset} messages of queue ${topic}/${queueId}`
        throw corrupt(`${known}, the leader that took over Apache's log ${nextOffset}`, physicalOffset)
      }
      queue.beginAt(nextOffset)
      this.markDirty(queue)
    }
  }

  /** A topic is deleted with its messages, also with those that came when it was gone. Those of the system are not: what is pending is read from their queues. */
  #deleteMessages(topic: string, index: number): void {
    if (isSystemTopic(topic)) return
    for (const queue of this.queues.ofTopic(topic)) {
      // Of an empty one only this member may know.
      if (queue.nextOffset === 0) continue
      this.metadata.setFloor(index, topic, queue.queueId, queue.nextOffset)
      queue.forgetBefore(queue.nextOffset, -1)
      this.markDirty(queue)
    }
  }

  #queueOf(topic: string, queueId: number, physicalOffset: number): ConsumeQueue {
    const found = this.queues.find(topic, queueId)
    if (found !== undefined) return found
    // Names become directories.
    const wrong = topicNameError(topic) ?? (queueId >= 0 ? undefined : `its queue id is ${queueId}`)
    if (wrong !== undefined) throw corrupt(wrong, physicalOffset)
    return this.queues.findOrMake(topic, queueId)
  }

  #applyMessage(record: Buffer, physicalOffset: number, topic: string): void {
    const queue = this.#queueOf(topic, recordQueueId(record), physicalOffset)
    const queueOffset = queue.nextOffset
    if (recordQueueOffset(record) !== queueOffset) {
      const what = `its queue offset is ${recordQueueOffset(record)}, the next one of queue ${topic}/${queue.queueId} is ${queueOffset}`
      throw corrupt(what, physicalOffset)
    }
    const tagsCode = tagsCodeOfRecord(record, topic, this.#delayLevelsMs)
    queue.append(physicalOffset, record.length, tagsCode)
    if (this.#sends !== null) this.#sends.applied(record, topic, physicalOffset)
    this.markDirty(queue)
    this.#visible.add(1, record.length)
    this.#arrivedQueues.push(queue)
    this.#arrivedOffsets.push(queueOffset)
    this.#arrivedTags.push(tagsCode)
    this.#arrivedBytes.push(record.length)
  }

  #tellArrivals(): void {
    const count = this.#arrivedQueues.length
    if (count === 0) return
    for (const listener of this.#arrivalListeners) {
      for (let i = 0; i < count; i++) {
        const queue = this.#arrivedQueues[i] as ConsumeQueue
        listener.messageArrived(
          queue.topic,
          queue.queueId,
          this.#arrivedTags[i] as number,
          this.#arrivedOffsets[i] as number,
          this.#arrivedBytes[i] as number,
        )
      }
    }
    this.#arrivedQueues.length = 0
    this.#arrivedOffsets.length = 0
    this.#arrivedTags.length = 0
    this.#arrivedBytes.length = 0
  }
}
