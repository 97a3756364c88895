/**
 * The open files of all ConsumeQueues.
 *
 *   use ──► open already: at once  │  else opened, or made, while everything else goes on ──► callback ──► release
 *
 * Keeps:
 *   F1  At most OPEN_FILES_MAX are open, those in use aside: the least recently used is closed first, and none while it is being used.
 *   F2  Nobody waits here for a file system: opening, making, giving a size and closing are called back later, where the disk can do that.
 *   F3  Whoever writes is given a file that has its full size and, if it was made for that, blank entries before the first one.
 *   F4  A path is opened once: who comes meanwhile is given the same file, in the order of coming.
 */
import { dirname } from 'node:path'
import { assert } from '@dledger-ts/base'
import { closeFile, type Disk, type DiskFile, makeDirectory, openFile, truncateFile } from '@dledger-ts/dledger'
import { StoreError } from '../errors.ts'
import { blankEntries, CONSUME_QUEUE_ENTRY_BYTES } from './entry-codec.ts'

const OPEN_FILES_MAX = 512
/** Blank entries are written from one buffer, again and again. */
const BLANK_BLOCK_ENTRIES = 3_000

/** For whoever writes: what a file that is made has before its first entry. */
export interface NewFile {
  readonly blankBytes: number
}

export type UseCallback = (error: Error | null, open: OpenFile | null) => void

interface Waiter {
  readonly create: NewFile | null
  readonly callback: UseCallback
}

export class OpenFile {
  readonly path: string
  users = 0
  /** It is in the table no more: closed when nobody uses it any more. */
  isClosing = false
  /** It was seen to have its full size. */
  isSized = false
  /** It is being opened, made or given its size. */
  isBusy = false
  /** Who comes before it is ready; counted among the users. */
  waiters: Waiter[] = []
  #handle: DiskFile | null = null

  constructor(path: string) {
    this.path = path
  }

  get isOpen(): boolean {
    return this.#handle !== null
  }

  get handle(): DiskFile {
    assert(this.#handle !== null, 'a file that was given out is open')
    return this.#handle
  }

  opened(handle: DiskFile): void {
    this.#handle = handle
  }

  /** @returns the handle, to be closed. */
  takeHandle(): DiskFile | null {
    const handle = this.#handle
    this.#handle = null
    return handle
  }
}

export interface OpenFilesOptions {
  readonly disk: Disk
  readonly fileBytes: number
  /** A file was made: its name, and those of its directories, are new. */
  readonly made: (path: string) => void
}

export class OpenFiles {
  readonly #options: OpenFilesOptions
  /** In order of use, oldest first. */
  readonly #open = new Map<string, OpenFile>()

  constructor(options: OpenFilesOptions) {
    this.#options = options
  }

  /**
   * Calls back, within the call when it is open, with a file that is to be released.
   *
   * @param create for a file that may not be there yet; null: it must be.
   */
  use(path: string, create: NewFile | null, callback: UseCallback): void {
    let open = this.#open.get(path)
    if (open === undefined) open = new OpenFile(path)
    else this.#open.delete(path)
    this.#open.set(path, open)
    open.users++
    open.waiters.push({ create, callback })
    this.#closeUnused()
    this.#goOn(open)
  }

  release(open: OpenFile): void {
    open.users--
    if (open.isClosing && open.users === 0) this.#close(open)
  }

  /** Closes a file that is about to be removed, as soon as it is not used any more. */
  forget(path: string): void {
    const open = this.#open.get(path)
    if (open !== undefined) this.#retire(open)
  }

  /** Closes all, those in use, or being opened, once that is over. None is made any more for who came before. */
  closeAllSync(): void {
    for (const open of this.#open.values()) {
      open.isClosing = true
      if (open.users === 0) open.takeHandle()?.closeSync()
    }
    this.#open.clear()
  }

  /** Serves those who wait, as far as the file is ready, or takes the next step to that. */
  #goOn(open: OpenFile): void {
    while (!open.isBusy) {
      const [next] = open.waiters
      if (next === undefined) return
      if (!open.isOpen) return this.#openOrMake(open)
      if (next.create !== null && !open.isSized) {
        const size = this.#sizeOf(open)
        if (size === null) return
        if (size !== this.#options.fileBytes) return this.#giveSize(open)
        open.isSized = true
      }
      open.waiters.shift()
      next.callback(null, open)
    }
  }

