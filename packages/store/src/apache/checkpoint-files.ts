/**
 * Two files that Apache's tools read under a store's directory, and that nothing here relies on.
 *
 *   checkpoint   4096 bytes, for Java maps them; big-endian, the rest zero:
 *                | physicMsgTimestamp | logicsMsgTimestamp | indexMsgTimestamp | masterFlushedOffset | confirmPhyOffset |
 *                0                    8                    16                  24                    32                 40
 *   abort        is there while a store is open: found at a start, the stop before was none. Holds the process id.
 *
 * Keeps: the checkpoint says no more than what is synced, in the log and in the queue files. The index timestamp stays 0: how far the
 * key index is synced is not known here, and 0 makes Apache look at all of it.
 *
 * Source: org.apache.rocketmq.store.StoreCheckpoint, DefaultMessageStore.isTempFileExist.
 */
import { join } from 'node:path'
import { writeInt64 } from '@dledger-ts/base'
import { type Disk, type DiskFile, isDiskFull } from '@dledger-ts/dledger'
import type { AppliedMark } from '../apply.ts'

const CHECKPOINT_BYTES = 4096
const PHYSICAL_TIMESTAMP_AT = 0
const LOGICAL_TIMESTAMP_AT = PHYSICAL_TIMESTAMP_AT + 8
const INDEX_TIMESTAMP_AT = LOGICAL_TIMESTAMP_AT + 8
const MASTER_FLUSHED_OFFSET_AT = INDEX_TIMESTAMP_AT + 8
const CONFIRM_OFFSET_AT = MASTER_FLUSHED_OFFSET_AT + 8

type Callback = (error: Error | null) => void

function encodeApacheCheckpoint(synced: AppliedMark): Buffer {
  const bytes = Buffer.alloc(CHECKPOINT_BYTES)
  writeInt64(bytes, synced.storeTimestamp, PHYSICAL_TIMESTAMP_AT)
  writeInt64(bytes, synced.storeTimestamp, LOGICAL_TIMESTAMP_AT)
  writeInt64(bytes, synced.physicalEnd, CONFIRM_OFFSET_AT)
  return bytes
}

export class ApacheCheckpointFiles {
  readonly #disk: Disk
  readonly #directory: string
  readonly #pid: number

  /** @param directory the store's. */
  constructor(disk: Disk, directory: string, pid: number) {
    this.#disk = disk
    this.#pid = pid
    this.#directory = directory
  }

  /** Makes the abort file. @returns whether the stop before was none. */
  opened(): boolean {
    this.#disk.makeDirectorySync(this.#directory)
    return this.#disk.createExclusiveSync(this.#abort, String(this.#pid)) !== null
  }

  /** Everything is synced and closed. */
  closed(): void {
    if (this.#disk.existsSync(this.#abort)) this.#disk.removeSync(this.#abort)
  }

  /** What the checkpoint speaks of is gone. */
  discarded(): void {
    if (this.#disk.existsSync(this.#checkpoint)) this.#disk.removeSync(this.#checkpoint)
  }

  /** Written in place; not synced, for nobody relies on it. Without room on the disk it stays as it was. The directory exists. */
  write(synced: AppliedMark, callback: Callback): void {
    const written = (error: Error | null): void => callback(error !== null && isDiskFull(error) ? null : error)
    let file: DiskFile
    try {
      file = this.#disk.openSync(this.#checkpoint, { create: true })
    } catch (error) {
      return written(error as Error)
    }
    file.write([encodeApacheCheckpoint(synced)], 0, (error) => {
      file.closeSync()
      written(error)
    })
  }

  get #checkpoint(): string {
    return join(this.#directory, 'checkpoint')
  }

  get #abort(): string {
    return join(this.#directory, 'abort')
  }
}
