/**
 * Asks producers what became of their half messages. Runs on a leader that takes writes, and only there.
 *
 *   half message stored, group appeared, time ──► round: every pending one, oldest first ──► due? count it, then ask ──► too often? give up
 *
 * A half message is due `transactionTimeOut` after it was stored (CHECK_IMMUNITY_TIME_IN_SECONDS of its own wins), and
 * `transactionCheckInterval` after each question. After `transactionCheckMax` questions, or when it is older than
 * `fileReservedTime`, it is given up.
 *
 * Keeps:
 *   T1  A question counts before it is sent, and only one that somebody was there to answer: while no producer of the group is
 *       connected its half messages wait, and are asked for as soon as one is.
 *   T2  No clock runs while nothing is pending. Rounds take a twentieth of the time at most, however much is pending.
 *   T3  Memory does not grow with what is pending: a round looks at one page at a time.
 *
 * Source: TransactionalMessageServiceImpl.check, of which it keeps the limits and not the method: nothing is stored anew here.
 */
import { background, type Clock, type Logger } from '@dledger-ts/base'
import { SystemGroup, SystemTopic } from '@dledger-ts/protocol'
import { type HalfMessageRow, type MessageStoreApi, StoreError } from '@dledger-ts/store'
import { checkRequest } from './check-request.ts'
import type { TransactionProducers } from './transaction-producers.ts'

const PAGE_COUNT = 500
/** Questions that are counted by one entry of the log, and their bytes. */
const BATCH_COUNT_MAX = 100
const BATCH_BYTES_MAX = 512 * 1024
/** Half messages that are given up at once. */
const GIVEN_UP_AT_ONCE_MAX = 32
const PAUSE_MS_MIN = 100
/** A pause is so many times as long as the round before it. */
const PAUSE_SHARE = 20
const RETRY_MS = 1_000
/** Groups without a producer that are remembered; of more, the next round sees. */
const WAITING_GROUPS_MAX = 1_000
/** Longest sleep of one timer; Node's own limit is 2^31 - 1 ms. */
const SLEEP_MS_MAX = 3_600_000
const MS_PER_HOUR = 3_600_000

type ChecksStore = Pick<
  MessageStoreApi,
  | 'isReady'
  | 'halfMessages'
  | 'countCheck'
  | 'endTransaction'
  | 'halfMessage'
  | 'maxOffset'
  | 'consumerOffset'
  | 'commitConsumerOffset'
>

export interface TransactionChecksOptions {
  readonly store: ChecksStore
  readonly producers: Pick<TransactionProducers, 'choose'>
  readonly clock: Clock
  readonly logger: Logger
  readonly config: {
    readonly brokerName: string
    readonly transactionTimeOut: number
    readonly transactionCheckInterval: number
    readonly transactionCheckMax: number
    readonly fileReservedTime: number
  }
}

export class TransactionChecks {
  readonly #options: TransactionChecksOptions
  /** One leadership's work; null while this member does not lead. */
  #round: Round | null = null
  #isBusy = false
  /** The time came while a round was under way: it may have passed by what is due. */
  #isDueMeanwhile = false
  #cancelTimer: (() => void) | null = null
  #wakeAtMs = Number.POSITIVE_INFINITY
  /** On the monotonic clock: no round begins earlier. */
  #pausedUntilMs = Number.NEGATIVE_INFINITY
  #waitingGroups = new Set<string>()

  constructor(options: TransactionChecksOptions) {
    this.#options = options
  }

