/**
 * A metadata store whose content is checked as a whole: what a damaged database gives back is found out, never believed.
 *
 *   row    crc of key and value | value
 *   link   one row whose key names the newest batch; each batch removes the one before and makes its own
 *   seal   batch number, count and sum of the checksums of all rows that `load` reads
 *
 * LevelDB leaves out what it cannot read of its log and its tables and goes on. So:
 *
 * Keeps:
 *   S1  A row is given out as it was written, or is an error.
 *   S2  `load` gives all rows as they were after one batch, or is an error: with a batch missing in between there are two links, with a
 *       row missing or older than the others the sum differs.
 *   S3  One batch is written at a time, in the order of the calls. A large one is sealed in slices, and written as one.
 *   S4  Nothing is written after a batch that failed, until `clear`: nobody knows whether the database has it, and another one after
 *       it would be one with a batch missing before it.
 */
import { assert, type Clock, crc32, systemClock } from '@dledger-ts/base'
import { Packr } from 'msgpackr'
import { StoreError } from '../errors.ts'
import { inSlices } from '../slices.ts'
import {
  type MetadataRange,
  type MetadataRow,
  type MetadataStore,
  type MetadataView,
  type MetadataWrite,
  TABLES_FROM,
} from './metadata-store.ts'

const CRC_BYTES = 4
const SEAL_KEY = '\x01seal'
/** Made by the first batch alone. */
const FIRST_KEY = '\x01first'
const LINK_PREFIX = '\x01link\0'

const packr = new Packr({ useRecords: false, variableMapSize: true })

type Done = (error: Error | null) => void

export class SealedMetadata implements MetadataStore {
  readonly #store: MetadataStore
  readonly #defer: (callback: () => void) => void
  /** Checksums of the rows that `load` reads. */
  #checksums = new Map<string, number>()
  #sum = 0
  /** Number of the newest batch. */
  #batch = 0
  /** Why nothing more is written. */
  #failure: Error | null = null
  /** The first one is under way. */
  readonly #waiting: { readonly callback: Done; readonly begin: (done: Done) => void }[] = []

  constructor(store: MetadataStore, clock: Pick<Clock, 'defer'> = systemClock) {
    this.#store = store
    this.#defer = (callback) => clock.defer(callback)
  }

