/**
 * Ending half messages, and counting how often their producers were asked. Works on a leader that takes writes, and only there.
 *
 * The record that commits a half message names it, and so does the one that rolls it back; applying either removes its row. So a
 * committed message is in the log exactly once, whoever leads, however often a producer says so.
 *
 * Keeps:
 *   H1  For one half message one entry is under way (metadata/claims.ts): what comes meanwhile waits and looks again.
 *   H2  What is counted for a half message does not come after its end.
 *   H3  What was given up is put again once, however often that is asked, where its id tells that it was (where keys are indexed).
 */
import type { Clock } from '@dledger-ts/base'
import {
  getProperty,
  type HostAddress,
  hostAddress,
  type MessageRecord,
  PropertyName,
  RecordDraft,
  recordPhysicalOffset,
  recordQueueOffset,
} from '@dledger-ts/protocol'
import type { NewMessage, PutResult } from '../api.ts'
import type { StoreMachine } from '../apply.ts'
import { deliveredOf } from '../delivered-property.ts'
import { StoreError } from '../errors.ts'
import type { ChangeProposer } from '../metadata/change-proposals.ts'
import { halfMessageAt, halfMessageKey, type HalfMessageRow } from '../metadata/half-messages.ts'
import type { Putter } from '../put.ts'
import type { RecordReader } from '../timer/record-reader.ts'
import {
  abandonedMessage,
  committedMessage,
  endingDraft,
  firstHalfMessage,
  opMessage,
  resumedMessage,
} from './half-message.ts'

/** Half messages in one page, and in one entry that counts, at most. */
const HALF_MESSAGES_MAX = 500
const NOBODY: HostAddress = hostAddress('127.0.0.1', 0)

export interface TransactionsOptions {
  readonly machine: StoreMachine
  readonly records: RecordReader
  readonly putter: Putter
  readonly changes: ChangeProposer
  readonly clock: Clock
  readonly storeHost: HostAddress | null
  readonly messageAt: (physicalOffset: number) => Promise<Buffer | undefined>
  /** The newest record of the half topic with this unique id; undefined where keys are not indexed. @throws StoreError BUSY: it is not known. */
  readonly newestHalf: (uniqueId: string) => Promise<Buffer | undefined>
}

export interface EndTransaction {
  /** Where the half message's record starts: commitLogOffset. */
  readonly physicalOffset: number
  /** Its queue offset: tranStateTableOffset. */
  readonly queueOffset: number
  readonly producerGroup: string
  /** `abandon` keeps the message in TRANS_CHECK_MAX_TIME_TOPIC. */
  readonly outcome: 'commit' | 'rollback' | 'abandon'
}

export interface HalfMessagesRequest {
  /** Those whose record starts here or later; 0 for all. */
  readonly from: number
  /** Those that are stored before this time. */
  readonly storedBeforeMs: number
  readonly limit: number
}

export interface HalfMessagesPage {
  /** Oldest first. */
  readonly rows: readonly HalfMessageRow[]
  /** `from` of the next page; null when there is none. */
  readonly next: number | null
}

export class Transactions {
  readonly #options: TransactionsOptions
  /** Given up ones that are being put again, or may have been: by where they are kept. */
  readonly #resuming = new Set<number>()

  constructor(options: TransactionsOptions) {
    this.#options = options
  }

  /** After every change of role: claims are of one leadership. */
  roleChanged(): void {
    this.#resuming.clear()
    this.#options.machine.metadata.halfMessages.claims.clear()
  }

  /** Pending half messages, oldest first. */
  halfMessages({ from, storedBeforeMs, limit }: HalfMessagesRequest): Promise<HalfMessagesPage> {
    const { halfMessages } = this.#options.machine.metadata
    const range = { from: halfMessageKey(from), limit: Math.min(limit, HALF_MESSAGES_MAX) }
    return new Promise((resolve, reject) => {
      halfMessages.page(range, (error, rows, next) => {
        if (error !== null) return reject(error)
        const wanted = rows.filter((row) => row.storeTimestamp < storedBeforeMs)
        const isEnd = next === null || wanted.length < rows.length
        resolve({ rows: wanted, next: isEnd ? null : halfMessageAt(next) })
      })
    })
  }

