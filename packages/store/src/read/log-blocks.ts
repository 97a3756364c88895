/**
 * Bytes of the log from its files, for consumers that are behind.
 *
 * Keeps:
 *   - a range that is being read already is not read again: whoever wants it, or a part of it, waits for that read;
 *   - what was read ahead is found by the next pull for a moment (recent-reads.ts), in at most RECENT_BYTES_MAX.
 *
 * Applied bytes of the log never change, so what is shared is the same for all.
 */
import type { Clock } from '@dledger-ts/base'
import type { StoreError } from '../errors.ts'
import { unreadableLog } from './read-errors.ts'
import type { LaneRead, ReadLane } from './read-lane.ts'
import { type RecentRead, RecentReads } from './recent-reads.ts'

/** Large reads that are kept for a moment. */
const RECENT_BYTES_MAX = 8 * 1024 * 1024
/** Smaller reads are not kept: to repeat one costs less than to remember it. */
const RECENT_BYTES_MIN = 4 * 1024
/** A block is found by each range of this size that it touches, the newest one for each. */
const GRANULE_BYTES = 64 * 1024

export interface LogReader {
  readBytes(pos: number, size: number, callback: (error: Error | null, bytes: Buffer | null) => void): void
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

  constructor(options: { readonly log: LogReader; readonly lane: ReadLane; readonly clock: Clock }) {
    this.#log = options.log
    this.#lane = options.lane
    this.#recent = new RecentReads(options.clock, RECENT_BYTES_MAX)
  }

  /** Whether [at, at + size) is at hand or being read. */
  has(at: number, size: number): boolean {
    return this.#find(at, size) !== undefined
  }

  /**
   * Reads [at, at + size), which lies in one file of the log.
   *
   * @param aheadSize how much is read when something must be read; at least `size`.
   * @param callback gets at least `size` bytes, those from `at` on; within the call when they are at hand.
   */
  read(at: number, size: number, aheadSize: number, callback: BytesCallback): void {
    const found = this.#find(at, size)
    if (found !== undefined) return found.give(at, callback)
    const block = new Block(this.#owner, at, Math.max(size, aheadSize))
    this.#underWay.set(at, block)
    if (block.bytes >= RECENT_BYTES_MIN) {
      for (let granule = granuleOf(at); granule <= granuleOf(block.end - 1); granule++) {
        this.#byGranule.set(granule, block)
      }
    }
    block.give(at, callback)
    this.#lane.enter(block)
  }

  /** Forgets what is kept. */
  clear(): void {
    this.#recent.clear()
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
    dropped: (block) => {
      for (let granule = granuleOf(block.start); granule <= granuleOf(block.end - 1); granule++) {
        if (this.#byGranule.get(granule) === block) this.#byGranule.delete(granule)
      }
    },
  }
}

interface BlockOwner {
  begin(block: Block, ended: () => void): void
  settled(block: Block, isGood: boolean): void
  dropped(block: Block): void
}

/** One read and those who wait for it. */
class Block implements LaneRead, RecentRead {
  readonly start: number
  readonly end: number
  readonly #owner: BlockOwner
  #content: Buffer | null = null
  #waiters: { readonly at: number; readonly callback: BytesCallback }[] = []

  constructor(owner: BlockOwner, start: number, size: number) {
    this.#owner = owner
    this.start = start
    this.end = start + size
  }

  get bytes(): number {
    return this.end - this.start
  }

  give(at: number, callback: BytesCallback): void {
    if (this.#content === null) this.#waiters.push({ at, callback })
    else callback(null, this.#content.subarray(at - this.start))
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
    for (const { callback } of this.#takeWaiters()) callback(error, null)
  }

  #takeWaiters(): readonly { readonly at: number; readonly callback: BytesCallback }[] {
    const waiters = this.#waiters
    this.#waiters = []
    return waiters
  }
}

function granuleOf(at: number): number {
  return Math.floor(at / GRANULE_BYTES)
}
