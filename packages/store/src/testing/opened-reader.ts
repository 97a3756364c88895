/** A reader of a store of which a part was taken up from files, over the bytes of its log: for tests of reads. */
import path from 'node:path'
import { silentLogger } from '@dledger-ts/base'
import { nodeDisk } from '@dledger-ts/dledger'
import type { GetRequest, GetResult } from '../api.ts'
import { CheckedEntries } from '../consume-queue/checked-entries.ts'
import { QueueFiles } from '../consume-queue/queue-files.ts'
import { SumRows } from '../consume-queue/sum-rows.ts'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import { SealedMetadata } from '../metadata/sealed-metadata.ts'
import { MessageReader } from '../read.ts'
import { MinOffsets } from '../retention/min-offsets.ts'
import type { StoreCore } from '../store-core.ts'
import { close, type EntryMaker, flush, load, makeCore, NO_REPAIRS } from './fixture.ts'
import { LogImage } from './log-image.ts'
import { ManualClock } from './manual-clock.ts'

export interface OpenedReader {
  readonly core: StoreCore
  readonly reader: MessageReader
  readonly log: LogImage
  readonly clock: ManualClock
  readonly minOffsets: MinOffsets
  readonly queueDirectory: string
  readonly closeAll: () => Promise<void>
}

export interface OpenReaderOptions {
  readonly directory: string
  readonly maker: EntryMaker
  /** The first so many entries are cold. Default: all. */
  readonly kept?: number
  readonly logFileBytes: number
  readonly consumeQueueFileBytes: number
  readonly hotBytesMax?: number
  /** Default: all that there is. */
  readonly inMemoryBytes?: number
}

export async function openReader({
  directory,
  maker,
  kept = maker.entries.length,
  logFileBytes,
  consumeQueueFileBytes,
  hotBytesMax,
  inMemoryBytes = Number.POSITIVE_INFINITY,
}: OpenReaderOptions): Promise<OpenedReader> {
  const clock = new ManualClock()
  const metadata = new MemoryMetadata(clock)
  const options = {
    directory,
    clock,
    metadata,
    fileBytes: logFileBytes,
    consumeQueueFileBytes,
    ...(hotBytesMax === undefined ? {} : { hotBytesMax }),
  }
  if (kept > 0) {
    const before = makeCore(options)
    await load(before)
    before.machine.apply(maker.entries.slice(0, kept))
    await flush(before, kept - 1)
    await close(before)
  }
  const core = makeCore(options)
  await load(core)
  // In several batches, as a log gives them.
  for (let from = kept; from < maker.entries.length; from += 5) core.machine.apply(maker.entries.slice(from, from + 5))
  const queueDirectory = path.join(directory, 'consumequeue')
  const files = new QueueFiles({ disk: nodeDisk, directory: queueDirectory, fileBytes: consumeQueueFileBytes })
  const log = new LogImage(maker.entries, logFileBytes)
  const { machine } = core
  const sums = new SumRows(new SealedMetadata(metadata, clock), files.entriesPerFile)
  const entries = new CheckedEntries(files, sums)
  const repairs = NO_REPAIRS
  const minOffsets = new MinOffsets({ machine, files, entries, sums, repairs, clock, logger: silentLogger })
  const fileBytes = logFileBytes
  const reader = new MessageReader({
    machine,
    files: entries,
    log,
    clock,
    minOffsets,
    repairs,
    fileBytes,
    inMemoryBytes,
  })
  const closeAll = async (): Promise<void> => {
    await new Promise<void>((resolve) => reader.close(resolve))
    files.closeSync()
    await close(core)
  }
  return { core, reader, log, clock, minOffsets, queueDirectory, closeAll }
}

export function getFrom(reader: MessageReader, request: GetRequest): Promise<GetResult> {
  return new Promise((resolve, reject) => {
    reader.get(request, (error, result) => (error === null ? resolve(result as GetResult) : reject(error)))
  })
}
