/** Groups as tools change them: what is kept, what it does to consumers, and what is refused. */
import { recordProperty } from '@dledger-ts/protocol'
import {
  type ExtFields,
  encodeSubscriptionGroup,
  encodeSubscriptionGroupList,
  RequestCode,
  type SubscriptionGroup,
} from '@dledger-ts/remoting'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { consumerData, type Fixture, startBroker, subscriptionData, TestClient } from '../testing/broker-fixture.ts'
import { pop } from '../testing/pop-client.ts'

let fixture: Fixture
let client: TestClient

beforeAll(async () => {
  fixture = await startBroker()
  client = new TestClient(fixture.broker.address)
  await client.send('one', { b: 'T' })
})
afterAll(async () => {
  client.close()
  await fixture.close()
})

function group(groupName: string, more: Partial<SubscriptionGroup> = {}): SubscriptionGroup {
  return {
    groupName,
    consumeEnable: true,
    consumeFromMinEnable: true,
    consumeBroadcastEnable: true,
    consumeMessageOrderly: false,
    retryQueueNums: 1,
    retryMaxTimes: 16,
    brokerId: 0,
    whichBrokerWhenConsumeSlowly: 1,
    notifyConsumerIdsChangedEnable: true,
    groupSysFlag: 0,
    consumeTimeoutMinute: 15,
    attributes: {},
    ...more,
  }
}

const put = (wish: SubscriptionGroup) =>
  client.call(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, encodeSubscriptionGroup(wish))
const kept = (name: string) => fixture.broker.store?.groups().get(name)
const drop = (ext: ExtFields) => client.call(RequestCode.DELETE_SUBSCRIPTIONGROUP, ext)
const forbid = async (ext: ExtFields) => {
  const { code, bodyBytes } = await client.call(RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN, ext)
  return [code, bodyBytes.toString()]
}
const allGroups = async () => (await client.call(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG)).bodyBytes.toString()

describe('a group', () => {
  test('is created and changed whole, with what only others read', async () => {
    const wish = group('whole', { retryMaxTimes: 3, groupRetryPolicy: '{"type":"EXPONENTIAL"}' })
    expect((await put(wish)).code).toBe(0)
    expect(kept('whole')).toEqual(wish)
    const other = group('whole', { consumeMessageOrderly: true, subscriptionDataSet: '[{"topic":"T"}]' })
    expect((await put(other)).code).toBe(0)
    expect(kept('whole')).toEqual({ ...other, groupRetryPolicy: '{"type":"CUSTOMIZED"}' })
    const text = encodeSubscriptionGroup(other).toString()
    expect(text).toContain('"groupRetryPolicy":{"type":"CUSTOMIZED"}')
    expect(await allGroups()).toContain(`"whole":${text}`)
  })

  test('has the defaults of what a tool leaves out', async () => {
    await client.call(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, Buffer.from('{"groupName":"bare"}'))
    expect(kept('bare')).toEqual(group('bare'))
  })

  test('may be disabled: pulls and pops are refused with 16 from then on, and served again after', async () => {
    await put(group('off', { consumeEnable: false }))
    const pulled = await client.pull({ consumerGroup: 'off' })
    expect([pulled.code, pulled.extFields]).toEqual([16, { forbiddenType: '2' }])
    expect((await pop(client, { consumerGroup: 'off' })).code).toBe(16)
    await put(group('off'))
    expect((await client.pull({ consumerGroup: 'off' })).code).toBe(0)
  })

  test('may be kept from broadcasting: 16 for consumers that do', async () => {
    await put(group('cast', { consumeBroadcastEnable: false }))
    const data = { ...consumerData('cast', subscriptionData('T', '*', 1)), messageModel: 'BROADCASTING' }
    await client.heartbeat({ consumerDataSet: [data] })
    const answer = await client.pull({ consumerGroup: 'cast', sysFlag: '0' })
    expect([answer.code, answer.extFields]).toEqual([16, { forbiddenType: '4' }])
  })

  test('with more retry queues gets them in a retry topic that is there, and keeps those it has', async () => {
    await client.heartbeat({ consumerDataSet: [consumerData('retries', subscriptionData('T', '*', 1))] })
    const queues = () => {
      const topic = fixture.broker.store?.topics().get('%RETRY%retries')
      return [topic?.readQueueNums, topic?.writeQueueNums]
    }
    expect(queues()).toEqual([1, 1])
    await put(group('retries', { retryQueueNums: 4 }))
    expect(queues()).toEqual([4, 4])
    await put(group('retries', { retryQueueNums: 2 }))
    expect(queues()).toEqual([4, 4])
  })

  test('that wants more retry queues than its retry topic has, gets what it sends back in those', async () => {
    const { store } = fixture.broker
    await client.heartbeat({ consumerDataSet: [consumerData('few', subscriptionData('T', '*', 1))] })
    await store?.putGroup(group('few', { retryQueueNums: 1_000 }))
    const sent = await client.send('back', { b: 'T' })
    const offset = String(Number.parseInt(sent.extFields?.['msgId']?.slice(16) ?? '', 16))
    const fields = { group: 'few', offset, delayLevel: '18', originTopic: 'T', unitMode: 'false' }
    expect((await client.call(RequestCode.CONSUMER_SEND_MSG_BACK, fields)).code).toBe(0)
    const waiting = await store?.get({ topic: 'SCHEDULE_TOPIC_XXXX', queueId: 17 })
    expect(recordProperty(waiting?.records[0] as Buffer, 'REAL_QID')).toBe('0')
  })

  test('that a tool notifies nobody of: its members are not told of each other', async () => {
    await put(group('quiet', { notifyConsumerIdsChangedEnable: false }))
    const quiet = new TestClient(fixture.broker.address)
    await quiet.heartbeat({ consumerDataSet: [consumerData('quiet', subscriptionData('T', '*', 1))] })
    await quiet.heartbeat({ consumerDataSet: [consumerData('loud', subscriptionData('T', '*', 1))] })
    expect(await quiet.notices.next()).toBe('loud')
    quiet.close()
  })
})

