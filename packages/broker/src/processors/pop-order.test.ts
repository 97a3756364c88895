/** Pops in order, questions whether there is something to pop, expressions, limits, and who pops which queues. */
import { type ExtFields, RequestCode } from '@dledger-ts/remoting'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { consumerData, type Fixture, startBroker, subscriptionData, TestClient } from '../testing/broker-fixture.ts'
import { OwnTopics } from '../testing/own-topics.ts'
import { ack, naming, pop, popFields, type PoppedRecord } from '../testing/pop-client.ts'

let fixture: Fixture
let client: TestClient
let topics: OwnTopics

beforeAll(async () => {
  fixture = await startBroker({ enableRetryTopicV2: 'true', popPollingSize: '1' })
  client = new TestClient(fixture.broker.address)
  topics = new OwnTopics(client, 'Ordered')
})
afterAll(async () => {
  client.close()
  await fixture.close()
})

const popInOrder = (topic: string, more: ExtFields = {}) => pop(client, { topic, order: 'true', queueId: '0', ...more })
const bodies = (messages: readonly PoppedRecord[]) => messages.map(({ body }) => body)

async function changeInvisible(message: PoppedRecord, invisibleTime: number): Promise<ExtFields> {
  const fields = { ...naming(message), invisibleTime: String(invisibleTime) }
  const { code, extFields } = await client.call(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, fields)
  expect(code).toBe(0)
  return extFields ?? {}
}

describe('in order', () => {
  test('a queue gives out nothing more until all it gave out is acknowledged, and then goes on', async () => {
    const topic = await topics.with(['a', 'b', 'c'])
    const first = await popInOrder(topic, { maxMsgNums: '2' })
    expect(bodies(first.messages)).toEqual(['a', 'b'])
    expect(first.fields).toMatchObject({ reviveQid: '999', orderCountInfo: '0 0 0', restNum: '1' })
    const blocked = await popInOrder(topic)
    // What is behind a blocked queue's messages is not counted, or clients would ask for it again and again.
    expect([blocked.code, blocked.fields['restNum']]).toEqual([210, '0'])
    const waiting = popInOrder(topic, { pollTime: '20000' })
    expect(await ack(client, first.messages[1] as PoppedRecord)).toBe(0)
    expect((await popInOrder(topic)).code).toBe(210)
    expect(await ack(client, first.messages[0] as PoppedRecord)).toBe(0)
    expect(bodies((await waiting).messages)).toEqual(['c'])
  })

  test('what is visible again comes in its place, with how often it came; what is acknowledged does not', async () => {
    const topic = await topics.with(['a', 'b', 'c', 'd'])
    const { messages } = await popInOrder(topic, { maxMsgNums: '3' })
    expect(await ack(client, messages[1] as PoppedRecord)).toBe(0)
    const { popTime, reviveQid } = await changeInvisible(messages[0] as PoppedRecord, 10)
    expect([popTime, reviveQid]).toEqual([messages[0]?.extraInfo.split(' ')[1], '999'])
    await changeInvisible(messages[2] as PoppedRecord, 10)
    const again = await popInOrder(topic, { pollTime: '10000' })
    expect(bodies(again.messages)).toEqual(['a', 'c', 'd'])
    expect(again.fields['orderCountInfo']).toBe('0 qo0%0 1;0 qo0%2 1;0 0 0')
    // The handle of the pop before acknowledges nothing.
    expect(await ack(client, messages[0] as PoppedRecord)).toBe(0)
    expect((await popInOrder(topic)).code).toBe(210)
  })

  test('a pop of the same name gets its messages again, and does not count', async () => {
    const topic = await topics.with(['a', 'b'])
    const first = await popInOrder(topic, { attemptId: 'one', maxMsgNums: '1' })
    expect(bodies(first.messages)).toEqual(['a'])
    const again = await popInOrder(topic, { attemptId: 'one', maxMsgNums: '1' })
    expect([bodies(again.messages), again.fields['orderCountInfo']]).toEqual([['a'], '0 0 0'])
    expect((await popInOrder(topic, { attemptId: 'two' })).code).toBe(210)
  })

  test('the group stands where its first message is that is not acknowledged', async () => {
    const topic = await topics.with(['a', 'b', 'c'])
    const { messages } = await popInOrder(topic)
    const offset = async () => {
      const fields = { consumerGroup: 'g', topic, queueId: '0' }
      return (await client.call(RequestCode.QUERY_CONSUMER_OFFSET, fields)).extFields?.['offset']
    }
    expect(await offset()).toBe('0')
    expect(await ack(client, messages[0] as PoppedRecord)).toBe(0)
    expect(await offset()).toBe('1')
    expect(await ack(client, messages[2] as PoppedRecord)).toBe(0)
    expect(await offset()).toBe('1')
    expect(await ack(client, messages[1] as PoppedRecord)).toBe(0)
    expect(await offset()).toBe('3')
  })

  test('a group that is moved back gets everything again, whatever was given out', async () => {
    const topic = await topics.with(['a', 'b', 'c'])
    const { messages } = await popInOrder(topic)
    expect(await ack(client, messages[0] as PoppedRecord)).toBe(0)
    const fields = { consumerGroup: 'g', topic, queueId: '0', commitOffset: '0' }
    await client.call(RequestCode.UPDATE_CONSUMER_OFFSET, fields)
    expect(bodies((await popInOrder(topic)).messages)).toEqual(['a', 'b', 'c'])
  })

  test('an acknowledgement of what the last pop did not give out is refused', async () => {
    const topic = await topics.with(['a', 'b'])
    const { messages } = await popInOrder(topic, { maxMsgNums: '1' })
    expect(await ack(client, messages[0] as PoppedRecord, { topic, offset: '1' })).toBe(13)
    expect(await ack(client, messages[0] as PoppedRecord)).toBe(0)
    expect(await ack(client, messages[0] as PoppedRecord)).toBe(0)
  })
})

