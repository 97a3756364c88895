/** Configuration that a tool changes while the broker runs: what counts at once, what is kept, what is told, what is refused. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Connection,
  createResponse,
  decodeRegisterBrokerBody,
  type RegisterBrokerBody,
  RegisterBrokerRequest,
  type RemotingCommand,
  RemotingServer,
  RequestCode,
} from '@dledger-ts/remoting'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { CHANGEABLE_KEYS } from '../config/running-config.ts'
import { CONFIG_KEYS } from '../config/keys.ts'
import { brokerConfig, consumerData, subscriptionData, TestClient } from '../testing/broker-fixture.ts'
import { EventQueue } from '../testing/event-queue.ts'

let directory: string
let names: RemotingServer
let broker: Broker
let client: TestClient
const registrations = new EventQueue<RegisterBrokerBody>()
let saved: Record<string, string>[]
let failure: Error | null

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'broker-config-'))
  const register = (_connection: Connection, request: RemotingCommand): RemotingCommand => {
    RegisterBrokerRequest.decode(request.extFields)
    registrations.push(decodeRegisterBrokerBody(request.bodyBytes))
    return createResponse(0)
  }
  names = new RemotingServer({
    host: '127.0.0.1',
    ports: [0],
    processors: new Map([[RequestCode.REGISTER_BROKER, register]]),
  })
  await names.start()
  broker = new Broker(brokerConfig(directory, { namesrvAddr: `127.0.0.1:${names.ports[0]}` }), {
    saveConfig: async (changes) => {
      if (failure !== null) throw failure
      saved.push(Object.fromEntries(changes))
    },
  })
  await broker.start()
  await broker.store?.whenSettled()
  client = new TestClient(broker.address)
}, 30_000)
afterAll(async () => {
  client.close()
  await broker.close()
  await names.close()
  await rm(directory, { recursive: true, force: true })
})
beforeEach(() => {
  saved = []
  failure = null
})

const update = async (text: string) => {
  const { code, remark } = await client.call(RequestCode.UPDATE_BROKER_CONFIG, {}, Buffer.from(text))
  return [code, remark]
}

test('a key counts at once, and is kept', async () => {
  expect((await client.send('x'.repeat(2_000))).code).toBe(0)
  expect(await update('maxMessageSize=1024\n')).toEqual([0, undefined])
  expect((await client.send('x'.repeat(2_000))).code).toBe(13)
  expect(saved).toEqual([{ maxMessageSize: '1024' }])
  expect(await update('maxMessageSize=4194304')).toEqual([0, undefined])
  expect((await client.send('x'.repeat(2_000))).code).toBe(0)
})

test('groups and topics are made, or not, as it says now', async () => {
  await update('autoCreateSubscriptionGroup=FALSE\nautoCreateTopicEnable=false')
  expect(saved).toEqual([{ autoCreateSubscriptionGroup: 'false', autoCreateTopicEnable: 'false' }])
  expect((await client.pull({ consumerGroup: 'new' })).code).toBe(26)
  expect((await client.send('x', { b: 'NewTopic' })).code).toBe(17)
  await update('autoCreateSubscriptionGroup=true\nautoCreateTopicEnable=true')
  expect((await client.pull({ consumerGroup: 'new' })).code).toBe(0)
  expect((await client.send('x', { b: 'NewTopic' })).code).toBe(0)
})

test('the permission of the broker is told to name servers, and whoever waits for messages is answered', async () => {
  const permOf = (body: RegisterBrokerBody) => body.topics.get('T')?.perm
  await client.send('x')
  let before = await registrations.next()
  while (permOf(before) !== 6) before = await registrations.next()
  await client.heartbeat({ consumerDataSet: [consumerData('g', subscriptionData('T', '*', 1))] })
  const end = String(broker.store?.maxOffset('T', 0))
  const waiting = client.pull({ queueOffset: end, sysFlag: '6', suspendTimeoutMillis: '20000' })
  expect((await client.pull({ queueOffset: end })).code).toBe(19)
  expect(await update('brokerPermission=2')).toEqual([0, undefined])
  expect((await waiting).code).toBe(16)
  let after = await registrations.next()
  while (permOf(after) !== 2) after = await registrations.next()
  expect(after.dataVersion).not.toEqual(before.dataVersion)
  await update('brokerPermission=6')
  while (permOf(after) !== 6) after = await registrations.next()
  expect((await client.pull()).code).toBe(0)
})

test('keys that are unknown, without meaning here, or as they are, change nothing', async () => {
  const same = 'brokerName=b\nmappedFileSizeCommitLog=16777216\nmaxMessageSize=4194304'
  expect(await update(`noSuchKey=1\nsendThreadPoolQueueCapacity=5\n${same}\n`)).toEqual([0, undefined])
  expect(await update('')).toEqual([0, undefined])
  expect(saved).toEqual([])
})

test.each([
  ['configBlackList=x\nmaxMessageSize=2048', 16, 'Can not update config in black list.'],
  ['brokerConfigPath=/etc/x', 16, 'Can not update config in black list.'],
  [
    'shutdownLingerMs=1\nmaxMessageSize=5',
    29,
    'maxMessageSize=5: allowed is a whole number from 1024 to 16000000 bytes',
  ],
  [
    'maxMessageSize=16000000\nshutdownLingerMs=1\nbrokerPermission=9',
    29,
    'brokerPermission=9: allowed is a whole number from 0 to 7',
  ],
  ['shutdownLingerMs=1\nfileReservedTime=3', 29, 'fileReservedTime cannot change while the broker runs'],
  ['regionId=other', 29, 'regionId cannot change while the broker runs'],
  ['traceOn=false', 29, 'traceOn cannot change while the broker runs'],
])('%j is refused whole: %i', async (text, code, remark) => {
  expect(await update(text)).toEqual([code, expect.stringContaining(remark)])
  expect(saved).toEqual([])
})

test('what cannot be kept does not count: 1', async () => {
  failure = new Error('EROFS')
  const remark = 'nothing is changed: the configuration file cannot be written: EROFS'
  expect(await update('maxMessageSize=1024')).toEqual([1, remark])
  expect((await client.send('x'.repeat(2_000))).code).toBe(0)
})

test('two at once are kept one after the other', async () => {
  await Promise.all([update('shutdownLingerMs=1'), update('shutdownLingerMs=2'), update('shutdownLingerMs=2')])
  expect(saved).toEqual([{ shutdownLingerMs: '1' }, { shutdownLingerMs: '2' }])
})

test('what may change is a key', () => {
  expect([...CHANGEABLE_KEYS].filter((key) => !Object.hasOwn(CONFIG_KEYS, key))).toEqual([])
})
