/**
 * A store that fills its small file system with its own log, nothing being left free for anything else, again and again; then somebody
 * else fills it while the store is closed. Runs alone: the file system ends with this process. Prints what it saw as one JSON object on
 * the last line.
 *
 * Arguments: the directory, which is a file system of its own; bytes of the reserve.
 */
import { existsSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { silentLogger } from '@dledger-ts/base'
import { recordBody, recordQueueOffset } from '@dledger-ts/protocol'
import { MessageStore, StoreError } from '@dledger-ts/store'
import { until } from '../group/until.ts'
import { fillUp, freeBytesOf } from './ballast.ts'

const FILE_BYTES = 1024 * 1024
const BODY_BYTES = 16_000
const PUTS_AT_ONCE = 32
const WAIT_MS = 30_000
/** How often as much is stored as fits. */
const TIMES = 3

const directory = process.argv[2] as string
const reserveBytes = Number(process.argv[3])
const ballast = join(directory, 'ballast')
const reserve = join(directory, 'store/commitlog/dledger-n0/reserve')
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
    checkpointIntervalMs: 200,
    retentionIntervalMs: 50,
    retentionDiskPercent: 95,
    diskFreeBytesMin: 0,
    diskReserveBytes: reserveBytes,
    retainForLaggingBytes: 0,
    logger: silentLogger,
    onFatal: (error) => failures.push(error.message),
  })
}

/** By queue offset; an outcome that is not known leaves a gap. */
const numbers: number[] = []
let next = 0
const outcomes: Record<string, number> = {}

async function put(store: MessageStore): Promise<boolean> {
  const number = next++
  const body = Buffer.from(`m${number}.`.padEnd(BODY_BYTES, '.'))
  try {
    const { queueOffset } = await store.store({ topic: 'T', body, keys: [`k${number}`] })
    numbers[queueOffset] = number
    return true
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    outcomes[error.code] = (outcomes[error.code] ?? 0) + 1
    return false
  }
}

/** @returns how many messages there are, each the one that was put there. */
async function readAll(store: MessageStore): Promise<number> {
  let count = 0
  for (let at = store.minOffset('T', 0); at < store.maxOffset('T', 0);) {
    const { status, records, nextBeginOffset } = await store.get({ topic: 'T', queueOffset: at, maxCount: 100 })
    if (status !== 'FOUND' && status !== 'OFFSET_TOO_SMALL') failures.push(`a read at ${at} says ${status}`)
    for (const record of records) {
      const number = numbers[recordQueueOffset(record)]
      const body = recordBody(record).toString()
      if (number !== undefined && !body.startsWith(`m${number}.`))
        failures.push(`message ${number} is ${body.slice(0, 10)}`)
    }
    count += records.length
    at = nextBeginOffset
  }
  return count
}

const capacity = freeBytesOf(directory)
let store = await open()
let timesEmptied = 0
let wasHeld = false
const reserveSize = (): number => (existsSync(reserve) ? statSync(reserve).size : -1)
const enough = (TIMES * capacity) / BODY_BYTES
const startedAt = performance.now()
while (numbers.length < enough && performance.now() - startedAt < WAIT_MS) {
  const stored = await Promise.all(Array.from({ length: PUTS_AT_ONCE }, () => put(store)))
  if (reserveSize() === reserveBytes) wasHeld = true
  if (wasHeld && reserveSize() === 0) {
    timesEmptied++
    wasHeld = false
  }
  if (!stored.every(Boolean)) await new Promise((resolve) => setTimeout(resolve, 10))
}
const timesStored = (numbers.length * BODY_BYTES) / capacity
const minOffset = store.minOffset('T', 0)
const read = await readAll(store)

await until('the reserve is held', WAIT_MS, () => Promise.resolve(reserveSize() === reserveBytes ? true : undefined))
const maxOffset = store.maxOffset('T', 0)
await store.close()
fillUp(ballast)
const freeWhenClosed = freeBytesOf(directory)
store = await open()
const readWhenFull = await readAll(store)
const isTakenWhenFull = await put(store)
rmSync(ballast)
await until('there is room again', WAIT_MS, async () => ((await put(store)) ? true : undefined))
const isWhole = store.maxOffset('T', 0) === maxOffset + 1
await store.close()

const filled = { timesStored, timesEmptied, minOffset, read, outcomes }
console.log(JSON.stringify({ ...filled, freeWhenClosed, readWhenFull, isTakenWhenFull, isWhole, failures }))
