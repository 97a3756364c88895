/**
 * What a batch of ordered messages becomes by a pop, an acknowledgement, another time. Pure.
 *
 * A queue gives a group nothing more until each message given out is acknowledged or visible again: that is the order. Then it
 * goes on at the first that is not acknowledged, and gives out again those behind it that are not either.
 */
import { assert } from '@dledger-ts/base'
import type { OrderedBatch, OrderedEntry } from '../metadata/pop-orders.ts'

export interface OrderedPop {
  /** Where the group stood when the messages were read. */
  readonly fromOffset: number
  /** Messages read from the group's offset on, ascending; those acknowledged are not given out again. */
  readonly queueOffsets: readonly number[]
  /** Behind the last message read. */
  readonly nextOffset: number
  readonly untilMs: number
  readonly poppedMs: number
  /** The same name again means the same pop: its messages are given out although they are invisible, and count no further time. */
  readonly attemptId: string | null
}

/** How often each message that is given out was given out before. */
export type EarlierPops = ReadonlyMap<number, number>

/** @returns the batch, unless somebody moved the group elsewhere: then it counts no more. */
export function batchAt(batch: OrderedBatch | undefined, offset: number | undefined): OrderedBatch | undefined {
  return batch?.entries[0]?.queueOffset === offset ? batch : undefined
}

/** @returns when the queue gives out more by itself: 0 when it does now. */
export function blockedUntil(batch: OrderedBatch | undefined, attemptId: string | null, nowMs: number): number {
  if (batch === undefined || (attemptId !== null && batch.attemptId === attemptId)) return 0
  let until = 0
  for (const { untilMs } of batch.entries) if (untilMs !== null && untilMs > nowMs) until = Math.max(until, untilMs)
  return until
}

/** @returns whether the message is not to be given out again. */
export function isAcknowledged(batch: OrderedBatch | undefined, queueOffset: number): boolean {
  return batch?.entries.some((entry) => entry.queueOffset === queueOffset && entry.untilMs === null) === true
}

/** @returns the batch with these messages given out, and how often each was before. */
export function popped(
  batch: OrderedBatch | undefined,
  { queueOffsets, nextOffset, untilMs, poppedMs, attemptId }: OrderedPop,
): { readonly batch: OrderedBatch; readonly earlier: EarlierPops } {
  const isSame = attemptId !== null && batch?.attemptId === attemptId
  const entries = new Map<number, OrderedEntry>()
  for (const entry of batch?.entries ?? []) {
    entries.set(entry.queueOffset, entry.untilMs === null ? entry : { ...entry, untilMs: 0 })
  }
  const earlier = new Map<number, number>()
  for (const queueOffset of queueOffsets) {
    const known = entries.get(queueOffset)
    if (known?.untilMs === null) continue
    const before = Math.max(0, (known?.attempts ?? 0) - (isSame ? 1 : 0))
    earlier.set(queueOffset, before)
    entries.set(queueOffset, { queueOffset, untilMs, attempts: before + 1 })
  }
  const inOrder = [...entries.values()].sort((a, b) => a.queueOffset - b.queueOffset)
  const end = Math.max(batch?.end ?? 0, nextOffset)
  return { batch: { poppedMs, attemptId, end, entries: inOrder }, earlier }
}

/** @returns the batch and where its group stands; null when none of these messages was given out by that pop. */
export function acknowledged(
  batch: OrderedBatch,
  { queueOffsets, poppedMs }: { readonly queueOffsets: readonly number[]; readonly poppedMs: number },
): { readonly batch: OrderedBatch | null; readonly offset: number } | null {
  if (batch.poppedMs !== poppedMs) return null
  const ended = new Set(queueOffsets)
  if (!batch.entries.some(({ queueOffset, untilMs }) => untilMs !== null && ended.has(queueOffset))) return null
  const entries = batch.entries.map((entry) => (ended.has(entry.queueOffset) ? { ...entry, untilMs: null } : entry))
  const first = entries.findIndex(({ untilMs }) => untilMs !== null)
  if (first < 0) return { batch: null, offset: batch.end }
  const offset = (entries[first] as OrderedEntry).queueOffset
  assert(offset < batch.end, 'what was given out lies before the end of its batch')
  return { batch: { ...batch, entries: entries.slice(first) }, offset }
}

/** @returns the batch with one message invisible until another time; null when that pop did not give it out. */
export function invisibleUntil(
  batch: OrderedBatch,
  {
    queueOffset,
    poppedMs,
    untilMs,
  }: { readonly queueOffset: number; readonly poppedMs: number; readonly untilMs: number },
): OrderedBatch | null {
  if (batch.poppedMs !== poppedMs) return null
  if (!batch.entries.some((entry) => entry.queueOffset === queueOffset && entry.untilMs !== null)) return null
  const entries = batch.entries.map((entry) => (entry.queueOffset === queueOffset ? { ...entry, untilMs } : entry))
  return { ...batch, entries }
}
