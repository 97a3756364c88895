/**
 * Changes of the store's state as they stand in the log, and the records that carry them.
 *
 * A record of topic `rmq_sys_dledger` with sysFlag 0xC (rollback): Java's readers give such a record neither a queue nor an
 * index entry. Its body is msgpackr (without its own records extension) of a map: `{ v: 1, kind, … }`. The log's own no-op,
 * configuration and trim entries are dressed the same way, with their payload.
 *
 * Keeps: what is decoded has the shape that its kind says; a version this program does not know is refused, never skipped.
 */
import type { ControlKind } from '@dledger-ts/dledger'
import { type HostAddress, hostAddress, MessageSysFlag, type RecordFields } from '@dledger-ts/protocol'
import { Packr } from 'msgpackr'
import { StoreError } from '../errors.ts'
import { type AccessChange, accessChangeOf } from './access-changes.ts'
import type { HalfMessageRow } from './half-messages.ts'
import { isOrderedBatch, type OrderedChange } from './pop-orders.ts'
import type { PoppedChange } from './popped-messages.ts'
import { isRequestModeConfig, type RequestModeConfig } from './request-modes.ts'
import type { SubscriptionGroupConfig } from './subscription-group-config.ts'
import type { TopicConfig } from './topic-config.ts'

export const CHANGE_TOPIC = 'rmq_sys_dledger'
const CHANGE_VERSION = 1

export type Change =
  /** `create` leaves a topic that is there as it is; `put` replaces it. */
  | { readonly kind: 'createTopic' | 'putTopic'; readonly topic: TopicConfig }
  | { readonly kind: 'deleteTopic'; readonly topicName: string }
  | { readonly kind: 'createGroup' | 'putGroup'; readonly group: SubscriptionGroupConfig }
  | { readonly kind: 'deleteGroup'; readonly groupName: string }
  | { readonly kind: 'consumerOffsets'; readonly offsets: readonly ConsumerOffsetRow[] }
  /** A tool moved groups: they go on at these offsets, and what consumers commit does not count until one stands there. */
  | { readonly kind: 'resetOffsets'; readonly offsets: readonly ConsumerOffsetRow[] }
  /** A consumer stands there: they commit again. */
  | { readonly kind: 'endResets'; readonly offsets: readonly ConsumerOffsetRow[] }
  /** Everything that is known of where a group stands. */
  | { readonly kind: 'deleteGroupOffsets'; readonly groupName: string }
  /** What a group may not do with a topic; 0 for nothing. */
  | { readonly kind: 'groupForbidden'; readonly group: string; readonly topic: string; readonly flags: number }
  /** The leader decided who holds these queues; `clientId` null frees them (released or expired). */
  | { readonly kind: 'queueLocks'; readonly locks: readonly QueueLockRow[] }
  /** These timers were called back: nothing is delivered. */
  | { readonly kind: 'endTimers'; readonly timers: readonly TimerName[] }
  /** The producers of these half messages were asked for the outcome: the rows as they are from now on. */
  | { readonly kind: 'halfMessagesChecked'; readonly rows: readonly HalfMessageRow[] }
  /** Messages that were popped, or are no more; their groups go on at `offsets`. */
  | { readonly kind: 'popped'; readonly rows: readonly PoppedChange[]; readonly offsets: readonly ConsumerOffsetRow[] }
  | ({ readonly kind: 'popOrder' } & OrderedChange)
  /** How the clients of a group get the messages of a topic. */
  | ({ readonly kind: 'requestMode' } & RequestModeConfig)
  | AccessChange
  | ApacheImport

/** A part of what Apache's broker knew beside the log that was taken over; without effect once the last part is applied. */
export interface ApacheImport {
  readonly kind: 'apacheImport'
  readonly topics: readonly TopicConfig[]
  readonly groups: readonly SubscriptionGroupConfig[]
  readonly offsets: readonly ConsumerOffsetRow[]
  readonly delivered: readonly DeliveredRow[]
  readonly queueEnds: readonly QueueEndRow[]
  /** Half messages that are open. */
  readonly halves: readonly HalfMessageRow[]
  readonly isLast: boolean
}

