/** What consumers do besides pulling: heartbeats, lists, notices, offsets, send-back, locks, single messages, tools' reads. */
import { decodeRecord, decodeRecords, getProperty, parseOffsetMsgId } from '@dledger-ts/protocol'
import {
  type CreateTopicRequest,
  decodeConsumerIdList,
  decodeLockBatchResponse,
  decodeTopicConfigTable,
  encodeLockBatchRequest,
  type ExtFields,
  RequestCode,
} from '@dledger-ts/remoting'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { consumerData, type Fixture, startBroker, subscriptionData, TestClient } from '../testing/broker-fixture.ts'

let fixture: Fixture
let client: TestClient
const others: TestClient[] = []

beforeAll(async () => {
  fixture = await startBroker()
  client = new TestClient(fixture.broker.address)
})
afterEach(() => {
  for (const other of others.splice(0)) other.close()
})
afterAll(async () => {
  client.close()
  await fixture.close()
})

function another(): TestClient {
  const other = new TestClient(fixture.broker.address)
  others.push(other)
  return other
}

describe('heartbeats', () => {
  test('the first one makes the group and its retry topic before it is answered', async () => {
    const answer = await client.heartbeat({ consumerDataSet: [consumerData('hb', subscriptionData('T', '*', 1))] })
    expect([answer.code, answer.version]).toEqual([0, 479])
    expect(answer.extFields).toEqual({ IS_SUPPORT_HEART_BEAT_V2: 'true', IS_SUB_CHANGE: 'true' })
    expect(fixture.broker.store?.groups().has('hb')).toBe(true)
    expect(fixture.broker.store?.topics().get('%RETRY%hb')).toMatchObject({
      readQueueNums: 1,
      writeQueueNums: 1,
      perm: 6,
    })
  })

  test('of a pure producer it is answered the same', async () => {
    const answer = await client.heartbeat({ producerDataSet: [{ groupName: 'pg' }] })
    expect(answer.extFields).toEqual({ IS_SUPPORT_HEART_BEAT_V2: 'true', IS_SUB_CHANGE: 'true' })
  })

  test('the short form keeps what is subscribed, and asks for the long form when it is unknown', async () => {
    const group = { ...consumerData('v2', subscriptionData('T', 'a', 5)) }
    const full = await client.heartbeat({ consumerDataSet: [group], heartbeatFingerprint: 77 })
    expect(full.extFields?.['IS_SUB_CHANGE']).toBe('false')
    const short = {
      consumerDataSet: [{ ...group, subscriptionDataSet: [] }],
      heartbeatFingerprint: 77,
      withoutSub: true,
    }
    expect((await client.heartbeat(short)).extFields?.['IS_SUB_CHANGE']).toBe('false')
    expect((await client.pull({ topic: 'T', consumerGroup: 'v2', sysFlag: '0' })).code).toBe(17)
    expect((await client.heartbeat({ ...short, heartbeatFingerprint: 78 })).extFields?.['IS_SUB_CHANGE']).toBe('true')
  })

  test('of the Go client, with its codes as texts and its versions in nanoseconds, subscribes', async () => {
    await client.send('a', { b: 'Gold_GO', i: 'TAGS\u0001TagA\u0002' })
    await client.send('b', { b: 'Gold_GO', i: 'TAGS\u0001TagB\u0002' })
    // As client-go v2.1.2 writes it.
    const body =
      '{"clientID":"192.0.2.2@pc_GO","producerDataSet":[],"consumerDataSet":[{"groupName":"PushG_GO","consumeType":' +
      '"CONSUME_PASSIVELY","messageModel":"CLUSTERING","consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","subscriptionDataSet":' +
      '[{"classFilterMode":false,"topic":"Gold_GO","subString":"TagA || Tx","tagsSet":["TagA","Tx"],"codeSet":' +
      '["2598919","2724"],"subVersion":1795225759695973888,"expressionType":"TAG"}],"unitMode":false}]}'
    expect((await client.call(RequestCode.HEART_BEAT, {}, Buffer.from(body))).code).toBe(0)
    const ext = { consumerGroup: 'PushG_GO', topic: 'Gold_GO', sysFlag: '2', subVersion: '1795225759695973888' }
    const records = decodeRecords((await client.pull(ext)).bodyBytes)
    expect(records.map((record) => record.body.toString())).toEqual(['a'])
  })

  test('a body that is none is answered 1', async () => {
    expect((await client.call(RequestCode.HEART_BEAT, {}, Buffer.from('{"clientID":'))).code).toBe(1)
  })
})

