/**
 * What is read into buffers that are used again, and what is given out of them, is nobody else's for as long as it is said to be.
 *
 * Every buffer that is given back is overwritten at once.
 */
import path from 'node:path'
import { recordBody } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import type { GetRequest, GetResult } from '../api.ts'
import { EntryMaker, message, TempDirectory } from '../testing/fixture.ts'
import { getFrom, type OpenedReader, openReader } from '../testing/opened-reader.ts'
import { BufferPool } from './buffer-pool.ts'

const temp = new TempDirectory()
afterAll(() => temp.remove())
afterEach(() => vi.restoreAllMocks())

const MESSAGES = 2_400
const BODY_BYTES = 1_500
const LOG_FILE_BYTES = 1024 * 1024
const COUNTS = [1, 8, 16, 32, 100]
let runs = 0

function scrambleWhatIsGivenBack(): { count: number } {
  const given = { count: 0 }
  const { give } = Object.getOwnPropertyDescriptors(BufferPool.prototype)
  vi.spyOn(BufferPool.prototype, 'give').mockImplementation(function (this: BufferPool, buffer: Buffer) {
    if (BufferPool.keeps(buffer.length)) given.count++
    Buffer.from(buffer.buffer).fill(0xdd)
    give.value?.call(this, buffer)
  })
  return given
}

interface Layout {
  readonly queues: number
  readonly hotBytesMax?: number
  readonly kept?: number
}

function opened({ queues, hotBytesMax = 0, kept = MESSAGES }: Layout): Promise<OpenedReader> {
  const maker = new EntryMaker(LOG_FILE_BYTES)
  for (let i = 0; i < MESSAGES; i++) {
    const body = Buffer.alloc(BODY_BYTES, i % 251)
    body.writeUInt32BE(Math.floor(i / queues))
    maker.add(message('T', '', { queueId: i % queues, body }))
  }
  const directory = path.join(temp.path, `run-${runs++}`)
  return openReader({
    directory,
    maker,
    kept,
    hotBytesMax,
    logFileBytes: LOG_FILE_BYTES,
    consumeQueueFileBytes: 60_000,
  })
}

/** Whether these are the messages of that queue from that offset on, to the last byte. */
function areWhole({ result: { records }, queueId, queueOffset }: Held, queues: number): boolean {
  return records.every((record, i) => {
    const expected = Buffer.alloc(BODY_BYTES, ((queueOffset + i) * queues + queueId) % 251)
    expected.writeUInt32BE(queueOffset + i)
    return recordBody(record).equals(expected)
  })
}

interface Held {
  readonly queueId: number
  readonly queueOffset: number
  readonly result: Pick<GetResult, 'records' | 'release'>
}

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('get' as const),
      queueId: fc.nat(2),
      /** Goes on where the last one of this queue ended, or anywhere. */
      at: fc.oneof(fc.constant(null), fc.constant(null), fc.nat(MESSAGES)),
      maxCount: fc.constantFrom(...COUNTS),
      isWaitedFor: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('one' as const), queueId: fc.nat(2), at: fc.nat(MESSAGES) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('release' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 300, 1_001) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('fail' as const), count: fc.integer({ min: 1, max: 3 }) }) },
)

