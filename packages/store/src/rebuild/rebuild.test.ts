/** What is built again from a range of the log: the bytes that apply had written, no others, or an error that names the place. */
import fs from 'node:fs'
import path from 'node:path'
import { DLedger } from '@dledger-ts/dledger'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { StoreCore } from '../store-core.ts'
import { close, EntryMaker, filesBelow, flush, load, makeCore, message, TempDirectory } from '../testing/fixture.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { MemoryLog } from '../testing/memory-log.ts'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { ScanProgress, ScanRange } from './log-scan.ts'
import type { RebuildRequest } from './rebuilder.ts'

let temp: TempDirectory
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(() => temp.remove())

const queuesBelow = (directory: string): Map<string, string> => filesBelow(path.join(directory, 'consumequeue'))

function rebuild(core: StoreCore, request: RebuildRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    core.rebuilder.rebuild(request, (error) => (error === null ? resolve() : reject(error)))
  })
}

/** A core on a log in memory with messages of several queues, tags and delay levels, all written to its files. */
async function filled(directory: string, topics: readonly number[]): Promise<{ core: StoreCore; log: MemoryLog }> {
  const clock = new ManualClock()
  const core = makeCore({ directory, clock, metadata: new MemoryMetadata(clock) })
  await load(core)
  const maker = new EntryMaker()
  for (const [i, topic] of topics.entries()) {
    if (topic === 0) maker.add(message('T0', 'half', { sysFlag: 0xc }))
    else if (topic === 1) maker.add(message('SCHEDULE_TOPIC_XXXX', 'later', { properties: 'DELAY\x011\x02' }))
    else maker.add(message(`T${topic}`, `${i}`, { queueId: topic % 2, properties: `TAGS\x01tag${i % 3}\x02` }))
  }
  const log = new MemoryLog()
  log.entries.push(...maker.entries)
  log.lead(core)
  await flush(core, topics.length - 1)
  return { core, log }
}

/** Another core that has applied the log and written nothing. */
function applied(directory: string, log: MemoryLog): StoreCore {
  const clock = new ManualClock()
  const core = makeCore({ directory, clock, metadata: new MemoryMetadata(clock) })
  core.machine.apply(log.entries)
  core.attach(log, null)
  return core
}

function wholeRange(core: StoreCore): ScanRange {
  const { index, physicalEnd } = core.machine.applied
  return { fromIndex: 0, toIndex: index, physicalEnd }
}

