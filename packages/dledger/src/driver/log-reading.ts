/**
 * Reads of this member's log: from memory where the entries are hot, else from the files.
 *
 * Keeps:
 *   - what is hot is never read from the files, where it may not be yet, and where entries that it replaces may still stand.
 *   - files are open while a read of them is under way (`isIdle`), and are not read while they are being replaced.
 *   - damage that a read finds is examined before anybody is told: what is good is served, what is not is known as lost.
 *   - once a close waits for the disk to be quiet no read is begun for who asks from outside: one who reads on and on, piece by piece,
 *     would hold that up for as long as the log is.
 */
import type { Clock } from '@dledger-ts/base'
import { DLedgerError } from '../errors.ts'
import type { EntryBatch } from '../log/entry-batch.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import { type EntryFound, findEntryAt } from './entry-search.ts'
import type { HotTail } from './hot-tail.ts'
import { closed, type Life } from './life.ts'

export type ReadCallback = (error: Error | null, batch: EntryBatch | null) => void

/**
 * Reads entries of one term, at least one; null when they are lost or trimmed. Another error ends the member. Never called back
 * after the member stopped.
 */
export type ReadEntries = (
  firstIndex: number,
  lastIndex: number,
  bytesMax: number,
  callback: (batch: EntryBatch | null) => void,
) => void

/** As `ReadEntries`, of entries that are not hot. */
export type ReadCold = ReadEntries

export interface LogReadingOptions {
  readonly clock: Clock
  readonly life: Life
  readonly hot: HotTail
  /** The log in force: another one after a switch. */
  readonly log: () => SegmentedLog
  /** The files are being replaced: reads wait. */
  readonly isSwitching: () => boolean
  readonly onFailed: (error: Error) => void
}

export class LogReading {
  readonly #options: LogReadingOptions
  #underWay = 0
  #takesMore = true

  constructor(options: LogReadingOptions) {
    this.#options = options
  }

  /** False once a close waits for the disk to be quiet. */
  get takesMore(): boolean {
    return this.#takesMore
  }

  /** From now on who asks for entries or bytes is told that the log is closed; what is under way ends. */
  takeNoMore(): void {
    this.#takesMore = false
  }

  /** No read of the files is under way. */
  get isIdle(): boolean {
    return this.#underWay === 0
  }

  /** Reads committed entries [firstIndex, lastIndex] of one term, at least one, until `bytesMax`. */
  read(firstIndex: number, lastIndex: number, bytesMax: number, callback: ReadCallback): void {
    const { clock, hot, isSwitching } = this.#options
    if (this.#isClosed) {
      clock.defer(() => callback(closed(), null))
      return
    }
    if (isSwitching()) {
      clock.after(1, () => this.read(firstIndex, lastIndex, bytesMax, callback))
      return
    }
    const found = hot.find(firstIndex)
    if (found !== undefined) {
      clock.defer(() => callback(null, found))
      return
    }
    this.#readFiles(firstIndex, Math.min(lastIndex, hot.firstIndex - 1), bytesMax, callback)
  }

  /** Finds the entry of those up to `lastIndex` that starts at `pos`, checked; null when none does. */
  findAt(pos: number, lastIndex: number, callback: (error: Error | null, found: EntryFound | null) => void): void {
    const { log } = this.#options
    const parts = {
      read: (first: number, last: number, bytesMax: number, told: ReadCallback): void =>
        this.read(first, last, bytesMax, told),
      lostRanges: () => log().lostRanges(),
    }
    findEntryAt(parts, pos, { firstIndex: log().firstIndex, lastIndex }, callback)
  }

  /** Reads raw log bytes at a position, into `target` or a new buffer. */
  readBytes(
    pos: number,
    size: number,
    callback: (error: Error | null, bytes: Buffer | null) => void,
    target: Buffer = Buffer.allocUnsafe(size),
  ): void {
    const { clock, log, isSwitching } = this.#options
    if (this.#isClosed) {
      clock.defer(() => callback(closed(), null))
      return
    }
    if (isSwitching()) {
      clock.after(1, () => this.readBytes(pos, size, callback, target))
      return
    }
    log().readBytes(pos, size, target, (error: Error | null) => {
      this.#underWay--
      callback(error, error === null ? target : null)
    })
    this.#underWay++
  }

  /** As the type of this name says. */
  readCold(
    firstIndex: number,
    lastIndex: number,
    bytesMax: number,
    callback: (batch: EntryBatch | null) => void,
  ): void {
    const { life, log, onFailed } = this.#options
    this.#readFiles(firstIndex, lastIndex, bytesMax, (error, batch) => {
      if (!life.isRunning) return
      // Trimmed while it was read: as if it could not be.
      const isLost = isCorrupt(error) && log().firstLostFrom(firstIndex) === firstIndex
      if (error !== null && !isLost && !isTrimmed(error)) return onFailed(error)
      life.whileRunning(() => callback(batch))
    })
  }

  get #isClosed(): boolean {
    const { life, isSwitching } = this.#options
    const failedWithoutFiles = life.state === 'failed' && isSwitching()
    return !this.#takesMore || life.state === 'finishing' || life.state === 'closed' || failedWithoutFiles
  }

  #readFiles(firstIndex: number, wantedTo: number, bytesMax: number, callback: ReadCallback, isSecond = false): void {
    const { clock, life } = this.#options
    const log = this.#options.log()
    // The log may have been cut since they were asked for: a disk that hung read them late, and wrongly.
    const lastIndex = Math.min(wantedTo, log.lastIndex)
    if (firstIndex < log.firstIndex || lastIndex < firstIndex) {
      clock.defer(() => callback(log.trimmed(`entry ${firstIndex}`), null))
      return
    }
    log.read(firstIndex, lastIndex, bytesMax, (error, batch) => {
      this.#underWay--
      if (!isCorrupt(error) || !life.isRunning || log.firstLostFrom(firstIndex) === firstIndex)
        return callback(error, batch)
      // Found out what is wrong, what is good is read: up to the damage, or with an index that was put right.
      life.guarded(() => {
        const wasWrong = log.examine(firstIndex, lastIndex)
        // What was wrong when it was read may have been put right since, for another read: once more then, and no further.
        if (wasWrong || !isSecond) this.#readFiles(firstIndex, lastIndex, bytesMax, callback, !wasWrong)
        else callback(error, null)
      })
    })
    this.#underWay++
  }
}

function isTrimmed(error: Error): boolean {
  return error instanceof DLedgerError && error.code === 'TRIMMED'
}

function isCorrupt(error: Error | null): boolean {
  return error instanceof DLedgerError && error.detail.code === 'CORRUPT'
}
