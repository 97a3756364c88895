/**
 * Bytes of the log from its files, for consumers that are behind.
 *
 * Keeps:
 *   - a range that is being read already is not read again: whoever wants it, or a part of it, waits for that read;
 *   - what was read ahead is found by the next pull for a moment (recent-reads.ts), in at most RECENT_BYTES_MAX;
 *   - where several small reads were wanted near each other, as by a group that is behind in all its queues, the next one reads
 *     the whole neighbourhood for the others.
 *
 * Applied bytes of the log never change, so what is shared is the same for all.
 */
import type { Clock } from '@dledger-ts/base'
import type { StoreError } from '../errors.ts'
import { isUnreadableLog, unreadableLog } from './read-errors.ts'
import type { LaneRead, ReadLane } from './read-lane.ts'
import { type RecentRead, RecentReads } from './recent-reads.ts'
import type { CheckedLog } from './whole-record.ts'

/** Large reads that are kept for a moment. */
const RECENT_BYTES_MAX = 8 * 1024 * 1024
/** Smaller reads are not kept: to repeat one costs less than to remember it. */
const RECENT_BYTES_MIN = 4 * 1024
/** A block is found by each range of this size that it touches, the newest one for each. */
const GRANULE_BYTES = 64 * 1024
/** After so many reads within one granule … */
const SINGLE_READS = 3
/** … that were not larger than this, the next one reads all of it. */
const SINGLE_READ_BYTES_MAX = 16 * 1024
/** Granules for which reads are counted; the oldest is forgotten first. */
const COUNTED_MAX = 8_192

/** Raw bytes, and what the log says of them where they are wrong. */
export interface LogReader extends CheckedLog {
  readBytes(pos: number, size: number, callback: (error: Error | null, bytes: Buffer | null) => void): void
}

export interface LogBlocksOptions {
  readonly log: LogReader
  readonly lane: ReadLane
  readonly clock: Clock
  /** Size of a log file: no read crosses its end. */
  readonly fileBytes: number
  /** Where what is in memory starts: what is applied before it is in the files. */
  readonly coldEnd: () => number
}

export type BytesCallback = (error: StoreError | null, bytes: Buffer | null) => void

export class LogBlocks {
  readonly #log: LogReader
  readonly #lane: ReadLane
  readonly #recent: RecentReads
  /** By where they start: reads under way. */
  readonly #underWay = new Map<number, Block>()
  /** By granule: large reads, under way or kept. */
  readonly #byGranule = new Map<number, Block>()
  /** Small reads by granule; infinite where it cannot be read as a whole. */
  readonly #singleReads = new Map<number, number>()
  readonly #fileBytes: number
  readonly #coldEnd: () => number

  constructor(options: LogBlocksOptions) {
    this.#log = options.log
    this.#lane = options.lane
    this.#fileBytes = options.fileBytes
    this.#coldEnd = options.coldEnd
    this.#recent = new RecentReads(options.clock, RECENT_BYTES_MAX)
  }

  /**
   * Reads [at, at + size), which lies in one file of the log.
   *
   * @param aheadSize how much is read when something must be read; at least `size`.
   * @param callback gets at least `size` bytes, those from `at` on; within the call when they are at hand.
   */
  read(at: number, size: number, aheadSize: number, callback: BytesCallback): void {
    const found = this.#find(at, size)
    if (found !== undefined) return found.give({ at, size, callback })
    if (aheadSize <= SINGLE_READ_BYTES_MAX && this.#isWantedAround(at)) this.#readAround(at, size, callback)
    else this.#readBlock(at, Math.max(size, aheadSize), { at, size, callback })
  }

  /** Forgets what is kept. */
  clear(): void {
    this.#recent.clear()
  }

  /** Counts a small read. @returns whether there were enough near it. */
  #isWantedAround(at: number): boolean {
    const granule = granuleOf(at)
    const count = this.#singleReads.get(granule) ?? 0
    if (count === 0 && this.#singleReads.size >= COUNTED_MAX) {
      for (const oldest of this.#singleReads.keys()) {
        this.#singleReads.delete(oldest)
        break
      }
    }
    this.#singleReads.set(granule, count + 1)
    return count >= SINGLE_READS && count < Number.POSITIVE_INFINITY
  }

