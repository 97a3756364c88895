/**
 * Takes up what a checkpoint kept: queues, metadata, and how far all of it goes. Reads no file of a queue: whether they are whole
 * is found out later (queue-checks.ts), and by whoever reads them.
 */
import type { Logger } from '@dledger-ts/base'
import type { StoreMachine } from './apply.ts'
import { ConsumeQueue } from './consume-queue/consume-queue.ts'
import { type Checkpoint, CHECKPOINT_KEY, decodeCheckpoint, decodeQueue, QUEUE_KEY_PREFIX } from './kept-rows.ts'
import { KEY_INDEX_KEY } from './key-index/index-record.ts'
import type { MetadataRow } from './metadata/metadata-store.ts'

export interface RestoreOptions {
  readonly machine: StoreMachine
  readonly keyIndex: { restore(value: Buffer): void } | null
  readonly logger: Logger
}

/** @returns null when there is no checkpoint. @throws StoreError UNSUPPORTED for a newer format; CORRUPT: the machine is half filled. */
export function restoreKept(
  rows: readonly MetadataRow[],
  { machine, keyIndex, logger }: RestoreOptions,
): Checkpoint | null {
  const row = rows.find(({ key }) => key === CHECKPOINT_KEY)
  if (row === undefined) {
    if (rows.length > 0) logger.warn({}, 'the metadata has no checkpoint: it is built again from the log')
    return null
  }
  const checkpoint = decodeCheckpoint(row.value)
  for (const { key, value } of rows) {
    if (key === CHECKPOINT_KEY) continue
    if (key.startsWith(QUEUE_KEY_PREFIX)) {
      const { topic, queueId, kept } = decodeQueue(key, value)
      machine.queues.add(ConsumeQueue.restored(topic, queueId, kept))
    } else if (key === KEY_INDEX_KEY) {
      keyIndex?.restore(value)
    } else if (!machine.metadata.restore(key, value)) {
      logger.warn({ key }, 'metadata of an unknown kind is left alone')
    }
  }
  // In the state of another member queues begin at 0.
  for (const [topic, queueId, queueOffset] of machine.metadata.floors.all()) {
    machine.queues.find(topic, queueId)?.beginsNotBefore(queueOffset)
  }
  machine.restored(checkpoint.mark)
  return checkpoint
}
