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
 */
import type { Logger } from '@dledger-ts/base'
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

export interface StoredSendsOptions {
  readonly windowMs: number
  readonly idsMax: number
  readonly logger: Logger
}

export class StoredSends {
  readonly windowMs: number
  readonly #logger: Logger
  readonly #table: IdTable
  readonly #hash = new SendHash()
  readonly #idsMax: number
  /** Nothing is added by apply until the table is rebuilt up to what is applied. */
  #isFollowing = false
  #forgottenEarly = 0

  constructor(options: StoredSendsOptions) {
    this.windowMs = options.windowMs
    this.#idsMax = options.idsMax
    this.#logger = options.logger
    this.#table = new IdTable(options.idsMax)
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
    this.#table.clear()
  }

  /**
   * Reads the sends of the last span before the newest applied entry from the log, then follows. Entries that are applied meanwhile
   * are read too.
   *
   * @param appliedIndex asked again and again: entries up to it are in the log for good.
   */
  async rebuild(log: AppliedEntries, appliedIndex: () => number): Promise<void> {
    let next = 0
    try {
      if (appliedIndex() >= 0) next = await this.#firstIndex(log, appliedIndex())
      while (next <= appliedIndex()) {
        const entries = await read(log, next, appliedIndex(), PIECE_BYTES)
        for (const { pos, kind, body } of entries) {
          if (kind === 'data' && isQueued(recordSysFlag(body)))
            this.#add(body, recordTopic(body), physicalOffsetOf(pos))
        }
        next += entries.length
      }
    } catch (error) {
      const what = 'not all sends of the last span are known: a repetition of an older one is stored'
      this.#logger.warn({ err: error, index: next }, what)
    }
    this.#isFollowing = true
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
    this.#logger.warn(
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
