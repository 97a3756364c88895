/**
 * Metadata in memory, for simulations and tests: a crash loses the newest batches that were not synced, as a disk may.
 */
import type { Clock } from '@dledger-ts/base'
import {
  type MetadataRange,
  type MetadataRow,
  type MetadataStore,
  type MetadataView,
  type MetadataWrite,
  TABLES_FROM,
} from './metadata-store.ts'

export class MemoryMetadata implements MetadataStore {
  readonly #clock: Clock
  #synced = new Map<string, Buffer>()
  #unsynced: (readonly MetadataWrite[])[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get unsyncedBatches(): number {
    return this.#unsynced.length
  }

  /** The process or the machine dies. @returns what survives: of the batches that are not synced, only the oldest `kept`. */
  crash(kept: number): MemoryMetadata {
    const survivor = new MemoryMetadata(this.#clock)
    survivor.#synced = new Map(this.#synced)
    survivor.#unsynced = this.#unsynced.slice(0, kept)
    survivor.#syncAll()
    return survivor
  }

  load(callback: (error: Error | null, entries: readonly MetadataRow[]) => void): void {
    this.range({ from: '', before: TABLES_FROM, limit: Number.POSITIVE_INFINITY }, callback)
  }

  range(
    { from, before, limit }: MetadataRange,
    callback: (error: Error | null, rows: readonly MetadataRow[]) => void,
  ): void {
    const view = new Map(this.#synced)
    for (const batch of this.#unsynced) applyTo(view, batch)
    const keys = [...view.keys()].filter((key) => key >= from && key < before).sort()
    const rows = keys.slice(0, limit).map((key) => ({ key, value: view.get(key) as Buffer }))
    this.#clock.defer(() => callback(null, rows))
  }

  view(): MetadataView {
    const frozen = this.crash(Number.POSITIVE_INFINITY)
    return { range: (range, callback) => frozen.range(range, callback), close: () => {} }
  }

  write(
    writes: readonly MetadataWrite[],
    options: { readonly sync: boolean },
    callback: (error: Error | null) => void,
  ): void {
    this.#unsynced.push(writes)
    if (options.sync) this.#syncAll()
    this.#clock.defer(() => callback(null))
  }

  clear(_first: string, callback: (error: Error | null) => void): void {
    this.#unsynced = []
    this.#synced = new Map()
    this.#clock.defer(() => callback(null))
  }

  close(callback: (error: Error | null) => void): void {
    this.#syncAll()
    this.#clock.defer(() => callback(null))
  }

  #syncAll(): void {
    for (const batch of this.#unsynced) applyTo(this.#synced, batch)
    this.#unsynced = []
  }
}

function applyTo(map: Map<string, Buffer>, batch: readonly MetadataWrite[]): void {
  for (const { key, value } of batch) {
    if (value === null) map.delete(key)
    else map.set(key, value)
  }
}
