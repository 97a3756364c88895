/** What tools read of queues, groups, connections and the broker itself: the bodies that they are given, and what is refused. */
import { decodeRecords, parseOffsetMsgId } from '@dledger-ts/protocol'
import {
  decodeKvTable,
  decodeTopicList,
  type DialectValue,
  type ExtFields,
  parseDialect,
  RequestCode,
} from '@dledger-ts/remoting'
import { defaultTopicConfig } from '@dledger-ts/store'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { consumerData, type Fixture, startBroker, subscriptionData, TestClient } from '../../testing/broker-fixture.ts'

const QUEUES = 4
/** Messages in queue 0, 1 and so on; the group has consumed all of queue 0, and one of queue 1. */
const SENT = [3, 2, 0, 1]

let fixture: Fixture
let client: TestClient
const messageIds: string[] = []

beforeAll(async () => {
  fixture = await startBroker()
  client = new TestClient(fixture.broker.address)
  await client.createTopic('A', { readQueueNums: QUEUES, writeQueueNums: QUEUES })
  for (const [queueId, count] of SENT.entries()) {
    for (let i = 0; i < count; i++) {
      const sent = await client.send(`q${queueId}m${i}`, { b: 'A', e: String(queueId) })
      messageIds.push(sent.extFields?.['msgId'] ?? '')
    }
  }
  await client.heartbeat({
    clientID: 'c9',
    consumerDataSet: [consumerData('G', subscriptionData('A', 'TagA || TagB', 7))],
    producerDataSet: [{ groupName: 'P' }],
  })
  for (const [queueId, commitOffset] of [3, 1].entries()) await commit('G', 'A', queueId, commitOffset)
  await fixture.broker.store?.flushConsumerOffsets()
})
afterAll(async () => {
  client.close()
  await fixture.close()
})

async function commit(consumerGroup: string, topic: string, queueId: number, commitOffset: number): Promise<void> {
  const fields = { consumerGroup, topic, queueId: String(queueId), commitOffset: String(commitOffset) }
  await client.call(RequestCode.UPDATE_CONSUMER_OFFSET, fields)
}

async function ask(code: number, fields: ExtFields = {}): Promise<DialectValue> {
  const answer = await client.call(code, fields)
  expect([answer.code, answer.remark]).toEqual([0, undefined])
  return parseDialect(answer.bodyBytes.toString())
}

async function refusal(code: number, fields: ExtFields = {}): Promise<unknown[]> {
  const { code: given, remark } = await client.call(code, fields)
  return [given, remark]
}

/** A table by message queue as rows: queue id, and what stands for it. */
function byQueue(table: unknown): [number, Record<string, number>][] {
  const rows = [...(table as Map<{ queueId: number; brokerName: string; topic: string }, Record<string, number>>)]
  for (const [queue] of rows) expect(queue).toMatchObject({ brokerName: 'b', topic: 'A' })
  return rows.map(([{ queueId }, value]) => [queueId, value])
}

