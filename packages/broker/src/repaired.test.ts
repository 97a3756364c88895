/** A master whose log is damaged where it has to be applied next, and a slave that has what it lacks. */
import { closeSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Credentials,
  createResponse,
  encodeClusterInfo,
  RemotingServer,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { freePorts } from '@dledger-ts/dledger/internals'
import { expect, test, vi } from 'vitest'
import { Broker } from './broker.ts'
import { brokerConfig, TestClient } from './testing/broker-fixture.ts'

const SOON = { timeout: 15_000, interval: 50 }

/** Turns a byte of that text in the log of the broker in `directory`, and removes all that is derived from the log. */
function damage(directory: string, text: string): void {
  const data = join(directory, 'commitlog', 'dledger-n0', 'data')
  for (const name of readdirSync(data)) {
    const at = readFileSync(join(data, name)).indexOf(text)
    if (at < 0) continue
    const file = openSync(join(data, name), 'r+')
    writeSync(file, Buffer.from('?'), 0, 1, at)
    closeSync(file)
  }
  for (const derived of ['metadata', 'consumequeue', 'index', 'checkpoint'])
    rmSync(join(directory, derived), { recursive: true, force: true })
}

const CREDENTIALS = { accessKey: 'inner', secretKey: 'known to the brokers' }
const CLOSED = {
  authenticationEnabled: 'true',
  authorizationEnabled: 'true',
  innerClientAuthenticationCredentials: JSON.stringify(CREDENTIALS),
}

test.each<[string, Record<string, string>, Credentials | undefined]>([
  ['where anybody may ask', {}, undefined],
  ['where accounts are asked for, which it does not know yet', CLOSED, CREDENTIALS],
])('is repaired by its slave, and takes messages again: %s', async (_, keys, credentials) => {
  const directories = await Promise.all(['a', 'b'].map((name) => mkdtemp(join(tmpdir(), `broker-repaired-${name}-`))))
  const [masterAt = '', slaveAt = ''] = directories
  const [listenPort = 0, masterHa = 0, slaveHa = 0] = await freePorts(3)
  const namesrv = new RemotingServer({
    host: '127.0.0.1',
    ports: [0],
    processors: new Map([
      [
        RequestCode.GET_BROKER_CLUSTER_INFO,
        () => {
          const brokerAddrs = new Map([[0, `127.0.0.1:${listenPort}`]])
          const entry = { cluster: 'C', brokerName: 'b', brokerAddrs, enableActingMaster: false }
          const body = encodeClusterInfo({ brokerAddrTable: new Map([['b', entry]]), clusterAddrTable: new Map() })
          return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
        },
      ],
    ]),
  })
  await namesrv.start()
  const masterKeys = {
    ...keys,
    brokerRole: 'ASYNC_MASTER',
    listenPort: String(listenPort),
    haListenPort: String(masterHa),
  }
  const master = new Broker(brokerConfig(masterAt, masterKeys))
  const namesrvAddr = `127.0.0.1:${namesrv.ports[0]}`
  const slaveKeys = { ...keys, brokerRole: 'SLAVE', brokerId: '1', haListenPort: String(slaveHa), namesrvAddr }
  const slave = new Broker(brokerConfig(slaveAt, slaveKeys))
  let again: Broker | null = null
  try {
    await master.start()
    await master.store?.whenSettled()
    await slave.start()
    const sender = new TestClient(master.address, 479, credentials)
    await vi.waitFor(async () => expect((await sender.send('first')).code).toBe(0), SOON)
    for (let i = 0; i < 20; i++) expect((await sender.send(`message ${i} of it`)).code).toBe(0)
    sender.close()
    await vi.waitFor(() => expect(slave.status().appliedIndex).toBe(master.status().lastIndex), SOON)
    await master.close()
    damage(masterAt, 'message 7 of it')

    again = new Broker(brokerConfig(masterAt, masterKeys))
    await again.start()
    const { store } = again
    await vi.waitFor(() => expect(store?.isReady()).toBe(true), SOON)
    const client = new TestClient(again.address, 479, credentials)
    expect((await client.send('after it')).code).toBe(0)
    const { bodyBytes } = await client.pull()
    client.close()
    expect(bodyBytes.includes('message 7 of it')).toBe(true)
  } finally {
    await again?.close()
    await slave.close()
    await master.close()
    await namesrv.close()
    await Promise.all(directories.map((each) => rm(each, { recursive: true, force: true })))
  }
})
