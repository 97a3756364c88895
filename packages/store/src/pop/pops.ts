/**
 * What a leader that takes writes does with messages that are popped: puts them in flight, ends them when they are acknowledged or
 * come again, changes how long they are invisible.
 *
 * Keeps:
 *   Q1  For one message one entry is under way (metadata/claims.ts): an acknowledgement that comes twice, or after its message
 *       came again, ends nothing.
 *   Q2  Whatever is asked in one pass of the event loop goes into one entry, up to ROWS_MAX.
 */
import type { Clock } from '@dledger-ts/base'
import { RecordDraft } from '@dledger-ts/protocol'
import type { NewMessage, PutResult } from '../api.ts'
import type { StoreMachine } from '../apply.ts'
import { withDelivered, withoutForeignDelivered } from '../delivered-property.ts'
import { StoreError } from '../errors.ts'
import { storeErrorOfDraft } from '../log-errors.ts'
import type { ChangeProposer } from '../metadata/change-proposals.ts'
import {
  type PoppedChange,
  type PoppedHandle,
  poppedKey,
  type PoppedMessage,
  type PoppedName,
  type PoppedPage,
} from '../metadata/popped-messages.ts'
import { PAGE_ROWS_MAX } from '../metadata/ordered-table.ts'
import { numberKey } from '../metadata/row-codec.ts'
import type { Putter } from '../put.ts'
import { checkMessage, checkNewQueue } from '../put-checks.ts'

/** Messages in one entry at most. */
const ROWS_MAX = 1_000
/** Messages that wait for their entry at most; beyond, what is asked is refused with BUSY. */
const WAITING_MAX = 100_000
/** Printable, and no colon: names stand in keys, and in the property of the record that ends a message's flight. */
const NAME = /^[!-9;-~]{1,255}$/

export interface PopsOptions {
  readonly machine: StoreMachine
  readonly changes: ChangeProposer
  readonly putter: Putter
  readonly clock: Clock
}

interface Waiting {
  readonly change: PoppedChange
  readonly epoch: number
  readonly callback: (error: StoreError | null) => void
}

export class Pops {
  readonly #options: PopsOptions
  #waiting: Waiting[] = []

  constructor(options: PopsOptions) {
    this.#options = options
  }

  /** Another leadership. */
  roleChanged(): void {
    this.#options.machine.metadata.popped.claims.clear()
  }

  /**
   * Puts a message in flight, or in flight again: until `untilMs` it is not to be popped. Resolves when that is applied here.
   *
   * @returns false when another entry for it is under way.
   */
  async pop(name: PoppedName, untilMs: number, poppedMs: number): Promise<boolean> {
    checkTime(untilMs)
    checkTime(poppedMs)
    return this.#change(name, (row) => [row?.untilMs ?? null, untilMs, poppedMs, (row?.attempts ?? 0) + 1])
  }

