/** Who may do what: signatures, users and policies, as tools and clients see them. */
import {
  AclRequest,
  type AclEntryInfo,
  createResponse,
  decodeAclInfo,
  decodeAclInfos,
  decodeUserInfo,
  decodeUserInfos,
  encodeAclInfo,
  encodeUserInfo,
  RemotingCommand,
  RequestCode,
  ResponseCode,
  type UserInfo,
  UserRequest,
} from '@dledger-ts/remoting'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  consumerData,
  type Fixture,
  pullFields,
  sendFields,
  startBroker,
  subscriptionData,
  TestClient,
} from '../testing/broker-fixture.ts'

const ROOT = { accessKey: 'root', secretKey: 'the password of root' }
const KEYS = {
  authenticationEnabled: 'true',
  authorizationEnabled: 'true',
  initAuthenticationUser: JSON.stringify({ username: ROOT.accessKey, password: ROOT.secretKey }),
  innerClientAuthenticationCredentials: '{"accessKey":"inner","secretKey":"the password of inner"}',
  authenticationWhitelist: '351',
  authorizationWhitelist: '30, 33',
}

let fixture: Fixture
let root: TestClient
const clients: TestClient[] = []
beforeAll(async () => {
  fixture = await startBroker(KEYS)
  // Behind the users of the configuration.
  await fixture.broker.store?.changeAccess(() => null)
  root = new TestClient(fixture.broker.address, 479, ROOT)
})
afterAll(async () => {
  root.close()
  await fixture.close()
})
afterEach(() => {
  for (const client of clients.splice(0)) client.close()
})

function client(username?: string, secretKey = `secret of ${username}`): TestClient {
  const credentials = username === undefined ? undefined : { accessKey: username, secretKey }
  const made = new TestClient(fixture.broker.address, 479, credentials)
  clients.push(made)
  return made
}

function put(by: TestClient, username: string, user: UserInfo, how: 'CREATE' | 'UPDATE' = 'CREATE') {
  return by.call(UserRequest[how].code, UserRequest[how].encode({ username }), encodeUserInfo(user))
}

const entryOf = (resource: string, ...actions: string[]): AclEntryInfo => ({
  resource,
  actions,
  sourceIps: [],
  decision: 'Allow',
})

function allow(username: string, ...entries: AclEntryInfo[]) {
  const subject = `User:${username}`
  const body = encodeAclInfo({ subject, policies: [{ policyType: 'Custom', entries }] })
  return root.call(RequestCode.AUTH_CREATE_ACL, AclRequest.CREATE.encode({ subject }), body)
}

/** A user that may do what `entries` say. */
async function normalUser(username: string, ...entries: AclEntryInfo[]): Promise<TestClient> {
  expect(await put(root, username, { password: `secret of ${username}` })).toMatchObject({ code: 0 })
  if (entries.length > 0) expect(await allow(username, ...entries)).toMatchObject({ code: 0 })
  return client(username)
}

describe('who sends it', () => {
  test('a request of nobody, of somebody unknown or disabled, and a wrong signature are refused: 16', async () => {
    await normalUser('disabled')
    expect(await put(root, 'disabled', { userStatus: 'disable' }, 'UPDATE')).toMatchObject({ code: 0 })
    const remarkOf = async (by: TestClient) => {
      const { code, remark } = await by.send('x')
      return `${code} ${remark}`
    }
    expect(await remarkOf(client())).toBe('16 username cannot be null.')
    expect(await remarkOf(client('stranger'))).toBe('16 User:stranger is not found.')
    expect(await remarkOf(client('disabled'))).toBe('16 User:disabled is disabled.')
    expect(await remarkOf(client('root', 'another password'))).toBe('16 check signature failed.')
    expect(await remarkOf(root)).toBe('0 undefined')
  })

  test('a request that was changed on its way is refused', async () => {
    const request = root.request(RequestCode.SEND_MESSAGE_V2, sendFields(), Buffer.from('as it was'))
    request.body = Buffer.from('as it is')
    expect(await root.invoke(request)).toMatchObject({ code: 16, remark: 'check signature failed.' })
  })

  test('the credentials of the broker itself are a super user', async () => {
    expect(await client('inner', 'the password of inner').send('x')).toMatchObject({ code: 0 })
  })

  test('a code on the list of those that anybody may send needs a signature no more, but leave', async () => {
    expect(await client().call(RequestCode.GET_TOPIC_CONFIG, { topic: 'T' })).toMatchObject({
      code: 16,
      remark: expect.stringContaining('Nobody has no permission to access Topic:T from 127.0.0.1') as string,
    })
    // A name alone says nothing.
    const named = { topic: 'T', AccessKey: 'root' }
    expect(await client().call(RequestCode.GET_TOPIC_CONFIG, named)).toMatchObject({ code: 16 })
  })

  test('a code on the list of those that need no leave needs a signature', async () => {
    await root.send('x')
    const user = await normalUser('leaveless')
    expect(await user.call(RequestCode.GET_MAX_OFFSET, { topic: 'T', queueId: '0' })).toMatchObject({ code: 0 })
    expect(await client().call(RequestCode.GET_MAX_OFFSET, { topic: 'T', queueId: '0' })).toMatchObject({ code: 16 })
  })
})

