/** Pulls: every refusal with its code, the offsets in every answer, filters, and long polling. */
import { assert } from '@dledger-ts/base'
import { decodeRecords } from '@dledger-ts/protocol'
import { type ExtFields, RequestCode } from '@dledger-ts/remoting'
import { defaultSubscriptionGroupConfig, type GetRequest } from '@dledger-ts/store'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  consumerData,
  type Fixture,
  pullFields,
  startBroker,
  subscriptionData,
  TestClient,
} from '../testing/broker-fixture.ts'

let fixture: Fixture
let client: TestClient

beforeAll(async () => {
  fixture = await startBroker()
  client = new TestClient(fixture.broker.address)
  for (const [tag, i] of ['A', 'B', 'A', 'C'].map((tag, i) => [tag, i] as const)) {
    await client.send(`m${i}`, { b: 'Tags', i: `UNIQ_KEY\u0001K${i}\u0002TAGS\u0001${tag}\u0002` })
  }
  await client.createTopic('WriteOnly', { perm: 2 })
  await client.heartbeat({
    clientID: 'sub',
    consumerDataSet: [consumerData('subscribed', subscriptionData('Tags', 'A', 10))],
  })
})
afterAll(async () => {
  client.close()
  await fixture.close()
})

describe('answers', () => {
  const rows: { name: string; ext: ExtFields; code: number; next?: string; bodies?: string[] }[] = [
    { name: 'everything', ext: {}, code: 0, next: '4', bodies: ['m0', 'm1', 'm2', 'm3'] },
    { name: 'from the middle', ext: { queueOffset: '2' }, code: 0, next: '4', bodies: ['m2', 'm3'] },
    { name: 'as many as asked for', ext: { maxMsgNums: '2' }, code: 0, next: '2', bodies: ['m0', 'm1'] },
    {
      name: 'the first even when it is larger than asked for',
      ext: { maxMsgBytes: '1' },
      code: 0,
      next: '1',
      bodies: ['m0'],
    },
    { name: 'one tag', ext: { subscription: 'A' }, code: 0, next: '4', bodies: ['m0', 'm2'] },
    { name: 'two tags', ext: { subscription: 'B || C' }, code: 0, next: '4', bodies: ['m1', 'm3'] },
    {
      name: 'a tag that nothing has goes on behind what was looked at',
      ext: { subscription: 'Z' },
      code: 20,
      next: '4',
    },
    { name: 'the end of the queue', ext: { queueOffset: '4' }, code: 19, next: '4' },
    { name: 'beyond the end', ext: { queueOffset: '9' }, code: 21, next: '4' },
    { name: 'before the beginning', ext: { queueOffset: '-1' }, code: 21, next: '0' },
    { name: 'an empty queue from 0', ext: { queueId: '3' }, code: 19, next: '0' },
    { name: 'an empty queue from elsewhere', ext: { queueId: '3', queueOffset: '5' }, code: 21, next: '0' },
    {
      name: 'a subscription that the group announced',
      ext: { consumerGroup: 'subscribed', sysFlag: '0', subVersion: '10' },
      code: 0,
      next: '4',
      bodies: ['m0', 'm2'],
    },
    {
      name: 'a newer subscription than announced: everything, the client filters',
      ext: { consumerGroup: 'subscribed', sysFlag: '0', subVersion: '11' },
      code: 0,
      next: '4',
      bodies: ['m0', 'm1', 'm2', 'm3'],
    },
  ]
  test.each(rows)('$name: $code', async ({ ext, code, next, bodies }) => {
    const answer = await client.pull({ topic: 'Tags', ...ext })
    expect(answer.code).toBe(code)
    expect(answer.extFields).toMatchObject({ suggestWhichBrokerId: '0', nextBeginOffset: next, minOffset: '0' })
    expect(answer.extFields?.['maxOffset']).toBe(ext['queueId'] === '3' ? '0' : '4')
    expect(decodeRecords(answer.bodyBytes).map((record) => record.body.toString())).toEqual(bodies ?? [])
  })

  test('the lite form is the same', async () => {
    const answer = await client.call(RequestCode.LITE_PULL_MESSAGE, {
      ...pullFields(),
      topic: 'Tags',
    })
    expect(answer.code).toBe(0)
  })
})

