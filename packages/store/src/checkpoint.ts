/**
 * Writing behind: brings the ConsumeQueue files and the metadata database up to an applied index, and takes them up at start.
 *
 *   queue entries written ──► their files synced ──► one batch: metadata, queue ends, checkpoint
 *
 * Keeps:
 *   C1  Nothing is written that the local log does not hold synced: a checkpoint never runs ahead of `durable(index)`.
 *   C2  A checkpoint says exactly the state after its index; queue files may hold more, which is applied again and
 *       overwritten with the same bytes.
 *   C3  What cannot be taken up as a whole is thrown away as a whole and built again from the log.
 *   C4  The first failure is final.
 *
 * Callbacks instead of promises, so that a simulation owns every step.
 */
import { assert, type Clock, type Logger } from '@dledger-ts/base'
import { Packr } from 'msgpackr'
import { type AppliedMark, type StoreMachine } from './apply.ts'
import { ConsumeQueue } from './consume-queue/consume-queue.ts'
import type { QueueFiles } from './consume-queue/queue-files.ts'
import { StoreError } from './errors.ts'
import { KEY_INDEX_KEY } from './key-index/index-record.ts'
import type { MetadataStore, MetadataWrite } from './metadata/metadata-store.ts'

/** Version of everything kept beside the log. */
const FORMAT_VERSION = 1
const CHECKPOINT_KEY = 'checkpoint'
const QUEUE_KEY_PREFIX = 'queue\0'
/** Applied and unwritten queue entries or metadata writes beyond this start a checkpoint at once. */
const UNWRITTEN_BATCHES_MAX = 65_536
const UNWRITTEN_ROWS_MAX = 262_144
/** So that what cannot be written yet, for it is not synced, does not start one checkpoint after the other. */
const UNWRITTEN_BATCHES_MIN = 64
/** A checkpoint is synced at least so often: the log may forget only what a synced one has. */
const SYNC_INTERVAL_MS = 30_000

const packr = new Packr({ useRecords: false, variableMapSize: true })

export interface CheckpointerOptions {
  readonly machine: StoreMachine
  readonly files: QueueFiles
  readonly metadata: MetadataStore
  /** Keeps what it needs in the metadata, by itself; it is given that, or told that all is void. */
  readonly keyIndex: { restore(value: Buffer): void; discard(): void } | null
  readonly clock: Clock
  readonly logger: Logger
  readonly intervalMs: number
  /** Gives the first entry that must stay in the log for what is pending; called before a checkpoint is synced. */
  readonly firstNeeded: (callback: (index: number) => void) => void
  /** A synced checkpoint has the minima of these queues. */
  readonly minimaKept: (queues: readonly ConsumeQueue[]) => void
  readonly onFailed: (error: Error) => void
}

type Callback = (error: Error | null) => void

export class Checkpointer {
  readonly #options: CheckpointerOptions
  #durableIndex = -1
  #batchesSince = 0
  #cancelTimer: (() => void) | null = null
  #running = false
  #waiters: Callback[] = []
  #clearFirst = false
  #failure: Error | null = null
  #closed = false
  #syncedAtMs: number
  #syncsNext = false

  constructor(options: CheckpointerOptions) {
    this.#options = options
    this.#syncedAtMs = options.clock.monotonicMs()
  }

  get failure(): Error | null {
    return this.#failure
  }

