/** Pulls that filter by an expression: what they give, their refusals with the remarks that clients print, and how long they wait. */
import { decodeRecords } from '@dledger-ts/protocol'
import { encodeCheckClientConfig, type ExtFields, type RemotingCommand, RequestCode } from '@dledger-ts/remoting'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { consumerData, type Fixture, startBroker, subscriptionData, TestClient } from '../testing/broker-fixture.ts'

let fixture: Fixture
let client: TestClient

const sql = (topic: string, expression: string, subVersion = 10) => ({
  ...subscriptionData(topic, expression, subVersion),
  expressionType: 'SQL92',
})

beforeAll(async () => {
  fixture = await startBroker({ filterSupportRetry: 'true' })
  client = new TestClient(fixture.broker.address)
  await sendAll('Sql', 100)
})
afterAll(async () => {
  client.close()
  await fixture.close()
})

/** m0 … with `a` from 0 and, for every second one, `b`. */
async function sendAll(topic: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await send(topic, i)
}

async function send(topic: string, i: number, more = ''): Promise<void> {
  const b = i % 2 === 0 ? 'b\u0001even\u0002' : ''
  const answer = await client.send(`m${i}`, { b: topic, i: `UNIQ_KEY\u0001K${i}\u0002a\u0001${i}\u0002${b}${more}` })
  expect(answer.code).toBe(0)
}

const bodiesOf = (answer: RemotingCommand) => decodeRecords(answer.bodyBytes).map((record) => record.body.toString())
const own = (subscription: string): ExtFields => ({ topic: 'Sql', subscription, expressionType: 'SQL92' })

describe('answers', () => {
  test.each<[string, string[], string, ExtFields?]>([
    ['a < 3', ['m0', 'm1', 'm2'], '100'],
    ["a BETWEEN 96 AND 98 AND b = 'even'", ['m96', 'm98'], '100'],
    ['b IS NULL', ['m1', 'm3'], '4', { maxMsgNums: '2' }],
    ['a > 50', ['m51'], '52', { maxMsgBytes: '1' }],
    ['a IS NOT NULL', ['m7'], '8', { queueOffset: '7', maxMsgNums: '1' }],
  ])('%s', async (expression, bodies, next, more = {}) => {
    const answer = await client.pull({ ...own(expression), ...more })
    expect([answer.code, bodiesOf(answer), answer.extFields?.['nextBeginOffset']]).toEqual([0, bodies, next])
  })

  test('nothing wanted goes on behind what was looked at', async () => {
    const answer = await client.pull(own('a > 1000'))
    expect([answer.code, answer.extFields?.['nextBeginOffset']]).toEqual([20, '100'])
  })

  test('what the group announced, until a newer one is announced', async () => {
    const group = (expression: string, version: number) => ({
      clientID: 'sqlg',
      consumerDataSet: [consumerData('sqlg', sql('Sql', expression, version))],
    })
    const ext = { topic: 'Sql', consumerGroup: 'sqlg', sysFlag: '0', subVersion: '10' }
    await client.heartbeat(group('a = 1', 10))
    expect(bodiesOf(await client.pull(ext))).toEqual(['m1'])
    expect(bodiesOf(await client.pull({ ...ext, subVersion: '9' }))).toEqual(['m1'])
    await client.heartbeat(group('a = 2', 11))
    expect(bodiesOf(await client.pull({ ...ext, subVersion: '11' }))).toEqual(['m2'])
  })

  test('on a retry topic the expression is that for the topic of origin, where that is switched on', async () => {
    const topic = '%RETRY%rg'
    await client.heartbeat({
      clientID: 'rg',
      consumerDataSet: [consumerData('rg', sql('Origin', 'a > 1'), sql(topic, 'a IS NULL'))],
    })
    for (const i of [1, 2, 3]) await send(topic, i, 'RETRY_TOPIC\u0001Origin\u0002')
    await send(topic, 4, 'RETRY_TOPIC\u0001Elsewhere\u0002')
    const answer = await client.pull({ topic, consumerGroup: 'rg', sysFlag: '0', subVersion: '10' })
    expect(bodiesOf(answer)).toEqual(['m2', 'm3', 'm4'])
  })
})

