/** Delay levels: due messages enter their real queues once and in order, whoever leads and whatever is refused. */
import { decodeRecord, getProperty } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { StoreCore } from '../store-core.ts'
import { close, load, makeCore, message, TempDirectory } from '../testing/fixture.ts'
import { ManualClock, passes, until } from '../testing/manual-clock.ts'
import { MemoryLog } from '../testing/memory-log.ts'

let temp: TempDirectory
let clock: ManualClock
let log: MemoryLog
const cores: StoreCore[] = []
beforeEach(() => {
  temp = new TempDirectory()
  clock = new ManualClock()
  log = new MemoryLog()
})
afterEach(async () => {
  for (const core of cores.splice(0)) await close(core)
  temp.remove()
})

async function leader(): Promise<StoreCore> {
  const core = makeCore({ directory: `${temp.path}/${cores.length}`, clock, metadata: new MemoryMetadata(clock) })
  cores.push(core)
  await load(core)
  log.lead(core)
  return core
}

function bodyOf(index: number): Buffer {
  const entry = log.entries[index]
  if (entry === undefined) throw new Error(`there is no entry ${index}`)
  return entry.body
}

function put(core: StoreCore, body: string, properties: string): void {
  core.putter.put(message('T', body, { queueId: 3, properties }), {
    stored: () => {},
    putFailed: (error) => {
      throw error
    },
  })
}

/** Bodies in the real queue, in order. */
function delivered(core: StoreCore): string[] {
  return log.entries
    .map(({ body }) => decodeRecord(body))
    .filter(({ topic, sysFlag }) => topic === 'T' && sysFlag === 0)
    .map(({ body, queueOffset }, i) => {
      expect(queueOffset).toBe(i)
      expect(core.machine.queues.find('T', 3)?.nextOffset).toBeGreaterThan(i)
      return body.toString()
    })
}

describe('a delayed message', () => {
  test('waits in the queue of its level and is delivered when due, with its properties', async () => {
    const core = await leader()
    put(core, 'later', 'DELAY\x012\x02TAGS\x01a\x02TIMER_DELAY_SEC\x019\x02')
    await passes()
    log.commit()
    const waiting = decodeRecord(bodyOf(0))
    expect([waiting.topic, waiting.queueId]).toEqual(['SCHEDULE_TOPIC_XXXX', 1])
    expect(getProperty(waiting.properties, 'REAL_TOPIC')).toBe('T')
    expect(getProperty(waiting.properties, 'TIMER_DELAY_SEC')).toBeUndefined()
    expect(core.machine.queues.find('SCHEDULE_TOPIC_XXXX', 1)?.tagsCodeAt(0)).toBe(waiting.storeTimestamp + 5_000)

    clock.advance(4_999)
    await passes()
    expect(log.waiting).toBe(0)
    clock.advance(1)
    await until(() => log.waiting === 1, 'it is proposed')
    log.commit()
    const record = decodeRecord(bodyOf(1))
    expect([record.topic, record.queueId, record.body.toString()]).toEqual(['T', 3, 'later'])
    for (const [name, value] of [
      ['DELAY', '2'],
      ['REAL_TOPIC', 'T'],
      ['REAL_QID', '3'],
      ['TAGS', 'a'],
    ] as const) {
      expect(getProperty(record.properties, name)).toBe(value)
    }
    expect(core.machine.metadata.delivered.get(2)).toBe(1)
    await passes()
    expect(clock.timerCount).toBe(1) // The next checkpoint.
  })

  test('a level above the last waits as long as the last', async () => {
    const core = await leader()
    put(core, 'x', 'DELAY\x0199\x02')
    await passes()
    log.commit()
    expect(core.machine.queues.find('SCHEDULE_TOPIC_XXXX', 2)?.nextOffset).toBe(1)
  })

  test('a client cannot end a delayed message by a property of ours', async () => {
    const core = await leader()
    put(core, 'x', 'DLEDGER_DELIVERED\x011:0\x02TAGS\x01a\x02')
    await passes()
    log.commit()
    expect(core.machine.metadata.delivered.size).toBe(0)
    expect(decodeRecord(bodyOf(0)).properties).toBe('TAGS\x01a\x02')
  })
})

describe('delivery', () => {
  async function withDelayed(count: number, refuses: (n: number) => boolean = () => false): Promise<StoreCore> {
    const core = await leader()
    for (let i = 0; i < count; i++) put(core, `m${i}`, 'DELAY\x011\x02')
    await passes()
    log.commit()
    log.refuses = refuses
    clock.advance(1_000)
    return core
  }
  const bodies = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${i}`)

  test('goes on behind a refusal without leaving one out or changing the order', async () => {
    const core = await withDelayed(10, (n) => n === 13 || n === 14)
    await until(() => log.waiting === 8, 'the rest of the window has its places')
    await passes()
    log.commit()
    expect(delivered(core)).toEqual(['m0', 'm1', 'm2'])
    clock.advance(500)
    await until(() => log.waiting === 7, 'the others are proposed again')
    log.commit()
    expect(delivered(core)).toEqual(bodies(10))
  })

  test('happens once in the log, whatever is refused and wherever leaderships end', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 12 }),
        fc.array(
          fc.record({
            refused: fc.array(fc.nat(30), { maxLength: 4 }),
            commits: fc.array(fc.nat(5), { maxLength: 4 }),
            kept: fc.nat(12),
          }),
          { maxLength: 5 },
        ),
        async (count, leaderships) => {
          log = new MemoryLog()
          await withDelayed(count, (n) => leaderships[0]?.refused.includes(n % 31) === true)
          for (const { refused, commits, kept } of leaderships) {
            log.refuses = (n) => refused.includes(n % 31)
            for (const commit of commits) {
              await passes(6)
              log.commit(commit)
              clock.advance(500)
            }
            await passes(6)
            log.lose(kept)
            await leader()
          }
          log.refuses = () => false
          const last = cores.at(-1) as StoreCore
          for (let i = 0; i < 40 && (last.machine.metadata.delivered.get(1) ?? 0) < count; i++) {
            await passes(6)
            log.commit()
            clock.advance(500)
          }
          expect(delivered(last)).toEqual(bodies(count))
          for (const core of cores.splice(0)) await close(core)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('stops with the leadership', async () => {
    const core = await withDelayed(3)
    await until(() => log.waiting === 3, 'they are proposed')
    log.lose(0)
    clock.advance(10_000)
    await passes()
    expect(log.waiting).toBe(0)
    expect(delivered(core)).toEqual([])
  })
})
