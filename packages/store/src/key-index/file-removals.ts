/**
 * Index files that count no more, removed one after the other while everything else goes on: on some disks a large file takes long.
 *
 * Keeps: after `stop` none is begun; what is left is unknown at the next start, and goes then.
 */
import type { Logger } from '@dledger-ts/base'
import { type Disk, removeFile } from '@dledger-ts/dledger'

export interface FileRemovalsOptions {
  readonly disk: Disk
  readonly logger: Logger
}

export class FileRemovals {
  readonly #options: FileRemovalsOptions
  #waiting: string[] = []
  #isRunning = false
  #isStopped = false
  #idleWaiters: (() => void)[] = []

  constructor(options: FileRemovalsOptions) {
    this.#options = options
  }

  /** Nobody uses the file, and none of its name is made any more. */
  add(path: string): void {
    if (this.#isStopped) return
    this.#waiting.push(path)
    if (!this.#isRunning) this.#next()
  }

  stop(): void {
    this.#isStopped = true
    this.#waiting = []
  }

  /** Calls back, at once or later, when nothing is being removed. */
  whenIdle(callback: () => void): void {
    if (this.#isRunning) this.#idleWaiters.push(callback)
    else callback()
  }

  #next(): void {
    const path = this.#waiting.shift()
    this.#isRunning = path !== undefined
    if (path === undefined) {
      const waiters = this.#idleWaiters
      this.#idleWaiters = []
      for (const waiter of waiters) waiter()
      return
    }
    const { disk, logger } = this.#options
    removeFile(disk, path, (error) => {
      const isGone = error === null || ('code' in error && error.code === 'ENOENT')
      if (!isGone)
        logger.warn({ err: error, file: path }, 'an index file that counts no more stays until the next start')
      this.#next()
    })
  }
}