  /** Takes up what is kept. @param callback gets an error only for what must not be overwritten: a newer format, a failed read. */
  load(callback: Callback): void {
    this.#options.metadata.load((error, entries) => {
      if (error !== null) return callback(error)
      try {
        this.#restore(entries)
      } catch (failure) {
        return callback(failure as Error)
      }
      callback(null)
    })
  }

  applied(): void {
    this.#batchesSince++
    if (!this.#running && this.#isMuch()) return this.#run(false)
    if (this.#cancelTimer !== null || this.#running || this.#closed) return
    this.#cancelTimer = this.#options.clock.after(this.#options.intervalMs, () => {
      this.#cancelTimer = null
      if (!this.#running) this.#run(false)
    })
  }

  durable(index: number): void {
    if (index > this.#durableIndex) this.#durableIndex = index
  }

  /** The next checkpoint is synced: the log waits for it. */
  syncNext(): void {
    this.#syncsNext = true
  }

  /** The kept state is void: removes the files now and the rest before anything else is written. */
  discard(): void {
    this.#clearFirst = true
    this.#options.files.removeAllSync()
    this.#options.keyIndex?.discard()
  }

  /** Writes everything that may be written and syncs it; for a clean stop. */
  flush(callback: Callback): void {
    if (this.#failure !== null) return callback(this.#failure)
    if (this.#running) {
      this.#waiters.push((error) => (error === null ? this.flush(callback) : callback(error)))
      return
    }
    this.#waiters.push(callback)
    this.#run(true)
  }

  /** Calls back when no checkpoint is under way; the files may be closed then. */
  whenIdle(callback: () => void): void {
    if (this.#running) this.#waiters.push(callback)
    else callback()
  }

  /** No checkpoint begins by itself after this. */
  stop(): void {
    this.#closed = true
    this.#cancelTimer?.()
    this.#cancelTimer = null
  }

  // ------------------------------------------------------------------------------------------------ writing

  #run(sync: boolean): void {
    assert(!this.#running, 'one checkpoint is written at a time')
    if (this.#failure !== null || (this.#closed && !sync)) return
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#running = true
    this.#batchesSince = 0
    const begin = (error: Error | null): void => {
      if (error !== null) return this.#done(error)
      this.#clearFirst = false
      this.#write(sync)
    }
    if (this.#clearFirst) this.#options.metadata.clear(CHECKPOINT_KEY, begin)
    else begin(null)
  }

  #write(sync: boolean): void {
    const mark = this.#options.machine.takeMark(this.#durableIndex)
    if (mark === undefined) return this.#done(null)
    const writes: MetadataWrite[] = []
    const newMinima: ConsumeQueue[] = []
    let underWay = 1
    let failure: Error | null = null
    const written = (error: Error | null): void => {
      failure ??= error
      underWay--
      if (underWay > 0) return
      if (failure !== null) return this.#done(failure)
      this.#options.files.sync((syncError) => {
        if (syncError !== null) return this.#done(syncError)
        this.#writeMetadata(mark, writes, newMinima, sync)
      })
    }
    for (const queue of this.#options.machine.takeDirtyQueues()) {
      const from = queue.writtenOffset
      const to = queue.writableBefore(mark.physicalEnd)
      if (to < queue.nextOffset) this.#options.machine.markDirty(queue)
      if (to === from && !queue.minIsNew) continue
      if (queue.minIsNew) newMinima.push(queue)
      writes.push({ key: queueKey(queue), value: keptOf(queue, to) })
      if (to === from) continue
      underWay++
      this.#options.files.write(queue, from, queue.copyEntries(from, to), (error) => {
        if (error === null) queue.written(to)
        written(error)
      })
    }
    written(null)
  }

  #writeMetadata(mark: AppliedMark, writes: MetadataWrite[], newMinima: readonly ConsumeQueue[], sync: boolean): void {
    for (const [key, value] of this.#options.machine.metadata.takeWrites(mark.index)) writes.push({ key, value })
    writes.push({ key: CHECKPOINT_KEY, value: packr.pack({ v: FORMAT_VERSION, ...mark }) })
    const nowMs = this.#options.clock.monotonicMs()
    const isSynced = sync || this.#syncsNext || newMinima.length > 0 || nowMs - this.#syncedAtMs >= SYNC_INTERVAL_MS
    const write = (written: () => void): void => {
      this.#options.metadata.write(writes, { sync: isSynced }, (error) => {
        if (error === null) {
          this.#options.machine.metadata.written()
          written()
        }
        this.#done(error)
      })
    }
    if (!isSynced) return write(() => {})
    this.#syncsNext = false
    this.#syncedAtMs = nowMs
    this.#options.firstNeeded((firstNeeded) => {
      write(() => {
        this.#options.machine.mayForget(Math.min(mark.index, firstNeeded - 1))
        this.#options.minimaKept(newMinima)
      })
    })
  }

  #done(error: Error | null): void {
    this.#running = false
    if (error !== null) {
      this.#failure = error
      this.#options.onFailed(error)
    } else if (this.#options.machine.isAhead) {
      this.#rearm()
    }
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter(error)
  }

  #isMuch(): boolean {
    if (this.#batchesSince >= UNWRITTEN_BATCHES_MAX) return true
    return (
      this.#batchesSince >= UNWRITTEN_BATCHES_MIN && this.#options.machine.metadata.pendingWrites >= UNWRITTEN_ROWS_MAX
    )
  }

  /** What was applied meanwhile, or was not synced yet, waits for the next one. */
  #rearm(): void {
    this.#batchesSince = Math.max(0, this.#batchesSince - 1)
    this.applied()
  }

  // ------------------------------------------------------------------------------------------------ taking up

  #restore(entries: readonly { readonly key: string; readonly value: Buffer }[]): void {
    const kept = entries.find(({ key }) => key === CHECKPOINT_KEY)
    if (kept === undefined) {
      if (entries.length > 0)
        this.#options.logger.warn({}, 'the metadata has no checkpoint: it is built again from the log')
      this.discard()
      return
    }
    try {
      const mark = markOf(kept.value)
      this.#restoreEntries(entries, mark)
      this.#options.machine.restored(mark)
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'CORRUPT') throw error
      this.#options.logger.warn({ err: error }, 'the derived state is damaged: it is built again from the log')
      this.#options.machine.forget()
      this.discard()
    }
  }

  #restoreEntries(entries: readonly { readonly key: string; readonly value: Buffer }[], mark: AppliedMark): void {
    const { machine, files, logger } = this.#options
    for (const { key, value } of entries) {
      if (key === CHECKPOINT_KEY) continue
      if (key === KEY_INDEX_KEY) {
        this.#options.keyIndex?.restore(value)
        continue
      }
      if (!key.startsWith(QUEUE_KEY_PREFIX)) {
        if (!machine.metadata.restore(key, value)) logger.warn({ key }, 'metadata of an unknown kind is left alone')
        continue
      }
      const queue = queueOf(key, value)
      const last = files.isWhole(queue) ? files.entryAtSync(queue, queue.nextOffset - 1) : undefined
      const isEmpty = queue.minOffset === queue.nextOffset
      if (!isEmpty && (last === undefined || last.physicalOffset + last.size > mark.physicalEnd)) {
        throw damaged(`the files of queue ${queue.topic}/${queue.queueId} do not hold its ${queue.nextOffset} entries`)
      }
      machine.queues.add(queue)
    }
  }
}

