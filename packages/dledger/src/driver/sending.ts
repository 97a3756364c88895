/**
 * The core's messages on their way to the peers, with the bytes that an AppendEntries carries.
 *
 * Keeps: D1, what waits for the hard state is sent after it, in order. Bytes go out by reference, from the hot tail or from the
 * one cold read that its peer waits for; those share the budget of all followers that are fed from disk, so what a follower lags
 * behind costs the leader one read of memory, and the disk no more than the budget.
 */
import type { EntryBatch } from '../log/entry-batch.ts'
import { sliceBatch } from '../log/entry-codec.ts'
import type { MemberId, Message } from '../raft/messages.ts'
import type { ColdRead } from '../raft/output.ts'
import type { Raft } from '../raft/raft.ts'
import type { Transport } from '../transport/transport.ts'
import type { CatchUpBudget } from './catch-up-budget.ts'
import { type HotTail, offsetIn } from './hot-tail.ts'
import type { ReadCold } from './log-reading.ts'
import type { NodeObserver } from './observer.ts'

export interface SendingOptions {
  readonly transport: Transport
  readonly observer: NodeObserver | undefined
  readonly hot: HotTail
  readonly raft: Pick<Raft, 'coldRead'>
  /** The identity in force: what was said under a former one is not sent any more. */
  readonly storeId: () => string
  /** Of every message but those with entries. */
  readonly beforeSend: (message: Message) => void
  readonly budget: CatchUpBudget
  readonly readCold: ReadCold
  /** As `readCold`, for entries that are in memory already. */
  readonly later: (callback: () => void) => void
  /** The core was told of a read: its output is due. */
  readonly onRead: () => void
}

export class Sending {
  readonly #options: SendingOptions
  readonly #coldBatches = new Map<MemberId, EntryBatch>()
  /** Reads that the budget does not allow yet: the newest one of each peer. */
  readonly #waitingReads = new Map<MemberId, ColdRead>()
  #held: Message[] = []

  constructor(options: SendingOptions) {
    this.#options = options
  }

  /** Keeps messages until `sendHeld`. */
  hold(messages: readonly Message[]): void {
    if (messages.length > 0) this.#held.push(...messages)
  }

  sendHeld(): void {
    if (this.#held.length === 0) return
    const held = this.#held
    this.#held = []
    for (const message of held) this.send(message)
  }

  send(message: Message): void {
    const { transport, observer, storeId } = this.#options
    if (message.storeId !== storeId()) return
    if (message.type !== 'AppendEntries') this.#options.beforeSend(message)
    if (message.type !== 'AppendEntries' || message.count === 0) return transport.send(message, null)
    const payload = this.#payloadOf(message.to, message.prevIndex + 1, message.count)
    // Gone from memory meanwhile: as if the frame had been lost.
    if (payload === null) return
    transport.send(message, payload)
    observer?.replicated(message.to, message.prevIndex + 1, message.count, message.bytes)
  }

  /** What was read may be of the part that was cut. */
  truncated(): void {
    this.#coldBatches.clear()
    this.#waitingReads.clear()
  }

  read(read: ColdRead): void {
    if (!this.#options.budget.isOpen) {
      this.#waitingReads.set(read.peer, read)
      return
    }
    this.readEntries(read.firstIndex, read.lastIndex, read.bytesMax, (batch) => this.#answer(read, batch))
  }

  /** The budget has been refilled: what waited for that goes on, while it lasts. */
  refilled(): void {
    for (const [peer, read] of this.#waitingReads) {
      if (!this.#options.budget.isOpen) return
      this.#waitingReads.delete(peer)
      this.read(read)
    }
  }

  /** Reads entries of one term, at least one; null when they are gone. Never called back from within, nor after the member stopped. */
  readEntries(
    firstIndex: number,
    lastIndex: number,
    bytesMax: number,
    callback: (batch: EntryBatch | null) => void,
  ): void {
    const { hot, readCold, later } = this.#options
    // An entry whose write is still under way is not in the file yet, but it is hot.
    const found = hot.find(firstIndex)
    if (found === undefined) return readCold(firstIndex, Math.min(lastIndex, hot.firstIndex - 1), bytesMax, callback)
    const part = hotPart(found, { firstIndex, lastIndex, bytesMax })
    later(() => callback(part))
  }

  #answer(read: ColdRead, batch: EntryBatch | null): void {
    const { raft, budget, onRead } = this.#options
    if (batch === null) return raft.coldRead(read.peer, read.firstIndex, 0, 0)
    budget.take(batch.bytes.length)
    this.#coldBatches.set(read.peer, batch)
    raft.coldRead(read.peer, batch.firstIndex, batch.count, batch.bytes.length)
    onRead()
    this.#coldBatches.delete(read.peer)
  }

  #payloadOf(peer: MemberId, firstIndex: number, count: number): Buffer[] | null {
    const hot = this.#options.hot.slices(firstIndex, count)
    if (hot !== undefined) return hot
    const cold = this.#coldBatches.get(peer)
    if (cold === undefined || cold.firstIndex > firstIndex || cold.firstIndex + cold.count < firstIndex + count)
      return null
    this.#coldBatches.delete(peer)
    return [cold.bytes.subarray(offsetIn(cold, firstIndex), offsetIn(cold, firstIndex + count))]
  }
}

/** What a cold read asked for, cut from a hot batch: at least one entry, within the reader's bytes. */
export function hotPart(hot: EntryBatch, { firstIndex, lastIndex, bytesMax }: Omit<ColdRead, 'peer'>): EntryBatch {
  const rest = sliceBatch(hot, firstIndex)
  const countMax = Math.min(lastIndex - firstIndex + 1, rest.count)
  let count = 0
  let bytes = 0
  while (count < countMax && (count === 0 || bytes + (rest.sizes[count] as number) <= bytesMax)) {
    bytes += rest.sizes[count] as number
    count++
  }
  return {
    ...rest,
    count,
    bytes: rest.bytes.subarray(0, bytes),
    positions: rest.positions.slice(0, count),
    sizes: rest.sizes.slice(0, count),
  }
}