describe('queues', () => {
  test('a topic: where each begins and ends, and when its last message was stored', async () => {
    const before = Date.now() - 600_000
    const stats = (await ask(RequestCode.GET_TOPIC_STATS_INFO, { topic: 'A' })) as Record<string, unknown>
    const rows = byQueue(stats['offsetTable'])
    expect(rows.map(([queueId, { minOffset, maxOffset }]) => [queueId, minOffset, maxOffset])).toEqual(
      SENT.map((count, queueId) => [queueId, 0, count]),
    )
    for (const [queueId, { lastUpdateTimestamp }] of rows) {
      expect(lastUpdateTimestamp)[SENT[queueId] === 0 ? 'toBe' : 'toBeGreaterThan'](SENT[queueId] === 0 ? 0 : before)
    }
    expect(stats['topicPutTps']).toBeGreaterThan(0)
    expect(await refusal(RequestCode.GET_TOPIC_STATS_INFO, { topic: 'X' })).toEqual([17, 'topic[X] not exist'])
  })

  test('how long a group is behind', async () => {
    const fields = { topic: 'A', group: 'G' }
    const { consumeTimeSpanSet } = (await ask(RequestCode.QUERY_CONSUME_TIME_SPAN, fields)) as Record<string, unknown>
    const spans = consumeTimeSpanSet as { messageQueue: { queueId: number }; delayTime: number; minTimeStamp: number }[]
    expect(spans.map(({ messageQueue }) => messageQueue.queueId)).toEqual([0, 1, 2, 3])
    expect(spans.map(({ delayTime }) => delayTime > 0)).toEqual([false, true, false, true])
    expect(spans.map(({ minTimeStamp }) => minTimeStamp > 0)).toEqual([true, true, false, true])
    expect((await refusal(RequestCode.QUERY_CONSUME_TIME_SPAN, { topic: 'X', group: 'G' }))[0]).toBe(17)
  })

  test('entries of one, and what a group there subscribes to', async () => {
    const fields = { topic: 'A', queueId: '0', index: '1', count: '9', consumerGroup: 'G' }
    expect(await ask(RequestCode.QUERY_CONSUME_QUEUE, fields)).toMatchObject({
      maxQueueIndex: 3,
      minQueueIndex: 0,
      queueData: messageIds.slice(1, 3).map((id) => ({ physicOffset: parseOffsetMsgId(id).physicalOffset })),
      subscriptionData: { topic: 'A', subString: 'TagA || TagB', tagsSet: ['TagA', 'TagB'] },
    })
    const offline = { ...fields, consumerGroup: 'none' }
    expect(await ask(RequestCode.QUERY_CONSUME_QUEUE, offline)).toMatchObject({ filterData: 'none@A is not online!' })
    const beyond = await client.call(RequestCode.QUERY_CONSUME_QUEUE, { ...fields, index: '3' })
    expect([beyond.code, beyond.remark]).toEqual([0, 'Index 3 of 0@A is not exist!'])
    const missing = { ...fields, queueId: '9' }
    expect(await refusal(RequestCode.QUERY_CONSUME_QUEUE, missing)).toEqual([1, '9@A is not exist!'])
  })
})

