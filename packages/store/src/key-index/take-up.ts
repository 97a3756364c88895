/**
 * Taking the log's messages up into a build, a run at a time: those in memory where they are, older ones by reads of the log's files.
 *
 * Keeps:
 *   - one read of the log at a time, and after each a pause, so that a long build leaves room for others.
 *   - from files only what is synced is read.
 *   - unwritten entries: UNWRITTEN_ENTRIES_MAX and what one run brings.
 */
import type { Clock } from '@dledger-ts/base'
import type { IndexBuild } from './build.ts'
import type { LogMarks } from './log-marks.ts'
import type { LogWalk } from './log-walk.ts'
import type { Stall } from './stall.ts'

/** Unwritten entries at which no more are taken up until the log is synced and they are written. */
const UNWRITTEN_ENTRIES_MAX = 1024 * 1024
/** Between two reads of the log's files. */
const COLD_PAUSE_MS = 1

export interface TakeUpOptions {
  readonly walk: LogWalk
  readonly marks: LogMarks
  readonly stall: Stall
  readonly clock: Clock
  /** The log's files are about to be read. */
  readonly reading: () => void
  /** Goes on: now, or in another pass of the event loop. */
  readonly run: () => void
  readonly schedule: () => void
}

export class TakeUp {
  readonly #options: TakeUpOptions
  #isReading = false
  #isStopped = false
  /** Ends the pause between two reads of the log. */
  #endPause: (() => void) | null = null
  /** Grows when everything is thrown away: what is under way then counts for nothing. */
  #generation = 0

  constructor(options: TakeUpOptions) {
    this.#options = options
  }

  get isReading(): boolean {
    return this.#isReading
  }

  /** Room comes as soon as the log is synced and what is here is written. */
  hasRoom(build: IndexBuild): boolean {
    return !build.isDone && build.builder.unwrittenCount < UNWRITTEN_ENTRIES_MAX
  }

  /** Whether messages before `end` can be taken up now. */
  mayTakeUp(build: IndexBuild, end: number): boolean {
    const { walk, marks, stall } = this.#options
    build.skipTo(walk.firstIndex)
    if (build.pos >= end || !this.hasRoom(build)) return false
    return walk.isHot(build) || (!stall.isStalled && build.index <= marks.durableIndex)
  }

  takeUp(build: IndexBuild, end: number): void {
    const { walk, clock, run, schedule } = this.#options
    if (!walk.isHot(build)) return this.#read(build)
    walk.walkHot(build, end, build)
    // A flush at the end is not put off: nobody else wants the event loop then.
    if (this.#isStopped) clock.defer(run)
    else schedule()
  }

  discard(): void {
    this.#generation++
    this.#isReading = false
  }

  /** No pause after this. */
  stop(): void {
    this.#isStopped = true
    this.#endPause?.()
  }

  #read(build: IndexBuild): void {
    const { walk, marks, stall, clock, run, reading } = this.#options
    const generation = this.#generation
    this.#isReading = true
    reading()
    walk.walkCold(build, marks.durableIndex, build, (error) => {
      if (generation !== this.#generation) return run()
      // What was trimmed meanwhile is passed over.
      if (error !== null && build.index >= walk.firstIndex) {
        stall.begin(error, 'the key index waits for a part of the log')
      }
      const goOn = (): void => {
        this.#endPause = null
        if (generation === this.#generation) this.#isReading = false
        run()
      }
      if (this.#isStopped) return goOn()
      const cancel = clock.after(COLD_PAUSE_MS, goOn)
      this.#endPause = () => {
        cancel()
        goOn()
      }
    })
  }
}
