/**
 * Writing the index behind the log: entries into their file, then, once these are synced, what is kept of all files.
 *
 *   unwritten entries ──► file, synced ──► record in the metadata ──► files that it does not name any more are removed
 *
 * Keeps:
 *   - one write at a time, of the oldest file that is not whole.
 *   - nothing is written of messages that are not synced in the log of this member.
 *   - what is kept never says more than the files hold. What they hold beyond it is written again, with the same bytes.
 *   - slots are made from the entries at a start, so those of an open file are written for other readers of the files only.
 */
import { isDiskFull } from '@dledger-ts/dledger'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { IndexBuild } from './build.ts'
import type { IndexFiles } from './index-files.ts'
import { KEY_INDEX_KEY } from './index-record.ts'
import type { LogMarks } from './log-marks.ts'
import type { Stall } from './stall.ts'

/** Unwritten entries that are written without waiting for the timer. */
export const WRITE_ENTRIES = 65_536
/** Slots of an open file are written when a page of them is shared by this many entries, and at a clean stop. */
const ENTRIES_PER_SLOT_PAGE = 64

export interface WriteBehindOptions {
  readonly files: IndexFiles
  readonly marks: LogMarks
  readonly stall: Stall
  readonly metadata: MetadataStore
  /** Somebody waits for all of it to be durable. */
  readonly isFlushing: () => boolean
  /** What was under way is over. */
  readonly run: () => void
  /** … with an error; `failure` if the index cannot go on with it. */
  readonly failed: (failure: Error | null) => void
}

export class WriteBehind {
  readonly #options: WriteBehindOptions
  #isWriting = false
  #isDue = false
  #isSlotsDue = false
  /** Entries written since the slots were. */
  #entriesSinceSlots = 0
  /** Grows when everything is thrown away: what is under way then counts for nothing. */
  #generation = 0

  constructor(options: WriteBehindOptions) {
    this.#options = options
  }

  get isWriting(): boolean {
    return this.#isWriting
  }

  /** Whether enough waits to be written to do so before the timer. */
  get hasMuch(): boolean {
    const { build, firstFull } = this.#options.files
    return firstFull !== null || (build !== null && build.builder.unwrittenCount >= WRITE_ENTRIES)
  }

  /** What may be written is, whether it is much or not, as soon as no write is under way. */
  due(): void {
    this.#isDue = true
  }

  /** … with slots, for a clean stop. */
  allDue(): void {
    this.#isDue = true
    this.#isSlotsDue = true
    this.#options.files.isRecordDue = true
  }

  discard(): void {
    this.#generation++
    this.#isWriting = false
  }

  writeWhatIsMuch(build: IndexBuild): void {
    const { marks, stall } = this.#options
    if (this.#isWriting || stall.isStalled) return
    const { builder } = build
    if (!builder.isFull && builder.unwrittenCount < WRITE_ENTRIES) return
    const count = builder.writableBefore(marks.durableEnd) - builder.written.header.entryCount
    const isSealable = builder.isFull && count === builder.unwrittenCount
    if (isSealable || count >= WRITE_ENTRIES) this.#write(build)
  }

  writeWhatIsDue(build: IndexBuild): void {
    if (!this.#isDue || this.#isWriting) return
    this.#isDue = false
    this.#write(build)
  }

  /** A file that was sealed leaves the rest to the next one. */
  flushMore(): void {
    const { files, marks, stall } = this.#options
    if (this.#isWriting) return
    const build = files.firstFull ?? files.build
    if (build === null || stall.isStalled) return
    const durable = { index: marks.durableIndex, end: marks.durableEnd }
    const to = build.builder.writableBefore(durable.end)
    const hasEntries = to > build.builder.written.header.entryCount
    if (hasEntries || build.placeAfter(to, durable).index > build.file.end.index) this.#write(build)
  }

  /**
   * Writes what the build of a damaged file has; its end seals the file.
   *
   * @param isWanted asked when that is written.
   * @param mended called once the file is whole.
   */
  writeRepair(repair: IndexBuild, isWanted: () => boolean, mended: () => void): void {
    const { isDone, file, builder } = repair
    const generation = this.#generation
    this.#isWriting = true
    repair.write(builder.count, isDone ? 'all' : 'none', (error, slotsCrc) => {
      if (generation !== this.#generation || !isWanted()) return this.#wroteRecord(generation, null)
      if (error !== null) return this.#failed(error)
      if (!isDone) return this.#wroteRecord(generation, null)
      file.written = builder.written
      file.slotsCrc = slotsCrc
      file.state = 'sealed'
      this.#options.files.isRecordDue = true
      mended()
      this.#writeRecord(generation)
    })
  }

  /** Writes what is synced of the open file; the last entries of a full one seal it. */
  #write(build: IndexBuild): void {
    const { files, marks } = this.#options
    const { builder, file } = build
    const durable = { index: marks.durableIndex, end: marks.durableEnd }
    const to = builder.writableBefore(durable.end)
    const isSealing = builder.isFull && to === builder.count
    const count = to - builder.written.header.entryCount
    const isMuch = this.#entriesSinceSlots + count >= builder.dirtyPageCount * ENTRIES_PER_SLOT_PAGE
    const writesSlots = isSealing || (builder.dirtyPageCount > 0 && (this.#isSlotsDue || isMuch))
    const end = build.placeAfter(to, durable)
    if (end.index !== file.end.index || end.key !== file.end.key) files.isRecordDue = true
    const generation = this.#generation
    this.#isWriting = true
    const written = (error: Error | null, slotsCrc: number): void => {
      if (generation !== this.#generation || !files.isLive(build)) return this.#wroteRecord(generation, null)
      if (error !== null) return this.#failed(error)
      file.written = builder.written
      file.end = end
      this.#entriesSinceSlots = writesSlots ? 0 : this.#entriesSinceSlots + count
      if (writesSlots) this.#isSlotsDue = false
      if (isSealing) files.sealed(build, slotsCrc)
      this.#writeRecord(generation)
    }
    if (count === 0 && !writesSlots) return written(null, 0)
    files.isRecordDue = true
    build.write(to, isSealing ? 'all' : writesSlots ? 'dirty' : 'none', written)
  }

  #writeRecord(generation: number): void {
    const { files, metadata, isFlushing } = this.#options
    if (!files.isRecordDue) return this.#wroteRecord(generation, null)
    const { value, removed } = files.nextRecord()
    metadata.write([{ key: KEY_INDEX_KEY, value }], { sync: isFlushing() }, (error) => {
      if (error === null) for (const file of removed) file.remove()
      else if (generation === this.#generation) files.giveBack(removed)
      this.#wroteRecord(generation, error)
    })
  }

  #wroteRecord(generation: number, error: Error | null): void {
    if (generation !== this.#generation) return this.#options.run()
    if (error !== null) return this.#failed(error)
    this.#isWriting = false
    this.#options.run()
  }

  #failed(error: Error): void {
    const { files, stall, failed } = this.#options
    this.#isWriting = false
    if (!isDiskFull(error)) return failed(error)
    files.isRecordDue = true
    stall.begin(error, 'the disk has no room for the key index')
    failed(null)
  }
}
