/** Popping, acknowledging, waiting, and what comes again, at a broker of one member. */
import { assert } from '@dledger-ts/base'
import { getProperty, tagsCode } from '@dledger-ts/protocol'
import { type ExtFields, RequestCode } from '@dledger-ts/remoting'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Fixture, startBroker, TestClient } from '../testing/broker-fixture.ts'
import { OwnTopics } from '../testing/own-topics.ts'
import { ack, naming, pop, popFields, readPop } from '../testing/pop-client.ts'

let fixture: Fixture
let client: TestClient
let topics: OwnTopics

beforeAll(async () => {
  fixture = await startBroker()
  client = new TestClient(fixture.broker.address)
  topics = new OwnTopics(client, 'Pop')
})
afterAll(async () => {
  client.close()
  await fixture.close()
})

async function bodiesOf(extFields: ExtFields): Promise<string[]> {
  return (await pop(client, extFields)).messages.map(({ body }) => body)
}

describe('a pop', () => {
  test('hands out messages of any queue, each once, in the strings that clients read', async () => {
    const topic = await topics.with(['a', 'b', 'c', 'd'], 2)
    const first = await pop(client, { topic, maxMsgNums: '3' })
    expect(first.code).toBe(0)
    expect(first.fields).toMatchObject({ invisibleTime: '60000', reviveQid: '0', restNum: '1' })
    expect(first.fields['startOffsetInfo']?.split(';').sort()).toEqual(['0 0 0', '0 1 0'])
    const offsets = (first.fields['msgOffsetInfo'] ?? '').split(';').sort()
    expect([
      ['0 0 0,1', '0 1 0'],
      ['0 0 0', '0 1 0,1'],
    ]).toContainEqual(offsets)
    const second = await pop(client, { topic })
    const bodies = [...first.messages, ...second.messages].map(({ body }) => body)
    expect(bodies.sort()).toEqual(['a', 'b', 'c', 'd'])
    const third = await pop(client, { topic })
    expect([third.code, third.fields['restNum'], third.fields['startOffsetInfo']]).toEqual([210, '0', ''])
  })

  test('moves its group on, so that one who pulls goes on behind it', async () => {
    const topic = await topics.with(['a', 'b', 'c'])
    expect(await bodiesOf({ topic, maxMsgNums: '2' })).toEqual(['a', 'b'])
    const fields = { consumerGroup: 'g', topic, queueId: '0' }
    expect((await client.call(RequestCode.QUERY_CONSUMER_OFFSET, fields)).extFields).toEqual({ offset: '2' })
    await client.call(RequestCode.UPDATE_CONSUMER_OFFSET, { ...fields, commitOffset: '3' })
    expect(await bodiesOf({ topic })).toEqual([])
  })

  test('takes the messages with its tags, and passes by the others for good', async () => {
    const topic = await topics.with(['a', 'b', 'c', 'd'], 1, ['TagA', 'TagB', 'TagB', 'TagB'])
    expect(tagsCode('TagA')).not.toBe(tagsCode('TagB'))
    expect(await bodiesOf({ topic, exp: 'TagA' })).toEqual(['a'])
    expect(await bodiesOf({ topic, exp: 'TagA' })).toEqual([])
    expect(await bodiesOf({ topic })).toEqual([])
  })

  test('of a group that begins at the end takes what came last, or everything of a young topic', async () => {
    const topic = await topics.with(['a', 'b'])
    expect(await bodiesOf({ topic, initMode: '1' })).toEqual(['a', 'b'])
  })

  test('that finds nothing waits for a message of its queue, with its tag', async () => {
    const topic = await topics.with([])
    const waiting = client.call(RequestCode.POP_MESSAGE, { ...popFields(), topic, exp: 'TagB', pollTime: '20000' })
    const info = { consumerGroup: 'g', topic, queueId: '-1' }
    await expect
      .poll(async () => (await client.call(RequestCode.POLLING_INFO, info)).extFields)
      .toEqual({ pollingNum: '1' })
    await topics.send(topic, 'other')
    expect((await client.call(RequestCode.POLLING_INFO, info)).extFields).toEqual({ pollingNum: '1' })
    await topics.send(topic, 'mine', 0, 'TagB')
    expect(readPop(await waiting).messages.map(({ body }) => body)).toEqual(['mine'])
  })

  test('of several that wait, one gets a message and the others go on waiting', async () => {
    const topic = await topics.with([])
    const info = { consumerGroup: 'g', topic, queueId: '-1' }
    const all = Array.from({ length: 3 }, () => pop(client, { topic, pollTime: '20000' }))
    await expect
      .poll(async () => (await client.call(RequestCode.POLLING_INFO, info)).extFields)
      .toEqual({ pollingNum: '3' })
    await topics.send(topic, 'a')
    expect((await Promise.race(all)).messages.map(({ body }) => body)).toEqual(['a'])
    expect((await client.call(RequestCode.POLLING_INFO, info)).extFields).toEqual({ pollingNum: '2' })
    await topics.send(topic, 'b')
    await topics.send(topic, 'c')
    const bodies = (await Promise.all(all)).flatMap(({ messages }) => messages.map(({ body }) => body))
    expect(bodies.sort()).toEqual(['a', 'b', 'c'])
  })

  test.each([
    ['more messages than there may be', { maxMsgNums: '33' }, 29],
    ['no message', { maxMsgNums: '0' }, 29],
    ['a queue that there is not', { queueId: '7' }, 29],
    ['no time', { invisibleTime: '0' }, 29],
    ['a negative time', { invisibleTime: '-1' }, 29],
    ['a time without end', { invisibleTime: '9223372036854775807' }, 29],
    ['a topic that there is not', { topic: 'PopNowhere' }, 17],
    ['tags that are none', { exp: '||' }, 23],
    ['a group whose name is none', { consumerGroup: 'a b' }, 26],
    ['something that is no number', { maxMsgNums: 'many' }, 1],
    ['something that nobody waits for any more', { bornTime: '1000', pollTime: '1000' }, 210],
  ])('for %s is refused', async (_, wrong, code) => {
    const topic = await topics.with(['a'])
    expect((await pop(client, { topic, ...wrong })).code).toBe(code)
  })
})

