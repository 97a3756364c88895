/**
 * The key index: which messages of a topic have a key, or a unique id. It follows the log by itself, behind what is applied.
 *
 *   applied records ──► newest file: slots and unwritten entries in memory ──► file, synced ──► what is kept of it
 *
 * Apply does nothing for it. Records are taken up in runs, mostly while they are still in memory; a query waits until what was
 * applied when it came is taken up, so visible still means applied.
 *
 * Keeps:
 *   X1  Nothing is written of messages that are not synced in the log of this member.
 *   X2  Every key of the log from the first file's start on is in exactly one file, at one place: where the index goes on is kept
 *       together with the checksums of what is written up to there. What a crash left behind that is written again, with the same
 *       bytes.
 *   X3  A file that is missing or is not what was written is built again from the log; the others serve meanwhile.
 *   X4  Memory: one builder (builder.ts), one more for each full file that waits to be written, and while a damaged one is built
 *       again.
 *
 * Source of the layout: org.apache.rocketmq.store.index.IndexService.
 */
import { join } from 'node:path'
import { assert, type Clock, type Logger } from '@dledger-ts/base'
import { type Disk, isDiskFull } from '@dledger-ts/dledger'
import type { StoreMachine } from '../apply.ts'
import { StoreError } from '../errors.ts'
import { ENTRY_HEADER_BYTES } from '../log-place.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { AppliedEntries } from '../rebuild/log-scan.ts'
import { IndexBuild } from './build.ts'
import { IndexBuilder } from './builder.ts'
import { indexFileName, isIndexFileName } from './file-name.ts'
import { IndexFile, type IndexPlace } from './index-file.ts'
import { decodeIndexRecord, encodeIndexRecord, KEY_INDEX_KEY } from './index-record.ts'
import type { IndexShape } from './layout.ts'
import { checkSealed, loadBuilder } from './load-file.ts'
import { LogMarks } from './log-marks.ts'
import { LogWalk } from './log-walk.ts'

/** Applied bytes of the log that are taken up without waiting for the timer. */
const RUN_BYTES = 256 * 1024
/** Unwritten entries that are written without waiting for the timer … */
const WRITE_ENTRIES = 65_536
/** … and at which no more are taken up until the log is synced and they are written. */
const UNWRITTEN_ENTRIES_MAX = 1024 * 1024
/**
 * Slots of the open file are written for other readers of the files only, for they are made from the entries at a start: when a page
 * of them is shared by this many entries, and at a clean stop.
 */
const ENTRIES_PER_SLOT_PAGE = 64
/** Full files that wait until the log is synced and they are written; then no more is taken up. */
const UNSEALED_MAX = 2
/** A query waits for what must be read from the log's files if it is not more than this. */
const NEAR_BYTES = 8 * 1024 * 1024
/** … and for no longer than this. */
const CATCH_UP_MS_MAX = 1_000
/** After the log could not be read, or the disk was full. */
const RETRY_MS = 10_000
/** Between two reads of the log's files, so that a long build leaves room for others. */
const COLD_PAUSE_MS = 1
const CHECK_BYTES_PER_SECOND = 8 * 1024 * 1024
const LOG_START: IndexPlace = { index: 0, pos: 0, key: 0 }

export interface KeyIndexOptions {
  readonly machine: StoreMachine
  readonly log: AppliedEntries
  /** Size of a log file. */
  readonly logFileBytes: number
  readonly disk: Disk
  readonly directory: string
  readonly shape: IndexShape
  readonly metadata: MetadataStore
  readonly clock: Clock
  readonly logger: Logger
  /** How often what was taken up is written. */
  readonly writeIntervalMs: number
  readonly onFailed: (error: Error) => void
}

/** How far the index is. */
export interface KeyIndexProgress {
  /** Messages before this place of the log are taken up; those of `damagedFiles` are being taken up again. */
  readonly indexedPhysicalOffset: number
  readonly appliedPhysicalOffset: number
  readonly files: number
  readonly damagedFiles: number
  /** Whole files that are still to be compared with their checksums since the start. */
  readonly uncheckedFiles: number
}

interface Waiter {
  readonly pos: number
  readonly callback: (isCaughtUp: boolean) => void
}

type Callback = (error: Error | null) => void

