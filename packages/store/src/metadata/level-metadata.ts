/**
 * Metadata in a `level` database. A batch of LevelDB is atomic, and its log keeps batches in order.
 *
 * Keeps: a database that is damaged is found to be so before its library reads it, which would end the process.
 */
import { rename, rm } from 'node:fs/promises'
import { Level } from 'level'
import { StoreError } from '../errors.ts'
import { sliceOf } from '../slices.ts'
import { damagedDatabase, findDamage, isDamage } from './level-damage.ts'
import {
  type MetadataRange,
  type MetadataRow,
  type MetadataStore,
  type MetadataView,
  type MetadataWrite,
  TABLES_FROM,
} from './metadata-store.ts'

type Snapshot = ReturnType<Level<string, Buffer>['snapshot']>

/** What LevelDB says of a disk without room; it has no code for that. */
const FULL = /No space left on device|Disk quota exceeded/

/**
 * After a write that found no room LevelDB may refuse all others, and its log may end within a record: it is opened again, which
 * mends both, before the next write.
 */
export class LevelMetadata implements MetadataStore {
  readonly #db: Level<string, Buffer>
  #isBroken = false
  #reopening: Promise<void> | null = null

  private constructor(db: Level<string, Buffer>) {
    this.#db = db
  }

  /**
   * @throws StoreError INVALID when another process has it open, CORRUPT when it is damaged, STORAGE_FAILED when it cannot be opened.
   */
  static async open(directory: string): Promise<LevelMetadata> {
    const damage = await findDamage(directory)
    if (damage !== null) throw damagedDatabase(damage)
    const db = new Level<string, Buffer>(directory, { keyEncoding: 'utf8', valueEncoding: 'buffer' })
    try {
      await db.open()
    } catch (cause) {
      const inner = cause instanceof Error ? cause.cause : undefined
      if (inner instanceof Error && 'code' in inner && inner.code === 'LEVEL_LOCKED') {
        const what = `${directory}: in use by another process`
        throw new StoreError(what, { code: 'INVALID', what }, { cause })
      }
      if (isDamage(inner)) throw damagedDatabase(`${directory}: ${inner.message}`, cause)
      const what = `${directory}: cannot be opened: ${String(inner ?? cause)}`
      throw new StoreError(what, { code: 'STORAGE_FAILED', what }, { cause })
    }
    return new LevelMetadata(db)
  }

  /** Puts a damaged database out of the way, as `<directory>.damaged`; one that was put there before is removed. */
  static async setAside(directory: string): Promise<void> {
    const aside = `${directory}.damaged`
    await rm(aside, { recursive: true, force: true })
    await rename(directory, aside)
  }

  load(tell: (error: Error | null, entries: readonly MetadataRow[]) => void): void {
    this.#read({ lt: TABLES_FROM }, tell)
  }

  range(
    { from, before, limit }: MetadataRange,
    tell: (error: Error | null, rows: readonly MetadataRow[]) => void,
  ): void {
    this.#read({ gte: from, lt: before, limit }, tell)
  }

  view(): MetadataView {
    const snapshot = this.#db.snapshot()
    let isOpen = true
    return {
      range: ({ from, before, limit }, tell) => this.#read({ gte: from, lt: before, limit, snapshot }, tell),
      close: () => {
        if (!isOpen) return
        isOpen = false
        settle(snapshot.close(), (error) => {
          if (error !== null) throw error
        })
      },
    }
  }

  write(
    writes: readonly MetadataWrite[],
    options: { readonly sync: boolean },
    callback: (error: Error | null) => void,
  ): void {
    settle(
      this.#whileWhole(() => this.#write(writes, options)),
      callback,
    )
  }

  clear(first: string, callback: (error: Error | null) => void): void {
    settle(
      this.#whileWhole(async () => {
        await this.#db.del(first, { sync: true })
        await this.#db.clear()
      }),
      callback,
    )
  }

  close(callback: (error: Error | null) => void): void {
    settle(this.#db.close(), callback)
  }

  /** One batch of LevelDB, however many rows it has; they are given to it in slices. */
  async #write(writes: readonly MetadataWrite[], options: { readonly sync: boolean }): Promise<void> {
    const batch = this.#db.batch()
    const sliceRows = sliceOf(writes.length)
    try {
      for (let i = 0; i < writes.length; i++) {
        if (i > 0 && i % sliceRows === 0) await othersTurn()
        const { key, value } = writes[i] as MetadataWrite
        if (value === null) batch.del(key)
        else batch.put(key, value)
      }
      await batch.write({ sync: options.sync })
    } finally {
      await batch.close()
    }
  }

  async #whileWhole(write: () => Promise<unknown>): Promise<void> {
    try {
      if (this.#isBroken) await this.#reopen()
      await write()
    } catch (error) {
      const full = fullDisk(error)
      if (full === undefined) throw error
      this.#isBroken = true
      throw full
    }
  }

  async #reopen(): Promise<void> {
    this.#reopening = this.#db.close().then(() => this.#db.open())
    try {
      await this.#reopening
    } finally {
      this.#reopening = null
    }
    this.#isBroken = false
  }

  /** An iterator sees the database as it is when the iterator is made. */
  #read(
    range: { readonly gte?: string; readonly lt: string; readonly limit?: number; readonly snapshot?: Snapshot },
    tell: (error: Error | null, rows: readonly MetadataRow[]) => void,
  ): void {
    let rows: MetadataRow[] = []
    const read = async (): Promise<void> => {
      if (this.#reopening !== null) await this.#reopening
      const all = await this.#db.iterator(range).all()
      rows = all.map(([key, value]) => ({ key, value }))
    }
    settle(read(), (error) => tell(error, rows))
  }
}

function othersTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** @returns an error with the code that the disk's own operations have; undefined for any other. */
function fullDisk(error: unknown): Error | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (FULL.test(at.message)) return Object.assign(new Error(at.message, { cause: error }), { code: 'ENOSPC' })
  }
  return undefined
}

function settle(promise: Promise<unknown>, tell: (error: Error | null) => void): void {
  promise
    .then(
      () => tell(null),
      (error: unknown) => tell(asError(error)),
    )
    .catch(rethrow)
}

/** What a listener throws is not the promise's business: it is uncaught, as from any other event. */
function rethrow(error: unknown): void {
  process.nextTick(() => {
    throw error
  })
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
