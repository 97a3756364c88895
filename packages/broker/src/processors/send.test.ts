/** Sends: every refusal with its code, what is stored, and where. */
import { decodeRecords, encodeBatchBody, getProperty, parseOffsetMsgId } from '@dledger-ts/protocol'
import { type ExtFields, RequestCode } from '@dledger-ts/remoting'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Fixture, longHeader, sendFields, startBroker, TestClient } from '../testing/broker-fixture.ts'

let fixture: Fixture
let client: TestClient

beforeAll(async () => {
  fixture = await startBroker({ maxMessageSize: '4096' })
  client = new TestClient(fixture.broker.address)
  expect((await client.createTopic('Two', { readQueueNums: 2, writeQueueNums: 2 })).code).toBe(0)
})
afterAll(async () => {
  client.close()
  await fixture.close()
})

/** The one record at the end of a queue. */
async function lastRecord(topic: string, queueId = '0') {
  const max = await client.call(RequestCode.GET_MAX_OFFSET, { topic, queueId })
  const queueOffset = String(Number(max.extFields?.['offset']) - 1)
  const pulled = await client.pull({ topic, queueId, queueOffset })
  const [record] = decodeRecords(pulled.bodyBytes)
  if (record === undefined) throw new Error(`nothing in ${topic}: ${pulled.remark}`)
  return record
}

describe('topics made by the first message', () => {
  test('they get the wished number of queues, at most those of the model, and no inheritance', async () => {
    expect((await client.send('x', { b: 'Auto3', d: '3' })).code).toBe(0)
    expect((await client.send('x', { b: 'Auto99', d: '99' })).code).toBe(0)
    expect(fixture.broker.store?.topics().get('Auto3')).toMatchObject({ readQueueNums: 3, writeQueueNums: 3, perm: 6 })
    expect(fixture.broker.store?.topics().get('Auto99')).toMatchObject({ writeQueueNums: 8 })
  })

  test('two first messages at once make one topic and are both stored', async () => {
    const answers = await Promise.all([client.send('a', { b: 'Race' }), client.send('b', { b: 'Race' })])
    expect(answers.map((answer) => answer.code)).toEqual([0, 0])
    expect(new Set(answers.map((answer) => answer.extFields?.['queueOffset']))).toEqual(new Set(['0', '1']))
  })

  test('a retry topic is made with one queue', async () => {
    expect((await client.send('x', { b: '%RETRY%made' })).code).toBe(0)
    expect(fixture.broker.store?.topics().get('%RETRY%made')).toMatchObject({ writeQueueNums: 1, perm: 6 })
  })
})

