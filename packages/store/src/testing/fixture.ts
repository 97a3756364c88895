/** What the tests of this package share: messages, entries as the log gives them, temporary directories, a whole state to compare. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type Logger, silentLogger } from '@dledger-ts/base'
import { type CommittedEntry, type Disk, nodeDisk } from '@dledger-ts/dledger'
import { hostAddress, isQueued, parseDelayLevels, RecordDraft } from '@dledger-ts/protocol'
import type { GetRequest, GetResult, NewMessage } from '../api.ts'
import type { StoreMachine } from '../apply.ts'
import {
  CONSUME_QUEUE_ENTRY_BYTES,
  type ConsumeQueueEntry,
  decodeConsumeQueueEntry,
} from '../consume-queue/entry-codec.ts'
import type { IndexShape } from '../key-index/layout.ts'
import type { MessageStoreApi } from '../message-store-api.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { MessageReaderOptions } from '../read.ts'
import { StoreCore, type StoreCoreOptions } from '../store-core.ts'
import type { ManualClock } from './manual-clock.ts'

export const HOST = hostAddress('127.0.0.1', 10911)
export const DELAYS_MS = parseDelayLevels('1s 5s 10s')

/** For readers alone: what is wrong is told. */
export const NO_REPAIRS: MessageReaderOptions['repairs'] = {
  damaged: () => false,
  whenWhole: (_queue, callback) => callback(null),
}

export function message(topic: string, body: string, more: Partial<NewMessage> = {}): NewMessage {
  return {
    topic,
    queueId: 0,
    flag: 0,
    sysFlag: 0,
    bornTimestamp: 1_700_000_000_000,
    bornHost: HOST,
    storeHost: HOST,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.from(body),
    properties: '',
    ...more,
  }
}

export class TempDirectory {
  readonly path = fs.mkdtempSync(path.join(os.tmpdir(), 'dledger-store-'))

  remove(): void {
    fs.rmSync(this.path, { recursive: true, force: true })
  }
}

/** Entries as a log would give them to apply, with the offsets a leader would give. */
export class EntryMaker {
  readonly entries: CommittedEntry[] = []
  readonly #next = new Map<string, number>()
  readonly #fileBytes: number
  #pos = 0

  /** @param fileBytes of a log file, where entries do not cross its end. */
  constructor(fileBytes = Number.MAX_SAFE_INTEGER) {
    this.#fileBytes = fileBytes
  }

