/**
 * The key index: which messages of a topic have a key, or a unique id. It follows the log by itself, behind what is applied.
 *
 *   applied records ──► newest file: slots and unwritten entries in memory ──► file, synced ──► what is kept of it
 *
 * Apply does nothing for it. Records are taken up in runs, mostly while they are still in memory; a query waits until what was
 * applied when it came is taken up, so visible still means applied. Here is who takes the next step; the steps are in
 * take-up.ts, write-behind.ts and mending.ts, what they work on in index-files.ts, those who wait in catch-ups.ts.
 *
 * Keeps:
 *   X1  Nothing is written of messages that are not synced in the log of this member (write-behind.ts).
 *   X2  Every key of the log from the first file's start on is in exactly one file, at one place: where the index goes on is kept
 *       together with the checksums of what is written up to there. What a crash left behind that is written again, with the same
 *       bytes (index-files.ts, write-behind.ts).
 *   X3  A file that is missing or is not what was written is built again from the log; the others serve meanwhile (mending.ts).
 *   X4  Memory: one builder (builder.ts), one more for each full file that waits to be written, and while a damaged one is built
 *       again (index-files.ts, take-up.ts).
 *
 * Source of the layout: org.apache.rocketmq.store.index.IndexService.
 */
import { assert, type Clock, type Logger } from '@dledger-ts/base'
import type { Disk } from '@dledger-ts/dledger'
import type { StoreMachine } from '../apply.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { AppliedEntries } from '../rebuild/log-scan.ts'
import { type CatchUpCallback, CatchUps } from './catch-ups.ts'
import type { IndexFile } from './index-file.ts'
import { IndexFiles } from './index-files.ts'
import type { IndexShape } from './layout.ts'
import { LogMarks } from './log-marks.ts'
import { LogWalk } from './log-walk.ts'
import { Mending } from './mending.ts'
import { Stall } from './stall.ts'
import { TakeUp } from './take-up.ts'
import { WriteBehind } from './write-behind.ts'

/** Applied bytes of the log that are taken up without waiting for the timer. */
const RUN_BYTES = 256 * 1024

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

type Callback = (error: Error | null) => void

export class KeyIndex {
  readonly #options: KeyIndexOptions
  readonly #marks = new LogMarks()
  readonly #files: IndexFiles
  readonly #stall: Stall
  readonly #takeUp: TakeUp
  readonly #writer: WriteBehind
  readonly #mending: Mending
  readonly #catchUps: CatchUps
  /** Taken up by itself up to here; beyond it waits for more, or for the timer. */
  #target = 0
  #isAttached = false
  #isStopped = false
  #isScheduled = false
  #cancelTimer: (() => void) | null = null
  #flushing: Callback[] = []
  #idleWaiters: (() => void)[] = []
  #failure: Error | null = null

  constructor(options: KeyIndexOptions) {
    this.#options = options
    const { machine, log, logFileBytes, metadata, shape, clock, logger } = options
    const run = (): void => this.#run()
    const retry = (): void => {
      this.#writer.due()
      this.#run()
    }
    const marks = this.#marks
    const files = new IndexFiles(options)
    const stall = new Stall({ clock, logger, retry })
    const takeUp = new TakeUp({
      walk: new LogWalk({ hot: machine.hot, log, logFileBytes }),
      marks,
      stall,
      clock,
      reading: () => this.#catchUps.tellThoseFarAhead(files.place.pos),
      run,
      schedule: () => this.#schedule(),
    })
    const writer = new WriteBehind({
      files,
      marks,
      stall,
      metadata,
      isFlushing: () => this.#flushing.length > 0,
      run,
      failed: (failure) => this.#writeFailed(failure),
    })
    const damaged = (file: IndexFile): void => this.damaged(file)
    this.#files = files
    this.#stall = stall
    this.#takeUp = takeUp
    this.#writer = writer
    this.#mending = new Mending({ files, marks, takeUp, writer, shape, clock, logger, damaged })
    this.#catchUps = new CatchUps(clock)
  }

  // ------------------------------------------------------------------------------------------------ what is there

  get progress(): KeyIndexProgress {
    const { all, place } = this.#files
    return {
      indexedPhysicalOffset: place.pos,
      appliedPhysicalOffset: this.#appliedEnd,
      files: all.length,
      damagedFiles: all.filter(({ state }) => state === 'damaged').length,
      uncheckedFiles: this.#mending.uncheckedCount,
    }
  }

  /** Newest first. */
  newestFirst(): IndexFile[] {
    return this.#files.all.toReversed()
  }

  /** No record below it is in the log. */
  get firstOffset(): number {
    return this.#files.firstOffset
  }

  /** What is kept, at start. @throws StoreError UNSUPPORTED for a newer format. */
  restore(value: Buffer): void {
    this.#files.restore(value)
  }

  /** The state was taken up: everything before its end is synced. */
  loaded(): void {
    const { index, physicalEnd } = this.#options.machine.applied
    this.#marks.reset(index, physicalEnd)
  }

  /** What is kept is void: it is built again from the log, from its first entry on. */
  discard(): void {
    this.#mending.discard()
    this.#takeUp.discard()
    this.#writer.discard()
    this.#stall.discard()
    this.#target = 0
    this.#marks.reset(-1, 0)
    this.#files.discard()
    this.#catchUps.giveUp()
    this.#schedule()
  }

