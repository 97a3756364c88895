/**
 * A store on a small file system that fills up, by its own messages and by somebody else's file. Runs alone: the file system ends
 * with this process. Prints what it saw as one JSON object on the last line.
 *
 * Argument: the directory, which is a file system of its own.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { silentLogger } from '@dledger-ts/base'
import { recordBody, recordQueueOffset } from '@dledger-ts/protocol'
import { MessageStore, type PutResult, StoreError } from '@dledger-ts/store'
import { until } from '../group/until.ts'
import { fillUp, freeBytesOf } from './ballast.ts'

const FILE_BYTES = 1024 * 1024
const BODY_BYTES = 4_000
const PUTS_AT_ONCE = 64
/** Between two rounds of puts, which are a hundredth of the disk. */
const PAUSE_MS = 100
const WAIT_MS = 30_000
/** What is derived is written this often. */
const CHECKPOINT_MS = 200

const directory = process.argv[2] as string
const ballast = join(directory, 'ballast')
const failures: string[] = []

function open(): Promise<MessageStore> {
  return MessageStore.open({
    dir: join(directory, 'store'),
    fileBytes: FILE_BYTES,
    consumeQueueFileBytes: 6_000,
    maxHashSlotNum: 1_000,
    maxIndexNum: 4_000,
    hotBytesMax: FILE_BYTES,
    tickMs: 10,
    heartbeatMs: 20,
    electionTimeoutMs: 100,
    checkpointIntervalMs: CHECKPOINT_MS,
    retentionIntervalMs: 50,
    retentionDiskPercent: 70,
    diskUsedPercentMax: 80,
    diskFreeBytesMin: 64 * 1024,
    retainForLaggingBytes: 0,
    logger: silentLogger,
    onFatal: (error) => failures.push(error.message),
  })
}

async function put(store: MessageStore, number: number): Promise<PutResult | string> {
  const properties = { keys: [`k${number}`], body: Buffer.from(`m${number}`.padEnd(BODY_BYTES, '.')) }
  return store.store({ topic: 'T', ...properties }).catch((error: unknown) => {
    if (error instanceof StoreError) return error.code
    throw error
  })
}

/** Puts one after the other until it is stored. @returns how often it was refused. */
async function putAtLast(store: MessageStore, number: number): Promise<number> {
  let refusals = 0
  const startedAt = performance.now()
  await until('there is room again', WAIT_MS, async () => {
    const outcome = await put(store, number)
    if (typeof outcome !== 'string') return true
    if (outcome !== 'DISK_FULL') failures.push(`a put ended with ${outcome}`)
    refusals++
    if (performance.now() - startedAt > WAIT_MS / 2) throw new Error(describe(store))
    return undefined
  })
  return refusals
}

/** What to know of a store that takes nothing for long. */
function describe(store: MessageStore): string {
  const { log, disk, checkpointIndex } = store.statistics()
  return JSON.stringify({ log, disk, checkpointIndex, role: store.status().role, failures })
}

/** All messages from the minimum on, each the one that was put there. @returns how many there are. */
async function readAll(store: MessageStore, numbers: readonly number[]): Promise<number> {
  let count = 0
  for (let at = store.minOffset('T', 0); at < store.maxOffset('T', 0);) {
    const { status, records, nextBeginOffset } = await store.get({ topic: 'T', queueOffset: at, maxCount: 100 })
    // The oldest may go meanwhile.
    if (status !== 'FOUND' && status !== 'OFFSET_TOO_SMALL') failures.push(`a read at ${at} says ${status}`)
    for (const record of records) {
      const offset = recordQueueOffset(record)
      const body = recordBody(record).toString()
      if (!body.startsWith(`m${numbers[offset]}.`)) failures.push(`message ${offset} is ${body.slice(0, 10)}`)
    }
    count += records.length
    at = nextBeginOffset
  }
  return count
}

let store = await open()
/** By queue offset. */
const numbers: number[] = []
let next = 0
let refusedByRatio = 0
const capacity = freeBytesOf(directory)

// Half as much again as fits: the oldest goes.
while (next * BODY_BYTES < 1.5 * capacity) {
  // How full the disk is is looked at once a second.
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  const outcomes = await Promise.all(Array.from({ length: PUTS_AT_ONCE }, (_, i) => put(store, next + i)))
  for (const [i, outcome] of outcomes.entries()) {
    if (typeof outcome === 'string') {
      refusedByRatio++
      if (outcome !== 'DISK_FULL') failures.push(`a put ended with ${outcome}`)
    } else {
      numbers[outcome.queueOffset] = next + i
    }
  }
  next += PUTS_AT_ONCE
}
const minOffset = store.minOffset('T', 0)
const stored = store.maxOffset('T', 0)

// Somebody else takes the rest, while what is derived is not written yet.
await putAtLast(store, next)
numbers.push(next++)
for (let i = 0; i < 20; i++) {
  const outcome = await put(store, next)
  if (typeof outcome !== 'string') numbers.push(next)
  next++
}
const refusals: string[] = []
await until('puts are refused', WAIT_MS, async () => {
  // What the log forgets for it is taken, too.
  fillUp(ballast)
  const outcome = await put(store, next)
  if (typeof outcome !== 'string') numbers.push(next++)
  else refusals.push(outcome)
  return refusals.length >= 3 ? true : undefined
})
fillUp(ballast)
const freeWhenFull = freeBytesOf(directory)
// Several checkpoints' time, in which nothing can be written.
for (let i = 0; i < 10; i++) {
  await new Promise((resolve) => setTimeout(resolve, CHECKPOINT_MS))
  await readAll(store, numbers)
}
const readWhenFull = await readAll(store, numbers)
const isReadyWhenFull = store.isReady()
const failedWhenFull = [...failures]

rmSync(ballast)
await putAtLast(store, next)
numbers.push(next++)
for (let i = 0; i < 100; i++) {
  await putAtLast(store, next)
  numbers.push(next++)
}
const readAfter = await readAll(store, numbers)
await until('the key index goes on', WAIT_MS, async () => {
  const { records } = await store.query({ topic: 'T', key: `k${next - 1}`, maxCount: 1 })
  return records.length === 1 ? true : undefined
})
const maxOffset = store.maxOffset('T', 0)
await store.close()
store = await open()
const readAgain = await readAll(store, numbers)
const maxOffsetAgain = store.maxOffset('T', 0)
await store.close()

const first = { capacity, stored, minOffset, refusedByRatio }
const whenFull = { freeWhenFull, refusals, readWhenFull, isReadyWhenFull, failedWhenFull }
console.log(JSON.stringify({ ...first, ...whenFull, readAfter, readAgain, maxOffset, maxOffsetAgain, failures }))