describe('groups', () => {
  const progress = [
    [0, 3, 3],
    [1, 2, 1],
    [2, 0, 0],
    [3, 1, 0],
  ]

  test.each([
    ['all that it has offsets of', {}],
    ['one topic', { topic: 'A' }],
    ['listed topics', { topicList: 'A;none;' }],
  ])('how far one is: %s', async (_, more: ExtFields) => {
    const fields = { consumerGroup: 'G', ...more }
    const stats = (await ask(RequestCode.GET_CONSUME_STATS, fields)) as Record<string, unknown>
    const rows = byQueue(stats['offsetTable'])
    expect(rows.map(([id, { brokerOffset, consumerOffset }]) => [id, brokerOffset, consumerOffset])).toEqual(progress)
    expect(rows.map(([, { lastTimestamp }]) => (lastTimestamp as number) > 0)).toEqual([true, true, false, false])
  })

  test('what a group does not subscribe to any more is left out while it is online, unless it is listed', async () => {
    await commit('G', 'TBW102', 0, 1)
    const tables = async (fields: ExtFields) => {
      const stats = (await ask(RequestCode.GET_CONSUME_STATS, { consumerGroup: 'G', ...fields })) as Record<
        string,
        unknown
      >
      const table = stats['offsetTable']
      return table instanceof Map
        ? [...(table as Map<{ topic: string }, unknown>).keys()].map(({ topic }) => topic)
        : []
    }
    expect(new Set(await tables({}))).toEqual(new Set(['A']))
    expect(new Set(await tables({ topicList: 'TBW102' }))).toEqual(new Set(['TBW102']))
  })

  test('how far all are', async () => {
    const list = (await ask(RequestCode.GET_BROKER_CONSUME_STATS, { isOrder: 'false' })) as Record<string, unknown>
    expect(list).toMatchObject({ brokerAddr: fixture.broker.address, totalDiff: 2 })
    const of = (list['consumeStatsList'] as Record<string, { offsetTable: unknown }[]>[]).find((one) => 'G' in one)
    expect(byQueue(of?.['G']?.[0]?.offsetTable).map(([, { consumerOffset }]) => consumerOffset)).toEqual([3, 1, 0, 0])
    const ordered = (await ask(RequestCode.GET_BROKER_CONSUME_STATS, { isOrder: 'true' })) as Record<string, unknown>
    expect(ordered).toMatchObject({ totalDiff: 0 })
  })

  test('who consumes a topic, and which topics a group consumes: those online and those with offsets', async () => {
    await commit('Offline', 'A', 0, 1)
    const { groupList } = (await ask(RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, { topic: 'A' })) as Record<string, unknown>
    expect(new Set(groupList as string[])).toEqual(new Set(['G', 'Offline']))
    expect(await ask(RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, { topic: 'X' })).toEqual({ groupList: [] })
    const answer = await client.call(RequestCode.QUERY_TOPICS_BY_CONSUMER, { group: 'Offline' })
    expect(decodeTopicList(answer.bodyBytes)).toEqual({ topicList: ['A'], brokerAddr: fixture.broker.address })
  })

  test('an answer that no frame has room for is refused: 1', async () => {
    const [one, two, three] = [1, 2, 3].map((i) => `Wide${'x'.repeat(60)}${i}`) as [string, string, string]
    for (const topic of [one, two, three]) {
      await fixture.broker.store?.putTopic(defaultTopicConfig(topic, 65_000))
    }
    const remark = expect.stringMatching(/^the answer has more than \d+ bytes, and no frame has room for it/) as string
    for (const topicList of [`${one};${two}`, `${one};${two};${three}`]) {
      expect(await refusal(RequestCode.GET_CONSUME_STATS, { consumerGroup: 'G', topicList })).toEqual([1, remark])
    }
  })

  test('what a group subscribes to', async () => {
    const of = (group: string) => ask(RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER, { group, topic: 'A' })
    expect(await of('G')).toMatchObject({
      group: 'G',
      topic: 'A',
      subscriptionData: {
        subString: 'TagA || TagB',
        subVersion: 7,
        expressionType: 'TAG',
        codeSet: [2598919, 2598920],
      },
    })
    expect(await of('none')).toEqual({ group: 'none', topic: 'A' })
  })

  test('the settings of one; asking makes no group', async () => {
    expect(await ask(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, { group: 'G' })).toMatchObject({
      groupName: 'G',
      retryMaxTimes: 16,
    })
    const asked = { group: 'Nobody' }
    expect(await refusal(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, asked)).toEqual([26, 'No group in this broker'])
    expect(fixture.broker.store?.groups().has('Nobody')).toBe(false)
  })

  test('all offsets, as Apache keeps them in a file', async () => {
    const { offsetTable } = (await ask(RequestCode.GET_ALL_CONSUMER_OFFSET)) as Record<string, unknown>
    expect((offsetTable as Record<string, unknown>)['A@G']).toEqual({ 0: 3, 1: 1 })
  })
})

