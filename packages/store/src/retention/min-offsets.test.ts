/**
 * Queues whose log loses its head, against a model: minima, reads, restarts, the files that go.
 */
import fs from 'node:fs'
import path from 'node:path'
import { type CommittedEntry, DLedgerError } from '@dledger-ts/dledger'
import { recordBody, recordQueueId, recordQueueOffset, recordTopic } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { GetResult } from '../api.ts'
import { decodeConsumeQueueEntry } from '../consume-queue/entry-codec.ts'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { AttachedLog } from '../log-port.ts'
import type { StoreCore } from '../store-core.ts'
import { entryBytes } from '../testing/entry-bytes.ts'
import { close, EntryMaker, flush, load, makeCore, message, TempDirectory } from '../testing/fixture.ts'
import { ManualClock, passes, until } from '../testing/manual-clock.ts'

/** A log whose files hold one entry each. */
class TrimmedLog implements AttachedLog {
  readonly maker = new EntryMaker()
  readonly forgetBefore = 0
  firstIndex = 0
  /** Called before a read is answered. */
  onRead: () => void = () => {}

  get entries(): readonly CommittedEntry[] {
    return this.maker.entries
  }

  get lastIndex(): number {
    return this.entries.length - 1
  }

  get startPos(): number {
    return this.entries[this.firstIndex]?.pos ?? 0
  }

  firstIndexInFileOf(pos: number): number | null {
    return this.entries.findLast((entry) => entry.pos <= pos)?.index ?? null
  }

  readApplied(
    from: number,
    to: number,
    _bytesMax: number,
    callback: (error: Error | null, entries: readonly CommittedEntry[] | null) => void,
  ): void {
    setImmediate(() => callback(null, this.entries.slice(from, to + 1)))
  }

  readAppliedAt(pos: number, callback: (error: Error | null, entry: CommittedEntry | null) => void): void {
    setImmediate(() => callback(null, this.entries.find((entry) => entry.pos === pos) ?? null))
  }

  propose(): void {
    throw new Error('nothing is proposed here')
  }

  readBytes(
    pos: number,
    size: number,
    callback: (error: Error | null, bytes: Buffer | null) => void,
    target = Buffer.alloc(size),
  ): void {
    setImmediate(() => {
      this.onRead()
      if (pos < this.startPos) {
        const error = new DLedgerError('trimmed', { code: 'TRIMMED', firstIndex: this.firstIndex })
        return callback(error, null)
      }
      target.fill(0)
      for (const entry of this.entries) {
        const whole = entryBytes(entry)
        if (entry.pos >= pos + size || entry.pos + whole.length <= pos) continue
        whole.copy(target, Math.max(0, entry.pos - pos), Math.max(0, pos - entry.pos))
      }
      callback(null, target)
    })
  }
}

let temp: TempDirectory
let clock: ManualClock
beforeEach(() => {
  temp = new TempDirectory()
  clock = new ManualClock()
})
afterEach(() => temp.remove())

function get(core: StoreCore, queueId: number, queueOffset: number, maxCount = 32): Promise<GetResult> {
  const request = { topic: 'T', queueId, queueOffset, maxCount, maxBytes: 1 << 20, tagFilter: null }
  return new Promise((resolve, reject) => {
    core.reader.get(request, (error, result) => (error === null ? resolve(result as GetResult) : reject(error)))
  })
}

function forget(core: StoreCore, log: TrimmedLog, before: number): void {
  const firstIndex = Math.min(before, core.machine.checkpointIndex + 1, log.entries.length - 1)
  log.firstIndex = Math.max(log.firstIndex, firstIndex)
  core.machine.logStarts(log.firstIndex, log.startPos)
}

/** A core with little in memory, so that queues and records are read from files. */
async function start(log: TrimmedLog, metadata: MemoryMetadata, consumeQueueFileBytes = 60): Promise<StoreCore> {
  const core = makeCore({ directory: temp.path, clock, metadata, hotBytesMax: 0, consumeQueueFileBytes })
  await load(core)
  core.machine.logStarts(log.firstIndex, log.startPos)
  core.attach(log, null)
  const rest = log.entries.slice(core.machine.appliedIndex + 1)
  if (rest.length > 0) core.machine.apply(rest)
  return core
}

const filesOf = (queueId: number): number[] => {
  const directory = path.join(temp.path, 'consumequeue/T', String(queueId))
  return fs.existsSync(directory)
    ? fs
        .readdirSync(directory)
        .map(Number)
        .sort((a, b) => a - b)
    : []
}

