/**
 * What an applied entry leaves in a ConsumeQueue: the one place that says it, for apply and for what is rebuilt from the log.
 *
 * Keeps: the answer depends on the entry and the delay levels alone.
 */
import type { CommittedEntry } from '@dledger-ts/dledger'
import {
  checkRecord,
  checkRecordBody,
  delayOfLevel,
  isQueued,
  javaHash,
  PropertyName,
  ProtocolError,
  recordPhysicalOffset,
  recordProperty,
  recordStoreTimestamp,
  recordSysFlag,
  recordTags,
  recordTopic,
  SystemTopic,
} from '@dledger-ts/protocol'
import { StoreError } from '../errors.ts'
import { CHANGE_TOPIC } from '../metadata/change.ts'

/** @throws StoreError CORRUPT: where the log's checksums hold, the entry was written as it is. */
export function checkWholeRecord(record: Buffer, physicalOffset: number): void {
  let why = ''
  try {
    if (checkRecord(record) !== record.length) why = 'it is shorter than its entry'
    else if (recordPhysicalOffset(record) !== physicalOffset) why = 'it names another place'
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    why = error.message
  }
  if (why !== '') throw corrupt(`it holds no message record: ${why}`, physicalOffset)
}

/** @throws StoreError CORRUPT for a body that is not the one that its record states. */
export function checkRecordsBody(record: Buffer, physicalOffset: number): void {
  try {
    checkRecordBody(record)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    throw corrupt(error.message, physicalOffset)
  }
}

export function corrupt(why: string, physicalOffset: number): StoreError {
  const what = `the entry whose record is at ${physicalOffset} cannot be applied: ${why}`
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset })
}

/** @returns the topic in one of whose ConsumeQueues a checked entry stands; undefined when it stands in none. */
export function queuedTopicOf(entry: CommittedEntry): string | undefined {
  if (entry.kind !== 'data' || !isQueued(recordSysFlag(entry.body))) return undefined
  const topic = recordTopic(entry.body)
  return topic === CHANGE_TOPIC ? undefined : topic
}

/** The third field of a record's ConsumeQueue entry: Java's hash of its tag, or when it is due. Hot. */
export function tagsCodeOfRecord(record: Buffer, topic: string, delayLevelsMs: readonly number[]): number {
  if (topic === SystemTopic.SCHEDULE) return dueTime(record, delayLevelsMs)
  const tags = recordTags(record)
  return tags === undefined ? 0 : javaHash(tags)
}

function dueTime(record: Buffer, delayLevelsMs: readonly number[]): number {
  const storeTimestamp = recordStoreTimestamp(record)
  const level = Number(recordProperty(record, PropertyName.DELAY) ?? 0)
  return level >= 1 ? storeTimestamp + delayOfLevel(delayLevelsMs, Math.floor(level)) : storeTimestamp
}