describe('members', () => {
  test('joining, unregistering and a closed connection are told to all who are left', async () => {
    const group = [consumerData('mem', subscriptionData('T', '*', 1))]
    const [a, b, c] = [another(), another(), another()]
    await a.heartbeat({ clientID: 'a', consumerDataSet: group })
    expect(await a.notices.next()).toBe('mem')
    await b.heartbeat({ clientID: 'b', consumerDataSet: group })
    expect([await a.notices.next(), await b.notices.next()]).toEqual(['mem', 'mem'])
    await c.heartbeat({ clientID: 'c', consumerDataSet: group })
    await Promise.all([a.notices.next(), b.notices.next(), c.notices.next()])
    await b.heartbeat({ clientID: 'b', consumerDataSet: group })
    expect(a.notices.size).toBe(0)

    const listed = await a.call(RequestCode.GET_CONSUMER_LIST_BY_GROUP, { consumerGroup: 'mem' })
    expect(decodeConsumerIdList(listed.bodyBytes)).toEqual(['a', 'b', 'c'])

    await b.call(RequestCode.UNREGISTER_CLIENT, { clientID: 'b', consumerGroup: 'mem', producerGroup: 'pg' })
    await Promise.all([a.notices.next(), c.notices.next()])
    c.close()
    await a.notices.next()
    const last = await a.call(RequestCode.GET_CONSUMER_LIST_BY_GROUP, { consumerGroup: 'mem' })
    expect(decodeConsumerIdList(last.bodyBytes)).toEqual(['a'])
  })

  test('broadcasting groups are not told', async () => {
    const group = [{ ...consumerData('bc', subscriptionData('T', '*', 1)), messageModel: 'BROADCASTING' }]
    const a = another()
    await a.heartbeat({ clientID: 'a', consumerDataSet: group })
    await another().heartbeat({ clientID: 'b', consumerDataSet: group })
    await a.call(RequestCode.GET_MAX_OFFSET, { topic: 'T', queueId: '0' })
    expect(a.notices.size).toBe(0)
  })

  test('a group without members is answered 1', async () => {
    const answer = await client.call(RequestCode.GET_CONSUMER_LIST_BY_GROUP, { consumerGroup: 'nobody' })
    expect([answer.code, answer.remark]).toEqual([1, 'no consumer for this group, nobody'])
  })
})

describe('offsets of groups', () => {
  const query = (ext: ExtFields) =>
    client.call(RequestCode.QUERY_CONSUMER_OFFSET, { consumerGroup: 'og', topic: 'Off', queueId: '0', ...ext })
  const update = (ext: ExtFields) =>
    client.call(RequestCode.UPDATE_CONSUMER_OFFSET, { consumerGroup: 'og', topic: 'Off', queueId: '0', ...ext })
  beforeAll(async () => {
    await client.send('x', { b: 'Off' })
  })

  test('a new group of a young queue begins at 0, unless it asks not to', async () => {
    expect(await query({})).toMatchObject({ code: 0, extFields: { offset: '0' } })
    expect((await query({ setZeroIfNotFound: 'false' })).code).toBe(22)
  })

  test('a new group of an empty queue is told that there is none', async () => {
    expect((await query({ queueId: '1' })).code).toBe(22)
  })

  test('what is committed is answered; a negative one counts as none', async () => {
    expect((await update({ commitOffset: '1' })).code).toBe(0)
    expect(await query({})).toMatchObject({ code: 0, extFields: { offset: '1' } })
    expect((await update({ commitOffset: '-1', queueId: '2' })).code).toBe(0)
    expect((await query({ queueId: '2' })).code).toBe(22)
  })

  test('a queue that the topic does not have, and never had, has no offset', async () => {
    expect((await update({ commitOffset: '1', queueId: '3' })).code).toBe(0)
    expect(await update({ commitOffset: '1', queueId: '4' })).toMatchObject({
      code: 29,
      remark: 'queueId[4] is illegal, topic:[Off] has no such queue',
    })
    expect((await update({ commitOffset: '1', queueId: '-1' })).code).toBe(13)
    const clone = { srcGroup: 'og', destGroup: 'x'.repeat(256) }
    expect((await client.call(RequestCode.CLONE_GROUP_OFFSET, clone)).code).toBe(13)
  })

  test('the group and the topic must be possible', async () => {
    expect((await update({ commitOffset: '1', topic: 'Nowhere' })).code).toBe(17)
    expect((await update({ commitOffset: '1', consumerGroup: 'a/b' })).code).toBe(26)
  })
})

