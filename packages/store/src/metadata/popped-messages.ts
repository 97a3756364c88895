/**
 * Messages that were popped and are in flight: invisible to their group until they are acknowledged, or until their time has come.
 * Two tables that say the same, in the order of queues and in the order of time.
 *
 *   key by queue   group \0 topic \0 queueId 14 hex digits | queueOffset 14 hex digits
 *   key by time    untilMs 14 hex digits | key by queue
 *   value          untilMs 8 | poppedMs 8 | attempts 4
 *
 * Keeps: each message has one row in either table, or none: an entry that changes or ends one names the time that it had.
 */
import { readInt64, readUint32, writeInt64, writeUint32 } from '@dledger-ts/base'
import { StoreError } from '../errors.ts'
import { Claims } from './claims.ts'
import type { OrderedTable, TableRange } from './ordered-table.ts'
import { damagedRow, NUMBER_DIGITS, numberKey, numberOfKey } from './row-codec.ts'

const VALUE_BYTES = 20

export interface PoppedName {
  readonly group: string
  readonly topic: string
  readonly queueId: number
  readonly queueOffset: number
}

/** Names one message and the time of the pop that is meant: an older one's counts no more. */
export interface PoppedHandle extends PoppedName {
  readonly untilMs: number
}

export interface PoppedMessage extends PoppedName {
  /** Invisible until then, by the leader's clock. */
  readonly untilMs: number
  readonly poppedMs: number
  /** How often it was popped. */
  readonly attempts: number
}

/** One message before and after an entry; null where it is not in flight. */
export type PoppedChange = readonly [
  group: string,
  topic: string,
  queueId: number,
  queueOffset: number,
  beforeUntilMs: number | null,
  afterUntilMs: number | null,
  poppedMs: number,
  attempts: number,
]

export interface PoppedPage {
  readonly rows: readonly PoppedMessage[]
  /** `from` of the next page; null when there is none. */
  readonly next: string | null
}

export type PoppedCallback = (error: StoreError | null, page: PoppedPage | null) => void

export class PoppedMessages {
  readonly claims = new Claims()
  readonly #byQueue: OrderedTable
  readonly #byTime: OrderedTable

  constructor(byQueue: OrderedTable, byTime: OrderedTable) {
    this.#byQueue = byQueue
    this.#byTime = byTime
  }

  apply(index: number, [group, topic, queueId, queueOffset, before, after, poppedMs, attempts]: PoppedChange): void {
    const key = poppedKey({ group, topic, queueId, queueOffset })
    if (before !== null && before !== after) this.#byTime.remove(index, numberKey(before) + key)
    if (after === null) {
      this.#byQueue.remove(index, key)
    } else {
      const value = Buffer.allocUnsafe(VALUE_BYTES)
      writeInt64(value, after, 0)
      writeInt64(value, poppedMs, 8)
      writeUint32(value, attempts, 16)
      this.#byQueue.put(index, key, value)
      this.#byTime.put(index, numberKey(after) + key, value)
    }
    this.claims.release(key)
  }

  /** One message; null when it is not in flight. Most are acknowledged so soon that this costs no read. */
  find(name: PoppedName, callback: (error: StoreError | null, row: PoppedMessage | null) => void): void {
    const key = poppedKey(name)
    this.#byQueue.get(key, (error, value) => {
      if (error !== null || value === null) return callback(error, null)
      let row: PoppedMessage
      try {
        row = decode(key, value)
      } catch (failure) {
        if (!(failure instanceof StoreError)) throw failure
        return callback(failure, null)
      }
      callback(null, row)
    })
  }

  /** In the order of group, topic, queue and offset. */
  inOrder(range: TableRange, callback: PoppedCallback): void {
    page(this.#byQueue, 0, range, callback)
  }

  /** In the order of the time at which they become visible again. */
  inTime(range: TableRange, callback: PoppedCallback): void {
    page(this.#byTime, NUMBER_DIGITS, range, callback)
  }
}

export function poppedKey({ group, topic, queueId, queueOffset }: PoppedName): string {
  return `${group}\0${topic}\0${numberKey(queueId)}${numberKey(queueOffset)}`
}

function page(table: OrderedTable, nameAt: number, range: TableRange, callback: PoppedCallback): void {
  table.range(range, (error, found) => {
    if (error !== null || found === null) return callback(error, null)
    let rows: PoppedMessage[]
    try {
      rows = found.rows.map(({ key, value }) => decode(key.slice(nameAt), value))
    } catch (failure) {
      if (!(failure instanceof StoreError)) throw failure
      return callback(failure, null)
    }
    callback(null, { rows, next: found.next })
  })
}

/** @throws StoreError CORRUPT. */
function decode(key: string, value: Buffer): PoppedMessage {
  const [group, topic, numbers] = key.split('\0')
  if (group === undefined || topic === undefined || numbers === undefined || value.length !== VALUE_BYTES) {
    throw damagedRow(key)
  }
  return {
    group,
    topic,
    queueId: numberOfKey(numbers, 0),
    queueOffset: numberOfKey(numbers, NUMBER_DIGITS),
    untilMs: readInt64(value, 0),
    poppedMs: readInt64(value, 8),
    attempts: readUint32(value, 16),
  }
}
