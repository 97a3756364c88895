/**
 * What the store takes and gives: the types that other packages see. The methods are in message-store-api.ts.
 *
 * Visible means applied: every read here answers from entries that are committed and applied on this member.
 */
import type { RecordFields } from '@dledger-ts/protocol'
import type { StoreError } from './errors.ts'
import type { RebuildProgress } from './rebuild/full-rebuild.ts'
import type { RepairStatus } from './rebuild/queue-repairs.ts'
import type { SendsProgress } from './send-once/stored-sends.ts'

/** A message to store: a record without its place. `topic` and `queueId` are the real ones, also for delayed messages. */
export type NewMessage = RecordFields

/** Where a message was stored; all members hold it at this place. */
export interface PutResult {
  /** Topic and queue of the record: for a delayed message those of its delay level. */
  readonly topic: string
  readonly queueId: number
  /** The queue of the message itself: of a delayed or half one that to which it will be delivered. */
  readonly wantedQueueId: number
  /** TIMER_OUT_MS of a message that waits in the topic of the timers; null for every other one. */
  readonly timerOutMs: number | null
  /** Where the bare record starts in the log; the offset in message ids. */
  readonly physicalOffset: number
  /** The place in the queue; 0 for prepared and rolled back messages, which have none. */
  readonly queueOffset: number
  readonly storeTimestamp: number
  readonly recordBytes: number
}

/** Told the outcome of a put exactly once, never from within the call to `put`. */
export interface PutListener {
  /** Committed and applied here: consumers see it. */
  stored(result: PutResult): void
  /** `error.code` says whether the outcome is known: TIMEOUT means it may be stored. */
  putFailed(error: StoreError): void
}

export interface PutBatchListener {
  /** One result for each message, in order. */
  stored(results: readonly PutResult[]): void
  /** The first failure, after all outcomes are known. A batch of which some messages are stored fails with TIMEOUT. */
  putFailed(error: StoreError): void
}

export type GetStatus =
  | 'FOUND'
  | 'NO_MATCHED_MESSAGE'
  | 'MESSAGE_WAS_REMOVING'
  | 'NO_MATCHED_LOGIC_QUEUE'
  | 'NO_MESSAGE_IN_QUEUE'
  | 'OFFSET_OVERFLOW_ONE'
  | 'OFFSET_OVERFLOW_BADLY'
  | 'OFFSET_TOO_SMALL'
  | 'OFFSET_FOUND_NULL'

export interface GetRequest {
  readonly topic: string
  readonly queueId: number
  /** The first message wanted; counts messages of this queue. */
  readonly queueOffset: number
  readonly maxCount: number
  /** Stop before the sum of record sizes passes this; the first message is returned even if it alone is larger. */
  readonly maxBytes: number
  /** Tag codes (int32) that are wanted; null for every message. A message without a tag has code 0. */
  readonly tagFilter: ReadonlySet<number> | null
  /** Which of the records are given out; every one without it. */
  readonly recordFilter?: RecordFilter | null
  /** Limits besides: `far` where the first message is further behind the newest one than `inMemoryBytes`, and there is no `recordFilter`; else `recent`. */
  readonly limits?: { readonly recent: GetLimits; readonly far: GetLimits } | undefined
}

export type GetLimits = Pick<GetRequest, 'maxCount' | 'maxBytes'>

/** Whether a whole record is wanted. Hot, and must not throw. */
export type RecordFilter = (record: Buffer) => boolean

/** A `GetRequest` of which only the topic is needed: queue 0, from 0, at most 32 messages and 256 KiB, every tag. */
export type ReadRequest = Pick<GetRequest, 'topic'> & Partial<GetRequest>

export interface GetResult {
  readonly status: GetStatus
  /** Where to go on. */
  readonly nextBeginOffset: number
  readonly minOffset: number
  /** One after the newest visible message. */
  readonly maxOffset: number
  /** Whole records, oldest first: one after another they are the body of a pull answer. */
  readonly records: readonly Buffer[]
  /** Sum of the record sizes. */
  readonly recordBytes: number
  /** Where there is one: may be called, once, when nobody uses `records` any more, and their memory is used again. */
  readonly release?: (() => void) | undefined
}

