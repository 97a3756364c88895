/**
 * How the storage of one member does: looked at once a heartbeat, no timer of its own.
 *
 *   ok      everything is done in time
 *   slow    a write, sync or read has been under way for longer than an election timeout, now or an election timeout ago at most
 *   full    no room for more data
 *   failed  a write, sync or read has been under way for longer than `storageHangMs`
 *
 * Keeps: time in which the process itself stood still does not count, so what waits only to be heard of is not slow.
 */
import type { Clock } from '@dledger-ts/base'
import type { NodeSettings } from '../config.ts'
import type { Disk } from '../disk/disk.ts'
import { type DiskOperation, WatchedDisk } from '../disk/watched-disk.ts'
import { DLedgerError } from '../errors.ts'
import type { LogNodeOptions } from './node-options.ts'
import { StorageHealth } from '../raft/storage-health.ts'
import { DiskReserve, ROOM_AGAIN } from './disk-reserve.ts'

export type StorageState = 'ok' | 'slow' | 'full' | 'failed'

/** Between two looks no more than this many heartbeats are taken to have passed. */
const HEARTBEATS_MAX = 2

/** How often the file system is asked how much is free, unless the log has grown by what was free to it. */
const ROOM_LOOK_MS = 1_000

type StorageWatchOptions = Pick<LogNodeOptions, 'settings' | 'directory' | 'logger' | 'plantedDriverFaults'>

/** Where a log ends, and how much of it is in its files. */
export interface LogEnds {
  readonly endPos: number
  readonly writtenEndPos: number
}

export class StorageWatch {
  readonly disk: WatchedDisk
  readonly #clock: Clock
  readonly #settings: NodeSettings
  readonly #directory: string
  readonly reserve: DiskReserve
  #lacksRoom = false
  /** Where the log may end before it is looked again at what is free. Before the first look: nowhere. */
  #roomUntilPos = Number.NEGATIVE_INFINITY
  #roomAtMs = Number.NEGATIVE_INFINITY
  /** Milliseconds that passed while the process ran. */
  #watchedMs = 0
  #lookedAtMs: number | null = null
  /** Callbacks that had come could run since the last look. */
  #turned = true
  /** When something slow was last seen, by `#watchedMs`. */
  #slowAtMs = Number.NEGATIVE_INFINITY

  /** @param plantedDriverFaults simulation only. */
  constructor(disk: Disk, clock: Clock, { settings, directory, logger, plantedDriverFaults }: StorageWatchOptions) {
    this.#directory = directory
    this.#clock = clock
    this.#settings = settings
    // What begins now was not there at the last look.
    this.disk = new WatchedDisk(disk, () => this.#watchedMs + settings.heartbeatMs, {
      ignoresReads: plantedDriverFaults?.has('hung-read-unseen') ?? false,
    })
    const { diskReserveBytes: bytes, diskFreeBytesMin: freeBytesMin } = settings
    this.reserve = new DiskReserve({ disk: this.disk, directory, bytes, freeBytesMin, logger })
  }

  /**
   * @returns bits of `StorageHealth`.
   * @throws DLedgerError STORAGE_FAILED naming what hangs.
   */
  look(nowMs: number, log: LogEnds): number {
    const passedMs = nowMs - (this.#lookedAtMs ?? nowMs)
    this.#lookedAtMs = nowMs
    if (this.#turned) this.#watchedMs += Math.min(passedMs, HEARTBEATS_MAX * this.#settings.heartbeatMs)
    const { oldest } = this.disk
    if (oldest !== undefined) {
      this.#turned = false
      this.#clock.defer(() => {
        this.#turned = true
      })
      const ageMs = this.#watchedMs - oldest.beganMs
      if (ageMs > this.#settings.storageHangMs) throw hangs(oldest, ageMs)
      if (ageMs > this.#settings.electionTimeoutMs) this.#slowAtMs = this.#watchedMs
    }
    if (nowMs - this.#roomAtMs >= ROOM_LOOK_MS) {
      this.#roomAtMs = nowMs
      this.#lookForRoom(log)
    }
    if (!this.#lacksRoom || this.reserve.isOut) this.reserve.wake()
    return (this.isSlow ? StorageHealth.SLOW : 0) | (this.#lacksRoom ? StorageHealth.FULL : 0)
  }

  /** Hot: looks at what is free before the log takes more than that. */
  logGrew(log: LogEnds): void {
    if (log.endPos >= this.#roomUntilPos) this.#lookForRoom(log)
  }

  /** What waits to be written will take its room. */
  #lookForRoom({ endPos, writtenEndPos }: LogEnds): void {
    const { diskFreeBytesMin } = this.#settings
    const free = this.disk.freeBytesSync(this.#directory) - (endPos - writtenEndPos)
    const lacksBytes = free < (this.#lacksRoom ? diskFreeBytesMin * ROOM_AGAIN : diskFreeBytesMin)
    this.#lacksRoom = lacksBytes || this.reserve.isOut || this.#isTooFull()
    const mayGrow = diskFreeBytesMin > 0 && !this.#lacksRoom
    // Half of it: the index of small entries takes nearly as much as they do.
    this.#roomUntilPos = mayGrow ? endPos + (free - diskFreeBytesMin) / 2 : Number.POSITIVE_INFINITY
  }

  /** A write found no room: what is kept for that is given, and no data is taken until there is room to spare. */
  giveReserve(): void {
    this.reserve.give()
    if (this.reserve.isOut) this.#lacksRoom = true
  }

  #isTooFull(): boolean {
    const { diskUsedPercentMax: max } = this.#settings
    if (max === null) return false
    const used = this.disk.usedPercentSync(this.#directory)
    return this.#lacksRoom ? used >= max : used > max
  }

  /** Too little is free on the file system for data. */
  get lacksRoom(): boolean {
    return this.#lacksRoom
  }

  /** What was slow a moment ago is not trusted at once. */
  get isSlow(): boolean {
    return this.#watchedMs - this.#slowAtMs < this.#settings.electionTimeoutMs
  }

  /** What a member that gives up waiting for its disk says. */
  unfinished(waitedMs: number): DLedgerError {
    const { oldest } = this.disk
    if (oldest !== undefined) return hangs(oldest, waitedMs)
    const what = 'the disk was not quiet in time'
    return new DLedgerError(what, { code: 'STORAGE_FAILED', what, operation: 'wait', file: '', errno: null })
  }
}

function hangs({ what: operation, file }: DiskOperation, ageMs: number): DLedgerError {
  const what = `${operation} of ${file} has not ended after ${Math.round(ageMs)} ms`
  return new DLedgerError(what, { code: 'STORAGE_FAILED', what, operation, file, errno: null })
}
