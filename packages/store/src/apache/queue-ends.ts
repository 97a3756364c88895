/**
 * Where Apache's ConsumeQueues end: for a log whose head Apache has deleted, the only trace of queues whose messages are all gone.
 * Consumers' offsets count from there, so new messages must too.
 *
 * Read before what is derived is built again. Nothing else is taken from these files.
 */
import { join } from 'node:path'
import type { Disk } from '@dledger-ts/dledger'
import { topicNameError } from '@dledger-ts/protocol'
import { CONSUME_QUEUE_ENTRY_BYTES, decodeConsumeQueueEntry } from '../consume-queue/entry-codec.ts'
import type { QueueEndRow } from '../metadata/change.ts'

const SEGMENT_NAME = /^\d{20}$/
const QUEUE_ID = /^\d{1,10}$/

/** @param directory `<storePathRootDir>/consumequeue`. Queues without entries are left out. */
export function readQueueEnds(disk: Disk, directory: string): QueueEndRow[] {
  const ends: QueueEndRow[] = []
  for (const topic of disk.listSync(directory)) {
    if (topicNameError(topic) !== undefined) continue
    for (const name of disk.listSync(join(directory, topic))) {
      if (!QUEUE_ID.test(name)) continue
      const end = endOf(disk, join(directory, topic, name))
      if (end > 0) ends.push([topic, Number(name), end])
    }
  }
  return ends
}

/** One after the newest entry: entries stand one after another in the newest file, zeros behind them. */
function endOf(disk: Disk, directory: string): number {
  const newest = disk
    .listSync(directory)
    .filter((name) => SEGMENT_NAME.test(name))
    .at(-1)
  if (newest === undefined || Number(newest) % CONSUME_QUEUE_ENTRY_BYTES !== 0) return 0
  const file = disk.openSync(join(directory, newest), { create: false, readOnly: true })
  try {
    const entry = Buffer.alloc(CONSUME_QUEUE_ENTRY_BYTES)
    let low = 0
    let high = Math.floor(file.sizeSync() / CONSUME_QUEUE_ENTRY_BYTES)
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const bytesRead = file.readSync(entry, middle * CONSUME_QUEUE_ENTRY_BYTES)
      if (bytesRead === entry.length && decodeConsumeQueueEntry(entry, 0).size > 0) low = middle + 1
      else high = middle
    }
    return Number(newest) / CONSUME_QUEUE_ENTRY_BYTES + low
  } finally {
    file.closeSync()
  }
}
