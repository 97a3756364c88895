/** Repeated sends on one leader: what is recognised and answered, what is not, and what waits for what. */
import { getProperty } from '@dledger-ts/protocol'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { NewMessage, PutResult } from '../api.ts'
import { StoreError } from '../errors.ts'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { StoreCore } from '../store-core.ts'
import { close, load, makeCore, message, TempDirectory } from '../testing/fixture.ts'
import { ManualClock, passes } from '../testing/manual-clock.ts'
import { MemoryLog } from '../testing/memory-log.ts'
import { SendHash } from './send-identity.ts'

const WINDOW_MS = 60_000
const TIMEOUT_MS = 2_500
let temp: TempDirectory
let log: MemoryLog
let clock: ManualClock
let core: StoreCore
const cores: StoreCore[] = []
let told: string[]

beforeEach(async () => {
  temp = new TempDirectory()
  log = new MemoryLog()
  told = []
  clock = new ManualClock()
  core = await newCore()
  log.lead(core)
})
afterEach(async () => {
  vi.restoreAllMocks()
  for (const one of cores.splice(0)) await close(one)
  temp.remove()
})

/** A member that knows nothing but the log. @param follows false for one that was opened and has not read the log's end yet. */
async function newCore({ idsMax = 1000, follows = true } = {}): Promise<StoreCore> {
  const directory = `${temp.path}/${cores.length}`
  const made = makeCore({
    directory,
    clock,
    metadata: new MemoryMetadata(clock),
    sendOnce: { windowMs: WINDOW_MS, idsMax, timeoutMs: TIMEOUT_MS },
    delayLevelsMs: [1_000_000],
  })
  cores.push(made)
  await load(made)
  if (follows) await made.takeUpSends()
  return made
}

function send(id: string, more: Partial<NewMessage> = {}): NewMessage {
  return message('T', 'body', { properties: `UNIQ_KEY\x01${id}\x02`, ...more })
}

function text(result: PutResult): string {
  return `${result.topic}/${result.queueId}/${result.queueOffset}`
}

/** Tells `name` with the place, or the error's code. */
function put(name: string, given: NewMessage): void {
  core.putter.put(given, {
    stored: (result) => told.push(`${name} ${text(result)}`),
    putFailed: (error) => told.push(`${name} ${error.code}`),
  })
}

function putBatch(name: string, given: readonly NewMessage[]): void {
  core.putter.putBatch(given, {
    stored: (results) => told.push(`${name} ${results.map(text).join()}`),
    putFailed: (error) => told.push(`${name} ${error.code}`),
  })
}

async function store(name: string, given: NewMessage): Promise<void> {
  put(name, given)
  await passes()
  log.commit()
  await passes()
}

describe('a repetition', () => {
  test('is told the place of the first one and stores nothing', async () => {
    await store('first', send('A'))
    await store('other', send('B'))
    await store('again', send('A', { queueId: 3, body: Buffer.from('another body') }))
    expect(told).toEqual(['first T/0/0', 'other T/0/1', 'again T/0/0'])
    expect(log.entries).toHaveLength(2)
  })

  test('is recognised by a member that has only applied the log, as after a failover', async () => {
    await store('first', send('A'))
    put('lost answer', send('B'))
    await passes()
    log.lose(1)
    core = await newCore()
    log.lead(core)
    await store('again A', send('A'))
    await store('again B', send('B'))
    expect(told).toEqual(['first T/0/0', 'lost answer TIMEOUT', 'again A T/0/0', 'again B T/0/1'])
    expect(log.entries).toHaveLength(2)
  })

  test('is stored once the span has passed, by store timestamps', async () => {
    await store('first', send('A'))
    clock.advance(WINDOW_MS)
    await store('last moment', send('A'))
    clock.advance(1)
    await store('too late', send('A'))
    await store('of the second', send('A'))
    expect(told).toEqual(['first T/0/0', 'last moment T/0/0', 'too late T/0/1', 'of the second T/0/1'])
  })

  test('is recognised whatever the clock of the next leader says', async () => {
    clock.advance(10_000_000)
    await store('first', send('A'))
    // This leader's clock is hours behind: store timestamps stay where they are.
    clock = new ManualClock()
    core = await newCore({ follows: false })
    log.lead(core)
    await core.takeUpSends()
    await store('again', send('A'))
    clock.advance(10_000_000)
    await store('span not over', send('A'))
    clock.advance(WINDOW_MS + 1)
    await store('over', send('A'))
    expect(told.slice(1)).toEqual(['again T/0/0', 'span not over T/0/0', 'over T/0/1'])
  })

  test('of a delayed message is told the place of the delayed one, and the queue it will be delivered to', async () => {
    const delayed = send('A', { queueId: 2, properties: 'UNIQ_KEY\x01A\x02DELAY\x011\x02' })
    const results: PutResult[] = []
    for (let i = 0; i < 2; i++) {
      core.putter.put(delayed, {
        stored: (result) => results.push(result),
        putFailed: (error) => told.push(error.code),
      })
      await passes()
      log.commit()
      await passes()
    }
    expect(told).toEqual([])
    expect(results.map(({ wantedQueueId, queueId, queueOffset }) => [wantedQueueId, queueId, queueOffset])).toEqual([
      [2, 0, 0],
      [2, 0, 0],
    ])
    expect(log.entries).toHaveLength(1)
  })
})

