/**
 * When a send to a SYNC_MASTER is answered: once as many slaves as wanted have what the master has stored.
 *
 *   stored ──► enough slaves connected and near?  no ──► 11, at once
 *                 └─► they have it ──► 0         not within slaveTimeout ──► 12
 *
 * Whatever the answer, the message is stored, and consumers see it: 11 and 12 say that it may be on this master alone.
 *
 * Keeps:
 *   - every waiter is told once, in the order in which they came;
 *   - what waits is bounded, in number and time; nothing is made for a message but its place in a list.
 *
 * Source: CommitLog.handleHA, GroupTransferService, DefaultHAService.isInSyncSlave; of 4.9 that a SYNC_MASTER waits for one slave.
 */
import { assert, type Clock } from '@dledger-ts/base'
import { ResponseCode } from '@dledger-ts/remoting'
import type { Copies, Replica } from '@dledger-ts/store'

/** Sends that wait at once; a further one is answered with 12. */
const WAITING_MAX = 100_000
/** How often it is looked how far the slaves are. */
const LOOK_MS = 500

export interface SlaveWaiter {
  slavesAnswered(code: number): void
}

/** What was stored by the same moment. */
class Batch {
  readonly index: number
  readonly deadlineMs: number
  readonly waiters: SlaveWaiter[] = []

  constructor(index: number, deadlineMs: number) {
    this.index = index
    this.deadlineMs = deadlineMs
  }
}

export interface SlaveGateOptions {
  readonly clock: Clock
  /** Slaves that must have it. */
  readonly needed: number
  readonly timeoutMs: number
  /** Slaves that lack more bytes count as none. */
  readonly gapBytesMax: number
  readonly copies: Pick<Copies, 'commitIndex' | 'heldBy' | 'slaves' | 'onConnection'>
  /** How far they are. */
  readonly replicas: () => Promise<readonly Replica[]>
  readonly maxPhysicalOffset: () => number
}

export class SlaveGate {
  readonly #options: SlaveGateOptions
  readonly #batches: Batch[] = []
  #waitingCount = 0
  /** Ids of slaves that were near when that was looked at last. */
  #near: ReadonlySet<string> = new Set()
  /** What was committed then: who has that is near, too. */
  #lookedIndex = Number.POSITIVE_INFINITY
  #isAvailable = false
  /** What enough slaves are known to have. */
  #heldIndex = -1
  #cancelDeadline: (() => void) | null = null
  #cancelLook: (() => void) | null = null
  #endListening: (() => void) | null = null
  #isClosed = false

  constructor(options: SlaveGateOptions) {
    this.#options = options
  }

  start(): void {
    this.#endListening = this.#options.copies.onConnection(() => this.#connectionsChanged())
    this.#look()
  }

  close(): void {
    this.#isClosed = true
    this.#endListening?.()
    this.#cancelLook?.()
    this.#cancelDeadline?.()
    this.#tell(this.#batches.splice(0), ResponseCode.FLUSH_SLAVE_TIMEOUT)
  }

  /** What the waiter is about is stored here. It may be told within this call. Hot. */
  hold(waiter: SlaveWaiter): void {
    const { copies, clock, timeoutMs } = this.#options
    const index = copies.commitIndex
    if (this.#heldIndex >= index) return waiter.slavesAnswered(ResponseCode.SUCCESS)
    if (!this.#isAvailable) return waiter.slavesAnswered(ResponseCode.SLAVE_NOT_AVAILABLE)
    if (this.#waitingCount >= WAITING_MAX || this.#isClosed) {
      return waiter.slavesAnswered(ResponseCode.FLUSH_SLAVE_TIMEOUT)
    }
    let batch = this.#batches.at(-1)
    if (batch === undefined || batch.index < index) {
      batch = new Batch(index, clock.monotonicMs() + timeoutMs)
      this.#batches.push(batch)
      if (this.#cancelDeadline === null) this.#arm()
    }
    assert(batch.index === index, 'what is committed grows')
    batch.waiters.push(waiter)
    this.#waitingCount++
  }

  /** A slave has said how far it is. */
  answered(): void {
    if (!this.#isAvailable) this.#connectionsChanged()
    const { copies, needed } = this.#options
    const held = copies.heldBy(needed)
    this.#heldIndex = held
    let count = 0
    while (count < this.#batches.length && (this.#batches[count] as Batch).index <= held) count++
    if (count > 0) this.#tell(this.#batches.splice(0, count), ResponseCode.SUCCESS)
  }

  #tell(batches: readonly Batch[], code: number): void {
    for (const { waiters } of batches) {
      this.#waitingCount -= waiters.length
      for (const waiter of waiters) waiter.slavesAnswered(code)
    }
  }

  #arm(): void {
    const [oldest] = this.#batches
    if (oldest === undefined) return
    const { clock } = this.#options
    const delayMs = Math.max(1, Math.ceil(oldest.deadlineMs - clock.monotonicMs()))
    this.#cancelDeadline = clock.after(delayMs, () => {
      this.#cancelDeadline = null
      const nowMs = clock.monotonicMs()
      let count = 0
      while (count < this.#batches.length && (this.#batches[count] as Batch).deadlineMs <= nowMs) count++
      this.#tell(this.#batches.splice(0, count), ResponseCode.FLUSH_SLAVE_TIMEOUT)
      this.#arm()
    })
  }

  #connectionsChanged(): void {
    const { copies, needed } = this.#options
    let count = 0
    for (const { id, isConnected, heldIndex } of copies.slaves()) {
      if (isConnected && (this.#near.has(id) || heldIndex >= this.#lookedIndex)) count++
    }
    this.#isAvailable = count >= needed
  }

  #look(): void {
    const { clock, copies, replicas, maxPhysicalOffset, gapBytesMax } = this.#options
    const lookAgain = (): void => {
      if (!this.#isClosed) this.#cancelLook = clock.after(LOOK_MS, () => this.#look())
    }
    replicas().then(
      (found) => {
        const from = maxPhysicalOffset() - gapBytesMax
        const near = found.filter(
          ({ connected, physicalEnd }) => connected && physicalEnd !== null && physicalEnd > from,
        )
        this.#near = new Set(near.map(({ id }) => id))
        this.#lookedIndex = copies.commitIndex
        this.#connectionsChanged()
        lookAgain()
      },
      // The store is being closed, or cannot be read: what was known counts on.
      lookAgain,
    )
  }
}
