/**
 * Calling a timer back before it is due: by its time and its message's id, as a recall handle has them.
 *
 * Keeps: a timer is delivered or called back, never both (metadata/timers.ts, `claims`); what came due meanwhile and is not called back
 * is delivered then.
 */
import { PropertyName, recordProperty } from '@dledger-ts/protocol'
import type { StoreMachine } from '../apply.ts'
import { StoreError } from '../errors.ts'
import type { ChangeProposer } from '../metadata/change-proposals.ts'
import { timerKey, timersAfter, type TimerRow } from '../metadata/timers.ts'
import { numberKey } from '../metadata/row-codec.ts'
import type { RecordReader } from './record-reader.ts'
import type { TimerDelivery } from './timer-delivery.ts'
import { outTime, timerIdHash } from './timer-message.ts'

const PAGE_COUNT = 500

export interface TimerRecallOptions {
  readonly machine: StoreMachine
  readonly records: RecordReader
  readonly changes: ChangeProposer
  readonly delivery: Pick<TimerDelivery, 'wake'>
  readonly timerPrecisionMs: number
}

export interface RecallRequest {
  /** The real topic of the message. */
  readonly topic: string
  /** When it is to be delivered, as its handle says. */
  readonly deliverMs: number
  /** Property UNIQ_KEY of the message. */
  readonly uniqKey: string
}

export class TimerRecall {
  readonly #options: TimerRecallOptions

  constructor(options: TimerRecallOptions) {
    this.#options = options
  }

  /**
   * Resolves when the end of the timer is applied here.
   *
   * @returns false when no such timer is pending: there was none, it is being delivered, or it was called back already.
   * @throws StoreError as a put.
   */
  async recall(request: RecallRequest): Promise<boolean> {
    const { machine, changes } = this.#options
    const { role, epoch } = machine
    if (!role.ready) throw new StoreError('this member does not lead', { code: 'NOT_LEADER', leader: role.leader })
    const row = await this.#claim(request, epoch)
    if (row === undefined) return false
    try {
      await changes.propose({ kind: 'endTimers', timers: [[row.outMs, row.physicalOffset]] })
      return true
    } catch (error) {
      const isUnknown = error instanceof StoreError && error.code === 'TIMEOUT'
      if (!isUnknown && machine.epoch === epoch) this.#release(row)
      throw error
    }
  }

  /** @returns the timer that is meant, claimed. */
  async #claim(request: RecallRequest, epoch: number): Promise<TimerRow | undefined> {
    const outMs = outTime(request.deliverMs, this.#options.timerPrecisionMs)
    const idHash = timerIdHash(request.topic, request.uniqKey)
    for (let from: string | null = numberKey(outMs); from !== null;) {
      const page: Page = await this.#page(from, timersAfter(outMs), idHash, epoch)
      let found: TimerRow | undefined
      for (const row of page.claimed) {
        const isMeant = found === undefined && (await this.#isMeant(row, request))
        this.#requireEpoch(epoch)
        if (isMeant) found = row
        else this.#release(row)
      }
      if (found !== undefined) return found
      from = page.next
    }
    return undefined
  }

  /** Claims rows with this hash at the moment at which they are certainly there. */
  #page(from: string, before: string, idHash: number, epoch: number): Promise<Page> {
    const { timers } = this.#options.machine.metadata
    return new Promise((resolve, reject) => {
      timers.page({ from, before, limit: PAGE_COUNT }, (error, rows, next) => {
        if (error !== null) return reject(error)
        try {
          this.#requireEpoch(epoch)
        } catch (lost) {
          return reject(lost as StoreError)
        }
        const claimed = rows.filter((row) => row.idHash === idHash && !timers.claims.has(keyOf(row)))
        for (const row of claimed) timers.claims.add(keyOf(row))
        resolve({ claimed, next })
      })
    })
  }

  #release(row: TimerRow): void {
    const { machine, delivery } = this.#options
    machine.metadata.timers.release(row)
    delivery.wake()
  }

  /** Claims are of one leadership. @throws StoreError NOT_LEADER. */
  #requireEpoch(epoch: number): void {
    const { machine } = this.#options
    if (machine.epoch === epoch) return
    throw new StoreError('the leadership was lost', { code: 'NOT_LEADER', leader: machine.role.leader })
  }

  #isMeant(row: TimerRow, { topic, uniqKey }: RecallRequest): Promise<boolean> {
    return new Promise((resolve) => {
      this.#options.records.read(row, (_, record) => {
        resolve(
          record !== null &&
            recordProperty(record, PropertyName.REAL_TOPIC) === topic &&
            recordProperty(record, PropertyName.UNIQ_KEY) === uniqKey,
        )
      })
    })
  }
}

interface Page {
  readonly claimed: readonly TimerRow[]
  readonly next: string | null
}

function keyOf(row: TimerRow): string {
  return timerKey(row.outMs, row.physicalOffset)
}
