/** What is believed of whoever a name server lists as the master. */
import { type Clock, type Logger, silentLogger, systemClock } from '@dledger-ts/base'
import {
  type Credentials,
  createResponse,
  JoinAsSlaveRequest,
  JoinAsSlaveResponse,
  type Processor,
  RemotingServer,
  RequestCode,
  ResponseCode,
  tcpSockets,
} from '@dledger-ts/remoting'
import { afterEach, expect, test } from 'vitest'
import { JoinSeal } from './join-seal.ts'
import { Masters } from './masters.ts'

const CREDENTIALS: Credentials = { accessKey: 'inner', secretKey: 'secret of it' }
const COPY = {
  id: 's1',
  storeId: 'copy',
  masterStore: 'own',
  lastIndex: 12,
  lastTerm: 3,
  commitIndex: 11,
  commitTerm: 2,
  isGuessed: false,
}
const PARTED: JoinAsSlaveResponse = {
  verdict: 'PARTED',
  lastIndex: 7,
  memberId: 'n7',
  storeId: 'theirs',
  haAddress: 'm:2',
}

const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Somebody who is listed as the master, and a broker that asks there. */
async function listed(answered: Processor, credentials: Credentials | null) {
  const server = new RemotingServer({
    host: '127.0.0.1',
    ports: [0],
    processors: new Map([[RequestCode.JOIN_AS_SLAVE, answered]]),
  })
  await server.start()
  cleanups.push(() => server.close())
  const said: string[] = []
  const logger: Logger = { ...silentLogger, warn: (_fields: object, text: string) => void said.push(text) }
  let passedMs = 0
  const clock: Clock = {
    nowMs: () => systemClock.nowMs(),
    monotonicMs: () => systemClock.monotonicMs() + passedMs,
    after: (delayMs, callback) => systemClock.after(delayMs, callback),
    defer: (callback) => systemClock.defer(callback),
  }
  const masters = new Masters({
    brokerName: 'b',
    ownAddress: 's:1',
    namesrvAddresses: [],
    clock,
    logger,
    sockets: tcpSockets,
    credentials,
  })
  cleanups.push(() => masters.close())
  return {
    ask: () => masters.ask(`127.0.0.1:${server.ports[0]}`, COPY, 's:2'),
    said,
    pass: (ms: number) => void (passedMs += ms),
  }
}

const success = (answer: JoinAsSlaveResponse) => JoinAsSlaveResponse.response(ResponseCode.SUCCESS, answer)
/** A broker that answers so, with these credentials. */
const sealedBy =
  (credentials: Credentials): Processor =>
  (_connection, { extFields }) =>
    success(new JoinSeal(credentials).sealAnswer(JoinAsSlaveRequest.decode(extFields), PARTED))

test('with credentials, who has the same is believed', async () => {
  const { ask, said } = await listed(sealedBy(CREDENTIALS), CREDENTIALS)
  const { haAddress, lastIndex, memberId, storeId, verdict } = PARTED
  expect(await ask()).toEqual({ haAddress, lastIndex, memberId, storeId, verdict, address: expect.any(String) })
  expect(said).toEqual([])
})

test('with credentials, who does not prove to have the same is as if nobody were there', async () => {
  const bare = await listed(() => success(PARTED), CREDENTIALS)
  expect(await bare.ask()).toBeNull()
  expect(bare.said).toMatchObject([expect.stringMatching(/listed as the master of b.* has no innerClientAuth/)])
  const other = await listed(sealedBy({ ...CREDENTIALS, secretKey: 'guessed' }), CREDENTIALS)
  expect(await other.ask()).toBeNull()
  expect(other.said).toMatchObject([expect.stringMatching(/other innerClientAuth.*nothing that it says is believed/)])
})

test('an answer that was overheard is believed no second time', async () => {
  let overheard: JoinAsSlaveResponse | null = null
  const { ask } = await listed((_connection, { extFields }) => {
    const request = JoinAsSlaveRequest.decode(extFields)
    overheard ??= new JoinSeal(CREDENTIALS).sealAnswer(request, PARTED)
    return success(overheard)
  }, CREDENTIALS)
  expect(await ask()).toMatchObject({ verdict: 'PARTED' })
  expect(await ask()).toBeNull()
})

test('without credentials nothing is sealed, and whoever is listed is believed', async () => {
  const { ask } = await listed((_connection, { extFields }) => {
    expect(JoinAsSlaveRequest.decode(extFields)).not.toMatchObject({ seal: expect.any(String) })
    return success(PARTED)
  }, null)
  expect(await ask()).toMatchObject({ verdict: 'PARTED' })
})

test('the same fault is told again after ten minutes, another one after five seconds', async () => {
  let remark = 'first'
  const refuse: Processor = () => createResponse(ResponseCode.NO_PERMISSION, remark)
  const { ask, said, pass } = await listed(refuse, CREDENTIALS)
  const told = async (afterMs: number): Promise<number> => {
    pass(afterMs)
    expect(await ask()).toBeNull()
    return said.length
  }
  expect([await told(0), await told(0), await told(590_000), await told(10_000)]).toEqual([1, 1, 1, 2])
  remark = 'second'
  expect([await told(1_000), await told(4_000)]).toEqual([2, 3])
})
