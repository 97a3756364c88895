/**
 * The place of a time in a queue. Store times never fall in log order, so it is a binary search.
 *
 * LOWER is the first message that is not older than the time: the first one of equal ones, the end of the queue when all are older.
 * UPPER is the last message that is not newer: the last one of equal ones; the first message when all are newer.
 *
 * Where messages were dropped from the head, Apache answers 0 or the beginning of the oldest ConsumeQueue file when all are newer;
 * that is not in the queue any more, so here it is the first one that is.
 *
 * Source: org.apache.rocketmq.store.ConsumeQueue.getOffsetInQueueByTime, MappedFileQueue.getConsumeQueueMappedFileByTime.
 */
import type { OffsetBoundary } from '../api.ts'

export interface TimedQueue {
  readonly minOffset: number
  readonly nextOffset: number
  /** undefined when the message was dropped meanwhile. */
  storeTimeOf(queueOffset: number): Promise<number | undefined>
}

export async function searchTime(queue: TimedQueue, timestamp: number, boundary: OffsetBoundary): Promise<number> {
  // The first offset whose message is not older (LOWER), or is newer (UPPER).
  let low = queue.minOffset
  let high = queue.nextOffset
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const time = await queue.storeTimeOf(middle)
    const isBefore = time === undefined || (boundary === 'LOWER' ? time < timestamp : time <= timestamp)
    if (isBefore) low = middle + 1
    else high = middle
  }
  low = Math.max(low, queue.minOffset)
  return boundary === 'LOWER' ? low : Math.max(queue.minOffset, low - 1)
}