describe('what they may do', () => {
  test('what no policy allows is refused: 16', async () => {
    const user = await normalUser('lonely')
    expect(await user.send('x')).toMatchObject({
      code: 16,
      remark: 'User:lonely has no permission to access Topic:T from 127.0.0.1, no matched policies.',
    })
    expect(await user.heartbeat({ producerDataSet: [{ groupName: 'p' }] })).toMatchObject({ code: 0 })
    expect(await user.call(RequestCode.AUTH_LIST_USER)).toMatchObject({ code: 16 })
    expect(await user.call(RequestCode.UPDATE_AND_CREATE_TOPIC, { topic: 'N' })).toMatchObject({ code: 16 })
  })

  test('a producer and a consumer do what is theirs, and nothing else', async () => {
    const producer = await normalUser('producer', entryOf('Topic:Or*', 'Pub'))
    const consumer = await normalUser('consumer', entryOf('Topic:Orders', 'Sub'), entryOf('Group:g', 'Sub'))
    const orders = { b: 'Orders' }
    expect(await producer.send('one', orders)).toMatchObject({ code: 0 })
    expect(await consumer.send('two', orders)).toMatchObject({ code: 16 })
    expect(await producer.pull({ topic: 'Orders' })).toMatchObject({ code: 16 })
    const heartbeat = { consumerDataSet: [consumerData('g', subscriptionData('Orders', '*', 1))] }
    expect(await producer.heartbeat(heartbeat)).toMatchObject({ code: 16 })
    expect(await consumer.heartbeat(heartbeat)).toMatchObject({ code: 0 })
    expect(await consumer.pull({ topic: 'Orders' })).toMatchObject({ code: 0 })
    expect(await consumer.pull({ topic: 'Orders', consumerGroup: 'other' })).toMatchObject({ code: 16 })
    expect(await consumer.call(RequestCode.LITE_PULL_MESSAGE, { ...pullFields(), topic: 'T' })).toMatchObject({
      code: 16,
    })
  })

  test('a denial wins, also over what is allowed everywhere', async () => {
    const user = await normalUser('denied', entryOf('*', 'All'), { ...entryOf('Topic:T', 'Pub'), decision: 'Deny' })
    expect(await user.send('x', { b: 'Other' })).toMatchObject({ code: 0 })
    expect(await user.send('x')).toMatchObject({
      code: 16,
      remark: expect.stringContaining('the decision is deny.') as string,
    })
  })

  test('only from where it is allowed', async () => {
    const near = { ...entryOf('Topic:T', 'Pub'), sourceIps: ['10.0.0.0/8', '127.0.0.0/8'] }
    expect(await (await normalUser('near', near)).send('x')).toMatchObject({ code: 0 })
    const far = { ...entryOf('Topic:T', 'Pub'), sourceIps: ['10.0.0.0/8'] }
    expect(await (await normalUser('far', far)).send('x')).toMatchObject({ code: 16 })
  })

  test('a body that cannot be read is refused: 16', async () => {
    const user = await normalUser('unreadable')
    expect(await user.call(RequestCode.HEART_BEAT, {}, Buffer.from('{'))).toMatchObject({
      code: 16,
      remark: expect.stringContaining('parse authorization context error.') as string,
    })
  })

  test('a message is given back by who may read it only', async () => {
    const own = await root.send('of another topic', { b: 'Given' })
    const place = String(Number.parseInt((own.extFields?.['msgId'] ?? '').slice(16), 16))
    const user = await normalUser('giver', entryOf('Group:g2', 'Sub'), entryOf('Topic:Given', 'Sub'))
    const stranger = await normalUser('stranger2', entryOf('Group:g2', 'Sub'))
    const fields = { offset: place, group: 'g2', delayLevel: '1', unitMode: 'false', maxReconsumeTimes: '16' }
    expect(await stranger.call(RequestCode.CONSUMER_SEND_MSG_BACK, fields)).toMatchObject({ code: 16 })
    expect(await user.call(RequestCode.CONSUMER_SEND_MSG_BACK, fields)).toMatchObject({ code: 0 })
  })

  test('a message is given to a client to consume for who may read it only, and without the fields that sign', async () => {
    const sent = await root.send('of a topic', { b: 'Direct' })
    const msgId = sent.extFields?.['msgId'] ?? ''
    const member = await normalUser('member', entryOf('Group:g3', 'Sub'), entryOf('Topic:Direct', 'Sub'))
    const heartbeat = { clientID: 'c3', consumerDataSet: [consumerData('g3', subscriptionData('Direct', '*', 1))] }
    expect(await member.heartbeat(heartbeat)).toMatchObject({ code: 0 })
    member.answerWanted = () => createResponse(ResponseCode.SUCCESS)
    const tool = await normalUser('tool', entryOf('Group:g3', 'Sub'), entryOf('Topic:Mine', 'Sub'))
    const fields = { consumerGroup: 'g3', clientId: 'c3', msgId, topic: 'Mine', brokerName: 'b' }
    expect(await tool.call(RequestCode.CONSUME_MESSAGE_DIRECTLY, fields)).toMatchObject({
      code: 16,
      remark: expect.stringContaining('no permission to access Topic:Direct') as string,
    })
    expect(member.wanted.size).toBe(0)
    await allow('tool', entryOf('Topic:Direct', 'Sub'))
    expect(await tool.call(RequestCode.CONSUME_MESSAGE_DIRECTLY, fields)).toMatchObject({ code: 0 })
    const { extFields } = await member.wanted.next()
    expect(extFields).toMatchObject({ msgId })
    expect(extFields).not.toHaveProperty('AccessKey')
    expect(extFields).not.toHaveProperty('Signature')
  })

  test('what is no message is read by nobody, not even where messages need no leave', async () => {
    const sent = await root.send('before')
    await normalUser('readable')
    await root.send('behind')
    const at = Number.parseInt((sent.extFields?.['msgId'] ?? '').slice(16), 16)
    const { bodyBytes } = await root.call(RequestCode.VIEW_MESSAGE_BY_ID, { offset: String(at) })
    const offset = String(at + bodyBytes.length + 48)
    expect(await root.call(RequestCode.VIEW_MESSAGE_BY_ID, { offset })).toMatchObject({
      code: 1,
      remark: `can not find message by the offset, ${offset}`,
    })
  })

  test('the end of a transaction that names no topic is for who may send to it', async () => {
    const half = await root.send('half', { b: 'Tx', i: 'TRAN_MSG\u0001true\u0002PGROUP\u0001pg\u0002', f: '4' })
    const fields = {
      producerGroup: 'pg',
      tranStateTableOffset: half.extFields?.['queueOffset'] ?? '',
      commitLogOffset: String(Number.parseInt((half.extFields?.['msgId'] ?? '').slice(16), 16)),
      commitOrRollback: '8',
      fromTransactionCheck: 'false',
      msgId: 'm',
    }
    const stranger = await normalUser('nobodys')
    const owner = await normalUser('owner', entryOf('Topic:Tx', 'Pub'))
    expect(await stranger.call(RequestCode.END_TRANSACTION, fields)).toMatchObject({ code: 16 })
    expect(await owner.call(RequestCode.END_TRANSACTION, fields)).toMatchObject({ code: 0 })
  })
})