describe('what is no repetition', () => {
  const rows: { name: string; first: NewMessage; second: NewMessage }[] = [
    { name: 'the same id in another topic', first: send('A'), second: send('A', { topic: 'U' }) },
    { name: 'another id', first: send('A'), second: send('B') },
    { name: 'no id', first: send('A', { properties: '' }), second: send('A', { properties: '' }) },
    { name: 'an id that only begins alike', first: send('A'), second: send('AA') },
    {
      name: 'a message to a retry topic',
      first: send('A', { topic: '%RETRY%g' }),
      second: send('A', { topic: '%RETRY%g' }),
    },
    { name: 'a dead letter', first: send('A', { topic: '%DLQ%g' }), second: send('A', { topic: '%DLQ%g' }) },
    {
      name: 'a delayed message to a retry topic',
      first: send('A', { topic: '%RETRY%g', properties: 'UNIQ_KEY\x01A\x02DELAY\x011\x02' }),
      second: send('A', { topic: '%RETRY%g', properties: 'UNIQ_KEY\x01A\x02DELAY\x011\x02' }),
    },
    { name: 'a committed transaction', first: send('A'), second: send('A', { sysFlag: 8 }) },
    {
      name: 'a half message put back',
      first: send('A', { topic: 'RMQ_SYS_TRANS_HALF_TOPIC' }),
      second: send('A', { topic: 'RMQ_SYS_TRANS_HALF_TOPIC' }),
    },
  ]
  test.each(rows)('is stored: $name', async ({ first, second }) => {
    await store('first', first)
    await store('second', second)
    expect(log.entries).toHaveLength(2)
    expect(told).toHaveLength(2)
  })

  test('is stored though its hash is the same: the record decides', async () => {
    vi.spyOn(SendHash.prototype, 'take').mockImplementation(() => {})
    await store('A', send('A'))
    await store('B', send('B'))
    await store('A of U', send('A', { topic: 'U' }))
    await store('again A', send('A'))
    await store('again B', send('B'))
    expect(told).toEqual(['A T/0/0', 'B T/0/1', 'A of U U/0/0', 'again A T/0/0', 'again B T/0/1'])
  })

  test('is the delivery of a delayed message', async () => {
    core = await newCore()
    const delayed = send('A', { properties: 'UNIQ_KEY\x01A\x02DELAY\x011\x02' })
    log.lead(core)
    await store('delayed', delayed)
    clock.advance(1_000_000)
    await passes()
    log.commit()
    await passes()
    expect(core.machine.queues.find('T', 0)?.nextOffset).toBe(1)
    expect(getProperty(delayed.properties, 'UNIQ_KEY')).toBe('A')
  })
})