describe('offsets of queues', () => {
  test('by end, by beginning and by time', async () => {
    for (const body of ['a', 'b', 'c']) await client.send(body, { b: 'Times' })
    const ask = async (code: number, ext: ExtFields = {}) =>
      (await client.call(code, { topic: 'Times', queueId: '0', ...ext })).extFields
    expect(await ask(RequestCode.GET_MAX_OFFSET)).toEqual({ offset: '3' })
    expect(await ask(RequestCode.GET_MIN_OFFSET)).toEqual({ offset: '0' })
    const earliest = Number((await ask(RequestCode.GET_EARLIEST_MSG_STORETIME))?.['timestamp'])
    expect(Math.abs(Date.now() - earliest)).toBeLessThan(60_000)
    expect(await ask(RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, { timestamp: '0' })).toEqual({ offset: '0' })
    expect(await ask(RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, { timestamp: '9223372036854775807' })).toEqual({
      offset: '3',
    })
  })
})

describe('single messages', () => {
  test('a message is viewed by the offset in its id', async () => {
    const sent = await client.send('view me', { b: 'View' })
    const offset = parseOffsetMsgId(sent.extFields?.['msgId'] ?? '').physicalOffset
    const viewed = await client.call(RequestCode.VIEW_MESSAGE_BY_ID, { offset: String(offset) })
    expect(viewed.code).toBe(0)
    expect(decodeRecord(viewed.bodyBytes).body.toString()).toBe('view me')
  })

  test.each(['16777215', '-1', '3'])('there is no message at %s', async (offset) => {
    const viewed = await client.call(RequestCode.VIEW_MESSAGE_BY_ID, { offset })
    expect([viewed.code, viewed.remark]).toEqual([1, `can not find message by the offset, ${offset}`])
  })

  const query = (key: string, more: Record<string, string> = {}): ReturnType<typeof client.call> =>
    client.call(RequestCode.QUERY_MESSAGE, {
      topic: 'Keyed',
      key,
      maxNum: '32',
      beginTimestamp: '0',
      endTimestamp: '9223372036854775807',
      ...more,
    })

  test('a query by key gives the newest messages one after another, the oldest of them first', async () => {
    for (const n of [1, 2, 3]) {
      await client.send(`keyed ${n}`, { b: 'Keyed', i: `KEYS\x01all one-${n}\x02UNIQ_KEY\x01id-${n}\x02` })
    }
    const bodies = (answer: Awaited<ReturnType<typeof query>>): string[] =>
      decodeRecords(answer.bodyBytes).map(({ body }) => body.toString())
    const all = await query('all')
    expect([all.code, all.remark]).toEqual([0, undefined])
    expect(bodies(all)).toEqual(['keyed 1', 'keyed 2', 'keyed 3'])
    const last = decodeRecords(all.bodyBytes)[2]
    expect(all.extFields).toEqual({
      indexLastUpdateTimestamp: String(last?.storeTimestamp),
      indexLastUpdatePhyoffset: String(last?.physicalOffset),
    })
    expect(bodies(await query('all', { maxNum: '2' }))).toEqual(['keyed 2', 'keyed 3'])
    expect(bodies(await query('one-2'))).toEqual(['keyed 2'])
    expect(bodies(await query('id-3', { _UNIQUE_KEY_QUERY: 'true', maxNum: '0' }))).toEqual(['keyed 3'])
    expect((await query('all', { _UNIQUE_KEY_QUERY: 'true' })).code).toBe(22)
  })

  test.each([
    { key: 'none' },
    { key: 'all', more: { topic: 'Other' } },
    { key: 'all', more: { endTimestamp: '1' } },
    { key: 'all', more: { maxNum: '0' } },
  ])('a query that finds nothing says so: %j', async ({ key, more }) => {
    const answer = await query(key, more)
    expect([answer.code, answer.remark, answer.extFields]).toEqual([
      22,
      'can not find message, maybe time range not correct',
      { indexLastUpdateTimestamp: '0', indexLastUpdatePhyoffset: '0' },
    ])
  })
})