test('nobody sees what others do with a buffer', { timeout: 120_000 }, async () => {
  const given = scrambleWhatIsGivenBack()
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 60, maxLength: 200, size: 'max' }),
      fc.record({
        queues: fc.constantFrom(1, 3),
        hotBytesMax: fc.constantFrom(0, 600_000),
        kept: fc.constantFrom(MESSAGES, MESSAGES / 2),
      }),
      async (steps, layout) => {
        const { queues } = layout
        const { reader, log, clock, closeAll } = await opened(layout)
        const perQueue = MESSAGES / queues
        const nexts = Array.from({ length: queues }, () => 0)
        const held: Held[] = []
        const underWay = new Set<Promise<void>>()
        let failing = 0
        log.failure = () => (failing-- > 0 ? new Error('the disk has a bad moment') : null)
        const get = async (request: GetRequest): Promise<void> => {
          const { queueId, queueOffset } = request
          try {
            const result = await getFrom(reader, request)
            const got = { queueId, queueOffset, result }
            expect(areWhole(got, queues)).toBe(true)
            nexts[queueId] = result.nextBeginOffset % perQueue
            held.push(got)
          } catch (error) {
            expect(error).toMatchObject({ message: expect.stringContaining('a bad moment') })
          }
        }
        const one = async (queueId: number, queueOffset: number): Promise<void> => {
          try {
            const [entry] = (await reader.queueEntries('T', queueId, queueOffset, 1)) ?? []
            const record = await reader.messageAt(entry?.physicalOffset ?? -1)
            const records = record === undefined ? [] : [record]
            const got = { queueId, queueOffset, result: { records } }
            expect([records.length, areWhole(got, queues)]).toEqual([1, true])
            held.push(got)
          } catch (error) {
            expect(error).toMatchObject({ message: expect.stringContaining('a bad moment') })
          }
        }
        for (const wanted of steps) {
          if (wanted.do === 'get') {
            const { at, maxCount } = wanted
            const queueId = wanted.queueId % queues
            const queueOffset = at === null ? (nexts[queueId] as number) : at % perQueue
            const request = { topic: 'T', queueId, queueOffset, maxCount, maxBytes: 1_000_000, tagFilter: null }
            const reading = get(request).finally(() => underWay.delete(reading))
            underWay.add(reading)
            if (wanted.isWaitedFor) await reading
          } else if (wanted.do === 'one') {
            const queueId = wanted.queueId % queues
            const queueOffset = wanted.at % perQueue
            // One near it, too: so that what is near them is read for both.
            for (const offset of [queueOffset, Math.min(queueOffset + 1, perQueue - 1)]) {
              const reading = one(queueId, offset).finally(() => underWay.delete(reading))
              underWay.add(reading)
              await reading
            }
          } else if (wanted.do === 'release') {
            const [given] = held.splice(wanted.which % Math.max(1, held.length), 1)
            if (given === undefined) continue
            expect(areWhole(given, queues)).toBe(true)
            given.result.release?.()
            given.result.release?.()
          } else if (wanted.do === 'wait') clock.advance(wanted.ms)
          else failing = wanted.count
        }
        failing = 0
        while (underWay.size > 0) {
          clock.advance(1)
          await new Promise((resolve) => setImmediate(resolve))
        }
        for (const given of held) expect(areWhole(given, queues)).toBe(true)
        await closeAll()
      },
    ),
    { numRuns: 25 },
  )
  // Runs in which nothing is used again would prove nothing.
  expect(given.count).toBeGreaterThan(100)
})

test('after an error the disk may still write to what was to be read into: it is not used again', async () => {
  const { reader, log, closeAll } = await opened({ queues: 3 })
  const give = vi.spyOn(BufferPool.prototype, 'give')
  const request = { topic: 'T', queueId: 0, maxCount: 32, maxBytes: 1_000_000, tagFilter: null }
  await getFrom(reader, { ...request, queueOffset: 0 })
  log.failure = () => new Error('the disk was given up')
  await expect(getFrom(reader, { ...request, queueOffset: 32 })).rejects.toThrow('given up')
  expect(log.reads.length).toBeGreaterThan(1)
  await closeAll()
  expect(give).not.toHaveBeenCalled()
})

test('who closes the reader while several are told of one read takes nothing from the others', async () => {
  scrambleWhatIsGivenBack()
  const { reader, log, closeAll } = await opened({ queues: 1 })
  const request = { topic: 'T', queueId: 0, maxCount: 32, maxBytes: 1_000_000, tagFilter: null }
  await getFrom(reader, { ...request, queueOffset: 0 })
  log.isHeld = true
  const results: (GetResult | null)[] = []
  const isClosed = new Promise<void>((resolve) => {
    reader.get({ ...request, queueOffset: 32 }, (_, result) => {
      results.push(result)
      reader.close(resolve)
    })
  })
  reader.get({ ...request, queueOffset: 32 }, (_, result) => results.push(result))
  while (log.heldCount === 0) await new Promise((resolve) => setImmediate(resolve))
  log.release()
  await isClosed
  expect(results).toHaveLength(2)
  for (const result of results) {
    expect(areWhole({ result: result as GetResult, queueId: 0, queueOffset: 32 }, 1)).toBe(true)
  }
  await closeAll()
})

test('a group that is behind in all queues of a topic costs each part of the log about one read, and few buffers', async () => {
  const queues = 8
  const { reader, log, closeAll } = await opened({ queues })
  const allocations = vi.spyOn(Buffer, 'allocUnsafeSlow')
  const request = { topic: 'T', maxCount: 32, maxBytes: 1_000_000, tagFilter: null }
  let count = 0
  for (let queueOffset = 0; queueOffset < MESSAGES / queues; queueOffset += 32) {
    // The last queue first: what it begins to read, the others have messages before.
    for (let queueId = queues - 1; queueId >= 0; queueId--) {
      const result = await getFrom(reader, { ...request, queueId, queueOffset })
      expect(areWhole({ result, queueId, queueOffset }, queues)).toBe(true)
      count += result.records.length
      result.release?.()
    }
  }
  expect(count).toBe(MESSAGES)
  const logBytes = MESSAGES * (BODY_BYTES + 150)
  const readBytes = log.reads.reduce((sum, { size }) => sum + size, 0)
  // The first pull of each queue reads for itself: here that is nearly once the log.
  expect(readBytes).toBeLessThan(2.5 * logBytes)
  expect(log.reads.length).toBeLessThan(32)
  // What is kept for a moment, and one for what is given out.
  expect(allocations.mock.calls.length).toBeLessThan(24)
  await closeAll()
})