  /** @param callback gets StoreError CORRUPT when the content is not what was written; `clear` makes an end of it. */
  load(callback: (error: Error | null, rows: readonly MetadataRow[]) => void): void {
    this.#store.load((error, rows) => {
      if (error !== null) return callback(error, [])
      let opened: readonly MetadataRow[] = []
      try {
        opened = this.#opened(rows)
      } catch (failure) {
        if (!(failure instanceof StoreError)) throw failure
        return callback(failure, [])
      }
      callback(null, opened)
    })
  }

  range(range: MetadataRange, callback: (error: Error | null, rows: readonly MetadataRow[]) => void): void {
    this.#store.range(range, opening(callback))
  }

  view(): MetadataView {
    const view = this.#store.view()
    return { range: (range, callback) => view.range(range, opening(callback)), close: () => view.close() }
  }

  write(
    writes: readonly MetadataWrite[],
    options: { readonly sync: boolean },
    callback: (error: Error | null) => void,
  ): void {
    this.#enter(callback, (done) => {
      if (this.#failure !== null) return done(this.#failure)
      this.#seal(writes, (sealed) => {
        this.#store.write(sealed, options, (error) => {
          this.#failure = error
          done(error)
        })
      })
    })
  }

  clear(first: string, callback: (error: Error | null) => void): void {
    this.#enter(callback, (done) => {
      this.#forget()
      this.#store.clear(first, (error) => {
        this.#failure = error
        done(error)
      })
    })
  }

  /** After what is under way. */
  close(callback: (error: Error | null) => void): void {
    this.#enter(callback, (done) => this.#store.close(done))
  }

  #enter(callback: Done, begin: (done: Done) => void): void {
    this.#waiting.push({ callback, begin })
    if (this.#waiting.length === 1) this.#beginNext()
  }

  #beginNext(): void {
    this.#waiting[0]?.begin((error) => {
      const ended = this.#waiting.shift()
      assert(ended !== undefined, 'what ends was begun')
      this.#beginNext()
      ended.callback(error)
    })
  }

  /** Nothing else is written meanwhile: `#enter`. */
  #seal(writes: readonly MetadataWrite[], callback: (sealed: readonly MetadataWrite[]) => void): void {
    const sealed: MetadataWrite[] = []
    const sealOne = (i: number): void => {
      const { key, value } = writes[i] as MetadataWrite
      const row = value === null ? null : sealedValue(key, value)
      sealed.push({ key, value: row })
      if (key < TABLES_FROM) this.#count(key, row)
    }
    inSlices({ count: writes.length, each: sealOne, defer: this.#defer }, () => {
      if (this.#batch > 0) sealed.push({ key: linkOf(this.#batch), value: null })
      else sealed.push({ key: FIRST_KEY, value: sealedValue(FIRST_KEY, Buffer.alloc(0)) })
      this.#batch++
      sealed.push({ key: linkOf(this.#batch), value: Buffer.alloc(0) })
      const seal = packr.pack([this.#batch, this.#checksums.size, this.#sum])
      sealed.push({ key: SEAL_KEY, value: sealedValue(SEAL_KEY, seal) })
      callback(sealed)
    })
  }

  #count(key: string, row: Buffer | null): void {
    const before = this.#checksums.get(key)
    if (before !== undefined) this.#sum = (this.#sum - before) >>> 0
    if (row === null) {
      this.#checksums.delete(key)
      return
    }
    const checksum = row.readUInt32BE(0)
    this.#checksums.set(key, checksum)
    this.#sum = (this.#sum + checksum) >>> 0
  }

  #opened(rows: readonly MetadataRow[]): MetadataRow[] {
    this.#forget()
    const opened: MetadataRow[] = []
    const links: string[] = []
    let seal: Buffer | null = null
    let hasFirst = false
    for (const { key, value } of rows) {
      if (key.startsWith(LINK_PREFIX)) {
        links.push(key)
        continue
      }
      const content = openedValue(key, value)
      if (key === SEAL_KEY) seal = content
      else if (key === FIRST_KEY) hasFirst = true
      if (key === SEAL_KEY || key === FIRST_KEY) continue
      opened.push({ key, value: content })
      this.#count(key, value)
    }
    if (rows.length === 0) return []
    if (seal === null) throw damaged('it has no seal')
    const [batch, count, sum] = packr.unpack(seal) as [number, number, number]
    assert(Number.isSafeInteger(batch) && batch > 0, 'a seal names its batch')
    if (!hasFirst || links.length !== 1 || links[0] !== linkOf(batch)) throw damaged('a batch is missing')
    if (count !== opened.length || sum !== this.#sum) {
      throw damaged(`${opened.length} rows with the sum ${this.#sum} where ${count} with ${sum} were written`)
    }
    this.#batch = batch
    return opened
  }

  #forget(): void {
    this.#checksums = new Map()
    this.#sum = 0
    this.#batch = 0
  }
}

/** @returns what passes checked rows on. */
function opening(
  callback: (error: Error | null, rows: readonly MetadataRow[]) => void,
): (error: Error | null, rows: readonly MetadataRow[]) => void {
  return (error, rows) => {
    if (error !== null) return callback(error, [])
    const opened: MetadataRow[] = []
    try {
      for (const { key, value } of rows) opened.push({ key, value: openedValue(key, value) })
    } catch (failure) {
      if (!(failure instanceof StoreError)) throw failure
      return callback(failure, [])
    }
    callback(null, opened)
  }
}

function linkOf(batch: number): string {
  return LINK_PREFIX + String(batch)
}

function sealedValue(key: string, value: Buffer): Buffer {
  const row = Buffer.allocUnsafe(CRC_BYTES + value.length)
  value.copy(row, CRC_BYTES)
  row.writeUInt32BE(checksumOf(key, row), 0)
  return row
}

/** @throws StoreError CORRUPT. */
function openedValue(key: string, row: Buffer): Buffer {
  if (row.length < CRC_BYTES || row.readUInt32BE(0) !== checksumOf(key, row)) {
    throw damaged(`the row ${JSON.stringify(key)} is not as it was written`)
  }
  return row.subarray(CRC_BYTES)
}

function checksumOf(key: string, row: Buffer): number {
  const keyBytes = Buffer.from(key)
  return crc32(row, CRC_BYTES, row.length, crc32(keyBytes, 0, keyBytes.length))
}

function damaged(why: string): StoreError {
  const what = `the metadata database is damaged: ${why}`
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 })
}
