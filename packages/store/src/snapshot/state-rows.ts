/**
 * Which rows of the metadata database are the state, the same on every member at the same index, and which are about this
 * member's files alone.
 *
 * Keeps: what a row of the stream says depends on the applied entries alone.
 */
import { Packr } from 'msgpackr'
import { NOTHING_APPLIED, type AppliedMark } from '../apply.ts'
import { StoreError } from '../errors.ts'
import { CHECKPOINT_KEY, decodeQueue, encodeCheckpoint, encodeQueue, QUEUE_KEY_PREFIX } from '../kept-rows.ts'
import { KEY_INDEX_KEY } from '../key-index/index-record.ts'
import { type MetadataRow, TABLES_FROM } from '../metadata/metadata-store.ts'

/** Every row of the state lies between these; what keeps the database itself in order lies elsewhere. */
export const STATE_FROM = 'A'
export const STATE_BEFORE = `${TABLES_FROM}${TABLES_FROM}`
/** Says that the staged rows are the state of another member, whole, and are to take the place of all others. */
export const RESTORING_KEY = 'restoring'
const LOCAL_KEYS: readonly string[] = [CHECKPOINT_KEY, KEY_INDEX_KEY, RESTORING_KEY]

const packr = new Packr({ useRecords: false, variableMapSize: true })

/** @returns the row of the stream; null for one that is about this member alone. @throws StoreError CORRUPT. */
export function streamedRow({ key, value }: MetadataRow): MetadataRow | null {
  if (LOCAL_KEYS.includes(key)) return null
  if (!key.startsWith(QUEUE_KEY_PREFIX)) return { key, value }
  const { nextOffset, lastPhysicalOffset } = decodeQueue(key, value).kept
  return { key, value: packr.pack([nextOffset, lastPhysicalOffset]) }
}

/**
 * @returns the row that a member keeps which has none of a queue's entries yet: its minimum is looked for from the very start, where no
 * record is (`ConsumeQueue.minIsUnknown`). @throws StoreError CORRUPT.
 */
export function keptRow({ key, value }: MetadataRow): MetadataRow {
  if (key < STATE_FROM || key >= STATE_BEFORE || LOCAL_KEYS.includes(key)) throw damaged(key)
  if (!key.startsWith(QUEUE_KEY_PREFIX)) return { key, value }
  let content: unknown
  try {
    content = packr.unpack(value)
  } catch (cause) {
    throw damaged(key, cause)
  }
  const [nextOffset, lastPhysicalOffset] = (Array.isArray(content) ? content : []) as unknown[]
  if (!isCount(nextOffset) || nextOffset === 0 || !isCount(lastPhysicalOffset)) throw damaged(key)
  const none = { minOffset: 0, firstPhysicalOffset: 0, syncedOffset: 0, sumFrom: nextOffset, sum: 0 }
  return { key, value: encodeQueue({ nextOffset, lastPhysicalOffset, ...none }) }
}

/** The checkpoint of a member that has the state and none of its files: all of them are built from the log it was given. */
export function restoredCheckpoint(mark: AppliedMark): MetadataRow {
  return { key: CHECKPOINT_KEY, value: encodeCheckpoint({ mark, synced: NOTHING_APPLIED, bootId: '' }) }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function damaged(key: string, cause?: unknown): StoreError {
  const what = `the row ${JSON.stringify(key)} is none of a state`
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 }, { cause })
}