export type ConsumerOffsetRow = readonly [group: string, topic: string, queueId: number, offset: number]
export type QueueLockRow = readonly [group: string, topic: string, queueId: number, clientId: string | null]
export type TimerName = readonly [outMs: number, physicalOffset: number]

/** Entries of a delay level before `queueOffset` are delivered. */
export type DeliveredRow = readonly [level: number, queueOffset: number]

/** A queue whose next message has at least this offset. */
export type QueueEndRow = readonly [topic: string, queueId: number, nextOffset: number]

/** What a control entry of the log carries. */
export interface ControlBody {
  readonly kind: ControlKind
  readonly payload: Buffer
}

const packr = new Packr({ useRecords: false, variableMapSize: true })
const NOBODY: HostAddress = hostAddress('127.0.0.1', 0)

/** The record that carries `body`; its place comes from the log. */
export function changeRecord(body: Buffer, storeHost: HostAddress | null, bornTimestamp: number): RecordFields {
  return {
    topic: CHANGE_TOPIC,
    queueId: 0,
    flag: 0,
    sysFlag: MessageSysFlag.TRANSACTION_ROLLBACK,
    bornTimestamp,
    bornHost: storeHost ?? NOBODY,
    storeHost: storeHost ?? NOBODY,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body,
    properties: '',
  }
}

export function encodeChange(change: Change): Buffer {
  return packr.pack({ v: CHANGE_VERSION, ...change })
}

export function encodeControl(control: ControlBody): Buffer {
  return packr.pack({ v: CHANGE_VERSION, ...control })
}

/** @throws StoreError UNSUPPORTED for a newer version, CORRUPT for what is no change. */
export function decodeChange(body: Buffer, physicalOffset: number): Change {
  const map = decodeMap(body, physicalOffset)
  const bad = (): StoreError => corrupt(`a change of kind ${String(map['kind'])} has an unknown shape`, physicalOffset)
  switch (map['kind']) {
    case 'createTopic':
    case 'putTopic': {
      if (!isTopicConfig(map['topic'])) throw bad()
      return { kind: map['kind'], topic: map['topic'] }
    }
    case 'deleteTopic': {
      if (typeof map['topicName'] !== 'string') throw bad()
      return { kind: 'deleteTopic', topicName: map['topicName'] }
    }
    case 'createGroup':
    case 'putGroup': {
      if (!isGroupConfig(map['group'])) throw bad()
      return { kind: map['kind'], group: map['group'] }
    }
    case 'deleteGroup':
    case 'deleteGroupOffsets': {
      if (typeof map['groupName'] !== 'string') throw bad()
      return { kind: map['kind'], groupName: map['groupName'] }
    }
    case 'consumerOffsets':
    case 'resetOffsets':
    case 'endResets': {
      const offsets = map['offsets']
      if (!Array.isArray(offsets) || !offsets.every(isOffsetRow)) throw bad()
      return { kind: map['kind'], offsets }
    }
    case 'groupForbidden': {
      const { group, topic, flags } = map
      if (typeof group !== 'string' || typeof topic !== 'string' || !isCount(flags)) throw bad()
      return { kind: 'groupForbidden', group, topic, flags }
    }
    case 'queueLocks': {
      const locks = map['locks']
      if (!Array.isArray(locks) || !locks.every(isLockRow)) throw bad()
      return { kind: 'queueLocks', locks }
    }
    case 'apacheImport': {
      if (!isApacheImport(map)) throw bad()
      // Logs that were taken over before transactions were have none.
      const halves = map['halves'] ?? []
      if (!Array.isArray(halves) || !halves.every(isHalfMessageRow)) throw bad()
      return { ...map, halves: halves.map(halfMessageRow) }
    }
    case 'endTimers': {
      const timers = map['timers']
      if (!Array.isArray(timers) || !timers.every(isTimerName)) throw bad()
      return { kind: 'endTimers', timers }
    }
    case 'halfMessagesChecked': {
      const rows = map['rows']
      if (!Array.isArray(rows) || !rows.every(isHalfMessageRow)) throw bad()
      return { kind: 'halfMessagesChecked', rows: rows.map(halfMessageRow) }
    }
    case 'popped': {
      const { rows, offsets } = map
      if (!Array.isArray(rows) || !rows.every(isPoppedChange)) throw bad()
      if (!Array.isArray(offsets) || !offsets.every(isOffsetRow)) throw bad()
      return { kind: 'popped', rows, offsets }
    }
    case 'popOrder': {
      const { group, topic, queueId, batch, offset } = map
      if (typeof group !== 'string' || typeof topic !== 'string' || !isCount(queueId) || !isCount(offset)) throw bad()
      if (batch !== null && !isOrderedBatch(batch)) throw bad()
      return { kind: 'popOrder', group, topic, queueId, batch, offset }
    }
    case 'requestMode': {
      if (!isRequestModeConfig(map)) throw bad()
      const { group, topic, mode, popShareQueueNum } = map
      return { kind: 'requestMode', group, topic, mode, popShareQueueNum }
    }
    case 'putUser':
    case 'deleteUser':
    case 'putPolicies':
    case 'deletePolicies': {
      const change = accessChangeOf(map)
      if (change === undefined) throw bad()
      return change
    }
    default:
      throw unsupported(`a change of kind ${JSON.stringify(map['kind'])} at ${physicalOffset} is not known here`)
  }
}