describe('connections', () => {
  test('of a consumer group', async () => {
    expect(await ask(RequestCode.GET_CONSUMER_CONNECTION_LIST, { consumerGroup: 'G' })).toMatchObject({
      connectionSet: [
        {
          clientAddr: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string,
          clientId: 'c9',
          language: 'JAVA',
          version: 479,
        },
      ],
      consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET',
      consumeType: 'CONSUME_PASSIVELY',
      messageModel: 'CLUSTERING',
      subscriptionTable: { A: { subString: 'TagA || TagB' } },
    })
    const fields = { consumerGroup: 'none' }
    expect(await refusal(RequestCode.GET_CONSUMER_CONNECTION_LIST, fields)).toEqual([
      206,
      'the consumer group[none] not online',
    ])
  })

  test('of a producer group, and of all', async () => {
    const { connectionSet } = (await ask(RequestCode.GET_PRODUCER_CONNECTION_LIST, { producerGroup: 'P' })) as Record<
      string,
      unknown
    >
    expect(connectionSet).toMatchObject([{ clientId: 'c9', language: 'JAVA', version: 479 }])
    const fields = { producerGroup: 'none' }
    expect(await refusal(RequestCode.GET_PRODUCER_CONNECTION_LIST, fields)).toEqual([
      1,
      'the producer group[none] not exist',
    ])
    const { data } = (await ask(RequestCode.GET_ALL_PRODUCER_INFO)) as { data: Record<string, unknown> }
    expect(data['P']).toMatchObject([{ clientId: 'c9', remoteIP: '127.0.0.1', version: 479 }])
    const [{ lastUpdateTimestamp }] = data['P'] as [{ lastUpdateTimestamp: number }]
    expect(Math.abs(Date.now() - lastUpdateTimestamp)).toBeLessThan(600_000)
  })

  test('tools that are too old to know a language read OTHER', async () => {
    const node = new TestClient(fixture.broker.address)
    const old = new TestClient(fixture.broker.address, 409)
    try {
      await node.heartbeatAs('NODE_JS', { clientID: 'node', consumerDataSet: [consumerData('NodeG')] })
      const languages = async (tool: TestClient) => {
        const answer = await tool.call(RequestCode.GET_CONSUMER_CONNECTION_LIST, { consumerGroup: 'NodeG' })
        const body = parseDialect(answer.bodyBytes.toString()) as { connectionSet: { language: string }[] }
        return body.connectionSet.map(({ language }) => language)
      }
      expect(await languages(client)).toEqual(['NODE_JS'])
      expect(await languages(old)).toEqual(['OTHER'])
    } finally {
      node.close()
      old.close()
    }
  })
})

describe('the broker', () => {
  test('its configuration as lines, with a version that tools cannot do without', async () => {
    const answer = await client.call(RequestCode.GET_BROKER_CONFIG)
    expect(parseDialect(answer.extFields?.['version'] ?? '')).toMatchObject({ counter: 0, stateVersion: 0 })
    expect(answer.bodyBytes.toString().split('\n')).toEqual(
      expect.arrayContaining([
        'brokerName=b',
        'brokerClusterName=C',
        'brokerId=0',
        'filterServerNums=0',
        'useTLS=false',
      ]),
    )
  })

  test('its figures', async () => {
    await client.pull({ topic: 'A', consumerGroup: 'G' })
    const table = decodeKvTable((await client.call(RequestCode.GET_BROKER_RUNTIME_INFO)).bodyBytes)
    const number = (key: string): number => Number(table.get(key))
    expect(table.get('brokerVersionDesc')).toBe('V5_3_3')
    expect(table.get('brokerActive')).toBe('true')
    expect(table.get('runtime')).toMatch(/^\[ 0 days, 0 hours, \d+ minutes, \d+ seconds \]$/)
    expect(table.get('commitLogDirCapacity')).toMatch(/^Total : [\d.]+ .iB, Free : [\d.]+ .iB\.$/)
    expect(table.get('putTps')?.split(' ').map(Number)).toHaveLength(3)
    expect(table.get('getTransferedTps')).toMatch(/^[\d.e-]+ [\d.e-]+ [\d.e-]+$/)
    expect(number('msgPutTotalTodayNow')).toBeGreaterThanOrEqual(messageIds.length)
    expect(number('msgGetTotalTodayNow')).toBeGreaterThan(0)
    expect(number('commitLogMaxOffset')).toBe(fixture.broker.store?.status().maxPhysicalOffset)
    expect(number('commitLogMinOffset')).toBe(0)
    expect(Math.abs(Date.now() - number('earliestMessageTimeStamp'))).toBeLessThan(600_000)
    expect(number('commitLogDiskRatio')).toBeGreaterThan(0)
    expect(number('commitLogDiskRatio')).toBeLessThan(1)
    expect(number('putMessageEntireTimeMax')).toBeGreaterThanOrEqual(0)
    for (const [key, value] of table)
      expect([key, value]).not.toEqual([key, expect.stringMatching(/NaN|undefined|null/)])
  })

  test('its own topics', async () => {
    const { topicList } = decodeTopicList((await client.call(RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER)).bodyBytes)
    expect(topicList).toEqual(expect.arrayContaining(['C', 'b', 'TBW102', 'SCHEDULE_TOPIC_XXXX', 'rmq_sys_dledger']))
    expect(topicList).not.toContain('A')
  })

  test('how far the delay levels are', async () => {
    await client.send('later', { b: 'A', i: 'DELAY\u00011\u0002' })
    const topic = 'A'
    for (let offset = 3; (fixture.broker.store?.maxOffset(topic, 0) ?? 0) <= offset;) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await ask(RequestCode.GET_ALL_DELAY_OFFSET)).toMatchObject({ offsetTable: { 1: 1 } })
    const table = decodeKvTable((await client.call(RequestCode.GET_BROKER_RUNTIME_INFO)).bodyBytes)
    expect(table.get('scheduleMessageOffset_1')).toBe('1,1')
  })
})

