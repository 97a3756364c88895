/**
 * The way to the disk for everything that is read on behalf of consumers: few reads at once, the others wait their turn.
 *
 * The process has few threads for file operations (libuv: 4), and the log's writes and syncs, the checkpoint and the followers'
 * catching up use the same ones. A backlog that is drained by thousands of consumers must not take them all.
 *
 * Keeps: at most READS_UNDER_WAY_MAX at once, in the order they came, at most READS_WAITING_MAX wait.
 */
import type { StoreError } from '../errors.ts'
import { isClosed, tooMuchIsRead } from './read-errors.ts'

const READS_UNDER_WAY_MAX = 2
const READS_WAITING_MAX = 65_536

export interface LaneRead {
  /** Its turn has come: `ended` is to be called once, when the file operation is over. */
  begin(ended: () => void): void
  /** It will have no turn. */
  refused(error: StoreError): void
}

export class ReadLane {
  #underWay = 0
  #waiting: LaneRead[] = []
  /** Those before this place of the array have had their turn. */
  #head = 0
  #closed = false
  #whenIdle: (() => void) | null = null

  /** Gives `read` its turn: within the call, or later. */
  enter(read: LaneRead): void {
    if (this.#closed) return read.refused(isClosed())
    if (this.#underWay < READS_UNDER_WAY_MAX) return this.#begin(read)
    if (this.#waiting.length - this.#head >= READS_WAITING_MAX) return read.refused(tooMuchIsRead())
    this.#waiting.push(read)
  }

  /** Refuses what waits and all that comes; calls back when nothing is under way. */
  close(callback: () => void): void {
    this.#closed = true
    const waiting = this.#waiting.slice(this.#head)
    this.#waiting = []
    this.#head = 0
    for (const read of waiting) read.refused(isClosed())
    if (this.#underWay === 0) return callback()
    this.#whenIdle = callback
  }

  #begin(read: LaneRead): void {
    this.#underWay++
    read.begin(this.#ended)
  }

  readonly #ended = (): void => {
    this.#underWay--
    const next = this.#waiting[this.#head]
    if (next !== undefined) {
      this.#head++
      if (this.#head > 1024 && this.#head * 2 > this.#waiting.length) {
        this.#waiting = this.#waiting.slice(this.#head)
        this.#head = 0
      }
      this.#begin(next)
    } else {
      this.#waiting = []
      this.#head = 0
    }
    if (this.#underWay > 0 || this.#whenIdle === null) return
    const callback = this.#whenIdle
    this.#whenIdle = null
    callback()
  }
}