function queueKey(queue: ConsumeQueue): string {
  return `${QUEUE_KEY_PREFIX}${queue.topic}\0${queue.queueId}`
}

function queueOf(key: string, value: Buffer): ConsumeQueue {
  const [topic, queueIdText] = key.slice(QUEUE_KEY_PREFIX.length).split('\0')
  const queueId = Number(queueIdText)
  const content = unpack(value, key)
  if (topic === undefined || !Number.isSafeInteger(queueId) || !Array.isArray(content)) throw damaged(key)
  const [nextOffset, firstPhysicalOffset, minOffset = 0] = content as unknown[]
  if (!isCount(nextOffset) || nextOffset === 0 || !isCount(minOffset) || minOffset > nextOffset) throw damaged(key)
  if (minOffset === nextOffset)
    return ConsumeQueue.restored(topic, queueId, { nextOffset, minOffset, firstPhysicalOffset: -1 })
  if (!isCount(firstPhysicalOffset)) throw damaged(key)
  return ConsumeQueue.restored(topic, queueId, { nextOffset, minOffset, firstPhysicalOffset })
}

/** @param nextOffset one after the newest entry that the checkpoint has. */
function keptOf(queue: ConsumeQueue, nextOffset: number): Buffer {
  queue.minIsNew = false
  queue.keptMinOffset = queue.minOffset
  return packr.pack([nextOffset, queue.firstPhysicalOffset, queue.minOffset])
}

/** @throws StoreError UNSUPPORTED for a newer format. */
function markOf(value: Buffer): AppliedMark {
  const content = unpack(value, CHECKPOINT_KEY)
  if (typeof content !== 'object' || content === null) throw damaged(CHECKPOINT_KEY)
  const { v, index, term, physicalEnd, storeTimestamp } = content as Record<string, unknown>
  if (v !== FORMAT_VERSION) {
    const what = `the store beside the log has format ${JSON.stringify(v)}; this program knows format ${FORMAT_VERSION}`
    throw new StoreError(what, { code: 'UNSUPPORTED', what })
  }
  if (!isCount(index) || !isCount(term) || !isCount(physicalEnd) || !isCount(storeTimestamp)) {
    throw damaged(CHECKPOINT_KEY)
  }
  return { index, term, physicalEnd, storeTimestamp }
}

function unpack(value: Buffer, key: string): unknown {
  try {
    return packr.unpack(value)
  } catch (cause) {
    throw damaged(`${key} is not msgpack`, cause)
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function damaged(what: string, cause?: unknown): StoreError {
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 }, { cause })
}
