/**
 * Three brokers of one group in one process, over real connections: who registers as what, what followers do, and a clean stop
 * of the leader that no client notices.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from '@dledger-ts/dledger/internals'
import { decodeRecords, formatHostAddress, parseOffsetMsgId } from '@dledger-ts/protocol'
import {
  type Connection,
  createResponse,
  decodeConsumerIdList,
  decodeKvTable,
  decodeRegisterBrokerBody,
  RegisterBrokerRequest,
  type RemotingCommand,
  RemotingServer,
  RequestCode,
  UnregisterBrokerRequest,
} from '@dledger-ts/remoting'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Broker } from './broker.ts'
import { parseConfig } from './config/config.ts'
import { consumerData, subscriptionData, TestClient } from './testing/broker-fixture.ts'

interface Registration {
  readonly brokerId: number
  readonly stateVersion: number
  readonly topics: readonly string[]
}

let directory: string
let names: RemotingServer
let brokers: Broker[]
/** Address → what it registered as last. */
const registered = new Map<string, Registration>()
const history: { address: string; brokerId: number; stateVersion: number }[] = []
const clients: TestClient[] = []

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'broker-group-'))
  names = new RemotingServer({
    host: '127.0.0.1',
    ports: [0],
    processors: new Map([
      [RequestCode.REGISTER_BROKER, register],
      [
        RequestCode.UNREGISTER_BROKER,
        (_connection: Connection, request: RemotingCommand) => {
          registered.delete(UnregisterBrokerRequest.decode(request.extFields).brokerAddr)
          return createResponse(0)
        },
      ],
    ]),
  })
  await names.start()
  const ports = await freePorts(3)
  const peers = ports.map((port, i) => `n${i}-127.0.0.1:${port}`).join(';')
  brokers = ports.map((_, i) => new Broker(memberConfig(i, peers)))
  await Promise.all(brokers.map((broker) => broker.start()))
  await Promise.all(brokers.map((broker) => broker.store?.whenSettled() ?? Promise.reject(new Error('not started'))))
  await until(() => registered.size === 3 && masters().length === 1)
}, 60_000)

afterAll(async () => {
  for (const client of clients) client.close()
  await Promise.all(brokers.map((broker) => broker.close()))
  await names.close()
  await rm(directory, { recursive: true, force: true })
})

function register(_connection: Connection, request: RemotingCommand): RemotingCommand {
  const header = RegisterBrokerRequest.decode(request.extFields)
  const body = decodeRegisterBrokerBody(request.bodyBytes)
  const { stateVersion } = body.dataVersion
  registered.set(header.brokerAddr, { brokerId: header.brokerId, stateVersion, topics: [...body.topics.keys()] })
  history.push({ address: header.brokerAddr, brokerId: header.brokerId, stateVersion })
  return createResponse(0)
}

function memberConfig(i: number, peers: string) {
  const keys = {
    brokerClusterName: 'C',
    brokerName: 'b',
    brokerIP1: '127.0.0.1',
    bindAddress: '127.0.0.1',
    listenPort: '0',
    storePathRootDir: join(directory, `n${i}`),
    mappedFileSizeCommitLog: '16777216',
    flushDiskType: 'ASYNC_FLUSH',
    namesrvAddr: `127.0.0.1:${names.ports[0]}`,
    enableDLegerCommitLog: 'true',
    dLegerPeers: peers,
    dLegerSelfId: `n${i}`,
    shutdownLingerMs: '1000',
  }
  return parseConfig(keys, { homeDirectory: directory, hostName: 'h', address: '127.0.0.1' }).config
}

const leader = (): Broker => brokers.find((broker) => broker.status().role === 'LEADER') as Broker
const followers = (): Broker[] => brokers.filter((broker) => broker.status().role === 'FOLLOWER')
const masters = () => [...registered].filter(([, registration]) => registration.brokerId === 0)

function clientOf(broker: Broker): TestClient {
  const client = new TestClient(broker.address)
  clients.push(client)
  return client
}

async function applied(broker: Broker): Promise<void> {
  const { lastIndex } = leader().status()
  await until(() => broker.status().appliedIndex >= lastIndex)
}

