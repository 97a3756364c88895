/**
 * What is derived from the log and finds no room on the disk waits for some, and is written then: the log has it all, so nothing is
 * lost, and the member goes on answering.
 *
 *   write ──► no room ──► asks the log for its reserve, waits, looks once a second ──► room: the same again
 *                                                                              ├──► too much has gathered: the error is told
 *                                                                              └──► the store is to close: once more the same, whatever the room
 *
 * Keeps:
 *   - memory is bounded: what was applied and cannot be written is in memory, so beyond UNWRITTEN_LOG_BYTES_MAX nobody waits.
 *   - nothing waits after `stop`.
 */
import type { Clock, Logger } from '@dledger-ts/base'
import { isDiskFull } from '@dledger-ts/dledger'
import type { MetadataStore } from './metadata/metadata-store.ts'

/** Bytes of the log whose effects may be in memory alone because there is no room for them. */
const UNWRITTEN_LOG_BYTES_MAX = 256 * 1024 * 1024
const LOOK_MS = 1_000
/** Beginning with less, LevelDB could not even open its log again. */
const ROOM_BYTES = 4 * 1024 * 1024

export interface DiskRoomOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly freeBytes: () => number
  /** Bytes of the log that are applied and not in files yet. */
  readonly unwrittenBytes: () => number
  /** Asks for the room that the log keeps for this: what waits may be what keeps it from being trimmed. */
  readonly makeRoom: () => void
}

type Callback = (error: Error | null) => void

export class DiskRoom {
  readonly #options: DiskRoomOptions
  /** What waits, with the error that it met. */
  #waiting: { readonly error: Error; readonly again: () => void; readonly callback: Callback }[] = []
  #cancelLook: (() => void) | null = null
  #stopped = false

  constructor(options: DiskRoomOptions) {
    this.#options = options
  }

  /** Does something that may be done again, when there is no room for it now. */
  attempt(begin: (done: Callback) => void, callback: Callback): void {
    begin((error) => {
      if (error === null || !isDiskFull(error) || !this.#mayWait) return callback(error)
      if (this.#waiting.length === 0)
        this.#options.logger.warn(
          { err: error },
          'no room for what is derived from the log: it is written when there is',
        )
      this.#options.makeRoom()
      this.#waiting.push({ error, again: () => this.attempt(begin, callback), callback })
      this.#look()
    })
  }

  /** What waits is tried once more; it is told its error, and so is what comes and finds no room. */
  stop(): void {
    this.#stopped = true
    this.#cancelLook?.()
    this.#cancelLook = null
    for (const { again } of this.#waiting.splice(0)) again()
  }

  get #mayWait(): boolean {
    return !this.#stopped && this.#options.unwrittenBytes() <= UNWRITTEN_LOG_BYTES_MAX
  }

  #look(): void {
    this.#cancelLook ??= this.#options.clock.after(LOOK_MS, () => {
      this.#cancelLook = null
      if (!this.#mayWait) {
        for (const { error, callback } of this.#waiting.splice(0)) callback(error)
      } else if (this.#options.freeBytes() < ROOM_BYTES) {
        this.#look()
      } else {
        for (const { again } of this.#waiting.splice(0)) again()
      }
    })
  }
}

/** The database, whose writes wait for room. */
export function withRoom(store: MetadataStore, room: DiskRoom): MetadataStore {
  return {
    load: (callback) => store.load(callback),
    range: (range, callback) => store.range(range, callback),
    view: () => store.view(),
    write: (writes, options, callback) => room.attempt((done) => store.write(writes, options, done), callback),
    clear: (first, callback) => room.attempt((done) => store.clear(first, done), callback),
    close: (callback) => store.close(callback),
  }
}