  /** After every change of role; `term` tells leaderships apart. */
  roleChanged(term: number): void {
    if (!this.#options.store.isReady()) return this.stop()
    if (this.#round?.term === term) return
    this.stop()
    this.#round = new Round(this.#options, term)
    // What was pending when the last leader went.
    this.#wakeAfter(0)
  }

  /** One was stored; it is due after `immunityMs`, or the time that all have. Cheap. */
  halfStored(immunityMs = -1): void {
    if (this.#round === null) return
    const { transactionTimeOut } = this.#options.config
    this.#wakeAfter(immunityMs < 0 ? transactionTimeOut : immunityMs)
  }

  /** A producer of the group is connected that was not before. */
  producerAppeared(group: string): void {
    if (this.#waitingGroups.delete(group)) this.#wakeAfter(0)
  }

  stop(): void {
    this.#round?.end()
    this.#round = null
    this.#waitingGroups = new Set()
    this.#cancelWake()
  }

  #wakeAfter(delayMs: number): void {
    if (this.#round === null) return
    const { clock } = this.#options
    const nowMs = clock.monotonicMs()
    const atMs = Math.max(nowMs + delayMs, this.#pausedUntilMs)
    if (this.#cancelTimer !== null && this.#wakeAtMs <= atMs) return
    this.#cancelTimer?.()
    this.#wakeAtMs = atMs
    this.#cancelTimer = clock.after(Math.min(Math.max(1, atMs - nowMs), SLEEP_MS_MAX), () => {
      this.#cancelWake()
      const round = this.#round
      if (round === null) return
      if (this.#isBusy) this.#isDueMeanwhile = true
      else background(this.#run(round), 'asking for half messages', this.#options.logger)
    })
  }

  #cancelWake(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#wakeAtMs = Number.POSITIVE_INFINITY
  }

  async #run(round: Round): Promise<void> {
    const { clock, logger, config } = this.#options
    const startedMs = clock.monotonicMs()
    this.#isBusy = true
    this.#isDueMeanwhile = false
    let nextInMs: number | null = RETRY_MS
    try {
      nextInMs = await round.run()
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      if (!round.isEnded) logger.warn({ err: error }, 'half messages are not asked for: it is tried again')
    } finally {
      this.#isBusy = false
      const nowMs = clock.monotonicMs()
      this.#pausedUntilMs = nowMs + Math.max(PAUSE_MS_MIN, PAUSE_SHARE * (nowMs - startedMs))
    }
    if (round.isEnded) {
      // The next leadership began meanwhile, or none did.
      if (this.#round !== null) this.#wakeAfter(0)
      return
    }
    this.#waitingGroups = round.withoutProducer
    if (this.#isDueMeanwhile) this.#wakeAfter(0)
    if (nextInMs !== null) this.#wakeAfter(Math.min(nextInMs, config.transactionCheckInterval))
  }
}

/** The rounds of one leadership. */
class Round {
  readonly term: number
  readonly #options: TransactionChecksOptions
  #isEnded = false
  /** Groups of which somebody waits for a producer. */
  withoutProducer = new Set<string>()
  #nextDueMs = Number.POSITIVE_INFINITY

  constructor(options: TransactionChecksOptions, term: number) {
    this.#options = options
    this.term = term
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  /** Nothing more is counted or asked. */
  end(): void {
    this.#isEnded = true
  }

  /** @returns in how many ms something is due, null while nothing is pending. @throws StoreError. */
  async run(): Promise<number | null> {
    const { store, clock } = this.#options
    this.withoutProducer = new Set()
    this.#nextDueMs = Number.POSITIVE_INFINITY
    let oldest: HalfMessageRow | undefined
    for (let from: number | null = 0; from !== null && !this.#isEnded;) {
      const page = await store.halfMessages({ from, storedBeforeMs: Number.MAX_SAFE_INTEGER, limit: PAGE_COUNT })
      if (this.#isEnded) return null
      oldest ??= page.rows[0]
      await this.#handle(page.rows)
      from = page.next
    }
    if (this.#isEnded) return null
    this.#showProgress(oldest)
    if (oldest === undefined) return null
    return Math.max(0, this.#nextDueMs - clock.nowMs())
  }

  async #handle(rows: readonly HalfMessageRow[]): Promise<void> {
    const { clock, config, producers } = this.#options
    const nowMs = clock.nowMs()
    const givenUp: HalfMessageRow[] = []
    const due: HalfMessageRow[] = []
    for (const row of rows) {
      const dueMs = this.#dueMs(row, nowMs)
      if (nowMs - row.storeTimestamp > config.fileReservedTime * MS_PER_HOUR) givenUp.push(row)
      else if (dueMs > nowMs) this.#dueAt(dueMs)
      else if (row.checkCount >= config.transactionCheckMax) givenUp.push(row)
      else if (producers.choose(row.producerGroup) === undefined) this.#waitForProducer(row.producerGroup, nowMs)
      else due.push(row)
    }
    for (let i = 0; i < givenUp.length && !this.#isEnded; i += GIVEN_UP_AT_ONCE_MAX) {
      await Promise.all(givenUp.slice(i, i + GIVEN_UP_AT_ONCE_MAX).map((row) => this.#giveUp(row)))
    }
    for (let i = 0; i < due.length && !this.#isEnded;) {
      const batch = batchFrom(due, i)
      i += batch.length
      await this.#ask(batch)
    }
  }

  /** By the clock of this leader. What a clock that was far ahead put off is due now, and gets a time of this one. */
  #dueMs({ checkedMs, immunityMs, storeTimestamp }: HalfMessageRow, nowMs: number): number {
    const { transactionCheckInterval, transactionTimeOut } = this.#options.config
    if (Math.max(checkedMs, storeTimestamp) - nowMs > transactionCheckInterval) return nowMs
    if (checkedMs > 0) return checkedMs + transactionCheckInterval
    return storeTimestamp + (immunityMs < 0 ? transactionTimeOut : immunityMs)
  }

  #dueAt(timeMs: number): void {
    this.#nextDueMs = Math.min(this.#nextDueMs, timeMs)
  }

  #waitForProducer(group: string, nowMs: number): void {
    if (this.withoutProducer.size < WAITING_GROUPS_MAX) this.withoutProducer.add(group)
    this.#dueAt(nowMs + this.#options.config.transactionCheckInterval)
  }

  async #ask(batch: readonly HalfMessageRow[]): Promise<void> {
    const { store, clock, config, producers, logger } = this.#options
    const nowMs = clock.nowMs()
    await store.countCheck(
      batch.map(({ physicalOffset }) => physicalOffset),
      nowMs,
    )
    this.#dueAt(nowMs + config.transactionCheckInterval)
    for (const row of batch) {
      if (this.#isEnded) return
      const half = await this.#whileReadable(row, () => store.halfMessage(row.physicalOffset))
      const connection = producers.choose(row.producerGroup)
      // It went while this was counted; the next one is asked after the interval.
      if (half === undefined || half === null || connection === undefined) continue
      connection.oneway(checkRequest(half, row.checkCount + 1, config.brokerName))
      logger.debug({ group: row.producerGroup, physicalOffset: row.physicalOffset }, 'a producer was asked')
    }
  }

  async #giveUp(row: HalfMessageRow): Promise<void> {
    const { store, logger } = this.#options
    const { physicalOffset, queueOffset, producerGroup, checkCount } = row
    const end = { physicalOffset, queueOffset, producerGroup, outcome: 'abandon' } as const
    const stored = await this.#whileReadable(row, () => store.endTransaction(end))
    if (stored === null) return
    const fields = { group: producerGroup, checkCount, physicalOffset, keptAt: stored.physicalOffset }
    logger.error(fields, 'a half message is given up: it is kept in TRANS_CHECK_MAX_TIME_TOPIC')
  }

  /** @returns null for a record that cannot be read: it holds up no other one, and is tried again. @throws StoreError. */
  async #whileReadable<T>({ physicalOffset }: HalfMessageRow, work: () => Promise<T>): Promise<T | null> {
    const { clock, config, logger } = this.#options
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof StoreError) || (error.code !== 'CORRUPT' && error.code !== 'STORAGE_FAILED')) throw error
      logger.error({ err: error, physicalOffset }, 'a half message cannot be read')
      this.#dueAt(clock.nowMs() + config.transactionCheckInterval)
      return null
    }
  }

  /**
   * Apache's tools, and its broker, take the offsets of CID_RMQ_SYS_TRANS for how far half messages are ended. Nothing here
   * reads them.
   */
  #showProgress(oldest: HalfMessageRow | undefined): void {
    const { TRANSACTION_HALF: half, TRANSACTION_OP_HALF: op } = SystemTopic
    this.#show(half, oldest?.queueOffset ?? this.#options.store.maxOffset(half, 0))
    this.#show(op, this.#options.store.maxOffset(op, 0))
  }

  #show(topic: string, offset: number): void {
    const { store } = this.#options
    const group = SystemGroup.TRANSACTION_CHECK
    if ((store.consumerOffset(group, topic, 0) ?? 0) === offset) return
    store.commitConsumerOffset(group, topic, 0, offset)
  }
}

function batchFrom(rows: readonly HalfMessageRow[], from: number): readonly HalfMessageRow[] {
  let bytes = 0
  let to = from
  while (to < rows.length && to - from < BATCH_COUNT_MAX && bytes < BATCH_BYTES_MAX) {
    bytes += (rows[to] as HalfMessageRow).bytes
    to++
  }
  return rows.slice(from, to)
}
