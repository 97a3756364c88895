/**
 * The model of queues: what senders were told, what readers saw, and whether both can be true of one queue.
 *
 * Keeps, and says when the broker does not:
 *   - what was acknowledged is in its queue exactly once, at the place that was told; what was refused is in none; what nobody knows
 *     of is there at most once;
 *   - a message whose sending began after another one was acknowledged comes behind it;
 *   - a place of a queue holds the same message for ever, whichever member is asked, until it is gone from the front;
 *   - whoever asks the leader sees everything that was acknowledged before.
 */
export type Outcome = 'pending' | 'acknowledged' | 'refused' | 'unknown'

/** One message that was sent, once. */
export class Sent {
  readonly body: string
  readonly queue: QueueModel
  /** When its sending began; moments only grow. */
  readonly begun: number
  outcome: Outcome = 'pending'
  acknowledgedAt = Number.POSITIVE_INFINITY
  /** Where it was said to be, or was seen; -1: not known. */
  offset = -1
  /** What it was told about why it was not stored. */
  remark = ''

  constructor(body: string, queue: QueueModel, begun: number) {
    this.body = body
    this.queue = queue
    this.begun = begun
  }
}

/** What a reader was given. */
export interface Reading {
  readonly from: number
  readonly records: readonly { readonly body: string; readonly queueOffset: number }[]
  readonly minOffset: number
  readonly maxOffset: number
  readonly nextOffset: number
  /** When it was asked for. */
  readonly begun: number
  /** Whether it was asked of the one that leads, and it led all the time. */
  readonly isOfLeader: boolean
  readonly by: string
}

export class QueueModel {
  readonly name: string
  readonly #violated: (what: string) => void
  /** By its place, as acknowledged or seen. */
  readonly #placed = new Map<number, Sent>()
  readonly #sent: Sent[] = []
  readonly #all: Map<string, Sent>
  /** No reader was told a higher one. */
  minOffset = 0
  /** Whether anything may go from the front. */
  mayExpire = false

  constructor(name: string, all: Map<string, Sent>, violated: (what: string) => void) {
    this.name = name
    this.#all = all
    this.#violated = violated
  }

  /** One behind the last that is certainly there. */
  get knownEnd(): number {
    let end = 0
    for (const offset of this.#placed.keys()) end = Math.max(end, offset + 1)
    return end
  }

  send(body: string, moment: number): Sent {
    const sent = new Sent(body, this, moment)
    this.#sent.push(sent)
    this.#all.set(body, sent)
    return sent
  }

  acknowledged(sent: Sent, offset: number, moment: number): void {
    sent.outcome = 'acknowledged'
    sent.acknowledgedAt = moment
    this.#place(sent, offset, 'its acknowledgement')
  }

  read(reading: Reading): void {
    const { from, records, begun, by } = reading
    let expected = from
    for (const { body, queueOffset } of records) {
      if (queueOffset !== expected) this.#violated(`${by} gave ${queueOffset} of ${this.name} in place of ${expected}`)
      expected = queueOffset + 1
      const sent = this.#all.get(body)
      if (sent === undefined) this.#violated(`${by} gave what nobody sent: ${body}`)
      else if (sent.queue !== this) this.#violated(`${by} gave ${body} of ${sent.queue.name} in ${this.name}`)
      else this.#place(sent, queueOffset, by)
    }
    if (reading.nextOffset < expected)
      this.#violated(`${by} sends a reader of ${this.name} back to ${reading.nextOffset}`)
    this.#checkMinimum(reading)
    if (!reading.isOfLeader || records.length > 0) return
    for (const sent of this.#sent) {
      if (sent.acknowledgedAt >= begun || sent.offset < from || sent.offset < reading.minOffset) continue
      const told = `${by} knows nothing at ${from} of ${this.name} (it has ${reading.minOffset} to ${reading.maxOffset})`
      this.#violated(`${told}, where ${sent.body} was acknowledged at ${sent.offset}`)
    }
  }

  /** All that is there, from the front, was read. */
  checkWhole(by: string, minOffset: number, bodies: readonly string[]): void {
    const found = new Map<string, number>()
    let latestBegun = -1
    bodies.forEach((body, i) => {
      if (found.has(body))
        this.#violated(`${by} has ${body} twice in ${this.name}: ${found.get(body)}, ${minOffset + i}`)
      found.set(body, minOffset + i)
      const sent = this.#all.get(body)
      if (sent === undefined) return
      if (sent.acknowledgedAt < latestBegun) {
        this.#violated(`${by} has ${body} in ${this.name} behind what was sent after its acknowledgement`)
      }
      latestBegun = Math.max(latestBegun, sent.begun)
    })
    for (const sent of this.#sent) {
      const { body, outcome, offset } = sent
      if (outcome === 'acknowledged' && offset >= minOffset && !found.has(body)) {
        this.#violated(`${by} lacks ${body} in ${this.name}, acknowledged at ${offset}`)
      }
      if (outcome === 'refused' && found.has(body)) {
        this.#violated(`${by} has ${body} in ${this.name}, which was refused: ${sent.remark}`)
      }
    }
    const end = minOffset + bodies.length
    for (const [offset, sent] of this.#placed) {
      if (offset >= end) this.#violated(`${by} ends at ${end} in ${this.name}; ${sent.body} was seen at ${offset}`)
    }
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

  #checkMinimum({ minOffset, by }: Reading): void {
    if (minOffset > 0 && !this.mayExpire) this.#violated(`${by} begins ${this.name} at ${minOffset}; nothing expired`)
    this.minOffset = Math.max(this.minOffset, minOffset)
  }
}
