/** Topics as tools change them: counts of queues, permissions, attributes, deletion; what is refused, and in which words. */
import { decodeRecords } from '@dledger-ts/protocol'
import {
  decodeTopicConfigTable,
  encodeTopicConfigList,
  type ExtFields,
  RequestCode,
  topicConfig,
} from '@dledger-ts/remoting'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { consumerData, type Fixture, startBroker, subscriptionData, TestClient } from '../testing/broker-fixture.ts'

let fixture: Fixture
let client: TestClient

beforeAll(async () => {
  fixture = await startBroker()
  client = new TestClient(fixture.broker.address)
})
afterAll(async () => {
  client.close()
  await fixture.close()
})

const put: TestClient['createTopic'] = (topic, wish) => client.createTopic(topic, wish)
const drop = (topic: string) => client.call(RequestCode.DELETE_TOPIC_IN_BROKER, { topic })
const pull = (topic: string, queueId: number, ext: ExtFields = {}) =>
  client.pull({ topic, queueId: String(queueId), ...ext })
const topicsOf = async () =>
  decodeTopicConfigTable((await client.call(RequestCode.GET_ALL_TOPIC_CONFIG)).bodyBytes).topics
const answer = async (asked: Promise<{ code: number; remark?: string | undefined }>) => {
  const { code, remark } = await asked
  return [code, remark]
}

describe('queues', () => {
  test('fewer to write leave the others readable, fewer to read hide them, and more bring back what is there', async () => {
    await put('Shrink')
    for (let queueId = 0; queueId < 4; queueId++) await client.send(`m${queueId}`, { b: 'Shrink', e: String(queueId) })
    await put('Shrink', { writeQueueNums: 2 })
    expect((await client.send('n1', { b: 'Shrink', e: '1' })).code).toBe(0)
    const bodies = async (queueId: number) =>
      decodeRecords((await pull('Shrink', queueId)).bodyBytes).map((record) => record.body.toString())
    expect([await bodies(1), await bodies(3)]).toEqual([['m1', 'n1'], ['m3']])
    await put('Shrink', { writeQueueNums: 2, readQueueNums: 2 })
    expect((await pull('Shrink', 3)).code).toBe(29)
    await put('Shrink')
    expect(await bodies(3)).toEqual(['m3'])
  })

  test('more than a topic has, or fewer than none: 29', async () => {
    expect((await put('Counts', { readQueueNums: -1 })).code).toBe(29)
    expect((await put('Counts', { writeQueueNums: 1_000_000 })).code).toBe(29)
  })
})

describe('permissions', () => {
  test('count at once: a send is refused with 16, and a pull that waits is answered with it', async () => {
    await put('Perm')
    await client.send('m', { b: 'Perm' })
    const waiter = new TestClient(fixture.broker.address)
    const held = waiter.pull({ topic: 'Perm', queueOffset: '1', sysFlag: '6', suspendTimeoutMillis: '20000' })
    await client.call(RequestCode.GET_MAX_OFFSET, { topic: 'Perm', queueId: '0' })
    await put('Perm', { perm: 2 })
    expect((await held).code).toBe(16)
    expect((await pull('Perm', 0)).code).toBe(16)
    expect((await client.send('m', { b: 'Perm' })).code).toBe(0)
    await put('Perm', { perm: 4 })
    const refused = await client.send('m', { b: 'Perm' })
    expect([refused.code, refused.remark]).toEqual([16, 'the topic[Perm] sending message is forbidden'])
    expect((await pull('Perm', 0)).code).toBe(0)
    waiter.close()
  })
})

describe('attributes', () => {
  test('are set and removed, and stay when a request has none', async () => {
    await put('Attr', { attributes: '+message.type=FIFO' })
    await put('Attr', { perm: 4 })
    expect((await topicsOf()).get('Attr')?.attributes).toEqual({ 'message.type': 'FIFO' })
    await put('Attr', { attributes: '-message.type' })
    expect((await topicsOf()).get('Attr')?.attributes).toEqual({})
  })

  test('that cannot be are refused: 1, and nothing is changed', async () => {
    expect(await answer(put('Attr2', { attributes: '+colour=red' }))).toEqual([1, 'unsupported key: colour'])
    expect((await topicsOf()).has('Attr2')).toBe(false)
    expect(await answer(put('Attr2', { attributes: '+message.type=MIXED' }))).toEqual([
      29,
      'MIXED message type is not supported.',
    ])
  })

  test('a change that changes nothing is not written down', async () => {
    await put('Same', { attributes: '+message.type=FIFO' })
    const before = fixture.broker.store?.dataVersion().counter
    expect((await put('Same', { attributes: '+message.type=FIFO' })).code).toBe(0)
    expect(fixture.broker.store?.dataVersion().counter).toBe(before)
  })
})

