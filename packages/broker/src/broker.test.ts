/** A broker of one member, spoken to as clients speak: the thinnest path from a send to a pull. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { silentLogger } from '@dledger-ts/base'
import { decodeRecords, getProperty, parseOffsetMsgId } from '@dledger-ts/protocol'
import { RequestCode } from '@dledger-ts/remoting'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Broker, type BrokerStatus } from './broker.ts'
import { brokerConfig, type Fixture, startBroker, TestClient } from './testing/broker-fixture.ts'

let fixture: Fixture
let client: TestClient

beforeAll(async () => {
  fixture = await startBroker()
  client = new TestClient(fixture.broker.address)
})
afterAll(async () => {
  client.close()
  await fixture.close()
})

test('what is sent is pulled, with what the broker adds', async () => {
  const sent = await client.send('hello', { b: 'First' })
  expect(sent.code).toBe(0)
  expect(sent.version).toBe(479)
  expect(sent.extFields).toMatchObject({
    queueId: '0',
    queueOffset: '0',
    MSG_REGION: 'DefaultRegion',
    TRACE_ON: 'true',
  })
  const pulled = await client.pull({ topic: 'First' })
  expect(pulled.code).toBe(0)
  expect(pulled.extFields).toMatchObject({
    suggestWhichBrokerId: '0',
    nextBeginOffset: '1',
    minOffset: '0',
    maxOffset: '1',
  })
  const [record] = decodeRecords(pulled.bodyBytes)
  expect(record?.body.toString()).toBe('hello')
  expect(record?.physicalOffset).toBe(parseOffsetMsgId(sent.extFields?.['msgId'] ?? '').physicalOffset)
  const properties = record?.properties ?? ''
  expect(
    ['UNIQ_KEY', 'CLUSTER', 'MSG_REGION', 'TRACE_ON', 'TAGS'].map((name) => getProperty(properties, name)),
  ).toEqual(['KEY1', 'C', 'DefaultRegion', 'true', 'TagA'])
})

test('status tells the leader of a group of one', () => {
  const { broker, directory } = fixture
  expect(broker.healthy()).toBe(true)
  expect(broker.status()).toMatchObject({
    id: 'n0',
    brokerId: 0,
    role: 'LEADER',
    up: true,
    addr: `127.0.0.1:${broker.ports[0]}`,
    storePath: directory,
    rebuild: null,
    repairs: { queues: 0, progress: null },
  })
})

test('status tells how far a rebuild is while the store is still being opened', async () => {
  const earlier = await startBroker()
  const { directory } = earlier
  const lastIndex = earlier.broker.status().lastIndex
  await earlier.broker.close()
  await rm(join(directory, 'metadata'), { recursive: true })
  let seen: BrokerStatus | null = null
  const look = (_fields: Record<string, unknown>, event: string): void => {
    if (event === 'the log was applied again') seen = broker.status()
  }
  // Else it would be open by then.
  const storeOptions = { serveWhileRebuilding: false }
  const broker = new Broker(brokerConfig(directory), { logger: { ...silentLogger, info: look }, storeOptions })
  await broker.start()
  expect(seen).toMatchObject({ up: false, rebuild: { doneEntries: 0, totalEntries: lastIndex + 1 } })
  expect(broker.status()).toMatchObject({ up: true, rebuild: null })
  await broker.close()
  await earlier.close()
})

test('an unknown request is answered 3', async () => {
  const answer = await client.call(9_999)
  expect([answer.code, answer.remark]).toEqual([3, ' request type 9999 not supported'])
})

test('a request with a broken header is answered, and the connection lives on', async () => {
  const broken = await client.call(RequestCode.PULL_MESSAGE, { topic: 'First' })
  expect(broken.code).toBe(1)
  expect((await client.call(RequestCode.GET_MAX_OFFSET, { topic: 'First', queueId: '0' })).extFields).toEqual({
    offset: '1',
  })
})
