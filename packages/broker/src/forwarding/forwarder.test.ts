/** Requests that only the leader can do: one hop, marked; patience while nobody leads; honest answers. */
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { silentLogger, systemClock } from '@dledger-ts/base'
import { formatHostAddress } from '@dledger-ts/protocol'
import {
  type Connection,
  createRequest,
  createResponse,
  FRAME_BYTES_MAX,
  RemotingClient,
  type RemotingCommand,
  RemotingServer,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import type { StoreStatus } from '@dledger-ts/store'
import { afterEach, describe, expect, test } from 'vitest'
import type { RequestOrigin } from '../auth/access-control.ts'
import { storeStatus } from '../testing/store-status.ts'
import { encodeAdvertised } from './advertised.ts'
import { Forwarder } from './forwarder.ts'

const closers: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

interface Seen {
  readonly bornHost: string
  readonly origin: RequestOrigin
  readonly request: RemotingCommand
}

/** A member: a server whose requests are done here while it leads, and forwarded while it does not. */
async function member(name: string) {
  const seen: Seen[] = []
  const state: { status: StoreStatus; isLeader: boolean } = { status: storeStatus({ self: name }), isLeader: false }
  const mark = `mark of ${name}`
  const forwarder: Forwarder = new Forwarder({
    clock: systemClock,
    logger: silentLogger,
    ownMark: mark,
    status: () => state.status,
    isLeader: () => state.isLeader,
    run: (connection, request) => run(connection, request),
  })
  const run = (connection: Connection, request: RemotingCommand) => {
    const bornHost = formatHostAddress(forwarder.bornHostOf(connection, request))
    seen.push({ bornHost, request, origin: forwarder.originOf(connection, request) })
    connection.respond(request, createResponse(ResponseCode.SUCCESS, `done by ${name}`))
  }
  const server = new RemotingServer({
    host: '127.0.0.1',
    ports: [0],
    processors: new Map([
      [
        RequestCode.SEND_MESSAGE,
        (connection: Connection, request: RemotingCommand) => {
          if (state.isLeader) run(connection, request)
          else forwarder.forward(connection, request)
          return undefined
        },
      ],
    ]),
  })
  await server.start()
  closers.push(() => server.close())
  closers.push(() => forwarder.close())
  const address = `127.0.0.1:${server.ports[0]}`
  const follows = (leader: string, leaderAddress: string) => {
    state.isLeader = false
    state.status = storeStatus({ self: name, leader, leaderAddress })
    forwarder.leaderChanged()
  }
  const leads = () => {
    state.isLeader = true
    state.status = storeStatus({ self: name, role: 'LEADER', leader: name, ready: true })
    forwarder.leaderChanged()
  }
  return { seen, forwarder, server, address, advertised: encodeAdvertised({ address, mark }), follows, leads }
}

/** It takes requests and answers none. */
async function silentLeader() {
  const asked: Connection[] = []
  const take = (connection: Connection): undefined => {
    asked.push(connection)
  }
  const server = new RemotingServer({
    host: '127.0.0.1',
    ports: [0],
    processors: new Map([[RequestCode.SEND_MESSAGE, take]]),
  })
  await server.start()
  closers.push(() => server.close())
  return { asked, advertised: encodeAdvertised({ address: `127.0.0.1:${server.ports[0]}`, mark: 'm' }) }
}

function client() {
  const remoting = new RemotingClient()
  closers.push(() => remoting.close())
  return (address: string, extFields: Record<string, string> = {}, body = Buffer.from('body')) => {
    const request = createRequest(RequestCode.SEND_MESSAGE, { topic: 'T', ...extFields }, body)
    request.language = 'GO'
    request.version = 317
    return remoting.invoke(address, request, 10_000)
  }
}

describe('one hop', () => {
  test('where a request came from is believed under the own mark only', async () => {
    const [leader, send] = [await member('n1'), client()]
    leader.leads()
    const fields = { __FORWARD_BORN_HOST: '10.1.2.3:4' }
    await send(leader.address, { ...fields, __FORWARD_MARK: 'mark of n1' })
    await send(leader.address, { ...fields, __FORWARD_MARK: 'mark of n2' })
    await send(leader.address, fields)
    const none = { ip: '127.0.0.1', added: [] }
    expect(leader.seen.map(({ origin }) => origin)).toEqual([
      { ip: '10.1.2.3', added: ['__FORWARD_MARK', '__FORWARD_BORN_HOST'] },
      none,
      none,
    ])
  })

  test('the leader sees the client behind the member that forwards', async () => {
    const [follower, leader, send] = [await member('n0'), await member('n1'), client()]
    leader.leads()
    follower.follows('n1', leader.advertised)
    const answer = await send(follower.address)
    expect(answer.remark).toBe('done by n1')
    const [{ bornHost, request } = { bornHost: '', request: answer }] = leader.seen
    const clientOfFollower = [...follower.server.connections][0]?.remoteAddress
    expect(bornHost).toBe(clientOfFollower)
    expect([request.language, request.version, request.bodyBytes.toString()]).toEqual(['GO', 317, 'body'])
    expect(request.extFields?.['topic']).toBe('T')
  })

  test('a host is believed only under the own mark', async () => {
    const [leader, send] = [await member('n1'), client()]
    leader.leads()
    await send(leader.address, { __FORWARD_MARK: 'made up', __FORWARD_BORN_HOST: '10.9.9.9:1' })
    expect(leader.seen[0]?.bornHost).toMatch(/^127\.0\.0\.1:/)
  })

  test('a marked request is not forwarded again, and the client hears 14', async () => {
    const [first, second, third, send] = [await member('n0'), await member('n1'), await member('n2'), client()]
    third.leads()
    second.follows('n2', third.advertised)
    const answer = await send(second.address, { __FORWARD_MARK: 'x' })
    expect(answer.code).toBe(ResponseCode.SERVICE_NOT_AVAILABLE)
    expect(third.seen).toEqual([])

    // A member with an old belief learns better while the request waits.
    first.follows('n1', second.advertised)
    const late = send(first.address)
    await until(() => first.forwarder.waitingCount === 1)
    first.follows('n2', third.advertised)
    expect((await late).remark).toBe('done by n2')
  })
})

describe('nobody leads', () => {
  test('a request waits for the next leader, here or elsewhere', async () => {
    const [a, b, send] = [await member('n0'), await member('n1'), client()]
    const here = send(a.address)
    await until(() => a.forwarder.waitingCount === 1)
    a.leads()
    expect((await here).remark).toBe('done by n0')
    const elsewhere = send(b.address)
    await until(() => b.forwarder.waitingCount === 1)
    b.follows('n0', a.advertised)
    expect((await elsewhere).remark).toBe('done by n0')
  })

  test('after the wait it is answered 14: certainly not done', async () => {
    const [a, send] = [await member('n0'), client()]
    const answer = await send(a.address)
    expect(answer.code).toBe(ResponseCode.SERVICE_NOT_AVAILABLE)
    expect(answer.remark).toBe('no leader is known')
  })

  test('closing answers what waits', async () => {
    const [a, send] = [await member('n0'), client()]
    const waiting = send(a.address)
    await until(() => a.forwarder.waitingCount === 1)
    a.forwarder.close()
    expect(await waiting).toMatchObject({
      code: ResponseCode.SERVICE_NOT_AVAILABLE,
      remark: 'this broker is shutting down',
    })
  })
})

describe('the leader is gone', () => {
  test('no more bytes are on their way to it than may wait: beyond, a request is refused as busy', async () => {
    const [a, send] = [await member('n0'), client()]
    const held = await silentLeader()
    a.follows('n1', held.advertised)
    const body = Buffer.alloc(12 * 1024 * 1024)
    const codes: number[] = []
    for (let i = 0; i < 7; i++) {
      send(a.address, {}, body).then(
        ({ code }) => codes.push(code),
        () => {},
      )
    }
    await until(() => codes.length === 2)
    expect(codes).toEqual([ResponseCode.SERVICE_NOT_AVAILABLE, ResponseCode.SERVICE_NOT_AVAILABLE])
    await until(() => held.asked.length === 5)
  })

  test('a request that no frame has room for with what is added fails alone, not all that are on their way', async () => {
    const [a, send] = [await member('n0'), client()]
    const held = await silentLeader()
    a.follows('n1', held.advertised)
    const other = send(a.address)
    await until(() => held.asked.length === 1)
    const room = 150
    const { code, remark } = await send(a.address, {}, Buffer.alloc(FRAME_BYTES_MAX - room))
    expect([code, remark]).toEqual([1, expect.stringMatching(/has room for the request/)])
    await send(a.address, { topic: 'x'.repeat(FRAME_BYTES_MAX - room) })
    const [connection] = held.asked
    expect(connection?.isClosed).toBe(false)
    connection?.close()
    expect((await other).remark).toMatch(/^not known whether it was done/)
  })

  test('nor are more given to a leader that reads nothing, one-way requests among them', async () => {
    const a = await member('n0')
    const unread: Socket[] = []
    const deaf = createServer((socket) => void unread.push(socket.pause()))
    await new Promise<void>((resolve) => deaf.listen(0, '127.0.0.1', resolve))
    closers.push(() => void deaf.close())
    closers.push(() => unread.forEach((socket) => socket.destroy()))
    const address = `127.0.0.1:${(deaf.address() as AddressInfo).port}`
    a.follows('n1', encodeAdvertised({ address, mark: 'm' }))
    const remoting = new RemotingClient()
    closers.push(() => remoting.close())
    const request = () => createRequest(RequestCode.SEND_MESSAGE, { topic: 'T' }, Buffer.alloc(12 * 1024 * 1024))
    for (let i = 0; i < 12; i++) remoting.oneway(a.address, request())
    const { code } = await remoting.invoke(a.address, request(), 10_000)
    expect(code).toBe(ResponseCode.SYSTEM_BUSY)
  })

  test('closing answers what the leader may be doing with 1: not known', async () => {
    const [a, send] = [await member('n0'), client()]
    const { asked, advertised } = await silentLeader()
    a.follows('n1', advertised)
    const waiting = send(a.address)
    await until(() => asked.length === 1)
    a.forwarder.close()
    expect((await waiting).code).toBe(ResponseCode.SYSTEM_ERROR)
  })

  test('a request that could not even be sent waits for the next leader', async () => {
    const [a, gone, next, send] = [await member('n0'), await member('n1'), await member('n2'), client()]
    await gone.server.close()
    next.leads()
    a.follows('n1', gone.advertised)
    const answer = send(a.address)
    await until(() => a.forwarder.waitingCount === 1)
    a.follows('n2', next.advertised)
    expect((await answer).remark).toBe('done by n2')
  })

  test('a request whose answer was lost is answered 1: not known', async () => {
    const [a, send] = [await member('n0'), client()]
    const silent = new RemotingServer({
      host: '127.0.0.1',
      ports: [0],
      processors: new Map([
        [
          RequestCode.SEND_MESSAGE,
          (connection: Connection) => {
            connection.close()
            return undefined
          },
        ],
      ]),
    })
    await silent.start()
    closers.push(() => silent.close())
    a.follows('n1', encodeAdvertised({ address: `127.0.0.1:${silent.ports[0]}`, mark: 'm' }))
    expect((await send(a.address)).code).toBe(ResponseCode.SYSTEM_ERROR)
  })
})

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}
