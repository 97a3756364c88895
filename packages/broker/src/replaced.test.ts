/** A master by configuration that starts, while it asks whether another copy was made the master in its place. */
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
import { afterEach, expect, test, vi } from 'vitest'
import { Broker } from './broker.ts'
import { Serving } from './serving.ts'
import { brokerConfig } from './testing/broker-fixture.ts'

const owned: (() => unknown)[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  for (const close of owned.splice(0).reverse()) await close()
})

/** @param asked what happens before it is told that it was replaced. */
async function master(asked: (broker: Broker) => Promise<void>): Promise<Broker> {
  let rival = ''
  const processors = new Map<number, Processor>([
    [
      RequestCode.GET_BROKER_CLUSTER_INFO,
      () => {
        const entry = { cluster: 'C', brokerName: 'b', brokerAddrs: new Map([[0, rival]]), enableActingMaster: false }
        const body = encodeClusterInfo({ brokerAddrTable: new Map([['b', entry]]), clusterAddrTable: new Map() })
        return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
      },
    ],
    [
      RequestCode.JOIN_AS_SLAVE,
      async () => {
        await asked(broker)
        return JoinAsSlaveResponse.response(ResponseCode.SUCCESS, {
          verdict: 'REPLACED',
          lastIndex: 0,
          memberId: 's1',
          storeId: 'rival',
          haAddress: '127.0.0.1:1',
        })
      },
    ],
  ])
  const others = new RemotingServer({ host: '127.0.0.1', ports: [0], processors })
  await others.start()
  owned.push(() => others.close())
  rival = `127.0.0.1:${others.ports[0]}`
  const directory = await mkdtemp(join(tmpdir(), 'broker-replaced-'))
  owned.push(() => rm(directory, { recursive: true, force: true }))
  const [haListenPort = 0] = await freePorts(1)
  const keys = { brokerRole: 'ASYNC_MASTER', haListenPort: String(haListenPort), namesrvAddr: rival }
  const broker: Broker = new Broker(brokerConfig(directory, keys))
  owned.push(() => broker.close())
  return broker
}

test('a start ends, also where the store ended by itself before', async () => {
  const broker = await master(async ({ store }) => {
    const failed = new Promise((resolve) => store?.events.once('failed', resolve))
    store?.copies.outdated('a slave was made the master')
    await failed
  })
  await expect(broker.start()).rejects.toMatchObject({ code: 'OUTDATED' })
})

test('a master is not healthy before it takes requests', async () => {
  const seen: boolean[] = []
  const broker = await master((starting) => {
    seen.push(starting.store?.isReady() === true, starting.healthy())
    return Promise.resolve()
  })
  await expect(broker.start()).rejects.toMatchObject({ code: 'OUTDATED' })
  expect(seen).toEqual([true, false])
})

test('nothing begins in a broker that is closed meanwhile', async () => {
  const begins = vi.spyOn(Serving.prototype, 'start')
  const broker = await master(async (starting) => {
    void starting.close()
    await Promise.resolve()
  })
  await broker.start()
  await broker.close()
  expect(begins).not.toHaveBeenCalled()
})