describe('a question whether there is something to pop', () => {
  const ask = async (topic: string, more: ExtFields = {}) => {
    const fields = { consumerGroup: 'g', topic, queueId: '-1', pollTime: '0', bornTime: '0', ...more }
    const { code, extFields } = await client.call(RequestCode.NOTIFICATION, fields)
    return [code, extFields?.['hasMsg'], extFields?.['pollingFull']]
  }

  test('is answered at once when there is, and else when something comes', async () => {
    const topic = await topics.with([])
    expect(await ask(topic)).toEqual([0, 'false', 'false'])
    const waiting = ask(topic, { pollTime: '20000' })
    await topics.send(topic, 'a')
    expect(await waiting).toEqual([0, 'true', 'false'])
    expect(await ask(topic)).toEqual([0, 'true', 'false'])
    expect(bodies((await pop(client, { topic })).messages)).toEqual(['a'])
    expect(await ask(topic)).toEqual([0, 'false', 'false'])
    expect(await ask(topic, { queueId: '9' })).toEqual([29, undefined, undefined])
    expect(await ask('OrderedNowhere')).toEqual([17, undefined, undefined])
  })

  test('in order does not count what is behind messages that were given out', async () => {
    const topic = await topics.with(['a', 'b'])
    const { messages } = await popInOrder(topic, { maxMsgNums: '1' })
    expect(await ask(topic, { order: 'true' })).toEqual([0, 'false', 'false'])
    const waiting = ask(topic, { order: 'true', pollTime: '20000' })
    expect(await ack(client, messages[0] as PoppedRecord)).toBe(0)
    expect(await waiting).toEqual([0, 'true', 'false'])
  })
})

describe('a pop', () => {
  test('is told 209 where too many wait', async () => {
    const topic = await topics.with([])
    const info = { consumerGroup: 'g', topic, queueId: '-1' }
    const waiting = pop(client, { topic, pollTime: '20000' })
    await expect
      .poll(async () => (await client.call(RequestCode.POLLING_INFO, info)).extFields)
      .toEqual({ pollingNum: '1' })
    const full = await pop(client, { topic, pollTime: '20000' })
    expect([full.code, full.fields['restNum'], full.fields['reviveQid']]).toEqual([209, '0', '0'])
    await topics.send(topic, 'a')
    expect(bodies((await waiting).messages)).toEqual(['a'])
  })

  test('takes what an expression wants, and is told 23 for one that is none', async () => {
    const topic = await topics.with([])
    for (const n of [1, 5, 9]) {
      await client.send(`n ${n}`, { b: topic, e: '0', i: `n\u0001${n}\u0002` })
    }
    const sql = { topic, expType: 'SQL92' }
    expect(bodies((await pop(client, { ...sql, exp: 'n BETWEEN 4 AND 6' })).messages)).toEqual(['n 5'])
    expect((await pop(client, { ...sql, exp: 'n >' })).code).toBe(23)
  })

  test('gets what comes again from the topic of the second kind', async () => {
    const topic = await topics.with(['a'])
    expect((await pop(client, { topic, invisibleTime: '20' })).messages).toHaveLength(1)
    const again = await pop(client, { topic, pollTime: '10000' })
    expect(again.messages.map(({ body, record }) => [body, record.topic, record.reconsumeTimes])).toEqual([
      ['a', topic, 1],
    ])
    expect(again.fields['msgOffsetInfo']).toBe('2 0 0')
    expect(fixture.broker.store?.maxOffset(`%RETRY%g+${topic}`, 0)).toBe(1)
    expect(await ack(client, again.messages[0] as PoppedRecord, { topic })).toBe(0)
    const inFlight = await fixture.broker.store?.pops.due(Number.MAX_SAFE_INTEGER - 1, '', 1_000)
    expect(inFlight?.rows.filter((row) => row.topic.endsWith(topic))).toEqual([])
  })
})