describe('refusals', () => {
  test('a pull with a bad expression: 23', async () => {
    for (const expression of ['a >', '', "a > 'x'"]) {
      const { code, remark } = await client.pull(own(expression))
      expect([code, remark]).toEqual([23, "parse the consumer's subscription failed"])
    }
    expect((await client.pull({ ...own('a > 1'), expressionType: 'XPATH' })).code).toBe(23)
  })

  test('a group that announced a bad expression: 27', async () => {
    await client.heartbeat({ clientID: 'bad', consumerDataSet: [consumerData('bad', sql('Sql', 'a >'))] })
    const { code, remark } = await client.pull({ topic: 'Sql', consumerGroup: 'bad', sysFlag: '0', subVersion: '10' })
    expect(code).toBe(27)
    expect(remark).toMatch(/^The broker's consumer filter data is not exist!Your expression may be wrong!/)
  })

  test('a newer expression than the group announced: 25, for the older one would pass over messages', async () => {
    await client.heartbeat({ clientID: 'old', consumerDataSet: [consumerData('old', sql('Sql', 'a > 1'))] })
    const { code, remark } = await client.pull({ topic: 'Sql', consumerGroup: 'old', sysFlag: '0', subVersion: '11' })
    expect([code, remark]).toEqual([25, "the consumer's subscription not latest"])
  })

  const check = (expression: string, expressionType = 'SQL92') =>
    encodeCheckClientConfig({
      clientId: 'c',
      group: 'g',
      namespace: undefined,
      subscriptionData: { ...sql('Sql', expression), expressionType },
    })

  test('a check of an expression when a consumer starts: 0, or 23 with where it is wrong', async () => {
    expect((await client.call(RequestCode.CHECK_CLIENT_CONFIG, {}, check('a > 1'))).code).toBe(0)
    expect((await client.call(RequestCode.CHECK_CLIENT_CONFIG, {}, check('a ||', 'TAG'))).code).toBe(0)
    const bad = await client.call(RequestCode.CHECK_CLIENT_CONFIG, {}, check('a > '))
    expect([bad.code, bad.remark]).toEqual([
      23,
      'Invalid MessageSelector. a value is wanted, not the end, at character 5',
    ])
    expect((await client.call(RequestCode.CHECK_CLIENT_CONFIG, {}, check('a > 1', 'XPATH'))).code).toBe(23)
  })

  test('every expression with enablePropertyFilter=false: 1, in the words that clients print', async () => {
    const without = await startBroker({ enablePropertyFilter: 'false' })
    const other = new TestClient(without.broker.address)
    const remark = 'The broker does not support consumer to filter message by SQL92'
    await other.send('m')
    const pulled = await other.pull({ subscription: 'a > 1', expressionType: 'SQL92' })
    expect([pulled.code, pulled.remark]).toEqual([1, remark])
    const checked = await other.call(RequestCode.CHECK_CLIENT_CONFIG, {}, check('a > '))
    expect([checked.code, checked.remark]).toEqual([1, remark])
    other.close()
    await without.close()
  })
})

describe('a held pull', () => {
  const waiting = (topic: string, from: number, ms: number): ExtFields => ({
    ...own('a >= 10'),
    topic,
    sysFlag: '6',
    queueOffset: String(from),
    suspendTimeoutMillis: String(ms),
  })

  test('is not answered for what its expression does not want, and then only for what it wants', async () => {
    await sendAll('Held', 1)
    const puller = new TestClient(fixture.broker.address)
    const answer = puller.pull(waiting('Held', 1, 20_000))
    for (const i of [1, 2, 3, 10]) await send('Held', i)
    const { code, extFields, bodyBytes } = await answer
    expect([code, extFields?.['nextBeginOffset']]).toEqual([0, '5'])
    expect(decodeRecords(bodyBytes).map((record) => record.body.toString())).toEqual(['m10'])
    puller.close()
  })

  test('is answered at its deadline, and goes on behind what it did not want', async () => {
    await sendAll('Late', 1)
    const puller = new TestClient(fixture.broker.address)
    const began = performance.now()
    const answer = puller.pull(waiting('Late', 1, 500))
    for (const i of [1, 2, 3]) await send('Late', i)
    const { code, extFields } = await answer
    expect([code, extFields?.['nextBeginOffset']]).toEqual([19, '4'])
    expect(performance.now() - began).toBeGreaterThan(450)
    puller.close()
  })
})
