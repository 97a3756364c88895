/** Request-reply: who asked is told, by whichever connection it is known. */
import { encodeProperties, getProperty } from '@dledger-ts/protocol'
import { type ExtFields, PushReplyMessageRequest, RequestCode, type RemotingCommand } from '@dledger-ts/remoting'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Fixture, sendFields, startBroker, TestClient } from '../testing/broker-fixture.ts'
import { WAITING_BYTES_MAX } from './registry.ts'

const REPLY_TOPIC = 'C_REPLY_TOPIC'

let fixture: Fixture
let requester: TestClient
let replier: TestClient

beforeEach(async () => {
  fixture = await startBroker()
  requester = new TestClient(fixture.broker.address)
  replier = new TestClient(fixture.broker.address)
})
afterEach(async () => {
  requester.close()
  replier.close()
  await fixture.close()
})

const asked = {
  UNIQ_KEY: 'Q1',
  CORRELATION_ID: '4711',
  REPLY_TO_CLIENT: 'asker',
  TTL: '3000',
}

function properties(of: Record<string, string>): string {
  return encodeProperties(Object.entries(of))
}

function reply(fields: ExtFields = {}): Promise<RemotingCommand> {
  const sent = { b: REPLY_TOPIC, i: properties({ ...asked, UNIQ_KEY: 'R1', MSG_TYPE: 'reply' }), ...fields }
  return replier.send('the answer', sent, RequestCode.SEND_REPLY_MESSAGE_V2)
}

function heartbeat(client: TestClient): Promise<RemotingCommand> {
  return client.heartbeat({ clientID: 'asker', producerDataSet: [{ groupName: 'askers' }] })
}

function newestOf(topic: string): number {
  return fixture.broker.store?.maxOffset(topic, 0) ?? -1
}

describe('an answer to a request', () => {
  it('goes to the producer with that client id, and into the log', async () => {
    await heartbeat(requester)
    const answer = await reply()
    expect(answer).toMatchObject({
      code: 0,
      extFields: { queueId: '0', queueOffset: '0', MSG_REGION: 'DefaultRegion' },
    })
    const push = await requester.replies.next()
    expect(push.bodyBytes.toString()).toBe('the answer')
    const header = PushReplyMessageRequest.decode(push.extFields)
    expect(header).toMatchObject({ producerGroup: 'pg', topic: REPLY_TOPIC, sysFlag: 0, flag: 0, queueId: 0 })
    expect(header.bornHost).toMatch(/^127\.0\.0\.1:\d+$/)
    expect(header.storeHost).toBe(fixture.broker.address)
    expect(header.properties).toContain('CORRELATION_ID\u00014711\u0002')
    expect(getProperty(header.properties ?? '', 'PUSH_REPLY_TIME')).toMatch(/^\d{13}$/)
    expect(newestOf(REPLY_TOPIC)).toBe(1)
  })

  it('is taken under the long field names of Go clients, too', async () => {
    await heartbeat(requester)
    const { b: _, ...short } = sendFields()
    const long: ExtFields = {
      producerGroup: 'pg',
      topic: REPLY_TOPIC,
      queueId: '0',
      sysFlag: '0',
      bornTimestamp: short['g'] as string,
      flag: '0',
      reconsumeTimes: '0',
      unitMode: 'false',
      maxReconsumeTimes: '0',
      defaultTopic: 'TBW102',
      defaultTopicQueueNums: '4',
      batch: 'false',
      properties: properties({ ...asked, MSG_TYPE: 'reply' }),
    }
    const answer = await replier.call(RequestCode.SEND_REPLY_MESSAGE, long, Buffer.from('from Go'))
    expect(answer.code).toBe(0)
    expect((await requester.replies.next()).bodyBytes.toString()).toBe('from Go')
  })

  it('finds who asked by its request, when its heartbeat has not come yet', async () => {
    expect((await requester.send('question', { i: properties(asked) })).code).toBe(0)
    expect((await reply()).code).toBe(0)
    expect((await requester.replies.next()).bodyBytes.toString()).toBe('the answer')
  })

  it('does not go to who passes on the requests of a client that is known', async () => {
    await heartbeat(requester)
    await replier.send('a copy', { i: properties(asked) })
    await reply()
    expect((await requester.replies.next()).bodyBytes.toString()).toBe('the answer')
  })

  it('does not go to a consumer that publishes the request again for a retry', async () => {
    await replier.send('again', { b: '%RETRY%g', i: properties(asked), j: '1' })
    expect((await reply()).remark).toBe('push reply message fail, channel of <asker> not found.')
  })

  it('is refused with 1 when nobody is known by that client id, or none is named; it is stored all the same', async () => {
    expect(await reply()).toMatchObject({
      code: 1,
      remark: 'push reply message fail, channel of <asker> not found.',
      extFields: { MSG_REGION: 'DefaultRegion', TRACE_ON: 'true' },
    })
    expect(await reply({ i: properties({ MSG_TYPE: 'reply' }) })).toMatchObject({
      code: 1,
      remark: 'reply message properties[REPLY_TO_CLIENT] is null',
    })
    expect(newestOf(REPLY_TOPIC)).toBe(2)
  })

  it('is answered with 1 when the client that asked does not take it', async () => {
    await heartbeat(requester)
    requester.replyCode = 1
    expect(await reply()).toMatchObject({ code: 1, remark: 'push reply message to asker fail.' })
  })

  it('that nobody takes keeps no send waiting: answers are bounded by themselves', async () => {
    await heartbeat(requester)
    requester.answersReplies = false
    const body = Buffer.alloc(4 * 1024 * 1024)
    const fields = { ...sendFields(), b: REPLY_TOPIC, i: properties({ ...asked, MSG_TYPE: 'reply' }) }
    // Their headers count as well.
    const count = WAITING_BYTES_MAX / body.length - 1
    for (let i = 0; i < count; i++) replier.oneway(RequestCode.SEND_REPLY_MESSAGE_V2, fields, body)
    for (let i = 0; i < count; i++) await requester.replies.next()
    expect((await replier.call(RequestCode.SEND_REPLY_MESSAGE_V2, fields, body)).code).toBe(2)
    expect((await replier.send('a message')).code).toBe(0)
  })

  it('is refused like any message to a topic that is not there, before it is pushed', async () => {
    await heartbeat(requester)
    expect((await reply({ b: 'no/topic' })).code).toBe(29)
    expect(requester.replies.size).toBe(0)
  })
})

describe('with storeReplyMessageEnable=false an answer', () => {
  it('is pushed and not stored', async () => {
    await fixture.close()
    fixture = await startBroker({ storeReplyMessageEnable: 'false' })
    requester.close()
    replier.close()
    requester = new TestClient(fixture.broker.address)
    replier = new TestClient(fixture.broker.address)
    await heartbeat(requester)
    expect(await reply()).toMatchObject({ code: 0, extFields: { msgId: '0', queueId: '0', queueOffset: '0' } })
    expect(newestOf(REPLY_TOPIC)).toBe(0)
  })
})
