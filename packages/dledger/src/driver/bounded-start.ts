/**
 * Writes of a start, before anything watches the disk: they end, or the start does, within a known time.
 *
 * Keeps: told once; what ends after it was given up is heard by nobody, so nothing goes on behind the back of whoever was told. Time in which
 * the process itself stood still does not count for the disk.
 */
import type { Clock } from '@dledger-ts/base'
import type { DiskCallback } from '../disk/disk.ts'
import { DLedgerError } from '../errors.ts'
import type { LogNodeOptions } from './node-options.ts'
import type { OpenedMember } from './open-member.ts'

/** Room may come back for so long: a reserve that is given, a file that somebody removes. */
export const FULL_MS_MAX = 2_000
const LOOK_MS = 100
/** From one look to the next, however late that comes: what ended meanwhile is heard before another one. */
const COUNTED_MS_MAX = 2 * LOOK_MS

export interface BoundedStartOptions {
  readonly node: Pick<LogNodeOptions, 'directory' | 'settings'> & { readonly clock: Clock }
  readonly member: OpenedMember
  /** What is being done, for whoever reads why it was not. */
  readonly doing: string
}

export class BoundedStart {
  readonly #options: BoundedStartOptions
  readonly #callback: DiskCallback
  #lookedMs: number
  #waitedMs = 0
  #fullMs = 0
  #isOver = false
  #cancelLook: () => void = () => {}

  constructor(options: BoundedStartOptions, callback: DiskCallback) {
    this.#options = options
    this.#callback = callback
    this.#lookedMs = options.node.clock.monotonicMs()
    this.#lookLater()
  }

  /** @returns what a write is to call back: it goes on with `next`, where it did not fail and was waited for. */
  thenDo(next: () => void): DiskCallback {
    return (error) => {
      if (this.#isOver) return
      if (error !== null) this.end(error)
      else next()
    }
  }

  end(error: Error | null): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#cancelLook()
    this.#callback(error)
  }

  #lookLater(): void {
    this.#cancelLook = this.#options.node.clock.after(LOOK_MS, () => this.#look())
  }

  #look(): void {
    const { member, node } = this.#options
    const nowMs = node.clock.monotonicMs()
    const passedMs = Math.min(nowMs - this.#lookedMs, COUNTED_MS_MAX)
    this.#lookedMs = nowMs
    this.#waitedMs += passedMs
    const lacking = member.hardStateIsFull
      ? 'the hard state'
      : member.log.waitsForRoom
        ? 'the entry that says so'
        : null
    if (lacking !== null) {
      this.#fullMs += passedMs
      if (this.#fullMs >= FULL_MS_MAX) return this.#giveUpFull(lacking)
      member.retryFullHardState()
      member.log.retryFull()
    } else if (this.#waitedMs > node.settings.storageHangMs) return this.#giveUpHanging()
    this.#lookLater()
  }

  #giveUpFull(lacking: string): void {
    const { member, node, doing } = this.#options
    member.stopWaitingForHardState()
    const what = `${node.directory}: ${doing} needs room on the disk, and there is none for ${lacking}: make room and start it again`
    this.end(new DLedgerError(what, { code: 'DISK_FULL' }))
  }

  #giveUpHanging(): void {
    const { node, doing } = this.#options
    const waitedMs = Math.round(this.#waitedMs)
    const what = `${node.directory}: ${doing} waits for the disk, which has not written it after ${waitedMs} ms`
    this.end(
      new DLedgerError(what, { code: 'STORAGE_FAILED', what, operation: 'write', file: node.directory, errno: null }),
    )
  }
}
