/** What tools change of a group of three brokers is there under the next leader, and a follower does not contradict it. */
import { encodeSubscriptionGroup, decodeSubscriptionGroup, type ExtFields, RequestCode } from '@dledger-ts/remoting'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BrokerGroup } from './testing/broker-group.ts'
import { consumerData, subscriptionData, TestClient } from './testing/broker-fixture.ts'

let group: BrokerGroup
let clients: TestClient[]

beforeAll(async () => {
  group = await BrokerGroup.start()
  clients = group.brokers.map((broker) => new TestClient(broker.address))
}, 60_000)
afterAll(async () => {
  for (const client of clients) client.close()
  await group.close()
})

async function leaderAndFollower(): Promise<[TestClient, TestClient]> {
  const leader = group.brokers.indexOf(await group.leader())
  const follower = group.brokers.findIndex((broker, i) => i !== leader && broker.healthy())
  return [clients[leader] as TestClient, clients[follower] as TestClient]
}

test('settings, what is forbidden, and offsets are changed by any member and outlive the leader', async () => {
  const [first, follower] = await leaderAndFollower()
  const put = (text: string) =>
    follower.call(
      RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
      {},
      encodeSubscriptionGroup(decodeSubscriptionGroup(Buffer.from(text))),
    )
  for (const body of ['a', 'b', 'c']) expect((await first.send(body)).code).toBe(0)
  expect((await put('{"groupName":"g","retryMaxTimes":3}')).code).toBe(0)
  expect((await put('{"groupName":"off","consumeEnable":false}')).code).toBe(0)
  const forbidden = { group: 'g', topic: 'Secret', readable: 'false' }
  expect((await follower.call(RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN, forbidden)).code).toBe(0)
  for (const client of clients) {
    await client.heartbeat({ consumerDataSet: [consumerData('g', subscriptionData('T', '*', 1))] })
  }
  const offset = { consumerGroup: 'g', topic: 'T', queueId: '0' }
  await first.call(RequestCode.UPDATE_CONSUMER_OFFSET, { ...offset, commitOffset: '3' })
  const moved = { group: 'g', topic: 'T', timestamp: '0', isForce: 'true' }
  expect((await follower.call(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, moved)).code).toBe(0)

  await (await group.leader()).close()
  const [next] = await leaderAndFollower()
  const { bodyBytes } = await next.call(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG)
  expect(bodyBytes.toString()).toContain('"forbiddenTable":{"g":{"Secret":4}}')
  expect(bodyBytes.toString()).toContain('"retryMaxTimes":3')
  expect((await next.pull({ consumerGroup: 'off' })).code).toBe(16)
  await next.call(RequestCode.UPDATE_CONSUMER_OFFSET, { ...offset, commitOffset: '3' })
  expect((await next.call(RequestCode.QUERY_CONSUMER_OFFSET, offset)).extFields).toEqual({ offset: '0' })
  const own: ExtFields = { queueOffset: '3', sysFlag: '5', commitOffset: '3' }
  const told = await next.pull(own)
  expect([told.code, told.extFields?.['nextBeginOffset']]).toEqual([21, '0'])
  expect((await next.pull({ ...own, queueOffset: '0', sysFlag: '4' })).code).toBe(0)
  await next.call(RequestCode.UPDATE_CONSUMER_OFFSET, { ...offset, commitOffset: '2' })
  expect((await next.call(RequestCode.QUERY_CONSUMER_OFFSET, offset)).extFields).toEqual({ offset: '2' })
}, 60_000)

test('a consumer that pulls of a follower is told by the leader', async () => {
  const [leader, follower] = await leaderAndFollower()
  for (const client of clients) {
    const told = client.heartbeat({ consumerDataSet: [consumerData('far', subscriptionData('T', '*', 1))] })
    // One member is closed.
    await told.catch(() => undefined)
  }
  await leader.call(RequestCode.UPDATE_CONSUMER_OFFSET, {
    consumerGroup: 'far',
    topic: 'T',
    queueId: '0',
    commitOffset: '3',
  })
  const moved = { group: 'far', topic: 'T', timestamp: '0', isForce: 'true' }
  expect((await leader.call(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, moved)).code).toBe(0)
  const store = group.brokers[clients.indexOf(follower)]?.store
  while (store?.pendingReset('far', 'T', 0) === undefined) await new Promise((resolve) => setImmediate(resolve))
  const own: ExtFields = { consumerGroup: 'far', queueOffset: '3', sysFlag: '6', suspendTimeoutMillis: '20000' }
  const { code, extFields } = await follower.pull(own)
  expect([code, extFields?.['nextBeginOffset']]).toEqual([21, '0'])
  expect((await follower.pull({ ...own, queueOffset: '0' })).code).toBe(0)
  while (store.pendingReset('far', 'T', 0) !== undefined) await new Promise((resolve) => setImmediate(resolve))
}, 60_000)