describe('a list of groups', () => {
  const putAll = (wishes: SubscriptionGroup[]) =>
    client.call(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, {}, encodeSubscriptionGroupList(wishes))

  test('is created whole', async () => {
    expect((await putAll([group('list1'), group('list2', { retryMaxTimes: 2 })])).code).toBe(0)
    expect([kept('list1')?.retryMaxTimes, kept('list2')?.retryMaxTimes]).toEqual([16, 2])
  })

  test('with an impossible one changes nothing: 29', async () => {
    const { code, remark } = await putAll([group('list3'), group('no good')])
    expect([code, remark]).toEqual([29, expect.stringContaining('contains illegal characters')])
    expect(kept('list3')).toBeUndefined()
  })
})

describe('is refused', () => {
  test.each([
    ['a blank name', group(' '), 29],
    ['a name that is too long', group('g'.repeat(256)), 29],
    ['more retry queues than a topic has', group('wide', { retryQueueNums: 1_000_000 }), 29],
    ['an attribute, of which groups have none', group('attr', { attributes: { '+a': 'b' } }), 1],
  ])('%s', async (_name, wish, code) => {
    expect((await put(wish)).code).toBe(code)
    expect(kept(wish.groupName)).toBeUndefined()
  })

  test('what is no group: 1', async () => {
    const answer = await client.call(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, Buffer.from('[]'))
    expect(answer.code).toBe(1)
  })
})

describe('a group that is deleted', () => {
  const offset = { topic: 'T', queueId: '0' }
  const offsetOf = async (consumerGroup: string) => {
    const fields = { consumerGroup, ...offset, setZeroIfNotFound: 'false' }
    return (await client.call(RequestCode.QUERY_CONSUMER_OFFSET, fields)).extFields?.['offset']
  }
  async function withOffset(consumerGroup: string): Promise<void> {
    await put(group(consumerGroup))
    await client.call(RequestCode.UPDATE_CONSUMER_OFFSET, { consumerGroup, ...offset, commitOffset: '1' })
  }

  test('leaves its offsets unless they are to go, too', async () => {
    await withOffset('leaves')
    await withOffset('clean')
    expect((await drop({ groupName: 'leaves' })).code).toBe(0)
    expect((await drop({ groupName: 'clean', cleanOffset: 'true' })).code).toBe(0)
    expect([kept('leaves'), kept('clean')]).toEqual([undefined, undefined])
    expect([await offsetOf('leaves'), await offsetOf('clean')]).toEqual(['1', undefined])
  })

  test('and was never there is deleted all the same', async () => {
    expect((await drop({ groupName: 'never', cleanOffset: 'true' })).code).toBe(0)
  })
})

describe('a topic that a group is forbidden', () => {
  const readable = { group: 'banned', topic: 'T' }

  test('is refused to its pulls and pops with 16, no other one is, and tools see it', async () => {
    await put(group('banned'))
    await client.send('one', { b: 'Other' })
    expect(await forbid(readable)).toEqual([0, '{"group":"banned","readable":true,"topic":"T"}'])
    expect(await forbid({ ...readable, readable: 'false' })).toEqual([
      0,
      '{"group":"banned","readable":false,"topic":"T"}',
    ])
    const answer = await client.pull({ consumerGroup: 'banned' })
    expect([answer.code, answer.extFields]).toEqual([16, { forbiddenType: '5' }])
    expect((await pop(client, { consumerGroup: 'banned' })).code).toBe(16)
    expect((await client.pull({ consumerGroup: 'banned', topic: 'Other' })).code).toBe(0)
    expect((await client.pull({ consumerGroup: 'other' })).code).toBe(0)
    expect(await allGroups()).toContain('"forbiddenTable":{"banned":{"T":4}}')
    expect(await forbid({ ...readable, readable: 'true' })).toEqual([
      0,
      '{"group":"banned","readable":true,"topic":"T"}',
    ])
    expect((await client.pull({ consumerGroup: 'banned' })).code).toBe(0)
    expect(await allGroups()).toContain('"forbiddenTable":{}')
  })

  test('must have a possible name: 29', async () => {
    expect(await forbid({ group: 'banned', topic: 'no good', readable: 'false' })).toEqual([29, ''])
  })
})
