/**
 * The newest entries' bytes in memory: what followers are sent and what is applied, without reading the disk.
 *
 * Keeps: batches are consecutive and ascending; at least the newest `bytesMax` bytes and everything above the pinned index
 * (not durable or not committed yet) are there; older batches are dropped whole.
 */
import { assert } from '@dledger-ts/base'
import type { EntryBatch } from '../log/entry-batch.ts'

export class HotTail {
  readonly #bytesMax: number
  #batches: (EntryBatch | null)[] = []
  /** Those before this place of the array are dropped, and null; the array is compacted now and then. */
  #head = 0
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get firstIndex(): number {
    return this.#batches[this.#head]?.firstIndex ?? Number.POSITIVE_INFINITY
  }

  get bytes(): number {
    return this.#bytes
  }

  push(batch: EntryBatch): void {
    // Null when all of them are dropped.
    const last = this.#batches.at(-1) ?? null
    assert(last === null || last.firstIndex + last.count === batch.firstIndex, 'hot batches are consecutive')
    this.#batches.push(batch)
    this.#bytes += batch.bytes.length
  }

  /** Drops everything: the log is another one. */
  clear(): void {
    this.#batches = []
    this.#head = 0
    this.#bytes = 0
  }

  /** Drops what is beyond the bound, oldest first, but nothing above `pinnedIndex`. */
  shrink(pinnedIndex: number): void {
    while (this.#head < this.#batches.length) {
      const oldest = this.#batches[this.#head] as EntryBatch
      if (this.#bytes - oldest.bytes.length < this.#bytesMax || oldest.firstIndex + oldest.count - 1 > pinnedIndex)
        break
      this.#bytes -= oldest.bytes.length
      // Or it would stay in memory as long as its place.
      this.#batches[this.#head] = null
      this.#head++
    }
    if (this.#head > 1024 && this.#head * 2 > this.#batches.length) {
      this.#batches = this.#batches.slice(this.#head)
      this.#head = 0
    }
  }

  /** Drops `index` and everything after it. */
  truncateFrom(index: number): void {
    while (this.#batches.length > this.#head) {
      const last = this.#batches.at(-1) as EntryBatch
      if (last.firstIndex + last.count <= index) return
      this.#batches.pop()
      this.#bytes -= last.bytes.length
      if (last.firstIndex < index) {
        this.push(firstEntries(last, index - last.firstIndex))
        return
      }
    }
  }

  /** @returns the batch that holds `index`, or undefined when it is not hot. */
  find(index: number): EntryBatch | undefined {
    let low = this.#head
    let high = this.#batches.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const batch = this.#batches[middle] as EntryBatch
      if (index < batch.firstIndex) high = middle - 1
      else if (index >= batch.firstIndex + batch.count) low = middle + 1
      else return batch
    }
    return undefined
  }

  /** @returns the raw bytes of `count` entries from `firstIndex` on, as slices; undefined when not all of them are hot. */
  slices(firstIndex: number, count: number): Buffer[] | undefined {
    const found: Buffer[] = []
    let index = firstIndex
    const end = firstIndex + count
    while (index < end) {
      const batch = this.find(index)
      if (batch === undefined) return undefined
      const batchEnd = Math.min(end, batch.firstIndex + batch.count)
      found.push(entriesOf(batch, index, batchEnd))
      index = batchEnd
    }
    return found
  }
}

/** @returns the byte in `batch.bytes` at which entry `index` starts; its end for the index after the last. */
export function offsetIn(batch: EntryBatch, index: number): number {
  let offset = 0
  for (let i = batch.firstIndex; i < index; i++) offset += batch.sizes[i - batch.firstIndex] as number
  return offset
}

/** @returns the bytes of the entries [from, to) of a batch. */
export function entriesOf(batch: EntryBatch, from: number, to: number): Buffer {
  if (from === batch.firstIndex && to === batch.firstIndex + batch.count) return batch.bytes
  return batch.bytes.subarray(offsetIn(batch, from), offsetIn(batch, to))
}

function firstEntries(batch: EntryBatch, count: number): EntryBatch {
  return {
    firstIndex: batch.firstIndex,
    term: batch.term,
    count,
    positions: batch.positions.slice(0, count),
    sizes: batch.sizes.slice(0, count),
    bytes: entriesOf(batch, batch.firstIndex, batch.firstIndex + count),
  }
}
