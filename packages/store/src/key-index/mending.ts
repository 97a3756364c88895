/**
 * Files that are not what was written: they are found, and built again from the log while the others serve.
 *
 * Keeps:
 *   - after a start each whole file is compared with its checksums, one after the other, newest first, at CHECK_BYTES_PER_SECOND.
 *   - one damaged file at a time is built again, from the synced log and exactly with the messages that it had; it counts again
 *     once all of it is written.
 */
import type { Clock, Logger } from '@dledger-ts/base'
import { IndexBuild } from './build.ts'
import { IndexBuilder } from './builder.ts'
import type { IndexFile } from './index-file.ts'
import type { IndexFiles } from './index-files.ts'
import type { IndexShape } from './layout.ts'
import { checkSealed } from './load-file.ts'
import type { LogMarks } from './log-marks.ts'
import type { TakeUp } from './take-up.ts'
import { WRITE_ENTRIES, type WriteBehind } from './write-behind.ts'

const CHECK_BYTES_PER_SECOND = 8 * 1024 * 1024

export interface MendingOptions {
  readonly files: IndexFiles
  readonly marks: LogMarks
  readonly takeUp: TakeUp
  readonly writer: WriteBehind
  readonly shape: IndexShape
  readonly clock: Clock
  readonly logger: Logger
  /** The file is not what was written. */
  readonly damaged: (file: IndexFile) => void
}

export class Mending {
  readonly #options: MendingOptions
  /** Of a damaged file. */
  #repair: IndexBuild | null = null
  #unchecked: IndexFile[] = []
  #isChecking = false
  #isStopped = false
  /** Grows when everything is thrown away: what is under way then counts for nothing. */
  #generation = 0

  constructor(options: MendingOptions) {
    this.#options = options
  }

  get isMending(): boolean {
    return this.#repair !== null
  }

  get uncheckedCount(): number {
    return this.#unchecked.length + (this.#isChecking ? 1 : 0)
  }

  /** What a look shows is found at once, the rest in the background. */
  start(): void {
    const { files, damaged } = this.#options
    for (const file of files.all) {
      if (file.state === 'open') continue
      if (file.isThereSync() && file.hasItsHeaderSync()) this.#unchecked.push(file)
      else damaged(file)
    }
    this.#checkNext()
  }

  discard(): void {
    this.#generation++
    this.#repair = null
    this.#unchecked = []
    this.#isChecking = false
  }

  /** Nothing begins after this. */
  stop(): void {
    this.#isStopped = true
  }

  /** Files are gone whose messages have left the log. */
  removed(): void {
    if (this.#repair !== null && !this.#options.files.all.includes(this.#repair.file)) this.#repair = null
  }

  /** Only while nothing is read or written. @returns whether something of it is under way. */
  goOn(): boolean {
    if (this.#isStopped) return false
    const { files, marks, takeUp, writer, shape, logger } = this.#options
    if (this.#repair === null) {
      const file = files.all.find(({ state }) => state === 'damaged')
      if (file === undefined) return false
      this.#repair = new IndexBuild(file, new IndexBuilder(shape), file.start, file.end)
    }
    const repair = this.#repair
    const { durableEnd } = marks
    if (takeUp.mayTakeUp(repair, durableEnd)) {
      takeUp.takeUp(repair, durableEnd)
      return true
    }
    const isMuch = repair.builder.unwrittenCount >= WRITE_ENTRIES
    if (!repair.isDone && !isMuch) return false
    const isWanted = (): boolean => repair === this.#repair
    writer.writeRepair(repair, isWanted, () => {
      this.#repair = null
      logger.info({ file: repair.file.path }, 'an index file is whole again')
    })
    return true
  }

  #checkNext(): void {
    const file = this.#unchecked.pop()
    this.#isChecking = file !== undefined
    if (file === undefined) return
    const { clock, damaged } = this.#options
    const generation = this.#generation
    const isOver = (): boolean => this.#isStopped || generation !== this.#generation
    checkSealed(file, { clock, bytesPerSecond: CHECK_BYTES_PER_SECOND, isOver }, (isWhole) => {
      if (!isWhole) damaged(file)
      this.#checkNext()
    })
  }
}
