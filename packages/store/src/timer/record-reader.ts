/**
 * Reads records by their place: those of timers and half messages, whose rows know where they stand. In memory when they are
 * recent, else one read of the log for each, for their order is not the log's.
 *
 * Keeps: what is given out is a whole record, and the one that stands there.
 */
import { checkRecord, ProtocolError, recordPhysicalOffset } from '@dledger-ts/protocol'
import type { StoreMachine } from '../apply.ts'
import { StoreError } from '../errors.ts'
import { ENTRY_HEADER_BYTES } from '../log-place.ts'
import type { LogReader } from '../read.ts'
import { unreadableLog } from '../read/read-errors.ts'
import { isWholeRecord, readChecked } from '../read/whole-record.ts'

export interface RecordReaderOptions {
  readonly machine: StoreMachine
  readonly log: LogReader
}

export interface PlacedRecord {
  readonly physicalOffset: number
  readonly bytes: number
}

/** @param record null when it cannot be read; `error` says why. */
export type RecordCallback = (error: StoreError | null, record: Buffer | null) => void

export class RecordReader {
  readonly #options: RecordReaderOptions

  constructor(options: RecordReaderOptions) {
    this.#options = options
  }

  /** The callback may run before this returns. */
  read({ physicalOffset, bytes }: PlacedRecord, callback: RecordCallback): void {
    const hot = this.#options.machine.hot.find(physicalOffset, bytes)
    if (hot !== undefined) return checked(hot, physicalOffset, callback)
    const { log } = this.#options
    log.readBytes(physicalOffset - ENTRY_HEADER_BYTES, ENTRY_HEADER_BYTES + bytes, (cause, entry) => {
      if (cause !== null || entry === null) return callback(unreadableLog(physicalOffset, cause), null)
      if (isWholeRecord(entry, 0, physicalOffset, bytes)) {
        return checked(entry.subarray(ENTRY_HEADER_BYTES), physicalOffset, callback)
      }
      readChecked(log, physicalOffset, (error, record) => {
        if (error !== null) callback(error, null)
        else checked(record ?? Buffer.alloc(0), physicalOffset, callback)
      })
    })
  }

  /** Reads several at once; `records[i]` is null where `errors` has one. */
  readAll(
    places: readonly PlacedRecord[],
    callback: (records: readonly (Buffer | null)[], error: StoreError | null) => void,
  ): void {
    const records = places.map((): Buffer | null => null)
    let failure: StoreError | null = null
    let underWay = places.length + 1
    const done = (): void => {
      underWay--
      if (underWay === 0) callback(records, failure)
    }
    for (const [i, place] of places.entries()) {
      this.read(place, (error, record) => {
        failure ??= error
        records[i] = record
        done()
      })
    }
    done()
  }
}

function checked(record: Buffer, physicalOffset: number, callback: RecordCallback): void {
  let why = ''
  try {
    if (checkRecord(record) !== record.length) why = 'it has another size'
    else if (recordPhysicalOffset(record) !== physicalOffset) why = 'it names another place'
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    why = error.message
  }
  if (why === '') return callback(null, record)
  const what = `the record at ${physicalOffset} is not the one that is pending: ${why}`
  callback(new StoreError(what, { code: 'CORRUPT', what, physicalOffset }), null)
}
