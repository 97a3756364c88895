/** Peeking: what a pop would find, again and again, until a pop takes it. */
import { decodeRecords } from '@dledger-ts/protocol'
import { type ExtFields, type RemotingCommand, RequestCode } from '@dledger-ts/remoting'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Fixture, startBroker, TestClient } from '../testing/broker-fixture.ts'
import { pop } from '../testing/pop-client.ts'

let fixture: Fixture
let client: TestClient

beforeAll(async () => {
  fixture = await startBroker()
  client = new TestClient(fixture.broker.address)
  for (const body of ['a', 'b', 'c']) expect((await client.send(body)).code).toBe(0)
})

afterAll(async () => {
  client.close()
  await fixture.close()
})

function peek(extFields: ExtFields = {}): Promise<RemotingCommand> {
  const fields = { consumerGroup: 'g', topic: 'T', queueId: '0', maxMsgNums: '32', ...extFields }
  return client.call(RequestCode.PEEK_MESSAGE, fields)
}

function bodiesOf(answer: RemotingCommand): string[] {
  return decodeRecords(answer.bodyBytes).map(({ body }) => body.toString())
}

describe('a peek', () => {
  test('shows what is next, as often as one likes, and how much there is', async () => {
    for (const queueId of ['0', '-1', '0']) {
      const answer = await peek({ maxMsgNums: '2', queueId })
      expect([answer.code, answer.remark, bodiesOf(answer)]).toEqual([0, 'FOUND', ['a', 'b']])
      expect(answer.extFields).toMatchObject({ restNum: '3', popTime: '0', invisibleTime: '0', reviveQid: '0' })
    }
    // No group begins by it.
    expect(fixture.broker.store?.consumerOffset('g', 'T', 0)).toBeUndefined()
  })

  test('goes on behind what a pop took', async () => {
    expect((await pop(client, { consumerGroup: 'taker', maxMsgNums: '1' })).messages.map(({ body }) => body)).toEqual([
      'a',
    ])
    const answer = await peek({ consumerGroup: 'taker' })
    expect([bodiesOf(answer), answer.extFields?.['restNum']]).toEqual([['b', 'c'], '2'])
  })

  test('shows nothing where nothing is: 19', async () => {
    const answer = await peek({ queueId: '3' })
    expect([answer.code, answer.remark, answer.extFields?.['restNum']]).toEqual([19, 'NO_MESSAGE_IN_QUEUE', '0'])
  })

  test.each([
    { name: 'an unknown topic', ext: { topic: 'Nowhere' }, code: 17 },
    { name: 'a queue that is not there', ext: { queueId: '4' }, code: 29 },
    { name: 'a group that cannot be', ext: { consumerGroup: 'no such/group' }, code: 26 },
  ])('is refused for $name: $code', async ({ ext, code }) => {
    expect((await peek(ext as ExtFields)).code).toBe(code)
  })
})
