/** Groups that tools move: what consumers are told, online or not, by pull and by pop; the older way; copies of offsets. */
import {
  decodeResetOffsets,
  encodeResetOffsets,
  type ExtFields,
  type RemotingCommand,
  RequestCode,
} from '@dledger-ts/remoting'
import { defaultSubscriptionGroupConfig } from '@dledger-ts/store'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { consumerData, type Fixture, startBroker, subscriptionData, TestClient } from '../testing/broker-fixture.ts'
import { OwnTopics } from '../testing/own-topics.ts'
import { ack, pop } from '../testing/pop-client.ts'

let fixture: Fixture
let client: TestClient
let topics: OwnTopics
let count = 0

beforeAll(async () => {
  fixture = await startBroker()
  client = new TestClient(fixture.broker.address)
  topics = new OwnTopics(client, 'Reset')
})
afterAll(async () => {
  client.close()
  await fixture.close()
})

const reset = (ext: ExtFields, to = client) =>
  to.call(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, { timestamp: '0', isForce: 'true', ...ext })
const commit = (group: string, topic: string, commitOffset: number, queueId = 0, to = client) =>
  to.call(RequestCode.UPDATE_CONSUMER_OFFSET, {
    consumerGroup: group,
    topic,
    queueId: String(queueId),
    commitOffset: String(commitOffset),
  })
const offsetOf = async (group: string, topic: string, queueId = 0) => {
  const fields = { consumerGroup: group, topic, queueId: String(queueId), setZeroIfNotFound: 'false' }
  return (await client.call(RequestCode.QUERY_CONSUMER_OFFSET, fields)).extFields?.['offset']
}
const offsetsIn = (answer: RemotingCommand) =>
  decodeResetOffsets(answer.bodyBytes).map(([{ topic, brokerName, queueId }, offset]) => [
    topic,
    brokerName,
    queueId,
    offset,
  ])
const bodiesOf = async (extFields: ExtFields) => (await pop(client, extFields)).messages.map(({ body }) => body)

/** A group that has consumed all of a new topic. */
async function atEnd(bodies: readonly string[], queues = 1): Promise<{ group: string; topic: string }> {
  const topic = await topics.with(bodies, queues)
  const group = `moved${count++}`
  await fixture.broker.store?.createGroup(defaultSubscriptionGroupConfig(group))
  for (let queueId = 0; queueId < queues; queueId++) await commit(group, topic, bodies.length / queues, queueId)
  return { group, topic }
}

