/** Transactions as their producer and its consumers see them: the half message, its end, the questions for it. */
import {
  decodeRecord,
  decodeRecords,
  getProperty,
  type MessageRecord,
  offsetMsgId,
  parseOffsetMsgId,
} from '@dledger-ts/protocol'
import {
  CheckTransactionStateRequest,
  EndTransactionRequest,
  type RemotingCommand,
  RequestCode,
} from '@dledger-ts/remoting'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Fixture, startBroker, TestClient } from '../testing/broker-fixture.ts'

const COMMIT = 8
const ROLLBACK = 12
const UNKNOWN = 0
const TIMES = 'TRANSACTION_CHECK_TIMES'

let fixture: Fixture
let client: TestClient
const closers: (() => Promise<void> | void)[] = []

async function begin(keys: Record<string, string> = {}): Promise<void> {
  fixture = await startBroker(keys)
  closers.push(() => fixture.close())
  client = newClient()
}

function newClient(): TestClient {
  const made = new TestClient(fixture.broker.address)
  closers.push(() => made.close())
  return made
}

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function sendHalf(body: string, more = '', by = client): Promise<RemotingCommand> {
  return by.send(body, {
    e: '2',
    f: '4',
    i: `TRAN_MSG\u0001true\u0002PGROUP\u0001pg\u0002UNIQ_KEY\u0001id-${body}\u0002${more}`,
  })
}

function endOf(half: RemotingCommand, commitOrRollback: number, more: Partial<EndTransactionRequest> = {}) {
  return EndTransactionRequest.encode({
    topic: undefined,
    producerGroup: 'pg',
    tranStateTableOffset: Number(half.extFields?.['queueOffset']),
    commitLogOffset: parseOffsetMsgId(half.extFields?.['msgId'] ?? '').physicalOffset,
    commitOrRollback,
    fromTransactionCheck: false,
    msgId: half.extFields?.['transactionId'],
    transactionId: half.extFields?.['transactionId'],
    brokerName: undefined,
    ...more,
  })
}

function end(half: RemotingCommand, commitOrRollback: number, more: Partial<EndTransactionRequest> = {}) {
  return client.call(RequestCode.END_TRANSACTION, endOf(half, commitOrRollback, more))
}

async function recordsOf(topic: string, queueId: string): Promise<MessageRecord[]> {
  return decodeRecords((await client.pull({ topic, queueId, maxMsgNums: '32' })).bodyBytes)
}

const bodies = (records: MessageRecord[]) => records.map(({ body }) => body.toString())

function heartbeat(by: TestClient, group = 'pg'): Promise<RemotingCommand> {
  return by.heartbeat({ clientID: 'p', producerDataSet: [{ groupName: group }] })
}

