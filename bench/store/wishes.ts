/** What the measuring process asks of the one that has the store open, and what that answers. Types only. */
import type { DiskCounts } from './counted-disk.ts'
import type { Observed } from './observer.ts'

export interface Shape {
  readonly messages: number
  readonly queues: number
  /** Bytes of a body. */
  readonly size: number
}

export interface OpenWish extends Shape {
  readonly directory: string
  readonly flush: 'SYNC_FLUSH' | 'ASYNC_FLUSH'
  readonly inFlight: number
  /** Repeated sends are recognised within so many ms; 0 for not at all. */
  readonly windowMs: number
}

export type Wish =
  | { readonly wish: 'put' }
  /** Goes on putting until the process is killed. */
  | { readonly wish: 'putForEver' }
  | { readonly wish: 'look' }
  | { readonly wish: 'serve' }
  | { readonly wish: 'read'; readonly how: 'oneQueue' | 'allQueues' | 'newest'; readonly seconds: number }
  | { readonly wish: 'query'; readonly count: number }
  | { readonly wish: 'mixed'; readonly readers: number; readonly seconds: number; readonly perSecond: number }
  | { readonly wish: 'close' }

export interface Look {
  readonly disk: DiskCounts
  readonly observed: Observed
}

export interface Opened {
  /** From the call to `MessageStore.open` until it resolved. */
  readonly openMs: number
  /** Entries of the log that were read for the sends of the last span, and how many a second; 0 where that is off. */
  readonly sendsRead: number
  readonly sendsReadPerSecond: number
  readonly observed: Observed
}

/** One tenth of the puts. */
export interface PutPart {
  readonly messages: number
  readonly perSecond: number
  /** Puts that were not acknowledged in time. */
  readonly failed: number
  readonly observed: Observed
}

export interface PutResult {
  readonly parts: readonly PutPart[]
  readonly perSecond: number
  readonly cpuMicros: number
  readonly disk: DiskCounts
}

export interface ReadResult {
  readonly messages: number
  readonly perSecond: number
  readonly megabytesPerSecond: number
  /** CPU of this process for each message. */
  readonly cpuMicros: number
  readonly p50: number
  readonly p99: number
  /** Bytes read from the log's files for each byte of the records given out; below 1 when memory gave some. */
  readonly readPerByte: number
  readonly logReadsPerMessage: number
  readonly queueReadsPerMessage: number
  readonly observed: Observed
}

export interface QueryResult {
  readonly queries: number
  readonly found: number
  readonly p50: number
  readonly p99: number
  readonly observed: Observed
}

export interface Latencies {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface MixedResult {
  readonly putsPerSecond: number
  readonly put: Latencies
  /** From the call to `put` until a reader that was woken has the message. */
  readonly tail: Latencies
  readonly backlogPerSecond: number
  readonly backlogMegabytesPerSecond: number
  readonly observed: Observed
}
