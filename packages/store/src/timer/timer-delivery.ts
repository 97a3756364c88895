/**
 * Delivers messages that were delayed by any time when they are due. Runs on a leader that takes writes, and only there.
 *
 * The leader reads the rows that are due, in order of time, and puts each message into its real queue as a record that names
 * the timer it ends; applying that record removes the row. So a message is delivered into the log exactly once, whoever leads.
 *
 * Keeps:
 *   W1  A timer's end is proposed only by who claimed its row (metadata/timers.ts); a claim is dropped only when the end is
 *       applied, when it is certain that it is not in the log, or with the leadership.
 *   W2  Records enter the log in order of time, among those that were due together (put.ts, `PutOrder`). After a refusal the
 *       later ones may come first: only timers that were refused wait.
 *   W3  One timer of the clock, for the nearest due time; none while nothing is pending. Memory does not grow with what is pending.
 */
import { assert, type Clock, type Logger } from '@dledger-ts/base'
import type { RecordDraft } from '@dledger-ts/protocol'
import type { PutListener } from '../api.ts'
import type { StoreMachine } from '../apply.ts'
import type { StoreError } from '../errors.ts'
import { timerKey, type TimerRow } from '../metadata/timers.ts'
import type { Putter } from '../put.ts'
import type { PutOrder, PutProposal } from '../put-proposal.ts'
import { NearestTime } from './nearest-time.ts'
import type { RecordReader } from './record-reader.ts'
import { timerDelivery } from './timer-message.ts'

/** Messages under way at most, and their bytes. */
const WINDOW_COUNT_MAX = 512
const WINDOW_BYTES_MAX = 2 * 1024 * 1024
const RETRY_MS = 500

export interface TimerDeliveryOptions {
  readonly machine: StoreMachine
  readonly records: RecordReader
  readonly putter: Putter
  readonly clock: Clock
  readonly logger: Logger
  readonly timerPrecisionMs: number
}

export class TimerDelivery {
  readonly #options: TimerDeliveryOptions
  #epoch = -1
  /** A window is read or under way. */
  #isBusy = false
  /** Rows that could not be read or were refused: claimed until the next try. */
  #parked: string[] = []
  readonly #due: NearestTime

  constructor(options: TimerDeliveryOptions) {
    this.#options = options
    this.#due = new NearestTime(options.clock, () => this.#reached())
  }

  /** After every change of role. */
  roleChanged(): void {
    const { machine } = this.#options
    if (!machine.role.ready) return this.stop()
    if (this.#epoch === machine.epoch) return
    this.stop()
    this.#epoch = machine.epoch
    machine.metadata.timers.claims.clear()
    this.#step()
  }

  /** Timers were applied. */
  wake(): void {
    if (this.#epoch === -1 || this.#isBusy) return
    const soonestMs = this.#options.machine.metadata.timers.soonestMs
    if (soonestMs !== Number.POSITIVE_INFINITY) this.#due.wakeAt(soonestMs + this.#options.timerPrecisionMs)
  }

  stop(): void {
    this.#epoch = -1
    this.#isBusy = false
    this.#parked = []
    this.#due.cancel()
  }

  // ------------------------------------------------------------------------------------------------ what is due

  #step(): void {
    assert(!this.#isBusy, 'one window is under way at a time')
    this.#isBusy = true
    this.#options.machine.metadata.timers.resetSoonest()
    this.#collect('', new DueTimers())
  }

  /** Reads rows in order of time until the window is full, or the next one is not due. */
  #collect(from: string, due: DueTimers): void {
    const { machine, clock, timerPrecisionMs } = this.#options
    const { timers } = machine.metadata
    const epoch = this.#epoch
    timers.page({ from, limit: WINDOW_COUNT_MAX }, (error, rows, next) => {
      if (this.#epoch !== epoch) return
      if (error !== null) return this.#failed(error)
      const outMsMax = clock.nowMs() - timerPrecisionMs
      for (const row of rows) {
        if (row.outMs > outMsMax) return this.#collected(due, row.outMs)
        const key = timerKey(row.outMs, row.physicalOffset)
        // A claim is for a row that is there at this moment, and nobody else ends.
        if (timers.claims.has(key)) continue
        if (due.isFull(row)) return this.#collected(due, null)
        timers.claims.add(key)
        due.add(row)
      }
      if (next === null) this.#collected(due, null)
      else this.#collect(next, due)
    })
  }

  /** @param nextOutMs the first that is not due, as far as it was seen. */
  #collected(due: DueTimers, nextOutMs: number | null): void {
    if (due.rows.length > 0) return this.#read(due.rows)
    this.#isBusy = false
    if (nextOutMs !== null) this.#due.wakeAt(nextOutMs + this.#options.timerPrecisionMs)
    this.wake()
  }

  #read(rows: readonly TimerRow[]): void {
    const epoch = this.#epoch
    this.#options.records.readAll(rows, (records, error) => {
      if (this.#epoch !== epoch) return
      if (error !== null) this.#options.logger.error({ err: error }, 'a timer cannot be read: it is tried again')
      const nowMs = this.#options.clock.nowMs()
      const window = new Window(this, epoch)
      for (const [i, row] of rows.entries()) {
        const record = records[i]
        if (record === null || record === undefined) this.#park(row)
        else window.add(row, timerDelivery(record, row, nowMs))
      }
      window.propose(this.#options.putter)
      if (window.isEmpty) this.windowDone(epoch)
    })
  }