describe('send-back', () => {
  async function stored(topic: string): Promise<number> {
    const sent = await client.send('try me', { b: topic, i: 'UNIQ_KEY\u0001U\u0002KEYS\u0001k\u0002' })
    return parseOffsetMsgId(sent.extFields?.['msgId'] ?? '').physicalOffset
  }
  const sendBack = (offset: number, ext: ExtFields = {}) =>
    client.call(RequestCode.CONSUMER_SEND_MSG_BACK, {
      offset: String(offset),
      group: 'sb',
      delayLevel: '1',
      unitMode: 'false',
      ...ext,
    })

  test('a message comes back through the retry topic with one more try', async () => {
    const offset = await stored('Back')
    expect((await sendBack(offset)).code).toBe(0)
    const pulled = await client.pull({
      topic: '%RETRY%sb',
      consumerGroup: 'sb',
      sysFlag: '6',
      suspendTimeoutMillis: '10000',
    })
    const [record] = decodeRecords(pulled.bodyBytes)
    expect(record).toMatchObject({
      reconsumeTimes: 1,
      topic: '%RETRY%sb',
      queueId: 0,
      bornTimestamp: 1_700_000_000_000,
    })
    const properties = record?.properties ?? ''
    expect(getProperty(properties, 'RETRY_TOPIC')).toBe('Back')
    expect(getProperty(properties, 'UNIQ_KEY')).toBe('U')
    expect(getProperty(properties, 'WAIT')).toBe('false')
    expect(parseOffsetMsgId(getProperty(properties, 'ORIGIN_MESSAGE_ID') ?? '').physicalOffset).toBe(offset)

    // The second time it remembers the first topic and the first id.
    expect((await sendBack(record?.physicalOffset ?? 0)).code).toBe(0)
    const again = await client.pull({
      topic: '%RETRY%sb',
      consumerGroup: 'sb',
      queueOffset: '1',
      sysFlag: '6',
      suspendTimeoutMillis: '10000',
    })
    const [second] = decodeRecords(again.bodyBytes)
    expect(second?.reconsumeTimes).toBe(2)
    expect(getProperty(second?.properties ?? '', 'RETRY_TOPIC')).toBe('Back')
    expect(getProperty(second?.properties ?? '', 'ORIGIN_MESSAGE_ID')).toBe(
      getProperty(properties, 'ORIGIN_MESSAGE_ID'),
    )
  })

  const dead: { name: string; ext: ExtFields }[] = [
    { name: 'a negative level', ext: { delayLevel: '-1' } },
    { name: "the client's own limit is reached", ext: { maxReconsumeTimes: '0' } },
  ]
  test.each(dead)('it goes to the dead letters: $name', async ({ ext }) => {
    const offset = await stored('Dead')
    const before = await client.call(RequestCode.GET_MAX_OFFSET, { topic: '%DLQ%sb', queueId: '0' })
    expect((await sendBack(offset, ext)).code).toBe(0)
    const queueOffset = before.extFields?.['offset'] ?? '0'
    const pulled = await client.pull({ topic: '%DLQ%sb', queueOffset })
    const [record] = decodeRecords(pulled.bodyBytes)
    expect(record).toMatchObject({ topic: '%DLQ%sb', reconsumeTimes: 1 })
    expect(getProperty(record?.properties ?? '', 'DELAY')).toBe('0')
  })

  test('a message that is not there: 1, so the client publishes it itself', async () => {
    const answer = await sendBack(16_042_833)
    expect([answer.code, answer.remark]).toEqual([1, 'look message by offset failed, 16042833'])
  })

  test('an impossible group: 26', async () => {
    expect((await sendBack(await stored('Back'), { group: 'a/b' })).code).toBe(26)
  })
})

