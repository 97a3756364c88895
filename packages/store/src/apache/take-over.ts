/**
 * Taking over what Apache's broker knew beside its log: the first leader of ours appends it, before anybody else's change.
 *
 *   Apache's entries │ our no-op │ topics, groups, offsets, delay levels … the last part │ everything else
 *        'apache'    │ 'takenOver'                                                       │ 'imported'
 *
 * Keeps:
 *   T1  It is applied once: parts that come after the last one, or in a log of our own, change nothing.
 *   T2  Nothing is delivered from a delay level before it is known how far that is.
 *   T3  A queue with messages has a topic, whatever the files say.
 *   T4  No message gets a queue offset before it is known where Apache's queues end (put.ts refuses until then).
 *   T5  A transaction that was open at Apache's broker is pending here; it is ended once, as any other.
 */
import { background, type Clock, type Logger } from '@dledger-ts/base'
import { isSystemTopic, SystemTopic, topicNameError } from '@dledger-ts/protocol'
import type { StoreMachine } from '../apply.ts'
import { StoreError } from '../errors.ts'
import type { ApacheImport, DeliveredRow, QueueEndRow } from '../metadata/change.ts'
import type { ChangeProposer } from '../metadata/change-proposals.ts'
import { defaultTopicConfig, type TopicConfig } from '../metadata/topic-config.ts'
import type { MessageReader } from '../read.ts'
import type { ApacheConfig } from './config-files.ts'
import { type OpenHalfMessages, openHalfMessages } from './open-half-messages.ts'

/** Rows of any kind in one entry. */
const ROWS_MAX = 1_000
const RETRY_MS = 500

export interface TakeOverOptions {
  readonly machine: StoreMachine
  readonly reader: MessageReader
  readonly changes: ChangeProposer
  readonly clock: Clock
  readonly logger: Logger
}

export class TakeOver {
  readonly #options: TakeOverOptions
  #config: ApacheConfig | null = null
  #queueEnds: readonly QueueEndRow[] = []
  #epoch = -1
  #cancelTimer: (() => void) | null = null
  #onDone: () => void = () => {}

  constructor(options: TakeOverOptions) {
    this.#options = options
  }

  /** What the files beside the log said, before the log is attached. */
  use(config: ApacheConfig | null, queueEnds: readonly QueueEndRow[]): void {
    this.#config = config
    this.#queueEnds = queueEnds
  }

  /** Whether a leader has to do it before it acts. */
  get isDue(): boolean {
    return this.#options.machine.metadata.origin === 'takenOver'
  }

