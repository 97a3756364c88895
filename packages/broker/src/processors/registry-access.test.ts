/** What a member that does not lead passes on, refuses, and waits with, where senders are asked who they are. */
import { silentLogger } from '@dledger-ts/base'
import {
  type Connection,
  createRequest,
  createResponse,
  type RemotingCommand,
  signingKey,
  signRequest,
} from '@dledger-ts/remoting'
import { type AccessUser, StoreError } from '@dledger-ts/store'
import { beforeEach, expect, test } from 'vitest'
import { AccessControl } from '../auth/access-control.ts'
import { DOUBTS_MAX } from '../auth/doubts.ts'
import { type Dispatch, Registry } from './registry.ts'

const CODE = 17
const known: AccessUser = { username: 'known', password: 'the password of known', type: 'Super', status: 'enable' }
const late: AccessUser = { ...known, username: 'late' }

let users: Map<string, AccessUser>
let isLeader: boolean
let isRebuilding: boolean
let passedOn: RemotingCommand[]
let handled: RemotingCommand[]
let answers: RemotingCommand[]
/** Questions whether all is known that the leader knew. */
let questions: { answer(): void; fail(error: Error): void }[]
let table: ReturnType<Registry['table']>

const connection = {
  respond: (_request: RemotingCommand, response: RemotingCommand) => answers.push(response),
} as unknown as Connection

beforeEach(() => {
  users = new Map([['known', known]])
  isLeader = false
  isRebuilding = false
  passedOn = []
  handled = []
  answers = []
  questions = []
  const access = new AccessControl({
    settings: {
      authenticationEnabled: true,
      authorizationEnabled: true,
      authenticationWhitelist: new Set(),
      authorizationWhitelist: new Set(),
      clusterName: 'C',
    },
    access: () => ({ users, policies: new Map() }),
    originOf: () => ({ ip: '127.0.0.1', added: [] }),
  })
  const dispatch: Dispatch = {
    isLeader: () => isLeader,
    isRebuilding: () => isRebuilding,
    hasOtherLeader: () => true,
    caughtUp: () => new Promise((answer, fail) => questions.push({ answer, fail })),
    forward: (_connection, request) => passedOn.push(request),
    retry: () => false,
    logger: silentLogger,
    access,
  }
  const handle = (_connection: Connection, request: RemotingCommand): RemotingCommand => {
    handled.push(request)
    return createResponse(0)
  }
  table = new Registry(new Map([[CODE, { served: 'leader', handle }]]), dispatch).table()
})

function ask(user: AccessUser, extFields = {}, bodyBytes = 0): RemotingCommand {
  const request = createRequest(CODE, { topic: 'T', ...extFields }, Buffer.alloc(bodyBytes))
  request.version = 479
  request.receivedBytes = bodyBytes
  signRequest(request, { accessKey: user.username, secretKey: user.password }, signingKey(user.password))
  void table.get(CODE)?.(connection, request)
  return request
}

async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}

const codes = (): number[] => answers.map(({ code }) => code)

test('what it would allow goes to the leader at once, what another member passed on as well', () => {
  const requests = [ask(known), ask(late, { __FORWARD_MARK: 'some' })]
  expect(passedOn).toEqual(requests)
  expect(questions).toEqual([])
})

test('what a stranger sends does not: it is refused when all is known that the leader knew', async () => {
  ask(late)
  ask({ ...known, password: 'another' })
  expect([questions.length, answers]).toEqual([1, []])
  questions[0]?.answer()
  await settled()
  // The second came after the question was asked.
  expect([codes(), questions.length]).toEqual([[16], 2])
  questions[1]?.answer()
  await settled()
  expect(answers.map(({ remark }) => remark)).toEqual(['User:late is not found.', 'check signature failed.'])
  expect(passedOn).toEqual([])
})

test('who was made a user at the leader before is not refused', async () => {
  const request = ask(late)
  users.set('late', late)
  questions[0]?.answer()
  await settled()
  expect([passedOn, answers]).toEqual([[request], []])
})

test('a member that leads by then does it itself', async () => {
  const request = ask(late)
  users.set('late', late)
  isLeader = true
  questions[0]?.answer()
  await settled()
  expect([handled, codes()]).toEqual([[request], [0]])
})

test('where that cannot be known it is 14, and the next is asked for anew', async () => {
  ask(late)
  questions[0]?.fail(new StoreError('no leader is known', { code: 'NOT_LEADER', leader: null }))
  await settled()
  expect(codes()).toEqual([14])
  expect(answers[0]?.remark).toContain('no leader is known')
  ask(late)
  expect(questions.length).toBe(2)
})

test('a member that knows a part of its log only judges nothing', () => {
  isRebuilding = true
  const request = ask(late)
  expect(passedOn).toEqual([request])
})

test('strangers beyond a limit are refused as busy, by number and by bytes, and make one question at a time', async () => {
  for (let i = 0; i < DOUBTS_MAX + 2; i++) ask(late)
  expect([codes(), questions.length]).toEqual([[2, 2], 1])
  questions[0]?.answer()
  await settled()
  questions[1]?.answer()
  await settled()
  expect(codes().filter((code) => code === 16).length).toBe(DOUBTS_MAX)
  answers = []
  for (let i = 0; i < 3; i++) ask(late, {}, 8 * 1024 * 1024)
  expect(codes()).toEqual([2])
})