  /** The message was consumed. @returns false when it is not in flight under this handle, or its end is under way. */
  async acknowledge(handle: PoppedHandle): Promise<boolean> {
    return this.#change(handle, (row) => {
      return row?.untilMs === handle.untilMs ? [row.untilMs, null, row.poppedMs, row.attempts] : null
    })
  }

  /** Makes it invisible until another time. @returns as `acknowledge`; the handle has the new time from then on. */
  async changeInvisible(handle: PoppedHandle, untilMs: number): Promise<boolean> {
    checkTime(untilMs)
    return this.#change(handle, (row) => {
      return row?.untilMs === handle.untilMs ? [row.untilMs, untilMs, row.poppedMs, row.attempts] : null
    })
  }

  /**
   * Puts a message that ends another one's flight, as its republication does: both happen or none.
   *
   * @returns null when that is not in flight under this handle, or another entry for it is under way.
   */
  async endWith(handle: PoppedHandle, message: NewMessage): Promise<PutResult | null> {
    const { machine, putter } = this.#options
    const epoch = this.#requireLeader()
    const properties = withDelivered(withoutForeignDelivered(message.properties), { kind: 'pop', message: handle })
    let draft: RecordDraft
    try {
      checkMessage(message)
      checkNewQueue(message.topic, message.queueId)
      draft = new RecordDraft({ ...message, properties })
    } catch (error) {
      throw error instanceof StoreError ? error : storeErrorOfDraft(error)
    }
    const row = await this.#claim(handle, epoch, (found) => found?.untilMs === handle.untilMs)
    if (row === null) return null
    try {
      return await new Promise<PutResult>((stored, putFailed) => {
        putter.putOrdered(draft, { maySucceed: () => machine.epoch === epoch }, { stored, putFailed })
      })
    } catch (error) {
      this.#releaseUnless(error, handle, epoch)
      throw error
    }
  }

  /** Messages of one queue that are in flight, by offset. */
  inFlight(queue: Omit<PoppedName, 'queueOffset'>, fromOffset: number, limit: number): Promise<PoppedPage> {
    const from = poppedKey({ ...queue, queueOffset: fromOffset })
    const before = poppedKey({ ...queue, queueOffset: Number.MAX_SAFE_INTEGER })
    return this.#page((callback) => {
      this.#options.machine.metadata.popped.inOrder({ from, before, limit: Math.min(limit, PAGE_ROWS_MAX) }, callback)
    })
  }

  /** Messages whose time has come by `nowMs`, in the order of time. */
  due(nowMs: number, from: string, limit: number): Promise<PoppedPage> {
    const range = { from, before: numberKey(nowMs + 1), limit: Math.min(limit, PAGE_ROWS_MAX) }
    return this.#page((callback) => this.#options.machine.metadata.popped.inTime(range, callback))
  }

  // ------------------------------------------------------------------------------------------------ inside

  async #change(name: PoppedName, change: (row: PoppedMessage | undefined) => Outcome | null): Promise<boolean> {
    const epoch = this.#requireLeader()
    let outcome: Outcome | null = null
    const row = await this.#claim(name, epoch, (found) => {
      outcome = change(found)
      return outcome !== null
    })
    if (row === null) return false
    const { group, topic, queueId, queueOffset } = name
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({
        change: [group, topic, queueId, queueOffset, ...(outcome as unknown as Outcome)],
        epoch,
        callback: (error) => (error === null ? resolve() : reject(error)),
      })
      if (this.#waiting.length === 1) this.#options.clock.defer(() => this.#flush())
    }).catch((error: unknown) => {
      this.#releaseUnless(error, name, epoch)
      throw error
    })
    return true
  }

  #flush(): void {
    const all = this.#waiting
    this.#waiting = []
    for (let i = 0; i < all.length; i += ROWS_MAX) this.#propose(all.slice(i, i + ROWS_MAX))
  }

  #propose(all: readonly Waiting[]): void {
    const { machine, changes } = this.#options
    const lost = new StoreError('the leadership was lost', { code: 'NOT_LEADER', leader: machine.role.leader })
    const current = all.filter(({ epoch }) => epoch === machine.epoch)
    for (const { epoch, callback } of all) if (epoch !== machine.epoch) callback(lost)
    if (current.length === 0) return
    const told = (error: StoreError | null): void => {
      for (const { callback } of current) callback(error)
    }
    try {
      changes.proposeWith({ kind: 'popped', rows: current.map(({ change }) => change) }, told)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      told(error)
    }
  }

  /** @returns the row, `none` where there is none, claimed; null when `isWanted` says no or it is claimed by another. */
  #claim(
    name: PoppedName,
    epoch: number,
    isWanted: (row: PoppedMessage | undefined) => boolean,
  ): Promise<PoppedMessage | 'none' | null> {
    const { popped } = this.#options.machine.metadata
    checkName(name)
    if (this.#waiting.length >= WAITING_MAX) {
      throw new StoreError(`${WAITING_MAX} popped messages wait for their entry`, { code: 'BUSY' })
    }
    const key = poppedKey(name)
    return new Promise((resolve, reject) => {
      popped.inOrder({ from: key, before: `${key}\0`, limit: 1 }, (error, page) => {
        if (error !== null) return reject(error)
        const { machine } = this.#options
        if (machine.epoch !== epoch) {
          return reject(new StoreError('the leadership was lost', { code: 'NOT_LEADER', leader: machine.role.leader }))
        }
        const row = page?.rows[0]
        if (popped.claims.has(key) || !isWanted(row)) return resolve(null)
        popped.claims.claim(key)
        resolve(row ?? 'none')
      })
    })
  }

  #page(read: (callback: (error: StoreError | null, page: PoppedPage | null) => void) => void): Promise<PoppedPage> {
    return new Promise((resolve, reject) => {
      read((error, page) => (page === null ? reject(error as StoreError) : resolve(page)))
    })
  }

  /** What may be in the log stays claimed until it is applied, or until the leadership ends. */
  #releaseUnless(error: unknown, name: PoppedName, epoch: number): void {
    const { machine } = this.#options
    if ((error instanceof StoreError && error.code === 'TIMEOUT') || machine.epoch !== epoch) return
    machine.metadata.popped.claims.release(poppedKey(name))
  }

  #requireLeader(): number {
    const { role, epoch } = this.#options.machine
    if (!role.ready) throw new StoreError('this member does not lead', { code: 'NOT_LEADER', leader: role.leader })
    return epoch
  }
}

type Outcome = readonly [before: number | null, after: number | null, poppedMs: number, attempts: number]

/** @throws StoreError INVALID. */
function checkName({ group, topic, queueId, queueOffset }: PoppedName): void {
  const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0
  if (NAME.test(group) && NAME.test(topic) && isCount(queueId) && isCount(queueOffset)) return
  const what = `no popped message: ${JSON.stringify([group, topic, queueId, queueOffset])}`
  throw new StoreError(what, { code: 'INVALID', what })
}

/** @throws StoreError INVALID. */
function checkTime(timeMs: number): void {
  if (Number.isSafeInteger(timeMs) && timeMs >= 0) return
  const what = `${timeMs} is no time`
  throw new StoreError(what, { code: 'INVALID', what })
}