describe('a list of topics', () => {
  test('is made as a whole, or not at all', async () => {
    const list = (...names: string[]) =>
      client.call(
        RequestCode.UPDATE_AND_CREATE_TOPIC_LIST,
        {},
        encodeTopicConfigList(
          names.map((topicName) => topicConfig({ topicName, attributes: { '+message.type': 'DELAY' } })),
        ),
      )
    expect((await list('L1', 'L2')).code).toBe(0)
    expect((await topicsOf()).get('L2')).toMatchObject({ writeQueueNums: 16, attributes: { 'message.type': 'DELAY' } })
    expect(await answer(list('L3', 'SCHEDULE_TOPIC_XXXX'))).toEqual([
      29,
      'The topic[SCHEDULE_TOPIC_XXXX] is conflict with system topic.',
    ])
    expect((await topicsOf()).has('L3')).toBe(false)
  })
})

describe('deletion', () => {
  test('takes messages, offsets and retry topics of popped messages; a new topic of the name begins anew', async () => {
    await put('Gone')
    const group = consumerData('goners', subscriptionData('Gone', '*', 1))
    await client.heartbeat({ clientID: 'goner', consumerDataSet: [group] })
    for (let i = 0; i < 3; i++) await client.send(`m${i}`, { b: 'Gone' })
    await put('%RETRY%goners_Gone')
    const offset = { consumerGroup: 'goners', topic: 'Gone', queueId: '0' }
    await client.call(RequestCode.UPDATE_CONSUMER_OFFSET, { ...offset, commitOffset: '2' })
    const waiter = new TestClient(fixture.broker.address)
    const held = waiter.pull({ topic: 'Gone', queueOffset: '3', sysFlag: '6', suspendTimeoutMillis: '20000' })
    await client.call(RequestCode.GET_MAX_OFFSET, { topic: 'Gone', queueId: '0' })

    expect((await drop('Gone')).code).toBe(0)
    expect((await held).code).toBe(17)
    waiter.close()
    expect([(await topicsOf()).has('Gone'), (await topicsOf()).has('%RETRY%goners_Gone')]).toEqual([false, false])
    expect((await pull('Gone', 0)).code).toBe(17)
    expect((await client.call(RequestCode.UPDATE_CONSUMER_OFFSET, { ...offset, commitOffset: '2' })).code).toBe(17)
    expect((await drop('Gone')).code).toBe(0)

    await put('Gone')
    expect((await client.call(RequestCode.QUERY_CONSUMER_OFFSET, offset)).code).toBe(22)
    const sent = await client.send('new', { b: 'Gone' })
    expect(sent.extFields?.['queueOffset']).toBe('3')
    // What was sent before a group first asks is not skipped.
    const first = await client.call(RequestCode.QUERY_CONSUMER_OFFSET, offset)
    expect([first.code, first.extFields?.['offset']]).toEqual([0, '3'])
    const old = await pull('Gone', 0)
    expect([old.code, old.extFields?.['nextBeginOffset']]).toEqual([21, '3'])
    const found = await pull('Gone', 0, { queueOffset: '3' })
    expect(decodeRecords(found.bodyBytes).map((record) => record.body.toString())).toEqual(['new'])
  })

  test.each([
    ['SCHEDULE_TOPIC_XXXX', 'The topic[SCHEDULE_TOPIC_XXXX] is conflict with system topic.'],
    ['TBW102', 'The topic[TBW102] is conflict with system topic.'],
    ['C', 'The topic[C] is conflict with system topic.'],
    ['rmq_sys_dledger', 'The topic[rmq_sys_dledger] is conflict with system topic.'],
    [' ', 'The specified topic is blank.'],
  ])('of %j is refused: 29', async (topic, remark) => {
    expect(await answer(drop(topic))).toEqual([29, remark])
    if (topic !== ' ') expect(await answer(put(topic))).toEqual([29, remark])
  })
})

test('a deletion of a name that no topic can have is refused: 29', async () => {
  expect(await answer(drop('x'.repeat(256)))).toEqual([29, 'A topic has at most 255 characters.'])
  expect((await answer(drop('x'.repeat(255))))[0]).toBe(0)
})

describe('creation by the first message', () => {
  test('takes as many queues as are asked for and TBW102 has; without TBW102 the send is refused with 17', async () => {
    await client.send('m', { b: 'Auto', d: '2' })
    expect((await topicsOf()).get('Auto')).toMatchObject({ readQueueNums: 2, writeQueueNums: 2, perm: 6 })
    await client.send('m', { b: 'AutoMany', d: '100' })
    expect((await topicsOf()).get('AutoMany')?.writeQueueNums).toBe(8)
    const without = await startBroker({ autoCreateTopicEnable: 'false' })
    const other = new TestClient(without.broker.address)
    expect((await other.send('m', { b: 'Auto' })).code).toBe(17)
    other.close()
    await without.close()
  })
})
