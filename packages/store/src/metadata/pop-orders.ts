/**
 * What ordered pops have given out of a queue to a group: one batch for each queue and group, in memory.
 *
 * Keeps:
 *   - a batch holds what was given out and is at or behind the group's offset, which is that of its first message; that one is
 *     not acknowledged;
 *   - where the group's offset is another one, somebody has moved the group, and the batch counts no more.
 */
export interface OrderedEntry {
  readonly queueOffset: number
  /** Invisible until then; 0: visible again; null: acknowledged. */
  readonly untilMs: number | null
  /** How often it was popped. */
  readonly attempts: number
}

export interface OrderedBatch {
  /** Of the last pop: an acknowledgement names it. */
  readonly poppedMs: number
  /** What the client called its last pop; null when it has no name. */
  readonly attemptId: string | null
  /** Where the group goes on once all of it is acknowledged. */
  readonly end: number
  /** In the order of the queue. */
  readonly entries: readonly OrderedEntry[]
}

export interface OrderedQueue {
  readonly group: string
  readonly topic: string
  readonly queueId: number
}

/** A batch as it is from now on, null for none, and where the group stands. */
export interface OrderedChange extends OrderedQueue {
  readonly batch: OrderedBatch | null
  readonly offset: number
}

export class PopOrders {
  readonly #batches = new Map<string, OrderedBatch>()

  get(queue: OrderedQueue): OrderedBatch | undefined {
    return this.#batches.get(keyOf(queue))
  }

  set(queue: OrderedQueue, batch: OrderedBatch | null): void {
    if (batch === null) this.#batches.delete(keyOf(queue))
    else this.#batches.set(keyOf(queue), batch)
  }

  clear(): void {
    this.#batches.clear()
  }
}

function keyOf({ group, topic, queueId }: OrderedQueue): string {
  return `${group}\0${topic}\0${queueId}`
}

export function isOrderedBatch(value: unknown): value is OrderedBatch {
  if (typeof value !== 'object' || value === null) return false
  const { poppedMs, attemptId, end, entries } = value as Record<string, unknown>
  if (!isCount(poppedMs) || !isCount(end) || (attemptId !== null && typeof attemptId !== 'string')) return false
  return Array.isArray(entries) && entries.every(isOrderedEntry)
}

function isOrderedEntry(value: unknown): value is OrderedEntry {
  if (typeof value !== 'object' || value === null) return false
  const { queueOffset, untilMs, attempts } = value as Record<string, unknown>
  return isCount(queueOffset) && isCount(attempts) && (untilMs === null || isCount(untilMs))
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