  /** After every change of role. @param onDone called when all of it is applied, in the leadership in which it was begun. */
  roleChanged(onDone: () => void): void {
    const { machine } = this.#options
    if (!machine.role.ready) return this.stop()
    if (this.#epoch === machine.epoch) return
    this.stop()
    this.#epoch = machine.epoch
    this.#onDone = onDone
    this.#begin()
  }

  stop(): void {
    this.#epoch = -1
    this.#cancelTimer?.()
    this.#cancelTimer = null
  }

  #begin(): void {
    const { logger } = this.#options
    background(this.#appendWithHalfMessages(this.#epoch), "taking over Apache's open transactions", logger)
  }

  async #appendWithHalfMessages(epoch: number): Promise<void> {
    const { machine, reader, logger } = this.#options
    let open: OpenHalfMessages = { rows: [], left: 0 }
    try {
      open = await openHalfMessages({ machine, reader, offsets: this.#config?.offsets ?? [] })
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      if (this.#epoch !== epoch) return
      if (error.code === 'BUSY') return this.#again(error)
      logger.error({ err: error }, "open transactions of Apache's broker cannot be read: nobody is asked for them")
    }
    if (this.#epoch === epoch) this.#append(open)
  }

  #append(open: OpenHalfMessages): void {
    const epoch = this.#epoch
    const whole = this.#whole(open)
    const parts = partsOf(whole)
    let left = parts.length
    let failure: StoreError | null = null
    for (const part of parts) {
      this.#options.changes.proposeWith(part, (error) => {
        failure ??= error
        left--
        if (left > 0 || this.#epoch !== epoch) return
        if (this.isDue) this.#again(failure)
        else this.#done(whole, open)
      })
    }
  }

  #again(error: StoreError | null): void {
    this.#options.logger.warn({ err: error }, "what Apache's broker knew beside its log is not taken over yet")
    this.#cancelTimer = this.#options.clock.after(RETRY_MS, () => {
      this.#cancelTimer = null
      this.#begin()
    })
  }

  #done({ topics, groups, offsets, delivered, halves }: ApacheImport, { left }: OpenHalfMessages): void {
    const { logger, machine } = this.#options
    const counts = { topics: topics.length, groups: groups.length, offsets: offsets.length, levels: delivered.length }
    if (halves.length > 0) {
      logger.info(
        { messages: halves.length },
        "transactions that were open at Apache's broker are taken over: their producers are asked",
      )
    }
    const from = this.#config?.directory ?? null
    logger.info({ ...counts, from }, "took over what Apache's broker knew beside its log")
    const refused = this.#config?.refused ?? []
    if (refused.length > 0) logger.warn({ refused }, "of Apache's configuration this cannot be taken over")
    if (machine.repeatedOffsets > 0) {
      const fields = { messages: machine.repeatedOffsets }
      logger.warn(fields, 'Apache stored messages under queue offsets that were taken: as there, they are in no queue')
    }
    if (machine.queues.find(SystemTopic.WHEEL_TIMER, 0) !== undefined) {
      logger.warn({}, "messages that wait in Apache's timer wheel are not delivered: only delay levels are taken over")
    }
    if (left > 0) {
      const what = "half messages of Apache's broker are not taken over: they can be read, and nobody is asked for them"
      logger.warn({ messages: left }, what)
    }
    this.use(null, [])
    this.#onDone()
  }

  #whole({ rows }: OpenHalfMessages): ApacheImport {
    const config = this.#config
    const known = config?.topics ?? []
    const unknown = this.#topicsOfQueues(new Set(known.map(({ topicName }) => topicName)))
    return {
      kind: 'apacheImport',
      topics: [...known, ...unknown],
      groups: config?.groups ?? [],
      offsets: config?.offsets ?? [],
      delivered: this.#delivered(),
      queueEnds: this.#endsOfQueues(),
      halves: rows,
      isLast: true,
    }
  }

  /** Topics that have messages and no configuration. */
  #topicsOfQueues(known: ReadonlySet<string>): TopicConfig[] {
    const queueNums = new Map<string, number>()
    for (const { topic, queueId } of this.#options.machine.queues.all()) {
      if (known.has(topic) || isSystemTopic(topic)) continue
      queueNums.set(topic, Math.max(queueNums.get(topic) ?? 0, queueId + 1))
    }
    return [...queueNums].map(([topic, nums]) => defaultTopicConfig(topic, nums))
  }

  /** Of all queues; of those without a message in the log, what Apache's files or its consumers say. */
  #endsOfQueues(): QueueEndRow[] {
    const { machine } = this.#options
    const rows: QueueEndRow[] = [...machine.queues.all()].map((queue) => [queue.topic, queue.queueId, queue.nextOffset])
    if (machine.logStartPos === 0) return rows
    const ends = new Map<string, QueueEndRow>()
    const offsets = (this.#config?.offsets ?? []).map(([, topic, queueId, offset]): QueueEndRow => [
      topic,
      queueId,
      offset,
    ])
    for (const row of [...this.#queueEnds, ...offsets]) {
      const [topic, queueId, end] = row
      if (machine.queues.find(topic, queueId) !== undefined || topicNameError(topic) !== undefined) continue
      const key = `${topic}\0${queueId}`
      if (end > (ends.get(key)?.[2] ?? 0)) ends.set(key, row)
    }
    return [...rows, ...ends.values()]
  }

  /** Where the levels go on; inside what their queues hold. */
  #delivered(): DeliveredRow[] {
    const config = this.#config
    const said = new Map(config?.delivered ?? [])
    const rows: DeliveredRow[] = []
    for (const queue of this.#options.machine.queues.ofTopic(SystemTopic.SCHEDULE)) {
      const level = queue.queueId + 1
      const offset = Math.min(Math.max(said.get(level) ?? 0, queue.minOffset), queue.nextOffset)
      if (offset > 0) rows.push([level, offset])
      if (config?.knowsDelivered === true || offset === queue.nextOffset) continue
      const fields = { level, messages: queue.nextOffset - offset }
      this.#options.logger.warn(
        fields,
        'no delayOffset.json says which delayed messages were delivered: all are, again',
      )
    }
    return rows
  }
}

/** The same in entries of bounded size. */
function partsOf(whole: ApacheImport): ApacheImport[] {
  const parts: ApacheImport[] = []
  const cut = <Row>(rows: readonly Row[], part: (some: readonly Row[]) => Partial<ApacheImport>): void => {
    for (let at = 0; at < rows.length; at += ROWS_MAX) {
      parts.push({ ...NOTHING, ...part(rows.slice(at, at + ROWS_MAX)) })
    }
  }
  cut(whole.topics, (topics) => ({ topics }))
  cut(whole.groups, (groups) => ({ groups }))
  cut(whole.offsets, (offsets) => ({ offsets }))
  cut(whole.delivered, (delivered) => ({ delivered }))
  cut(whole.queueEnds, (queueEnds) => ({ queueEnds }))
  // Parts that are not the last may be applied again, after a failure: that must change nothing.
  parts.push({ ...NOTHING, halves: whole.halves, isLast: true })
  return parts
}

const NOTHING: ApacheImport = {
  kind: 'apacheImport',
  topics: [],
  groups: [],
  offsets: [],
  delivered: [],
  queueEnds: [],
  halves: [],
  isLast: false,
}