describe('a group that is moved', () => {
  test('while its consumer pulls: any pull is 21 until one comes from there, and what it commits before does not count', async () => {
    const { group, topic } = await atEnd(['a', 'b', 'c'])
    const answer = await reset({ group, topic, timestamp: '0' })
    expect([answer.code, offsetsIn(answer)]).toEqual([0, [[topic, 'b', 0, 0]]])
    expect((await commit(group, topic, 3)).code).toBe(0)
    expect(await offsetOf(group, topic)).toBe('0')
    const own = { consumerGroup: group, topic, queueOffset: '3', sysFlag: '5', commitOffset: '3' }
    const told = await client.pull(own)
    expect([told.code, told.remark, told.extFields?.['nextBeginOffset']]).toEqual([21, 'OFFSET_RESET', '0'])
    expect(told.extFields).toMatchObject({ minOffset: '0', maxOffset: '3', suggestWhichBrokerId: '0' })
    // It did not hear that.
    await commit(group, topic, 3)
    expect(await offsetOf(group, topic)).toBe('0')
    expect((await client.pull(own)).code).toBe(21)
    await commit(group, topic, 2)
    expect(await offsetOf(group, topic)).toBe('0')
    expect((await client.pull({ ...own, queueOffset: '0', sysFlag: '4' })).code).toBe(0)
    await commit(group, topic, 1)
    expect(await offsetOf(group, topic)).toBe('1')
  })

  test('while its consumer waits for messages: it is told at once', async () => {
    const { group, topic } = await atEnd(['a', 'b'])
    const waiting = client.pull({
      consumerGroup: group,
      topic,
      queueOffset: '2',
      sysFlag: '6',
      suspendTimeoutMillis: '20000',
    })
    await client.pull({ topic, queueOffset: '2' })
    await reset({ group, topic })
    const { code, extFields } = await waiting
    expect([code, extFields?.['nextBeginOffset']]).toEqual([21, '0'])
  })

  test('while nobody is online: one who comes goes on there without being sent back', async () => {
    const { group, topic } = await atEnd(['a', 'b', 'c'])
    await reset({ group, topic, queueId: '0', offset: '1' })
    expect(await offsetOf(group, topic)).toBe('1')
    const answer = await client.pull({ consumerGroup: group, topic, queueOffset: '1', sysFlag: '5', commitOffset: '1' })
    expect([answer.code, answer.extFields?.['nextBeginOffset']]).toEqual([0, '3'])
    await commit(group, topic, 3)
    expect(await offsetOf(group, topic)).toBe('3')
  })

  test('to where its consumer pulls, that has not consumed all before: it is told', async () => {
    const { group, topic } = await atEnd(['a', 'b', 'c'])
    await commit(group, topic, 1)
    await reset({ group, topic, timestamp: '-1' })
    const own = { consumerGroup: group, topic, queueOffset: '3', sysFlag: '5', commitOffset: '1' }
    const { code, extFields } = await client.pull(own)
    expect([code, extFields?.['nextBeginOffset']]).toEqual([21, '3'])
    expect(await offsetOf(group, topic)).toBe('3')
  })

  test('to where its consumer pulls: one that does not hear it is told again, one whose client says the same for ever is served', async () => {
    const { group, topic } = await atEnd(['a', 'b', 'c'])
    await reset({ group, topic, queueId: '0', offset: '1' })
    const own = { consumerGroup: group, topic, queueOffset: '1', sysFlag: '5', commitOffset: '3' }
    const codes: number[] = []
    for (let i = 0; i < 4; i++) codes.push((await client.pull(own)).code)
    expect(codes).toEqual([21, 21, 21, 0])
  })

  test('while its consumer says nothing of what it consumed: it is told once, and served from there', async () => {
    const { group, topic } = await atEnd(['a', 'b', 'c'])
    await reset({ group, topic, queueId: '0', offset: '1' })
    const own = { consumerGroup: group, topic, sysFlag: '4' }
    const other = new TestClient(fixture.broker.address)
    expect((await client.pull({ ...own, queueOffset: '3' })).code).toBe(21)
    expect((await other.pull({ ...own, queueOffset: '1' })).code).toBe(21)
    other.close()
    await commit(group, topic, 3)
    expect(await offsetOf(group, topic)).toBe('1')
    expect((await client.pull({ ...own, queueOffset: '1' })).code).toBe(0)
    await commit(group, topic, 3)
    expect(await offsetOf(group, topic)).toBe('3')
    await reset({ group, topic, queueId: '0', offset: '1' })
    expect((await client.pull({ ...own, queueOffset: '1' })).code).toBe(21)
  })

  test('whose consumer commits that offset: it stands there', async () => {
    const { group, topic } = await atEnd(['a', 'b', 'c'])
    await reset({ group, topic, queueId: '0', offset: '1' })
    await commit(group, topic, 1)
    await commit(group, topic, 2)
    expect(await offsetOf(group, topic)).toBe('2')
    const own = { consumerGroup: group, topic, queueOffset: '2', sysFlag: '5', commitOffset: '2' }
    expect((await client.pull(own)).code).toBe(0)
  })

  test('in one queue or in all, by time, to the end or exactly', async () => {
    const { group, topic } = await atEnd(['a', 'b', 'c', 'd'], 2)
    const far = String(Date.now() + 3_600_000)
    expect(offsetsIn(await reset({ group, topic, timestamp: '0' }))).toEqual([
      [topic, 'b', 0, 0],
      [topic, 'b', 1, 0],
    ])
    expect(offsetsIn(await reset({ group, topic, timestamp: far }))).toEqual([
      [topic, 'b', 0, 2],
      [topic, 'b', 1, 2],
    ])
    expect(offsetsIn(await reset({ group, topic, timestamp: '-1', queueId: '1' }))).toEqual([[topic, 'b', 1, 2]])
    expect(offsetsIn(await reset({ group, topic, offset: '1', queueId: '1' }))).toEqual([[topic, 'b', 1, 1]])
    expect([await offsetOf(group, topic, 0), await offsetOf(group, topic, 1)]).toEqual(['2', '1'])
  })

  test('that pops, goes on there, and what it acknowledges late does not move it', async () => {
    const { group, topic } = await atEnd(['a', 'b'])
    await reset({ group, topic, queueId: '0', offset: '1' })
    expect(await bodiesOf({ consumerGroup: group, topic })).toEqual(['b'])
    expect(await offsetOf(group, topic)).toBe('2')
    const ordered = { consumerGroup: group, topic, order: 'true' }
    await reset({ group, topic })
    const first = await pop(client, { ...ordered, maxMsgNums: '1' })
    expect(first.messages.map(({ body }) => body)).toEqual(['a'])
    expect((await pop(client, ordered)).code).toBe(210)
    await reset({ group, topic })
    await ack(client, first.messages[0] as (typeof first.messages)[0], { consumerGroup: group, topic })
    expect(await bodiesOf(ordered)).toEqual(['a', 'b'])
  })
})

