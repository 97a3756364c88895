/** A broker whose store applies its log again: consumers are given what is ready, and nothing makes a client move its offset. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HeldReads } from '@dledger-ts/dledger/internals'
import { type ExtFields, RequestCode, ResponseCode } from '@dledger-ts/remoting'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Broker } from './broker.ts'
import { brokerConfig, consumerData, subscriptionData, TestClient } from './testing/broker-fixture.ts'

/** Of topic T, queue 0: all, and those that are applied before the log cannot be read on. */
const COUNT = 30
const READY = 20
const { SERVICE_NOT_AVAILABLE, SUCCESS } = ResponseCode
const QUEUE = { consumerGroup: 'g', topic: 'T', queueId: '0' }

let directory: string
let broker: Broker
let client: TestClient
let held: HeldReads
/** Where the first and the last message start. */
const places: number[] = []

async function started(held: HeldReads): Promise<void> {
  broker = new Broker(brokerConfig(directory), { storeOptions: { disk: held.disk } })
  await broker.start()
  client = new TestClient(broker.address)
}

async function put(topic: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const { code, remark, extFields } = await client.send(`m${i}`, { b: topic })
    if (code !== SUCCESS) throw new Error(`not sent: ${code} ${remark}`)
    places.push(Number.parseInt(extFields?.['msgId']?.slice(16) ?? '', 16))
  }
}

async function closed(): Promise<void> {
  client.close()
  await broker.close()
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'broker-rebuilding-'))
  held = new HeldReads()
  await started(held)
  await put('T', READY)
  held.fromPos = broker.store?.status().maxPhysicalOffset ?? 0
  await closed()
  // What is applied at once is of one term.
  await started(new HeldReads())
  await put('T', COUNT - READY)
  await put('Late', 1)
  await client.call(RequestCode.UPDATE_CONSUMER_OFFSET, { ...QUEUE, commitOffset: String(COUNT) })
  await closed()
  for (const name of ['metadata', 'consumequeue', 'index'])
    await rm(join(directory, name), { recursive: true, force: true })
  await started(held)
  await held.whenHeld()
})

afterAll(async () => {
  held.release()
  await closed()
  await rm(directory, { recursive: true, force: true })
})

test('it says how far it is, and names no role to anybody', () => {
  expect(broker.status()).toMatchObject({ brokerId: null, role: 'CANDIDATE', up: true })
  expect(broker.status().rebuild?.doneEntries).toBeGreaterThanOrEqual(READY)
  expect(broker.healthy()).toBe(false)
})

test('messages before the ready mark are pulled, and an answer never says that these are all', async () => {
  const all = await client.pull()
  expect([all.code, all.extFields]).toEqual([
    SUCCESS,
    expect.objectContaining({ nextBeginOffset: String(READY), minOffset: '0', maxOffset: String(READY + 1) }),
  ])
  const none = await client.pull({ subscription: 'Other', queueOffset: '3' })
  expect([none.code, none.extFields?.['nextBeginOffset']]).toEqual([ResponseCode.PULL_RETRY_IMMEDIATELY, String(READY)])
})

const SUSPEND = { sysFlag: '6', suspendTimeoutMillis: '15000' }
const pulls: Record<string, ExtFields> = {
  'the first one that is not applied': { queueOffset: String(READY) },
  'one that is not applied, to be held': { ...SUSPEND, queueOffset: String(READY) },
  'one further on': { queueOffset: String(READY + 5) },
  'the end': { ...SUSPEND, queueOffset: String(COUNT) },
  'one beyond the end': { queueOffset: '1000' },
  'one of a topic that is not there yet': { topic: 'Late' },
  'one of a queue that is not there': { queueId: '7' },
  'one by a subscription that is not known': { sysFlag: '0' },
}
test.each(Object.entries(pulls))('a pull of %s is refused: the client keeps its offset', async (_name, fields) => {
  const { code, extFields } = await client.pull(fields)
  expect([code, extFields?.['nextBeginOffset']]).toEqual([SERVICE_NOT_AVAILABLE, undefined])
})

const requests: [code: keyof typeof RequestCode, fields: ExtFields][] = [
  ['QUERY_CONSUMER_OFFSET', QUEUE],
  ['UPDATE_CONSUMER_OFFSET', { ...QUEUE, commitOffset: '1' }],
  ['GET_MAX_OFFSET', QUEUE],
  ['GET_MIN_OFFSET', QUEUE],
  ['SEARCH_OFFSET_BY_TIMESTAMP', { ...QUEUE, timestamp: '0' }],
  ['GET_EARLIEST_MSG_STORETIME', QUEUE],
  ['GET_CONSUMER_LIST_BY_GROUP', QUEUE],
  ['GET_ALL_TOPIC_CONFIG', {}],
  ['GET_ALL_SUBSCRIPTIONGROUP_CONFIG', {}],
  [
    'QUERY_MESSAGE',
    { topic: 'T', key: 'KEY1', maxNum: '32', beginTimestamp: '0', endTimestamp: String(Number.MAX_SAFE_INTEGER) },
  ],
]
test.each(requests)('%s is refused', async (code, fields) => {
  expect((await client.call(RequestCode[code], fields)).code).toBe(SERVICE_NOT_AVAILABLE)
})

test('a send is refused at once', async () => {
  expect((await client.send('m')).code).toBe(SERVICE_NOT_AVAILABLE)
})

test('clients say that they are there, and are given a message by its place', async () => {
  const heartbeat = { consumerDataSet: [consumerData('g', subscriptionData('T', '*', 1))] }
  expect((await client.heartbeat(heartbeat)).code).toBe(SUCCESS)
  const view = async (at: number | undefined): Promise<number> =>
    (await client.call(RequestCode.VIEW_MESSAGE_BY_ID, { offset: String(at) })).code
  expect(await view(places[0])).toBe(SUCCESS)
  expect(await view(places.at(-1))).toBe(SERVICE_NOT_AVAILABLE)
})

test('when all is applied everything is answered as ever, by the subscriptions that came meanwhile', async () => {
  held.release()
  await broker.store?.whenSettled()
  expect(broker.status()).toMatchObject({ brokerId: 0, role: 'LEADER', rebuild: null })
  const rest = await client.pull({ sysFlag: '0', queueOffset: String(READY), subVersion: '1' })
  expect([rest.code, rest.extFields?.['nextBeginOffset'], rest.extFields?.['maxOffset']]).toEqual([
    SUCCESS,
    String(COUNT),
    String(COUNT),
  ])
  const { extFields } = await client.call(RequestCode.QUERY_CONSUMER_OFFSET, QUEUE)
  expect(extFields?.['offset']).toBe(String(COUNT))
  const end = await client.call(RequestCode.GET_MAX_OFFSET, QUEUE)
  expect(end.extFields?.['offset']).toBe(String(COUNT))
  expect((await client.send('m')).code).toBe(SUCCESS)
})