  /** Reads the whole granule, as far as it is in the same file and in no memory. */
  #readAround(at: number, size: number, callback: BytesCallback): void {
    const granule = granuleOf(at)
    const fileStart = at - (at % this.#fileBytes)
    const start = Math.max(fileStart, granule * GRANULE_BYTES)
    const limit = Math.min(fileStart + this.#fileBytes, this.#coldEnd())
    const end = Math.max(at + size, Math.min(limit, (granule + 1) * GRANULE_BYTES))
    this.#readBlock(start, end - start, { at, size, callback })
  }

  #readBlock(start: number, size: number, waiter: Waiter): void {
    const block = new Block(this.#owner, start, size)
    this.#underWay.set(start, block)
    if (size >= RECENT_BYTES_MIN) {
      for (let granule = granuleOf(start); granule <= granuleOf(block.end - 1); granule++) {
        this.#byGranule.set(granule, block)
      }
    }
    block.give(waiter)
    this.#lane.enter(block)
  }

  #find(at: number, size: number): Block | undefined {
    const same = this.#underWay.get(at)
    if (same !== undefined && same.end >= at + size) return same
    const near = this.#byGranule.get(granuleOf(at))
    return near !== undefined && near.start <= at && near.end >= at + size ? near : undefined
  }

  readonly #owner: BlockOwner = {
    begin: (block, ended) => {
      this.#log.readBytes(block.start, block.bytes, (error, bytes) => {
        ended()
        if (error !== null || bytes === null) block.failed(unreadableLog(block.start, error))
        else block.succeeded(bytes)
      })
    },
    settled: (block, isGood) => {
      if (this.#underWay.get(block.start) === block) this.#underWay.delete(block.start)
      if (block.bytes < RECENT_BYTES_MIN) return
      if (isGood) this.#recent.keep(block)
      else this.#owner.dropped(block)
    },
    readAgain: (waiter) => {
      // Something near it cannot be read: damage that waits for repair.
      this.#singleReads.set(granuleOf(waiter.at), Number.POSITIVE_INFINITY)
      this.#readBlock(waiter.at, waiter.size, waiter)
    },
    dropped: (block) => {
      for (let granule = granuleOf(block.start); granule <= granuleOf(block.end - 1); granule++) {
        if (this.#byGranule.get(granule) === block) this.#byGranule.delete(granule)
      }
    },
  }
}

interface Waiter {
  readonly at: number
  readonly size: number
  readonly callback: BytesCallback
}

interface BlockOwner {
  begin(block: Block, ended: () => void): void
  settled(block: Block, isGood: boolean): void
  /** More than what it wants was read for it, and failed. */
  readAgain(waiter: Waiter): void
  dropped(block: Block): void
}

/** One read and those who wait for it. */
class Block implements LaneRead, RecentRead {
  readonly start: number
  readonly end: number
  readonly #owner: BlockOwner
  #content: Buffer | null = null
  #waiters: Waiter[] = []

  constructor(owner: BlockOwner, start: number, size: number) {
    this.#owner = owner
    this.start = start
    this.end = start + size
  }

  get bytes(): number {
    return this.end - this.start
  }

  give(waiter: Waiter): void {
    if (this.#content === null) this.#waiters.push(waiter)
    else waiter.callback(null, this.#content.subarray(waiter.at - this.start))
  }

  begin(ended: () => void): void {
    this.#owner.begin(this, ended)
  }

  refused(error: StoreError): void {
    this.failed(error)
  }

  dropped(): void {
    this.#owner.dropped(this)
  }

  succeeded(content: Buffer): void {
    this.#content = content
    this.#owner.settled(this, true)
    for (const { at, callback } of this.#takeWaiters()) callback(null, content.subarray(at - this.start))
  }

  failed(error: StoreError): void {
    this.#owner.settled(this, false)
    for (const waiter of this.#takeWaiters()) {
      const isExact = waiter.at === this.start && waiter.at + waiter.size === this.end
      if (isExact || !isUnreadableLog(error)) waiter.callback(error, null)
      else this.#owner.readAgain(waiter)
    }
  }

  #takeWaiters(): readonly Waiter[] {
    const waiters = this.#waiters
    this.#waiters = []
    return waiters
  }
}

function granuleOf(at: number): number {
  return Math.floor(at / GRANULE_BYTES)
}