/** @throws StoreError UNSUPPORTED for a newer version, CORRUPT for what is no control entry. */
export function decodeControl(body: Buffer, physicalOffset: number): ControlBody {
  const map = decodeMap(body, physicalOffset)
  const { kind, payload } = map as { kind?: unknown; payload?: unknown }
  if ((kind !== 'noop' && kind !== 'configuration' && kind !== 'trim') || !(payload instanceof Uint8Array)) {
    throw corrupt('a control entry has an unknown shape', physicalOffset)
  }
  return { kind, payload: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength) }
}

export function isTopicConfig(value: unknown): value is TopicConfig {
  if (!isMap(value)) return false
  return (
    typeof value['topicName'] === 'string' &&
    isCount(value['readQueueNums']) &&
    isCount(value['writeQueueNums']) &&
    isCount(value['perm']) &&
    typeof value['topicFilterType'] === 'string' &&
    isInteger(value['topicSysFlag']) &&
    typeof value['order'] === 'boolean' &&
    isTextMap(value['attributes'])
  )
}

export function isGroupConfig(value: unknown): value is SubscriptionGroupConfig {
  if (!isMap(value)) return false
  return (
    typeof value['groupName'] === 'string' &&
    typeof value['consumeEnable'] === 'boolean' &&
    typeof value['consumeFromMinEnable'] === 'boolean' &&
    typeof value['consumeBroadcastEnable'] === 'boolean' &&
    typeof value['consumeMessageOrderly'] === 'boolean' &&
    isInteger(value['retryQueueNums']) &&
    isInteger(value['retryMaxTimes']) &&
    isInteger(value['brokerId']) &&
    isInteger(value['whichBrokerWhenConsumeSlowly']) &&
    typeof value['notifyConsumerIdsChangedEnable'] === 'boolean' &&
    isInteger(value['groupSysFlag']) &&
    isInteger(value['consumeTimeoutMinute']) &&
    isTextMap(value['attributes']) &&
    isTextOrAbsent(value['groupRetryPolicy']) &&
    isTextOrAbsent(value['subscriptionDataSet'])
  )
}

function decodeMap(body: Buffer, physicalOffset: number): Record<string, unknown> {
  let value: unknown
  try {
    value = packr.unpack(body)
  } catch (cause) {
    throw corrupt('a change is not msgpack', physicalOffset, cause)
  }
  if (!isMap(value)) throw corrupt('a change is no map', physicalOffset)
  if (value['v'] !== CHANGE_VERSION) {
    throw unsupported(
      `the change at ${physicalOffset} has version ${JSON.stringify(value['v'])}; this program knows version ${CHANGE_VERSION}`,
    )
  }
  return value
}

