/**
 * Walking over the log's entries in order: those in memory where they are, the others by reads of a piece at a time.
 *
 * Keeps: every entry from the start on is visited once, in log order, and none that is not asked for.
 */
import { recordTotalSize } from '@dledger-ts/protocol'
import type { HotRecords } from '../hot-records.ts'
import { ENTRY_HEADER_BYTES, physicalOffsetOf } from '../log-place.ts'
import type { AppliedEntries } from '../rebuild/log-scan.ts'

/** One read of the log, unless a single record is larger. */
const PIECE_BYTES = 512 * 1024
/** Bytes of records in memory that are visited in one go. */
const SLICE_BYTES_MAX = 512 * 1024

/** An entry of the log that is to be visited next. */
export interface LogCursor {
  index: number
  /** Where it starts; where the one before it ends, when it is in the next file. */
  pos: number
}

export interface RecordVisitor {
  /** A record starts at `at` of `bytes`. @returns whether it is done with; if not, the walk ends before it. */
  visit(bytes: Buffer, at: number, physicalOffset: number): boolean
}

export interface LogWalkOptions {
  readonly hot: HotRecords
  readonly log: AppliedEntries
  /** Size of a log file. */
  readonly logFileBytes: number
}

export class LogWalk {
  readonly #hot: HotRecords
  readonly #log: AppliedEntries
  readonly #fileBytes: number

  constructor(options: LogWalkOptions) {
    this.#hot = options.hot
    this.#log = options.log
    this.#fileBytes = options.logFileBytes
  }

  /** Entries before it are not in the log any more. */
  get firstIndex(): number {
    return this.#log.firstIndex
  }

  /** Whether the record of the entry is in memory. */
  isHot(cursor: LogCursor): boolean {
    return this.#hotPos(cursor.pos) >= 0
  }

  /** Visits records in memory, at least one of those that start before `endPos`, and moves the cursor. Hot. */
  walkHot(cursor: LogCursor, endPos: number, visitor: RecordVisitor): void {
    const pos = this.#hotPos(cursor.pos)
    const run = pos < 0 ? undefined : this.#hot.runAt(physicalOffsetOf(pos))
    if (run === undefined) return
    cursor.pos = pos
    let at = 0
    while (at < run.length && cursor.pos < endPos && at < SLICE_BYTES_MAX) {
      if (!visitor.visit(run, at, physicalOffsetOf(cursor.pos))) return
      const entryBytes = ENTRY_HEADER_BYTES + recordTotalSize(run, at)
      at += entryBytes
      cursor.pos += entryBytes
      cursor.index++
    }
  }

  /** As `walkHot`, from the log: entries up to `lastIndex`, all of them synced. Never calls back from within the call. */
  walkCold(
    cursor: LogCursor,
    lastIndex: number,
    visitor: RecordVisitor,
    callback: (error: Error | null) => void,
  ): void {
    this.#log.readApplied(cursor.index, lastIndex, PIECE_BYTES, (error, entries) => {
      if (error !== null || entries === null) return callback(error)
      for (const entry of entries) {
        cursor.pos = entry.pos
        if (!visitor.visit(entry.body, 0, physicalOffsetOf(entry.pos))) break
        cursor.pos += ENTRY_HEADER_BYTES + entry.body.length
        cursor.index = entry.index + 1
      }
      callback(null)
    })
  }

  /** Where the entry at `pos` starts, if its record is in memory; else -1. */
  #hotPos(pos: number): number {
    if (this.#hot.has(physicalOffsetOf(pos))) return pos
    // The rest of a file is a blank, but only if nothing between was dropped from memory.
    const next = pos - (pos % this.#fileBytes) + this.#fileBytes
    if (this.#hot.start >= physicalOffsetOf(next)) return -1
    return this.#hot.has(physicalOffsetOf(next)) ? next : -1
  }
}
