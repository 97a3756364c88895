/**
 * What a leader that takes writes does with messages that are popped: puts them in flight, ends them when they are acknowledged or
 * come again, changes how long they are invisible.
 *
 * Keeps:
 *   Q1  For one message one entry is under way (metadata/claims.ts): an acknowledgement that comes twice, or after its message
 *       came again, ends nothing, and is answered when that is certain.
 *   Q2  Whatever is asked in one pass of the event loop goes into one entry, up to ROWS_MAX.
 *   Q3  A group goes on behind what it popped by the same entry that puts that in flight: nothing is passed over, and nothing
 *       that was acknowledged is popped again.
 */
import type { Clock } from '@dledger-ts/base'
import { RecordDraft } from '@dledger-ts/protocol'
import type { NewMessage, PutResult } from '../api.ts'
import type { StoreMachine } from '../apply.ts'
import { withDelivered, withoutForeignDelivered } from '../delivered-property.ts'
import { StoreError } from '../errors.ts'
import { storeErrorOfDraft } from '../log-errors.ts'
import type { ConsumerOffsetRow } from '../metadata/change.ts'
import type { ChangeProposer } from '../metadata/change-proposals.ts'
import type { ConsumerOffsets } from '../metadata/consumer-offsets.ts'
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
  readonly offsets: ConsumerOffsets
  readonly clock: Clock
}

/** What is popped of one queue. */
export interface PoppedQueue {
  readonly topic: string
  readonly queueId: number
  /** Ascending. */
  readonly queueOffsets: readonly number[]
  /** Where the group goes on. */
  readonly nextOffset: number
}

export interface PopRequest {
  readonly group: string
  readonly queues: readonly PoppedQueue[]
  /** Invisible until then. */
  readonly untilMs: number
  readonly poppedMs: number
}

interface Waiting {
  readonly changes: readonly PoppedChange[]
  readonly offsets: readonly ConsumerOffsetRow[]
  readonly epoch: number
  readonly callback: (error: StoreError | null) => void
}

export class Pops {
  readonly #options: PopsOptions
  #waiting: Waiting[] = []
  #waitingRows = 0

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
   * @returns true.
   */
  async pop(name: PoppedName, untilMs: number, poppedMs: number): Promise<boolean> {
    checkTime(untilMs)
    checkTime(poppedMs)
    return this.#change(name, (row) => [row?.untilMs ?? null, untilMs, poppedMs, (row?.attempts ?? 0) + 1])
  }

  /**
   * Puts what was read of some queues in flight, and moves the group on behind it. Resolves when that is applied here.
   *
   * @returns for each queue the offsets that are in flight now; without those that are being acknowledged just now, or that are
   *   about to come again: a group that was moved back meets such.
   */
  async popQueues({ group, queues, untilMs, poppedMs }: PopRequest): Promise<readonly (readonly number[])[]> {
    checkTime(untilMs)
    checkTime(poppedMs)
    const epoch = this.#requireLeader()
    const changes: PoppedChange[] = []
    const names: PoppedName[] = []
    const taken: number[][] = []
    try {
      for (const { topic, queueId, queueOffsets } of queues) {
        const ours = await this.#claimRange({ group, topic, queueId }, queueOffsets, epoch)
        taken.push([...ours.keys()])
        for (const [queueOffset, row] of ours) {
          names.push({ group, topic, queueId, queueOffset })
          const attempts = (row?.attempts ?? 0) + 1
          changes.push([group, topic, queueId, queueOffset, row?.untilMs ?? null, untilMs, poppedMs, attempts])
        }
      }
      const offsets = queues.map(({ topic, queueId, nextOffset }) => [group, topic, queueId, nextOffset] as const)
      await this.#propose(changes, offsets, epoch)
    } catch (error) {
      for (const name of names) this.#releaseUnless(error, name, epoch)
      throw error
    }
    return taken
  }

