/**
 * Bytes of the log from its files, for consumers that are behind.
 *
 * Keeps:
 *   - a range that is being read already is not read again: whoever wants it, or a part of it, waits for that read;
 *   - what was read ahead is found by the next pull for a moment (recent-reads.ts), in at most RECENT_BYTES_MAX;
 *   - what was read ahead is read into a buffer that is used again, once it is not kept any more and nobody is being told of it; not after an
 *     error, for a disk that was given up may still write to it;
 *   - where several small reads were wanted near each other, the next one reads the whole neighbourhood for the others.
 *
 * Applied bytes of the log never change, so what is shared is the same for all.
 */
import type { Clock } from '@dledger-ts/base'
import type { StoreError } from '../errors.ts'
import type { BufferPool } from './buffer-pool.ts'
import { isUnreadableLog, unreadableLog } from './read-errors.ts'
import type { LaneRead, ReadLane } from './read-lane.ts'
import { type RecentRead, RecentReads } from './recent-reads.ts'
import type { CheckedLog } from './whole-record.ts'

/** Large reads that are kept for a moment. */
const RECENT_BYTES_MAX = 4 * 1024 * 1024
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
  readBytes(
    pos: number,
    size: number,
    callback: (error: Error | null, bytes: Buffer | null) => void,
    target?: Buffer,
  ): void
}

export interface LogBlocksOptions {
  readonly log: LogReader
  readonly lane: ReadLane
  readonly clock: Clock
  readonly pool: BufferPool
  /** Size of a log file: no read crosses its end. */
  readonly fileBytes: number
  /** Where what is in memory starts: what is applied before it is in the files. */
  readonly coldEnd: () => number
}

export type BytesCallback = (error: StoreError | null, bytes: Buffer | null) => void
/** @param isPassing `bytes` are valid during the call only; else they may be kept, and are changed by nobody. */
export type SharedCallback = (error: StoreError | null, bytes: Buffer | null, isPassing: boolean) => void

