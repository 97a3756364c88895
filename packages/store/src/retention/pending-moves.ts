/**
 * Lets log files go that little of is still needed: what is pending there is put again at the log's end. Runs on a leader that takes
 * writes, and only there.
 *
 *   a trim is applied ──► the oldest file with something pending in it is to go ──► little enough? ──► its records are put again
 *                                                                             └──► else it stays until more of it has ended
 *
 * Keeps:
 *   - nothing is moved that no trim asks for, and nothing of a file of which more than a small share is pending: writing that again,
 *     time after time, would cost more than keeping it.
 *   - one file at a time, at a bounded rate.
 *   - no timer while no file that is to go is held.
 */
import { background, type Clock, type Logger } from '@dledger-ts/base'
import type { StoreMachine } from '../apply.ts'
import type { EntryFinder, NeedsRecords } from './needed-entries.ts'
import { type LogRange, type MoveSession, type PendingRecords, SOON_MS } from './row-moves.ts'

/** Of a file more than this is not moved. */
const MOVED_SHARE_MAX = 1 / 16
const MOVED_BYTES_PER_SECOND = 4 * 1024 * 1024
/** When a file that is held is looked at again: what waited for its time may have ended. */
const HELD_MS = 60_000
/** When it is tried again after a refusal. */
const RETRY_MS = 5_000

export interface PendingMovesOptions {
  readonly machine: StoreMachine
  readonly log: EntryFinder
  readonly needs: readonly NeedsRecords[]
  readonly pending: readonly PendingRecords[]
  /** Size of a log file. */
  readonly fileBytes: number
  readonly clock: Clock
  readonly logger: Logger
  /** Nothing is pending any more in a file that is to go. */
  readonly cleared: () => void
}

export class PendingMoves {
  readonly #options: PendingMovesOptions
  #epoch = -1
  #session: Session | null = null
  /** Something may have come to be moved since the session under way looked. */
  #isWanted = false
  #cancelTimer: (() => void) | null = null
  /** The file that was last said to be held. */
  #heldFrom = -1

  constructor(options: PendingMovesOptions) {
    this.#options = options
  }

  /** After every change of role. */
  roleChanged(): void {
    const { machine } = this.#options
    if (!machine.role.ready) return this.stop()
    if (this.#epoch === machine.epoch) return
    this.stop()
    this.#epoch = machine.epoch
    this.wake()
  }

  /** A trim was applied. */
  wake(): void {
    if (this.#epoch === -1) return
    this.#isWanted = true
    if (this.#session !== null) return
    this.#cancelTimer?.()
    this.#cancelTimer = null
    const { clock, logger } = this.#options
    const session = new Session(clock, () => this.#session === session)
    this.#session = session
    // The log has taken note of the trim by then.
    clock.defer(() => background(this.#run(session), 'moving what is pending', logger))
  }

  stop(): void {
    this.#epoch = -1
    this.#session?.end()
    this.#session = null
    this.#isWanted = false
    this.#cancelTimer?.()
    this.#cancelTimer = null
  }

  async #run(session: Session): Promise<void> {
    let waitMs = 0
    while (session.isCurrent && this.#isWanted) {
      this.#isWanted = false
      try {
        waitMs = await this.#clearFiles(session)
      } catch (error) {
        if (session.isCurrent)
          this.#options.logger.warn({ err: error }, 'what is pending in an old log file was not moved')
        waitMs = RETRY_MS
      }
    }
    if (!session.isCurrent) return
    this.#session = null
    if (waitMs === 0) return
    this.#cancelTimer = this.#options.clock.after(waitMs, () => {
      this.#cancelTimer = null
      this.wake()
    })
  }

  /** @returns after how long to look again; 0 when nothing that is to go is held. */
  async #clearFiles(session: Session): Promise<number> {
    const { cleared } = this.#options
    for (;;) {
      const range = await this.#oldest()
      if (range === null || !session.isCurrent) return 0
      if (!(await this.#isLittle(range, session))) return HELD_MS
      for (const records of this.#options.pending) if (session.isCurrent) await records.move(range, session)
      if (!session.isCurrent) return 0
      const next = await this.#oldest()
      if (next !== null && next.start <= range.start) return SOON_MS
      cleared()
    }
  }

  /** The oldest file that is to go and has something pending in it; null when there is none. */
  async #oldest(): Promise<LogRange | null> {
    const { needs, log, fileBytes } = this.#options
    if (log.forgetBefore === 0) return null
    const places = await Promise.all(needs.map(oldestNeeded))
    const oldest = Math.min(...places)
    if (oldest === Number.POSITIVE_INFINITY) return null
    const start = oldest - (oldest % fileBytes)
    const next = log.firstIndexInFileOf(start + fileBytes)
    return next === null || next > log.forgetBefore ? null : { start, end: start + fileBytes }
  }

  async #isLittle(range: LogRange, session: Session): Promise<boolean> {
    const { fileBytes, pending, logger } = this.#options
    const bytesMax = fileBytes * MOVED_SHARE_MAX
    let bytes = 0
    for (const records of pending) {
      if (bytes <= bytesMax) bytes += await records.bytesIn(range, bytesMax - bytes, session)
    }
    const isLittle = bytes <= bytesMax
    if (!session.isCurrent) return isLittle
    if (isLittle) {
      this.#heldFrom = -1
      logger.info({ file: range.start, bytes }, 'what is pending in a log file that is to go is put again')
    } else if (this.#heldFrom !== range.start) {
      this.#heldFrom = range.start
      const what =
        'a log file that is to go is kept, for too much of it is still pending: timers, delayed or half messages'
      logger.warn({ file: range.start, moreThanBytes: bytesMax }, what)
    }
    return isLittle
  }
}

class Session implements MoveSession {
  readonly #clock: Clock
  readonly #isCurrent: () => boolean
  #cancelTimer: (() => void) | null = null
  #resume: (() => void) | null = null

  constructor(clock: Clock, isCurrent: () => boolean) {
    this.#clock = clock
    this.#isCurrent = isCurrent
  }

  get isCurrent(): boolean {
    return this.#isCurrent()
  }

  pause(bytes: number): Promise<void> {
    return new Promise((resolve) => {
      this.#resume = resolve
      this.#cancelTimer = this.#clock.after(Math.ceil((bytes * 1_000) / MOVED_BYTES_PER_SECOND), resolve)
    })
  }

  /** It is current no more: who waits goes on, and finds that. */
  end(): void {
    this.#cancelTimer?.()
    this.#resume?.()
  }
}

function oldestNeeded(need: NeedsRecords): Promise<number> {
  return new Promise((resolve, reject) => {
    need.oldestNeeded((error, physicalOffset) => (error === null ? resolve(physicalOffset) : reject(error)))
  })
}
