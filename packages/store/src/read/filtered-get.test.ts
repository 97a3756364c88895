/** A read that looks into the records: how far it goes, and where it says to go on. */
import { RecordDraft, recordQueueOffset } from '@dledger-ts/protocol'
import { expect, it } from 'vitest'
import type { GetCallback, GetRequest, GetResult, RecordFilter } from '../api.ts'
import { StoreError } from '../errors.ts'
import { message } from '../testing/fixture.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { FilteredGet } from './filtered-get.ts'

const REQUEST: GetRequest = { topic: 'T', queueId: 0, queueOffset: 0, maxCount: 32, maxBytes: 1 << 20, tagFilter: null }

function record(queueOffset: number): Buffer {
  const draft = new RecordDraft(message('T', '', { body: Buffer.alloc(100) }))
  const bytes = Buffer.alloc(draft.bytes)
  draft.encode(bytes, 0, { queueOffset, physicalOffset: queueOffset * 1000, storeTimestamp: 0 })
  return bytes
}

/** A queue of so many messages; parts of it that were asked for are kept. */
class Queue {
  readonly parts: GetRequest[] = []
  readonly #count: number
  /** The error of the n-th part. */
  failures = new Map<number, StoreError>()
  /** From this part on the beginning of the queue is gone. */
  goneFromPart = Number.POSITIVE_INFINITY

  constructor(count: number) {
    this.#count = count
  }

  readonly get = (request: GetRequest, callback: GetCallback): void => {
    const nth = this.parts.length
    this.parts.push(request)
    const failure = this.failures.get(nth)
    if (failure !== undefined) return callback(failure, null)
    const base = { minOffset: 0, maxOffset: this.#count, records: [], recordBytes: 0 }
    if (nth >= this.goneFromPart) {
      return callback(null, {
        ...base,
        status: 'OFFSET_TOO_SMALL',
        nextBeginOffset: this.#count,
        minOffset: this.#count,
      })
    }
    const end = Math.min(this.#count, request.queueOffset + request.maxCount)
    const records: Buffer[] = []
    for (let offset = request.queueOffset; offset < end; offset++) records.push(record(offset))
    const recordBytes = records.reduce((sum, { length }) => sum + length, 0)
    callback(null, { ...base, status: 'FOUND', nextBeginOffset: end, records, recordBytes })
  }
}

function read(
  queue: Queue,
  recordFilter: RecordFilter,
  { clock = new ManualClock(), ...request }: Partial<GetRequest> & { clock?: ManualClock } = {},
): Promise<GetResult> {
  return new Promise((resolve, reject) => {
    const callback: GetCallback = (error, result) => (result === null ? reject(error as Error) : resolve(result))
    new FilteredGet({ request: { ...REQUEST, ...request }, recordFilter, get: queue.get, clock, callback }).start()
  })
}

const every =
  (n: number): RecordFilter =>
  (bytes) =>
    recordQueueOffset(bytes) % n === n - 1

it('goes on, part by part and each larger, until it has as many as are wanted', async () => {
  const queue = new Queue(10_000)
  const { status, records, nextBeginOffset } = await read(queue, every(100), { maxCount: 5 })
  expect([status, records.map((bytes) => recordQueueOffset(bytes))]).toEqual(['FOUND', [99, 199, 299, 399, 499]])
  expect(nextBeginOffset).toBe(500)
  expect(queue.parts.map(({ maxCount }) => maxCount)).toEqual([32, 64, 128, 256, 512])
})

it('passes over what it examined when nothing is wanted, to the end of the queue', async () => {
  const queue = new Queue(1_000)
  expect(await read(queue, () => false)).toMatchObject({
    status: 'NO_MATCHED_MESSAGE',
    nextBeginOffset: 1_000,
    maxOffset: 1_000,
    records: [],
  })
})

it('stops after so many records, and when it has taken its time', async () => {
  const long = await read(new Queue(100_000), () => false)
  expect(long.nextBeginOffset).toBeGreaterThanOrEqual(32_768)
  expect(long.nextBeginOffset).toBeLessThan(34_000)
  const clock = new ManualClock()
  const costly: RecordFilter = () => {
    clock.advance(30)
    return false
  }
  expect(await read(new Queue(100_000), costly, { clock })).toMatchObject({
    status: 'NO_MATCHED_MESSAGE',
    nextBeginOffset: 4,
  })
})

it('gives no more bytes than are wanted, but always one message', async () => {
  const size = record(0).length
  const two = await read(new Queue(100), every(2), { maxBytes: 2 * size + 1 })
  expect([two.records.length, two.nextBeginOffset, two.recordBytes]).toEqual([2, 5, 2 * size])
  const one = await read(new Queue(100), every(2), { maxBytes: 1 })
  expect([one.records.length, one.nextBeginOffset]).toEqual([1, 3])
})

it('gives what it has found when a later part fails or is gone, and says so when it has nothing', async () => {
  const failed = new StoreError('too much is read', { code: 'BUSY' })
  const queue = new Queue(1_000)
  queue.failures.set(1, failed)
  expect(await read(queue, every(10))).toMatchObject({ status: 'FOUND', nextBeginOffset: 32 })
  const nothing = new Queue(1_000)
  nothing.failures.set(1, failed)
  await expect(read(nothing, () => false)).rejects.toThrow(failed)
  const gone = new Queue(1_000)
  gone.goneFromPart = 1
  expect(await read(gone, every(10))).toMatchObject({ status: 'FOUND', nextBeginOffset: 32 })
  gone.goneFromPart = 0
  expect(await read(gone, every(10))).toMatchObject({ status: 'OFFSET_TOO_SMALL', nextBeginOffset: 1_000 })
})

it('copies few records of a large part, so that they hold nothing but themselves', async () => {
  const few = await read(new Queue(32), every(16))
  for (const bytes of few.records) expect(bytes.equals(record(recordQueueOffset(bytes)))).toBe(true)
  expect(few.records).toHaveLength(2)
})
