/** Reads of random stores against a model of Apache's rules, from memory and from files. */
import path from 'node:path'
import { DLedgerError } from '@dledger-ts/dledger'
import { javaHash, recordBody, recordStoreTimestamp } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import type { GetRequest, GetResult } from './api.ts'
import type { ConsumeQueue } from './consume-queue/consume-queue.ts'
import type { MinOffsets } from './retention/min-offsets.ts'
import { EntryMaker, message, TempDirectory } from './testing/fixture.ts'
import { getFrom, type OpenedReader, openReader } from './testing/opened-reader.ts'

const temp = new TempDirectory()
afterAll(() => temp.remove())

const FILE_BYTES = 8_192
let runs = 0

interface Stored {
  readonly body: Buffer
  readonly tag: number
  readonly bytes: number
  readonly storeTimestamp: number
  /** Among all entries. */
  readonly index: number
}

/** A store whose first `kept` entries were taken up from files, so that they are cold, and whose others came since. */
function openAt(maker: EntryMaker, kept: number, hotBytesMax: number): Promise<OpenedReader> {
  const directory = path.join(temp.path, `run-${runs++}`)
  const options = { directory, maker, kept, hotBytesMax, logFileBytes: FILE_BYTES, consumeQueueFileBytes: 60 }
  return openReader(options)
}

interface Wish extends GetRequest {
  /** Wanted are only messages whose body has a multiple of so many bytes. */
  readonly multipleOf: number
}

/** What Apache's rules say. */
function expected(
  queue: readonly Stored[],
  minOffset: number,
  { queueOffset, maxCount, maxBytes, tagFilter, multipleOf }: Wish,
): Pick<GetResult, 'status' | 'nextBeginOffset'> & { readonly bodies: readonly Buffer[] } {
  if (queue.length === 0) return { status: 'NO_MATCHED_LOGIC_QUEUE', nextBeginOffset: 0, bodies: [] }
  if (queueOffset < minOffset) return { status: 'OFFSET_TOO_SMALL', nextBeginOffset: minOffset, bodies: [] }
  if (queueOffset === queue.length) return { status: 'OFFSET_OVERFLOW_ONE', nextBeginOffset: queueOffset, bodies: [] }
  if (queueOffset > queue.length) return { status: 'OFFSET_OVERFLOW_BADLY', nextBeginOffset: queue.length, bodies: [] }
  const bodies: Buffer[] = []
  let bytes = 0
  let next = queueOffset
  for (; next < queue.length && bodies.length < maxCount; next++) {
    const stored = queue[next] as Stored
    if (tagFilter !== null && !tagFilter.has(javaHash(`t${stored.tag}`))) continue
    if (stored.body.length % multipleOf !== 0) continue
    if (bodies.length > 0 && bytes + stored.bytes > maxBytes) break
    bodies.push(stored.body)
    bytes += stored.bytes
  }
  return { status: bodies.length > 0 ? 'FOUND' : 'NO_MATCHED_MESSAGE', nextBeginOffset: next, bodies }
}

const stored = fc.record({
  queueId: fc.nat(2),
  bytes: fc.oneof(fc.nat(200), fc.nat(4_000)),
  tag: fc.nat(2),
  laterMs: fc.constantFrom(0, 0, 0, 1, 7),
})
const wish = fc.record({
  queueId: fc.nat(2),
  /** Percent of the queue; null goes on where the last round's read of that queue ended. */
  from: fc.option(fc.integer({ min: -1, max: 101 })),
  maxCount: fc.integer({ min: 1, max: 12 }),
  maxBytes: fc.integer({ min: 1, max: 12_000 }),
  tags: fc.option(fc.uniqueArray(fc.nat(3), { minLength: 1, maxLength: 2 })),
  multipleOf: fc.constantFrom(1, 1, 2, 5, 50),
})

