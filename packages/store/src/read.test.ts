/** Reads from files: how many of them, shared by whom, and what is told of damage. */
import fs from 'node:fs'
import path from 'node:path'
import { DLedgerError } from '@dledger-ts/dledger'
import { javaHash, recordBody } from '@dledger-ts/protocol'
import { afterAll, describe, expect, test } from 'vitest'
import type { GetLimits, GetRequest, GetResult } from './api.ts'
import { StoreError } from './errors.ts'
import type { MessageReader } from './read.ts'
import { EntryMaker, message, TempDirectory } from './testing/fixture.ts'
import { getFrom, type OpenedReader, openReader } from './testing/opened-reader.ts'

const temp = new TempDirectory()
afterAll(() => temp.remove())

const CONSUME_QUEUE_FILE_BYTES = 6_000_000
const LOG_FILE_BYTES = 64 * 1024 * 1024
let runs = 0

/** A reader of a store that was just opened: nothing is in memory. */
function coldReader(
  maker: EntryMaker,
  logFileBytes = LOG_FILE_BYTES,
  inMemoryBytes = Number.POSITIVE_INFINITY,
): Promise<OpenedReader> {
  const directory = path.join(temp.path, `run-${runs++}`)
  const consumeQueueFileBytes = CONSUME_QUEUE_FILE_BYTES
  return openReader({ directory, maker, logFileBytes, inMemoryBytes, consumeQueueFileBytes })
}

function get(reader: MessageReader, request: Partial<GetRequest> = {}): Promise<GetResult> {
  const whole = { topic: 'T', queueId: 0, queueOffset: 0, maxCount: 32, maxBytes: 262_144, tagFilter: null, ...request }
  return getFrom(reader, whole)
}

/** Passes of the event loop, and of file operations, until what is asked has come. */
async function until(isThere: () => boolean): Promise<void> {
  while (!isThere()) await new Promise((resolve) => setImmediate(resolve))
}

function filled(count: number, bodyBytes: number, queues = 1, logFileBytes = LOG_FILE_BYTES): EntryMaker {
  const maker = new EntryMaker(logFileBytes)
  for (let i = 0; i < count; i++) {
    maker.add(message('T', '', { queueId: i % queues, body: Buffer.alloc(bodyBytes, i) }))
  }
  return maker
}

function tagged(count: number, tagOf: (i: number) => string): EntryMaker {
  const maker = new EntryMaker(LOG_FILE_BYTES)
  for (let i = 0; i < count; i++) maker.add(message('T', '', { properties: `TAGS\x01${tagOf(i)}\x02` }))
  return maker
}

