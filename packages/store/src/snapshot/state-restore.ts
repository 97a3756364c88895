/**
 * Takes in the state of another member.
 *
 *   pieces ──► rows staged beside the old state ──► all of it there: one synced row says so ──► staged rows take the others' place
 *
 * Keeps:
 *   - until that row is written the old state counts, afterwards the new one: a crash in between is finished at the next start
 *     (`finishRestore`), which may be repeated.
 *   - memory of one piece. Rows are moved in batches, so that none of it holds up the event loop for long.
 *   - what comes is checked: checksums, order, count, and that it is the state that was announced.
 */
import { assert } from '@dledger-ts/base'
import type { StateRestore } from '@dledger-ts/dledger'
import type { AppliedMark } from '../apply.ts'
import { removeRows, SUMS_BEFORE, SUMS_FROM } from '../consume-queue/sum-rows.ts'
import { StoreError } from '../errors.ts'
import type { MetadataRow, MetadataStore, MetadataWrite } from '../metadata/metadata-store.ts'
import { keptRow, RESTORING_KEY, STATE_BEFORE, STATE_FROM } from './state-rows.ts'
import { StateStreamReader } from './state-stream.ts'

/** Staged rows lie behind all others. */
const STAGED_PREFIX = `${STATE_BEFORE}incoming\0`
const STAGED_END = `${STATE_BEFORE}incoming\x01`
const STAGED_MARK = `${STAGED_PREFIX}\0mark`
/** Rows of one batch. */
const BATCH_ROWS = 1_000

type Callback = (error: Error | null) => void

export interface StagedRestoreOptions {
  readonly metadata: MetadataStore
  readonly index: number
  /** @param ready called when nothing else is written any more, until `over`. */
  readonly begin: (ready: () => void) => void
  /** The staged state counts now: takes it up. */
  readonly adopt: (callback: Callback) => void
  /** The old state goes on. */
  readonly over: () => void
}

export class StagedRestore implements StateRestore {
  readonly #options: StagedRestoreOptions
  readonly #reader = new StateStreamReader()
  #state: 'new' | 'staging' | 'committing' | 'over' = 'new'

  constructor(options: StagedRestoreOptions) {
    this.#options = options
  }

  write(bytes: Buffer, callback: Callback): void {
    assert(this.#state === 'new' || this.#state === 'staging', 'a state comes in before it is whole')
    if (this.#state === 'staging') return this.#stage(bytes, callback)
    this.#state = 'staging'
    this.#options.begin(() => {
      if (this.#state === 'over') return
      removeStaged(this.#options.metadata, (error) => {
        if (error !== null) callback(error)
        else this.#stage(bytes, callback)
      })
    })
  }

  commit(callback: Callback): void {
    const { index, metadata, adopt } = this.#options
    const { mark, isWhole } = this.#reader
    if (!isWhole || mark === null || mark.index !== index) {
      const what = `the state at ${index} did not come whole: ${isWhole ? `it is the one at ${mark?.index}` : 'its end is missing'}`
      queueMicrotask(() => callback(new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 })))
      return
    }
    assert(this.#state === 'staging', 'a state is committed once')
    this.#state = 'committing'
    const rows = [{ key: RESTORING_KEY, value: Buffer.from(String(index)) }]
    metadata.write(rows, { sync: true }, (error) => {
      if (error !== null) return callback(error)
      if (this.#state === 'over') return
      adopt((failure) => {
        if (failure === null) this.#state = 'over'
        callback(failure)
      })
    })
  }

  abort(): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#options.over()
  }

  #stage(bytes: Buffer, callback: Callback): void {
    const writes: MetadataWrite[] = []
    try {
      const hadMark = this.#reader.mark !== null
      for (const row of this.#reader.take(Buffer.from(bytes))) {
        const { key, value } = keptRow(row)
        writes.push({ key: STAGED_PREFIX + key, value })
      }
      const { mark } = this.#reader
      if (!hadMark && mark !== null) writes.push({ key: STAGED_MARK, value: Buffer.from(JSON.stringify(mark)) })
    } catch (error) {
      queueMicrotask(() => callback(error as Error))
      return
    }
    if (writes.length === 0) queueMicrotask(() => callback(null))
    else this.#options.metadata.write(writes, { sync: false }, callback)
  }
}

export interface FinishOptions {
  readonly metadata: MetadataStore
  /** The row that makes the state one that is taken up at a start. */
  readonly checkpointRow: (mark: AppliedMark) => MetadataRow
  /** What else belongs to the old state goes. */
  readonly discard: () => void
}

/** The staged state takes the place of all there is. Goes on where a crash ended it; staged rows stay until it is durable. */
export function finishRestore({ metadata, checkpointRow, discard }: FinishOptions, callback: Callback): void {
  const moved = (mark: AppliedMark): void => {
    const last: MetadataWrite[] = [checkpointRow(mark), { key: RESTORING_KEY, value: null }]
    metadata.write(last, { sync: true }, (error) => {
      if (error !== null) return callback(error)
      removeStaged(metadata, callback)
    })
  }
  metadata.range({ from: STAGED_MARK, before: `${STAGED_MARK}\0`, limit: 1 }, (error, [row]) => {
    if (error !== null) return callback(error)
    if (row === undefined) return callback(new Error('a state that was received whole has no mark'))
    const mark = JSON.parse(row.value.toString()) as AppliedMark
    discard()
    // The checkpoint goes with the first batch, so what is half replaced is never taken up.
    remove(metadata, { from: STATE_FROM, before: STATE_BEFORE, except: RESTORING_KEY }, (failure) => {
      if (failure !== null) return callback(failure)
      removeRows(metadata, SUMS_FROM, SUMS_BEFORE, (sumsError) => {
        if (sumsError !== null) return callback(sumsError)
        move(metadata, `${STAGED_MARK}\0`, (moveError) => {
          if (moveError !== null) callback(moveError)
          else moved(mark)
        })
      })
    })
  })
}

/** Rows that a restore left which did not come to its end. */
function removeStaged(metadata: MetadataStore, callback: Callback): void {
  remove(metadata, { from: STAGED_PREFIX, before: STAGED_END, except: null }, callback)
}

function move(metadata: MetadataStore, from: string, callback: Callback): void {
  metadata.range({ from, before: STAGED_END, limit: BATCH_ROWS }, (error, rows) => {
    if (error !== null) return callback(error)
    const last = rows.at(-1)
    if (last === undefined) return callback(null)
    const writes = rows.map(({ key, value }) => ({ key: key.slice(STAGED_PREFIX.length), value }))
    metadata.write(writes, { sync: false }, (failure) => {
      if (failure !== null) callback(failure)
      else move(metadata, `${last.key}\0`, callback)
    })
  })
}

function remove(
  metadata: MetadataStore,
  range: { readonly from: string; readonly before: string; readonly except: string | null },
  callback: Callback,
): void {
  const { from, before, except } = range
  metadata.range({ from, before, limit: BATCH_ROWS }, (error, rows) => {
    if (error !== null) return callback(error)
    const last = rows.at(-1)
    if (last === undefined) return callback(null)
    const writes = rows.filter(({ key }) => key !== except).map(({ key }) => ({ key, value: null }))
    const next = (failure: Error | null): void => {
      if (failure !== null) callback(failure)
      else remove(metadata, { from: `${last.key}\0`, before, except }, callback)
    }
    if (writes.length === 0) next(null)
    else metadata.write(writes, { sync: false }, next)
  })
}