  /**
   * The half message of this name as it was put first, wherever its record stands now: with the place, the queue offset and the
   * time that its producer knows. Also one that has ended, as long as it is in the log where it was put.
   *
   * @returns undefined when there is none. @throws StoreError when it cannot be read.
   */
  async halfMessage(physicalOffset: number): Promise<MessageRecord | undefined> {
    const { messageAt } = this.#options
    let row = await this.#row(physicalOffset)
    for (;;) {
      const record = await messageAt(row?.recordOffset ?? physicalOffset)
      if (record !== undefined) return firstHalfMessage(record, row)
      // It may have been moved, and what stood there forgotten, while it was read.
      const now = await this.#row(physicalOffset)
      if (now === null || now.recordOffset === row?.recordOffset) return undefined
      row = now
    }
  }

  /**
   * Commits, rolls back or gives up a half message; resolves when that is applied here.
   *
   * @returns the record that ends it, null when no such half message is pending: it is ended already, or never was.
   * @throws StoreError INVALID when it is another producer's or stands elsewhere in its queue; else as a put.
   */
  async end(request: EndTransaction): Promise<PutResult | null> {
    const { records } = this.#options
    const epoch = this.#requireLeader()
    const row = await this.#claim(request.physicalOffset, epoch, (found) => checkMeant(found, request))
    if (row === null) return null
    return this.#whileClaimed(row, epoch, async () => {
      const record = await new Promise<Buffer>((resolve, reject) => {
        records.read({ ...row, physicalOffset: row.recordOffset }, (error, bytes) =>
          bytes === null ? reject(error as StoreError) : resolve(bytes),
        )
      })
      this.#requireEpoch(epoch)
      return this.#put(this.#ending(request, record), row, epoch)
    })
  }

  /** The producers of these were asked at `checkedMs`; resolves when that is applied here. Those ended meanwhile are left out. */
  async countCheck(physicalOffsets: readonly number[], checkedMs: number): Promise<void> {
    if (physicalOffsets.length > HALF_MESSAGES_MAX || !Number.isSafeInteger(checkedMs) || checkedMs < 0) {
      const what = `${physicalOffsets.length} checks at ${checkedMs} in one call`
      throw new StoreError(what, { code: 'INVALID', what })
    }
    await this.#recount(physicalOffsets, (row) => ({ ...row, checkCount: row.checkCount + 1, checkedMs }))
  }

  /**
   * A half message is asked for as if it never had been: one that is pending, or one that was given up, by the place at which it is kept
   * in TRANS_CHECK_MAX_TIME_TOPIC: that is put as a new one.
   *
   * @returns false when there is neither, or that new one has ended since; resolves when it is applied here. @throws StoreError as a put.
   */
  async resume(physicalOffset: number): Promise<boolean> {
    const epoch = this.#requireLeader()
    if (await this.#beginAgain(physicalOffset)) return true
    const kept = await this.#options.messageAt(physicalOffset)
    const message = kept === undefined ? undefined : resumedMessage(kept)
    if (message === undefined) return false
    this.#requireEpoch(epoch)
    if (this.#resuming.has(physicalOffset)) {
      throw new StoreError(`what is kept at ${physicalOffset} is being put again`, { code: 'BUSY' })
    }
    this.#resuming.add(physicalOffset)
    try {
      const isResumed = await this.#putAgain(message, physicalOffset, epoch)
      this.#resuming.delete(physicalOffset)
      return isResumed
    } catch (error) {
      const mayCome = error instanceof StoreError && error.code === 'TIMEOUT'
      if (!mayCome && this.#options.machine.epoch === epoch) this.#resuming.delete(physicalOffset)
      throw error
    }
  }

  // ------------------------------------------------------------------------------------------------ inside

  #ending({ outcome }: EndTransaction, record: Buffer): NewMessage {
    switch (outcome) {
      case 'commit':
        return this.#committed(committedMessage(record))
      case 'abandon':
        return abandonedMessage(record)
      case 'rollback':
        return opMessage(recordQueueOffset(record), this.#options.storeHost ?? NOBODY, this.#options.clock.nowMs())
    }
  }

  /** A delay that it asks for begins now. */
  #committed(message: NewMessage): NewMessage {
    return this.#options.putter.delayedOf(message)?.fields ?? message
  }

  #row(physicalOffset: number): Promise<HalfMessageRow | null> {
    const key = halfMessageKey(physicalOffset)
    return new Promise((resolve, reject) => {
      this.#options.machine.metadata.halfMessages.find(key, (error, row) => {
        if (error === null) resolve(row)
        else reject(error)
      })
    })
  }

  #beginAgain(physicalOffset: number): Promise<boolean> {
    return this.#recount([physicalOffset], (row) => ({ ...row, checkCount: 0, checkedMs: 0 }))
  }

  /** Unless it was put before: then that one is asked for from the beginning. */
  async #putAgain(message: NewMessage, keptAt: number, epoch: number): Promise<boolean> {
    const uniqueId = getProperty(message.properties, PropertyName.UNIQ_KEY)
    const newest = uniqueId === undefined ? undefined : await this.#options.newestHalf(uniqueId)
    if (newest !== undefined && recordPhysicalOffset(newest) > keptAt) return this.#beginAgain(firstPlaceOf(newest))
    this.#requireEpoch(epoch)
    // Not as a client's send: that would be answered with the first one where repeated sends are recognised.
    await this.#putDraft(new RecordDraft(message), epoch)
    return true
  }

  /** @returns whether any of them is pending. */
  async #recount(
    physicalOffsets: readonly number[],
    recounted: (row: HalfMessageRow) => HalfMessageRow,
  ): Promise<boolean> {
    const { changes } = this.#options
    const epoch = this.#requireLeader()
    const rows: HalfMessageRow[] = []
    try {
      for (const physicalOffset of new Set(physicalOffsets)) {
        const row = await this.#claim(physicalOffset, epoch, () => {})
        if (row !== null) rows.push(recounted(row))
      }
      this.#requireEpoch(epoch)
      if (rows.length > 0) await changes.propose({ kind: 'halfMessagesChecked', rows })
      return rows.length > 0
    } catch (error) {
      this.#releaseUnless(error, rows, epoch)
      throw error
    }
  }

  #put(message: NewMessage, row: HalfMessageRow, epoch: number): Promise<PutResult> {
    return this.#putDraft(endingDraft(message, row), epoch)
  }

  #putDraft(draft: RecordDraft, epoch: number): Promise<PutResult> {
    const { machine, putter } = this.#options
    return new Promise((stored, putFailed) => {
      putter.putOrdered(draft, { maySucceed: () => machine.epoch === epoch }, { stored, putFailed })
    })
  }

  /**
   * Claims a row at the moment at which it is certainly there.
   *
   * @param check may refuse the row by throwing. @returns null when there is none.
   */
  #claim(physicalOffset: number, epoch: number, check: (row: HalfMessageRow) => void): Promise<HalfMessageRow | null> {
    const { halfMessages } = this.#options.machine.metadata
    const key = halfMessageKey(physicalOffset)
    return new Promise((resolve, reject) => {
      const look = (): void => {
        halfMessages.find(key, (error, row) => {
          try {
            if (error !== null) throw error
            this.#requireEpoch(epoch)
            if (row === null) return resolve(null)
            check(row)
            if (!halfMessages.claims.has(key)) {
              halfMessages.claims.claim(key)
              return resolve(row)
            }
            if (halfMessages.claims.whenReleased(key, look)) return
            throw new StoreError(`too much is asked of the half message at ${physicalOffset}`, { code: 'BUSY' })
          } catch (failure) {
            reject(failure as StoreError)
          }
        })
      }
      look()
    })
  }

  async #whileClaimed<T>(row: HalfMessageRow, epoch: number, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      this.#releaseUnless(error, [row], epoch)
      throw error
    }
  }

  /** What may be in the log stays claimed until it is applied, or until the leadership ends. */
  #releaseUnless(error: unknown, rows: readonly HalfMessageRow[], epoch: number): void {
    const { machine } = this.#options
    if ((error instanceof StoreError && error.code === 'TIMEOUT') || machine.epoch !== epoch) return
    for (const row of rows) machine.metadata.halfMessages.claims.release(halfMessageKey(row.physicalOffset))
  }

  /** @returns the leadership in which what follows is done. */
  #requireLeader(): number {
    const { role, epoch } = this.#options.machine
    if (!role.ready) throw new StoreError('this member does not lead', { code: 'NOT_LEADER', leader: role.leader })
    return epoch
  }

  #requireEpoch(epoch: number): void {
    const { machine } = this.#options
    if (machine.epoch === epoch) return
    throw new StoreError('the leadership was lost', { code: 'NOT_LEADER', leader: machine.role.leader })
  }
}

/** The name of a half message, by one of its records. */
function firstPlaceOf(record: Buffer): number {
  const delivered = deliveredOf(record)
  return delivered?.kind === 'halfMove' ? delivered.physicalOffset : recordPhysicalOffset(record)
}

/** @throws StoreError INVALID. */
function checkMeant(row: HalfMessageRow, { producerGroup, queueOffset }: EndTransaction): void {
  if (row.producerGroup === producerGroup && row.queueOffset === queueOffset) return
  const what = `the half message at ${row.physicalOffset} is number ${row.queueOffset} of ${row.producerGroup}, not ${queueOffset} of ${producerGroup}`
  throw new StoreError(what, { code: 'INVALID', what })
}
