/** Metadata in a `level` database. A batch of LevelDB is atomic, and its log keeps batches in order. */
import { Level } from 'level'
import { StoreError } from '../errors.ts'
import type { MetadataStore, MetadataWrite } from './metadata-store.ts'

export class LevelMetadata implements MetadataStore {
  readonly #db: Level<string, Buffer>

  private constructor(db: Level<string, Buffer>) {
    this.#db = db
  }

  /** @throws StoreError INVALID when another process has it open, STORAGE_FAILED when it cannot be opened. */
  static async open(directory: string): Promise<LevelMetadata> {
    const db = new Level<string, Buffer>(directory, { keyEncoding: 'utf8', valueEncoding: 'buffer' })
    try {
      await db.open()
    } catch (cause) {
      const inner = cause instanceof Error ? cause.cause : undefined
      if (inner instanceof Error && 'code' in inner && inner.code === 'LEVEL_LOCKED') {
        const what = `${directory}: in use by another process`
        throw new StoreError(what, { code: 'INVALID', what }, { cause })
      }
      const what = `${directory}: cannot be opened: ${String(inner ?? cause)}`
      throw new StoreError(what, { code: 'STORAGE_FAILED', what }, { cause })
    }
    return new LevelMetadata(db)
  }

  load(
    tell: (error: Error | null, entries: readonly { readonly key: string; readonly value: Buffer }[]) => void,
  ): void {
    let entries: { key: string; value: Buffer }[] = []
    const read = async (): Promise<void> => {
      const all = await this.#db.iterator().all()
      entries = all.map(([key, value]) => ({ key, value }))
    }
    settle(read(), (error) => tell(error, entries))
  }

  write(
    writes: readonly MetadataWrite[],
    options: { readonly sync: boolean },
    callback: (error: Error | null) => void,
  ): void {
    const operations = writes.map(({ key, value }) =>
      value === null ? ({ type: 'del', key } as const) : ({ type: 'put', key, value } as const),
    )
    settle(this.#db.batch(operations, { sync: options.sync }), callback)
  }

  clear(first: string, callback: (error: Error | null) => void): void {
    settle(
      this.#db.del(first, { sync: true }).then(() => this.#db.clear()),
      callback,
    )
  }

  close(callback: (error: Error | null) => void): void {
    settle(this.#db.close(), callback)
  }
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
