/** Refusals that belong to no other test, each in the words that clients print. The whole table is docs/response-codes.md. */
import { type ExtFields, RequestCode } from '@dledger-ts/remoting'
import { defaultSubscriptionGroupConfig, defaultTopicConfig } from '@dledger-ts/store'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Fixture, startBroker, TestClient } from '../testing/broker-fixture.ts'

let fixture: Fixture
let client: TestClient

beforeAll(async () => {
  fixture = await startBroker()
  client = new TestClient(fixture.broker.address)
  await client.send('m')
  expect((await client.createTopic('WriteOnly', { perm: 2 })).code).toBe(0)
  await fixture.broker.store?.putGroup({ ...defaultSubscriptionGroupConfig('off'), consumeEnable: false })
})
afterAll(async () => {
  client.close()
  await fixture.close()
})

async function answer(code: number, ext: ExtFields, body?: string, to = client): Promise<[number, string | undefined]> {
  const response = await to.call(code, ext, body === undefined ? undefined : Buffer.from(body))
  return [response.code, response.remark]
}

const popFields = (ext: ExtFields): ExtFields => ({
  consumerGroup: 'g',
  topic: 'T',
  queueId: '0',
  maxMsgNums: '1',
  invisibleTime: '10000',
  pollTime: '0',
  bornTime: '0',
  initMode: '0',
  ...ext,
})

describe('pop', () => {
  test('from a topic without read permission, or for a disabled group: 16', async () => {
    expect(await answer(RequestCode.POP_MESSAGE, popFields({ topic: 'WriteOnly' }))).toEqual([
      16,
      'the topic[WriteOnly] peeking message is forbidden',
    ])
    expect(await answer(RequestCode.POP_MESSAGE, popFields({ consumerGroup: 'off' }))).toEqual([
      16,
      'subscription group no permission, off',
    ])
  })

  test('that finds nothing while too many wait: 209', async () => {
    const small = await startBroker({ popPollingSize: '1' })
    const others = [new TestClient(small.broker.address), new TestClient(small.broker.address)] as const
    await others[0].send('m')
    const waiting = popFields({ queueId: '1', pollTime: '20000', bornTime: String(Date.now()) })
    const answers = others.map(async (one) => ({
      one,
      answer: await answer(RequestCode.POP_MESSAGE, waiting, undefined, one),
    }))
    const { answer: first } = await Promise.race(answers)
    expect(first).toEqual([209, 'NO_MESSAGE_IN_QUEUE'])
    await others[0].send('late', { e: '1' })
    const codes = (await Promise.all(answers)).map(({ answer: [code] }) => code)
    expect(codes.sort()).toEqual([0, 209])
    for (const one of others) one.close()
    await small.close()
  })

  test('of a broker without its timers: 1', async () => {
    const without = await startBroker({ timerWheelEnable: 'false' })
    const other = new TestClient(without.broker.address)
    await other.send('m')
    expect(await answer(RequestCode.POP_MESSAGE, popFields({}), undefined, other)).toEqual([
      1,
      'the broker[127.0.0.1] pop message is forbidden because timerWheelEnable is false',
    ])
    other.close()
    await without.close()
  })
})

describe('how a group gets its messages', () => {
  test.each<[string, string, number, string]>([
    ['%RETRY%g', 'g', 16, 'retry topic is not allowed to set mode'],
    ['Nowhere', 'g', 17, 'topic[Nowhere] not exist'],
    ['T', 'a/b', 26, 'subscription group does not exist'],
  ])('is not set for %s of %s: %i', async (topic, consumerGroup, code, remark) => {
    const body = JSON.stringify({ topic, consumerGroup, mode: 'POP', popShareQueueNum: 0 })
    expect(await answer(RequestCode.SET_MESSAGE_REQUEST_MODE, {}, body)).toEqual([code, remark])
  })
})

test('a message that cannot be handled comes back only where it may: 16', async () => {
  await fixture.broker.store?.putTopic({ ...defaultTopicConfig('%RETRY%shut', 1), perm: 4 })
  const sent = await client.send('m')
  const offset = String(Number.parseInt(sent.extFields?.['msgId']?.slice(16) ?? '', 16))
  const back = { offset, group: 'shut', delayLevel: '0', originMsgId: '', originTopic: 'T', unitMode: 'false' }
  expect(await answer(RequestCode.CONSUMER_SEND_MSG_BACK, back)).toEqual([
    16,
    'the topic[%RETRY%shut] sending message is forbidden',
  ])
})

test('what is asked for by a key that nothing has is not found: 22', async () => {
  const query = { topic: 'T', key: 'nothing', maxNum: '1', beginTimestamp: '0', endTimestamp: '9223372036854775807' }
  expect(await answer(RequestCode.QUERY_MESSAGE, query)).toEqual([
    22,
    'can not find message, maybe time range not correct',
  ])
})

test('a message is not called back from a topic that is not there: 17', async () => {
  const recalling = await startBroker({ recallMessageEnable: 'true' })
  const other = new TestClient(recalling.broker.address)
  const fields = { producerGroup: 'pg', topic: 'Nowhere', recallHandle: 'x' }
  expect(await answer(RequestCode.RECALL_MESSAGE, fields, undefined, other)).toEqual([
    17,
    'recall failed, the topic[Nowhere] not exist',
  ])
  other.close()
  await recalling.close()
})