describe('messages from files', () => {
  test('as many as of the newest are given out, as long as they are not far behind, and their memory once', async () => {
    const cold = await startBroker({ hotBytesMax: '0' })
    const own = new TestClient(cold.broker.address)
    const { store } = cold.broker
    assert(store !== null, 'it serves')
    const bodies = Array.from({ length: 200 }, (_, i) => `${i},`.repeat(500))
    for (const body of bodies) await own.send(body, { b: 'Cold' })
    const requests: GetRequest[] = []
    const released: number[] = []
    const get = store.getMessages.bind(store)
    vi.spyOn(store, 'getMessages').mockImplementation((request, callback) => {
      requests.push(request)
      get(request, (error, result) => {
        const release = (): void => {
          released.push(request.queueOffset)
          result?.release?.()
        }
        callback(error, result?.release === undefined ? result : { ...result, release })
      })
    })
    for (const queueOffset of [0, 32, 64]) {
      const answer = await own.pull({ topic: 'Cold', queueOffset: String(queueOffset) })
      const told = decodeRecords(answer.bodyBytes).map(({ body }) => body.toString())
      expect(told).toEqual(bodies.slice(queueOffset, queueOffset + 32))
      const recent = { maxCount: 32, maxBytes: 262_144 }
      expect(requests.at(-1)).toMatchObject({ limits: { recent, far: { maxCount: 8, maxBytes: 65_536 } } })
    }
    while (released.length < 2) await new Promise((resolve) => setImmediate(resolve))
    // The first read gives out what it has read as it is.
    expect(released).toEqual([32, 64])
    own.close()
    await cold.close()
  })
})

describe('refusals', () => {
  const rows: { name: string; ext: ExtFields; code: number; forbiddenType?: string }[] = [
    { name: 'an impossible group', ext: { consumerGroup: 'no such/group' }, code: 26 },
    { name: 'an unknown topic', ext: { topic: 'Nowhere' }, code: 17 },
    { name: 'a topic without read permission', ext: { topic: 'WriteOnly' }, code: 16, forbiddenType: '3' },
    { name: 'a queue that does not exist', ext: { queueId: '4' }, code: 29 },
    { name: 'a negative queue', ext: { queueId: '-1' }, code: 29 },
    { name: 'a subscription to nothing', ext: { subscription: '||' }, code: 23 },
    { name: 'a subscription to more tags than any has', ext: { subscription: 'a||'.repeat(22_000) }, code: 23 },
    { name: 'no own subscription and no heartbeat', ext: { consumerGroup: 'silent', sysFlag: '0' }, code: 24 },
    {
      name: 'no own subscription and another topic announced',
      ext: { consumerGroup: 'subscribed', sysFlag: '0', topic: 'BenchmarkTest' },
      code: 24,
    },
  ]
  test.each(rows)('$name: $code', async ({ ext, code, forbiddenType }) => {
    const answer = await client.pull({ topic: 'Tags', ...ext })
    expect(answer.code).toBe(code)
    if (forbiddenType !== undefined) expect(answer.extFields).toEqual({ forbiddenType })
  })

  test('a disabled group: 16', async () => {
    await fixture.broker.store?.putGroup({ ...defaultSubscriptionGroupConfig('off'), consumeEnable: false })
    const answer = await client.pull({ topic: 'Tags', consumerGroup: 'off' })
    expect([answer.code, answer.extFields]).toEqual([16, { forbiddenType: '2' }])
  })

  test('a broker without read permission: 16', async () => {
    const closed = await startBroker({ brokerPermission: '2' })
    const own = new TestClient(closed.broker.address)
    const answer = await own.pull({ topic: 'BenchmarkTest' })
    expect([answer.code, answer.extFields]).toEqual([16, { forbiddenType: '1' }])
    own.close()
    await closed.close()
  })
})

