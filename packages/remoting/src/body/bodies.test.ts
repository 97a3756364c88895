/** Bodies against those that real clients and servers sent. */
import { readFileSync } from 'node:fs'
import { deflateSync, inflateSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { RequestCode } from '../codes.ts'
import { decodeCommand } from '../command.ts'
import { RemotingError } from '../errors.ts'
import { allGoldenFrames, type GoldenFrame } from '../testing/golden-frames.ts'
import { decodeDataVersion, dataVersionText } from './data-version.ts'
import { type DialectValue, parseDialect } from './dialect.ts'
import { decodeCheckClientConfig, decodeHeartbeat, encodeCheckClientConfig, encodeHeartbeat } from './heartbeat.ts'
import {
  decodeConsumerIdList,
  decodeKvTable,
  decodeTopicList,
  encodeConsumerIdList,
  encodeKvTable,
  encodeTopicList,
} from './lists.ts'
import {
  decodeLockBatchRequest,
  decodeLockBatchResponse,
  encodeLockBatchRequest,
  encodeLockBatchResponse,
} from './lock.ts'
import {
  decodeRegisterBrokerBody,
  encodeCompressedRegisterBrokerBody,
  encodeRegisterBrokerBody,
} from './register-broker.ts'
import {
  decodeBrokerMemberGroup,
  decodeClusterInfo,
  decodeTopicRouteData,
  encodeBrokerMemberGroup,
  encodeClusterInfo,
  encodeTopicRouteData,
} from './route.ts'
import { decodeTopicConfigTable, encodeTopicConfigTable, topicConfig } from './topic-config.ts'

interface Recorded {
  frame: GoldenFrame
  body: Buffer
}

function recorded(accepts: (frame: GoldenFrame) => boolean): Recorded[] {
  return allGoldenFrames()
    .filter((frame) => frame.bodyLength > 0 && accepts(frame))
    .map((frame) => ({ frame, body: decodeCommand(frame.bytes, 4, frame.bytes.length).bodyBytes }))
}
const requests = (code: number) => recorded((frame) => !frame.response && frame.code === code)
const answers = (requestCode: number) =>
  recorded((frame) => frame.response && frame.requestCode === requestCode && frame.code === 0)

/** What a body says, whatever the order and the way it is written. */
function meaning(body: Buffer): unknown {
  return plain(parseDialect(body.toString()))
}
function plain(value: DialectValue): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Map) return [...value].map(([key, item]) => [plain(key), plain(item)])
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, item]) => item !== null)
        .map(([key, item]) => [key, plain(item)]),
    )
  }
  return value
}