describe('a rebuild', () => {
  test('writes the same bytes as applying did, over whatever harm was done in its range', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(5), { minLength: 1, maxLength: 40 }),
        fc.nat(40),
        fc.constantFrom('zeros', 'gone', 'other bytes'),
        async (topics, fromShare, harm) => {
          const directory = fs.mkdtempSync(path.join(temp.path, 'run-'))
          const { core: first, log } = await filled(directory, topics)
          const before = queuesBelow(directory)
          const fromIndex = harm === 'gone' ? 0 : Math.min(fromShare, topics.length - 1)
          const harmFrom = (log.entries[fromIndex]?.pos ?? 0) + 48
          await close(first)
          if (harm === 'gone') fs.rmSync(path.join(directory, 'consumequeue'), { recursive: true, force: true })
          for (const queue of harm === 'gone' ? [] : first.machine.queues.all()) {
            for (let offset = 0; offset < queue.nextOffset; offset++) {
              if (queue.physicalOffsetAt(offset) < harmFrom) continue
              const start = String(Math.floor(offset / 3) * 60).padStart(20, '0')
              const file = path.join(directory, 'consumequeue', queue.topic, String(queue.queueId), start)
              const fd = fs.openSync(file, 'r+')
              fs.writeSync(fd, Buffer.alloc(20, harm === 'zeros' ? 0 : 0x5a), 0, 20, (offset % 3) * 20)
              fs.closeSync(fd)
            }
          }
          const core = applied(directory, log)
          await rebuild(core, { range: { ...wholeRange(core), fromIndex }, queues: 'all' })
          expect(queuesBelow(directory)).toEqual(before)
          await close(core)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('writes the chosen queues only, and lets others take part in the same scan', async () => {
    const { core, log } = await filled(temp.path, [2, 3, 2, 3, 4, 0, 1, 2])
    const before = queuesBelow(temp.path)
    fs.rmSync(path.join(temp.path, 'consumequeue/T2'), { recursive: true })
    fs.rmSync(path.join(temp.path, 'consumequeue/T3'), { recursive: true })
    // The descriptors of what was removed are closed, as at a start.
    await close(core)
    const again = applied(temp.path, log)
    const seen: number[] = []
    const progress: ScanProgress[] = []
    let ended = 0
    await rebuild(again, {
      range: wholeRange(again),
      queues: new Set([again.machine.queues.findOrMake('T2', 0)]),
      consumers: [
        {
          take: (entries, done) => {
            seen.push(...entries.map(({ index }) => index))
            setImmediate(() => done(null))
          },
          end: (done) => {
            ended++
            done(null)
          },
        },
      ],
      onProgress: (each) => progress.push(each),
    })
    const after = queuesBelow(temp.path)
    expect(after.get('T2/0/00000000000000000000')).toBe(before.get('T2/0/00000000000000000000'))
    expect([...after.keys()].filter((name) => name.startsWith('T3'))).toEqual([])
    expect([seen, ended]).toEqual([[0, 1, 2, 3, 4, 5, 6, 7], 1])
    expect(progress.at(-1)).toEqual({
      doneBytes: wholeRange(again).physicalEnd,
      totalBytes: wholeRange(again).physicalEnd,
    })
    await close(again)
  })

  test('ends with an error that names the entry that cannot be read', async () => {
    const { core, log } = await filled(temp.path, [2, 2, 2, 2])
    log.lost.add(2)
    await expect(rebuild(core, { range: wholeRange(core), queues: 'all' })).rejects.toMatchObject({
      detail: { code: 'CORRUPT' },
      message: expect.stringMatching(/entry 2 of 0 to 3 cannot be read: .*damaged/) as string,
    })
    await close(core)
  })

  test('ends when the store closes, and the store waits for that', async () => {
    const { core } = await filled(temp.path, [2, 2, 2, 2])
    const outcome = rebuild(core, { range: wholeRange(core), queues: 'all' }).catch((error: unknown) => error)
    await close(core)
    await expect(outcome).resolves.toMatchObject({ code: 'CLOSED' })
  })

  test('finds the entry that a record belongs to', async () => {
    const { core, log } = await filled(temp.path, [2, 2, 3])
    const indexAt = (physicalOffset: number): Promise<number> =>
      new Promise((resolve, reject) => {
        core.rebuilder.indexAt(physicalOffset, (error, index) => (error === null ? resolve(index) : reject(error)))
      })
    for (const { index, pos } of log.entries) expect(await indexAt(pos + 48)).toBe(index)
    await expect(indexAt((log.entries[1]?.pos ?? 0) + 50)).rejects.toMatchObject({ code: 'CORRUPT' })
    await close(core)
  })
})

describe('a rebuild from a log on disk', () => {
  test('reads across its files and gives what applying gave', async () => {
    const clock = new ManualClock()
    const core = makeCore({ directory: temp.path, clock, metadata: new MemoryMetadata(clock), fileBytes: 8192 })
    await load(core)
    const log = await DLedger.open({
      directory: path.join(temp.path, 'log'),
      stateMachine: core.machine,
      controlEnvelope: core.envelope,
      fileBytes: 8192,
    })
    core.attach(log, null)
    const put = (i: number): Promise<void> =>
      new Promise((resolve, reject) => {
        core.putter.put(message(`T${i % 3}`, 'x'.repeat(200)), { stored: () => resolve(), putFailed: reject })
      })
    for (let i = 0; i < 100; i++) await put(i)
    await flush(core, core.machine.appliedIndex)
    const before = queuesBelow(temp.path)
    fs.rmSync(path.join(temp.path, 'consumequeue'), { recursive: true })
    await rebuild(core, { range: { ...wholeRange(core), fromIndex: log.firstIndex }, queues: null })
    expect(queuesBelow(temp.path).size).toBe(0)
    const at = core.machine.queues.find('T1', 0)?.firstPhysicalOffset ?? -1
    const index = await new Promise<number>((resolve) => core.rebuilder.indexAt(at, (_, found) => resolve(found)))
    expect((await log.read(index))?.body.readBigInt64BE(28)).toBe(BigInt(at))
    await log.close()
    await close(core)

    const again = makeCore({ directory: temp.path, clock, metadata: new MemoryMetadata(clock), fileBytes: 8192 })
    const reopened = await DLedger.open({
      directory: path.join(temp.path, 'log'),
      stateMachine: again.machine,
      controlEnvelope: again.envelope,
      fileBytes: 8192,
    })
    again.attach(reopened, null)
    await rebuild(again, { range: { ...wholeRange(again), fromIndex: reopened.firstIndex }, queues: 'all' })
    expect(queuesBelow(temp.path)).toEqual(before)
    await reopened.close()
    await close(again)
  })
})
