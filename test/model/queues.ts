/**
 * The model of queues: what senders were told, what readers saw, and whether both can be true of one queue.
 *
 * Keeps, and says when the broker does not:
 *   - what was acknowledged is in its queue exactly once, at the place that was told; what was refused is in none; what nobody knows
 *     of is there at most once; also what was sent several times under one id, where that is recognised;
 *   - a message that may be seen only from some time on, or only if its producer says so, is not seen before, nor otherwise;
 *   - a message whose sending began after another one was acknowledged comes behind it;
 *   - a place of a queue holds the same message for ever, whichever member is asked, until it is gone from the front;
 *   - whoever asks the leader sees everything that was acknowledged before; a minimum that was told is never lower again;
 *   - of a topic that was deleted nothing is seen again.
 */
import type { Wanted } from './filters.ts'

export type Outcome = 'pending' | 'acknowledged' | 'refused' | 'unknown'

/** `timed`: comes at its time; `half`: comes when its producer commits it. */
export type Kind = 'plain' | 'timed' | 'half'

/** One message that was sent, once. */
export class Sent {
  readonly body: string
  readonly queue: QueueModel
  readonly kind: Kind
  /** When what puts it into its queue began; moments only grow. Infinity: a half message that nobody has committed. */
  begun: number
  outcome: Outcome = 'pending'
  /** When it was certain to be in its queue. */
  acknowledgedAt = Number.POSITIVE_INFINITY
  /** Where it was said to be, or was seen; -1: not known. */
  offset = -1
  /** What it was told about why it was not stored. */
  remark = ''
  /** How often it was sent, and how many of these were certainly not stored. */
  attempts = 1
  refusals = 0
  /** By the wall clock; no record of it is stored before. */
  notBeforeMs = 0
  /** Its topic was, or may have been, deleted since. */
  fate: 'kept' | 'may be gone' | 'gone' = 'kept'

  constructor(body: string, queue: QueueModel, kind: Kind, begun: number) {
    this.body = body
    this.queue = queue
    this.kind = kind
    this.begun = begun
  }
}

export interface SeenRecord {
  readonly body: string
  readonly queueOffset: number
  readonly storeTimestamp: number
}

/** What a reader was given. */
export interface Reading {
  readonly from: number
  readonly records: readonly SeenRecord[]
  readonly minOffset: number
  readonly maxOffset: number
  readonly nextOffset: number
  /** When it was asked for. */
  readonly begun: number
  /** Whether it was asked of the one that leads, and it led all the time. */
  readonly isOfLeader: boolean
  readonly by: string
}

export interface QueueOptions {
  readonly topic: string
  readonly queueId: number
  /** Whether anything may go from the front. */
  readonly mayExpire: boolean
  /** All messages of all queues. */
  readonly all: Map<string, Sent>
  readonly violated: (what: string) => void
}

export class QueueModel {
  readonly name: string
  readonly topic: string
  readonly queueId: number
  readonly #options: QueueOptions
  /** By its place, as acknowledged or seen. */
  readonly #placed = new Map<number, Sent>()
  readonly #sent: Sent[] = []
  /** No reader of a leader was told a higher one. */
  #minOffset = 0
  #minToldAt = 0
  mayExpire: boolean
  /** Deletions of its topic that may still happen. */
  #deletions = 0

  constructor(options: QueueOptions) {
    this.#options = options
    this.topic = options.topic
    this.queueId = options.queueId
    this.name = `${options.topic}/${options.queueId}`
    this.mayExpire = options.mayExpire
  }

