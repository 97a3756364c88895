/**
 * The sends of the last `windowMs`, known from the records of the log: which of them had this topic and unique id, and where
 * does it stand.
 *
 *   apply ──► add                     every member follows, so a new leader knows what an earlier one stored
 *   start ──► rebuild from the log    what was applied before the checkpoint, as far back as the span and the limit reach
 *
 * Keeps:
 *   S1  A record is in the table exactly when it is a send (send-identity.ts), in log order; nothing but the log decides.
 *   S2  Spans are differences of store timestamps, which never go back; no clock expires anything.
 *   S3  At most `idsMax` are known. Beyond that the oldest is forgotten before its span ends: its repetition would be stored. That
 *       is counted, and told once.
 *   S4  While the log is read nothing is added by apply, so ids are added once each and in log order; a state that is given up meanwhile
 *       begins the reading anew.
 */
import type { Clock, Logger } from '@dledger-ts/base'
import type { CommittedEntry } from '@dledger-ts/dledger'
import { isQueued, recordStoreTimestamp, recordSysFlag, recordTopic } from '@dledger-ts/protocol'
import { physicalOffsetOf } from '../log-place.ts'
import type { AppliedEntries } from '../rebuild/log-scan.ts'
import { IdTable } from './id-table.ts'
import { SendHash, sentTopicOf, uniqueIdOfRecord } from './send-identity.ts'

/** Messages of one hash that are compared with a send, newest first. Equal hashes of different ids do not happen by chance. */
const CANDIDATES_MAX = 16

/** Read of the log at once, and handled in one pass. */
const PIECE_BYTES = 512 * 1024
const TELL_MS = 1_000
const PROGRESS_LOG_MS = 5_000

/** How far the log is read for the sends of the last span. */
export interface SendsProgress {
  readonly doneEntries: number
  /** Grows with what is applied meanwhile. */
  readonly totalEntries: number
  readonly entriesPerSecond: number
}

export interface StoredSendsOptions {
  readonly windowMs: number
  readonly idsMax: number
  readonly clock: Clock
  readonly logger: Logger
  /** Told when reading begins, then at most once a second, and at the end. Null for nobody. */
  readonly onProgress: ((progress: SendsProgress) => void) | null
}

export class StoredSends {
  readonly windowMs: number
  readonly #options: StoredSendsOptions
  readonly #table: IdTable
  readonly #hash = new SendHash()
  readonly #idsMax: number
  /** Nothing is added by apply until the table is rebuilt up to what is applied. */
  #isFollowing = false
  #rebuilding: Promise<void> | null = null
  #progress: SendsProgress | null = null
  /** Grows when what is known is void. */
  #generation = 0
  #forgottenEarly = 0

  constructor(options: StoredSendsOptions) {
    this.windowMs = options.windowMs
    this.#idsMax = options.idsMax
    this.#options = options
    this.#table = new IdTable(options.idsMax)
  }

  /** Null when the log is not being read. */
  get progress(): SendsProgress | null {
    return this.#progress
  }

  get count(): number {
    return this.#table.count
  }

  /** Ids that had to go before their span was over. */
  get forgottenEarly(): number {
    return this.#forgottenEarly
  }

  /** Apply: a queued record of `topic`. Hot. */
  applied(record: Buffer, topic: string, physicalOffset: number): void {
    if (this.#isFollowing) this.#add(record, topic, physicalOffset)
  }

  /** @returns places of records that have this hash and were stored at `timeMin` or later, newest first; mostly none. */
  candidates(topic: string, uniqueId: string, timeMin: number): readonly number[] {
    this.#hash.take(topic, uniqueId)
    let slot = this.#table.find(this.#hash.high, this.#hash.low, timeMin)
    if (slot < 0) return NO_PLACES
    const places: number[] = []
    for (; slot >= 0 && places.length < CANDIDATES_MAX; slot = this.#table.findOlder(slot, timeMin))
      places.push(this.#table.placeAt(slot))
    return places
  }

  /** The state was given up, or replaced by another member's: what is known of the log is void. */
  clear(): void {
    this.#generation++
    this.#table.clear()
  }

  /**
   * Reads the sends of the last span before the newest applied entry from the log, then follows. Entries that are applied meanwhile
   * are read too.
   *
   * @param appliedIndex asked again and again: entries up to it are in the log for good.
   */
  rebuild(log: AppliedEntries, appliedIndex: () => number): Promise<void> {
    // One that is under way sees by itself that it is to begin anew.
    this.#rebuilding ??= this.#rebuild(log, appliedIndex).finally(() => {
      this.#rebuilding = null
    })
    return this.#rebuilding
  }

  async #rebuild(log: AppliedEntries, appliedIndex: () => number): Promise<void> {
    this.#isFollowing = false
    while (!this.#isFollowing) {
      const generation = this.#generation
      this.#table.clear()
      let isWhole = false
      try {
        isWhole = await this.#read(log, appliedIndex, () => generation === this.#generation)
      } catch (error) {
        const what = 'not all sends of the last span are known: a repetition of an older one is stored'
        this.#options.logger.warn({ err: error }, what)
        isWhole = true
      }
      this.#progress = null
      this.#isFollowing = isWhole && generation === this.#generation
    }
  }

