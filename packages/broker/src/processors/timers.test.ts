/** Messages that are delayed by any time, through the broker: what is taken, what is refused with what code, and recall. */
import { decodeRecords, getProperty, type MessageRecord, parseOffsetMsgId } from '@dledger-ts/protocol'
import { type RemotingCommand, RequestCode } from '@dledger-ts/remoting'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { decodeRecallHandle, encodeRecallHandle } from '../recall-handle.ts'
import { Broker } from '../broker.ts'
import { brokerConfig, type Fixture, startBroker, TestClient } from '../testing/broker-fixture.ts'

const DAY_MS = 86_400_000

let fixture: Fixture
let client: TestClient
const closers: (() => Promise<void> | void)[] = []

async function begin(keys: Record<string, string> = {}): Promise<void> {
  fixture = await startBroker({ recallMessageEnable: 'true', ...keys })
  closers.push(() => fixture.close())
  client = new TestClient(fixture.broker.address)
  closers.push(() => client.close())
}

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

let count = 0

function sendTimer(more: string): Promise<RemotingCommand> {
  return client.send('m', { i: `UNIQ_KEY\u0001id${count++}\u0002${more}` })
}

function recall(recallHandle: string, topic = 'T'): Promise<RemotingCommand> {
  return client.call(RequestCode.RECALL_MESSAGE, { producerGroup: 'pg', topic, recallHandle, bname: 'b' })
}

function handleOf(sent: RemotingCommand): string {
  const handle = sent.extFields?.['recallHandle']
  if (handle === undefined) throw new Error(`no handle: ${sent.remark}`)
  return handle
}

/** Waits for the next message of topic T. */
async function nextMessage(queueOffset = '0'): Promise<MessageRecord | undefined> {
  const pulled = await client.pull({ queueOffset, suspendTimeoutMillis: '15000', sysFlag: '6' })
  return decodeRecords(pulled.bodyBytes)[0]
}

describe('a send', () => {
  beforeEach(() => begin())

  test.each([
    ['TIMER_DELAY_MS', () => '500', 500],
    ['TIMER_DELAY_SEC', () => '1', 1_000],
    ['TIMER_DELIVER_MS', () => String(Date.now() + 500), 500],
  ])('with %s comes at its time, to its own queue', async (name, value, delayMs) => {
    const sentMs = Date.now()
    const sent = await sendTimer(`${name}\u0001${value()}\u0002`)
    expect(sent.extFields).toMatchObject({ queueId: '0' })
    const handle = decodeRecallHandle(handleOf(sent))
    expect(handle).toMatchObject({ topic: 'T', brokerName: 'b', uniqKey: sent.extFields?.['transactionId'] })
    const record = await nextMessage()
    expect(Date.now() - sentMs).toBeGreaterThanOrEqual(delayMs)
    expect([record?.topic, record?.queueId, record?.body.toString()]).toEqual(['T', 0, 'm'])
    expect(getProperty(record?.properties ?? '', 'TIMER_OUT_MS')).toBe(String((handle?.deliverMs ?? 0) - 1))
  })

  test.each([
    ['a time that has passed', `TIMER_DELIVER_MS\u0001${Date.now() - 1_000}\u0002`],
    ['no delay', 'k\u0001v\u0002'],
  ])('with %s is there at once and has no handle', async (_, more) => {
    const sent = await sendTimer(more)
    expect(sent).toMatchObject({ code: 0 })
    expect(sent.extFields?.['recallHandle']).toBeUndefined()
    expect((await nextMessage())?.body.toString()).toBe('m')
  })

  test('with a delay level, too, waits for the level, and has no handle', async () => {
    const sent = await sendTimer(`DELAY\u00011\u0002TIMER_DELAY_MS\u0001${DAY_MS}\u0002`)
    expect(sent.extFields?.['recallHandle']).toBeUndefined()
    const properties = (await nextMessage())?.properties ?? ''
    expect([getProperty(properties, 'DELAY'), getProperty(properties, 'TIMER_DELAY_MS')]).toEqual(['1', undefined])
  })

  test.each([
    ['more than timerMaxDelaySec', `TIMER_DELAY_MS\u0001${3 * DAY_MS + 60_000}\u0002`],
    ['more than that, as a time', `TIMER_DELIVER_MS\u0001${Date.now() + 4 * DAY_MS}\u0002`],
    ['what is no number', 'TIMER_DELAY_SEC\u0001soon\u0002'],
    ['the wish to delete another timer', `TIMER_DELAY_SEC\u00019\u0002TIMER_DEL_UNIQKEY\u0001T_id\u0002`],
  ])('with %s is refused with 13', async (_, more) => {
    expect(await sendTimer(more)).toMatchObject({ code: 13 })
  })

  test('of a half message waits from its commit on', async () => {
    const half = await client.send('m', {
      f: '4',
      i: 'TRAN_MSG\u0001true\u0002PGROUP\u0001pg\u0002UNIQ_KEY\u0001h\u0002TIMER_DELAY_MS\u0001500\u0002',
    })
    expect([half.code, half.extFields?.['recallHandle']]).toEqual([0, undefined])
    const commitMs = Date.now()
    const commit = await client.call(RequestCode.END_TRANSACTION, {
      producerGroup: 'pg',
      tranStateTableOffset: half.extFields?.['queueOffset'] ?? '',
      commitLogOffset: String(parseOffsetMsgId(half.extFields?.['msgId'] ?? '').physicalOffset),
      commitOrRollback: '8',
      msgId: 'h',
    })
    expect(commit.code).toBe(0)
    expect((await nextMessage())?.body.toString()).toBe('m')
    expect(Date.now() - commitMs).toBeGreaterThanOrEqual(500)
    const tooLong = await client.send('m', {
      f: '4',
      i: `TRAN_MSG\u0001true\u0002PGROUP\u0001pg\u0002TIMER_DELAY_MS\u0001${4 * DAY_MS}\u0002`,
    })
    expect(tooLong.code).toBe(13)
  })
})