describe('what is stored', () => {
  test('the long header of code 10 means the same', async () => {
    const answer = await client.send('by code 10', {}, RequestCode.SEND_MESSAGE_V2)
    expect(answer.code).toBe(0)
    const fields = { ...longHeader(sendFields()), flag: '7', topic: 'V1' }
    const again = await client.call(RequestCode.SEND_MESSAGE, fields, Buffer.from('by code 10'))
    expect(again.code).toBe(0)
    expect(await lastRecord('V1')).toMatchObject({ flag: 7, bornTimestamp: 1_700_000_000_000, topic: 'V1' })
  })

  test('a message without UNIQ_KEY gets one; a TAGS of the text null stays; POP_CK goes', async () => {
    expect((await client.send('x', { b: 'NoKey', i: 'TAGS\u0001null\u0002POP_CK\u0001zz\u0002' })).code).toBe(0)
    const { properties } = await lastRecord('NoKey')
    expect(getProperty(properties, 'UNIQ_KEY')).toMatch(/^[0-9A-F]{32}$/)
    expect(getProperty(properties, 'TAGS')).toBe('null')
    expect(getProperty(properties, 'POP_CK')).toBeUndefined()
    expect(properties.endsWith('\u0002')).toBe(true)
  })

  const broken: { name: string; given: string; kept: Record<string, string | undefined> }[] = [
    { name: 'without the last separator', given: 'TAGS\u0001a', kept: { TAGS: 'a' } },
    { name: 'without a name', given: '\u0001x\u0002TAGS\u0001a\u0002', kept: { TAGS: 'a' } },
    { name: 'without a value', given: 'KEYS\u0001\u0002TAGS\u0001a\u0002', kept: { TAGS: 'a', KEYS: undefined } },
    { name: 'with a piece that is none', given: 'nonsense\u0002TAGS\u0001a\u0002', kept: { TAGS: 'a' } },
    { name: 'with nothing but separators', given: '\u0002\u0001\u0002\u0002\u0001', kept: { TAGS: undefined } },
    { name: 'with an id in a broken piece', given: 'UNIQ_KEY\u0002UNIQ_KEY', kept: { TAGS: undefined } },
    { name: 'with one name twice', given: 'TAGS\u0001a\u0002TAGS\u0001b\u0002', kept: { TAGS: 'b' } },
  ]
  test.each(broken)('properties $name keep what can be read, and get what the broker adds', async ({ given, kept }) => {
    expect((await client.send('x', { b: 'Broken', i: given })).code).toBe(0)
    const { properties } = await lastRecord('Broken')
    for (const [name, value] of Object.entries(kept)) expect(getProperty(properties, name)).toBe(value)
    expect(getProperty(properties, 'CLUSTER')).toBe('C')
    expect(getProperty(properties, 'UNIQ_KEY')).toMatch(/^[0-9A-F]{32}$/)
  })

  test('a negative queue id means any queue, and the answer says which', async () => {
    const answer = await client.send('x', { b: 'Two', e: '-1' })
    const queueId = answer.extFields?.['queueId'] ?? ''
    expect(['0', '1']).toContain(queueId)
    expect((await lastRecord('Two', queueId)).queueId).toBe(Number(queueId))
  })

  test('a one-way send is stored and not answered', async () => {
    client.oneway(RequestCode.SEND_MESSAGE_V2, { ...sendFields(), b: 'OneWay' }, Buffer.from('quiet'))
    const held = await client.pull({ topic: 'TBW102' })
    expect(held.code).toBe(19)
    while (
      (await client.call(RequestCode.GET_MAX_OFFSET, { topic: 'OneWay', queueId: '0' })).extFields?.['offset'] !== '1'
    );
    expect((await lastRecord('OneWay')).body.toString()).toBe('quiet')
  })

  test('the messages of a batch follow each other and keep their own properties', async () => {
    const batch = encodeBatchBody([
      { flag: 1, body: Buffer.from('b0'), properties: 'UNIQ_KEY\u0001K0\u0002TAGS\u0001A\u0002' },
      { flag: 2, body: Buffer.from('b1'), properties: 'UNIQ_KEY\u0001K1\u0002' },
      { flag: 3, body: Buffer.from('b2'), properties: '' },
    ])
    const answer = await client.call(
      RequestCode.SEND_BATCH_MESSAGE,
      { ...sendFields(), b: 'Batch', m: 'true', i: 'UNIQ_KEY\u0001BATCH\u0002WAIT\u0001true\u0002' },
      batch,
    )
    expect(answer.code).toBe(0)
    const ids = answer.extFields?.['msgId']?.split(',') ?? []
    expect(ids).toHaveLength(3)
    expect(answer.extFields).toMatchObject({ queueOffset: '0', queueId: '0', transactionId: 'BATCH' })
    const records = decodeRecords((await client.pull({ topic: 'Batch' })).bodyBytes)
    expect(records.map((r) => [r.body.toString(), r.flag, r.queueOffset])).toEqual([
      ['b0', 1, 0],
      ['b1', 2, 1],
      ['b2', 3, 2],
    ])
    expect(records.map((r) => r.physicalOffset)).toEqual(ids.map((id) => parseOffsetMsgId(id).physicalOffset))
    expect(records.slice(0, 2).map((r) => getProperty(r.properties, 'UNIQ_KEY'))).toEqual(['K0', 'K1'])
    expect(records.every((r) => getProperty(r.properties, 'CLUSTER') === 'C')).toBe(true)
  })

  test('a batch that holds a delayed message is refused whole', async () => {
    const batch = encodeBatchBody([
      { flag: 0, body: Buffer.from('b0'), properties: '' },
      { flag: 0, body: Buffer.from('b1'), properties: 'DELAY\u00011\u0002' },
    ])
    const answer = await client.call(RequestCode.SEND_BATCH_MESSAGE, { ...sendFields(), b: 'Two', m: 'true' }, batch)
    expect(answer.code).toBe(13)
  })

  test('a message that is delayed by any time is delivered to its queue when its time has come, and not before', async () => {
    const startMs = Date.now()
    const sent = await client.send('timed', { b: 'Timed', i: 'TIMER_DELAY_MS\u0001350\u0002UNIQ_KEY\u0001W\u0002' })
    expect(sent.code).toBe(0)
    expect(sent.extFields?.['queueId']).toBe('0')
    const pulled = await client.pull({ topic: 'Timed', sysFlag: '6', suspendTimeoutMillis: '10000' })
    const [record] = decodeRecords(pulled.bodyBytes)
    expect(record?.body.toString()).toBe('timed')
    expect(record?.storeTimestamp).toBeGreaterThanOrEqual(startMs + 350)
    expect(getProperty(record?.properties ?? '', 'REAL_TOPIC')).toBe('Timed')
  })

  test('a delayed message is delivered after its delay to its queue', async () => {
    const sent = await client.send('later', { b: 'Delayed', i: 'DELAY\u00011\u0002UNIQ_KEY\u0001D\u0002' })
    expect(sent.code).toBe(0)
    expect(sent.extFields?.['queueId']).toBe('0')
    const pulled = await client.pull({ topic: 'Delayed', sysFlag: '6', suspendTimeoutMillis: '10000' })
    const [record] = decodeRecords(pulled.bodyBytes)
    expect(record?.body.toString()).toBe('later')
    expect(getProperty(record?.properties ?? '', 'DELAY')).toBe('1')
  })
})

