/** Pops in a group of three: through a member that does not lead, and when another one leads. */
import { RequestCode } from '@dledger-ts/remoting'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Broker } from '../broker.ts'
import { TestClient } from '../testing/broker-fixture.ts'
import { BrokerGroup } from '../testing/broker-group.ts'
import { OwnTopics } from '../testing/own-topics.ts'
import { ack, naming, pop, type PoppedRecord } from '../testing/pop-client.ts'

let group: BrokerGroup
const clients: TestClient[] = []

beforeEach(async () => {
  group = await BrokerGroup.start()
}, 60_000)
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await group.close()
}, 60_000)

function clientOf(broker: Broker | undefined): TestClient {
  const client = new TestClient((broker as Broker).address)
  clients.push(client)
  return client
}

test('a member that does not lead passes everything on, and a pop that waits there is told "nothing" soon', async () => {
  const leader = await group.leader()
  const follower = clientOf(group.brokers.find((broker) => broker !== leader))
  const topics = new OwnTopics(clientOf(leader), 'Group')
  const topic = await topics.with(['a', 'b'])
  const { messages } = await pop(follower, { topic })
  expect(messages.map(({ body }) => body)).toEqual(['a', 'b'])
  expect(await ack(follower, messages[0] as PoppedRecord)).toBe(0)
  const change = { ...naming(messages[1] as PoppedRecord), invisibleTime: '10' }
  expect((await follower.call(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, change)).code).toBe(0)
  await expect.poll(async () => (await pop(follower, { topic })).messages.map(({ body }) => body)).toEqual(['b'])
  const startMs = performance.now()
  expect((await pop(follower, { topic, pollTime: '20000' })).code).toBe(210)
  expect(performance.now() - startMs).toBeLessThan(10_000)
}, 60_000)

test('the next leader has what is in flight, what is acknowledged, and who waits', async () => {
  const first = await group.leader()
  const topics = new OwnTopics(clientOf(first), 'Group')
  const topic = await topics.with(['a', 'b', 'c', 'd'])
  const ordered = await topics.with(['x', 'y', 'z'])
  const client = clientOf(first)
  const { messages } = await pop(client, { topic, maxMsgNums: '3', invisibleTime: '1500' })
  expect(await ack(client, messages[1] as PoppedRecord)).toBe(0)
  const inOrder = await pop(client, { topic: ordered, order: 'true', queueId: '0', maxMsgNums: '2' })
  expect(await ack(client, inOrder.messages[1] as PoppedRecord)).toBe(0)
  const other = await topics.with([])
  const waiting = pop(client, { topic: other, pollTime: '20000' })
  await expect
    .poll(async () => {
      const info = { consumerGroup: 'g', topic: other, queueId: '-1' }
      return (await client.call(RequestCode.POLLING_INFO, info)).extFields
    })
    .toEqual({ pollingNum: '1' })

  expect(await first.store?.transferLeadership()).toBe(true)
  const second = await group.leader()
  expect(second).not.toBe(first)
  // It was passed on, and waits there no longer than one that is.
  expect((await waiting).code).toBe(210)
  const next = clientOf(second)
  expect((await pop(next, { topic })).messages.map(({ body }) => body)).toEqual(['d'])
  const again: string[] = []
  await expect
    .poll(
      async () => {
        for (const message of (await pop(next, { topic, pollTime: '5000' })).messages) again.push(message.body)
        return [...again].sort()
      },
      { timeout: 20_000 },
    )
    .toEqual(['a', 'c'])
  expect((await pop(next, { topic: ordered, order: 'true', queueId: '0' })).code).toBe(210)
  expect(await ack(next, inOrder.messages[0] as PoppedRecord)).toBe(0)
  const rest = await pop(next, { topic: ordered, order: 'true', queueId: '0' })
  expect(rest.messages.map(({ body }) => body)).toEqual(['z'])
}, 60_000)
