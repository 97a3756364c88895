/** What tools want of a client comes to it through the broker, and its answer back as it is. */
import {
  createResponse,
  encodeConsumerStatus,
  encodeResetOffsets,
  type ExtFields,
  OUR_VERSION,
  type RemotingCommand,
  RemotingError,
  RequestCode,
} from '@dledger-ts/remoting'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { BrokerContext } from '../context.ts'
import { consumerData, type Fixture, startBroker, subscriptionData, TestClient } from '../testing/broker-fixture.ts'
import { OwnTopics } from '../testing/own-topics.ts'
import { clientRelayProcessors, RELAY_TIMEOUT_MS } from './client-relay.ts'

let fixture: Fixture
let tool: TestClient
let consumer: TestClient

beforeAll(async () => {
  fixture = await startBroker()
  tool = new TestClient(fixture.broker.address)
  await new OwnTopics(tool, 'Relay').with(['one'])
})
afterAll(async () => {
  tool.close()
  await fixture.close()
})
beforeEach(() => {
  consumer = new TestClient(fixture.broker.address)
})
afterEach(() => consumer.close())

const CLIENT = 'c1'
const comes = (client = consumer, clientID = CLIENT) =>
  client.heartbeat({ clientID, consumerDataSet: [consumerData('g', subscriptionData('Relay0', '*', 1))] })
const runningInfo = (ext: ExtFields = {}) =>
  tool.call(RequestCode.GET_CONSUMER_RUNNING_INFO, {
    consumerGroup: 'g',
    clientId: CLIENT,
    jstackEnable: 'true',
    ...ext,
  })
const summary = ({ code, remark, bodyBytes }: RemotingCommand) => [code, remark, bodyBytes.toString()]

describe('the state of a client', () => {
  test('comes back as the client says it, byte for byte', async () => {
    await comes()
    const body = '{"mqTable":{{"brokerName":"b","queueId":0,"topic":"T"}:{"commitOffset":7}},0:1}'
    consumer.answerWanted = () => createResponse(0, undefined, { own: 'yes' }, Buffer.from(body))
    const answer = await runningInfo()
    expect([summary(answer), answer.extFields]).toEqual([[0, undefined, body], { own: 'yes' }])
    const wanted = await consumer.wanted.next()
    expect([wanted.code, wanted.extFields]).toEqual([
      307,
      { consumerGroup: 'g', clientId: CLIENT, jstackEnable: 'true' },
    ])
  })

  test('is asked without what says who asks', async () => {
    await comes()
    consumer.answerWanted = () => createResponse(0)
    const signed = { AccessKey: 'a', Signature: 's', SecurityToken: 't' }
    await runningInfo({ ...signed, __FORWARD_MARK: 'm', __FORWARD_BORN_HOST: '10.0.0.1:1' })
    const { extFields } = await consumer.wanted.next()
    expect(extFields).toEqual({ consumerGroup: 'g', clientId: CLIENT, jstackEnable: 'true' })
  })

  test('is refused in the words of the client', async () => {
    await comes()
    consumer.answerWanted = () => createResponse(1, 'The Consumer Group <g> not exist in this consumer')
    expect(summary(await runningInfo())).toEqual([1, 'The Consumer Group <g> not exist in this consumer', ''])
  })

  test('of one that is not online, or too old: 1', async () => {
    expect(summary(await runningInfo())).toEqual([1, 'The Consumer <g> <c1> not online', ''])
    const old = new TestClient(fixture.broker.address, 61)
    await comes(old, 'old')
    const { code, remark } = await runningInfo({ clientId: 'old' })
    expect([code, remark]).toEqual([1, expect.stringContaining('Version <61> too low to finish')])
    old.close()
  })

  test('of one that goes meanwhile: 1', async () => {
    await comes()
    const asked = runningInfo()
    await consumer.wanted.next()
    consumer.close()
    const { code, remark } = await asked
    expect([code, remark]).toEqual([1, expect.stringContaining('invoke consumer <g> <c1> Exception')])
  })

  test('of one that says nothing: 207 after ten seconds', async () => {
    const waited: number[] = []
    const channel = {
      invoke: (_request: RemotingCommand, timeoutMs: number) => {
        waited.push(timeoutMs)
        const detail = { code: 'TIMEOUT', address: 'a', timeoutMs } as const
        return Promise.reject(new RemotingError('no answer', detail))
      },
    }
    const member = { clientId: CLIENT, version: OUR_VERSION, channel }
    const context = { consumers: { group: () => ({ find: () => member }) } } as unknown as BrokerContext
    const processors = new Map(clientRelayProcessors(context))
    const request = { code: 307, extFields: { consumerGroup: 'g', clientId: CLIENT }, bodyBytes: Buffer.alloc(0) }
    const handle = processors.get(RequestCode.GET_CONSUMER_RUNNING_INFO)?.handle
    const answer = await (handle?.({} as never, request as unknown as RemotingCommand) as Promise<RemotingCommand>)
    expect(summary(answer)).toEqual([207, 'consumer <g> <c1> Timeout: no answer', ''])
    expect(waited).toEqual([RELAY_TIMEOUT_MS])
  })
})