type Step =
  | { readonly kind: 'put'; readonly queues: readonly number[] }
  | { readonly kind: 'trim'; readonly share: number }
  | { readonly kind: 'restart'; readonly isClean: boolean }
  | { readonly kind: 'checkpoint' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('put' as const), queues: fc.array(fc.nat(2), { maxLength: 40 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('trim' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const), isClean: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('checkpoint' as const) }) },
)

async function check(core: StoreCore, log: TrimmedLog): Promise<void> {
  for (const queueId of [0, 1, 2]) {
    const all = log.entries.filter(({ body }) => recordTopic(body) === 'T' && recordQueueId(body) === queueId)
    const kept = all.filter(({ index }) => index >= log.firstIndex)
    const minOffset = all.length - kept.length
    const queue = core.machine.queues.find('T', queueId)
    if (all.length === 0) {
      expect(queue).toBeUndefined()
      continue
    }
    expect(queue?.nextOffset).toBe(all.length)
    if (minOffset > 0) {
      const below = await get(core, queueId, minOffset - 1)
      expect(below).toMatchObject({ status: 'OFFSET_TOO_SMALL', nextBeginOffset: minOffset, minOffset })
    }
    const given: Buffer[] = []
    for (let at = minOffset; at < all.length;) {
      const result = await get(core, queueId, at, 7)
      expect(result).toMatchObject({ status: 'FOUND', minOffset, maxOffset: all.length })
      given.push(...result.records)
      at = result.nextBeginOffset
    }
    expect(given.map((record) => recordQueueOffset(record))).toEqual(kept.map((_, i) => minOffset + i))
    expect(given.map((record) => recordBody(record).toString())).toEqual(
      kept.map(({ body }) => recordBody(body).toString()),
    )
    expect((await get(core, queueId, all.length)).status).toBe('OFFSET_OVERFLOW_ONE')
    const time = await core.reader.storeTimeAt('T', queueId, minOffset)
    expect(await core.reader.earliestStoreTime('T', queueId)).toBe(time)
    expect(await core.reader.offsetByTimestamp('T', queueId, 0, 'LOWER')).toBe(minOffset)
    if (minOffset > 0) expect(await core.reader.storeTimeAt('T', queueId, minOffset - 1)).toBe(-1)
  }
}

