/**
 * The rows of the metadata database that are about files: the checkpoint, and each ConsumeQueue. msgpack.
 *
 *   checkpoint                 { v, mark, synced, bootId }
 *   queue \0 topic \0 id       [nextOffset, minOffset, firstPhysicalOffset, lastPhysicalOffset, syncedOffset, sumFrom, sum]
 *
 * The sum may be missing: a row of before there were any.
 *
 * Bytes are never trusted: what is not of this form is StoreError CORRUPT, a newer version UNSUPPORTED.
 */
import { Packr } from 'msgpackr'
import type { AppliedMark } from './apply.ts'
import type { KeptQueue } from './consume-queue/consume-queue.ts'
import { PART_ENTRIES } from './consume-queue/entry-sums.ts'
import { StoreError } from './errors.ts'

/** Version of everything kept beside the log. */
const FORMAT_VERSION = 2
export const CHECKPOINT_KEY = 'checkpoint'
export const QUEUE_KEY_PREFIX = 'queue\0'

const packr = new Packr({ useRecords: false, variableMapSize: true })

export interface Checkpoint {
  /** What the database holds, and the ConsumeQueue files as the page cache has them. */
  readonly mark: AppliedMark
  /** What survives a power cut of the files; not beyond `mark`. */
  readonly synced: AppliedMark
  /** The boot of the machine in which what lies between was written; empty when that is not known. */
  readonly bootId: string
}

export function encodeCheckpoint({ mark, synced, bootId }: Checkpoint): Buffer {
  return packr.pack({ v: FORMAT_VERSION, mark: { ...mark }, synced: { ...synced }, bootId })
}

/** @throws StoreError UNSUPPORTED for a newer format, CORRUPT. */
export function decodeCheckpoint(value: Buffer): Checkpoint {
  const content = unpack(value, CHECKPOINT_KEY)
  if (typeof content !== 'object' || content === null) throw damagedRow(CHECKPOINT_KEY)
  const { v, mark, synced, bootId } = content as Record<string, unknown>
  if (v !== FORMAT_VERSION && !(Number.isSafeInteger(v) && (v as number) < FORMAT_VERSION)) {
    const what = `the store beside the log has format ${JSON.stringify(v)}; this program knows format ${FORMAT_VERSION}`
    throw new StoreError(what, { code: 'UNSUPPORTED', what })
  }
  if (v !== FORMAT_VERSION) throw damagedRow(`${CHECKPOINT_KEY} of format ${String(v)}`)
  if (!isMark(mark) || !isMark(synced) || typeof bootId !== 'string' || synced.index > mark.index) {
    throw damagedRow(CHECKPOINT_KEY)
  }
  return { mark, synced, bootId }
}

export function queueKey(topic: string, queueId: number): string {
  return `${QUEUE_KEY_PREFIX}${topic}\0${queueId}`
}

export function encodeQueue(kept: KeptQueue): Buffer {
  const { nextOffset, minOffset, firstPhysicalOffset, lastPhysicalOffset, syncedOffset, sumFrom, sum } = kept
  return packr.pack([nextOffset, minOffset, firstPhysicalOffset, lastPhysicalOffset, syncedOffset, sumFrom, sum])
}

/** @throws StoreError CORRUPT. */
export function decodeQueue(
  key: string,
  value: Buffer,
): { readonly topic: string; readonly queueId: number; readonly kept: KeptQueue } {
  const [topic, queueIdText] = key.slice(QUEUE_KEY_PREFIX.length).split('\0')
  const queueId = Number(queueIdText)
  const content = unpack(value, key)
  if (topic === undefined || !isCount(queueId) || !Array.isArray(content)) throw damagedRow(key)
  const [nextOffset, minOffset, firstPhysicalOffset, lastPhysicalOffset, syncedOffset] = content as unknown[]
  const [sumFrom = nextOffset, sum = 0] = content.slice(5) as unknown[]
  if (!isCount(nextOffset) || nextOffset === 0 || !isCount(minOffset) || minOffset > nextOffset) throw damagedRow(key)
  if (!isCount(lastPhysicalOffset) || !isCount(syncedOffset) || syncedOffset > nextOffset) throw damagedRow(key)
  if (!Number.isSafeInteger(firstPhysicalOffset) || (firstPhysicalOffset as number) < -1) throw damagedRow(key)
  if (!isCount(sumFrom) || sumFrom > nextOffset || nextOffset - sumFrom > PART_ENTRIES) throw damagedRow(key)
  if (!Number.isInteger(sum)) throw damagedRow(key)
  const kept = {
    nextOffset,
    minOffset,
    firstPhysicalOffset: firstPhysicalOffset as number,
    lastPhysicalOffset,
    syncedOffset,
    sumFrom,
    sum: sum as number,
  }
  if (kept.firstPhysicalOffset < 0 !== (minOffset === nextOffset)) throw damagedRow(key)
  return { topic, queueId, kept }
}

function isMark(value: unknown): value is AppliedMark {
  if (typeof value !== 'object' || value === null) return false
  const { index, term, physicalEnd, storeTimestamp } = value as Record<string, unknown>
  const isIndex = isCount(index) || index === -1
  return isIndex && isCount(term) && isCount(physicalEnd) && isCount(storeTimestamp)
}

function unpack(value: Buffer, key: string): unknown {
  try {
    return packr.unpack(value)
  } catch (cause) {
    throw damagedRow(`${key} is not msgpack`, cause)
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function damagedRow(key: string, cause?: unknown): StoreError {
  const what = `the kept row ${JSON.stringify(key)} cannot be read`
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 }, { cause })
}