describe('a message that a client is to consume', () => {
  const consume = (ext: ExtFields) =>
    tool.call(RequestCode.CONSUME_MESSAGE_DIRECTLY, { consumerGroup: 'g', clientId: CLIENT, brokerName: 'x', ...ext })

  test('goes to it whole, and what became of it comes back', async () => {
    const sent = await tool.send('directly', { b: 'Relay0' })
    const msgId = sent.extFields?.['msgId'] as string
    const physicalOffset = Number.parseInt(msgId.slice(16), 16)
    await comes()
    const body = '{"autoCommit":true,"consumeResult":"CR_SUCCESS","order":false,"spentTimeMills":3}'
    consumer.answerWanted = () => createResponse(0, undefined, undefined, Buffer.from(body))
    expect(summary(await consume({ msgId, topic: 'Relay0' }))).toEqual([0, undefined, body])
    const wanted = await consumer.wanted.next()
    const record = await fixture.broker.store?.messageAt(physicalOffset)
    expect([wanted.code, wanted.bodyBytes]).toEqual([309, record])
    expect(wanted.extFields).toMatchObject({
      brokerName: 'b',
      topicSysFlag: '0',
      groupSysFlag: '0',
      msgId,
      topic: 'Relay0',
    })
  })

  test.each([['no id'], ['7F00000100002A9F00000000FFFFFFFF']])('and is not there (%s): 1', async (msgId) => {
    await comes()
    const { code, remark } = await consume({ msgId })
    expect([code, remark]).toEqual([1, `can not find the message ${msgId}`])
  })
})

describe('where the clients of a group stand', () => {
  const status = (ext: ExtFields = {}) =>
    tool.call(RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, { group: 'g', topic: 'Relay0', ...ext })
  const queue = { brokerName: 'b', queueId: 0, topic: 'Relay0' }

  test('is asked of each, or of one', async () => {
    const second = new TestClient(fixture.broker.address)
    await comes()
    await comes(second, 'c2')
    const table = encodeResetOffsets([[queue, 5]])
      .toString()
      .replace('offsetTable', 'messageQueueTable')
    consumer.answerWanted = () => createResponse(0, undefined, undefined, Buffer.from(table))
    second.answerWanted = () => createResponse(0, undefined, undefined, Buffer.from('{"messageQueueTable":{}}'))
    const both = new Map([
      [CLIENT, [[queue, 5] as const]],
      ['c2', []],
    ])
    expect(summary(await status())).toEqual([0, undefined, encodeConsumerStatus(both).toString()])
    const wanted = await consumer.wanted.next()
    expect([wanted.code, wanted.extFields]).toEqual([221, { group: 'g', topic: 'Relay0' }])
    const one = new Map([[CLIENT, [[queue, 5] as const]]])
    expect(summary(await status({ clientAddr: CLIENT }))).toEqual([0, undefined, encodeConsumerStatus(one).toString()])
    second.close()
  })

  test('leaves out one that does not say', async () => {
    await comes()
    consumer.answerWanted = () => createResponse(1, 'no')
    expect(summary(await status())).toEqual([0, undefined, '{"consumerTable":{},"messageQueueTable":{}}'])
  })

  test('of nobody, or of one that is too old: 1', async () => {
    expect(summary(await status({ group: 'none' }))).toEqual([
      1,
      'No Any Consumer online in the consumer group: [none]',
      '',
    ])
    const old = new TestClient(fixture.broker.address, 27)
    await comes(old, 'old')
    expect(summary(await status())).toEqual([1, 'the client does not support this feature. version=27', ''])
    old.close()
  })
})