describe('reads of random stores', () => {
  test('give what a model gives: any offset, filter, limits, from memory and files, many at once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(stored, { minLength: 1, maxLength: 60 }),
        fc.array(fc.array(wish, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 8 }),
        fc.record({
          kept: fc.nat(100),
          hotBytesMax: fc.constantFrom(0, 4_000, 1_000_000),
          /** Percent of the entries that the log forgets while the second round is read. */
          forgotten: fc.option(fc.nat(100)),
        }),
        async (messages, rounds, { kept, hotBytesMax, forgotten }) => {
          const { maker, model } = makeModel(messages)
          const opened = await openAt(maker, Math.floor((messages.length * kept) / 100), hotBytesMax)
          const nexts = [0, 0, 0]
          let minima = [0, 0, 0]
          for (const [turn, round] of rounds.entries()) {
            const requests = round.map(({ queueId, from, maxCount, maxBytes, tags, multipleOf }): Wish => ({
              topic: 'T',
              queueId,
              queueOffset: offsetOf(from, model[queueId]?.length ?? 0, nexts[queueId] ?? 0),
              maxCount,
              maxBytes,
              tagFilter: tags === null ? null : new Set(tags.map((tag) => javaHash(`t${tag}`))),
              // What is forgotten between two parts of one filtered read is in no model.
              ...filterOf(forgotten === null ? multipleOf : 1),
            }))
            const reading = Promise.all(requests.map((request) => getFrom(opened.reader, request)))
            const before = minima
            if (turn === 1 && forgotten !== null) {
              const first = Math.floor(((messages.length - 1) * forgotten) / 100)
              minima = model.map((queue) => queue.filter(({ index }) => index < first).length)
              forget(opened, maker.entries[first]?.pos ?? 0)
            }
            const results = await reading
            for (const queue of opened.core.machine.queues.all()) await settled(opened.minOffsets, queue)
            for (const [i, result] of results.entries()) {
              const request = requests[i] as Wish
              const queue = model[request.queueId] ?? []
              const told = {
                status: result.status,
                nextBeginOffset: result.nextBeginOffset,
                bodies: result.records.map((record) => recordBody(record)),
              }
              // What is forgotten while it is read may have been read before.
              expect(
                [expected(queue, before[request.queueId] ?? 0, request)].concat(
                  expected(queue, minima[request.queueId] ?? 0, request),
                ),
              ).toContainEqual(told)
              nexts[requests[i]?.queueId ?? 0] = result.nextBeginOffset
              expect(result.recordBytes).toBe(result.records.reduce((sum, record) => sum + record.length, 0))
            }
          }
          await opened.closeAll()
        },
      ),
      {
        numRuns: 60,
        examples: [
          // One that has other tags lies before one that does not fit.
          [
            [0, 1, 0].map((tag, i) => ({ queueId: 1, bytes: i === 2 ? 1_900 : 0, tag, laterMs: 0 as const })),
            [[{ queueId: 1, from: null, maxCount: 2, maxBytes: 1, tags: [0], multipleOf: 2 }]],
            { kept: 0, hotBytesMax: 0, forgotten: null },
          ],
        ],
      },
    )
  })

  test('find the place of a time as a model does, with equal times', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(stored, { minLength: 1, maxLength: 40 }),
        fc.record({ kept: fc.nat(100), hotBytesMax: fc.constantFrom(0, 4_000, 1_000_000) }),
        async (messages, { kept, hotBytesMax }) => {
          const { maker, model } = makeModel(messages)
          const opened = await openAt(maker, Math.floor((messages.length * kept) / 100), hotBytesMax)
          const times = maker.entries.map(({ body }) => recordStoreTimestamp(body))
          const asked = [0, ...times.flatMap((time) => [time - 1, time, time + 1]), Number.MAX_SAFE_INTEGER]
          for (const [queueId, queue] of model.entries()) {
            for (const time of asked) {
              const lower = queue.findIndex(({ storeTimestamp }) => storeTimestamp >= time)
              const upper = queue.findLastIndex(({ storeTimestamp }) => storeTimestamp <= time)
              const { reader } = opened
              const found = await Promise.all([
                reader.offsetByTimestamp('T', queueId, time, 'LOWER'),
                reader.offsetByTimestamp('T', queueId, time, 'UPPER'),
              ])
              expect(found).toEqual([lower < 0 ? queue.length : lower, Math.max(0, upper)])
            }
            for (const [offset, { storeTimestamp }] of queue.entries()) {
              expect(await opened.reader.storeTimeAt('T', queueId, offset)).toBe(storeTimestamp)
            }
          }
          await opened.closeAll()
        },
      ),
      { numRuns: 25 },
    )
  })
})

function filterOf(multipleOf: number): Pick<Wish, 'multipleOf' | 'recordFilter'> {
  if (multipleOf === 1) return { multipleOf, recordFilter: null }
  return { multipleOf, recordFilter: (record) => recordBody(record).length % multipleOf === 0 }
}

/** The log starts at `startPos` from here on. */
function forget({ core, log }: OpenedReader, startPos: number): void {
  log.failure = (pos) =>
    pos < startPos ? new DLedgerError(`byte ${pos} is gone`, { code: 'TRIMMED', firstIndex: 0 }) : null
  core.machine.logStarts(0, startPos)
}

function settled(minOffsets: MinOffsets, queue: ConsumeQueue): Promise<void> {
  return new Promise((resolve, reject) => {
    minOffsets.settle(queue, (error) => (error === null ? resolve() : reject(error)))
  })
}

function offsetOf(from: number | null, count: number, next: number): number {
  if (from === null) return next
  return from < 0 ? -1 : Math.floor((count * from) / 100)
}

function makeModel(messages: readonly { queueId: number; bytes: number; tag: number; laterMs: number }[]): {
  readonly maker: EntryMaker
  readonly model: readonly Stored[][]
} {
  const maker = new EntryMaker(FILE_BYTES)
  const model: Stored[][] = [[], [], []]
  let storeTimestamp = 1_700_000_000_000
  for (const [i, { queueId, bytes, tag, laterMs }] of messages.entries()) {
    storeTimestamp += laterMs
    const body = Buffer.alloc(bytes, i)
    const properties = `TAGS\x01t${tag}\x02`
    const entry = maker.add(message('T', '', { queueId, body, properties }), { storeTimestamp })
    model[queueId]?.push({ body, tag, bytes: entry.body.length, storeTimestamp, index: i })
  }
  return { maker, model }
}