  /** The message was consumed. @returns false when it is not in flight under this handle. */
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
   * @returns null when that is not in flight under this handle.
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
    try {
      await this.#propose([[group, topic, queueId, queueOffset, ...(outcome as unknown as Outcome)]], [], epoch)
    } catch (error) {
      this.#releaseUnless(error, name, epoch)
      throw error
    }
    return true
  }

  #propose(changes: readonly PoppedChange[], offsets: readonly ConsumerOffsetRow[], epoch: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const callback: Waiting['callback'] = (error) => (error === null ? resolve() : reject(error))
      this.#waiting.push({ changes, offsets, epoch, callback })
      this.#waitingRows += changes.length
      if (this.#waiting.length === 1) this.#options.clock.defer(() => this.#flush())
    })
  }

  #flush(): void {
    const all = this.#waiting
    this.#waiting = []
    this.#waitingRows = 0
    let begin = 0
    let rows = 0
    for (let i = 0; i < all.length; i++) {
      const { length } = (all[i] as Waiting).changes
      if (i > begin && rows + length > ROWS_MAX) {
        this.#proposeAll(all.slice(begin, i))
        begin = i
        rows = 0
      }
      rows += length
    }
    this.#proposeAll(all.slice(begin))
  }

  #proposeAll(all: readonly Waiting[]): void {
    const { machine, changes, offsets } = this.#options
    const lost = new StoreError('the leadership was lost', { code: 'NOT_LEADER', leader: machine.role.leader })
    const current = all.filter(({ epoch }) => epoch === machine.epoch)
    for (const { epoch, callback } of all) if (epoch !== machine.epoch) callback(lost)
    if (current.length === 0) return
    const moved = current.flatMap((one) => one.offsets)
    const movedBack = moved.map((row) => offsets.proposed(row))
    const told = (error: StoreError | null): void => {
      if (error !== null) for (const undo of movedBack) undo()
      for (const { callback } of current) callback(error)
    }
    try {
      changes.proposeWith({ kind: 'popped', rows: current.flatMap((one) => one.changes), offsets: moved }, told)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      told(error)
    }
  }

  /** Claims those of the messages that nobody has claimed. @returns their rows, undefined where there is none. */
  #claimRange(
    queue: Omit<PoppedName, 'queueOffset'>,
    queueOffsets: readonly number[],
    epoch: number,
  ): Promise<ReadonlyMap<number, PoppedMessage | undefined>> {
    const { popped } = this.#options.machine.metadata
    const first = queueOffsets[0]
    const last = queueOffsets.at(-1)
    if (first === undefined || last === undefined) return Promise.resolve(new Map())
    if (queueOffsets.length > PAGE_ROWS_MAX) {
      const what = `${queueOffsets.length} messages are too many for one pop`
      throw new StoreError(what, { code: 'INVALID', what })
    }
    for (const queueOffset of queueOffsets) checkName({ ...queue, queueOffset })
    this.#checkRoom()
    const range = {
      from: poppedKey({ ...queue, queueOffset: first }),
      before: `${poppedKey({ ...queue, queueOffset: last })}\0`,
    }
    return new Promise((resolve, reject) => {
      popped.inOrder({ ...range, limit: PAGE_ROWS_MAX }, (error, page) => {
        if (error !== null) return reject(error)
        const lost = this.#lost(epoch)
        if (lost !== null) return reject(lost)
        const rows = new Map((page?.rows ?? []).map((row) => [row.queueOffset, row]))
        const ours = new Map<number, PoppedMessage | undefined>()
        for (const queueOffset of queueOffsets) {
          const key = poppedKey({ ...queue, queueOffset })
          if (popped.claims.has(key)) continue
          popped.claims.claim(key)
          ours.set(queueOffset, rows.get(queueOffset))
        }
        resolve(ours)
      })
    })
  }

  #checkRoom(): void {
    if (this.#waitingRows < WAITING_MAX) return
    throw new StoreError(`${WAITING_MAX} popped messages wait for their entry`, { code: 'BUSY' })
  }

  #lost(epoch: number): StoreError | null {
    const { machine } = this.#options
    if (machine.epoch === epoch) return null
    return new StoreError('the leadership was lost', { code: 'NOT_LEADER', leader: machine.role.leader })
  }

  /**
   * Waits while another entry for the message is under way, then claims it.
   *
   * @returns the row, `none` where there is none, claimed; null when `isWanted` says no.
   */
  #claim(
    name: PoppedName,
    epoch: number,
    isWanted: (row: PoppedMessage | undefined) => boolean,
  ): Promise<PoppedMessage | 'none' | null> {
    const { popped } = this.#options.machine.metadata
    checkName(name)
    this.#checkRoom()
    const key = poppedKey(name)
    return new Promise((resolve, reject) => {
      const look = (): void => {
        popped.find(name, (error, row) => {
          if (error !== null) return reject(error)
          const lost = this.#lost(epoch)
          if (lost !== null) return reject(lost)
          if (popped.claims.has(key)) {
            if (popped.claims.whenReleased(key, look)) return
            return reject(new StoreError('too much is asked of one popped message', { code: 'BUSY' }))
          }
          if (!isWanted(row ?? undefined)) return resolve(null)
          popped.claims.claim(key)
          resolve(row ?? 'none')
        })
      }
      look()
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