  /** @returns null when that cannot be told; those who wait know then. */
  #sizeOf(open: OpenFile): number | null {
    try {
      return open.handle.sizeSync()
    } catch (error) {
      this.#failed(open, error instanceof Error ? error : new Error(String(error)))
      return null
    }
  }

  #openOrMake(open: OpenFile): void {
    open.isBusy = true
    openFile(this.#options.disk, open.path, { create: false }, (error, handle) => {
      if (handle !== null) return this.#opened(open, handle)
      const create = open.waiters.find((waiter) => waiter.create !== null)?.create ?? null
      if (create === null || !isMissing(error)) return this.#failed(open, error)
      // Who wants to read what is not there yet is told that.
      const readers = open.waiters.filter((waiter) => waiter.create === null)
      open.waiters = open.waiters.filter((waiter) => waiter.create !== null)
      open.users -= readers.length
      this.#make(open, create)
      for (const { callback } of readers) callback(error, null)
    })
  }

  #make(open: OpenFile, { blankBytes }: NewFile): void {
    const { disk, fileBytes, made } = this.#options
    // Under its name stands what came after a discard.
    if (open.isClosing) return this.#failed(open, new StoreError('the queue files are closed', { code: 'CLOSED' }))
    makeDirectory(disk, dirname(open.path), (noDirectory) => {
      if (noDirectory !== null) return this.#failed(open, noDirectory)
      openFile(disk, open.path, { create: true }, (error, handle) => {
        if (handle === null) return this.#failed(open, error)
        made(open.path)
        truncateFile(handle, fileBytes, (noRoom) => {
          if (noRoom !== null) return this.#failedWith(open, handle, noRoom)
          if (blankBytes === 0) return this.#opened(open, handle)
          // Before anybody else writes: entries before the first one may come from elsewhere at the same time.
          handle.write(blankBuffers(blankBytes), 0, (failure) => {
            if (failure === null) this.#opened(open, handle)
            else this.#failedWith(open, handle, failure)
          })
        })
      })
    })
  }

  #giveSize(open: OpenFile): void {
    open.isBusy = true
    truncateFile(open.handle, this.#options.fileBytes, (error) => {
      if (error !== null) return this.#failed(open, error)
      open.isBusy = false
      open.isSized = true
      this.#goOn(open)
    })
  }

  #opened(open: OpenFile, handle: DiskFile): void {
    open.opened(handle)
    open.isBusy = false
    this.#goOn(open)
  }

  #failedWith(open: OpenFile, handle: DiskFile, error: Error): void {
    open.opened(handle)
    this.#failed(open, error)
  }

  #failed(open: OpenFile, error: Error | null): void {
    const { waiters } = open
    open.waiters = []
    open.isBusy = false
    open.users -= waiters.length
    this.#retire(open)
    for (const { callback } of waiters) callback(error, null)
  }

  #closeUnused(): void {
    if (this.#open.size <= OPEN_FILES_MAX) return
    for (const open of this.#open.values()) {
      if (open.users > 0) continue
      this.#retire(open)
      if (this.#open.size <= OPEN_FILES_MAX) return
    }
  }

  #retire(open: OpenFile): void {
    if (this.#open.get(open.path) === open) this.#open.delete(open.path)
    open.isClosing = true
    if (open.users === 0) this.#close(open)
  }

  #close(open: OpenFile): void {
    const handle = open.takeHandle()
    // What was written is synced by itself, so what a close says changes nothing.
    if (handle !== null) closeFile(handle, () => {})
  }
}

function isMissing(error: Error | null): boolean {
  return error !== null && 'code' in error && error.code === 'ENOENT'
}

function blankBuffers(bytes: number): Buffer[] {
  const block = blankEntries(Math.min(BLANK_BLOCK_ENTRIES, bytes / CONSUME_QUEUE_ENTRY_BYTES))
  const buffers: Buffer[] = []
  for (let left = bytes; left > 0; left -= block.length) buffers.push(block.subarray(0, Math.min(left, block.length)))
  return buffers
}