describe('statistics', () => {
  async function sums(statsName: string, statsKey: string): Promise<number[]> {
    const data = (await ask(RequestCode.VIEW_BROKER_STATS_DATA, { statsName, statsKey })) as Record<
      string,
      { sum: number }
    >
    return [data['statsMinute'], data['statsHour'], data['statsDay']].map((item) => item?.sum ?? -1)
  }

  test('messages and bytes by topic, by group, sent back, and of the broker, as soon as they are counted', async () => {
    for (const body of ['one', 'two', 'three']) await client.send(body, { b: 'S' })
    const pulled = await client.pull({ topic: 'S', consumerGroup: 'SG' })
    const records = decodeRecords(pulled.bodyBytes)
    expect(records).toHaveLength(3)
    expect(await sums('TOPIC_PUT_NUMS', 'S')).toEqual([3, 3, 3])
    expect(await sums('TOPIC_PUT_SIZE', 'S')).toEqual(Array.from({ length: 3 }, () => pulled.bodyBytes.length))
    expect(await sums('GROUP_GET_NUMS', 'S@SG')).toEqual([3, 3, 3])
    expect(await sums('GROUP_GET_SIZE', 'S@SG')).toEqual(Array.from({ length: 3 }, () => pulled.bodyBytes.length))
    const offset = String(records[0]?.physicalOffset)
    const back = { group: 'SG', offset, delayLevel: '0', originTopic: 'S', unitMode: 'false' }
    expect((await client.call(RequestCode.CONSUMER_SEND_MSG_BACK, back)).code).toBe(0)
    expect(await sums('SNDBCK_PUT_NUMS', 'S@SG')).toEqual([1, 1, 1])
    expect((await sums('BROKER_PUT_NUMS', 'C'))[0]).toBeGreaterThanOrEqual(messageIds.length + 3)
    expect((await sums('BROKER_GET_NUMS', 'C'))[0]).toBeGreaterThanOrEqual(3)
  })

  test.each([
    ['TOPIC_PUT_NUMS', 'none'],
    ['BROKER_PUT_NUMS', 'another cluster'],
    ['NO_SUCH_NAME', 'A'],
  ])('there are none of %s %s: 1', async (statsName, statsKey) => {
    expect(await refusal(RequestCode.VIEW_BROKER_STATS_DATA, { statsName, statsKey })).toEqual([
      1,
      `The stats <${statsName}> <${statsKey}> not exist`,
    ])
  })
})