export type GetCallback = (error: StoreError | null, result: GetResult | null) => void

export interface QueryRequest {
  readonly topic: string
  /** One of the keys of the messages wanted, or their unique id. */
  readonly key: string
  /** At least 1; no query gives more than 1,000 messages, or more than 8 MiB of several. */
  readonly maxCount: number
  /** Store timestamps wanted, both included, ms. Default: all. */
  readonly beginTime?: number
  readonly endTime?: number
  /** The key is a unique id; messages that have it among their keys are not meant. Default false. */
  readonly uniqueKeyOnly?: boolean
}

export interface QueryResult {
  /** Whole records, newest first. */
  readonly records: readonly Buffer[]
  /** Sum of the record sizes. */
  readonly recordBytes: number
  /** Whether there are no others, but for those beyond `maxCount`: false while a part of the index is built, or where a bound ended the search. */
  readonly isComplete: boolean
  /** Of the newest message with a key; 0 when there is none. */
  readonly lastStoreTimestamp: number
  readonly lastPhysicalOffset: number
}

/** Messages that became visible; called once for each, after the whole batch they came in is visible. */
export interface MessageArrivalListener {
  /** Hot. `tagsCode` as in the ConsumeQueue entry: a tag's hash, 0 without one. `recordBytes` of the whole record. */
  messageArrived(topic: string, queueId: number, tagsCode: number, queueOffset: number, recordBytes: number): void
}

/** LOWER: the first message not older than the time. UPPER: the last message not newer. */
export type OffsetBoundary = 'LOWER' | 'UPPER'

/** RocketMQ's DataVersion. Compared as a whole; grows with every change and with every new leader. */
export interface DataVersion {
  /** Changes since the group was founded. */
  readonly counter: number
  /** The Raft term of the newest applied entry. */
  readonly stateVersion: number
  /** When the newest change was made, by its leader's clock. */
  readonly timestamp: number
}

/** One entry of a ConsumeQueue. */
export interface QueueEntry {
  readonly physicalOffset: number
  readonly size: number
  /** The hash of the tag; in the topic of the delay levels the time at which the message is due. */
  readonly tagsCode: number
}

export interface QueueKey {
  readonly topic: string
  readonly queueId: number
}

export interface StoreStatus {
  readonly role: 'FOLLOWER' | 'PRE_CANDIDATE' | 'CANDIDATE' | 'LEADER'
  readonly term: number
  readonly self: string
  readonly group: string
  readonly leader: string | null
  /** What the leader advertised: the address on which its broker serves clients. */
  readonly leaderAddress: string | null
  /** A leader whose no-op is applied: it takes writes. */
  readonly ready: boolean
  readonly storeId: string
  readonly firstIndex: number
  readonly lastIndex: number
  readonly commitIndex: number
  readonly appliedIndex: number
  /** One after the last byte of the newest applied record. */
  readonly maxPhysicalOffset: number
  /** How far a start is that applies much of the log again; null when nothing is built again. */
  readonly rebuild: RebuildProgress | null
  /** Queues whose files are built again alone, while everything else is served. */
  readonly repairs: RepairStatus
  /** How far the log is read for the sends of the last span, so that their repetitions are recognised; null when it is not. */
  readonly sendsRead: SendsProgress | null
  readonly peers: readonly { readonly id: string; readonly connected: boolean; readonly advertised: string | null }[]
}

/** Another member, as the leader sees it. */
export interface Replica {
  readonly id: string
  readonly connected: boolean
  readonly advertised: string | null
  /** It has all that is committed, durably. */
  readonly inSync: boolean
  /** One after the last byte of the newest record that it is known to have; null where that is not known. */
  readonly physicalEnd: number | null
}

export interface RoleChangeListener {
  /** After every change of role, term, leader or readiness. */
  roleChanged(status: StoreStatus): void
}