test('timerWheelEnable=false refuses messages that are delayed by any time with 1', async () => {
  await begin({ timerWheelEnable: 'false' })
  const sent = await sendTimer('TIMER_DELAY_SEC\u00011\u0002')
  expect(sent).toMatchObject({ code: 1, remark: 'accurate timer message is not enabled, timerWheelEnable is false' })
})

describe('recall', () => {
  test('calls a message back that waits, once; it never comes', async () => {
    await begin()
    const sent = await sendTimer('TIMER_DELAY_MS\u0001600\u0002')
    const later = await sendTimer('TIMER_DELAY_MS\u0001900\u0002')
    const answer = await recall(handleOf(sent))
    expect(answer).toMatchObject({ code: 0, extFields: { msgId: 'id' + (count - 2), MSG_REGION: 'DefaultRegion' } })
    expect(await recall(handleOf(sent))).toMatchObject({
      code: 604,
      remark: 'recall failed, no such message waits for its time',
    })
    expect(getProperty((await nextMessage())?.properties ?? '', 'UNIQ_KEY')).toBe(later.extFields?.['transactionId'])
    expect(await recall(handleOf(later))).toMatchObject({ code: 604, remark: 'recall failed, timestamp invalid' })
  })

  const far = { topic: 'T', brokerName: 'b', deliverMs: Date.now() + DAY_MS, uniqKey: 'nobody' }
  test.each([
    [
      'an unknown topic',
      () => recall(encodeRecallHandle({ ...far, topic: 'Nope' }), 'Nope'),
      17,
      /topic\[Nope\] not exist$/,
    ],
    ['what is no handle', () => recall('***'), 604, /^recall handle is invalid$/],
    ['a handle of another topic', () => recall(encodeRecallHandle({ ...far, topic: 'U' })), 604, /topic not match$/],
    [
      'a handle of another broker',
      () => recall(encodeRecallHandle({ ...far, brokerName: 'x' })),
      604,
      /service not available$/,
    ],
    [
      'a time beyond all timers',
      () => recall(encodeRecallHandle({ ...far, deliverMs: Date.now() + 4 * DAY_MS })),
      604,
      /timestamp invalid$/,
    ],
    [
      'a time that is no number',
      () => recall(encodeRecallHandle({ ...far, deliverMs: Number.NaN })),
      604,
      /timestamp invalid$/,
    ],
    ['a message that nobody sent', () => recall(encodeRecallHandle(far)), 604, /no such message waits for its time$/],
  ])('of %s is refused', async (_, ask, code, remark) => {
    await begin()
    await client.send('makes the topic')
    const answer = await ask()
    expect(answer.code).toBe(code)
    expect(answer.remark).toMatch(remark)
    expect(answer.extFields).toMatchObject({ MSG_REGION: 'DefaultRegion' })
  })

  test('is off by default, as in Apache', async () => {
    await begin({ recallMessageEnable: 'false' })
    const sent = await sendTimer('TIMER_DELAY_SEC\u000160\u0002')
    expect(await recall(handleOf(sent))).toMatchObject({ code: 16, remark: 'recall failed, operation is forbidden' })
  })

  test.each([
    ['true', 0],
    ['false', 14],
  ])('at a broker that takes no messages, allowRecallWhenBrokerNotWriteable=%s: %i', async (allowed, code) => {
    await begin()
    const handle = handleOf(await sendTimer('TIMER_DELAY_SEC\u000160\u0002'))
    const { directory } = fixture
    await fixture.broker.close()
    client.close()
    const keys = { recallMessageEnable: 'true', brokerPermission: '4', allowRecallWhenBrokerNotWriteable: allowed }
    const broker = new Broker(brokerConfig(directory, keys))
    closers.push(() => broker.close())
    await broker.start()
    await broker.store?.whenSettled()
    client = new TestClient(broker.address)
    expect((await recall(handle)).code).toBe(code)
    client.close()
  })
})