test('the leader registers as 0, the others by their number, with the term as state version', () => {
  expect(brokers.every((broker) => broker.healthy())).toBe(true)
  expect(masters().map(([address]) => address)).toEqual([leader().address])
  for (const broker of brokers) {
    const { brokerId, term, id } = broker.status()
    expect(registered.get(broker.address)).toMatchObject({ brokerId, stateVersion: term })
    if (brokerId !== 0) expect(brokerId).toBe(Number(id.slice(1)) + 1)
  }
  expect(registered.get(leader().address)?.topics).toContain('TBW102')
})

test('a follower forwards a send; the client is the one it was born on', async () => {
  const [follower] = followers() as [Broker]
  const client = clientOf(follower)
  const sent = await client.send('through a follower', { b: 'Group' })
  expect(sent.code).toBe(0)
  const { host } = parseOffsetMsgId(sent.extFields?.['msgId'] ?? '')
  expect(formatHostAddress(host)).toBe(leader().address)
  await applied(follower)
  const [record] = decodeRecords((await client.pull({ topic: 'Group' })).bodyBytes)
  expect(record?.body.toString()).toBe('through a follower')
  const forwarding = [leader(), ...followers()].flatMap((broker) => broker.ports.map((port) => `127.0.0.1:${port}`))
  expect(forwarding).not.toContain(formatHostAddress(record?.bornHost ?? host))
})

test('a topic made by a send is registered at once, by the leader', async () => {
  await clientOf(leader()).send('x', { b: 'Brand_New' })
  await until(() => registered.get(leader().address)?.topics.includes('Brand_New') === true)
}, 10_000)

test('a follower serves what it has and waits for what it has not got: never 21', async () => {
  const [follower] = followers() as [Broker]
  const client = clientOf(follower)
  await clientOf(leader()).send('x', { b: 'Lag' })
  await applied(follower)
  const beyond = await client.pull({ topic: 'Lag', queueOffset: '100', sysFlag: '6', suspendTimeoutMillis: '50' })
  expect(beyond.code).toBe(19)
  expect(beyond.extFields).toMatchObject({ nextBeginOffset: '100', minOffset: '0' })
  expect((await client.pull({ topic: 'Lag', queueId: '3', queueOffset: '7' })).code).toBe(19)
  const waiting = client.pull({ topic: 'Lag', queueOffset: '1', sysFlag: '6', suspendTimeoutMillis: '15000' })
  await clientOf(leader()).send('y', { b: 'Lag' })
  expect(decodeRecords((await waiting).bodyBytes).map((record) => record.body.toString())).toEqual(['y'])
})

test('a follower keeps the members it hears of and creates nothing; offsets it does not know are 1, not 22', async () => {
  const [follower] = followers() as [Broker]
  const client = clientOf(follower)
  const beat = await client.heartbeat({ consumerDataSet: [consumerData('only-here', subscriptionData('Lag', '*', 1))] })
  expect(beat.code).toBe(0)
  expect(leader().store?.groups().has('only-here')).toBe(false)
  const listed = await client.call(RequestCode.GET_CONSUMER_LIST_BY_GROUP, { consumerGroup: 'only-here' })
  expect(decodeConsumerIdList(listed.bodyBytes)).toEqual(['c1'])
  expect((await client.pull({ topic: 'Lag', consumerGroup: 'only-here', sysFlag: '0' })).code).toBe(0)
  const offset = { consumerGroup: 'only-here', topic: 'Lag', queueId: '0' }
  expect((await client.call(RequestCode.QUERY_CONSUMER_OFFSET, offset)).code).toBe(1)
  expect((await client.call(RequestCode.UPDATE_CONSUMER_OFFSET, { ...offset, commitOffset: '2' })).code).toBe(0)
  expect((await clientOf(leader()).call(RequestCode.QUERY_CONSUMER_OFFSET, offset)).extFields).toEqual({ offset: '2' })
})