export class KeyIndex {
  readonly #options: KeyIndexOptions
  readonly #walk: LogWalk
  readonly #marks = new LogMarks()
  /** Oldest first; those that wait to be written and the one that entries are added to are the last ones, and open. */
  #files: IndexFile[] = []
  /** Gone once that is kept. */
  #removed: IndexFile[] = []
  /** Of the full files that are not sealed yet, oldest first. */
  #sealing: IndexBuild[] = []
  /** Of the file that entries are added to. */
  #build: IndexBuild | null = null
  /** Of a damaged one. */
  #repair: IndexBuild | null = null
  #unchecked: IndexFile[] = []
  #isChecking = false
  /** Taken up by itself up to here; beyond it waits for more, or for the timer. */
  #target = 0
  /** Nothing of the log is below. */
  #firstOffset = 0
  #isAttached = false
  #isStopped = false
  #isScheduled = false
  #isReading = false
  #isLoading = false
  #isWriting = false
  #isWriteDue = false
  #isRecordDue = false
  #isSlotsDue = false
  /** The log's files cannot be read now. */
  #isStalled = false
  /** Entries written since the slots were. */
  #entriesSinceSlots = 0
  #cancelTimer: (() => void) | null = null
  /** Ends the pause between two reads of the log. */
  #endPause: (() => void) | null = null
  #cancelRetry: (() => void) | null = null
  #flushing: Callback[] = []
  #idleWaiters: (() => void)[] = []
  #waiters: Waiter[] = []
  #failure: Error | null = null
  /** Grows when everything is thrown away: what is under way then counts for nothing. */
  #generation = 0

  constructor(options: KeyIndexOptions) {
    this.#options = options
    const { machine, log, logFileBytes } = options
    this.#walk = new LogWalk({ hot: machine.hot, log, logFileBytes })
  }

  // ------------------------------------------------------------------------------------------------ what is there

  get progress(): KeyIndexProgress {
    return {
      indexedPhysicalOffset: this.#place().pos,
      appliedPhysicalOffset: this.#appliedEnd,
      files: this.#files.length,
      damagedFiles: this.#files.filter(({ state }) => state === 'damaged').length,
      uncheckedFiles: this.#unchecked.length + (this.#isChecking ? 1 : 0),
    }
  }

  /** Newest first. */
  newestFirst(): IndexFile[] {
    return this.#files.toReversed()
  }

  /** No record below it is in the log. */
  get firstOffset(): number {
    return this.#firstOffset
  }