describe('a half message', () => {
  beforeEach(() => begin())

  test('is answered with its own place and the queue that it is meant for, and is in the half topic alone', async () => {
    const half = await sendHalf('m')
    expect(half.code).toBe(0)
    expect(half.extFields).toMatchObject({ queueId: '2', queueOffset: '0', transactionId: 'id-m' })
    const { physicalOffset } = parseOffsetMsgId(half.extFields?.['msgId'] ?? '')
    const stored = decodeRecord((await fixture.broker.store?.messageAt(physicalOffset)) as Buffer)
    expect([stored.topic, stored.queueId, stored.queueOffset]).toEqual(['RMQ_SYS_TRANS_HALF_TOPIC', 0, 0])
    expect(await recordsOf('T', '2')).toEqual([])
  })

  test('is there once it is committed, once, however often that is said', async () => {
    const half = await sendHalf('m')
    expect((await end(half, COMMIT)).code).toBe(0)
    expect(await end(half, COMMIT)).toMatchObject({ code: 0, remark: 'the half message was ended before' })
    expect((await end(half, ROLLBACK)).code).toBe(0)
    const [record, ...others] = await recordsOf('T', '2')
    expect(others).toEqual([])
    expect([record?.body.toString(), record?.sysFlag, record?.topic, record?.queueId]).toEqual(['m', 8, 'T', 2])
    expect(getProperty(record?.properties ?? '', 'UNIQ_KEY')).toBe('id-m')
    expect(getProperty(record?.properties ?? '', '__transactionId__')).toBe('id-m')
  })

  test('that is rolled back never is, also when it is committed later', async () => {
    const half = await sendHalf('m')
    expect((await end(half, ROLLBACK)).code).toBe(0)
    expect((await end(half, COMMIT)).code).toBe(0)
    expect(await recordsOf('T', '2')).toEqual([])
    expect(bodies(await recordsOf('RMQ_SYS_TRANS_OP_HALF_TOPIC', '0'))).toEqual(['0,'])
  })

  test('a one-way end counts, and UNKNOWN changes nothing and is not answered', async () => {
    const [first, second] = [await sendHalf('a'), await sendHalf('b')]
    client.oneway(RequestCode.END_TRANSACTION, endOf(first, UNKNOWN))
    client.oneway(RequestCode.END_TRANSACTION, endOf(second, COMMIT))
    const pulled = await client.pull({ queueId: '2', suspendTimeoutMillis: '10000', sysFlag: '6' })
    expect(bodies(decodeRecords(pulled.bodyBytes))).toEqual(['b'])
    expect((await end(first, COMMIT)).remark).toBeUndefined()
  })

  test('UNKNOWN is not answered even to a client that wants an answer', async () => {
    const half = await sendHalf('m')
    let isAnswered = false
    const unknown = end(half, UNKNOWN).then(
      () => (isAnswered = true),
      () => 'the client was closed',
    )
    // Answers of one connection may overtake each other, but not by this much.
    for (let i = 0; i < 20; i++) expect((await end(half, COMMIT)).code).toBe(0)
    expect(isAnswered).toBe(false)
    client.close()
    expect(await unknown).toBe('the client was closed')
  })

  test.each([
    ['another producer group', { producerGroup: 'other' }, 'The producer group wrong'],
    ['another queue offset', { tranStateTableOffset: 5 }, 'The transaction state table offset wrong'],
    ['a place where nothing is', { commitLogOffset: 7 }, 'Find prepared transaction message failed'],
    ['a place before the log', { commitLogOffset: -1 }, 'Find prepared transaction message failed'],
  ])('is not ended under %s', async (_, wrong, remark) => {
    const half = await sendHalf('m')
    expect(await end(half, COMMIT, wrong)).toMatchObject({ code: 1, remark })
    expect(await recordsOf('T', '2')).toEqual([])
    expect((await end(half, COMMIT)).code).toBe(0)
  })

  test('is not what an ordinary message is: ending one is refused', async () => {
    const sent = await client.send('x')
    expect(await end(sent, COMMIT)).toMatchObject({ code: 1, remark: 'Find prepared transaction message failed' })
  })

  test('whose immunity is over is ended by an answer to a question only', async () => {
    const half = await sendHalf('m', 'CHECK_IMMUNITY_TIME_IN_SECONDS\u00010\u0002')
    // Immunity 0: asked for at once. A question also says that the time is over.
    await client.checks.next()
    expect((await end(half, COMMIT)).code).toBe(604)
    expect((await end(half, COMMIT, { fromTransactionCheck: true })).code).toBe(0)
    expect(bodies(await recordsOf('T', '2'))).toEqual(['m'])
  })
})

describe('questions', () => {
  test('go to the producer with the record as it is meant, and its place', async () => {
    await begin({ transactionTimeOut: '1', brokerName: 'bn' })
    const half = await sendHalf('m', 'k\u0001v\u0002')
    const question = await client.checks.next()
    const { commitLogOffset } = EndTransactionRequest.decode(endOf(half, COMMIT))
    expect(question.isOneway).toBe(true)
    expect(CheckTransactionStateRequest.decode(question.extFields)).toEqual({
      topic: 'RMQ_SYS_TRANS_HALF_TOPIC',
      tranStateTableOffset: 0,
      commitLogOffset,
      msgId: 'id-m',
      transactionId: 'id-m',
      offsetMsgId: half.extFields?.['msgId'],
      brokerName: 'bn',
    })
    const record = decodeRecord(question.bodyBytes)
    expect([record.topic, record.queueId, record.body.toString()]).toEqual(['T', 2, 'm'])
    expect(['PGROUP', 'k', 'TRANSACTION_CHECK_TIMES'].map((name) => getProperty(record.properties, name))).toEqual([
      'pg',
      'v',
      '1',
    ])
    expect((await end(half, COMMIT, { fromTransactionCheck: true })).code).toBe(0)
    expect(bodies(await recordsOf('T', '2'))).toEqual(['m'])
  })

  test('are asked of another connection of the group when the first one is gone', async () => {
    await begin({ transactionTimeOut: '1', transactionCheckInterval: '100' })
    const other = newClient()
    await heartbeat(other)
    const sender = newClient()
    const half = await sendHalf('m', '', sender)
    sender.close()
    const question = await other.checks.next()
    expect(question.extFields?.['tranStateTableOffset']).toBe('0')
    expect((await end(half, ROLLBACK, { fromTransactionCheck: true })).code).toBe(0)
  })

  test('end after transactionCheckMax of them, and the message is kept where an operator finds it', async () => {
    await begin({ transactionTimeOut: '1', transactionCheckInterval: '100', transactionCheckMax: '3' })
    const half = await sendHalf('m')
    const times: string[] = []
    for (let i = 0; i < 3; i++) {
      const { properties } = decodeRecord((await client.checks.next()).bodyBytes)
      times.push(getProperty(properties, 'TRANSACTION_CHECK_TIMES') ?? '')
    }
    expect(times).toEqual(['1', '2', '3'])
    const pulled = await client.pull({
      topic: 'TRANS_CHECK_MAX_TIME_TOPIC',
      suspendTimeoutMillis: '10000',
      sysFlag: '6',
    })
    expect(bodies(decodeRecords(pulled.bodyBytes))).toEqual(['m'])
    expect((await end(half, COMMIT)).remark).toBe('the half message was ended before')
    expect(await recordsOf('T', '2')).toEqual([])
  })
})