describe('sends to a retry topic', () => {
  const rows: { name: string; version: number; ext: ExtFields; topic: string }[] = [
    { name: "at the group's limit: retried", version: 479, ext: { j: '16' }, topic: '%RETRY%rg' },
    { name: "over the group's limit: dead", version: 479, ext: { j: '17' }, topic: '%DLQ%rg' },
    { name: "over the client's own limit: dead", version: 479, ext: { j: '3', l: '2' }, topic: '%DLQ%rg' },
    {
      name: 'the limit of a client older than 3.4.9 does not count',
      version: 120,
      ext: { j: '3', l: '2' },
      topic: '%RETRY%rg',
    },
  ]
  test.each(rows)('$name', async ({ version, ext, topic }) => {
    const own = new TestClient(fixture.broker.address, version)
    const before = await own.call(RequestCode.GET_MAX_OFFSET, { topic, queueId: '0' })
    const answer = await own.send('again', { b: '%RETRY%rg', e: '0', ...ext })
    expect(answer.code).toBe(0)
    expect(answer.extFields?.['queueId']).toBe('0')
    const after = await own.call(RequestCode.GET_MAX_OFFSET, { topic, queueId: '0' })
    expect(Number(after.extFields?.['offset'])).toBe(Number(before.extFields?.['offset']) + 1)
    own.close()
  })
})

test('a broker without write permission refuses every send', async () => {
  const drained = await startBroker({ brokerPermission: '4' })
  const own = new TestClient(drained.broker.address)
  expect(await own.send('x', { b: 'BenchmarkTest' })).toMatchObject({ code: 16 })
  own.close()
  await drained.close()
})

test('without automatic topics an unknown topic is 17', async () => {
  const strict = await startBroker({ autoCreateTopicEnable: 'false' })
  const own = new TestClient(strict.broker.address)
  expect(await own.send('x')).toMatchObject({ code: 17 })
  own.close()
  await strict.close()
})
