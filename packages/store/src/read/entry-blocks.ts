/**
 * ConsumeQueue entries from their files, shared as bytes of the log are (log-blocks.ts): one read for all who want the same ones,
 * and the newest one of a queue at hand for a moment, for a reader takes a few messages of the hundreds of entries that one read gives.
 */
import type { Clock } from '@dledger-ts/base'
import type { StoreMachine } from '../apply.ts'
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import type { CheckedEntries } from '../consume-queue/checked-entries.ts'
import type { StoreError } from '../errors.ts'
import { findDamage } from './entry-damage.ts'
import { type QueueEntries, ReadEntries } from './queue-entries.ts'
import { unreadableQueue } from './read-errors.ts'
import type { LaneRead, ReadLane } from './read-lane.ts'
import { type RecentRead, RecentReads } from './recent-reads.ts'

const RECENT_BYTES_MAX = 4 * 1024 * 1024

export type EntriesCallback = (error: StoreError | null, entries: QueueEntries | null) => void

export interface EntryBlocksOptions {
  readonly files: CheckedEntries
  readonly lane: ReadLane
  readonly clock: Clock
  readonly machine: StoreMachine
  /** Size of a log file: no record crosses its end. */
  readonly fileBytes: number
}

export class EntryBlocks {
  readonly #options: EntryBlocksOptions
  readonly #recent: RecentReads
  /** The newest read of a queue, under way or kept. */
  readonly #newest = new Map<ConsumeQueue, EntryBlock>()

  constructor(options: EntryBlocksOptions) {
    this.#options = options
    this.#recent = new RecentReads(options.clock, RECENT_BYTES_MAX)
  }

  /** Entries [from, to), which are in files: at least the first one. Within the call when they are at hand. */
  read(queue: ConsumeQueue, from: number, to: number, callback: EntriesCallback): void {
    const newest = this.#newest.get(queue)
    if (newest !== undefined && newest.from <= from && from < newest.to) return newest.give(callback)
    const { files, lane, machine, fileBytes } = this.#options
    const block = new EntryBlock(queue, from, files.partsOf(queue, from, to).to, {
      begin: (ended) => {
        files.read(queue, from, block.to, (error, bytes) => {
          ended()
          if (error !== null) return block.settle(unreadableQueue(queue, from, error), null)
          const damage = findDamage(queue, from, bytes as Buffer, {
            physicalEnd: machine.applied.physicalEnd,
            fileBytes,
          })
          block.settle(damage, damage === null ? new ReadEntries(from, bytes as Buffer) : null)
        })
      },
      settled: (isGood) => {
        if (isGood) this.#recent.keep(block)
        else this.#forget(block)
      },
      dropped: () => this.#forget(block),
    })
    this.#newest.set(queue, block)
    block.give(callback)
    lane.enter(block)
  }

  /** The files of a queue change: what was read of them is read again. */
  forget(queue: ConsumeQueue): void {
    this.#newest.delete(queue)
  }

  clear(): void {
    this.#recent.clear()
  }

  #forget(block: EntryBlock): void {
    if (this.#newest.get(block.queue) === block) this.#newest.delete(block.queue)
  }
}

interface EntryBlockOwner {
  begin(ended: () => void): void
  settled(isGood: boolean): void
  dropped(): void
}

class EntryBlock implements LaneRead, RecentRead {
  readonly queue: ConsumeQueue
  readonly from: number
  readonly to: number
  readonly #owner: EntryBlockOwner
  #entries: ReadEntries | null = null
  #waiters: EntriesCallback[] = []

  constructor(queue: ConsumeQueue, from: number, to: number, owner: EntryBlockOwner) {
    this.queue = queue
    this.from = from
    this.to = to
    this.#owner = owner
  }

  get bytes(): number {
    return this.#entries?.bytes ?? 0
  }

  give(callback: EntriesCallback): void {
    if (this.#entries === null) this.#waiters.push(callback)
    else callback(null, this.#entries)
  }

  begin(ended: () => void): void {
    this.#owner.begin(ended)
  }

  refused(error: StoreError): void {
    this.settle(error, null)
  }

  dropped(): void {
    this.#owner.dropped()
  }

  settle(error: StoreError | null, entries: ReadEntries | null): void {
    this.#entries = entries
    this.#owner.settled(entries !== null)
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter(error, entries)
  }
}
