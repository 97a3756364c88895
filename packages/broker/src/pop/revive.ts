/**
 * What was popped and not acknowledged in time comes again: the leader puts it into the retry topic of its group and topic, or
 * into the group's dead letters after the last try.
 *
 * Keeps:
 *   V1  the entry that brings a message again is the one that ends its flight: it comes again once, whatever fails in between;
 *   V2  nothing is looked at before the first time has come; an idle leader does nothing.
 *
 * Source: PopReviveService, PopConsumerService.
 */
import { AssertionError, background } from '@dledger-ts/base'
import {
  addPropertyIfAbsent,
  decodeRecord,
  dlqTopic,
  isRetryTopic,
  type MessageRecord,
  offsetMsgId,
  PropertyName,
  removeProperty,
} from '@dledger-ts/protocol'
import { type NewMessage, type PoppedMessage, type PoppedPage, StoreError } from '@dledger-ts/store'
import type { BrokerContext } from '../context.ts'
import { RETRY_QUEUES } from '../topics/topic-table.ts'
import { POP_RETRY_QUEUES, popRetryTopicV1, popRetryTopicV2 } from './retry-topics.ts'

/** Messages that come again at a time. */
const PAGE_ROWS = 64
/** After something failed. */
const RETRY_MS = 1_000
/** Timers of the platform end here; what is due later is looked at again. */
const SLEEP_MS_MAX = 3_600_000

export class Revive {
  readonly #context: BrokerContext
  #isLeading = false
  #isRunning = false
  /** By the wall clock; when it runs next, or while it runs, the earliest time that came to be known meanwhile. */
  #nextMs = Number.POSITIVE_INFINITY
  #cancelTimer: (() => void) | null = null

  constructor(context: BrokerContext) {
    this.#context = context
  }

