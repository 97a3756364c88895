/** A slave whose master is another one than the one that it copied. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createResponse,
  encodeClusterInfo,
  JoinAsSlaveResponse,
  type Processor,
  RemotingServer,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { freePorts } from '@dledger-ts/dledger/internals'
import { expect, test, vi } from 'vitest'
import { Broker } from './broker.ts'
import { brokerConfig, TestClient } from './testing/broker-fixture.ts'

const SOON = { timeout: 10_000, interval: 50 }

test('is not listed, and answers 14, until its log is of the master that is there', async () => {
  const world = { rival: '', verdict: 'FOREIGN', registered: [] as string[] }
  const told = (what: string) => {
    world.registered.push(what)
    return createResponse(ResponseCode.SUCCESS)
  }
  const processors = new Map<number, Processor>([
    [
      RequestCode.GET_BROKER_CLUSTER_INFO,
      () => {
        const brokerAddrs = new Map([[0, world.rival]])
        const entry = { cluster: 'C', brokerName: 'b', brokerAddrs, enableActingMaster: false }
        const body = encodeClusterInfo({ brokerAddrTable: new Map([['b', entry]]), clusterAddrTable: new Map() })
        return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
      },
    ],
    [
      RequestCode.JOIN_AS_SLAVE,
      () =>
        JoinAsSlaveResponse.response(ResponseCode.SUCCESS, {
          verdict: world.verdict,
          lastIndex: -1,
          memberId: 'n7',
          storeId: 'other',
          haAddress: '127.0.0.1:1',
        }),
    ],
    [RequestCode.REGISTER_BROKER, () => told('listed')],
    [RequestCode.UNREGISTER_BROKER, () => told('gone')],
  ])
  const others = new RemotingServer({ host: '127.0.0.1', ports: [0], processors })
  await others.start()
  world.rival = `127.0.0.1:${others.ports[0]}`
  const directory = await mkdtemp(join(tmpdir(), 'broker-foreign-'))
  const [haListenPort = 0] = await freePorts(1)
  const keys = { haListenPort: String(haListenPort) }

  const master = new Broker(brokerConfig(directory, { ...keys, brokerRole: 'ASYNC_MASTER' }))
  await master.start()
  await master.store?.whenSettled()
  const sender = new TestClient(master.address)
  expect((await sender.send('of the former master')).code).toBe(0)
  sender.close()
  await master.close()

  const asSlave = { brokerRole: 'SLAVE', brokerId: '1', namesrvAddr: world.rival }
  const slave = new Broker(brokerConfig(directory, { ...keys, ...asSlave }))
  await slave.start()
  const client = new TestClient(slave.address)
  try {
    await vi.waitFor(() => expect(slave.status().brokerId).toBeNull(), SOON)
    await vi.waitFor(() => expect(world.registered.at(-1)).toBe('gone'), SOON)
    expect((await client.pull()).code).toBe(ResponseCode.SERVICE_NOT_AVAILABLE)
    expect((await client.call(RequestCode.GET_MAX_OFFSET, { topic: 'T', queueId: '0' })).code).toBe(14)
    world.verdict = 'FITS'
    await vi.waitFor(() => expect(slave.status().brokerId).toBe(1), SOON)
    await vi.waitFor(() => expect(world.registered.at(-1)).toBe('listed'), SOON)
    expect((await client.pull()).code).toBe(ResponseCode.SUCCESS)
  } finally {
    client.close()
    await slave.close()
    await others.close()
    await rm(directory, { recursive: true, force: true })
  }
})
