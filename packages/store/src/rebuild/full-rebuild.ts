/**
 * How far a start is that applies the log again: from its first entry where nothing was kept, or from an old checkpoint. A group of one
 * takes nothing before, and whoever opens it wants to know for how long.
 *
 * Keeps: measures and tells, and changes nothing; while nothing is built again it costs one comparison for each applied batch. It
 * ends when the entries are applied that the log had at the start, or what is left of them after a truncation.
 */
import type { Clock, Logger } from '@dledger-ts/base'
import type { AppliedMark, StoreMachine } from '../apply.ts'

/** A start that has kept something and applies less than this again is not worth a word. */
export const MUCH_LOG_BYTES = 64 * 1024 * 1024
const TELL_MS = 1_000
const PROGRESS_LOG_MS = 5_000

export interface RebuildProgress {
  readonly doneEntries: number
  readonly totalEntries: number
  readonly doneBytes: number
  readonly totalBytes: number
  /** Since the first entries were applied; 0 before there are others. */
  readonly bytesPerSecond: number
}

export interface FullRebuildOptions {
  readonly machine: StoreMachine
  readonly clock: Clock
  readonly logger: Logger
  /** What the files hold by the newest checkpoint. */
  readonly kept: () => AppliedMark
  /** Of the log as it is now; infinite while that cannot be told. */
  readonly lastIndex: () => number
  /** Told at the start, then at most once a second, and at the end. Null for nobody. */
  readonly onProgress: ((progress: RebuildProgress) => void) | null
}

/** What is applied, from where to where, and when that began. */
interface Course {
  readonly fromIndex: number
  readonly fromPos: number
  readonly toIndex: number
  readonly toPos: number
  readonly beganMs: number
  toldMs: number
  loggedMs: number
  /** Once the first entries are applied: how long a member waits for a leader says nothing about its rate. */
  first: { readonly ms: number; readonly doneBytes: number } | null
}

export class FullRebuild {
  readonly #options: FullRebuildOptions
  #course: Course | null = null

  constructor(options: FullRebuildOptions) {
    this.#options = options
  }

  /** Null when nothing is built again. */
  get progress(): RebuildProgress | null {
    return this.#course === null ? null : this.#progressOf(this.#course)
  }

  /** Whether entries that the log had at the start are still to be applied. */
  get isUnderWay(): boolean {
    const course = this.#course
    if (course === null) return false
    return this.#options.machine.appliedIndex < Math.min(course.toIndex, this.#options.lastIndex())
  }

  /** The log that is about to be applied ends there. */
  logEnds(lastIndex: number, endPos: number): void {
    const { machine, clock, logger, kept, onProgress } = this.#options
    this.#course = null
    const { index, physicalEnd } = machine.applied
    const fromPos = Math.max(physicalEnd, machine.logStartPos)
    // What the log has forgotten comes from another member, with the state.
    if (index >= lastIndex || index < machine.logFirstIndex - 1) return
    if (kept().index >= 0 && endPos - fromPos < MUCH_LOG_BYTES) return
    const nowMs = clock.monotonicMs()
    this.#course = {
      fromIndex: index,
      fromPos,
      toIndex: lastIndex,
      toPos: endPos,
      beganMs: nowMs,
      toldMs: nowMs,
      loggedMs: nowMs,
      first: null,
    }
    const facts = { fromIndex: index + 1, toIndex: lastIndex, totalBytes: endPos - fromPos }
    logger.info(facts, 'the log is applied again')
    onProgress?.(this.#progressOf(this.#course))
  }

  /** A batch was applied. */
  applied(): void {
    const course = this.#course
    if (course === null) return
    const { clock, logger, onProgress } = this.#options
    const progress = this.#progressOf(course)
    const nowMs = clock.monotonicMs()
    course.first ??= { ms: nowMs, doneBytes: progress.doneBytes }
    if (progress.doneEntries === progress.totalEntries) {
      this.#course = null
      logger.info({ ...progress, tookMs: Math.round(nowMs - course.beganMs) }, 'the log was applied again')
      onProgress?.(progress)
      return
    }
    if (nowMs - course.loggedMs >= PROGRESS_LOG_MS) {
      course.loggedMs = nowMs
      logger.info({ ...progress }, 'the log is being applied again')
    }
    if (nowMs - course.toldMs < TELL_MS) return
    course.toldMs = nowMs
    onProgress?.(progress)
  }

  /** The state comes from another member instead. */
  abandon(): void {
    if (this.#course === null) return
    this.#course = null
    this.#options.logger.info({}, 'the log is not applied again: the state comes from another member')
  }

  #progressOf({ fromIndex, fromPos, toIndex, toPos, first }: Course): RebuildProgress {
    const { machine, clock, lastIndex } = this.#options
    const { index, physicalEnd } = machine.applied
    const end = Math.max(fromIndex, Math.min(toIndex, lastIndex()))
    const isDone = index >= end
    const doneBytes = Math.max(0, Math.min(physicalEnd, toPos) - fromPos)
    const seconds = first === null ? 0 : (clock.monotonicMs() - first.ms) / 1000
    return {
      doneEntries: Math.min(index, end) - fromIndex,
      totalEntries: end - fromIndex,
      doneBytes,
      totalBytes: isDone ? doneBytes : toPos - fromPos,
      bytesPerSecond: first === null || seconds <= 0 ? 0 : Math.round((doneBytes - first.doneBytes) / seconds),
    }
  }
}