test('every member answers what tools ask, from what it has applied', async () => {
  const client = clientOf(leader())
  for (const body of ['one', 'two']) await client.send(body, { b: 'Asked' })
  const offset = { consumerGroup: 'asked', topic: 'Asked', queueId: '0', commitOffset: '1' }
  await client.call(RequestCode.UPDATE_CONSUMER_OFFSET, offset)
  for (const broker of [leader(), ...followers()]) {
    const tool = clientOf(broker)
    const textOf = async (code: number, fields: Record<string, string>) =>
      (await tool.call(code, fields)).bodyBytes.toString()
    await until(
      () => broker.store?.maxOffset('Asked', 0) === 2 && broker.store.consumerOffset('asked', 'Asked', 0) === 1,
    )
    expect(await textOf(RequestCode.GET_TOPIC_STATS_INFO, { topic: 'Asked' })).toContain('"maxOffset":2')
    const progress = await textOf(RequestCode.GET_CONSUME_STATS, { consumerGroup: 'asked', topic: 'Asked' })
    expect(progress).toContain('"brokerOffset":2,"consumerOffset":1')
    const counted = await textOf(RequestCode.VIEW_BROKER_STATS_DATA, { statsName: 'TOPIC_PUT_NUMS', statsKey: 'Asked' })
    expect(counted).toMatch(/"statsMinute":\{"avgpt":1,"sum":2,/)
    const isLeader = broker === leader()
    const runtime = decodeKvTable((await tool.call(RequestCode.GET_BROKER_RUNTIME_INFO)).bodyBytes)
    expect(runtime.get('brokerActive')).toBe(String(isLeader))
    const replication = JSON.parse(await textOf(RequestCode.GET_BROKER_HA_STATUS, {})) as Record<string, unknown>
    if (isLeader) {
      expect(replication).toMatchObject({ master: true, inSyncSlaveNums: followers().length })
      const addresses = (replication['haConnectionInfo'] as { addr: string }[]).map(({ addr }) => addr)
      expect(new Set(addresses)).toEqual(new Set(followers().map(({ address }) => address)))
    } else {
      expect(replication).toMatchObject({ master: false, haClientRuntimeInfo: { masterAddr: leader().address } })
    }
  }
})

test('a leader that stops hands over: a client that goes on sending to it sees no error', async () => {
  const old = leader()
  const others = followers()
  const client = clientOf(old)
  const bystander = clientOf(others[0] ?? old)
  expect((await client.send('first', { b: 'Handover' })).code).toBe(0)
  await client.call(RequestCode.UPDATE_CONSUMER_OFFSET, {
    consumerGroup: 'kept',
    topic: 'Handover',
    queueId: '0',
    commitOffset: '1',
  })
  const closing = old.close()
  let isHandedOver = false
  const codes: number[] = []
  // Until name servers know the new leader the client has no other address; then it goes there.
  while (!isHandedOver) {
    const sends = Array.from({ length: 8 }, (_, i) => client.send(`m${codes.length + i}`, { b: 'Handover' }))
    codes.push(...(await Promise.all(sends)).map((answer) => answer.code))
    isHandedOver = masters().some(([address]) => address !== old.address)
  }
  expect(new Set(codes)).toEqual(new Set([0]))
  await closing
  expect(registered.has(old.address)).toBe(false)
  brokers = brokers.filter((broker) => broker !== old)

  const next = leader()
  expect(others).toContain(next)
  expect(registered.get(next.address)).toMatchObject({ brokerId: 0, stateVersion: next.status().term })
  const terms = history.filter(({ brokerId }) => brokerId === 0).map(({ stateVersion }) => stateVersion)
  expect(terms).toEqual(terms.toSorted((a, b) => a - b))
  expect(next.store?.consumerOffset('kept', 'Handover', 0)).toBe(1)
  const pulled = await clientOf(next).pull({ topic: 'Handover', maxMsgNums: '32' })
  expect(decodeRecords(pulled.bodyBytes)[0]?.body.toString()).toBe('first')
  expect(Number(pulled.extFields?.['maxOffset'])).toBe(codes.length + 1)
  expect((await bystander.send('after', { b: 'Handover' })).code).toBe(0)
}, 60_000)

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}