  /** After every change of role. */
  roleChanged(): void {
    const isLeading = this.#context.store.isReady()
    if (isLeading === this.#isLeading) return
    this.#isLeading = isLeading
    this.#sleep(isLeading ? 0 : null)
  }

  /** Something is invisible until then. */
  popped(untilMs: number): void {
    if (!this.#isLeading || untilMs >= this.#nextMs) return
    if (this.#isRunning) this.#nextMs = untilMs
    else this.#sleep(untilMs)
  }

  stop(): void {
    this.#isLeading = false
    this.#sleep(null)
  }

  #sleep(untilMs: number | null): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#nextMs = untilMs ?? Number.POSITIVE_INFINITY
    if (untilMs === null) return
    const { clock, logger } = this.#context
    const delayMs = Math.min(SLEEP_MS_MAX, Math.max(0, untilMs - clock.nowMs()))
    this.#cancelTimer = clock.after(delayMs, () => {
      this.#cancelTimer = null
      if (!this.#isRunning) background(this.#run(), 'reviving popped messages', logger)
    })
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    this.#nextMs = Number.POSITIVE_INFINITY
    const { clock, logger } = this.#context
    let nextMs = Number.POSITIVE_INFINITY
    try {
      const isAllDone = await this.#reviveDue()
      const first = await this.#first()
      if (first !== undefined) {
        nextMs = isAllDone ? first.untilMs : Math.max(first.untilMs, clock.nowMs() + RETRY_MS)
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      logger.warn({ err: error }, 'popped messages could not be looked at')
      nextMs = clock.nowMs() + RETRY_MS
    } finally {
      this.#isRunning = false
    }
    if (!this.#isLeading) return
    // What was popped meanwhile may not have been in the table yet.
    nextMs = Math.min(nextMs, this.#nextMs)
    this.#sleep(nextMs === Number.POSITIVE_INFINITY ? null : nextMs)
  }

  /** The one whose time comes first. */
  async #first(): Promise<PoppedMessage | undefined> {
    for (let from: string | null = ''; from !== null;) {
      const page: PoppedPage = await this.#context.store.pops.due(Number.MAX_SAFE_INTEGER - 1, from, PAGE_ROWS)
      if (page.rows[0] !== undefined) return page.rows[0]
      // A page may be empty though more follows.
      from = page.next
    }
    return undefined
  }

  /** @returns whether none of them failed. */
  async #reviveDue(): Promise<boolean> {
    const { store, clock } = this.#context
    const nowMs = clock.nowMs()
    let isAllDone = true
    for (let from: string | null = ''; from !== null && this.#isLeading;) {
      const page: PoppedPage = await store.pops.due(nowMs, from, PAGE_ROWS)
      const done = await Promise.all(page.rows.map((row) => this.#tryRevive(row)))
      if (done.includes(false)) isAllDone = false
      // Where nothing can be stored, the others are not tried either.
      if (done.length > 0 && !done.includes(true)) break
      from = page.next
    }
    return isAllDone
  }

  async #tryRevive(row: PoppedMessage): Promise<boolean> {
    try {
      await this.#revive(row)
      return true
    } catch (error) {
      if (error instanceof AssertionError) throw error
      // One that cannot come again must not keep the others from it.
      const { logger } = this.#context
      logger.info({ err: error, group: row.group, topic: row.topic }, 'a popped message does not come again yet')
      return false
    }
  }

  /** @throws StoreError */
  async #revive(row: PoppedMessage): Promise<void> {
    const { store, topics, groups, logger, config } = this.#context
    const group = groups.findOrCreate(row.group)
    const bytes = group === undefined ? null : await this.#read(row)
    if (group === undefined || bytes === null) {
      logger.info({ ...row }, 'a popped message does not come again: its group is gone, or it was removed')
      await store.pops.acknowledge(row)
      return
    }
    const record = decodeRecord(bytes)
    const isDead = record.reconsumeTimes >= group.retryMaxTimes
    const again = config.enableRetryTopicV2 ? popRetryTopicV2 : popRetryTopicV1
    const target = isDead ? dlqTopic(row.group) : isRetryTopic(row.topic) ? row.topic : again(row.topic, row.group)
    await topics.createForRetry(target, isDead ? RETRY_QUEUES : POP_RETRY_QUEUES, false)
    const message: NewMessage = {
      ...record,
      topic: target,
      queueId: 0,
      storeHost: this.#context.storeHost,
      reconsumeTimes: record.reconsumeTimes + 1,
      properties: isDead ? deadProperties(record) : againProperties(record, row),
    }
    try {
      await store.pops.endWith(row, message)
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'TOO_LARGE') throw error
      // No room for what we add: it comes again at least once, rather than never.
      await store.store({ ...message, properties: removeProperty(record.properties, PropertyName.DELAY) })
      await store.pops.acknowledge(row)
    }
  }

  /** @returns null when there is no such message any more. */
  #read({ topic, queueId, queueOffset }: PoppedMessage): Promise<Buffer | null> {
    const request = { topic, queueId, queueOffset, maxCount: 1, maxBytes: 1, tagFilter: null }
    return new Promise((resolve, reject) => {
      this.#context.store.getMessages(request, (error, result) => {
        if (error !== null) return reject(error)
        // The queue is being built: the message may be there.
        if (result?.status === 'OFFSET_FOUND_NULL')
          return reject(new StoreError('the queue is not whole', { code: 'BUSY' }))
        resolve(result?.records[0] ?? null)
      })
    })
  }
}

function againProperties(record: MessageRecord, { poppedMs }: PoppedMessage): string {
  // Of a message that was delayed only the wish is left, and it is fulfilled.
  const properties = removeProperty(record.properties, PropertyName.DELAY)
  return addPropertyIfAbsent(properties, PropertyName.FIRST_POP_TIME, String(poppedMs))
}

function deadProperties(record: MessageRecord): string {
  const properties = addPropertyIfAbsent(record.properties, PropertyName.RETRY_TOPIC, record.topic)
  const originId = offsetMsgId(record.storeHost, record.physicalOffset)
  return addPropertyIfAbsent(properties, PropertyName.ORIGIN_MESSAGE_ID, originId)
}