describe('users', () => {
  test('are made, shown, changed and deleted', async () => {
    expect(await put(root, 'eve', { password: 'first', userType: 'normal' })).toMatchObject({ code: 0 })
    const shown = async () => {
      const { body } = await root.call(RequestCode.AUTH_GET_USER, { username: 'eve' })
      return body === undefined ? undefined : decodeUserInfo(body as Buffer)
    }
    const eve = { username: 'eve', password: 'first', userType: 'Normal', userStatus: 'enable' }
    expect(await shown()).toEqual(eve)
    expect(await put(root, 'eve', { userStatus: 'DISABLE' }, 'UPDATE')).toMatchObject({ code: 0 })
    expect(await put(root, 'eve', { password: 'second' }, 'UPDATE')).toMatchObject({ code: 0 })
    expect(await shown()).toEqual({ ...eve, password: 'second', userStatus: 'disable' })
    const listed = await root.call(RequestCode.AUTH_LIST_USER, { filter: 'ev' })
    expect(decodeUserInfos(listed.bodyBytes).map(({ username }) => username)).toEqual(['eve'])
    for (let times = 0; times < 2; times++) {
      expect(await root.call(RequestCode.AUTH_DELETE_USER, { username: 'eve' })).toMatchObject({ code: 0 })
    }
    expect(await shown()).toBeUndefined()
    expect(await root.call(RequestCode.AUTH_LIST_USER, { filter: 'nobody at all' })).toMatchObject({
      code: 0,
      body: undefined,
    })
  })

  test('that cannot be are refused as by Apache', async () => {
    const refused = async (answer: Promise<RemotingCommand>) => {
      const { code, remark } = await answer
      return [code, remark]
    }
    expect(await refused(put(root, '', { password: 'x' }))).toEqual([29, 'The username is blank'])
    expect(await refused(put(root, '', {}, 'UPDATE'))).toEqual([29, 'The username is blank'])
    expect(await refused(root.call(RequestCode.AUTH_GET_USER))).toEqual([29, 'The username is blank'])
    expect(await refused(put(root, 'nopass', {}))).toEqual([16, 'password can not be blank'])
    expect(await refused(put(root, 'root', { password: 'x' }))).toEqual([16, 'The user is existed'])
    expect(await refused(put(root, 'unknown', { password: 'x' }, 'UPDATE'))).toEqual([16, 'The user is not exist'])
    expect(await refused(root.call(RequestCode.AUTH_DELETE_USER))).toEqual([16, 'username can not be blank'])
  })

  test('of type Super are made, changed and deleted by such only: 1, 16', async () => {
    const admin = await normalUser('admin', entryOf('Cluster:C', 'All'))
    expect(await put(admin, 'normal', { password: 'x' })).toMatchObject({ code: 0 })
    expect(await put(admin, 'super', { password: 'x', userType: 'Super' })).toMatchObject({
      code: ResponseCode.SYSTEM_ERROR,
    })
    expect(await put(admin, 'admin', { userType: 'Super' }, 'UPDATE')).toMatchObject({
      code: ResponseCode.SYSTEM_ERROR,
    })
    expect(await put(admin, 'root', { password: 'x' }, 'UPDATE')).toMatchObject({ code: 16 })
    expect(await admin.call(RequestCode.AUTH_DELETE_USER, { username: 'root' })).toMatchObject({ code: 16 })
    expect(await put(root, 'super', { password: 'x', userType: 'Super' })).toMatchObject({ code: 0 })
  })

  test('have passwords that only a super user is told', async () => {
    const admin = await normalUser('looker', entryOf('Cluster:C', 'Get'))
    const one = decodeUserInfo((await admin.call(RequestCode.AUTH_GET_USER, { username: 'root' })).bodyBytes)
    expect(one).toMatchObject({ username: 'root', userType: 'Super', password: undefined })
    const all = decodeUserInfos((await admin.call(RequestCode.AUTH_LIST_USER)).bodyBytes)
    expect(all.filter(({ password }) => password !== undefined)).toEqual([])
  })
})