describe('moving a group is refused', () => {
  test.each([
    ['of a topic that is not there', { topic: 'Nowhere' }, 17, 'Topic Nowhere does not exist'],
    ['that is not there', { group: 'nobody' }, 26, 'Group nobody does not exist'],
    [
      'to an offset that the queue does not have',
      { queueId: '0', offset: '9' },
      1,
      'Target offset 9 not in consume queue range [0-1]',
    ],
    ['in a queue that is not there', { queueId: '7' }, 1, 'the topic has no queue 7'],
  ])('%s: %o', async (_name, ext, code, remark) => {
    const own = await atEnd(['a'])
    const answer = await reset({ ...own, ...ext })
    expect([answer.code, answer.remark]).toEqual([code, remark])
  })

  test('of a topic without queues: 1', async () => {
    const own = await atEnd(['a'])
    const topic = fixture.broker.store?.topics().get(own.topic)
    await fixture.broker.store?.putTopic({ ...(topic as NonNullable<typeof topic>), readQueueNums: 0 })
    const { code, remark } = await reset(own)
    expect([code, remark]).toEqual([1, 'No queues to reset.'])
  })
})

describe('with useServerSideResetOffset=false', () => {
  let old: Fixture
  let tool: TestClient
  beforeAll(async () => {
    old = await startBroker({ useServerSideResetOffset: 'false' })
    tool = new TestClient(old.broker.address)
    await new OwnTopics(tool, 'Old').with(['a', 'b'])
  })
  afterAll(async () => {
    tool.close()
    await old.close()
  })
  const own = { group: 'g', topic: 'Old0' }

  test('no consumer, no offset, no topic: 206, 1, 17', async () => {
    expect((await reset({ ...own, topic: 'Nowhere' }, tool)).code).toBe(17)
    const without = await reset(own, tool)
    expect([without.code, without.remark]).toEqual([1, 'THe consumer group <g> not exist'])
    await commit('g', 'Old0', 1, 0, tool)
    const offline = await reset(own, tool)
    expect([offline.code, offline.remark]).toEqual([206, expect.stringContaining('Consumer not online')])
  })

  test('consumers are told to move, forward only when that is forced', async () => {
    const consumer = new TestClient(old.broker.address)
    await consumer.heartbeat({ consumerDataSet: [consumerData('g', subscriptionData('Old0', '*', 1))] })
    await commit('g', 'Old0', 1, 0, tool)
    for (const [isForce, offset] of [
      ['false', 1],
      ['true', 2],
    ] as const) {
      const answer = await reset({ ...own, timestamp: '-1', isForce }, tool)
      const body = encodeResetOffsets([[{ brokerName: 'b', queueId: 0, topic: 'Old0' }, offset]])
      expect([answer.code, answer.bodyBytes.toString()]).toEqual([0, body.toString()])
      const wanted = await consumer.wanted.next()
      expect([wanted.code, wanted.isOneway, wanted.bodyBytes.toString()]).toEqual([220, true, body.toString()])
      expect(wanted.extFields).toMatchObject({ ...own, timestamp: '-1' })
    }
    consumer.close()
  })

  test('a consumer that is too old: 1', async () => {
    const consumer = new TestClient(old.broker.address, 27)
    await consumer.heartbeat({ consumerDataSet: [consumerData('ancient', subscriptionData('Old0', '*', 1))] })
    await commit('ancient', 'Old0', 1, 0, tool)
    const { code, remark } = await reset({ ...own, group: 'ancient' }, tool)
    expect([code, remark]).toEqual([1, 'the client does not support this feature. version=27'])
    consumer.close()
  })
})

