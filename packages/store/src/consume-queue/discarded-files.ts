/**
 * Queue files that count no more: a state was given up, or another member's took its place. They were given another name all at once
 * (`QueueFiles.discardAllSync`) and are removed while everything else goes on.
 *
 *   consumequeue ──► consumequeue.discarded.0 ──► removed, one operation after the other
 *
 * Keeps: what is removed is what has such a name, whatever a crash left of it; nothing depends on the order, or on all of it being gone.
 */
import { basename, dirname, join } from 'node:path'
import type { Clock, Logger } from '@dledger-ts/base'
import { type Disk, listDirectory, removeDirectory, removeFile } from '@dledger-ts/dledger'
import { inLanes } from '../lanes.ts'

const SUFFIX = '.discarded.'
/** Below a discarded directory: topics, queue ids, files. */
const FILES_DEPTH = 3

type Callback = (error: Error | null) => void

/** @returns a name for `directory` under which nothing is yet. */
export function discardedName(disk: Disk, directory: string): string {
  let n = 0
  while (disk.existsSync(`${directory}${SUFFIX}${n}`)) n++
  return `${directory}${SUFFIX}${n}`
}

export interface DiscardedFilesOptions {
  readonly disk: Disk
  /** The one that counts. */
  readonly directory: string
  readonly clock: Clock
  readonly logger: Logger
}

export class DiscardedFiles {
  readonly #options: DiscardedFilesOptions
  #isRunning = false
  /** Something was discarded since the directories were listed. */
  #isDue = false
  #isStopped = false
  #idleWaiters: (() => void)[] = []

  constructor(options: DiscardedFilesOptions) {
    this.#options = options
  }

  /** Removes all that there is, now and what an earlier process left. */
  remove(): void {
    this.#isDue = true
    if (this.#isRunning || this.#isStopped) return
    this.#isRunning = true
    this.#isDue = false
    const { disk, directory, logger } = this.#options
    const parent = dirname(directory)
    const prefix = basename(directory) + SUFFIX
    listDirectory(disk, parent, (unlisted, names) => {
      const found = names.filter((name) => name.startsWith(prefix)).map((name) => join(parent, name))
      const removeTree = (i: number, done: Callback): void => this.#remove(found[i] as string, 0, done)
      inLanes({ count: found.length, lanes: 1, begin: removeTree }, (error) => {
        const failure = unlisted ?? error
        if (failure !== null && !this.#isStopped) {
          logger.warn({ err: failure, directory }, 'discarded queue files stay until the next start')
        } else if (found.length > 0 && !this.#isStopped) {
          logger.info({ directories: found }, 'discarded queue files are removed')
        }
        this.#ended()
      })
    })
  }

  /** Nothing more is removed; what is left is, after the next start. */
  stop(): void {
    this.#isStopped = true
  }

  /** Calls back when no operation is under way. */
  whenIdle(callback: () => void): void {
    if (this.#isRunning) this.#idleWaiters.push(callback)
    else callback()
  }

  #ended(): void {
    this.#isRunning = false
    if (this.#isDue) this.remove()
    if (this.#isRunning) return
    const waiters = this.#idleWaiters
    this.#idleWaiters = []
    for (const waiter of waiters) waiter()
  }

  /** Removes what stands `depth` below a discarded directory. */
  #remove(path: string, depth: number, callback: Callback): void {
    const { disk, clock } = this.#options
    if (this.#isStopped) return callback(new Error('the store is closing'))
    if (depth === FILES_DEPTH) return removeFile(disk, path, callback)
    listDirectory(disk, path, (error, names) => {
      if (error !== null && isNoDirectory(error)) return removeFile(disk, path, callback)
      if (error !== null) return callback(error)
      const removeChild = (i: number, done: Callback): void =>
        this.#remove(join(path, names[i] as string), depth + 1, done)
      inLanes({ count: names.length, lanes: 1, begin: removeChild }, (failure) => {
        if (failure !== null) return callback(failure)
        // Others have their turn, on a disk that calls back at once, too.
        clock.defer(() => removeDirectory(disk, path, callback))
      })
    })
  }
}

function isNoDirectory(error: Error): boolean {
  return 'code' in error && error.code === 'ENOTDIR'
}