describe('policies', () => {
  const policyOf = (answer: RemotingCommand) =>
    decodeAclInfo(answer.bodyBytes).policies.map(({ policyType, entries }) => [
      policyType,
      ...entries.map(({ resource, actions, decision }) => `${resource} ${actions.join('|')} ${decision}`),
    ])
  const get = (username: string) => root.call(RequestCode.AUTH_GET_ACL, { subject: `User:${username}` })

  test('are added to, an entry at a time, and taken away', async () => {
    await normalUser('pol')
    expect(await get('pol')).toMatchObject({ code: 0, body: undefined })
    await allow('pol', entryOf('topic:A', 'pub', 'SUB', 'nonsense'))
    await allow('pol', entryOf('Topic:B', 'Pub'), entryOf('Topic:A', 'Get'))
    expect(policyOf(await get('pol'))).toEqual([['Custom', 'Topic:A Get Allow', 'Topic:B Pub Allow']])
    const remove = (more: object) => root.call(RequestCode.AUTH_DELETE_ACL, { subject: 'User:pol', ...more })
    expect(await remove({ resource: 'Topic:A' })).toMatchObject({ code: 0 })
    expect(policyOf(await get('pol'))).toEqual([['Custom', 'Topic:B Pub Allow']])
    expect(await remove({ resource: 'not one' })).toMatchObject({ code: 16, remark: 'The resource is null.' })
    expect(policyOf(await get('pol'))).toHaveLength(1)
    expect(await remove({ resource: 'Topic:B' })).toMatchObject({ code: 0 })
    expect(await remove({})).toMatchObject({ code: 16, remark: 'The acl is not exist.' })
  })

  test('count at once', async () => {
    const user = await normalUser('atonce')
    expect(await user.send('x')).toMatchObject({ code: 16 })
    await allow('atonce', entryOf('Topic:T', 'Pub'))
    expect(await user.send('x')).toMatchObject({ code: 0 })
    await root.call(RequestCode.AUTH_DELETE_ACL, { subject: 'User:atonce' })
    expect(await user.send('x')).toMatchObject({ code: 16 })
  })

  test('are listed by subject and by resource', async () => {
    await normalUser('list1', entryOf('Topic:Listed', 'Pub'), entryOf('Group:L', 'Sub'))
    await normalUser('list2', entryOf('Group:L', 'Sub'))
    const list = async (filters: Record<string, string>) =>
      decodeAclInfos((await root.call(RequestCode.AUTH_LIST_ACL, filters)).bodyBytes).map(({ subject }) => subject)
    expect(await list({ subjectFilter: 'list' })).toEqual(['User:list1', 'User:list2'])
    expect(await list({ subjectFilter: 'list', resourceFilter: 'Listed' })).toEqual(['User:list1'])
  })

  test.each<[string, AclEntryInfo[], string]>([
    ['no entries', [], 'The policies is empty.'],
    ['a resource that is none', [entryOf('Queue:q', 'Pub')], 'The resource is null.'],
    ['no action that is known', [entryOf('Topic:T', 'Push')], 'The actions is empty.'],
    ['Any', [entryOf('Topic:T', 'Any')], 'The actions can not be Any.'],
    ['a blank address', [{ ...entryOf('Topic:T', 'Pub'), sourceIps: [' '] }], 'The source ip is empty.'],
    ['an address that is none', [{ ...entryOf('Topic:T', 'Pub'), sourceIps: ['10.0.0'] }], 'The source ip is invalid.'],
    ['another decision', [{ ...entryOf('Topic:T', 'Pub'), decision: 'Maybe' }], 'The decision is null or illegal.'],
  ])('with %s are refused', async (_name, entries, remark) => {
    expect(await allow('root', ...entries)).toMatchObject({ code: 16, remark })
  })

  test('of nobody, and without a body, are refused', async () => {
    expect(await allow('ghost', entryOf('*', 'All'))).toMatchObject({
      code: 16,
      remark: 'The subject of User:ghost is not exist.',
    })
    expect(await root.call(RequestCode.AUTH_GET_ACL, { subject: 'User:ghost' })).toMatchObject({ code: 16 })
    expect(await root.call(RequestCode.AUTH_GET_ACL, {})).toMatchObject({
      code: 16,
      remark: 'The subject is not exist.',
    })
    expect(await root.call(RequestCode.AUTH_DELETE_ACL, {})).toMatchObject({ code: 16, remark: 'The subject is null.' })
    expect(await root.call(RequestCode.AUTH_UPDATE_ACL, { subject: 'User:root' })).toMatchObject({
      code: 1,
      remark: 'The body of acl is null',
    })
  })

  test('have an end', async () => {
    const entries = Array.from({ length: 1_001 }, (_, i) => entryOf(`Topic:T${i}`, 'Pub'))
    expect(await allow('root', ...entries)).toMatchObject({
      code: 16,
      remark: 'User:root would have 1001 entries, 1000 are allowed.',
    })
  })
})

test('a broker that asks nobody takes signed requests as any others, lets users be made, and shows no passwords', async () => {
  const open = await startBroker()
  const signing = new TestClient(open.broker.address, 479, { accessKey: 'who', secretKey: 'ever' })
  try {
    expect(await signing.send('x')).toMatchObject({ code: 0 })
    expect(await signing.pull()).toMatchObject({ code: 0 })
    expect(await put(signing, 'first', { password: 'x', userType: 'Super' })).toMatchObject({ code: 0 })
    const { bodyBytes } = await signing.call(RequestCode.AUTH_GET_USER, { username: 'first' })
    expect(decodeUserInfo(bodyBytes)).toMatchObject({ userType: 'Super', password: undefined })
    const listed = await signing.call(RequestCode.AUTH_LIST_USER)
    expect(decodeUserInfos(listed.bodyBytes)).toMatchObject([{ username: 'first', password: undefined }])
  } finally {
    signing.close()
    await open.close()
  }
})
