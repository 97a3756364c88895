/**
 * Reads a range of applied entries from the log, in order and in pieces, for whatever is built from them again.
 *
 *   log ──a piece──► consumers, all of them ──done──► the next piece
 *
 * Keeps:
 *   L1  Consumers get each entry of the range once, in order, checked by the log; or the scan ends with an error that names the
 *       place.
 *   L2  One piece is in memory at a time, and no pass of the event loop handles more than one.
 *
 * Callbacks instead of promises, so that a simulation owns every step.
 */
import { assert, readInt64 } from '@dledger-ts/base'
import { type CommittedEntry, DLedgerError } from '@dledger-ts/dledger'
import { StoreError } from '../errors.ts'
import { ENTRY_HEADER_BYTES, physicalOffsetOf } from '../log-place.ts'

/** Bytes of entries read at once, and so handled in one pass. */
const PIECE_BYTES = 512 * 1024
/** Where the index stands in an entry's header. Source: dledger's log/entry-codec.ts. */
const HEADER_INDEX_AT = 8
const HEADER_POS_AT = 24

/** What a scan needs of a log. */
export interface AppliedEntries {
  readonly firstIndex: number
  /** Entries of [firstIndex, lastIndex], of one term, at least one. Never calls back from within the call. */
  readApplied(
    firstIndex: number,
    lastIndex: number,
    bytesMax: number,
    callback: (error: Error | null, entries: readonly CommittedEntry[] | null) => void,
  ): void
  readBytes(pos: number, size: number, callback: (error: Error | null, bytes: Buffer | null) => void): void
}

/** Applied entries [fromIndex, toIndex]. */
export interface ScanRange {
  readonly fromIndex: number
  readonly toIndex: number
  /** One after the last byte of the record of entry `toIndex`. */
  readonly physicalEnd: number
}

/** Takes part in a scan. An error that it gives ends the scan. */
export interface ScanConsumer {
  /** The next entries, valid until the callback; the following ones come after it. It may be called from within the call. */
  take(entries: readonly CommittedEntry[], callback: (error: Error | null) => void): void
  /** There are no more. */
  end(callback: (error: Error | null) => void): void
}

export interface ScanProgress {
  /** Bytes of the log read, of all in the range. */
  readonly doneBytes: number
  readonly totalBytes: number
}

export interface LogScanOptions {
  readonly log: AppliedEntries
  readonly range: ScanRange
  readonly consumers: readonly ScanConsumer[]
  /** Called after each piece. */
  readonly onProgress?: (progress: ScanProgress) => void
}

export class LogScan {
  readonly #options: LogScanOptions
  #nextIndex: number
  #startPos = -1

  constructor(options: LogScanOptions) {
    this.#options = options
    this.#nextIndex = options.range.fromIndex
  }

  /**
   * @param callback told once, later: null when every consumer has everything. StoreError CORRUPT: entries of the
   * range are damaged or gone. Other errors: a failed read, or a consumer's.
   */
  start(callback: (error: Error | null) => void): void {
    const { log, range, consumers } = this.#options
    if (this.#nextIndex > range.toIndex) return this.#each(consumers, (consumer, done) => consumer.end(done), callback)
    const from = this.#nextIndex
    log.readApplied(from, range.toIndex, PIECE_BYTES, (error, entries) => {
      if (error !== null || entries === null) return callback(unreadable(from, range, error))
      const last = entries[entries.length - 1]
      assert(last !== undefined && entries[0]?.index === from, 'what is read is what was asked for')
      this.#nextIndex = last.index + 1
      const given = (failure: Error | null): void => {
        if (failure !== null) return callback(failure)
        this.#tellProgress(entries)
        this.start(callback)
      }
      this.#each(consumers, (consumer, done) => consumer.take(entries, done), given)
    })
  }

  /** One consumer after the other. */
  #each(
    consumers: readonly ScanConsumer[],
    give: (consumer: ScanConsumer, done: (error: Error | null) => void) => void,
    callback: (error: Error | null) => void,
    i = 0,
  ): void {
    const consumer = consumers[i]
    if (consumer === undefined) return callback(null)
    const given = (error: Error | null): void => {
      if (error !== null) callback(error)
      else this.#each(consumers, give, callback, i + 1)
    }
    try {
      give(consumer, given)
    } catch (error) {
      // What the bytes of the log make a consumer throw.
      if (!(error instanceof StoreError)) throw error
      callback(error)
    }
  }

  #tellProgress(entries: readonly CommittedEntry[]): void {
    const first = entries[0] as CommittedEntry
    const last = entries[entries.length - 1] as CommittedEntry
    if (this.#startPos < 0) this.#startPos = first.pos
    this.#options.onProgress?.({
      doneBytes: physicalOffsetOf(last.pos) + last.body.length - this.#startPos,
      totalBytes: this.#options.range.physicalEnd - this.#startPos,
    })
  }
}

/**
 * The index of the entry whose record starts at `physicalOffset`, from its header.
 *
 * @param callback gets StoreError CORRUPT when no entry starts there, or it is damaged or gone.
 */
export function indexAt(
  log: AppliedEntries,
  physicalOffset: number,
  callback: (error: Error | null, index: number) => void,
): void {
  const pos = physicalOffset - ENTRY_HEADER_BYTES
  log.readBytes(pos, ENTRY_HEADER_BYTES, (error, header) => {
    if (error !== null || header === null) {
      const what = `the log cannot be read at ${pos}: ${error?.message ?? ''}`
      return callback(scanError(what, physicalOffset, error), -1)
    }
    const index = readInt64(header, HEADER_INDEX_AT)
    if (readInt64(header, HEADER_POS_AT) === pos && Number.isSafeInteger(index)) return callback(null, index)
    callback(scanError(`no entry of the log starts at ${pos}`, physicalOffset, null), -1)
  })
}

function unreadable(from: number, range: ScanRange, cause: Error | null): StoreError {
  const why = cause === null ? '' : `: ${cause.message}`
  return scanError(`entry ${from} of ${range.fromIndex} to ${range.toIndex} cannot be read${why}`, -1, cause)
}

/** CORRUPT for what is damaged or gone, else what the log says. */
function scanError(what: string, physicalOffset: number, cause: Error | null): StoreError {
  if (cause instanceof DLedgerError && cause.code === 'CLOSED')
    return new StoreError(what, { code: 'CLOSED' }, { cause })
  const isLost = cause === null || (cause instanceof DLedgerError && ['CORRUPT', 'TRIMMED'].includes(cause.code))
  if (isLost) return new StoreError(what, { code: 'CORRUPT', what, physicalOffset }, { cause })
  return new StoreError(what, { code: 'STORAGE_FAILED', what }, { cause })
}