describe('a tool has a producer asked again', () => {
  const idOf = (record: MessageRecord | undefined) =>
    record === undefined ? '' : offsetMsgId(record.storeHost, record.physicalOffset)
  const resume = (msgId: string, topic = 'TRANS_CHECK_MAX_TIME_TOPIC') =>
    client.call(RequestCode.RESUME_CHECK_HALF_MESSAGE, { topic, msgId })

  test('for one that was given up: it is asked from the beginning, and its answer counts', async () => {
    await begin({ transactionTimeOut: '1', transactionCheckInterval: '1500', transactionCheckMax: '1' })
    await sendHalf('m')
    await client.checks.next()
    const kept = await client.pull({ topic: 'TRANS_CHECK_MAX_TIME_TOPIC', suspendTimeoutMillis: '10000', sysFlag: '6' })
    const [record] = decodeRecords(kept.bodyBytes)
    expect((await resume(idOf(record))).code).toBe(0)
    const question = CheckTransactionStateRequest.decode((await client.checks.next()).extFields)
    const { commitLogOffset, tranStateTableOffset, msgId } = question
    expect([tranStateTableOffset, msgId]).toEqual([1, 'id-m'])
    const answer = EndTransactionRequest.encode({
      topic: undefined,
      producerGroup: 'pg',
      tranStateTableOffset,
      commitLogOffset,
      commitOrRollback: COMMIT,
      fromTransactionCheck: true,
      msgId,
      transactionId: msgId,
      brokerName: undefined,
    })
    expect((await client.call(RequestCode.END_TRANSACTION, answer)).code).toBe(0)
    expect(bodies(await recordsOf('T', '2'))).toEqual(['m'])
    expect((await resume(idOf(record))).code).toBe(1)
  })

  test('for one that is pending: it is asked at once', async () => {
    await begin({ transactionTimeOut: '1', transactionCheckInterval: '3600000' })
    const half = await sendHalf('m')
    const times = async () => getProperty(decodeRecord((await client.checks.next()).bodyBytes).properties, TIMES)
    expect(await times()).toBe('1')
    expect((await resume(half.extFields?.['msgId'] ?? '', 'RMQ_SYS_TRANS_HALF_TOPIC')).code).toBe(0)
    expect(await times()).toBe('1')
  })

  test('for none that has ended otherwise, and for nothing else', async () => {
    await begin()
    const half = await sendHalf('m')
    await end(half, COMMIT)
    const [committed] = await recordsOf('T', '2')
    for (const msgId of [half.extFields?.['msgId'] ?? '', idOf(committed), 'nonsense']) {
      const remark = `no half message ${msgId} is pending or was given up: one that was stands in TRANS_CHECK_MAX_TIME_TOPIC`
      expect(await resume(msgId)).toMatchObject({ code: 1, remark })
    }
    expect(await recordsOf('RMQ_SYS_TRANS_HALF_TOPIC', '0')).toHaveLength(1)
  })
})

test('rejectTransactionMessage refuses half messages and stores nothing', async () => {
  await begin({ rejectTransactionMessage: 'true' })
  expect(await sendHalf('m')).toMatchObject({ code: 16, remark: /transaction message is forbidden$/ })
  expect((await client.send('ordinary', { e: '2' })).code).toBe(0)
})