  /** @returns false when what was read is void. */
  async #read(log: AppliedEntries, appliedIndex: () => number, isValid: () => boolean): Promise<boolean> {
    if (appliedIndex() < 0) return true
    const { clock, logger } = this.#options
    const first = await this.#firstIndex(log, appliedIndex())
    const beganMs = clock.monotonicMs()
    let [toldMs, loggedMs] = [beganMs, beganMs]
    let next = first
    this.#tell(0, appliedIndex() + 1 - first, 0)
    while (isValid() && next <= appliedIndex()) {
      const entries = await read(log, next, appliedIndex(), PIECE_BYTES)
      if (!isValid()) return false
      for (const { pos, kind, body } of entries) {
        if (kind === 'data' && isQueued(recordSysFlag(body))) this.#add(body, recordTopic(body), physicalOffsetOf(pos))
      }
      next += entries.length
      const nowMs = clock.monotonicMs()
      const isTold = nowMs - toldMs >= TELL_MS || next > appliedIndex()
      const progress = this.#tell(next - first, appliedIndex() + 1 - first, nowMs - beganMs, isTold)
      if (isTold) toldMs = nowMs
      if (nowMs - loggedMs < PROGRESS_LOG_MS) continue
      loggedMs = nowMs
      logger.info({ ...progress }, 'the sends of the last span are being read from the log')
    }
    return isValid()
  }

  #tell(doneEntries: number, totalEntries: number, tookMs: number, isTold = true): SendsProgress {
    const entriesPerSecond = tookMs > 0 ? Math.round((doneEntries * 1_000) / tookMs) : 0
    this.#progress = { doneEntries, totalEntries: Math.max(doneEntries, totalEntries), entriesPerSecond }
    if (isTold) this.#options.onProgress?.(this.#progress)
    return this.#progress
  }

  /** @returns the first entry that may hold a send of the span before the newest one, and is not further back than the limit. */
  async #firstIndex(log: AppliedEntries, lastIndex: number): Promise<number> {
    const timeMin = (await storeTimeAt(log, lastIndex)) - this.windowMs
    let low = Math.max(log.firstIndex, lastIndex + 1 - this.#idsMax)
    let high = lastIndex
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if ((await storeTimeAt(log, middle)) < timeMin) low = middle + 1
      else high = middle
    }
    return low
  }

  #add(record: Buffer, topic: string, physicalOffset: number): void {
    const sentTopic = sentTopicOf(record, topic)
    const uniqueId = uniqueIdOfRecord(record, sentTopic)
    if (sentTopic === undefined || uniqueId === undefined) return
    const storeTimestamp = recordStoreTimestamp(record)
    const forgotten = this.#table.timeToBeForgotten
    if (forgotten !== undefined && forgotten >= storeTimestamp - this.windowMs) this.#forgetEarly()
    this.#hash.take(sentTopic, uniqueId)
    this.#table.add(this.#hash.high, this.#hash.low, physicalOffset, storeTimestamp)
  }

  #forgetEarly(): void {
    this.#forgottenEarly++
    if (this.#forgottenEarly > 1) return
    this.#options.logger.warn(
      { idsMax: this.#idsMax, windowMs: this.windowMs },
      'more sends came within duplicateSendWindowMs than duplicateSendIdsMax: the oldest are not recognised any more',
    )
  }
}

const NO_PLACES: readonly number[] = []

/** Every entry is a record and has its time, those of the log itself too. */
async function storeTimeAt(log: AppliedEntries, index: number): Promise<number> {
  const [entry] = await read(log, index, index, 1)
  return recordStoreTimestamp((entry as CommittedEntry).body)
}

function read(
  log: AppliedEntries,
  firstIndex: number,
  lastIndex: number,
  bytesMax: number,
): Promise<readonly CommittedEntry[]> {
  return new Promise((resolve, reject) => {
    log.readApplied(firstIndex, lastIndex, bytesMax, (error, entries) => {
      if (error !== null || entries === null) reject(error ?? new Error(`entry ${firstIndex} cannot be read`))
      else resolve(entries)
    })
  })
}