/** Java writes the broker ids of older routes bare; we always quote them. */
function quoted(body: Buffer): string {
  return body.toString().replaceAll(/([{,])(-?\d+):/g, '$1"$2":')
}

describe('routes', () => {
  const rows = answers(RequestCode.GET_ROUTEINFO_BY_TOPIC)
  it('were recorded in both forms', () => {
    expect(rows.length).toBeGreaterThan(10)
    expect(new Set(rows.map(({ body }) => quoted(body) === body.toString()))).toEqual(new Set([true, false]))
  })
  it.each(rows)('$frame.name is written byte for byte', ({ body }) => {
    expect(encodeTopicRouteData(decodeTopicRouteData(body)).toString()).toBe(quoted(body))
  })
  it('are written with the order of an ordered topic, and with filter servers and zones', () => {
    const text =
      '{"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.2:10911","1":"10.0.0.3:10911"},"brokerName":"b","cluster":"c1","enableActingMaster":false,"zoneName":"z"}],' +
      '"filterServerTable":{"10.0.0.2:10911":["f"]},"orderTopicConf":"b:4;b2:4","queueDatas":[{"brokerName":"b","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}'
    expect(encodeTopicRouteData(decodeTopicRouteData(Buffer.from(text))).toString()).toBe(text)
  })
})

describe('cluster info', () => {
  it.each(answers(RequestCode.GET_BROKER_CLUSTER_INFO))('$frame.name', ({ body }) => {
    expect(encodeClusterInfo(decodeClusterInfo(body)).toString()).toBe(quoted(body))
  })
})

describe('member groups', () => {
  it.each(answers(RequestCode.GET_BROKER_MEMBER_GROUP))('$frame.name', ({ body }) => {
    expect(encodeBrokerMemberGroup(decodeBrokerMemberGroup(body)).toString()).toBe(quoted(body))
  })
})

describe('heartbeats', () => {
  const rows = requests(RequestCode.HEART_BEAT)
  it('came from all clients', () => {
    expect(new Set(rows.map(({ frame }) => frame.header.language))).toEqual(new Set(['JAVA', 'GO']))
    expect(rows.length).toBeGreaterThan(8)
  })
  it.each(rows)('$frame.name is read', ({ body }) => {
    const heartbeat = decodeHeartbeat(body)
    expect(heartbeat.clientID).not.toBe('')
    // Some clients leave out what has its default.
    const written = meaning(encodeHeartbeat(heartbeat)) as Record<string, unknown>
    expect(written).toMatchObject(meaning(body) as Record<string, unknown>)
  })
  it('are read with whatever enum names old clients send', () => {
    const consumer = { groupName: 'g', consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST' }
    const body = Buffer.from(JSON.stringify({ clientID: 'c', consumerDataSet: [consumer] }))
    expect(decodeHeartbeat(body)).toEqual({
      clientID: 'c',
      producerDataSet: [],
      consumerDataSet: [
        {
          ...consumer,
          consumeType: 'CONSUME_PASSIVELY',
          messageModel: 'CLUSTERING',
          subscriptionDataSet: [],
          unitMode: false,
        },
      ],
      heartbeatFingerprint: 0,
      withoutSub: false,
    })
  })
  it('reads what is no code among the codes as none', () => {
    const subscription = '{"topic":"T","codeSet":["7",8,{},[],null]}'
    const text = `{"clientID":"c","consumerDataSet":[{"groupName":"g","subscriptionDataSet":[${subscription}]}]}`
    const [consumer] = decodeHeartbeat(Buffer.from(text)).consumerDataSet
    expect(consumer?.subscriptionDataSet[0]?.codeSet).toEqual([7, 8, 0, 0, 0])
  })
  it.each([
    '',
    '[]',
    '{}',
    '{"clientID":1}',
    '{"clientID":"c","consumerDataSet":{}}',
    '{"clientID":"c","producerDataSet":[1]}',
    '{"clientID":"c","heartbeatFingerprint":1.5}',
    '{"clientID":"c","heartbeatFingerprint":1e999}',
  ])('%j is refused', (text) => {
    expect(() => decodeHeartbeat(Buffer.from(text))).toThrow(RemotingError)
  })
})

describe('client checks', () => {
  it.each(requests(RequestCode.CHECK_CLIENT_CONFIG))('$frame.name', ({ body }) => {
    expect(meaning(encodeCheckClientConfig(decodeCheckClientConfig(body)))).toEqual(meaning(body))
  })
})

describe('locks', () => {
  const rows = [...requests(RequestCode.LOCK_BATCH_MQ), ...requests(RequestCode.UNLOCK_BATCH_MQ)]
  it('were recorded', () => expect(rows.length).toBeGreaterThan(2))
  it.each(rows)('$frame.name', ({ body }) => {
    expect(meaning(encodeLockBatchRequest(decodeLockBatchRequest(body)))).toMatchObject(meaning(body) as object)
  })
  it.each(answers(RequestCode.LOCK_BATCH_MQ))('$frame.name', ({ body }) => {
    expect(encodeLockBatchResponse(decodeLockBatchResponse(body)).toString()).toBe(body.toString())
  })
})

describe('lists', () => {
  it.each(answers(RequestCode.GET_CONSUMER_LIST_BY_GROUP))('$frame.name', ({ body }) => {
    expect(encodeConsumerIdList(decodeConsumerIdList(body)).toString()).toBe(body.toString())
  })
  it('of topics, with and without an address', () => {
    for (const list of [{ topicList: ['a'] }, { topicList: [], brokerAddr: 'b:1' }]) {
      expect(decodeTopicList(encodeTopicList(list))).toEqual(list)
    }
  })
  it('of keys and values', () => {
    const table = new Map([['k', 'v']])
    expect(encodeKvTable(table).toString()).toBe('{"table":{"k":"v"}}')
    expect(decodeKvTable(encodeKvTable(table))).toEqual(table)
  })
})

describe('registrations', () => {
  const vector = JSON.parse(
    readFileSync(new URL('../../../../test/vectors/frames/register-body.json', import.meta.url), 'utf8'),
  ) as {
    compressedHex: string
    plainText: string
    inflatedHex: string
    decodedTopics: Record<string, unknown>
    decodedDataVersion: unknown
  }
  const compressed = Buffer.from(vector.compressedHex, 'hex')

  it('say the same in both forms', () => {
    for (const body of [
      decodeRegisterBrokerBody(Buffer.from(vector.plainText)),
      decodeRegisterBrokerBody(compressed),
    ]) {
      expect(Object.fromEntries(body.topics)).toEqual(vector.decodedTopics)
      expect(body.dataVersion).toEqual(vector.decodedDataVersion)
      expect(body.filterServers).toEqual([])
    }
  })
  it('are written plain byte for byte', () => {
    expect(encodeRegisterBrokerBody(decodeRegisterBrokerBody(Buffer.from(vector.plainText))).toString()).toBe(
      vector.plainText,
    )
  })
  it('are compressed from the same bytes', () => {
    const written = encodeCompressedRegisterBrokerBody(decodeRegisterBrokerBody(compressed))
    expect(inflateSync(written).toString('hex')).toBe(vector.inflatedHex)
  })
  it.each(requests(RequestCode.REGISTER_BROKER))(
    '$frame.name, as its bytes are, whatever its header says',
    ({ body }) => {
      const { topics, dataVersion } = decodeRegisterBrokerBody(body)
      expect(topics.size).toBeGreaterThan(0)
      expect(dataVersion.timestamp).toBeGreaterThan(0)
      for (const [name, topic] of topics) expect(topic.topicName).toBe(name)
    },
  )
  it('are refused when they inflate to more than the limit', () => {
    const bomb = deflateSync(Buffer.alloc(80 * 1024 * 1024))
    expect(() => decodeRegisterBrokerBody(bomb)).toThrow(expect.objectContaining({ code: 'BAD_BODY' }))
  })
  it('are refused with a typed error wherever they are cut', () => {
    const inflated = Buffer.from(vector.inflatedHex, 'hex')
    // The mapping section at the end is not looked at: brokers before 5.0 do not have it.
    for (let length = 0; length < inflated.length - 4; length++) {
      expect(() => decodeRegisterBrokerBody(deflateSync(inflated.subarray(0, length)))).toThrow(RemotingError)
    }
    for (let length = 0; length < vector.plainText.length; length++) {
      expect(() => decodeRegisterBrokerBody(Buffer.from(vector.plainText.slice(0, length)))).toThrow(RemotingError)
    }
  })
})

describe('topic tables', () => {
  it('come back as they were', () => {
    const table = {
      dataVersion: { counter: 2, stateVersion: 3, timestamp: 4 },
      topics: new Map([['a', topicConfig({ topicName: 'a', perm: 4, attributes: { 'message.type': 'FIFO' } })]]),
    }
    expect(decodeTopicConfigTable(encodeTopicConfigTable(table))).toEqual(table)
  })
})

describe('data versions', () => {
  it.each(requests(RequestCode.QUERY_DATA_VERSION))('$frame.name', ({ body }) => {
    expect(dataVersionText(decodeDataVersion(body))).toBe(body.toString())
  })
  it('of 4.x brokers have no state version', () => {
    expect(decodeDataVersion(Buffer.from('{"counter":1,"timestamp":2}'))).toEqual({
      counter: 1,
      stateVersion: 0,
      timestamp: 2,
    })
  })
})