  /** One behind the last that is certainly there. */
  get knownEnd(): number {
    let end = 0
    for (const offset of this.#placed.keys()) end = Math.max(end, offset + 1)
    return end
  }

  send(body: string, kind: Kind, moment: number): Sent {
    const sent = new Sent(body, this, kind, kind === 'half' ? Number.POSITIVE_INFINITY : moment)
    if (this.#deletions > 0) sent.fate = 'may be gone'
    this.#sent.push(sent)
    this.#options.all.set(body, sent)
    return sent
  }

  /** @param offset -1 where its place is not told. */
  acknowledged(sent: Sent, offset: number, moment: number): void {
    sent.outcome = 'acknowledged'
    if (sent.kind !== 'timed') sent.acknowledgedAt = moment
    if (offset >= 0) this.#place(sent, offset, 'its acknowledgement')
  }

  /** The same message is sent once more, recognised by its id. */
  sendAgain(sent: Sent): void {
    sent.attempts++
    if (sent.outcome === 'refused') sent.outcome = 'pending'
  }

  /** Nobody knows what became of one sending. */
  lost(sent: Sent): void {
    if (sent.outcome !== 'acknowledged') sent.outcome = 'unknown'
  }

  /** One sending was not stored. */
  refused(sent: Sent, why: string): void {
    sent.refusals++
    if (sent.refusals < sent.attempts) return
    this.forbidden(sent, why)
  }

  /** It is in no queue. */
  forbidden(sent: Sent, why: string): void {
    sent.outcome = 'refused'
    sent.remark = why
    if (sent.offset >= 0) this.#violated(`${sent.body} was refused (${why}) and seen at ${sent.offset} of ${this.name}`)
  }

  // ------------------------------------------------------------------------------------------------ deletion of its topic

  deletionBegins(): void {
    this.#deletions++
    this.mayExpire = true
    for (const sent of this.#sent) if (sent.fate === 'kept') sent.fate = 'may be gone'
  }

  /** @param begun when it was asked for. It was answered, once: only if it certainly happened nothing more is to come of it. */
  deletionEnds(begun: number): void {
    this.#deletions--
    for (const sent of this.#sent) if (sent.acknowledgedAt < begun) sent.fate = 'gone'
  }

  // ------------------------------------------------------------------------------------------------ what readers see

  read(reading: Reading): void {
    const { from, records, begun, by } = reading
    let expected = from
    for (const record of records) {
      const { queueOffset } = record
      if (queueOffset !== expected) this.#violated(`${by} gave ${queueOffset} of ${this.name} in place of ${expected}`)
      expected = queueOffset + 1
      this.see(record, by, reading.isOfLeader)
    }
    if (reading.nextOffset < expected && records.length > 0) {
      this.#violated(`${by} sends a reader of ${this.name} back to ${reading.nextOffset}`)
    }
    this.#checkMinimum(reading)
    if (!reading.isOfLeader || records.length > 0) return
    // Who is sent on to the minimum asks again there.
    const { nextOffset } = reading
    const [first, end] = nextOffset > from ? [from, nextOffset] : [nextOffset, Number.POSITIVE_INFINITY]
    for (const sent of this.#sent) {
      const isOpen = sent.acknowledgedAt >= begun || sent.fate !== 'kept' || sent.offset < 0
      if (isOpen || sent.offset < first || sent.offset >= end || sent.offset < reading.minOffset) continue
      const told = `${by} knows nothing at ${from} of ${this.name} (it has ${reading.minOffset} to ${reading.maxOffset})`
      this.#violated(`${told}, where ${sent.body} was acknowledged at ${sent.offset}`)
    }
  }

  /** As `read`, for a reader that wants only some of the messages. */
  readFiltered(reading: Reading, wants: (body: string) => Wanted): void {
    const { from, records, nextOffset, minOffset, by } = reading
    const given = new Set<number>()
    let last = from - 1
    for (const record of records) {
      const { body, queueOffset } = record
      if (queueOffset <= last || queueOffset >= nextOffset) {
        this.#violated(`${by} gave ${queueOffset} of ${this.name} to a filter, after ${last} and before ${nextOffset}`)
      }
      last = queueOffset
      given.add(queueOffset)
      this.see(record, by, reading.isOfLeader)
      if (wants(body) === 'no') this.#violated(`${by} gave ${body} of ${this.name} to a filter that does not want it`)
    }
    for (const [offset, sent] of this.#placed) {
      if (offset < from || offset >= nextOffset || offset < minOffset || given.has(offset)) continue
      if (sent.fate !== 'kept' || sent.outcome === 'refused' || wants(sent.body) !== 'yes') continue
      this.#violated(`${by} passes over ${sent.body} at ${offset} of ${this.name}, which the filter wants`)
    }
  }

  /** One record of this queue was given to a reader. @param knowsAll the one who gave it knows of all that was deleted. */
  see({ body, queueOffset, storeTimestamp }: SeenRecord, by: string, knowsAll: boolean): void {
    const sent = this.#options.all.get(body)
    if (sent === undefined) return this.#violated(`${by} gave what nobody sent: ${body}`)
    if (sent.queue !== this) return this.#violated(`${by} gave ${body} of ${sent.queue.name} in ${this.name}`)
    if (storeTimestamp < sent.notBeforeMs) {
      this.#violated(`${by}: ${body} came ${sent.notBeforeMs - storeTimestamp} ms early`)
    }
    if (sent.begun === Number.POSITIVE_INFINITY)
      this.#violated(`${by}: half message ${body} is seen; nobody committed it`)
    if (sent.fate === 'gone' && knowsAll) this.#violated(`${by}: ${body} is seen; its topic was deleted since`)
    this.#place(sent, queueOffset, by)
  }

  /** All that is there, from the front, was read. */
  checkWhole(by: string, minOffset: number, bodies: readonly string[]): void {
    const found = new Map<string, number>()
    let latestBegun = -1
    bodies.forEach((body, i) => {
      if (found.has(body))
        this.#violated(`${by} has ${body} twice in ${this.name}: ${found.get(body)}, ${minOffset + i}`)
      found.set(body, minOffset + i)
      const sent = this.#options.all.get(body)
      if (sent === undefined) return
      if (sent.acknowledgedAt < latestBegun) {
        this.#violated(`${by} has ${body} in ${this.name} behind what was sent after its acknowledgement`)
      }
      if (sent.kind === 'plain') latestBegun = Math.max(latestBegun, sent.begun)
    })
    for (const sent of this.#sent) this.#checkFound(by, sent, minOffset, found.has(sent.body))
    const end = minOffset + bodies.length
    for (const [offset, sent] of this.#placed) {
      if (offset >= end) this.#violated(`${by} ends at ${end} in ${this.name}; ${sent.body} was seen at ${offset}`)
    }
    if (minOffset > 0 && minOffset < this.#minOffset) {
      this.#violated(`${by} begins ${this.name} at ${minOffset}; it began at ${this.#minOffset} before`)
    }
  }

  #checkFound(
    by: string,
    { body, outcome, offset, remark, fate, begun }: Sent,
    minOffset: number,
    isFound: boolean,
  ): void {
    const isInRange = offset >= 0 ? offset >= minOffset : minOffset === 0
    const mustBe = outcome === 'acknowledged' && begun < Number.POSITIVE_INFINITY && fate === 'kept' && isInRange
    if (mustBe && !isFound) this.#violated(`${by} lacks ${body} in ${this.name}, acknowledged at ${offset}`)
    if (!isFound) return
    if (outcome === 'refused') this.#violated(`${by} has ${body} in ${this.name}, which was refused: ${remark}`)
    if (fate === 'gone') this.#violated(`${by} has ${body} in ${this.name}; its topic was deleted since`)
  }

  #place(sent: Sent, offset: number, by: string): void {
    if (sent.outcome === 'refused') {
      this.#violated(`${by}: ${sent.body} is at ${offset} of ${this.name}, and was refused: ${sent.remark}`)
    }
    if (sent.offset >= 0 && sent.offset !== offset) {
      this.#violated(`${by}: ${sent.body} is at ${offset} of ${this.name}, and was at ${sent.offset}`)
    }
    const other = this.#placed.get(offset)
    if (other !== undefined && other !== sent) {
      this.#violated(`${by}: ${sent.body} is at ${offset} of ${this.name}, where ${other.body} was`)
    }
    sent.offset = offset
    this.#placed.set(offset, sent)
  }

  #checkMinimum({ minOffset, from, records, nextOffset, by, isOfLeader, begun }: Reading): void {
    if (minOffset > 0 && !this.mayExpire) this.#violated(`${by} begins ${this.name} at ${minOffset}; nothing expired`)
    if (from < minOffset && records.length === 0 && nextOffset < minOffset) {
      this.#violated(`${by} does not tell a reader at ${from} of ${this.name} that it begins at ${minOffset}`)
    }
    if (records.length === 0 && nextOffset > from && nextOffset !== minOffset) {
      this.#violated(`${by} sends a reader from ${from} to ${nextOffset} of ${this.name}, which begins at ${minOffset}`)
    }
    if (!isOfLeader) return
    if (minOffset < this.#minOffset && begun > this.#minToldAt) {
      this.#violated(`${by} begins ${this.name} at ${minOffset}; a leader had told ${this.#minOffset} before`)
    }
    if (minOffset > this.#minOffset) {
      this.#minOffset = minOffset
      this.#minToldAt = begun
    }
  }

  #violated(what: string): void {
    this.#options.violated(what)
  }
}