  /** The log can be read from here on. */
  attach(): void {
    assert(!this.#isAttached, 'an index follows one log')
    this.#isAttached = true
    this.#files.removeUnknown()
    this.#target = this.#appliedEnd
    this.#schedule()
    this.#mending.start()
  }

  // ------------------------------------------------------------------------------------------------ what happens

  /** A batch was applied. Hot. */
  applied(): void {
    const { index, physicalEnd } = this.#options.machine.applied
    this.#marks.applied(index, physicalEnd)
    if (physicalEnd - this.#files.place.pos >= RUN_BYTES) {
      this.#target = physicalEnd
      this.#schedule()
    }
    this.#arm()
  }

  durable(index: number): void {
    this.#marks.durable(index)
    if (this.#writer.hasMuch || this.#catchUps.count > 0) this.#schedule()
  }

  /** Messages below `physicalOffset` have left the log: files that hold only such ones go. */
  removeBefore(physicalOffset: number): void {
    if (!this.#files.removeBefore(physicalOffset)) return
    this.#mending.removed()
    this.#writer.due()
    this.#schedule()
  }

  /** The file is not what was written. */
  damaged(file: IndexFile): void {
    if (file.state === 'damaged' || !this.#files.all.includes(file)) return
    this.#options.logger.warn({ file: file.path }, 'an index file is damaged: it is built again from the log')
    if (file.state === 'open') {
      this.#files.startAgain(file)
      this.#target = this.#appliedEnd
      this.#writer.due()
    } else {
      file.state = 'damaged'
    }
    this.#schedule()
  }

  /**
   * Calls back once everything that is applied now is taken up; with false when that would take long: much of it must be read
   * from the log's files first.
   */
  catchUp(callback: CatchUpCallback): void {
    const pos = this.#appliedEnd
    const { place, isLoading, isOpenLoaded } = this.#files
    if (place.pos >= pos && !isLoading && isOpenLoaded) return callback(true)
    if (!this.#isAttached || this.#isStopped || this.#failure !== null) return callback(false)
    this.#catchUps.wait(pos, callback)
    this.#target = Math.max(this.#target, pos)
    this.#schedule()
  }

  /** Takes up and writes everything that may be written and can be read, with slots; for a clean stop. */
  flush(callback: Callback): void {
    if (!this.#isAttached || this.#failure !== null) return callback(this.#failure)
    this.#flushing.push(callback)
    this.#target = this.#appliedEnd
    this.#writer.allDue()
    this.#run()
  }

  /** Calls back when nothing is under way; its files may be closed then. */
  whenIdle(callback: () => void): void {
    if (this.#isBusy) this.#idleWaiters.push(() => this.#files.whenRemoved(callback))
    else this.#files.whenRemoved(callback)
  }

  /** Nothing begins by itself after this. */
  stop(): void {
    this.#isStopped = true
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#stall.stop()
    this.#files.stop()
    this.#mending.stop()
    this.#catchUps.giveUp()
    this.#takeUp.stop()
  }

  checkInvariants(): void {
    this.#files.checkInvariants()
  }

  // ------------------------------------------------------------------------------------------------ one step after the other

  get #appliedEnd(): number {
    return this.#options.machine.applied.physicalEnd
  }

  get #isBusy(): boolean {
    return this.#takeUp.isReading || this.#files.isLoading || this.#writer.isWriting
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
    const files = this.#files
    const writer = this.#writer
    if (this.#takeUp.isReading || files.isLoading) return
    if (!files.isOpenLoaded) return this.#load()
    const build = files.buildWithRoom()
    writer.writeWhatIsMuch(files.firstFull ?? build)
    if (this.#takeUp.mayTakeUp(build, this.#target)) return this.#takeUp.takeUp(build, this.#target)
    // Room comes soon; everything else may take long.
    const isRoomComing = !this.#takeUp.hasRoom(build) && !this.#stall.isStalled
    this.#catchUps.tell(build.pos, isRoomComing)
    writer.writeWhatIsDue(files.firstFull ?? build)
    if (this.#flushing.length > 0) writer.flushMore()
    if (!writer.isWriting && this.#mending.goOn()) return
    this.#settle()
  }

  #load(): void {
    this.#files.loadOpen((damaged) => {
      if (damaged !== null) this.damaged(damaged)
      this.#run()
    })
  }

  #writeFailed(failure: Error | null): void {
    if (failure !== null) {
      this.#failure = failure
      this.#catchUps.giveUp()
      this.#options.onFailed(failure)
    }
    this.#settle()
  }

  /** Nothing more can be done now. */
  #settle(): void {
    if (this.#isBusy) return
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
    const { hasUnwritten, isRecordDue, place } = this.#files
    const isBehind = place.pos < this.#appliedEnd || this.#mending.isMending
    if (!hasUnwritten && !isRecordDue && !isBehind) return
    this.#cancelTimer = this.#options.clock.after(this.#options.writeIntervalMs, () => {
      this.#cancelTimer = null
      this.#target = this.#appliedEnd
      this.#writer.due()
      this.#run()
    })
  }
}