describe('a send under way', () => {
  test('is waited for: one is stored, both are told its place', async () => {
    put('first', send('A'))
    put('second', send('A'))
    await passes()
    expect(log.waiting).toBe(1)
    put('third', send('A'))
    log.commit()
    await passes()
    expect(told).toEqual(['first T/0/0', 'second T/0/0', 'third T/0/0'])
    expect(log.entries).toHaveLength(1)
  })

  test('that is refused is refused for all; the next one is stored', async () => {
    log.refuses = (n) => n === 0
    put('first', send('A'))
    put('second', send('A'))
    await passes()
    expect(told).toEqual(['first BUSY', 'second BUSY'])
    await store('third', send('A'))
    expect(told.at(-1)).toBe('third T/0/0')
  })

  test('that was not committed in time is still waited for, and answered when it is', async () => {
    put('first', send('A'))
    await passes()
    log.expire()
    put('second', send('A'))
    await passes()
    expect(log.waiting).toBe(1)
    expect(told).toEqual(['first TIMEOUT'])
    log.commit()
    await passes()
    expect(told).toEqual(['first TIMEOUT', 'second T/0/0'])
    await store('third', send('A'))
    expect(told.at(-1)).toBe('third T/0/0')
    expect(log.entries).toHaveLength(1)
  })

  test('of unknown outcome is waited for as long as the first one was, again and again', async () => {
    put('first', send('A'))
    await passes()
    log.expire()
    put('second', send('A'))
    clock.advance(TIMEOUT_MS - 1)
    put('third', send('A'))
    expect(told).toEqual(['first TIMEOUT'])
    clock.advance(1)
    expect(told).toEqual(['first TIMEOUT', 'second TIMEOUT', 'third TIMEOUT'])
    put('fourth', send('A'))
    log.commit()
    await passes()
    expect(told.at(-1)).toBe('fourth T/0/0')
    expect(clock.timerCount).toBeLessThanOrEqual(1)
  })

  test.each([0, 1])('ends with the leadership; %i of it survives, and the next leader knows', async (kept) => {
    put('first', send('A'))
    await passes()
    log.expire()
    put('second', send('A'))
    log.lose(kept)
    await passes()
    expect(told).toEqual(['first TIMEOUT', 'second TIMEOUT'])
    put('no leader', send('A'))
    await passes()
    expect(told.at(-1)).toBe('no leader NOT_LEADER')
    log.lead(core)
    await store('third', send('A'))
    expect(told.at(-1)).toBe('third T/0/0')
    expect(log.entries).toHaveLength(1)
  })
})

describe('a batch', () => {
  test('stores what is new of it, and tells a place for each', async () => {
    await store('single', send('B'))
    putBatch('batch', [send('A'), send('B'), send('C')])
    await passes()
    log.commit()
    await passes()
    putBatch('again', [send('A'), send('B'), send('C')])
    await passes()
    log.commit()
    expect(told).toEqual(['single T/0/0', 'batch T/0/1,T/0/0,T/0/2', 'again T/0/1,T/0/0,T/0/2'])
    expect(log.entries).toHaveLength(3)
  })

  test('that holds one message twice stores it once; messages without an id are always stored', async () => {
    const plain = message('T', 'plain')
    putBatch('batch', [send('A'), send('A'), plain, plain])
    await passes()
    log.commit()
    await passes()
    expect(told).toEqual(['batch T/0/0,T/0/0,T/0/1,T/0/2'])
  })

  test('of which a part survived a leader is completed by its repetition', async () => {
    const batch = [send('A'), send('B'), send('C')]
    putBatch('batch', batch)
    await passes()
    log.lose(2)
    log.lead(core)
    putBatch('again', batch)
    await passes()
    log.commit()
    await passes()
    expect(told).toEqual(['batch TIMEOUT', 'again T/0/0,T/0/1,T/0/2'])
  })

  test('waits for messages of it that another send has under way', async () => {
    put('single', send('B'))
    putBatch('batch', [send('A'), send('B')])
    await passes()
    log.commit(1)
    await passes()
    expect(told).toEqual(['single T/0/0'])
    log.commit()
    await passes()
    expect(told).toEqual(['single T/0/0', 'batch T/0/1,T/0/0'])
  })
})