describe('locks', () => {
  const request = (clientId: string, ...queueIds: number[]) =>
    encodeLockBatchRequest({
      consumerGroup: 'ordered',
      clientId,
      mqSet: queueIds.map((queueId) => ({ brokerName: 'b', queueId, topic: 'T' })),
      onlyThisBroker: false,
    })
  const lock = async (clientId: string, ...queueIds: number[]) => {
    const answer = await client.call(RequestCode.LOCK_BATCH_MQ, {}, request(clientId, ...queueIds))
    expect(answer.code).toBe(0)
    return decodeLockBatchResponse(answer.bodyBytes)
  }

  test('a queue has one owner until it lets go', async () => {
    expect(await lock('a', 0, 1)).toHaveLength(2)
    expect(await lock('b', 1, 2)).toEqual([{ brokerName: 'b', queueId: 2, topic: 'T' }])
    expect((await client.call(RequestCode.UNLOCK_BATCH_MQ, {}, request('a', 1))).code).toBe(0)
    expect(await lock('b', 0, 1)).toEqual([{ brokerName: 'b', queueId: 1, topic: 'T' }])
  })
})

describe('tools', () => {
  const create = (topic: string, wish: Partial<CreateTopicRequest> = {}) =>
    client.createTopic(topic, { readQueueNums: 5, writeQueueNums: 5, ...wish })

  const refused: { name: string; topic: string; wish?: Partial<CreateTopicRequest> }[] = [
    { name: 'a bad name', topic: 'a/b' },
    { name: 'a system topic', topic: 'TBW102' },
    { name: 'the topic of the cluster', topic: 'C' },
    { name: "the store's own topic", topic: 'rmq_sys_dledger' },
    { name: 'too many queues', topic: 'Huge', wish: { readQueueNums: 1_000_000 } },
  ]
  test.each(refused)('a topic is refused with 29: $name', async ({ topic, wish }) => {
    expect((await create(topic, wish)).code).toBe(29)
  })

  test('a created topic is listed and read, attributes included', async () => {
    expect((await create('Made', { attributes: '+message.type=FIFO' })).code).toBe(0)
    const one = await client.call(RequestCode.GET_TOPIC_CONFIG, { topic: 'Made' })
    expect(JSON.parse(one.bodyBytes.toString())).toMatchObject({
      topicName: 'Made',
      readQueueNums: 5,
      attributes: { 'message.type': 'FIFO' },
    })
    const all = await client.call(RequestCode.GET_ALL_TOPIC_CONFIG)
    const table = decodeTopicConfigTable(all.bodyBytes)
    expect(table.topics.get('Made')?.writeQueueNums).toBe(5)
    expect(table.topics.get('TBW102')?.perm).toBe(7)
    expect(all.extFields?.['totalTopicNum']).toBe(String(table.topics.size))
    expect((await client.call(RequestCode.GET_TOPIC_CONFIG, { topic: 'Nowhere' })).code).toBe(17)
  })

  test('groups are listed', async () => {
    await client.heartbeat({ consumerDataSet: [consumerData('listed', subscriptionData('T', '*', 1))] })
    const answer = await client.call(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG)
    const body = JSON.parse(answer.bodyBytes.toString()) as {
      subscriptionGroupTable: Record<string, { retryMaxTimes: number }>
    }
    expect(body.subscriptionGroupTable['listed']?.retryMaxTimes).toBe(16)
    expect(answer.extFields?.['totalGroupNum']).toBe(String(Object.keys(body.subscriptionGroupTable).length))
  })

  test('queues are assigned to members by pulling', async () => {
    await create('Assigned', { readQueueNums: 4, writeQueueNums: 4 })
    const group = [consumerData('assign', subscriptionData('Assigned', '*', 1))]
    await another().heartbeat({ clientID: 'm1', consumerDataSet: group })
    await another().heartbeat({ clientID: 'm2', consumerDataSet: group })
    const ask = async (clientId: string) => {
      const wish = {
        clientId,
        consumerGroup: 'assign',
        messageModel: 'CLUSTERING',
        strategyName: 'AVG',
        topic: 'Assigned',
      }
      const answer = await client.call(RequestCode.QUERY_ASSIGNMENT, {}, Buffer.from(JSON.stringify(wish)))
      const body = JSON.parse(answer.bodyBytes.toString()) as {
        messageQueueAssignments: { messageQueue: { queueId: number }; mode: string }[]
      }
      return body.messageQueueAssignments.map(({ messageQueue, mode }) => `${mode} ${messageQueue.queueId}`)
    }
    expect(await ask('m1')).toEqual(['PULL 0', 'PULL 1'])
    expect(await ask('m2')).toEqual(['PULL 2', 'PULL 3'])
    expect(await ask('stranger')).toEqual([])
  })
})
