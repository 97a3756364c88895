/**
 * Messages that wait for their time: `npm run bench:pending -- --messages 2000000`.
 *
 * An embedded store takes messages that are due within a day, an hour from now at the earliest: memory and rate in each quarter. With all
 * of them pending it is closed and opened again; then others are put that are due in a few seconds: how late each one comes.
 *
 * The last line is one JSON object.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { recordBody } from '@dledger-ts/protocol'
import { MessageStore, StoreError } from '@dledger-ts/store'
import { flushOption, measurement, wholeNumber } from '../options.ts'
import { Observer } from './observer.ts'

const QUARTERS = 4
const HOUR_MS = 3_600_000
const SOON_MS = 2_000
const SOON_TOPIC = 'soon'
const MS_PER_SECOND = 1_000
const AGAIN_MS = 100

const options = measurement('bench:pending', 'Messages that wait for their time in an embedded store.')
  .addOption(wholeNumber('--messages <count>', 'how many wait', 200_000))
  .addOption(wholeNumber('--size <bytes>', 'of a body', 200))
  .addOption(wholeNumber('--in-flight <count>', 'puts under way at once', 512))
  .addOption(wholeNumber('--soon <count>', 'how many come while the others wait', 5_000))
  .addOption(wholeNumber('--per-second <count>', 'and how many of these are put a second', 1_000))
  .addOption(flushOption())
  .parse()
  .opts<{ messages: number; size: number; inFlight: number; soon: number; perSecond: number; flush: 'SYNC_FLUSH' }>()

const directory = mkdtempSync(join(tmpdir(), 'bench-pending-'))
const observer = new Observer()
let refusals = 0
const open = (): Promise<MessageStore> => MessageStore.open({ dir: directory, flushDiskType: options.flush })
const body = Buffer.alloc(options.size, 'x')

const results: Record<string, unknown> = { options, node: process.version }
try {
  let store = await open()
  const quarters: Record<string, number>[] = []
  for (let quarter = 1; quarter <= QUARTERS; quarter++) quarters.push(await putQuarter(store, quarter))
  console.log('messages that wait, put:')
  console.table(quarters)
  await store.close()
  const begun = performance.now()
  store = await open()
  const openMs = Math.round(performance.now() - begun)
  globalThis.gc?.()
  const { privateMiB, heapMiB } = observer.observe()
  console.log('opened again, all of them waiting:')
  console.table([{ openMs, privateMiB, heapMiB }])
  const late = await measureSoon(store)
  console.log(`${options.soon} that come meanwhile; ms after they were due:`)
  console.table([late])
  await store.close()
  Object.assign(results, { quarters, openMs, privateMiB, heapMiB, late })
} finally {
  rmSync(directory, { recursive: true, force: true })
}
console.log(JSON.stringify(results))

async function putQuarter(store: MessageStore, quarter: number): Promise<Record<string, number>> {
  const count = Math.round(options.messages / QUARTERS)
  let left = count
  const cpuBefore = process.cpuUsage()
  const begun = performance.now()
  const sender = async (): Promise<void> => {
    while (left-- > 0) await put(store, 'later', Date.now() + HOUR_MS + Math.floor(Math.random() * 23 * HOUR_MS), body)
  }
  await Promise.all(Array.from({ length: options.inFlight }, sender))
  const seconds = (performance.now() - begun) / 1_000
  const { user, system } = process.cpuUsage(cpuBefore)
  const { privateMiB, heapMiB, buffersMiB, stallMs } = observer.observe()
  return {
    pending: quarter * count,
    perSecond: Math.round(count / seconds),
    refusals,
    cpuMicros: Number(((user + system) / count).toFixed(1)),
    privateMiB,
    heapMiB,
    buffersMiB,
    stallMs,
  }
}

/** A refusal as busy is tried again. */
async function put(store: MessageStore, topic: string, deliverMs: number, content: Buffer): Promise<void> {
  const message = { topic, queueId: 0, properties: { TIMER_DELIVER_MS: String(deliverMs) }, body: content }
  for (;;) {
    try {
      await store.store(message)
      return
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'BUSY') throw error
      refusals++
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
    }
  }
}

/** Each message has the time in it at which it is due. */
async function measureSoon(store: MessageStore): Promise<Record<string, number>> {
  const lateMs: number[] = []
  const arrived = new Promise<void>((resolve, reject) => {
    let next = store.maxOffset(SOON_TOPIC, 0)
    let isReading = false
    const read = async (): Promise<void> => {
      isReading = true
      while (next < store.maxOffset(SOON_TOPIC, 0)) {
        const { records, nextBeginOffset } = await store.get({ topic: SOON_TOPIC, queueOffset: next, maxCount: 100 })
        const now = Date.now()
        for (const record of records) lateMs.push(now - Number(recordBody(record).toString()))
        next = nextBeginOffset
      }
      isReading = false
      if (lateMs.length >= options.soon) resolve()
    }
    store.onMessages({
      messageArrived: (topic) => {
        if (topic === SOON_TOPIC && !isReading) read().catch(reject)
      },
    })
  })
  const puts: Promise<void>[] = []
  const begun = performance.now()
  for (let i = 0; i < options.soon; i++) {
    const dueMs = Date.now() + SOON_MS
    puts.push(put(store, SOON_TOPIC, dueMs, Buffer.from(String(dueMs))))
    const aheadMs = (i * MS_PER_SECOND) / options.perSecond - (performance.now() - begun)
    if (aheadMs > 0) await new Promise((resolve) => setTimeout(resolve, aheadMs))
  }
  await Promise.all(puts)
  await arrived
  lateMs.sort((a, b) => a - b)
  const at = (share: number): number => lateMs[Math.min(lateMs.length - 1, Math.floor(share * lateMs.length))] ?? -1
  return { count: lateMs.length, least: at(0), p50: at(0.5), p99: at(0.99), most: at(1) }
}
