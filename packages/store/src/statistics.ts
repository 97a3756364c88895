/** What a store tells of itself: numbers when they are asked for, events when they happen. Nothing is computed that nobody asks for. */
import type { Clock } from '@dledger-ts/base'
import type { StoreStatus } from './api.ts'
import { StoreError } from './errors.ts'
import type { KeyIndexProgress } from './key-index/key-index.ts'
import type { Amount } from './message-count.ts'
import type { RebuildProgress } from './rebuild/full-rebuild.ts'
import type { RepairStatus } from './rebuild/queue-repairs.ts'

export interface StoreStatistics {
  /** Became visible since the store was opened, whoever put it; what a start applies again counts. */
  readonly applied: Amount
  /** Given out by `getMessages`, `get` and `follow` since the store was opened. */
  readonly read: Amount
  /** In the topic table. */
  readonly topics: number
  /** That have a message or had one. */
  readonly queues: number
  readonly log: {
    readonly firstIndex: number
    readonly lastIndex: number
    readonly commitIndex: number
    readonly appliedIndex: number
    /** From the first byte kept to the end of the newest applied record. */
    readonly bytes: number
  }
  /** What a restart need not apply again, and the log may forget; -1 for nothing. */
  readonly checkpointIndex: number
  /** How far a start is that applies much of the log again; null when nothing is built again. */
  readonly rebuild: RebuildProgress | null
  /** Queues whose files are built again alone. */
  readonly repairs: RepairStatus
  /** How far keys are indexed: a rebuild shows here. Null when they are not. */
  readonly keyIndex: KeyIndexProgress | null
  /** Repeated sends; null where they are not recognised. */
  readonly repeatedSends: RepeatedSends | null
  /** Newest records in memory. */
  readonly hotBytes: number
  readonly disk: {
    /** Of the file system of the log. */
    readonly freeBytes: number
    /** As the log's status tells it: `ok`, `slow`, `full`, `failed`. */
    readonly state: string
  }
}

export interface RepeatedSends {
  /** Ids that are known now. */
  readonly known: number
  /** Sends that were answered with an earlier one, or refused with it. */
  readonly repetitions: number
  /** Ids that had to go before their span was over: `duplicateSendIdsMax` is too small for the span. */
  readonly forgottenEarly: number
}

/** Told after the fact, outside the hot path; a listener that throws is a bug of the embedder and reaches it as such. */
export interface StoreEvents {
  /** Role, term, leader or readiness changed. */
  role: [status: StoreStatus]
  /** The topic table changed; once for each applied batch. */
  topics: []
  /** The member has stopped for good after a storage failure or a broken invariant: close it. */
  failed: [error: Error]
  /** Everything is given free. */
  closed: []
}

export interface EveryOptions {
  readonly clock: Clock
  readonly intervalMs: number
  readonly signal: AbortSignal | undefined
  readonly take: () => StoreStatistics
  /** Aborted when the store closes. */
  readonly closing: AbortSignal
}

/** Statistics now, and again after each interval; ends with the signal and with the store. One timer while somebody waits. */
export async function* statisticsEvery(options: EveryOptions): AsyncGenerator<StoreStatistics, void, undefined> {
  const { clock, intervalMs, signal, take, closing } = options
  if (!(intervalMs >= 1)) {
    const what = `intervalMs is ${intervalMs}; at least 1 is allowed`
    throw new StoreError(what, { code: 'INVALID', what })
  }
  while (signal?.aborted !== true && !closing.aborted) {
    yield take()
    await pause(clock, intervalMs, signal, closing)
  }
}

function pause(clock: Clock, ms: number, signal: AbortSignal | undefined, closing: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true || closing.aborted) return resolve()
    const end = (): void => {
      cancel()
      signal?.removeEventListener('abort', end)
      closing.removeEventListener('abort', end)
      resolve()
    }
    const cancel = clock.after(ms, end)
    signal?.addEventListener('abort', end, { once: true })
    closing.addEventListener('abort', end, { once: true })
  })
}