describe('the limit of memory', () => {
  test('forgets the oldest id first: its repetition is stored, those of newer ones are not', async () => {
    core = await newCore({ idsMax: 3 })
    log.lead(core)
    for (const id of ['A', 'B', 'C', 'D']) await store(id, send(id))
    for (const id of ['B', 'C', 'D']) await store(`again ${id}`, send(id))
    await store('again A', send('A'))
    expect(told.slice(4)).toEqual(['again B T/0/1', 'again C T/0/2', 'again D T/0/3', 'again A T/0/4'])
  })

  test.each([
    { name: 'no further back than the limit', idsMax: 4, stepMs: 0, expected: [6, 9] },
    { name: 'no further back than the span', idsMax: 1000, stepMs: WINDOW_MS / 4, expected: [5, 9] },
    { name: 'all of a short log', idsMax: 1000, stepMs: 0, expected: [0, 9] },
  ])('a start reads of the log $name', async ({ idsMax, stepMs, expected }) => {
    for (let i = 0; i < 10; i++) {
      if (i > 0) clock.advance(stepMs)
      await store(`${i}`, send(`${i}`))
    }
    core = await newCore({ idsMax, follows: false })
    log.lead(core)
    const readApplied = vi.spyOn(log, 'readApplied')
    await core.takeUpSends()
    expect(readApplied.mock.lastCall?.slice(0, 2)).toEqual(expected)
    expect(log.waiting).toBe(0)
    await store('again', send('9'))
    expect(log.entries).toHaveLength(10)
  })
})

describe('reading the sends of the last span', () => {
  const large = (id: string, kibibytes = 200): NewMessage => ({ ...send(id), body: Buffer.alloc(kibibytes * 1024) })

  test('says how far it is, and nothing before and after', async () => {
    for (let i = 0; i < 12; i++) await store(`${i}`, large(`${i}`))
    core = await newCore({ follows: false })
    log.lead(core)
    expect(core.sendsRead).toBe(null)
    const seen: unknown[] = []
    const readApplied = log.readApplied.bind(log)
    vi.spyOn(log, 'readApplied').mockImplementation((...args) => {
      seen.push(core.sendsRead)
      clock.advance(10)
      readApplied(...args)
    })
    await core.takeUpSends()
    expect(core.sendsRead).toBe(null)
    const at = (doneEntries: number, entriesPerSecond: number): unknown => ({
      doneEntries,
      totalEntries: 12,
      entriesPerSecond,
    })
    // Two entries in each piece; the first looks are for where to begin.
    expect(seen.slice(-6)).toEqual([at(0, 0), at(2, 200), at(4, 200), at(6, 200), at(8, 200), at(10, 200)])
    expect(core.repeatedSends()?.known).toBe(12)
  })

  test('again knows each once, in the order of the log, whatever is applied meanwhile', async () => {
    for (let i = 0; i < 6; i++) {
      await store(`${i}`, large(`${i}`, 100))
      clock.advance(WINDOW_MS / 10)
    }
    const reading = core.takeUpSends()
    await store('meanwhile', send('6'))
    await Promise.all([reading, core.takeUpSends()])
    expect(core.repeatedSends()?.known).toBe(7)
    told = []
    for (let i = 0; i < 7; i++) await store(`again ${i}`, send(`${i}`))
    expect(told).toEqual([0, 1, 2, 3, 4, 5, 6].map((i) => `again ${i} T/0/${i}`))
  })

  test('begins anew when the state is given up meanwhile', async () => {
    for (let i = 0; i < 6; i++) await store(`${i}`, large(`${i}`))
    const reading = core.takeUpSends()
    await passes(3)
    core.machine.forget()
    core.machine.apply(log.entries.slice(0, 3))
    await reading
    core.machine.apply(log.entries.slice(3))
    expect(core.repeatedSends()?.known).toBe(6)
  })
})

test('a record that cannot be read to compare it is not answered for', async () => {
  await store('first', send('A'))
  vi.spyOn(core.reader, 'messageAt').mockRejectedValue(
    new StoreError('no disk', { code: 'STORAGE_FAILED', what: 'no disk' }),
  )
  await store('again', send('A'))
  expect(told).toEqual(['first T/0/0', 'again STORAGE_FAILED'])
})
