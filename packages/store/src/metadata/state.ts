/**
 * The applied metadata: topics, groups, users, consumer offsets, queue locks, progress of the delay levels, in memory; and the ordered
 * tables, whose rows live in the database; with the writes that bring the kept copy up to any applied index.
 *
 * Keeps:
 *   M1  The state depends on the applied entries alone, in their order.
 *   M2  Every change of the state leaves a write under the index of its entry, so that the kept copy is exact at any index.
 *   M3  The counters of the data versions never go back and are never reset.
 */
import { assert } from '@dledger-ts/base'
import { Packr } from 'msgpackr'
import type { Delivered } from '../delivered-property.ts'
import { StoreError } from '../errors.ts'
import { inSlices } from '../slices.ts'
import { applyAccess } from './access-changes.ts'
import { AccessTable, isAccessPolicies, isAccessUser } from './access-table.ts'
import { type ApacheImport, type Change, type ConsumerOffsetRow, isGroupConfig, isTopicConfig } from './change.ts'
import { ForbiddenTopics } from './forbidden-topics.ts'
import { HalfMessages } from './half-messages.ts'
import { LockTable } from './lock-table.ts'
import type { MetadataStore, MetadataWrite } from './metadata-store.ts'
import { OffsetTable } from './offset-table.ts'
import { OrderedTable, type TableWrite } from './ordered-table.ts'
import { PendingFiles } from './pending-files.ts'
import { isOrderedBatch, PopOrders } from './pop-orders.ts'
import { PoppedMessages } from './popped-messages.ts'
import { QueueFloors } from './queue-floors.ts'
import { isRequestModeConfig, RequestModes } from './request-modes.ts'
import type { SubscriptionGroupConfig } from './subscription-group-config.ts'
import { Timers } from './timers.ts'
import type { TopicConfig } from './topic-config.ts'

/** The place and time of the entry that brings a change. */
export interface ChangePlace {
  readonly index: number
  readonly storeTimestamp: number
}

export interface TableVersion {
  readonly counter: number
  readonly timestamp: number
}

/**
 * Whose entries the log began with: ours; Apache's, and there are no others yet; Apache's, and what Apache's broker knew beside
 * its log is not applied yet; Apache's, and that is applied.
 */
export type LogOrigin = 'own' | 'apache' | 'takenOver' | 'imported'

interface IndexedWrite extends MetadataWrite {
  readonly index: number
}

type Defer = (callback: () => void) => void

const packr = new Packr({ useRecords: false, variableMapSize: true })
const NEVER: TableVersion = { counter: 0, timestamp: 0 }
/** Keys are parts joined by a character that no name has. */
const PART_END = '\0'

export class MetadataState {
  readonly topics = new Map<string, TopicConfig>()
  readonly groups = new Map<string, SubscriptionGroupConfig>()
  readonly offsets = new OffsetTable()
  /** Where groups go on that were moved, and none of whose consumers stands there yet. */
  readonly resets = new OffsetTable()
  readonly forbidden = new ForbiddenTopics()
  readonly floors = new QueueFloors()
  readonly locks = new LockTable()
  readonly popOrders = new PopOrders()
  readonly requestModes = new RequestModes()
  readonly access = new AccessTable()
  /** By level (from 1): entries of its queue before this are delivered. */
  readonly delivered = new Map<number, number>()
  topicsVersion: TableVersion = NEVER
  groupsVersion: TableVersion = NEVER
  origin: LogOrigin = 'own'
  #writes: (IndexedWrite | TableWrite)[] = []
  /** Rows in a batch that is being written; null when there is none, or when it is for a state that was given up. */
  #taken: TableWrite[] | null = null
  readonly #tables: OrderedTable[] = []
  /** Records that timers and half messages still need, by log file. */
  readonly pendingFiles: PendingFiles
  readonly timers: Timers
  readonly halfMessages: HalfMessages
  readonly popped: PoppedMessages