  add(fields: NewMessage, more: { term?: number; storeTimestamp?: number; queueOffset?: number } = {}): CommittedEntry {
    const key = `${fields.topic}/${fields.queueId}`
    const next = this.#next.get(key) ?? 0
    const queueOffset = more.queueOffset ?? (isQueued(fields.sysFlag) ? next : 0)
    if (isQueued(fields.sysFlag)) this.#next.set(key, next + 1)
    const draft = new RecordDraft(fields)
    const body = Buffer.alloc(draft.bytes)
    // A file ends with a blank of at least 8 bytes.
    const left = this.#fileBytes - (this.#pos % this.#fileBytes)
    if (48 + body.length + 8 > left) this.#pos += left
    const storeTimestamp = more.storeTimestamp ?? 1_700_000_000_000 + this.entries.length
    draft.encode(body, 0, { queueOffset, physicalOffset: this.#pos + 48, storeTimestamp })
    const entry: CommittedEntry = {
      index: this.entries.length,
      term: more.term ?? 1,
      pos: this.#pos,
      kind: 'data',
      body,
    }
    this.#pos += 48 + body.length
    this.entries.push(entry)
    return entry
  }
}

export interface CoreOptions {
  readonly directory: string
  readonly clock: ManualClock
  readonly metadata: MetadataStore
  readonly consumeQueueFileBytes?: number
  readonly fileBytes?: number
  /** Absent: keys are not indexed. */
  readonly indexShape?: IndexShape
  readonly disk?: Disk
  readonly delayLevelsMs?: readonly number[]
  readonly sendOnce?: StoreCoreOptions['sendOnce']
  readonly hotBytesMax?: number
  readonly bootId?: string
  readonly logger?: Logger
  readonly onRebuild?: StoreCoreOptions['onRebuild']
  readonly onFailed?: (error: Error) => void
}

export function makeCore(options: CoreOptions): StoreCore {
  return new StoreCore({
    clock: options.clock,
    logger: options.logger ?? silentLogger,
    disk: options.disk ?? nodeDisk,
    metadata: options.metadata,
    consumeQueueDirectory: path.join(options.directory, 'consumequeue'),
    consumeQueueFileBytes: options.consumeQueueFileBytes ?? 60,
    keyIndex:
      options.indexShape === undefined
        ? null
        : { directory: path.join(options.directory, 'index'), shape: options.indexShape },
    fileBytes: options.fileBytes ?? 1024 * 1024,
    delayLevelsMs: options.delayLevelsMs ?? DELAYS_MS,
    hotBytesMax: options.hotBytesMax ?? 1024 * 1024,
    inMemoryBytes: Number.POSITIVE_INFINITY,
    timerSettings: { timerPrecisionMs: 100, timerMaxDelayMs: 3 * 86_400_000 },
    checkpointIntervalMs: 1_000,
    storeHost: null,
    sendOnce: options.sendOnce ?? null,
    bootId: options.bootId ?? 'this boot',
    onRebuild: options.onRebuild ?? null,
    onFailed:
      options.onFailed ??
      ((error) => {
        throw error
      }),
  })
}

export function load(core: StoreCore): Promise<void> {
  return new Promise((resolve, reject) => {
    core.load((error) => (error === null ? resolve() : reject(error)))
  })
}

export function flush(core: StoreCore, durableIndex: number): Promise<void> {
  return new Promise((resolve, reject) => {
    core.flush(durableIndex, (error) => (error === null ? resolve() : reject(error)))
  })
}

export function close(core: StoreCore): Promise<void> {
  return new Promise((resolve) => core.close(resolve))
}

/** Everything that applying yields, as plain values; older queue entries are read from the files below `directory`. */
export function stateOf(machine: StoreMachine, directory: string, consumeQueueFileBytes = 60): unknown {
  const queues: Record<string, unknown> = {}
  for (const queue of machine.queues.all()) {
    const entries: unknown[] = []
    for (let offset = queue.minOffset; offset < queue.nextOffset; offset++) {
      const entry =
        offset >= queue.tailFrom
          ? decodeConsumeQueueEntry(queue.copyEntries(offset, offset + 1), 0)
          : entryInFile(
              path.join(directory, 'consumequeue', queue.topic, String(queue.queueId)),
              offset,
              consumeQueueFileBytes,
            )
      entries.push([entry?.physicalOffset, entry?.size, entry?.tagsCode])
    }
    if (queue.nextOffset > 0) queues[`${queue.topic}/${queue.queueId}`] = [queue.minOffset, entries]
  }
  const { metadata } = machine
  const offsets: Record<string, unknown> = {}
  for (const group of metadata.offsets.groups()) {
    for (const [topic, byQueue] of metadata.offsets.ofGroup(group)) {
      offsets[`${group}/${topic}`] = Object.fromEntries([...byQueue].sort((a, b) => a[0] - b[0]))
    }
  }
  return {
    applied: machine.applied,
    queues: sorted(queues),
    floors: [...metadata.floors.all()].map((floor) => floor.join(' ')).sort(),
    topics: sorted(Object.fromEntries(metadata.topics)),
    groups: sorted(Object.fromEntries(metadata.groups)),
    topicsVersion: metadata.topicsVersion,
    groupsVersion: metadata.groupsVersion,
    offsets: sorted(offsets),
    locks: [...metadata.locks.all()].map(String).sort(),
    pendingFiles: [...metadata.pendingFiles.all()].sort((a, b) => a[0] - b[0]),
    delivered: [...metadata.delivered].sort((a, b) => a[0] - b[0]),
  }
}

/** Undefined when its file is not there, or of another size. */
function entryInFile(directory: string, queueOffset: number, fileBytes: number): ConsumeQueueEntry | undefined {
  const at = queueOffset * CONSUME_QUEUE_ENTRY_BYTES
  const file = path.join(directory, String(at - (at % fileBytes)).padStart(20, '0'))
  if (!fs.existsSync(file)) return undefined
  const bytes = fs.readFileSync(file)
  return bytes.length === fileBytes ? decodeConsumeQueueEntry(bytes, at % fileBytes) : undefined
}

/** All files below a directory by relative path. */
export function filesBelow(directory: string): Map<string, string> {
  const found = new Map<string, string>()
  if (!fs.existsSync(directory)) return found
  for (const entry of fs.readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = path.join(entry.parentPath, entry.name)
    found.set(path.relative(directory, file), fs.readFileSync(file).toString('hex'))
  }
  return new Map([...found].sort((a, b) => (a[0] < b[0] ? -1 : 1)))
}

export function get(store: MessageStoreApi, request: Partial<GetRequest> & { topic: string }): Promise<GetResult> {
  const whole = { queueId: 0, queueOffset: 0, maxCount: 32, maxBytes: 256 * 1024, tagFilter: null, ...request }
  return new Promise((resolve, reject) => {
    store.getMessages(whole, (error, result) => {
      if (error !== null) reject(error)
      else if (result !== null) resolve(result)
    })
  })
}

function sorted(record: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).sort((a, b) => (a[0] < b[0] ? -1 : 1)))
}