describe('long polling', () => {
  const suspended = { sysFlag: '6', suspendTimeoutMillis: '15000' }

  test('a pull is answered by the message that it waits for', async () => {
    await client.send('before', { b: 'Poll' })
    const pulled = client.pull({ topic: 'Poll', queueOffset: '1', ...suspended })
    await client.send('it', { b: 'Poll' })
    const answer = await pulled
    expect(answer.code).toBe(0)
    expect(decodeRecords(answer.bodyBytes).map((record) => record.body.toString())).toEqual(['it'])
  })

  test('a message with another tag does not wake it', async () => {
    await client.send('before', { b: 'PollTag' })
    let isAnswered = false
    const pulled = client.pull({ topic: 'PollTag', queueOffset: '1', subscription: 'B', ...suspended })
    void pulled.then(() => (isAnswered = true))
    await client.send('a', { b: 'PollTag', i: 'TAGS\u0001A\u0002' })
    await client.call(RequestCode.GET_MAX_OFFSET, { topic: 'PollTag', queueId: '0' })
    expect(isAnswered).toBe(false)
    await client.send('b', { b: 'PollTag', i: 'TAGS\u0001B\u0002' })
    expect(decodeRecords((await pulled).bodyBytes).map((record) => record.body.toString())).toEqual(['b'])
  })

  test('it is answered when its group wants something else, and then gives what that is', async () => {
    await client.send('before', { b: 'PollOther' })
    const group = (tag: string, version: number) => ({
      clientID: 'other',
      consumerDataSet: [consumerData('other', subscriptionData('PollOther', tag, version))],
    })
    await client.heartbeat(group('A', 1))
    await client.send('b', { b: 'PollOther', i: 'TAGS\u0001B\u0002' })
    const ext = { topic: 'PollOther', consumerGroup: 'other', queueOffset: '2', sysFlag: '2', subVersion: '1' }
    const pulled = client.pull({ ...ext, suspendTimeoutMillis: '20000' })
    await client.call(RequestCode.GET_MAX_OFFSET, { topic: 'PollOther', queueId: '0' })
    await client.heartbeat(group('B', 2))
    const held = await pulled
    expect([held.code, held.extFields?.['nextBeginOffset']]).toEqual([19, '2'])
    // As if it had been on its way while the heartbeat came.
    const late = await client.pull({ ...ext, queueOffset: '0' })
    expect([late.code, late.extFields?.['nextBeginOffset']]).toEqual([19, '0'])
    const again = await client.pull({ ...ext, queueOffset: '0', subVersion: '2' })
    expect(decodeRecords(again.bodyBytes).map((record) => record.body.toString())).toEqual(['b'])
  })

  test('at the deadline it is answered with nothing', async () => {
    await client.send('before', { b: 'PollNothing' })
    const startMs = performance.now()
    const answer = await client.pull({
      topic: 'PollNothing',
      queueOffset: '1',
      sysFlag: '6',
      suspendTimeoutMillis: '300',
    })
    expect(answer.code).toBe(19)
    expect(answer.extFields).toMatchObject({
      nextBeginOffset: '1',
      minOffset: '0',
      maxOffset: '1',
      suggestWhichBrokerId: '0',
    })
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(299)
  })

  test('a held pull keeps its offset once: what was committed meanwhile stays', async () => {
    await client.send('x', { b: 'Held' })
    const pulled = client.pull({
      topic: 'Held',
      consumerGroup: 'held',
      queueOffset: '1',
      sysFlag: '7',
      commitOffset: '0',
      suspendTimeoutMillis: '15000',
    })
    while (fixture.broker.store?.consumerOffset('held', 'Held', 0) !== 0) {
      await client.call(RequestCode.GET_MAX_OFFSET, { topic: 'Held', queueId: '0' })
    }
    const ext = { consumerGroup: 'held', topic: 'Held', queueId: '0', commitOffset: '1' }
    await client.call(RequestCode.UPDATE_CONSUMER_OFFSET, ext)
    await client.send('y', { b: 'Held' })
    expect((await pulled).code).toBe(0)
    expect(fixture.broker.store?.consumerOffset('held', 'Held', 0)).toBe(1)
  })

  test('the offset that comes with a pull is kept', async () => {
    await client.send('x', { b: 'Piggy' })
    await client.pull({ topic: 'Piggy', consumerGroup: 'piggy', sysFlag: '5', commitOffset: '1' })
    expect(fixture.broker.store?.consumerOffset('piggy', 'Piggy', 0)).toBe(1)
    await client.pull({ topic: 'Piggy', consumerGroup: 'piggy', sysFlag: '4', commitOffset: '0' })
    expect(fixture.broker.store?.consumerOffset('piggy', 'Piggy', 0)).toBe(1)
  })
})
