/** Users of a group of three: what a follower passes on is its sender's, and a new leader knows them. */
import { createRequest, RemotingClient, type RemotingCommand, RequestCode, ResponseCode } from '@dledger-ts/remoting'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Broker } from '../broker.ts'
import { consumerData, sendFields, subscriptionData, TestClient } from '../testing/broker-fixture.ts'
import { BrokerGroup } from '../testing/broker-group.ts'

const ROOT = { accessKey: 'root', secretKey: 'the password of root' }
const USER = { username: 'u', password: 'the password of u', type: 'Normal', status: 'enable' } as const

let group: BrokerGroup
const clients: TestClient[] = []
beforeAll(async () => {
  group = await BrokerGroup.start({
    authenticationEnabled: 'true',
    authorizationEnabled: 'true',
    initAuthenticationUser: JSON.stringify({ username: ROOT.accessKey, password: ROOT.secretKey }),
  })
  const leader = await group.leader()
  await leader.store?.changeAccess(() => ({ kind: 'putUser', user: USER }))
  const entry = { resource: 'Topic:T', actions: ['Pub'], sourceIps: ['127.0.0.1'], decision: 'Allow' } as const
  const policies = [{ type: 'Custom', entries: [entry] }] as const
  await leader.store?.changeAccess(() => ({ kind: 'putPolicies', policies: { subject: 'User:u', policies } }))
})
afterAll(async () => {
  for (const client of clients) client.close()
  await group.close()
})

function client(broker: Broker, accessKey: string, secretKey: string): TestClient {
  const made = new TestClient(broker.address, 479, { accessKey, secretKey })
  clients.push(made)
  return made
}

async function follower(): Promise<Broker> {
  const leader = await group.leader()
  return group.brokers.find((broker) => broker !== leader) as Broker
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

test('what a follower passes on is checked as what the client sent', async () => {
  const through = await follower()
  const user = client(through, USER.username, USER.password)
  expect(await user.send('x')).toMatchObject({ code: 0 })
  expect(await user.send('x', { b: 'Other' })).toMatchObject({
    code: 16,
    remark: 'User:u has no permission to access Topic:Other from 127.0.0.1, no matched policies.',
  })
  expect(await client(through, USER.username, 'another').send('x')).toMatchObject({ remark: 'check signature failed.' })
  expect(await client(through, 'root', ROOT.secretKey).call(RequestCode.AUTH_LIST_USER)).toMatchObject({ code: 0 })
})

test('who was made a user at the leader a moment ago is one at a follower, who is not is refused there', async () => {
  const [leader, through] = [await group.leader(), await follower()]
  for (let i = 0; i < 20; i++) {
    const user = { ...USER, username: `new${i}`, type: 'Super' } as const
    expect(await client(through, user.username, user.password).send('x')).toMatchObject({
      code: 16,
      remark: `User:new${i} is not found.`,
    })
    await leader.store?.changeAccess(() => ({ kind: 'putUser', user }))
    expect(await client(through, user.username, user.password).send('x')).toMatchObject({ code: 0 })
  }
})

test('a pull that the leader is to answer, since its group was moved, still fits its signature, and is not held there', async () => {
  const through = await follower()
  const leader = client(await group.leader(), ROOT.accessKey, ROOT.secretKey)
  const puller = client(through, ROOT.accessKey, ROOT.secretKey)
  const heartbeat = { consumerDataSet: [consumerData('moved', subscriptionData('Moved', '*', 1))] }
  for (const one of [leader, puller]) expect(await one.heartbeat(heartbeat)).toMatchObject({ code: 0 })
  expect(await leader.send('x', { b: 'Moved' })).toMatchObject({ code: 0 })
  const queue = { consumerGroup: 'moved', topic: 'Moved', queueId: '0' }
  const pullAfterMove = async (timestamp: string, answer: unknown[]) => {
    const move = { group: 'moved', topic: 'Moved', timestamp, isForce: 'true' }
    expect(await leader.call(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, move)).toMatchObject({ code: 0 })
    await until(() => through.store?.pendingReset('moved', 'Moved', 0) !== undefined)
    // All was consumed; more is waited for.
    const waiting = { queueOffset: '1', commitOffset: '1', sysFlag: '7', suspendTimeoutMillis: '20000' }
    const { code, remark, extFields } = await puller.pull({ ...queue, ...waiting })
    expect([code, remark, extFields?.['nextBeginOffset']]).toEqual(answer)
    if (timestamp === '0') expect((await puller.pull({ ...queue, queueOffset: '0', sysFlag: '4' })).code).toBe(0)
    await until(() => through.store?.pendingReset('moved', 'Moved', 0) === undefined)
  }
  await pullAfterMove('0', [ResponseCode.PULL_OFFSET_MOVED, 'OFFSET_RESET', '0'])
  await pullAfterMove('-1', [ResponseCode.PULL_NOT_FOUND, 'OFFSET_OVERFLOW_ONE', '1'])
})

test('who claims to be a member is believed nothing', async () => {
  const claims = { ...sendFields(), __FORWARD_MARK: 'mine', __FORWARD_BORN_HOST: '127.0.0.1:1' }
  const remoting = new RemotingClient({})
  const ask = (broker: Broker): Promise<RemotingCommand> =>
    remoting.invoke(broker.address, createRequest(RequestCode.SEND_MESSAGE_V2, claims, Buffer.from('x')), 5_000)
  expect(await ask(await group.leader())).toMatchObject({ code: 16 })
  expect(await ask(await follower())).toMatchObject({ code: 14 })
  remoting.close()
})

test('users and policies survive their leader', async () => {
  const leader = await group.leader()
  await leader.close()
  const next = await group.leader()
  expect(next).not.toBe(leader)
  const user = client(next, USER.username, USER.password)
  expect(await user.send('x')).toMatchObject({ code: 0 })
  expect(await user.send('x', { b: 'Other' })).toMatchObject({ code: 16 })
  expect(await client(next, 'root', ROOT.secretKey).send('x', { b: 'Other' })).toMatchObject({ code: 0 })
})
