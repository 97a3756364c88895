/** Queries by key, one after the other, for messages from anywhere in the store. */
import type { MessageStore } from '@dledger-ts/store'
import { percentiles } from '../log/percentiles.ts'
import { keyOf, type Messages } from './messages.ts'
import type { Observer } from './observer.ts'
import type { QueryResult } from './wishes.ts'

/** Coprime to any number of messages that is likely, so that the queries are spread over all. */
const STRIDE = 7_919_777

export interface QueryWish {
  readonly store: MessageStore
  readonly messages: Messages
  /** In the store. */
  readonly stored: number
  /** Of queries. */
  readonly count: number
  readonly observer: Observer
}

export async function query({ store, messages, stored, count, observer }: QueryWish): Promise<QueryResult> {
  const tookMs: number[] = []
  let found = 0
  observer.observe()
  for (let i = 0; i < count; i++) {
    const n = (i * STRIDE) % stored
    const { topic } = messages.make(n)
    const begun = performance.now()
    const { records } = await store.query({ topic, key: keyOf(n), maxCount: 32 })
    tookMs.push(performance.now() - begun)
    if (records.length > 0) found++
  }
  const { p50, p99 } = percentiles(tookMs)
  return { queries: count, found, p50, p99, observed: observer.observe() }
}
