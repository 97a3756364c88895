/** `duplicateSendWindowMs` as clients see it: by codes 10, 310 and 320, and what is never taken for a repetition. */
import { encodeBatchBody, getProperty, recordProperties } from '@dledger-ts/protocol'
import { createRequest, RemotingClient, type RemotingCommand, RequestCode } from '@dledger-ts/remoting'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Fixture, sendFields, startBroker, TestClient } from './testing/broker-fixture.ts'

let fixture: Fixture
let client: TestClient
beforeAll(async () => {
  fixture = await startBroker({ duplicateSendWindowMs: '600000' })
  client = new TestClient(fixture.broker.address)
})
afterAll(async () => {
  client.close()
  await fixture.close()
})

const withId = (id: string): string => `UNIQ_KEY\u0001${id}\u0002`
const place = ({ code, extFields }: RemotingCommand) => [
  code,
  extFields?.['msgId'],
  extFields?.['queueId'],
  extFields?.['queueOffset'],
]
const count = (topic: string): number => {
  const { store } = fixture.broker
  return [0, 1, 2, 3].reduce((sum, queueId) => sum + (store?.maxOffset(topic, queueId) ?? 0), 0)
}

describe('a repeated send', () => {
  test('is answered with ids and queue of the first, by whichever code and to whichever queue it comes', async () => {
    const first = await client.send('x', { b: 'Once', e: '1', i: withId('A') })
    expect(first.code).toBe(0)
    expect(place(await client.send('x', { b: 'Once', e: '2', i: withId('A') }))).toEqual(place(first))
    const { a, c, d, g, h } = sendFields()
    const longHeader = {
      producerGroup: a ?? '',
      topic: 'Once',
      defaultTopic: c ?? '',
      defaultTopicQueueNums: d ?? '',
      queueId: '0',
      sysFlag: '0',
      bornTimestamp: g ?? '',
      flag: h ?? '',
      properties: withId('A'),
    }
    expect(place(await client.call(RequestCode.SEND_MESSAGE, longHeader, Buffer.from('x')))).toEqual(place(first))
    expect(count('Once')).toBe(1)
    const other = await client.send('x', { b: 'Once', e: '1', i: withId('B') })
    expect(other.extFields?.['queueOffset']).toBe('1')
  })

  test('is recognised though the answer of the first was never read', async () => {
    const impatient = new RemotingClient({ processors: new Map() })
    const request = createRequest(
      RequestCode.SEND_MESSAGE_V2,
      { ...sendFields(), b: 'Lost', i: withId('A') },
      Buffer.from('x'),
    )
    impatient.oneway(fixture.broker.address, request)
    while (count('Lost') === 0) await new Promise((resolve) => setImmediate(resolve))
    impatient.close()
    const again = await client.send('x', { b: 'Lost', i: withId('A') })
    expect(place(again).slice(2)).toEqual(['0', '0'])
    expect(again.code).toBe(0)
    expect(count('Lost')).toBe(1)
  })

  test('at the same time as the first is answered alike', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => client.send('x', { b: 'Race', i: withId('A') })))
    expect(new Set(answers.map((answer) => JSON.stringify(place(answer)))).size).toBe(1)
    expect(count('Race')).toBe(1)
  })

  test('of a batch is known message by message', async () => {
    const batchOf = (...ids: string[]): Promise<RemotingCommand> => {
      const body = encodeBatchBody(ids.map((id) => ({ flag: 0, body: Buffer.from(id), properties: withId(id) })))
      return client.call(RequestCode.SEND_BATCH_MESSAGE, { ...sendFields(), b: 'Batch', m: 'true', i: '' }, body)
    }
    const first = await batchOf('A', 'B')
    const again = await batchOf('A', 'B', 'C')
    const ids = (answer: RemotingCommand): string[] => answer.extFields?.['msgId']?.split(',') ?? []
    expect(ids(again)).toHaveLength(3)
    expect(ids(again).slice(0, 2)).toEqual(ids(first))
    expect(count('Batch')).toBe(3)
    expect((await client.send('x', { b: 'Batch', i: withId('B') })).extFields?.['msgId']).toBe(ids(first)[1])
  })

  test('of a delayed message names the queue it was sent to', async () => {
    const delayed = { b: 'Later', e: '2', i: `${withId('A')}DELAY\u000118\u0002` }
    const first = await client.send('x', delayed)
    expect(place(first)[2]).toBe('2')
    expect(place(await client.send('x', delayed))).toEqual(place(first))
  })
})

describe('never taken for a repetition', () => {
  test('is a message to a retry topic, also when it goes to the dead letters', async () => {
    for (const [topic, times] of [
      ['%RETRY%rg', '1'],
      ['%DLQ%rg', '17'],
    ] as const) {
      for (let i = 0; i < 2; i++) {
        expect((await client.send('x', { b: '%RETRY%rg', e: '0', j: times, i: withId('A') })).code).toBe(0)
      }
      expect(count(topic)).toBe(2)
    }
  })

  test('is a message that is sent back twice', async () => {
    const sent = await client.send('x', { b: 'Back', i: withId('A') })
    const stored = await fixture.broker.store?.messageAt(
      Number.parseInt((sent.extFields?.['msgId'] ?? '').slice(16), 16),
    )
    expect(getProperty(recordProperties(stored ?? Buffer.alloc(0)), 'UNIQ_KEY')).toBe('A')
    const back = {
      offset: String(Number.parseInt((sent.extFields?.['msgId'] ?? '').slice(16), 16)),
      group: 'bg',
      delayLevel: '1',
    }
    for (let i = 0; i < 2; i++) expect((await client.call(RequestCode.CONSUMER_SEND_MSG_BACK, back)).code).toBe(0)
    for (const queueOffset of ['0', '1']) {
      const held = { topic: '%RETRY%bg', queueOffset, sysFlag: '6', suspendTimeoutMillis: '10000' }
      expect((await client.pull(held)).code).toBe(0)
    }
    expect(count('%RETRY%bg')).toBe(2)
  })
})

test('by default every send is stored', async () => {
  const plain = await startBroker()
  const own = new TestClient(plain.broker.address)
  const answers = [await own.send('x', { i: withId('A') }), await own.send('x', { i: withId('A') })]
  expect(answers.map((answer) => answer.extFields?.['queueOffset'])).toEqual(['0', '1'])
  own.close()
  await plain.close()
})
