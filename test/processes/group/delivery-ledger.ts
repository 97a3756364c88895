/**
 * What was sent, acknowledged and consumed, and what that proves. Pure: it is told events and asked for a verdict.
 *
 * Keeps:
 *   - a message is identified by its key; keys are `series-number`, so a series can be judged alone.
 *   - a place is (queueId, queueOffset). An acknowledgement promises that the message is at that place for ever;
 *     so whoever reads the place must find it, and no two messages may have been promised the same one.
 *   - a message of the log is delivered at least once. The same place twice is a redelivery; the same key at another
 *     place was stored twice, because a sender tried again after an attempt whose outcome it did not know.
 */
export interface Sent {
  key: string
  tag: string
}

export interface Acknowledged extends Sent {
  queueId: number
  queueOffset: number
  /** The offset message id: address and physical offset. */
  msgId: string
}

export interface Consumed extends Acknowledged {
  consumer: string
  /** Where given, it must be what `bodyOf` says. */
  body?: string
  /** On the caller's clock, to see how far back a redelivery reaches. */
  atMs: number
}

export interface Verdict {
  sent: number
  acknowledged: number
  /** Acknowledged, or sent one-way, and wanted by the consumers' tags, but never consumed at the promised place. */
  lost: string[]
  /** Different messages consumed, of those that were wanted. */
  consumed: number
  /** Deliveries of a place beyond its first. */
  redelivered: number
  /** Further places of a key. */
  storedTwice: number
  /** What must never be, in words; empty when all is well. */
  violations: string[]
}

/** What every sender of these tests puts into a body. */
export function bodyOf(key: string): string {
  return `body of ${key}`
}

function seriesOf(key: string): string {
  return key.slice(0, key.lastIndexOf('-'))
}

function place(message: { queueId: number; queueOffset: number }): string {
  return `${message.queueId}/${message.queueOffset}`
}

export class DeliveryLedger {
  readonly #wantedTags: ReadonlySet<string>
  readonly #sent = new Map<string, Sent>()
  readonly #acknowledged = new Map<string, Acknowledged>()
  readonly #oneway = new Set<string>()
  readonly #deliveries = new Map<string, Consumed[]>()
  readonly #firstConsumedAtMs = new Map<string, number>()
  readonly #owners = new Map<string, string>()
  readonly #violations: { series: string; text: string }[] = []

  constructor(wantedTags: readonly string[]) {
    this.#wantedTags = new Set(wantedTags)
  }

  failed(message: Sent): void {
    this.#sent.set(message.key, message)
  }

  oneway(message: Sent): void {
    this.#sent.set(message.key, message)
    this.#oneway.add(message.key)
  }

  acknowledged(message: Acknowledged): void {
    if (this.#acknowledged.has(message.key)) this.#violate(message.key, `${message.key} was acknowledged twice`)
    this.#sent.set(message.key, message)
    this.#acknowledged.set(message.key, message)
    this.#claim(message)
  }

  consumed(message: Consumed): void {
    if (!this.#wantedTags.has(message.tag)) {
      this.#violate(message.key, `${message.consumer} was given ${message.key} with ${message.tag}`)
    }
    if (message.body !== undefined && message.body !== bodyOf(message.key)) {
      this.#violate(message.key, `${message.key} has the body of another: ${message.body}`)
    }
    this.#claim(message)
    const deliveries = this.#deliveries.get(message.key)
    if (deliveries === undefined) this.#deliveries.set(message.key, [message])
    else deliveries.push(message)
    if (!this.#firstConsumedAtMs.has(place(message))) this.#firstConsumedAtMs.set(place(message), message.atMs)
  }

  acknowledgedCount(series: string): number {
    return this.acknowledgedOf(series).length
  }

  acknowledgedOf(series: string): Acknowledged[] {
    return [...this.#acknowledged.values()].filter((message) => seriesOf(message.key) === series)
  }

  /** Every delivery of a series, in the order of arrival within a key. */
  deliveriesOf(series: string): Consumed[] {
    return [...this.#deliveries.entries()].filter(([key]) => seriesOf(key) === series).flatMap(([, each]) => each)
  }

  /** The keys of a series that were promised and wanted and did not arrive yet. */
  missing(series: string): string[] {
    const missing: string[] = []
    for (const message of this.#sent.values()) {
      if (seriesOf(message.key) === series && this.#wantedTags.has(message.tag) && !this.#arrived(message.key)) {
        missing.push(message.key)
      }
    }
    return missing
  }

  /** Redelivered messages whose first delivery was before `atMs`: their consumer's offset should have been kept. */
  redeliveredAfterBeingConsumedBefore(series: string, atMs: number): string[] {
    return this.#redeliveries(series)
      .filter((delivery) => (this.#firstConsumedAtMs.get(place(delivery)) as number) < atMs)
      .map((delivery) => `${delivery.key} at ${place(delivery)}`)
  }

  judge(series: string): Verdict {
    const deliveries = this.deliveriesOf(series)
    const keys = new Set(deliveries.map((delivery) => delivery.key))
    const places = new Set(deliveries.map((delivery) => `${delivery.key} ${place(delivery)}`))
    const violations = this.#violations.filter((violation) => violation.series === series).map(({ text }) => text)
    for (const key of keys) {
      if (!this.#sent.has(key)) violations.push(`${key} was consumed but never sent`)
    }
    return {
      sent: [...this.#sent.keys()].filter((key) => seriesOf(key) === series).length,
      acknowledged: this.acknowledgedCount(series),
      lost: this.missing(series),
      consumed: keys.size,
      redelivered: this.#redeliveries(series).length,
      storedTwice: places.size - keys.size,
      violations,
    }
  }

  #redeliveries(series: string): Consumed[] {
    const seen = new Set<string>()
    return this.deliveriesOf(series).filter((delivery) => {
      const known = seen.has(place(delivery))
      seen.add(place(delivery))
      return known
    })
  }

  /** One-way messages have no promised place; a message that failed was promised nothing. */
  #arrived(key: string): boolean {
    const deliveries = this.#deliveries.get(key) ?? []
    const promised = this.#acknowledged.get(key)
    if (promised === undefined) return deliveries.length > 0 || !this.#oneway.has(key)
    return deliveries.some((delivery) => place(delivery) === place(promised) && delivery.msgId === promised.msgId)
  }

  #claim(message: Acknowledged): void {
    const owner = this.#owners.get(place(message))
    if (owner === undefined) this.#owners.set(place(message), message.key)
    else if (owner !== message.key) {
      this.#violate(message.key, `${place(message)} holds ${owner} and ${message.key}`)
    }
  }

  #violate(key: string, text: string): void {
    this.#violations.push({ series: seriesOf(key), text })
  }
}
