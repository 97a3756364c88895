/** What a failed read is told as. */
import { DLedgerError } from '@dledger-ts/dledger'
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import { isNotThere } from '../consume-queue/queue-files.ts'
import { StoreError } from '../errors.ts'
import { storeErrorOf } from '../log-errors.ts'

/** An entry and the record that it points to do not belong together. */
export function mismatch(queue: ConsumeQueue, queueOffset: number, physicalOffset: number): StoreError {
  const what = `entry ${queueOffset} of queue ${queue.topic}/${queue.queueId} points to ${physicalOffset}, where another record stands`
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset })
}

/** What stands in a ConsumeQueue file is no entry of an applied message. */
export function noEntry(queue: ConsumeQueue, queueOffset: number): StoreError {
  const what = `entry ${queueOffset} of queue ${queue.topic}/${queue.queueId} is none: its file is damaged`
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 })
}

export function unreadableLog(physicalOffset: number, cause: Error | null): StoreError {
  if (cause instanceof DLedgerError && cause.code === 'CLOSED') return storeErrorOf(cause)
  const what = `the log cannot be read at ${physicalOffset}${cause === null ? '' : `: ${cause.message}`}`
  if (cause instanceof DLedgerError && cause.code === 'CORRUPT') {
    return new StoreError(what, { code: 'CORRUPT', what, physicalOffset }, { cause })
  }
  return new StoreError(what, { code: 'STORAGE_FAILED', what }, { cause })
}

/** It is the log that cannot be read, and not what points to it. */
export function isUnreadableLog(error: StoreError): boolean {
  return error.code === 'STORAGE_FAILED' || (error.code === 'CORRUPT' && error.cause instanceof DLedgerError)
}

export function unreadableQueue(queue: ConsumeQueue, from: number, cause: Error): StoreError {
  if (cause instanceof StoreError) return cause
  if (isNotThere(cause)) {
    const what = `the file of entry ${from} of queue ${queue.topic}/${queue.queueId} is missing or short`
    return new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 }, { cause })
  }
  const what = `queue ${queue.topic}/${queue.queueId} cannot be read at ${from}: ${cause.message}`
  return new StoreError(what, { code: 'STORAGE_FAILED', what }, { cause })
}

export function tooMuchIsRead(): StoreError {
  return new StoreError('too much is being read already', { code: 'BUSY' })
}

export function isClosed(): StoreError {
  return new StoreError('the store is closed', { code: 'CLOSED' })
}