describe('offsets are copied from one group to another', () => {
  const clone = (ext: ExtFields) => client.call(RequestCode.CLONE_GROUP_OFFSET, { offline: 'true', ...ext })

  test('of one topic or of all', async () => {
    const { group: srcGroup, topic } = await atEnd(['a', 'b'])
    const other = await topics.with(['a'])
    await commit(srcGroup, other, 1)
    expect((await clone({ srcGroup, destGroup: 'copy', topic })).code).toBe(0)
    expect([await offsetOf('copy', topic), await offsetOf('copy', other)]).toEqual(['2', undefined])
    await clone({ srcGroup, destGroup: 'copy' })
    expect(await offsetOf('copy', other)).toBe('1')
  })

  test('those of topics that it does not consume are left when it is online', async () => {
    const { group: srcGroup, topic } = await atEnd(['a', 'b'])
    await client.heartbeat({ consumerDataSet: [consumerData(srcGroup, subscriptionData('Elsewhere', '*', 1))] })
    await clone({ srcGroup, destGroup: 'online', offline: 'false' })
    expect(await offsetOf('online', topic)).toBeUndefined()
    await clone({ srcGroup, destGroup: 'online' })
    expect(await offsetOf('online', topic)).toBe('2')
  })

  test('over a move that the other was not told of', async () => {
    const { group: srcGroup, topic } = await atEnd(['a', 'b'])
    const { group: destGroup } = await atEnd(['x'])
    await reset({ group: destGroup, topic })
    await clone({ srcGroup, destGroup, topic })
    const { code, extFields } = await client.pull({ consumerGroup: destGroup, topic, queueOffset: '1' })
    expect([code, extFields?.['nextBeginOffset']]).toEqual([21, '2'])
  })
})

test('the least offset of all groups is told, but for those left out, and none for a group that stands before it', async () => {
  const { group, topic } = await atEnd(['a', 'b', 'c', 'd'], 2)
  await commit('slow', topic, 1)
  await commit('slower', topic, 0)
  const ask = async (ext: ExtFields) => {
    const fields = { topic, filterGroups: '', ...ext }
    const { code, bodyBytes } = await client.call(RequestCode.QUERY_CORRECTION_OFFSET, fields)
    return [code, bodyBytes.toString()]
  }
  expect(await ask({ compareGroup: group })).toEqual([0, '{"correctionOffsets":{"0":0,"1":2}}'])
  expect(await ask({ compareGroup: group, filterGroups: 'slower,x' })).toEqual([
    0,
    '{"correctionOffsets":{"0":1,"1":2}}',
  ])
  expect(await ask({ compareGroup: 'slower', filterGroups: 'slower' })).toEqual([
    0,
    '{"correctionOffsets":{"0":9223372036854775807,"1":2}}',
  ])
  expect(await offsetOf('slower', topic)).toBe('0')
})
