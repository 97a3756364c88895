/**
 * Which index files there are, and the builds of those that are not whole yet.
 *
 *   oldest: sealed, or damaged … │ full, waiting to be written (UNSEALED_MAX) │ newest, which entries are added to
 *
 * Keeps:
 *   - each file begins where the one before it ends, or where that one's build is.
 *   - what is open comes after everything that is not.
 *   - a file whose messages have left the log is given out for removal only together with the record (index-record.ts) that does
 *     not name it any more.
 *   - no file is made under the name of one that is removed: that happens later (file-removals.ts).
 */
import { join } from 'node:path'
import { assert, type Clock, type Logger } from '@dledger-ts/base'
import type { Disk } from '@dledger-ts/dledger'
import { StoreError } from '../errors.ts'
import { ENTRY_HEADER_BYTES } from '../log-place.ts'
import { IndexBuild } from './build.ts'
import { IndexBuilder } from './builder.ts'
import { indexFileName, isIndexFileName } from './file-name.ts'
import { FileRemovals } from './file-removals.ts'
import { IndexFile, type IndexFilePlace, type IndexPlace } from './index-file.ts'
import { decodeIndexRecord, encodeIndexRecord } from './index-record.ts'
import type { IndexShape } from './layout.ts'
import { loadBuilder } from './load-file.ts'

/** Full files that wait until the log is synced and they are written; then no more is taken up. */
const UNSEALED_MAX = 2
const LOG_START: IndexPlace = { index: 0, pos: 0, key: 0 }

export interface IndexFilesOptions {
  readonly disk: Disk
  readonly directory: string
  readonly shape: IndexShape
  readonly clock: Clock
  readonly logger: Logger
}

export class IndexFiles {
  readonly #options: IndexFilesOptions & IndexFilePlace
  readonly #removals: FileRemovals
  /** Oldest first. */
  #all: IndexFile[] = []
  /** Gone once that is kept. */
  #removed: IndexFile[] = []
  /** Of the full files that are not sealed yet, oldest first. */
  #sealing: IndexBuild[] = []
  /** Of the file that entries are added to. */
  #build: IndexBuild | null = null
  /** Nothing of the log is below. */
  #firstOffset = 0
  /** The newest name of a file that is removed, or is going to be. */
  #newestGone = ''
  #isLoading = false
  /** Grows when everything is thrown away: a load that is under way then counts for nothing. */
  #generation = 0
  /** What is to be kept has changed. */
  isRecordDue = false

  constructor(options: IndexFilesOptions) {
    this.#removals = new FileRemovals(options)
    this.#options = { ...options, removals: this.#removals }
  }

  // ------------------------------------------------------------------------------------------------ what is there

  get all(): readonly IndexFile[] {
    return this.#all
  }

  /** No record below it is in the log. */
  get firstOffset(): number {
    return this.#firstOffset
  }

  get build(): IndexBuild | null {
    return this.#build
  }

  /** The build of the oldest full file that waits to be written. */
  get firstFull(): IndexBuild | null {
    return this.#sealing[0] ?? null
  }

  get hasUnwritten(): boolean {
    return this.#sealing.length > 0 || (this.#build !== null && this.#build.builder.unwrittenCount > 0)
  }

  /** Where the index goes on. */
  get place(): IndexPlace {
    return this.#build ?? this.#lastEnd
  }

  /** Memory has what is needed to go on with the open file. */
  get isOpenLoaded(): boolean {
    const last = this.#all[this.#all.length - 1]
    return last === undefined || last.state !== 'open' || last.builder !== null
  }

  get isLoading(): boolean {
    return this.#isLoading
  }

  /** Whether what `build` writes still counts. */
  isLive(build: IndexBuild): boolean {
    return build === this.#build || this.#sealing.includes(build)
  }

  checkInvariants(): void {
    this.#build?.builder.checkInvariants()
    for (let i = 1; i < this.#all.length; i++) {
      const before = this.#all[i - 1] as IndexFile
      const end = this.#sealing.find(({ file }) => file === before) ?? before.end
      const { start } = this.#all[i] as IndexFile
      assert(end.index === start.index && end.key === start.key, 'index files leave no gap')
    }
  }

