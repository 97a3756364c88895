/** What is refused on put, with which code; and that nothing of it is proposed, stored or kept. */
import { hostAddress } from '@dledger-ts/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NewMessage } from './api.ts'
import type { StoreError } from './errors.ts'
import { MemoryMetadata } from './metadata/memory-metadata.ts'
import { BATCH_COUNT_MAX, QUEUE_COUNT_MAX } from './put-checks.ts'
import type { StoreCore } from './store-core.ts'
import { close, filesBelow, HOST, load, makeCore, message, TempDirectory } from './testing/fixture.ts'
import { ManualClock, passes } from './testing/manual-clock.ts'
import { MemoryLog } from './testing/memory-log.ts'

const FILE_BYTES = 64 * 1024
let temp: TempDirectory
let log: MemoryLog
let core: StoreCore
beforeEach(async () => {
  temp = new TempDirectory()
  log = new MemoryLog()
  const clock = new ManualClock()
  core = makeCore({
    directory: temp.path,
    clock,
    metadata: new MemoryMetadata(clock),
    fileBytes: FILE_BYTES,
    sendOnce: { windowMs: 1000, idsMax: 10, timeoutMs: 1000 },
  })
  await load(core)
  await core.takeUpSends()
  log.lead(core)
})
afterEach(async () => {
  await close(core)
  temp.remove()
})

/** A record of a message to topic T without properties has so many bytes beside its body. */
const OVERHEAD_BYTES = 92
const BODY_BYTES_MAX = FILE_BYTES - 48 - 8 - OVERHEAD_BYTES

interface Row {
  readonly name: string
  /** Not always what the types allow. */
  readonly more: Record<string, unknown>
  readonly code: string
  readonly what: RegExp
}

const names = ['', ' ', '.', '..', '../../etc', 'a/b', 'a\\b', 'a\0b', 'a b', 'ä', 'x'.repeat(128)]
const rows: Row[] = [
  ...names.map((topic) => ({
    name: `topic ${JSON.stringify(topic.slice(0, 20))}`,
    more: { topic },
    code: 'INVALID',
    what: /specified topic/,
  })),
  { name: 'a retry topic of 256', more: { topic: `%RETRY%${'x'.repeat(249)}` }, code: 'INVALID', what: /255/ },
  { name: "the store's own topic", more: { topic: 'rmq_sys_dledger' }, code: 'INVALID', what: /not for messages/ },
  { name: 'a topic that is no text', more: { topic: 7 }, code: 'INVALID', what: /topic is a text/ },
  ...[-1, 1.5, Number.NaN, QUEUE_COUNT_MAX, 2 ** 31, Infinity, '0'].map((queueId) => ({
    name: `queue ${String(queueId)}`,
    more: { queueId },
    code: 'INVALID',
    what: /is not a whole number from 0 to 65535/,
  })),
  {
    name: 'a body beyond the log file',
    more: { body: Buffer.alloc(BODY_BYTES_MAX + 1), properties: '' },
    code: 'TOO_LARGE',
    what: /record of 65481 bytes is too large; 65480/,
  },
  { name: 'a body that is a text', more: { body: 'text' }, code: 'INVALID', what: /body is a Buffer/ },
  { name: 'a body that is a plain array of bytes', more: { body: new Uint8Array(3) }, code: 'INVALID', what: /Buffer/ },
  { name: 'no body', more: { body: undefined }, code: 'INVALID', what: /body is a Buffer/ },
  {
    name: 'properties of 32,768 bytes',
    more: { properties: `a\x01${'x'.repeat(32_765)}\x02` },
    code: 'TOO_LARGE',
    what: /properties: 32768 bytes, at most 32767/,
  },
  {
    name: 'properties of few characters and many bytes',
    more: { properties: `a\x01${'ä'.repeat(16_383)}\x02` },
    code: 'TOO_LARGE',
    what: /properties: 32769 bytes/,
  },
  { name: 'properties that are no text', more: { properties: { TAGS: 'a' } }, code: 'INVALID', what: /one text/ },
  ...['flag', 'sysFlag', 'reconsumeTimes'].flatMap((field) =>
    [2 ** 31, -(2 ** 31) - 1, 0.5, undefined, '1'].map((value) => ({
      name: `${field} ${String(value)}`,
      more: { [field]: value },
      code: 'INVALID',
      what: new RegExp(`${field} is outside`),
    })),
  ),
  ...['bornTimestamp', 'preparedTransactionOffset'].flatMap((field) =>
    [2 ** 53, 0.5, Number.NaN, undefined].map((value) => ({
      name: `${field} ${String(value)}`,
      more: { [field]: value },
      code: 'INVALID',
      what: new RegExp(`${field} is outside`),
    })),
  ),
  ...['bornHost', 'storeHost'].flatMap((field) =>
    [
      undefined,
      null,
      '127.0.0.1:1',
      { address: Buffer.alloc(5), port: 1 },
      { address: Buffer.alloc(4), port: 2 ** 31 },
    ].map((value, i) => ({
      name: `${field} of shape ${i}`,
      more: { [field]: value },
      code: 'INVALID',
      what: /address of 4 or 16/,
    })),
  ),
  {
    name: 'a delayed message whose delivery would be too large',
    more: { body: Buffer.alloc(BODY_BYTES_MAX - 60), properties: 'DELAY\x011\x02' },
    code: 'TOO_LARGE',
    what: /record/,
  },
  {
    name: 'a delayed message whose delivery would have too many properties',
    more: { properties: `DELAY\x011\x02a\x01${'x'.repeat(32_720)}\x02` },
    code: 'TOO_LARGE',
    what: /properties/,
  },
]

