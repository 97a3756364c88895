/** Reads messages as consumers do, pull after pull, and tells how fast that was and what it took from the files. */
import type { GetResult, MessageStore } from '@dledger-ts/store'
import { percentiles } from '../log/percentiles.ts'
import type { CountedDisk } from './counted-disk.ts'
import type { Messages } from './messages.ts'
import type { Observer } from './observer.ts'
import type { ReadResult } from './wishes.ts'

const PULL_COUNT = 32
const PULL_BYTES = 256 * 1024
/** Readers of all queues at once. */
const READERS = 4
/** The newest messages of a queue that are read again and again. */
const NEWEST = 32
const MEBIBYTE = 1024 * 1024

export interface ReadWish {
  readonly store: MessageStore
  readonly messages: Messages
  readonly queues: number
  readonly how: 'oneQueue' | 'allQueues' | 'newest'
  readonly seconds: number
  readonly disk: CountedDisk
  readonly observer: Observer
}

export async function read(wish: ReadWish): Promise<ReadResult> {
  wish.observer.observe()
  const before = wish.disk.counts
  const tally = new Tally(performance.now() + wish.seconds * 1_000)
  const cpu = process.cpuUsage()
  const begun = performance.now()
  if (wish.how === 'oneQueue') await drain(wish, 0, tally)
  else if (wish.how === 'newest') await readNewest(wish, tally)
  else await readAll(wish, tally)
  const seconds = (performance.now() - begun) / 1_000
  const used = process.cpuUsage(cpu)
  const after = wish.disk.counts
  const { p50, p99 } = percentiles(tally.tookMs)
  const perMessage = (count: number): number => Number((count / tally.messages).toFixed(3))
  return {
    messages: tally.messages,
    perSecond: Math.round(tally.messages / seconds),
    megabytesPerSecond: Number((tally.bytes / MEBIBYTE / seconds).toFixed(1)),
    cpuMicros: Number(((used.user + used.system) / tally.messages).toFixed(2)),
    p50,
    p99,
    readPerByte: Number(((after.logBytesRead - before.logBytesRead) / tally.bytes).toFixed(2)),
    logReadsPerMessage: perMessage(after.logReads - before.logReads),
    queueReadsPerMessage: perMessage(after.queueReads - before.queueReads),
    observed: wish.observer.observe(),
  }
}

/** One pull as a promise. */
export function pull(store: MessageStore, topic: string, queueId: number, queueOffset: number): Promise<GetResult> {
  const request = { topic, queueId, queueOffset, maxCount: PULL_COUNT, maxBytes: PULL_BYTES, tagFilter: null }
  return new Promise((resolve, reject) => {
    store.getMessages(request, (error, result) => (error === null ? resolve(result as GetResult) : reject(error)))
  })
}

class Tally {
  readonly until: number
  readonly tookMs: number[] = []
  messages = 0
  bytes = 0

  constructor(until: number) {
    this.until = until
  }

  get isOver(): boolean {
    return performance.now() >= this.until
  }

  async pull(wish: ReadWish, queue: number, queueOffset: number): Promise<GetResult> {
    const begun = performance.now()
    const result = await pull(wish.store, wish.messages.topicOf(queue), wish.messages.queueIdOf(queue), queueOffset)
    this.tookMs.push(performance.now() - begun)
    this.messages += result.records.length
    this.bytes += result.recordBytes
    return result
  }
}

/** One queue from its first message to its last. */
async function drain(wish: ReadWish, queue: number, tally: Tally): Promise<void> {
  for (let offset = 0; !tally.isOver;) {
    const result = await tally.pull(wish, queue, offset)
    if (result.records.length === 0) return
    offset = result.nextBeginOffset
  }
}

/** All queues, one pull of each in turn, as a group does that is behind in all of them. */
async function readAll(wish: ReadWish, tally: Tally): Promise<void> {
  const offsets = new Float64Array(wish.queues)
  let turn = 0
  let empty = 0
  const reader = async (): Promise<void> => {
    while (!tally.isOver && empty < wish.queues) {
      const queue = turn++ % wish.queues
      const result = await tally.pull(wish, queue, offsets[queue] as number)
      empty = result.records.length === 0 ? empty + 1 : 0
      offsets[queue] = result.nextBeginOffset
    }
  }
  await Promise.all(Array.from({ length: READERS }, reader))
}

/** What was put last, which is in memory. */
async function readNewest(wish: ReadWish, tally: Tally): Promise<void> {
  for (let turn = 0; !tally.isOver; turn++) {
    const queue = turn % wish.queues
    const { messages, store } = wish
    const end = store.maxOffset(messages.topicOf(queue), messages.queueIdOf(queue))
    await tally.pull(wish, queue, Math.max(0, end - NEWEST))
  }
}