describe('reads from files', () => {
  test('one read gives neighbours together', async () => {
    const { reader, log, closeAll } = await coldReader(filled(64, 200))
    expect((await get(reader)).records).toHaveLength(32)
    expect(log.reads).toHaveLength(1)
    await closeAll()
  })

  test('entries of a queue are given out across what one read has', async () => {
    const { reader, closeAll } = await coldReader(filled(20_000, 10))
    const entries = await reader.queueEntries('T', 0, 5, 19_000)
    expect(entries).toHaveLength(19_000)
    const places = entries?.map(({ physicalOffset }) => physicalOffset) ?? []
    expect(new Set(places).size).toBe(19_000)
    expect(places).toEqual(places.toSorted((a, b) => a - b))
    expect((await reader.queueEntries('T', 0, 19_999, 9))?.length).toBe(1)
    await closeAll()
  })

  test('many consumers at one place cost one read', async () => {
    const { reader, log, closeAll } = await coldReader(filled(64, 200))
    const results = await Promise.all(Array.from({ length: 100 }, () => get(reader)))
    expect(new Set(results.map(({ records }) => records.length))).toEqual(new Set([32]))
    expect(log.reads).toHaveLength(1)
    await closeAll()
  })

  test('who goes through a queue is read ahead for, and finds that for a moment', async () => {
    const { reader, log, clock, closeAll } = await coldReader(filled(1_000, 200))
    for (let queueOffset = 0; queueOffset < 600; queueOffset += 8) {
      const { records } = await get(reader, { queueOffset, maxCount: 8 })
      expect(records.map((record) => recordBody(record)[0])).toEqual(
        Array.from({ length: 8 }, (_, i) => (queueOffset + i) % 256),
      )
    }
    // The first pull is one of its own; 256 KiB ahead are some 800 records.
    expect(log.reads.length).toBeLessThanOrEqual(3)
    const before = log.reads.length
    clock.advance(1_001)
    expect(clock.timerCount).toBe(0)
    await get(reader, { queueOffset: 600, maxCount: 8 })
    expect(log.reads.length).toBe(before + 1)
    await closeAll()
  })

  test('what is read ahead ends with its file, and what it has a part of is read again', async () => {
    const { reader, log, closeAll } = await coldReader(filled(1_000, 200, 1, 50_000), 50_000)
    let queueOffset = 0
    for (let turn = 0; queueOffset < 1_000; turn++) {
      const { records, nextBeginOffset } = await get(reader, { queueOffset, maxCount: 5 + (turn % 9) })
      for (const [i, record] of records.entries()) expect(recordBody(record)[0]).toBe((queueOffset + i) % 256)
      queueOffset = nextBeginOffset
    }
    // 7 files, and some reads that go on where a file or what was read ahead ends.
    expect(log.reads.length).toBeLessThan(30)
    await closeAll()
  })

  test('where several readers are near each other, the next read is for all of them', async () => {
    const { reader, log, closeAll } = await coldReader(filled(4_000, 200, 100))
    for (let queueId = 0; queueId < 100; queueId++) {
      const { records } = await get(reader, { queueId, maxCount: 8 })
      expect(records.map((record) => recordBody(record)[0])).toEqual(
        Array.from({ length: 8 }, (_, i) => (i * 100 + queueId) % 256),
      )
    }
    // 800 records in 240 KB.
    expect(log.reads.length).toBeLessThan(40)
    await closeAll()
  })

  test('a neighbourhood that cannot be read as a whole is read record by record', async () => {
    const maker = filled(4_000, 200, 100)
    const { reader, log, closeAll } = await coldReader(maker)
    const lost = maker.entries[150] as { pos: number }
    log.failure = (pos, size) =>
      pos <= lost.pos + 48 && lost.pos + 48 < pos + size ? new Error('the disk has a bad sector') : null
    for (let queueId = 0; queueId < 50; queueId++) {
      const { records } = await get(reader, { queueId, maxCount: 8 })
      expect(records.map((record) => recordBody(record)[0])).toEqual(
        Array.from({ length: 8 }, (_, i) => (i * 100 + queueId) % 256),
      )
    }
    // What comes before it is given out.
    expect((await get(reader, { queueId: 50, maxCount: 8 })).nextBeginOffset).toBe(1)
    await expect(get(reader, { queueId: 50, queueOffset: 1, maxCount: 8 })).rejects.toThrow('a bad sector')
    expect((await get(reader, { queueId: 50, queueOffset: 2, maxCount: 8 })).records).toHaveLength(8)
    await closeAll()
  })

  test('who goes on behind a bad sector meets it once, not with each of its reads', async () => {
    const maker = filled(1_000, 200)
    const { reader, log, closeAll } = await coldReader(maker)
    const lost = maker.entries[40] as { pos: number }
    let failed = 0
    log.failure = (pos, size) => {
      if (pos > lost.pos + 48 || lost.pos + 48 >= pos + size) return null
      failed++
      return new Error('the disk has a bad sector')
    }
    for (let queueOffset = 41; queueOffset < 200; queueOffset += 8) {
      expect((await get(reader, { queueOffset, maxCount: 8 })).records).toHaveLength(8)
    }
    expect(failed).toBe(1)
    await closeAll()
  })

  test('a flipped byte in a record is an error that names its place, and nothing else is lost by it', async () => {
    const maker = filled(8, 200)
    const entry = maker.entries[3] as { pos: number; body: Buffer }
    for (let at = entry.pos; at < entry.pos + 48 + entry.body.length; at++) {
      // The place in a chain, which the log itself looks after, and what a record does not need: magic, index, term, channel.
      const inHeader = at - entry.pos
      const { reader, log, closeAll } = await coldReader(maker)
      log.flip(at)
      const { records, nextBeginOffset } = await get(reader)
      const mayPass = inHeader >= 8 && inHeader < 40 && !(inHeader >= 24 && inHeader < 32)
      if (!mayPass || records.length < 8) {
        expect([at, records.length, nextBeginOffset]).toEqual([at, 3, 3])
        const wanted = { code: 'CORRUPT', message: expect.stringContaining(String(entry.pos + 48)) as string }
        await expect(get(reader, { queueOffset: 3 })).rejects.toMatchObject(wanted)
        await expect(reader.storeTimeAt('T', 0, 3)).rejects.toMatchObject(wanted)
        await expect(reader.messageAt(entry.pos + 48)).rejects.toMatchObject(wanted)
        expect((await get(reader, { queueOffset: 4 })).records).toHaveLength(4)
      }
      await closeAll()
    }
  })

  test('nothing is read ahead for a single read, nor where a queue is sparse', async () => {
    const { reader, log, closeAll } = await coldReader(filled(4_000, 200, 40))
    await get(reader, { queueOffset: 50, maxCount: 1 })
    expect(log.reads).toHaveLength(1)
    expect(log.reads[0]?.size).toBeLessThan(400)
    for (const queueOffset of [0, 1, 2]) await get(reader, { queueOffset, maxCount: 1 })
    // Records of one queue are 12 KiB apart: of what lies between nothing is of use.
    expect(log.reads.every(({ size }) => size < 400)).toBe(true)
    await closeAll()
  })

  test.each([
    { where: 'far behind', queueOffset: 0, isFar: true, maxCount: 32, count: 8 },
    { where: 'far behind, fewer wanted', queueOffset: 0, isFar: true, maxCount: 5, count: 5 },
    { where: 'the last one that is far behind', queueOffset: 899, isFar: true, maxCount: 32, count: 8 },
    { where: 'among the newest', queueOffset: 900, isFar: false, maxCount: 32, count: 8 },
  ])('a request that begins $where has its limits', async ({ queueOffset, isFar, maxCount, count }) => {
    const maker = filled(1_000, 200)
    const recent = maker.entries.slice(900)
    // From the first record of these on, without the header of its entry.
    const inMemoryBytes = recent.reduce((sum, { body }) => sum + 48 + body.length, 0) - 48
    const { reader, closeAll } = await coldReader(maker, LOG_FILE_BYTES, inMemoryBytes)
    const limited = (few: GetLimits, many: GetLimits): Promise<GetResult> =>
      get(reader, { queueOffset, maxCount, limits: isFar ? { far: few, recent: many } : { far: many, recent: few } })
    const many = { maxCount: 100, maxBytes: 1_000_000 }
    expect((await limited({ maxCount: 8, maxBytes: 65_536 }, many)).records).toHaveLength(count)
    expect((await limited({ maxCount: 100, maxBytes: 900 }, many)).records).toHaveLength(3)
    expect((await limited(many, { maxCount: 1, maxBytes: 1 })).records).toHaveLength(maxCount)
    await closeAll()
  })

  test('a record that is given out holds no buffer much larger than what was asked for', async () => {
    const { reader, closeAll } = await coldReader(filled(2_000, 200))
    for (let queueOffset = 0; queueOffset < 64; queueOffset += 8) {
      const { records, recordBytes } = await get(reader, { queueOffset, maxCount: 8 })
      for (const record of records) expect(record.buffer.byteLength).toBeLessThanOrEqual(recordBytes + 16 * 1024)
    }
    await closeAll()
  })

  test('two reads are under way at most, each request has its turn, and each is answered', async () => {
    // Records of one queue are 400 KB apart: each is read by itself.
    const maker = filled(160, 20_000, 20)
    const { reader, log, closeAll } = await coldReader(maker)
    // Their entries are at hand from here on.
    for (const queueId of [0, 1, 2]) await get(reader, { queueId, maxCount: 1 })
    log.reads.length = 0
    log.isHeld = true
    const order: number[] = []
    const all = [0, 1, 2].map((queueId) => get(reader, { queueId, maxCount: 8 }).then(() => order.push(queueId)))
    let most = 0
    const seen = new Set<number>()
    while (order.length < 3) {
      await until(() => log.heldCount > 0 || order.length === 3)
      most = Math.max(most, log.heldCount)
      for (const { pos: read } of log.reads.slice(0, 6)) {
        seen.add(maker.entries.findIndex(({ pos }) => pos === read) % 20)
      }
      log.release()
    }
    await Promise.all(all)
    expect(most).toBeLessThanOrEqual(2)
    expect(log.reads).toHaveLength(24)
    // The first one with its eight reads did not go before the others.
    expect(seen.size).toBe(3)
    await closeAll()
  })

  test('requests that may give out more than 16 MiB together wait for each other and hold nothing', async () => {
    const { reader, log, closeAll } = await coldReader(filled(200, 200))
    log.isHeld = true
    let answered = 0
    const wishes = Array.from({ length: 5 }, (_, i) =>
      get(reader, { queueOffset: i * 20, maxCount: 20, maxBytes: 8 * 1024 * 1024 }).then(() => answered++),
    )
    await until(() => log.heldCount === 2)
    for (let pass = 0; pass < 20; pass++) await new Promise((resolve) => setImmediate(resolve))
    expect(log.reads).toHaveLength(2)
    while (answered < 5) {
      log.release()
      await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all(wishes)
    await closeAll()
  })

  test('beyond 16,384 that wait a request is refused with BUSY', async () => {
    const { reader, log, closeAll } = await coldReader(filled(200, 200))
    log.isHeld = true
    const outcomes = Array.from({ length: 16_387 }, () =>
      get(reader, { maxBytes: 16 * 1024 * 1024 }).then(
        () => 'FOUND',
        (error: unknown) => (error instanceof StoreError ? error.code : 'wrong'),
      ),
    )
    await until(() => log.heldCount > 0)
    log.isHeld = false
    log.release()
    const all = await Promise.all(outcomes)
    expect(all.filter((outcome) => outcome === 'BUSY')).toHaveLength(1)
    expect(all.filter((outcome) => outcome === 'FOUND')).toHaveLength(16_386)
    await closeAll()
  })

  test('closing waits for what is under way, and refuses what waits', async () => {
    const { reader, log, closeAll } = await coldReader(filled(160, 20_000, 20))
    log.isHeld = true
    const wishes = [0, 1, 2, 3].map((queueId) => get(reader, { queueId }).catch((error: unknown) => error))
    await until(() => log.heldCount === 2)
    let closed = false
    const closing = closeAll().then(() => {
      closed = true
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(closed).toBe(false)
    log.isHeld = false
    log.release()
    await closing
    for (const outcome of await Promise.all(wishes)) expect((outcome as StoreError).code).toBe('CLOSED')
  })

  test('what cannot be read beside a record does not keep it from being read', async () => {
    const maker = filled(64, 200)
    const { reader, log, closeAll } = await coldReader(maker)
    const lost = maker.entries[9] as { pos: number }
    log.failure = (pos, size) =>
      pos <= lost.pos + 48 && lost.pos + 48 < pos + size
        ? new DLedgerError('entry 9 is damaged', { code: 'CORRUPT', file: 'data', at: 0 })
        : null
    expect((await get(reader, { maxCount: 9 })).records).toHaveLength(9)
    await get(reader, { queueOffset: 10, maxCount: 2 })
    expect((await get(reader, { queueOffset: 12, maxCount: 2 })).records).toHaveLength(2)
    await expect(get(reader, { queueOffset: 9, maxCount: 1 })).rejects.toThrow('the log cannot be read')
    await closeAll()
  })

  test('a hole in a ConsumeQueue file is an error, not messages that nobody wanted', async () => {
    const { reader, queueDirectory, closeAll } = await coldReader(tagged(40, () => 'a'))
    const file = path.join(queueDirectory, 'T', '0', '0'.repeat(20))
    const fd = fs.openSync(file, 'r+')
    fs.writeSync(fd, Buffer.alloc(200), 0, 200, 200)
    fs.closeSync(fd)
    const tagFilter = new Set([javaHash('b')])
    const what = 'the entries 0 to 39 of queue T/0 are not as they were written'
    await expect(get(reader, { tagFilter })).rejects.toThrow(what)
    await expect(reader.storeTimeAt('T', 0, 12)).rejects.toThrow(what)
    await closeAll()
  })
})

describe('a filtered read', () => {
  const rare = new Set([javaHash('rare')])

  test('takes what the first 800 entries have, and goes on behind them', async () => {
    const { reader, closeAll } = await coldReader(tagged(2_000, (i) => (i % 500 === 0 ? 'rare' : 'often')))
    const { status, nextBeginOffset, records } = await get(reader, { tagFilter: rare })
    expect([status, nextBeginOffset, records.length]).toEqual(['FOUND', 800, 2])
    await closeAll()
  })

  test('goes on within the call until it has something', async () => {
    const { reader, closeAll } = await coldReader(tagged(30_000, (i) => (i === 20_000 ? 'rare' : 'often')))
    const { status, nextBeginOffset, records } = await get(reader, { tagFilter: rare })
    expect([status, records.length]).toEqual(['FOUND', 1])
    expect(nextBeginOffset).toBeGreaterThan(20_000)
    const { status: rest, nextBeginOffset: end } = await get(reader, { tagFilter: rare, queueOffset: nextBeginOffset })
    expect([rest, end]).toEqual(['NO_MATCHED_MESSAGE', 30_000])
    await closeAll()
  })

  test('lets the event loop go round, and ends when its time is over', async () => {
    const { reader, clock, closeAll } = await coldReader(tagged(30_000, () => 'often'))
    let passes = 0
    const count = (): void => {
      passes++
      clock.advance(60)
      counting = setImmediate(count)
    }
    let counting = setImmediate(count)
    const { status, nextBeginOffset } = await get(reader, { tagFilter: rare })
    clearImmediate(counting)
    expect(status).toBe('NO_MATCHED_MESSAGE')
    expect(passes).toBeGreaterThanOrEqual(2)
    expect(nextBeginOffset).toBeGreaterThanOrEqual(800)
    expect(nextBeginOffset).toBeLessThan(30_000)
    await closeAll()
  })
})