export class LogBlocks {
  readonly #log: LogReader
  readonly #lane: ReadLane
  readonly #recent: RecentReads
  readonly #pool: BufferPool
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
    this.#pool = options.pool
    this.#recent = new RecentReads(options.clock, RECENT_BYTES_MAX)
  }

  /** Reads [at, at + size), which lies in one file of the log, for whoever keeps it. Calls back within the call when it is at hand. */
  read(at: number, size: number, callback: BytesCallback): void {
    this.readShared(at, size, size, (error, bytes, isPassing) => {
      const part = bytes?.subarray(0, size) ?? null
      callback(error, part !== null && isPassing ? Buffer.from(part) : part)
    })
  }

  /**
   * The same, as it is shared with others.
   *
   * @param aheadSize how much is read when something must be read; at least `size`.
   * @param callback gets at least `size` bytes, those from `at` on.
   */
  readShared(at: number, size: number, aheadSize: number, callback: SharedCallback): void {
    const found = this.#find(at, size)
    if (found !== undefined) return found.give({ at, size, callback })
    if (this.#isMoreWanted(at, size, aheadSize)) this.#readGranules(aheadSize, { at, size, callback })
    else this.#readBlock(at, size, { at, size, callback })
  }

  #isMoreWanted(at: number, size: number, aheadSize: number): boolean {
    if (aheadSize > size) return this.#singleReads.get(granuleOf(at)) !== Number.POSITIVE_INFINITY
    return size <= SINGLE_READ_BYTES_MAX && this.#isWantedAround(at)
  }

  /** @returns how far what is at hand, or under way, reaches beyond the byte at `at`; -1 where that is nothing. */
  endFrom(at: number): number {
    const near = this.#byGranule.get(granuleOf(at))
    return near !== undefined && near.start <= at && at < near.end ? near.end : -1
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

  /**
   * Reads whole granules, as far as they are in the same file and in no memory. So the blocks of several readers at about the same place, as
   * of a group that is behind in all queues of a topic, follow one another and do not overlap by much.
   */
  #readGranules(aheadSize: number, waiter: Waiter): void {
    const { at, size } = waiter
    const fileStart = at - (at % this.#fileBytes)
    const start = Math.max(fileStart, granuleOf(at) * GRANULE_BYTES)
    const limit = Math.min(fileStart + this.#fileBytes, this.#coldEnd())
    const end = Math.max(at + size, Math.min(limit, (granuleOf(at + aheadSize - 1) + 1) * GRANULE_BYTES))
    this.#readBlock(start, end - start, waiter)
  }

  #readBlock(start: number, size: number, waiter: Waiter): void {
    // What is read as far as one request wants it may be given out as it is.
    const isPassing = size >= RECENT_BYTES_MIN && size > waiter.size
    const block = new Block(this.#owner, start, size, isPassing)
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
      const told = (error: Error | null, bytes: Buffer | null): void => {
        ended()
        if (error !== null || bytes === null) block.failed(unreadableLog(block.start, error))
        else block.succeeded(bytes)
      }
      if (block.isPassing) this.#log.readBytes(block.start, block.size, told, this.#pool.take(block.size))
      else this.#log.readBytes(block.start, block.size, told)
    },
    settled: (block, isGood) => {
      if (this.#underWay.get(block.start) === block) this.#underWay.delete(block.start)
      if (block.size < RECENT_BYTES_MIN) return
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
    unused: (content) => this.#pool.give(content),
  }
}

interface Waiter {
  readonly at: number
  readonly size: number
  readonly callback: SharedCallback
}

interface BlockOwner {
  begin(block: Block, ended: () => void): void
  settled(block: Block, isGood: boolean): void
  /** More than what it wants was read for it, and failed. */
  readAgain(waiter: Waiter): void
  dropped(block: Block): void
  /** Nobody sees these bytes of a block any more. */
  unused(content: Buffer): void
}

/** One read and those who wait for it. */
class Block implements LaneRead, RecentRead {
  readonly start: number
  readonly end: number
  readonly isPassing: boolean
  readonly #owner: BlockOwner
  #content: Buffer | null = null
  #waiters: Waiter[] = []
  /** Those who are being told, each of whom may cause what comes next. */
  #telling = 0
  #isDropped = false

  constructor(owner: BlockOwner, start: number, size: number, isPassing: boolean) {
    this.#owner = owner
    this.start = start
    this.end = start + size
    this.isPassing = isPassing
  }

  get size(): number {
    return this.end - this.start
  }

  /** What it holds in memory. */
  get bytes(): number {
    return this.#content?.buffer.byteLength ?? 0
  }

  give(waiter: Waiter): void {
    if (this.#content === null) this.#waiters.push(waiter)
    else this.#tell([waiter], this.#content)
  }

  begin(ended: () => void): void {
    this.#owner.begin(this, ended)
  }

  refused(error: StoreError): void {
    this.failed(error)
  }

  dropped(): void {
    this.#owner.dropped(this)
    this.#isDropped = true
    if (this.#telling === 0) this.#unused()
  }

  succeeded(content: Buffer): void {
    this.#content = content
    this.#telling++
    this.#owner.settled(this, true)
    this.#telling--
    this.#tell(this.#takeWaiters(), content)
  }

  failed(error: StoreError): void {
    this.#owner.settled(this, false)
    for (const waiter of this.#takeWaiters()) {
      const isExact = waiter.at === this.start && waiter.at + waiter.size === this.end
      if (isExact || !isUnreadableLog(error)) waiter.callback(error, null, false)
      else this.#owner.readAgain(waiter)
    }
  }

  #tell(waiters: readonly Waiter[], content: Buffer): void {
    this.#telling++
    for (const { at, callback } of waiters) callback(null, content.subarray(at - this.start), this.isPassing)
    this.#telling--
    if (this.#isDropped && this.#telling === 0) this.#unused()
  }

  #unused(): void {
    const content = this.#content
    this.#content = null
    if (content !== null && this.isPassing) this.#owner.unused(content)
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