  get #lastEnd(): IndexPlace {
    return this.#all[this.#all.length - 1]?.end ?? LOG_START
  }

  // ------------------------------------------------------------------------------------------------ start

  /** What is kept. @throws StoreError UNSUPPORTED for a newer format. */
  restore(value: Buffer): void {
    try {
      this.#all = decodeIndexRecord(value, this.#options) ?? []
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'CORRUPT') throw error
      this.#options.logger.warn({ err: error }, 'the key index is built again from the log')
    }
  }

  /** None of them counts any more; they are removed behind. */
  discard(): void {
    this.#generation++
    for (const file of this.#all) this.#remove(file)
    this.#all = []
    this.#removed = []
    this.#sealing = []
    this.#build = null
    this.#isLoading = false
    this.isRecordDue = true
    this.removeUnknown()
  }

  /** Removes files that nothing is kept of: left by a crash, by another program, or of another shape. */
  removeUnknown(): void {
    const { disk, directory } = this.#options
    const known = new Set(this.#all.map(({ name }) => name))
    for (const name of disk.listSync(directory)) {
      if (!isIndexFileName(name) || known.has(name)) continue
      this.#leaves(name)
      this.#removals.add(join(directory, name))
    }
  }

  /** Reads what memory must have of the open file. @param callback gets the file when it does not hold what was written. */
  loadOpen(callback: (damaged: IndexFile | null) => void): void {
    const file = this.#all[this.#all.length - 1] as IndexFile
    const generation = this.#generation
    this.#isLoading = true
    const isThere = file.header.entryCount === 1 || file.isThereSync()
    const done = (builder: IndexBuilder | null): void => {
      if (generation !== this.#generation) return callback(null)
      this.#isLoading = false
      if (builder === null) return callback(file)
      file.builder = builder
      this.#build = new IndexBuild(file, builder, file.end, null)
      callback(null)
    }
    if (isThere) loadBuilder(file, done)
    else done(null)
  }

  /** No removal begins any more. */
  stop(): void {
    this.#removals.stop()
  }

  /** Calls back when nothing is being removed. */
  whenRemoved(callback: () => void): void {
    this.#removals.whenIdle(callback)
  }

  // ------------------------------------------------------------------------------------------------ files come and go

  /** The build that goes on: of the next file when one is full, unless too many wait to be written. */
  buildWithRoom(): IndexBuild {
    const build = this.#build
    if (build === null) return this.#nextBuild(this.#lastEnd)
    if (!build.builder.isFull || this.#sealing.length >= UNSEALED_MAX) return build
    this.#sealing.push(build)
    return this.#nextBuild({ index: build.index, pos: build.pos, key: build.key })
  }

  /** All of its file is written. */
  sealed(build: IndexBuild, slotsCrc: number): void {
    const { file } = build
    file.slotsCrc = slotsCrc
    file.state = 'sealed'
    file.builder = null
    if (this.#build === build) this.#build = null
    else this.#sealing.shift()
  }

  /** An open file is worth nothing, and so are those after it. */
  startAgain(file: IndexFile): void {
    const from = this.#all.indexOf(file)
    for (const gone of this.#all.slice(from)) this.#remove(gone)
    this.#all = this.#all.slice(0, from + 1)
    this.#sealing = this.#sealing.filter((build) => this.#all.indexOf(build.file) < from)
    this.#nextBuild(file.start)
    this.#all.splice(from, 1)
    this.isRecordDue = true
  }

  /** Messages below `physicalOffset` have left the log. @returns whether files go that hold only such ones. */
  removeBefore(physicalOffset: number): boolean {
    if (physicalOffset <= this.#firstOffset) return false
    this.#firstOffset = physicalOffset
    let count = 0
    while (count < this.#all.length && this.#isBelow(this.#all[count] as IndexFile)) count++
    if (count === 0) return false
    this.#removed.push(...this.#all.slice(0, count))
    this.#all = this.#all.slice(count)
    this.isRecordDue = true
    return true
  }

  /** What is to be kept now, and the files to remove once it is. */
  nextRecord(): { readonly value: Buffer; readonly removed: readonly IndexFile[] } {
    this.isRecordDue = false
    const removed = this.#removed
    this.#removed = []
    // What follows a file that is not whole cannot be taken up without it.
    const open = this.#all.findIndex(({ state }) => state === 'open')
    const files = open < 0 ? this.#all : this.#all.slice(0, open + 1)
    return { value: encodeIndexRecord(this.#options.shape, files), removed }
  }

  /** The record could not be written: what it does not name any more goes with the next one. */
  giveBack(removed: readonly IndexFile[]): void {
    this.#removed = [...removed, ...this.#removed]
  }

  /** Makes the next file, in memory; it comes to the disk with its first entries. */
  #nextBuild(start: IndexPlace): IndexBuild {
    const last = this.#all[this.#all.length - 1]?.name ?? ''
    const previous = last > this.#newestGone ? last : this.#newestGone
    const name = indexFileName(this.#options.clock.nowMs(), previous)
    const file = new IndexFile(this.#options, { name, start, state: 'open' })
    file.builder = new IndexBuilder(this.#options.shape)
    this.#all.push(file)
    this.#build = new IndexBuild(file, file.builder, start, null)
    return this.#build
  }

  /** Has a file removed as soon as nobody uses it. */
  #remove(file: IndexFile): void {
    this.#leaves(file.name)
    file.remove()
  }

  #leaves(name: string): void {
    if (name > this.#newestGone) this.#newestGone = name
  }

  #isBelow(file: IndexFile): boolean {
    return file.state !== 'open' && file.end.pos <= this.#firstOffset - ENTRY_HEADER_BYTES
  }
}
