/**
 * How many records that something pending still needs lie in each log file.
 *
 * Retention goes by whole files, so this is what it asks; and one number for a file is all there is to keep, however many
 * timers and half messages there are.
 */
import { assert } from '@dledger-ts/base'

export class PendingFiles {
  readonly #fileBytes: number
  readonly #changed: (index: number, fileStart: number, count: number) => void
  readonly #counts = new Map<number, number>()

  /** @param changed is told the new count of a file and the index of the entry; 0 when nothing in it is needed any more. */
  constructor(fileBytes: number, changed: (index: number, fileStart: number, count: number) => void) {
    this.#fileBytes = fileBytes
    this.#changed = changed
  }

  add(index: number, physicalOffset: number): void {
    const fileStart = this.#fileStartOf(physicalOffset)
    const count = (this.#counts.get(fileStart) ?? 0) + 1
    this.#counts.set(fileStart, count)
    this.#changed(index, fileStart, count)
  }

  remove(index: number, physicalOffset: number): void {
    const fileStart = this.#fileStartOf(physicalOffset)
    const count = (this.#counts.get(fileStart) ?? 0) - 1
    assert(count >= 0, 'what ends was pending: whoever proposes an end knows that it is the only one')
    if (count === 0) this.#counts.delete(fileStart)
    else this.#counts.set(fileStart, count)
    this.#changed(index, fileStart, count)
  }

  restore(fileStart: number, count: number): void {
    this.#counts.set(fileStart, count)
  }

  /** All that is pending. */
  get count(): number {
    let sum = 0
    for (const count of this.#counts.values()) sum += count
    return sum
  }

  /** Where the oldest log file starts that holds something needed; infinite when there is none. */
  oldest(): number {
    let oldest = Number.POSITIVE_INFINITY
    for (const fileStart of this.#counts.keys()) if (fileStart < oldest) oldest = fileStart
    return oldest
  }

  /** As retention asks. */
  oldestNeeded(callback: (error: Error | null, physicalOffset: number) => void): void {
    callback(null, this.oldest())
  }

  all(): Iterable<readonly [fileStart: number, count: number]> {
    return this.#counts
  }

  clear(): void {
    this.#counts.clear()
  }

  #fileStartOf(physicalOffset: number): number {
    return physicalOffset - (physicalOffset % this.#fileBytes)
  }
}