  isCurrent(epoch: number): boolean {
    return this.#epoch === epoch
  }

  // ------------------------------------------------------------------------------------------------ outcomes

  /** Certainly not delivered: it is tried again after a while. */
  refused(row: TimerRow, error: StoreError, epoch: number): void {
    if (this.#epoch !== epoch) return
    this.#options.logger.warn({ err: error, outMs: row.outMs }, 'a timer was not delivered yet')
    if (error.code !== 'TIMEOUT') this.#park(row)
  }

  windowDone(epoch: number): void {
    if (this.#epoch !== epoch) return
    this.#isBusy = false
    this.#step()
  }

  #park(row: TimerRow): void {
    this.#parked.push(timerKey(row.outMs, row.physicalOffset))
    this.#due.wakeAt(this.#options.clock.nowMs() + RETRY_MS)
  }

  #failed(error: StoreError): void {
    this.#isBusy = false
    this.#options.logger.error({ err: error }, 'timers cannot be read')
    this.#due.wakeAt(this.#options.clock.nowMs() + RETRY_MS)
  }

  /** Something may be due, or may be tried again. */
  #reached(): void {
    const { claims } = this.#options.machine.metadata.timers
    for (const key of this.#parked) claims.delete(key)
    this.#parked = []
    if (!this.#isBusy) this.#step()
  }
}

/** What one window takes. */
class DueTimers {
  readonly rows: TimerRow[] = []
  #bytes = 0

  isFull(next: TimerRow): boolean {
    if (this.rows.length === 0) return false
    return this.rows.length >= WINDOW_COUNT_MAX || this.#bytes + next.bytes > WINDOW_BYTES_MAX
  }

  add(row: TimerRow): void {
    this.rows.push(row)
    this.#bytes += row.bytes
  }
}

/** Deliveries that are proposed together. */
class Window implements PutOrder {
  readonly #owner: TimerDelivery
  readonly #epoch: number
  readonly #drafts: { readonly row: TimerRow; readonly draft: RecordDraft }[] = []
  readonly #proposals: PutProposal[] = []
  #encoded = 0
  #expected = 0

  constructor(owner: TimerDelivery, epoch: number) {
    this.#owner = owner
    this.#epoch = epoch
  }

  get isEmpty(): boolean {
    return this.#drafts.length === 0
  }

  add(row: TimerRow, draft: RecordDraft): void {
    this.#drafts.push({ row, draft })
  }

  propose(putter: Putter): void {
    this.#expected = this.#drafts.length
    for (const { row, draft } of this.#drafts) {
      const listener: PutListener = {
        stored: () => this.#told(),
        putFailed: (error) => {
          this.#owner.refused(row, error, this.#epoch)
          this.#told()
        },
      }
      this.#proposals.push(putter.putOrdered(draft, this, listener))
    }
  }

  /** In the order of time; what comes behind a refused one waits for it. */
  maySucceed(proposal: PutProposal): boolean {
    if (!this.#owner.isCurrent(this.#epoch) || this.#proposals[this.#encoded] !== proposal) return false
    this.#encoded++
    return true
  }

  #told(): void {
    this.#expected--
    assert(this.#expected >= 0, 'each delivery is told its outcome once')
    if (this.#expected === 0) this.#owner.windowDone(this.#epoch)
  }
}