  /** @param fileBytes size of a log file. */
  constructor(fileBytes: number) {
    this.pendingFiles = new PendingFiles(fileBytes, (index, fileStart, count) => {
      this.#write(index, count === 0 ? null : count, 'pending', fileStart)
    })
    this.timers = new Timers(this.#table('timer'), this.pendingFiles)
    this.halfMessages = new HalfMessages(this.#table('half'), this.pendingFiles)
    this.popped = new PoppedMessages(this.#table('pop'), this.#table('pop-time'))
  }

  /** Where the rows of the ordered tables are read. */
  attach(store: MetadataStore): void {
    for (const table of this.#tables) table.attach(store)
  }

  /** Hot only for consumer offsets, and those are coalesced. */
  apply(change: Change, place: ChangePlace): void {
    switch (change.kind) {
      case 'createTopic':
        if (!this.topics.has(change.topic.topicName)) this.#putTopic(change.topic, place)
        return
      case 'putTopic':
        return this.#putTopic(change.topic, place)
      case 'deleteTopic':
        return this.#deleteTopic(change.topicName, place)
      case 'createGroup':
        if (!this.groups.has(change.group.groupName)) this.#putGroup(change.group, place)
        return
      case 'putGroup':
        return this.#putGroup(change.group, place)
      case 'deleteGroup':
        return this.#deleteGroup(change.groupName, place)
      case 'consumerOffsets':
        return this.#setOffsets(change.offsets, place)
      case 'resetOffsets':
        return this.#resetOffsets(change.offsets, place)
      case 'endResets':
        return this.#endResets(change.offsets, place)
      case 'deleteGroupOffsets':
        return this.#deleteGroupOffsets(change.groupName, place)
      case 'groupForbidden': {
        const { group, topic, flags } = change
        this.forbidden.set(group, topic, flags)
        this.#write(place.index, flags === 0 ? null : flags, 'forbidden', group, topic)
        return this.#groupsChanged(place)
      }
      case 'queueLocks':
        for (const [group, topic, queueId, clientId] of change.locks) {
          this.locks.set(group, topic, queueId, clientId)
          this.#write(place.index, clientId, 'lock', group, topic, queueId)
        }
        return
      case 'apacheImport':
        if (this.origin === 'takenOver') this.#import(change, place)
        return
      case 'endTimers':
        for (const [outMs, physicalOffset] of change.timers) this.timers.end(place.index, outMs, physicalOffset)
        return
      case 'halfMessagesChecked':
        for (const row of change.rows) this.halfMessages.checked(place.index, row)
        return
      case 'popped':
        for (const row of change.rows) this.popped.apply(place.index, row)
        return this.#setOffsets(change.offsets, place)
      case 'popOrder': {
        const { group, topic, queueId, batch, offset } = change
        this.popOrders.set(change, batch)
        this.#write(place.index, batch, 'order', group, topic, queueId)
        return this.#setOffsets([[group, topic, queueId, offset]], place)
      }
      case 'requestMode': {
        const { group, topic, mode, popShareQueueNum } = change
        this.requestModes.set({ group, topic, mode, popShareQueueNum })
        this.#write(place.index, { group, topic, mode, popShareQueueNum }, 'mode', group, topic)
        return
      }
      case 'putUser':
      case 'deleteUser':
      case 'putPolicies':
      case 'deletePolicies':
        for (const [kind, key, value] of applyAccess(this.access, change)) this.#write(place.index, value, kind, key)
    }
  }

  /** Messages of a queue before `queueOffset` are deleted with their topic. */
  setFloor(index: number, topic: string, queueId: number, queueOffset: number): void {
    this.floors.set(topic, queueId, queueOffset)
    this.#write(index, queueOffset, 'floor', topic, queueId)
  }

  /** The log began, or went on, with an entry that tells whose it is. */
  setOrigin(origin: LogOrigin, index: number): void {
    this.origin = origin
    this.#write(index, origin, 'origin')
  }

  /** The record that ends something pending was applied. */
  applyDelivered(delivered: Delivered, index: number): void {
    switch (delivered.kind) {
      case 'level':
        return this.#endDelayed(delivered.level, delivered.queueOffset, index)
      case 'timer':
        return this.timers.end(index, delivered.outMs, delivered.physicalOffset)
      case 'halfMove':
        // With the record that moves it (apply.ts).
        return
      case 'half':
        return this.halfMessages.end(index, delivered.physicalOffset, delivered.recordOffset)
      case 'pop': {
        const { group, topic, queueId, queueOffset, untilMs } = delivered.message
        return this.popped.apply(index, [group, topic, queueId, queueOffset, untilMs, null, 0, 0])
      }
    }
  }

  /**
   * Gives, and forgets, the writes of entries up to `index`, the newest for each key; `written` says when they are kept. Both go
   * in slices, between which more may be applied.
   */
  takeWrites(index: number, defer: Defer, callback: (writes: readonly MetadataWrite[]) => void): void {
    assert(this.#taken === null, 'one batch is written at a time')
    const count = firstAfter(this.#writes, index)
    const writes = this.#writes.slice(0, count)
    this.#writes = count === this.#writes.length ? [] : this.#writes.slice(count)
    const taken: TableWrite[] = []
    this.#taken = taken
    const newest: MetadataWrite[] = []
    const places = new Map<string, number>()
    const each = (i: number): void => {
      const write = writes[i] as IndexedWrite | TableWrite
      const place = places.get(write.key)
      if (place === undefined) {
        places.set(write.key, newest.length)
        newest.push(write)
      } else {
        newest[place] = write
      }
      if ('table' in write) taken.push(write)
    }
    inSlices({ count, each, defer }, () => callback(newest))
  }

  /** The batch with the writes that were taken last is in the database. */
  written(defer: Defer, callback: () => void): void {
    const taken = this.#taken
    if (taken === null) return callback()
    // First of all: whoever began to read before this may lack rows that leave memory from now on.
    for (const table of this.#tables) table.batchWritten()
    const each = (i: number): void => {
      const write = taken[i] as TableWrite
      write.table.written(write)
    }
    inSlices({ count: taken.length, each, defer }, () => {
      if (this.#taken === taken) this.#taken = null
      callback()
    })
  }

  /** Everything kept was taken up: rows that are only in the database are part of this state. */
  restored(): void {
    for (const table of this.#tables) table.restored()
  }

  /** Writes that no batch has yet. */
  get pendingWrites(): number {
    return this.#writes.length
  }

  /** Rows and values in memory because the database does not have them yet. */
  get unwrittenCount(): number {
    return this.#writes.length + (this.#taken?.length ?? 0)
  }

  /** Takes up one kept value. @returns false when the key is not one of this state. @throws StoreError CORRUPT. */
  restore(key: string, value: Buffer): boolean {
    const [kind, ...parts] = key.split(PART_END)
    const content: unknown = unpack(key, value)
    switch (kind) {
      case 'topic':
        if (!isTopicConfig(content)) throw unreadable(key)
        this.topics.set(content.topicName, content)
        return true
      case 'group':
        if (!isGroupConfig(content)) throw unreadable(key)
        this.groups.set(content.groupName, content)
        return true
      case 'offset':
        if (!isCount(content)) throw unreadable(key)
        this.offsets.set(text(parts, 0, key), text(parts, 1, key), whole(parts, 2, key), content)
        return true
      case 'reset':
        if (!isCount(content)) throw unreadable(key)
        this.resets.set(text(parts, 0, key), text(parts, 1, key), whole(parts, 2, key), content)
        return true
      case 'forbidden':
        if (!isCount(content)) throw unreadable(key)
        this.forbidden.set(text(parts, 0, key), text(parts, 1, key), content)
        return true
      case 'floor':
        if (!isCount(content)) throw unreadable(key)
        this.floors.set(text(parts, 0, key), whole(parts, 1, key), content)
        return true
      case 'lock':
        if (typeof content !== 'string') throw unreadable(key)
        this.locks.set(text(parts, 0, key), text(parts, 1, key), whole(parts, 2, key), content)
        return true
      case 'order':
        if (!isOrderedBatch(content)) throw unreadable(key)
        this.popOrders.set(
          { group: text(parts, 0, key), topic: text(parts, 1, key), queueId: whole(parts, 2, key) },
          content,
        )
        return true
      case 'mode':
        if (!isRequestModeConfig(content)) throw unreadable(key)
        this.requestModes.set(content)
        return true
      case 'user':
        if (!isAccessUser(content)) throw unreadable(key)
        this.access.users.set(content.username, content)
        return true
      case 'acl':
        if (!isAccessPolicies(content)) throw unreadable(key)
        this.access.policies.set(content.subject, content)
        return true
      case 'delivered':
        if (!isCount(content)) throw unreadable(key)
        this.delivered.set(whole(parts, 0, key), content)
        return true
      case 'pending':
        if (!isCount(content)) throw unreadable(key)
        this.pendingFiles.restore(whole(parts, 0, key), content)
        return true
      case 'version': {
        const version = versionOf(content)
        if (version === undefined) throw unreadable(key)
        if (parts[0] === 'topics') this.topicsVersion = version
        else this.groupsVersion = version
        return true
      }
      case 'origin':
        if (content !== 'apache' && content !== 'takenOver' && content !== 'imported') throw unreadable(key)
        this.origin = content
        return true
      default:
        return false
    }
  }

  clear(): void {
    this.topics.clear()
    this.groups.clear()
    this.offsets.clear()
    this.resets.clear()
    this.forbidden.clear()
    this.floors.clear()
    this.locks.clear()
    this.popOrders.clear()
    this.requestModes.clear()
    this.access.clear()
    this.delivered.clear()
    this.pendingFiles.clear()
    this.topicsVersion = NEVER
    this.groupsVersion = NEVER
    this.origin = 'own'
    this.#writes = []
    this.#taken = null
    for (const table of this.#tables) table.clear()
  }

  checkInvariants(): void {
    for (const table of this.#tables) table.checkInvariants()
  }

  #table(name: string): OrderedTable {
    const table = new OrderedTable(name, (write) => this.#writes.push(write))
    this.#tables.push(table)
    return table
  }

  /** What is there already came later, and stays. */
  #import({ topics, groups, offsets, delivered, halves, isLast }: ApacheImport, place: ChangePlace): void {
    for (const topic of topics) if (!this.topics.has(topic.topicName)) this.#putTopic(topic, place)
    for (const group of groups) if (!this.groups.has(group.groupName)) this.#putGroup(group, place)
    for (const [group, topic, queueId, offset] of offsets) {
      if (this.offsets.get(group, topic, queueId) !== undefined) continue
      this.offsets.set(group, topic, queueId, offset)
      this.#write(place.index, offset, 'offset', group, topic, queueId)
    }
    for (const [level, queueOffset] of delivered) {
      if (this.delivered.has(level)) continue
      this.delivered.set(level, queueOffset)
      this.#write(place.index, queueOffset, 'delivered', level)
    }
    for (const half of halves) this.halfMessages.put(place.index, half)
    if (isLast) this.setOrigin('imported', place.index)
  }

  #setOffsets(offsets: readonly ConsumerOffsetRow[], place: ChangePlace): void {
    for (const [group, topic, queueId, offset] of offsets) {
      this.offsets.set(group, topic, queueId, offset)
      this.#write(place.index, offset, 'offset', group, topic, queueId)
    }
  }

  /** Of messages that the group has in order nothing is left to wait for. */
  #resetOffsets(offsets: readonly ConsumerOffsetRow[], place: ChangePlace): void {
    this.#setOffsets(offsets, place)
    for (const [group, topic, queueId, offset] of offsets) {
      this.resets.set(group, topic, queueId, offset)
      this.#write(place.index, offset, 'reset', group, topic, queueId)
      this.#forgetOrder(group, topic, queueId, place)
    }
  }

  /** What was forgotten meanwhile, or moved once more, is not brought back. */
  #endResets(offsets: readonly ConsumerOffsetRow[], place: ChangePlace): void {
    for (const [group, topic, queueId, offset] of offsets) {
      if (this.resets.get(group, topic, queueId) !== offset) continue
      this.resets.delete(group, topic, queueId)
      this.#write(place.index, null, 'reset', group, topic, queueId)
      this.#setOffsets([[group, topic, queueId, offset]], place)
    }
  }

  #forgetOrder(group: string, topic: string, queueId: number, place: ChangePlace): void {
    const queue = { group, topic, queueId }
    if (this.popOrders.get(queue) === undefined) return
    this.popOrders.set(queue, null)
    this.#write(place.index, null, 'order', group, topic, queueId)
  }

  #deleteGroupOffsets(group: string, place: ChangePlace): void {
    for (const [topic, queueId] of this.offsets.deleteGroup(group)) {
      this.#write(place.index, null, 'offset', group, topic, queueId)
      this.#forgetOrder(group, topic, queueId, place)
    }
    for (const [topic, queueId] of this.resets.deleteGroup(group)) {
      this.#write(place.index, null, 'reset', group, topic, queueId)
    }
  }

  #endDelayed(level: number, queueOffset: number, index: number): void {
    assert((this.delivered.get(level) ?? 0) === queueOffset, 'a delay level delivers its entries in order, each once')
    this.delivered.set(level, queueOffset + 1)
    this.#write(index, queueOffset + 1, 'delivered', level)
  }

  #putTopic(topic: TopicConfig, place: ChangePlace): void {
    this.topics.set(topic.topicName, topic)
    this.#write(place.index, topic, 'topic', topic.topicName)
    this.#topicsChanged(place)
  }

  /** Also what consumers have read of it, so that groups of a new topic of this name begin at its beginning. */
  #deleteTopic(topicName: string, place: ChangePlace): void {
    if (!this.topics.delete(topicName)) return
    this.#write(place.index, null, 'topic', topicName)
    for (const [group, queueId] of this.offsets.deleteTopic(topicName)) {
      this.#write(place.index, null, 'offset', group, topicName, queueId)
    }
    for (const [group, queueId] of this.resets.deleteTopic(topicName)) {
      this.#write(place.index, null, 'reset', group, topicName, queueId)
    }
    this.#topicsChanged(place)
  }

  #topicsChanged(place: ChangePlace): void {
    this.topicsVersion = { counter: this.topicsVersion.counter + 1, timestamp: place.storeTimestamp }
    this.#write(place.index, this.topicsVersion, 'version', 'topics')
  }

  #putGroup(group: SubscriptionGroupConfig, place: ChangePlace): void {
    this.groups.set(group.groupName, group)
    this.#write(place.index, group, 'group', group.groupName)
    this.#groupsChanged(place)
  }