describe('a popped message', () => {
  test('comes again when its time is over, once more each time, under its topic and with what names it', async () => {
    const topic = await topics.with(['a'])
    const first = await pop(client, { topic, invisibleTime: '50' })
    expect(first.messages.map(({ record }) => record.reconsumeTimes)).toEqual([0])
    const second = await pop(client, { topic, invisibleTime: '50', pollTime: '10000' })
    const [again] = second.messages
    expect([again?.body, again?.record.topic, again?.record.reconsumeTimes]).toEqual(['a', topic, 1])
    expect(getProperty(again?.record.properties ?? '', '1ST_POP_TIME')).toBe(first.fields['popTime'])
    const { popTime } = second.fields
    expect(again?.extraInfo).toBe(`0 ${popTime} 50 0 1 b 0 0`)
    expect(second.fields['msgOffsetInfo']).toBe('1 0 0')
    const third = await pop(client, { topic, pollTime: '10000' })
    expect(third.messages.map(({ record }) => record.reconsumeTimes)).toEqual([2])
    // The handle of an earlier pop ends nothing.
    expect(await ack(client, again as NonNullable<typeof again>)).toBe(0)
    expect(await inFlight(topic)).toBe(true)
    expect(await ack(client, third.messages[0] as NonNullable<typeof again>)).toBe(0)
    expect(await inFlight(topic)).toBe(false)
  })

  test('does not come again once it is acknowledged, alone or in a batch', async () => {
    const topic = await topics.with(['a', 'b', 'c'])
    const { messages, fields } = await pop(client, { topic, invisibleTime: '300' })
    expect(await ack(client, messages[0] as NonNullable<(typeof messages)[0]>)).toBe(0)
    const acks = [{ c: 'g', t: topic, r: '0', so: 0, q: 0, rq: 0, pt: Number(fields['popTime']), it: 300, b: 'BA==' }]
    const batch = await client.call(
      RequestCode.BATCH_ACK_MESSAGE,
      {},
      Buffer.from(JSON.stringify({ brokerName: 'b', acks })),
    )
    expect(batch.code).toBe(0)
    const again = await pop(client, { topic, pollTime: '10000' })
    expect(again.messages.map(({ body }) => body)).toEqual(['b'])
    expect(await bodiesOf({ topic })).toEqual([])
  })

  test('is acknowledged in a batch also by a leader whose queue seems to end before it: that is made certain', async () => {
    const topic = await topics.with(['a'])
    const { fields } = await pop(client, { topic, invisibleTime: '30000' })
    const { store } = fixture.broker
    assert(store !== null, 'it serves')
    const end = vi.spyOn(store, 'maxOffset').mockReturnValueOnce(-1)
    const acks = [
      { c: 'g', t: topic, r: '0', so: 0, q: 0, rq: 0, pt: Number(fields['popTime']), it: 30_000, b: 'AQ==' },
    ]
    const body = Buffer.from(JSON.stringify({ brokerName: 'b', acks }))
    expect((await client.call(RequestCode.BATCH_ACK_MESSAGE, {}, body)).code).toBe(0)
    end.mockRestore()
    expect(await inFlight(topic)).toBe(false)
  })

  test('is invisible for as long as is said last', async () => {
    const topic = await topics.with(['a'])
    const { messages } = await pop(client, { topic })
    const fields = { ...naming(messages[0] as NonNullable<(typeof messages)[0]>), invisibleTime: '20' }
    const changed = await client.call(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, fields)
    expect([changed.code, changed.extFields?.['invisibleTime'], changed.extFields?.['reviveQid']]).toEqual([
      0,
      '20',
      '0',
    ])
    expect((await pop(client, { topic, pollTime: '10000' })).messages.map(({ body }) => body)).toEqual(['a'])
  })

  test('goes to the dead letters of its group after the last try', async () => {
    const topic = await topics.with(['a'])
    const group = { consumerGroup: 'gDead' }
    await client.call(RequestCode.POP_MESSAGE, { ...popFields(), topic: await topics.with([]), ...group })
    await expect.poll(() => fixture.broker.store?.groups().has('gDead')).toBe(true)
    const known = fixture.broker.store?.groups().get('gDead')
    await fixture.broker.store?.putGroup({ ...(known as NonNullable<typeof known>), retryMaxTimes: 1 })
    expect((await pop(client, { topic, invisibleTime: '20', ...group })).messages).toHaveLength(1)
    expect((await pop(client, { topic, invisibleTime: '20', pollTime: '10000', ...group })).messages).toHaveLength(1)
    await expect.poll(() => fixture.broker.store?.maxOffset('%DLQ%gDead', 0)).toBe(1)
    const [dead] = (await pop(client, { topic: '%DLQ%gDead' })).messages
    expect([dead?.body, dead?.record.reconsumeTimes]).toEqual(['a', 2])
    expect(await bodiesOf({ topic, ...group })).toEqual([])
  })

  test.each([
    ['a queue that there is not', { queueId: '5' }, 13],
    ['an offset beyond the queue', { offset: '9' }, 208],
    ['a negative offset', { offset: '-1' }, 208],
    ['a topic that there is not', { topic: 'PopNowhere' }, 17],
    ['a string that names no pop', { extraInfo: 'x' }, 1],
    ['numbers beyond all', { extraInfo: '0 9007199254740991 9007199254740991 0 0 b 0 0' }, 1],
    ['negative numbers', { extraInfo: '0 -5 10 0 0 b 0 0' }, 1],
    ['a group that is no name', { consumerGroup: 'a:b' }, 13],
    ['nothing that is in flight', {}, 0],
  ])('acknowledged under %s is answered so', async (_, wrong, code) => {
    const topic = await topics.with(['a'])
    const fields = { consumerGroup: 'g', topic, queueId: '0', extraInfo: '0 5 10 0 0 b 0 0', offset: '0', ...wrong }
    expect((await client.call(RequestCode.ACK_MESSAGE, fields)).code).toBe(code)
    const change = { ...fields, invisibleTime: '1000' }
    expect((await client.call(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, change)).code).toBe(code)
  })
})

async function inFlight(topic: string): Promise<boolean> {
  const page = await fixture.broker.store?.pops.due(Number.MAX_SAFE_INTEGER - 1, '', 1_000)
  return page?.rows.some((row) => row.topic.endsWith(topic)) === true
}