describe('who pops which queues', () => {
  const setMode = (body: object) =>
    client.call(RequestCode.SET_MESSAGE_REQUEST_MODE, {}, Buffer.from(JSON.stringify(body)))
  const assigned = async (topic: string, clientId: string) => {
    const body = { topic, consumerGroup: 'gMode', clientId, messageModel: 'CLUSTERING', strategyName: 'AVG' }
    const answer = await client.call(RequestCode.QUERY_ASSIGNMENT, {}, Buffer.from(JSON.stringify(body)))
    const text = answer.bodyBytes.toString()
    const queues = [...text.matchAll(/"queueId":(-?\d+)/g)].map(([, queueId]) => Number(queueId))
    return [/"mode":"(\w+)"/.exec(text)?.[1], queues]
  }

  test('is what the operator says, for a topic and a group', async () => {
    const topic = await topics.with([], 4)
    const ids = ['c1', 'c2', 'c3', 'c4']
    const members = ids.map(() => new TestClient(fixture.broker.address))
    for (const [i, clientID] of ids.entries()) {
      await members[i]?.heartbeat({
        clientID,
        consumerDataSet: [consumerData('gMode', subscriptionData(topic, '*', 1))],
      })
    }
    expect(await assigned(topic, 'c2')).toEqual(['PULL', [1]])
    const setting = { topic, consumerGroup: 'gMode', mode: 'POP', popShareQueueNum: 0 }
    expect((await setMode(setting)).code).toBe(0)
    expect(await assigned(topic, 'c2')).toEqual(['POP', [-1]])
    expect((await setMode({ ...setting, popShareQueueNum: 1 })).code).toBe(0)
    expect(await assigned(topic, 'c2')).toEqual(['POP', [1, 2]])
    expect(await assigned(topic, 'c4')).toEqual(['POP', [3, 0]])
    expect(await assigned('%RETRY%gMode', 'c1')).toEqual(['PULL', [0]])
    const all = await client.call(RequestCode.GET_ALL_MESSAGE_REQUEST_MODE)
    expect(all.bodyBytes.toString()).toContain(
      `"${topic}":{"gMode":{"consumerGroup":"gMode","mode":"POP","popShareQueueNum":1`,
    )
    for (const member of members) member.close()
  })

  test.each([
    ['a retry topic', { topic: '%RETRY%gMode' }, 16],
    ['a topic that there is not', { topic: 'OrderedNowhere' }, 17],
    ['a group whose name is none', { consumerGroup: 'a b' }, 26],
    ['a mode that there is not', { mode: 'PUSH' }, 1],
  ])('cannot be said of %s', async (_, wrong, code) => {
    const topic = await topics.with([])
    expect((await setMode({ topic, consumerGroup: 'gMode', mode: 'POP', popShareQueueNum: 0, ...wrong })).code).toBe(
      code,
    )
  })

  test('in a group that is not to consume is nobody', async () => {
    const topic = await topics.with(['a'])
    await client.call(RequestCode.POP_MESSAGE, { ...popFields(), topic, consumerGroup: 'gShut' })
    await expect.poll(() => fixture.broker.store?.groups().has('gShut')).toBe(true)
    const known = fixture.broker.store?.groups().get('gShut')
    await fixture.broker.store?.putGroup({ ...(known as NonNullable<typeof known>), consumeEnable: false })
    expect((await pop(client, { topic, consumerGroup: 'gShut' })).code).toBe(16)
  })
})