  #deleteGroup(groupName: string, place: ChangePlace): void {
    for (const topic of this.forbidden.deleteGroup(groupName)) {
      this.#write(place.index, null, 'forbidden', groupName, topic)
    }
    if (!this.groups.delete(groupName)) return
    this.#write(place.index, null, 'group', groupName)
    this.#groupsChanged(place)
  }

  #groupsChanged(place: ChangePlace): void {
    this.groupsVersion = { counter: this.groupsVersion.counter + 1, timestamp: place.storeTimestamp }
    this.#write(place.index, this.groupsVersion, 'version', 'groups')
  }

  #write(index: number, content: unknown, ...parts: (string | number)[]): void {
    this.#writes.push({ index, key: parts.join(PART_END), value: content === null ? null : packr.pack(content) })
  }
}

/** @returns how many of the first writes are of entries up to `index`; they are in the order of entries. */
function firstAfter(writes: readonly IndexedWrite[], index: number): number {
  let low = 0
  let high = writes.length
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if ((writes[middle] as IndexedWrite).index <= index) low = middle + 1
    else high = middle
  }
  return low
}

function unpack(key: string, value: Buffer): unknown {
  try {
    return packr.unpack(value)
  } catch (cause) {
    throw unreadable(key, cause)
  }
}

function text(parts: readonly string[], i: number, key: string): string {
  const part = parts[i]
  if (part === undefined || part === '') throw unreadable(key)
  return part
}

function whole(parts: readonly string[], i: number, key: string): number {
  const value = Number(text(parts, i, key))
  if (!Number.isSafeInteger(value)) throw unreadable(key)
  return value
}

function versionOf(content: unknown): TableVersion | undefined {
  if (typeof content !== 'object' || content === null) return undefined
  const { counter, timestamp } = content as { counter?: unknown; timestamp?: unknown }
  return isCount(counter) && isCount(timestamp) ? { counter, timestamp } : undefined
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function unreadable(key: string, cause?: unknown): StoreError {
  const what = `the kept metadata ${JSON.stringify(key)} cannot be read`
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 }, { cause })
}