function isApacheImport(map: Record<string, unknown>): map is Record<string, unknown> & Omit<ApacheImport, 'halves'> {
  const { topics, groups, offsets, delivered, queueEnds, isLast } = map
  return (
    Array.isArray(topics) &&
    topics.every(isTopicConfig) &&
    Array.isArray(groups) &&
    groups.every(isGroupConfig) &&
    Array.isArray(offsets) &&
    offsets.every(isOffsetRow) &&
    Array.isArray(delivered) &&
    delivered.every(isDeliveredRow) &&
    Array.isArray(queueEnds) &&
    queueEnds.every(isQueueEndRow) &&
    typeof isLast === 'boolean'
  )
}

function isDeliveredRow(row: unknown): row is DeliveredRow {
  if (!Array.isArray(row)) return false
  const [level, queueOffset] = row as unknown[]
  return isCount(level) && isCount(queueOffset)
}

function isQueueEndRow(row: unknown): row is QueueEndRow {
  if (!Array.isArray(row)) return false
  const [topic, queueId, nextOffset] = row as unknown[]
  return typeof topic === 'string' && isCount(queueId) && isCount(nextOffset)
}

function isOffsetRow(row: unknown): row is ConsumerOffsetRow {
  if (!Array.isArray(row)) return false
  const [group, topic, queueId, offset] = row as unknown[]
  return typeof group === 'string' && typeof topic === 'string' && isInteger(queueId) && isCount(offset)
}

function isLockRow(row: unknown): row is QueueLockRow {
  if (!Array.isArray(row)) return false
  const [group, topic, queueId, clientId] = row as unknown[]
  const isClient = clientId === null || typeof clientId === 'string'
  return typeof group === 'string' && typeof topic === 'string' && isInteger(queueId) && isClient
}

function isTimerName(row: unknown): row is TimerName {
  return Array.isArray(row) && row.length === 2 && row.every(isCount)
}

/** Of one that was never moved the log may have one place only. */
function halfMessageRow(row: HalfMessageRow): HalfMessageRow {
  return { ...row, recordOffset: (row as Partial<HalfMessageRow>).recordOffset ?? row.physicalOffset }
}

function isHalfMessageRow(row: unknown): row is HalfMessageRow {
  if (!isMap(row)) return false
  const { physicalOffset, bytes, queueOffset, producerGroup, storeTimestamp, immunityMs, checkCount, checkedMs } = row
  const counts = [physicalOffset, row['recordOffset'] ?? 0, bytes, queueOffset, storeTimestamp, checkCount, checkedMs]
  return counts.every(isCount) && isInteger(immunityMs) && typeof producerGroup === 'string'
}

function isPoppedChange(row: unknown): row is PoppedChange {
  if (!Array.isArray(row)) return false
  const [group, topic, queueId, queueOffset, before, after, poppedMs, attempts] = row as unknown[]
  if (typeof group !== 'string' || typeof topic !== 'string') return false
  const isTime = (value: unknown): boolean => value === null || isCount(value)
  return [queueId, queueOffset, poppedMs, attempts].every(isCount) && isTime(before) && isTime(after)
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

function isTextOrAbsent(value: unknown): boolean {
  return value === undefined || typeof value === 'string'
}

function isTextMap(value: unknown): boolean {
  return isMap(value) && Object.values(value).every((text) => typeof text === 'string')
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

function isCount(value: unknown): value is number {
  return isInteger(value) && value >= 0
}

function corrupt(what: string, physicalOffset: number, cause?: unknown): StoreError {
  return new StoreError(`${what} (at ${physicalOffset})`, { code: 'CORRUPT', what, physicalOffset }, { cause })
}

function unsupported(what: string): StoreError {
  return new StoreError(what, { code: 'UNSUPPORTED', what })
}