describe('a log that loses its head', () => {
  test('leaves every queue with exactly the messages that are still there, across restarts', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
        temp.remove()
        temp = new TempDirectory()
        const log = new TrimmedLog()
        let metadata = new MemoryMetadata(clock)
        let core = await start(log, metadata)
        let count = 0
        for (const each of steps) {
          if (each.kind === 'put') {
            const entries = each.queues.map((queueId) => log.maker.add(message('T', `m${count++}`, { queueId })))
            if (entries.length > 0) core.machine.apply(entries)
            core.machine.durable(core.machine.appliedIndex)
          } else if (each.kind === 'trim') {
            if (log.entries.length > 0) forget(core, log, Math.floor(each.share * log.entries.length))
          } else if (each.kind === 'checkpoint') {
            clock.advance(31_000)
            await new Promise<void>((resolve) => core.whenIdle(resolve))
          } else {
            if (each.isClean) await flush(core, core.machine.appliedIndex)
            metadata = metadata.crash(0)
            await close(core)
            core = await start(log, metadata)
          }
          await check(core, log)
          core.checkInvariants()
        }
        await close(core)
      }),
      { numRuns: 40 },
    )
  }, 60_000)

  test('takes the queue files below the minimum with the next checkpoint, but for the newest', async () => {
    const log = new TrimmedLog()
    const metadata = new MemoryMetadata(clock)
    const core = await start(log, metadata)
    for (let i = 0; i < 20; i++) core.machine.apply([log.maker.add(message('T', `m${i}`, { queueId: i % 2 }))])
    for (let i = 20; i < 40; i++) core.machine.apply([log.maker.add(message('T', `m${i}`))])
    await flush(core, 39)
    expect([filesOf(0).length, filesOf(1)]).toEqual([10, [0, 60, 120, 180]])
    forget(core, log, 30)
    await until(() => core.machine.queues.find('T', 1)?.minOffset === 10, 'the minimum is found')
    expect(filesOf(0)).toHaveLength(10)
    core.machine.apply([log.maker.add(message('T', 'one more'))])
    await flush(core, 40)
    await until(() => filesOf(0).length === 5 && filesOf(1).length === 1, 'the files are gone')
    expect([filesOf(0), filesOf(1)]).toEqual([[360, 420, 480, 540, 600], [180]])
    await close(core)

    const again = await start(log, metadata.crash(0))
    await check(again, log)
    expect(again.machine.queues.find('T', 1)).toMatchObject({ minOffset: 10, nextOffset: 10, firstPhysicalOffset: -1 })
    again.machine.apply([log.maker.add(message('T', 'goes on', { queueId: 1 }))])
    await check(again, log)
    await close(again)
  })

  test('removes nothing of a queue before a synced checkpoint knows its minimum', async () => {
    const log = new TrimmedLog()
    const metadata = new MemoryMetadata(clock)
    const core = await start(log, metadata)
    for (let i = 0; i < 20; i++) core.machine.apply([log.maker.add(message('T', `m${i}`))])
    await flush(core, 19)
    forget(core, log, 15)
    await passes()
    expect(filesOf(0)).toHaveLength(7)
    const again = await start(log, metadata.crash(0))
    await check(again, log)
    await close(again)
    await close(core)
  })

  test('leaves a queue with its minimum though entries further on were wiped out in its file', async () => {
    const log = new TrimmedLog()
    const core = await start(log, new MemoryMetadata(clock), 60_000)
    for (let i = 0; i < 3_000; i++) core.machine.apply([log.maker.add(message('T', `m${i}`))])
    await flush(core, 2_999)
    const file = path.join(temp.path, 'consumequeue/T/0', ''.padStart(20, '0'))
    const bytes = fs
      .readFileSync(file)
      .fill(0, 0, 20)
      .fill(0, 20 * 1_200, 20 * 1_300)
    fs.writeFileSync(file, bytes)
    forget(core, log, 100)
    await check(core, log)
    expect(core.machine.queues.find('T', 0)?.minOffset).toBe(100)
    await close(core)
  })

  test('is told as such to a read that it overtakes', async () => {
    const log = new TrimmedLog()
    const core = await start(log, new MemoryMetadata(clock), 6_000)
    for (let i = 0; i < 2_000; i++) core.machine.apply([log.maker.add(message('T', `m${i}`))])
    await flush(core, 1_999)
    log.onRead = () => {
      log.onRead = () => {}
      forget(core, log, 1_500)
    }
    expect(await get(core, 0, 100)).toMatchObject({ status: 'OFFSET_TOO_SMALL', nextBeginOffset: 1_500, records: [] })
    log.onRead = () => {
      log.onRead = () => {}
      forget(core, log, 1_700)
    }
    expect(await core.reader.offsetByTimestamp('T', 0, 0, 'LOWER')).toBe(1_700)
    log.onRead = () => {
      log.onRead = () => {}
      forget(core, log, 1_800)
    }
    expect(await core.reader.messageAt((log.entries[1_750]?.pos ?? 0) + 48)).toBeUndefined()
    await close(core)
  })

  test('leaves hundreds of queues with their minima, few looked at at a time', async () => {
    const log = new TrimmedLog()
    const core = await start(log, new MemoryMetadata(clock))
    const queues = 150
    const entries: CommittedEntry[] = []
    for (let i = 0; i < queues * 3; i++) entries.push(log.maker.add(message('T', 'x', { queueId: i % queues })))
    core.machine.apply(entries)
    await flush(core, entries.length - 1)
    forget(core, log, queues * 2)
    const all = [...core.machine.queues.all()]
    expect(all.filter((queue) => queue.minOffset === 2).length).toBe(0)
    await until(() => all.every((queue) => queue.minOffset === 2), 'all minima are found')
    await close(core)
  })
})

describe('a queue file that starts within its queue', () => {
  test('has blank entries before its first, as Apache writes them', async () => {
    const log = new TrimmedLog()
    const metadata = new MemoryMetadata(clock)
    const core = await start(log, metadata)
    for (let i = 0; i < 5; i++) core.machine.apply([log.maker.add(message('T', `m${i}`))])
    log.maker.add(message('Other', 'x'))
    core.machine.apply(log.entries.slice(5))
    await flush(core, 5)
    forget(core, log, 5)
    await passes()
    core.machine.apply([log.maker.add(message('Other', 'y'))])
    await flush(core, 6)
    await close(core)
    fs.rmSync(path.join(temp.path, 'consumequeue/T'), { recursive: true })
    const again = await start(log, metadata.crash(0))
    again.machine.apply([log.maker.add(message('T', 'goes on'))])
    await flush(again, 7)
    const file = fs.readFileSync(path.join(temp.path, 'consumequeue/T/0', '60'.padStart(20, '0')))
    const blank = { physicalOffset: 0, size: 0x7fffffff, tagsCode: 0 }
    expect([0, 20].map((at) => decodeConsumeQueueEntry(file, at))).toEqual([blank, blank])
    expect(decodeConsumeQueueEntry(file, 40).physicalOffset).toBe((log.entries[7]?.pos ?? 0) + 48)
    await close(again)
  })
})