  /** What is kept, at start. @throws StoreError UNSUPPORTED for a newer format. */
  restore(value: Buffer): void {
    try {
      this.#files = decodeIndexRecord(value, this.#options) ?? []
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'CORRUPT') throw error
      this.#options.logger.warn({ err: error }, 'the key index is built again from the log')
    }
  }

  /** The state was taken up: everything before its end is synced. */
  loaded(): void {
    const { index, physicalEnd } = this.#options.machine.applied
    this.#marks.reset(index, physicalEnd)
  }

  /** What is kept is void: it is built again from the log, from its first entry on. */
  discard(): void {
    this.#generation++
    for (const file of this.#files) file.remove()
    this.#files = []
    this.#removed = []
    this.#sealing = []
    this.#build = null
    this.#repair = null
    this.#unchecked = []
    this.#target = 0
    this.#isReading = false
    this.#isLoading = false
    this.#isWriting = false
    this.#isStalled = false
    this.#isRecordDue = true
    this.#marks.reset(-1, 0)
    this.#removeUnknown()
    this.#tellWaiters(false)
    this.#schedule()
  }

  /** The log can be read from here on. */
  attach(): void {
    assert(!this.#isAttached, 'an index follows one log')
    this.#isAttached = true
    this.#removeUnknown()
    for (const file of this.#files) {
      if (file.state === 'open') continue
      if (file.isThereSync() && file.hasItsHeaderSync()) this.#unchecked.push(file)
      else this.damaged(file)
    }
    this.#target = this.#appliedEnd
    this.#schedule()
    this.#checkNext()
  }

  // ------------------------------------------------------------------------------------------------ what happens

  /** A batch was applied. Hot. */
  applied(): void {
    const { index, physicalEnd } = this.#options.machine.applied
    this.#marks.applied(index, physicalEnd)
    if (physicalEnd - this.#place().pos >= RUN_BYTES) {
      this.#target = physicalEnd
      this.#schedule()
    }
    this.#arm()
  }

  durable(index: number): void {
    this.#marks.durable(index)
    const isMuch = this.#build !== null && this.#build.builder.unwrittenCount >= WRITE_ENTRIES
    if (isMuch || this.#sealing.length > 0 || this.#waiters.length > 0) this.#schedule()
  }

  /** Messages below `physicalOffset` have left the log: files that hold only such ones go. */
  removeBefore(physicalOffset: number): void {
    if (physicalOffset <= this.#firstOffset) return
    this.#firstOffset = physicalOffset
    let count = 0
    while (count < this.#files.length && this.#isBelow(this.#files[count] as IndexFile)) count++
    if (count === 0) return
    this.#removed.push(...this.#files.slice(0, count))
    this.#files = this.#files.slice(count)
    if (this.#repair !== null && !this.#files.includes(this.#repair.file)) this.#repair = null
    this.#isRecordDue = true
    this.#isWriteDue = true
    this.#schedule()
  }

  /** The file is not what was written. */
  damaged(file: IndexFile): void {
    if (file.state === 'damaged' || !this.#files.includes(file)) return
    this.#options.logger.warn({ file: file.path }, 'an index file is damaged: it is built again from the log')
    if (file.state === 'open') return this.#startAgain(file)
    file.state = 'damaged'
    this.#schedule()
  }

  /**
   * Calls back once everything that is applied now is taken up; with false when that would take long: much of it must be read
   * from the log's files first.
   */
  catchUp(callback: (isCaughtUp: boolean) => void): void {
    const pos = this.#appliedEnd
    if (this.#place().pos >= pos && !this.#isLoading && this.#openIsLoaded()) return callback(true)
    if (!this.#isAttached || this.#isStopped || this.#failure !== null) return callback(false)
    const tooLong = (): void => {
      this.#waiters = this.#waiters.filter((other) => other !== waiter)
      callback(false)
    }
    const cancel = this.#options.clock.after(CATCH_UP_MS_MAX, tooLong)
    const waiter: Waiter = {
      pos,
      callback: (isCaughtUp) => {
        cancel()
        callback(isCaughtUp)
      },
    }
    this.#waiters.push(waiter)
    this.#target = Math.max(this.#target, pos)
    this.#schedule()
  }

  /** Takes up and writes everything that may be written and can be read, with slots; for a clean stop. */
  flush(callback: Callback): void {
    if (!this.#isAttached || this.#failure !== null) return callback(this.#failure)
    this.#flushing.push(callback)
    this.#target = this.#appliedEnd
    this.#isWriteDue = true
    this.#isSlotsDue = true
    this.#isRecordDue = true
    this.#run()
  }

  /** Calls back when nothing is under way; its files may be closed then. */
  whenIdle(callback: () => void): void {
    if (this.#isReading || this.#isLoading || this.#isWriting) this.#idleWaiters.push(callback)
    else callback()
  }

  /** Nothing begins by itself after this. */
  stop(): void {
    this.#isStopped = true
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#cancelRetry?.()
    this.#cancelRetry = null
    this.#tellWaiters(false)
    this.#endPause?.()
  }

  checkInvariants(): void {
    this.#build?.builder.checkInvariants()
    for (let i = 1; i < this.#files.length; i++) {
      const before = this.#files[i - 1] as IndexFile
      const end = this.#sealing.find(({ file }) => file === before) ?? before.end
      const { start } = this.#files[i] as IndexFile
      assert(end.index === start.index && end.key === start.key, 'index files leave no gap')
    }
  }

  // ------------------------------------------------------------------------------------------------ one step after the other

  get #appliedEnd(): number {
    return this.#options.machine.applied.physicalEnd
  }

  #openIsLoaded(): boolean {
    const last = this.#files[this.#files.length - 1]
    return last === undefined || last.state !== 'open' || last.builder !== null
  }

  /** Where the index goes on. */
  #place(): IndexPlace {
    return this.#build ?? this.#files[this.#files.length - 1]?.end ?? LOG_START
  }

  #schedule(): void {
    if (this.#isScheduled || !this.#isAttached || this.#isStopped) return
    this.#isScheduled = true
    this.#options.clock.defer(() => {
      this.#isScheduled = false
      if (!this.#isStopped || this.#flushing.length > 0) this.#run()
    })
  }

  #run(): void {
    if (this.#failure !== null || !this.#isAttached) return this.#settle()
    if (this.#isReading || this.#isLoading) return
    const last = this.#files[this.#files.length - 1]
    if (last?.state === 'open' && last.builder === null) return this.#load(last)
    const build = this.#buildWithRoom()
    this.#writeWhatIsMuch(this.#sealing[0] ?? build)
    if (this.#mayTakeUp(build, this.#target)) return this.#takeUp(build, this.#target)
    this.#tellCaughtUp(build)
    if (this.#isWriteDue && !this.#isWriting) {
      this.#isWriteDue = false
      this.#write(this.#sealing[0] ?? build)
    }
    if (!this.#isWriting && this.#flushing.length > 0) this.#flushMore()
    if (!this.#isWriting && this.#goOnRepairing()) return
    this.#settle()
  }

  /** The build that goes on: of the next file when one is full, unless too many wait to be written. */
  #buildWithRoom(): IndexBuild {
    const build = this.#build
    if (build === null) return this.#nextBuild(this.#files[this.#files.length - 1]?.end ?? LOG_START)
    if (!build.builder.isFull || this.#sealing.length >= UNSEALED_MAX) return build
    this.#sealing.push(build)
    return this.#nextBuild({ index: build.index, pos: build.pos, key: build.key })
  }

  /** Makes the next file, in memory; it comes to the disk with its first entries. */
  #nextBuild(start: IndexPlace): IndexBuild {
    const previous = this.#files[this.#files.length - 1]?.name ?? ''
    const name = indexFileName(this.#options.clock.nowMs(), previous)
    const file = new IndexFile(this.#options, { name, start, state: 'open' })
    file.builder = new IndexBuilder(this.#options.shape)
    this.#files.push(file)
    this.#build = new IndexBuild(file, file.builder, start, null)
    return this.#build
  }

  #load(file: IndexFile): void {
    const generation = this.#generation
    this.#isLoading = true
    const isThere = file.header.entryCount === 1 || file.isThereSync()
    const done = (builder: IndexBuilder | null): void => {
      if (generation !== this.#generation) return this.#run()
      this.#isLoading = false
      if (builder === null) {
        this.damaged(file)
      } else {
        file.builder = builder
        this.#build = new IndexBuild(file, builder, file.end, null)
      }
      this.#run()
    }
    if (isThere) loadBuilder(file, done)
    else done(null)
  }

  /** An open file is worth nothing, and so are those after it. */
  #startAgain(file: IndexFile): void {
    const from = this.#files.indexOf(file)
    for (const gone of this.#files.slice(from)) gone.remove()
    this.#files = this.#files.slice(0, from + 1)
    this.#sealing = this.#sealing.filter((build) => this.#files.indexOf(build.file) < from)
    this.#nextBuild(file.start)
    this.#files.splice(from, 1)
    this.#target = this.#appliedEnd
    this.#isRecordDue = true
    this.#isWriteDue = true
    this.#schedule()
  }

  // ------------------------------------------------------------------------------------------------ taking up

  #mayTakeUp(build: IndexBuild, end: number): boolean {
    build.skipTo(this.#walk.firstIndex)
    if (build.pos >= end || build.isDone || build.builder.unwrittenCount >= UNWRITTEN_ENTRIES_MAX) return false
    return this.#walk.isHot(build) || (!this.#isStalled && build.index <= this.#marks.durableIndex)
  }

  #takeUp(build: IndexBuild, end: number): void {
    if (this.#walk.isHot(build)) {
      this.#walk.walkHot(build, end, build)
      // A flush at the end is not put off: nobody else wants the event loop then.
      if (this.#isStopped) this.#options.clock.defer(() => this.#run())
      else this.#schedule()
      return
    }
    const generation = this.#generation
    this.#isReading = true
    this.#tellThoseFarAhead()
    this.#walk.walkCold(build, this.#marks.durableIndex, build, (error) => {
      if (generation !== this.#generation) return this.#run()
      // What was trimmed meanwhile is passed over.
      if (error !== null && build.index >= this.#walk.firstIndex) {
        this.#stall(error, 'the key index waits for a part of the log')
      }
      const goOn = (): void => {
        this.#endPause = null
        if (generation === this.#generation) this.#isReading = false
        this.#run()
      }
      if (this.#isStopped) return goOn()
      const cancel = this.#options.clock.after(COLD_PAUSE_MS, goOn)
      this.#endPause = () => {
        cancel()
        goOn()
      }
    })
  }

  #stall(error: Error, message: string): void {
    this.#isStalled = true
    if (this.#isStopped || this.#cancelRetry !== null) return
    this.#options.logger.warn({ err: error }, message)
    this.#cancelRetry = this.#options.clock.after(RETRY_MS, () => {
      this.#cancelRetry = null
      this.#isStalled = false
      this.#isWriteDue = true
      this.#run()
    })
  }

  #tellCaughtUp(build: IndexBuild): void {
    if (this.#waiters.length === 0) return
    const { pos } = build
    // Room comes as soon as the log is synced and what is here is written; everything else may take long.
    const isShortOfRoom = build.isDone || build.builder.unwrittenCount >= UNWRITTEN_ENTRIES_MAX
    const all = this.#waiters
    this.#waiters = []
    for (const waiter of all) {
      if (waiter.pos > pos && isShortOfRoom && !this.#isStalled) this.#waiters.push(waiter)
      else waiter.callback(waiter.pos <= pos)
    }
  }

  /** What takes long is not waited for. */
  #tellThoseFarAhead(): void {
    const { pos } = this.#place()
    const far = this.#waiters.filter((waiter) => waiter.pos - pos > NEAR_BYTES)
    if (far.length === 0) return
    this.#waiters = this.#waiters.filter((waiter) => waiter.pos - pos <= NEAR_BYTES)
    for (const { callback } of far) callback(false)
  }

  #tellWaiters(isCaughtUp: boolean): void {
    const all = this.#waiters
    this.#waiters = []
    for (const { callback } of all) callback(isCaughtUp)
  }

  // ------------------------------------------------------------------------------------------------ writing

  #writeWhatIsMuch(build: IndexBuild): void {
    if (this.#isWriting || this.#isStalled) return
    const { builder } = build
    if (!builder.isFull && builder.unwrittenCount < WRITE_ENTRIES) return
    const count = builder.writableBefore(this.#marks.durableEnd) - builder.written.header.entryCount
    const isSealable = builder.isFull && count === builder.unwrittenCount
    if (isSealable || count >= WRITE_ENTRIES) this.#write(build)
  }

  /** Writes what is synced of the open file; the last entries of a full one seal it. */
  #write(build: IndexBuild): void {
    const { builder, file } = build
    const durable = { index: this.#marks.durableIndex, end: this.#marks.durableEnd }
    const to = builder.writableBefore(durable.end)
    const isSealing = builder.isFull && to === builder.count
    const count = to - builder.written.header.entryCount
    const isMuch = this.#entriesSinceSlots + count >= builder.dirtyPageCount * ENTRIES_PER_SLOT_PAGE
    const writesSlots = isSealing || (builder.dirtyPageCount > 0 && (this.#isSlotsDue || isMuch))
    const end = build.placeAfter(to, durable)
    if (end.index !== file.end.index || end.key !== file.end.key) this.#isRecordDue = true
    const generation = this.#generation
    this.#isWriting = true
    const written = (error: Error | null, slotsCrc: number): void => {
      const isLive = build === this.#build || this.#sealing.includes(build)
      if (generation !== this.#generation || !isLive) return this.#wroteRecord(generation, null)
      if (error !== null) return this.#writeFailed(error)
      file.written = builder.written
      file.end = end
      this.#entriesSinceSlots = writesSlots ? 0 : this.#entriesSinceSlots + count
      if (writesSlots) this.#isSlotsDue = false
      if (isSealing) {
        file.slotsCrc = slotsCrc
        file.state = 'sealed'
        file.builder = null
        if (this.#build === build) this.#build = null
        else this.#sealing.shift()
      }
      this.#writeRecord(generation)
    }
    if (count === 0 && !writesSlots) return written(null, 0)
    this.#isRecordDue = true
    build.write(to, isSealing ? 'all' : writesSlots ? 'dirty' : 'none', written)
  }

  #writeRecord(generation: number): void {
    if (!this.#isRecordDue) return this.#wroteRecord(generation, null)
    this.#isRecordDue = false
    const removed = this.#removed
    this.#removed = []
    // What follows a file that is not whole cannot be taken up without it.
    const open = this.#files.findIndex(({ state }) => state === 'open')
    const files = open < 0 ? this.#files : this.#files.slice(0, open + 1)
    const value = encodeIndexRecord(this.#options.shape, files)
    const sync = this.#flushing.length > 0
    this.#options.metadata.write([{ key: KEY_INDEX_KEY, value }], { sync }, (error) => {
      if (error === null) for (const file of removed) file.remove()
      this.#wroteRecord(generation, error)
    })
  }

  #wroteRecord(generation: number, error: Error | null): void {
    if (generation !== this.#generation) return this.#run()
    if (error !== null) return this.#writeFailed(error)
    this.#isWriting = false
    this.#run()
  }

  #writeFailed(error: Error): void {
    this.#isWriting = false
    if (isDiskFull(error)) {
      this.#isRecordDue = true
      this.#stall(error, 'the disk has no room for the key index')
    } else {
      this.#failure = error
      this.#tellWaiters(false)
      this.#options.onFailed(error)
    }
    this.#settle()
  }

  /** A file that was sealed leaves the rest to the next one. */
  #flushMore(): void {
    const build = this.#sealing[0] ?? this.#build
    if (build === null || this.#isStalled) return
    const durable = { index: this.#marks.durableIndex, end: this.#marks.durableEnd }
    const to = build.builder.writableBefore(durable.end)
    const hasEntries = to > build.builder.written.header.entryCount
    if (hasEntries || build.placeAfter(to, durable).index > build.file.end.index) this.#write(build)
  }

  /** Nothing more can be done now. */
  #settle(): void {
    if (this.#isReading || this.#isLoading || this.#isWriting) return
    const flushing = this.#flushing
    this.#flushing = []
    for (const callback of flushing) callback(this.#failure)
    const waiting = this.#idleWaiters
    this.#idleWaiters = []
    for (const callback of waiting) callback()
    this.#arm()
  }

  /** What is not written, or was not taken up yet, waits for the timer. */
  #arm(): void {
    if (this.#cancelTimer !== null || this.#isStopped || !this.#isAttached || this.#failure !== null) return
    const hasUnwritten = this.#sealing.length > 0 || (this.#build !== null && this.#build.builder.unwrittenCount > 0)
    const isBehind = this.#place().pos < this.#appliedEnd || this.#repair !== null
    if (!hasUnwritten && !this.#isRecordDue && !isBehind) return
    this.#cancelTimer = this.#options.clock.after(this.#options.writeIntervalMs, () => {
      this.#cancelTimer = null
      this.#target = this.#appliedEnd
      this.#isWriteDue = true
      this.#run()
    })
  }

  // ------------------------------------------------------------------------------------------------ damaged files

  /** @returns whether something of it is under way. */
  #goOnRepairing(): boolean {
    if (this.#isStopped) return false
    if (this.#repair === null) {
      const file = this.#files.find(({ state }) => state === 'damaged')
      if (file === undefined) return false
      this.#repair = new IndexBuild(file, new IndexBuilder(this.#options.shape), file.start, file.end)
    }
    const repair = this.#repair
    const { durableEnd } = this.#marks
    if (this.#mayTakeUp(repair, durableEnd)) {
      this.#takeUp(repair, durableEnd)
      return true
    }
    const isMuch = repair.builder.unwrittenCount >= WRITE_ENTRIES
    if (!repair.isDone && !isMuch) return false
    const { isDone } = repair
    const generation = this.#generation
    this.#isWriting = true
    repair.write(repair.builder.count, isDone ? 'all' : 'none', (error, slotsCrc) => {
      if (generation !== this.#generation || repair !== this.#repair) return this.#wroteRecord(generation, null)
      if (error !== null) return this.#writeFailed(error)
      if (!isDone) return this.#wroteRecord(generation, null)
      const { file, builder } = repair
      this.#repair = null
      file.written = builder.written
      file.slotsCrc = slotsCrc
      file.state = 'sealed'
      this.#isRecordDue = true
      this.#options.logger.info({ file: file.path }, 'an index file is whole again')
      this.#writeRecord(generation)
    })
    return true
  }

  /** Compares sealed files with their checksums, one after the other, newest first. */
  #checkNext(): void {
    const file = this.#unchecked.pop()
    this.#isChecking = file !== undefined
    if (file === undefined) return
    const generation = this.#generation
    const isOver = (): boolean => this.#isStopped || generation !== this.#generation
    const { clock } = this.#options
    checkSealed(file, { clock, bytesPerSecond: CHECK_BYTES_PER_SECOND, isOver }, (isWhole) => {
      if (!isWhole) this.damaged(file)
      this.#checkNext()
    })
  }

  // ------------------------------------------------------------------------------------------------ files

  #isBelow(file: IndexFile): boolean {
    return file.state !== 'open' && file.end.pos <= this.#firstOffset - ENTRY_HEADER_BYTES
  }

  /** Files that nothing is kept of: left by a crash, by another program, or of another shape. */
  #removeUnknown(): void {
    const { disk, directory } = this.#options
    const known = new Set(this.#files.map(({ name }) => name))
    for (const name of disk.listSync(directory)) {
      if (isIndexFileName(name) && !known.has(name)) disk.removeSync(join(directory, name))
    }
  }
}
