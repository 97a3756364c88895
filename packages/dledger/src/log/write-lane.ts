/**
 * Writes that go one after another: what waits while one is under way shares the next vectored write.
 *
 * Keeps:
 *   A1  one write is under way at a time and writes start in order, so a killed process leaves a prefix of them.
 *   A3  what finds no room on the disk is not told: it waits at its place in the line and is tried again. A file is made when the first
 *       write to it is due, so that one which cannot be made for want of room is waited for in the same way.
 *   A2  callbacks come in the order of the pushes; after a failure every one of them gets that error.
 */
import { assert } from '@dledger-ts/base'
import { isDiskFull } from '../disk/disk.ts'
import type { SegmentFile } from './segment-file.ts'

/** Buffers of one vectored write at most (IOV_MAX of Linux) and bytes, unless the first alone has more. */
const WRITE_BUFFERS_MAX = 1024
const WRITE_BYTES_MAX = 16 << 20

export interface LaneWrite {
  /** Where its file starts. */
  readonly start: number
  /** Byte of the file. */
  readonly at: number
  readonly bytes: number
  readonly buffers: readonly Buffer[]
  /** @param file null where it could not be made. */
  readonly done: (error: Error | null, file: SegmentFile | null) => void
}

/** Says whether `[from, to)` of a file may be written now; where it says no, `resume` is called later. */
export type MayWrite = (file: SegmentFile, from: number, to: number) => boolean

export interface WriteLaneOptions {
  /** Makes a file where it is missing. @throws what the disk says. */
  readonly fileAt: (start: number) => SegmentFile
  readonly mayWrite: MayWrite
  readonly defer: (callback: () => void) => void
  /** No room is a failure like any other: nobody will call `retry`. Default false. */
  readonly failsWhenFull?: boolean
  /** What is first in the line has found no room just now, and waits. */
  readonly foundFull?: () => void
  /** Simulation only: what found no room counts as written. */
  readonly ignoresFull?: boolean
}

export class WriteLane {
  readonly #fileAt: WriteLaneOptions['fileAt']
  readonly #mayWrite: MayWrite
  readonly #defer: WriteLaneOptions['defer']
  readonly #ignoresFull: boolean
  readonly #failsWhenFull: boolean
  readonly #foundFull: () => void
  /** The disk had no room for what is first in the line: it waits for `retry`. */
  #full = false
  #mayRetry = false
  /** Bounded by what the log's user has under way. */
  #waiting: LaneWrite[] = []
  #underWay = false
  #failure: Error | null = null

  constructor({
    fileAt,
    mayWrite,
    defer,
    failsWhenFull = false,
    foundFull = () => {},
    ignoresFull = false,
  }: WriteLaneOptions) {
    this.#fileAt = fileAt
    this.#mayWrite = mayWrite
    this.#defer = defer
    this.#failsWhenFull = failsWhenFull
    this.#foundFull = foundFull
    this.#ignoresFull = ignoresFull
  }

  get isFull(): boolean {
    return this.#full
  }

  /** Nothing is under way and nothing will be: what waits, if anything, waits for room until `retry`. */
  get isStill(): boolean {
    return !this.#underWay && (this.#full || this.#waiting.length === 0)
  }

  /** Writes again what found no room, if anything did. */
  retry(): void {
    if (!this.#full) return
    this.#mayRetry = true
    this.resume()
  }

  push(write: LaneWrite): void {
    this.#waiting.push(write)
    this.resume()
  }

  /** Nothing more is written: the file closes behind the write under way. What waits gets this error. */
  stop(error: Error): void {
    this.#failure ??= error
    if (this.#underWay) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const write of waiting) write.done(this.#failure, null)
  }

  /** Hot: starts what waits, if nothing is under way. */
  resume(): void {
    const first = this.#waiting[0]
    if (this.#underWay || (this.#full && !this.#mayRetry) || first === undefined) return
    if (this.#failure !== null) return this.#failWaiting()
    const file = this.#fileOf(first)
    if (file === null) return
    const count = this.#mergeable(first)
    const taken = this.#waiting.slice(0, count)
    const last = taken[count - 1] as LaneWrite
    if (!this.#mayWrite(file, first.at, last.at + last.bytes)) return
    this.#waiting = this.#waiting.slice(count)
    this.#underWay = true
    const buffers = count === 1 ? first.buffers : taken.flatMap((write) => write.buffers)
    file.append(buffers, first.at, (error) => this.#ended(taken, error, file))
  }

  /** @returns null where it could not be made: for want of room it is waited for, else all that waits fails. */
  #fileOf({ start }: LaneWrite): SegmentFile | null {
    try {
      return this.#fileAt(start)
    } catch (error) {
      assert(error instanceof Error, 'a disk throws errors')
      if (isDiskFull(error) && !this.#failsWhenFull) {
        this.#full = true
        this.#mayRetry = false
        this.#defer(this.#foundFull)
      } else {
        this.#failure ??= error
        this.#failWaiting()
      }
      return null
    }
  }

  #failWaiting(): void {
    const told = this.#waiting
    this.#waiting = []
    this.#defer(() => {
      for (const write of told) write.done(this.#failure, null)
    })
  }

  /** How many of the waiting writes lie one behind another in one file. */
  #mergeable(first: LaneWrite): number {
    let count = 1
    let end = first.at + first.bytes
    let buffers = first.buffers.length
    for (; count < this.#waiting.length; count++) {
      const next = this.#waiting[count] as LaneWrite
      if (next.start !== first.start) break
      assert(next.at === end, 'writes to one file follow one another')
      end += next.bytes
      buffers += next.buffers.length
      if (buffers > WRITE_BUFFERS_MAX || end - first.at > WRITE_BYTES_MAX) break
    }
    return count
  }

  #ended(taken: LaneWrite[], error: Error | null, file: SegmentFile): void {
    this.#underWay = false
    this.#mayRetry = false
    if (error !== null && this.#failure === null && !this.#failsWhenFull && isDiskFull(error)) {
      if (!this.#ignoresFull) {
        // Nothing of it counts, and nothing passes it.
        this.#full = true
        this.#waiting = [...taken, ...this.#waiting]
        return this.#foundFull()
      }
      error = null
    }
    this.#full = false
    this.#failure ??= error
    let told = taken
    if (this.#failure === null) this.resume()
    else {
      told = [...taken, ...this.#waiting]
      this.#waiting = []
    }
    for (const write of told) write.done(this.#failure, file)
  }
}