/** As a caller without type checks may make it. */
const bad = (more: Record<string, unknown>): NewMessage =>
  message('T', 'x', { properties: 'UNIQ_KEY\x01A\x02', ...(more as Partial<NewMessage>) })

async function refusalOf(begin: (putFailed: (error: StoreError) => void) => void): Promise<StoreError> {
  const told: StoreError[] = []
  begin((error) => told.push(error))
  expect(told).toHaveLength(0)
  await passes(3)
  expect(told).toHaveLength(1)
  expect(log.waiting).toBe(0)
  return told[0] as StoreError
}

const stored = (): void => {
  throw new Error('it is stored')
}

describe('refused, later and once, with nothing proposed', () => {
  test.each(rows)('$name: $code', async ({ more, code, what }) => {
    const single = await refusalOf((putFailed) => core.putter.put(bad(more), { stored, putFailed }))
    expect(single).toMatchObject({ code, message: expect.stringMatching(what) as string })
    const batch = [bad(more), bad(more)]
    const whole = await refusalOf((putFailed) => core.putter.putBatch(batch, { stored, putFailed }))
    expect(whole.code).toBe(code)
    // No queue was made, so nothing of it is written, and the id is free: a proper message takes the first place.
    expect([...core.machine.queues.all()]).toEqual([])
    const places: number[] = []
    core.putter.put(bad({}), { stored: (result) => places.push(result.queueOffset), putFailed: stored })
    await passes(3)
    log.commit()
    expect(places).toEqual([0])
    expect([...filesBelow(temp.path).keys()]).toEqual([])
  })
})

describe('batches', () => {
  const batches: { name: string; messages: NewMessage[]; what: RegExp }[] = [
    { name: 'of nothing', messages: [], what: /has messages/ },
    { name: 'for two queues', messages: [bad({}), bad({ queueId: 1 })], what: /one queue/ },
    { name: 'for two topics', messages: [bad({}), bad({ topic: 'U' })], what: /one queue/ },
    { name: 'with one bad message at the end', messages: [bad({}), bad({}), bad({ body: null })], what: /Buffer/ },
    {
      name: 'of too many',
      messages: Array.from({ length: BATCH_COUNT_MAX + 1 }, () => bad({})),
      what: /16385 messages is too large; 16384/,
    },
  ]
  test.each(batches)('$name are refused whole', async ({ messages, what }) => {
    const error = await refusalOf((putFailed) => core.putter.putBatch(messages, { stored, putFailed }))
    expect(error).toMatchObject({ code: 'INVALID', message: expect.stringMatching(what) as string })
    expect(log.entries).toHaveLength(0)
  })
})

describe('taken to the last byte', () => {
  const edges: { name: string; more: Partial<NewMessage> }[] = [
    { name: 'the largest record', more: { body: Buffer.alloc(BODY_BYTES_MAX), properties: '' } },
    { name: 'properties of 32,767 bytes', more: { properties: `a\x01${'x'.repeat(32_764)}\x02` } },
    { name: 'a topic of 127', more: { topic: 'x'.repeat(127) } },
    { name: 'a retry topic of 255', more: { topic: `%RETRY%${'x'.repeat(248)}` } },
    { name: 'the last queue', more: { queueId: QUEUE_COUNT_MAX - 1 } },
    { name: 'an empty body', more: { body: Buffer.alloc(0) } },
    { name: 'IPv6 hosts', more: { bornHost: hostAddress('2001:db8::1', 1), storeHost: hostAddress('2001:db8::2', 2) } },
    { name: 'a port that Java cut off', more: { bornHost: { address: HOST.address, port: -1 } } },
    { name: 'broken properties', more: { properties: 'nonsense\x02\x01\x02\x02TAGS' } },
  ]
  test.each(edges)('$name', async ({ more }) => {
    const places: number[] = []
    core.putter.put(message('T', 'x', more), { stored: (result) => places.push(result.queueOffset), putFailed: stored })
    await passes(3)
    log.commit()
    expect(places).toEqual([0])
  })
})
