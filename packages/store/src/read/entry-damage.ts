/** What a ConsumeQueue file says that cannot be true, found before any of it is followed. */
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import { SystemTopic } from '@dledger-ts/protocol'
import { CONSUME_QUEUE_ENTRY_BYTES, entryPhysicalOffset, entrySize, isTagHash } from '../consume-queue/entry-codec.ts'
import type { StoreError } from '../errors.ts'
import { noEntry } from './read-errors.ts'

/**
 * @param entries of consecutive queue offsets from `from` on.
 * @returns what is wrong: an entry that names no whole record of an applied message, or one before that of the entry before it, or whose
 *   tag is no hash.
 */
export function findDamage(
  queue: ConsumeQueue,
  from: number,
  entries: Buffer,
  log: { readonly physicalEnd: number; readonly fileBytes: number },
): StoreError | null {
  const hasTags = queue.topic !== SystemTopic.SCHEDULE
  let end = 0
  for (let at = 0; at < entries.length; at += CONSUME_QUEUE_ENTRY_BYTES) {
    const physicalOffset = entryPhysicalOffset(entries, at)
    const size = entrySize(entries, at)
    // NaN is none, too.
    const isPossible = size > 0 && physicalOffset >= end && physicalOffset + size <= log.physicalEnd
    if (
      !isPossible ||
      (hasTags && !isTagHash(entries, at)) ||
      (physicalOffset % log.fileBytes) + size > log.fileBytes
    ) {
      return noEntry(queue, from + at / CONSUME_QUEUE_ENTRY_BYTES)
    }
    end = physicalOffset + size
  }
  return null
}
