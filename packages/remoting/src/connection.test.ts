/** Server and client over real sockets: what each connection promises, and that one never harms another. */
import { silentLogger } from '@dledger-ts/base'
import type { Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { RemotingClient, type RemotingClientOptions } from './client.ts'
import { createRequest, createResponse, decodeCommand, RemotingCommand, SerializeType } from './command.ts'
import type { Connection } from './connection.ts'
import { RemotingError } from './errors.ts'
import { encodeFrames, FrameDecoder } from './frame.ts'
import type { Processor } from './processor.ts'
import { RemotingServer, type RemotingServerOptions } from './server.ts'
import { ManualClock } from './testing/manual-clock.ts'
import { rawClient, rawServer, until } from './testing/pair.ts'

const ECHO = 1
const LATER = 2
const THROWS = 3
const REJECTS = 4
const LARGE = 5
const STALLS = 6
const REMARK = 7

const owned: (() => unknown)[] = []
afterEach(async () => {
  for (const close of owned.splice(0).reverse()) await close()
})

async function startServer(options: Partial<RemotingServerOptions> = {}, more: [number, Processor][] = []) {
  const held: { connection: Connection; request: RemotingCommand }[] = []
  const seen: RemotingCommand[] = []
  const closed: Connection[] = []
  const processors = new Map<number, Processor>([
    [
      ECHO,
      (_, request) => {
        seen.push(request)
        return createResponse(0, undefined, request.extFields, request.body)
      },
    ],
    [
      LATER,
      (connection, request) => {
        held.push({ connection, request })
        return undefined
      },
    ],
    [
      THROWS,
      () => {
        throw new TypeError('what went wrong')
      },
    ],
    [REJECTS, () => Promise.reject(new Error('what failed'))],
    [
      LARGE,
      (_, request) => createResponse(0, undefined, undefined, Buffer.alloc(Number(request.extFields?.['bytes']))),
    ],
    ...more,
  ])
  const server = new RemotingServer({
    host: '127.0.0.1',
    ports: [0],
    processors,
    connectionClosed: (connection) => closed.push(connection),
    ...options,
  })
  await server.start()
  owned.push(() => server.close())
  const port = server.ports[0] as number
  return { server, port, address: `127.0.0.1:${port}`, held, seen, closed }
}

function newClient(options: RemotingClientOptions = {}): RemotingClient {
  const client = new RemotingClient(options)
  owned.push(() => client.close())
  return client
}

function stall(ms: number): void {
  const endMs = performance.now() + ms
  while (performance.now() < endMs);
}

function frame(command: RemotingCommand, opaque = 0): Buffer {
  command.opaque = opaque
  return Buffer.concat(encodeFrames([command]))
}

function commands(bytes: Buffer): RemotingCommand[] {
  const found: RemotingCommand[] = []
  new FrameDecoder((chunk, at, end) => {
    found.push(decodeCommand(chunk, at, end))
    return true
  }).push(bytes)
  return found
}

/** A frame with that text as its header. */
function rawJson(header: Buffer): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32BE(4 + header.length, 0)
  head.writeUInt32BE(header.length, 4)
  return Buffer.concat([head, header])
}

/** A frame with a binary header that has one field. */
function rawBinary(code: number, opaque: number, key: Buffer, value: Buffer): Buffer {
  const header = Buffer.alloc(21 + 2 + 4)
  header.writeInt16BE(code, 0)
  header.writeInt32BE(opaque, 5)
  header.writeInt32BE(2 + key.length + 4 + value.length, 17)
  header.writeInt16BE(key.length, 21)
  const valueBytes = Buffer.alloc(4)
  valueBytes.writeInt32BE(value.length)
  const frame = rawJson(Buffer.concat([header.subarray(0, 23), key, valueBytes, value]))
  frame[4] = SerializeType.ROCKETMQ
  return frame
}

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no error',
    (error: unknown) => (error instanceof RemotingError ? error.code : String(error)),
  )
}

describe('a server', () => {
  it('answers with the opaque, the serialization, our version and our language', async () => {
    const { port } = await startServer()
    const { socket, received } = await rawClient(port)
    owned.push(() => socket.destroy())
    for (const type of [SerializeType.JSON, SerializeType.ROCKETMQ] as const) {
      const request = createRequest(ECHO, { a: 'b' }, Buffer.from('body'))
      Object.assign(request, { serializeType: type, language: 'GO', version: 317 })
      socket.write(frame(request, 70 + type))
      await until(() => commands(received()).length === 1 + type)
      const answer = commands(received())[type] as RemotingCommand
      expect(answer).toMatchObject({ code: 0, opaque: 70 + type, version: 479, language: 'JAVA', serializeType: type })
      expect(answer.isResponse).toBe(true)
      expect(answer.isOneway).toBe(false)
      expect(answer.bodyBytes.toString()).toBe('body')
    }
  })

  it('has written an answer before anything else is looked at, together with those that were given with it', async () => {
    const waiting: number[] = []
    const { address } = await startServer({}, [
      [
        REMARK,
        (connection) => {
          setImmediate(() => waiting.push(connection.unwrittenBytes))
          return createResponse(0, undefined, undefined, Buffer.alloc(100))
        },
      ],
    ])
    const client = newClient()
    await Promise.all([1, 2].map(() => client.invoke(address, createRequest(REMARK), 3000)))
    expect(waiting).toEqual([0, 0])
  })

  it('answers what no frame has room for with 1, and goes on: what a client wrote may be longer in the answer', async () => {
    const { port } = await startServer({}, [
      [REMARK, (_, request) => createResponse(0, `no topic ${request.extFields?.['topic']}`)],
    ])
    const { socket, received } = await rawClient(port)
    owned.push(() => socket.destroy())
    // Each byte that is no UTF-8 is read as a character of three.
    const topic = Buffer.alloc(6 * 1024 * 1024, 0xff)
    const key = Buffer.alloc(30_000, 0xff)
    socket.write(
      rawJson(
        Buffer.concat([Buffer.from(`{"code":${REMARK},"opaque":1,"extFields":{"topic":"`), topic, Buffer.from('"}}')]),
      ),
    )
    socket.write(rawBinary(REMARK, 2, Buffer.from('topic'), topic))
    socket.write(rawBinary(ECHO, 3, key, Buffer.from('value')))
    socket.write(frame(createRequest(ECHO), 4))
    await until(() => commands(received()).length === 4)
    const answers = commands(received()).map(({ opaque, code, remark }) => [opaque, code, remark])
    const refused = 'no frame has room for the answer'
    expect(answers).toEqual([
      [1, 1, refused],
      [2, 1, refused],
      [3, 1, refused],
      [4, 0, undefined],
    ])
  })

  it('answers split and glued frames', async () => {
    const { port } = await startServer()
    const { socket, received } = await rawClient(port)
    owned.push(() => socket.destroy())
    const bytes = Buffer.concat(
      Array.from({ length: 20 }, (_, i) => frame(createRequest(ECHO, {}, Buffer.alloc(i)), i)),
    )
    for (let at = 0; at < bytes.length; at += 37) {
      socket.write(bytes.subarray(at, at + 37))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await until(() => commands(received()).length === 20)
    expect(commands(received()).map((answer) => answer.opaque)).toEqual(Array.from({ length: 20 }, (_, i) => i))
  })

  it('answers an unknown code with 3, an exception and a rejection with 1', async () => {
    const { address } = await startServer()
    const client = newClient()
    expect(await client.invoke(address, createRequest(999), 1000)).toMatchObject({
      code: 3,
      remark: ' request type 999 not supported',
    })
    expect(await client.invoke(address, createRequest(THROWS), 1000)).toMatchObject({
      code: 1,
      remark: 'TypeError: what went wrong',
    })
    expect(await client.invoke(address, createRequest(REJECTS), 1000)).toMatchObject({
      code: 1,
      remark: 'Error: what failed',
    })
  })

  it('never answers a one-way request, whatever becomes of it', async () => {
    const { port, seen } = await startServer()
    const { socket, received } = await rawClient(port)
    owned.push(() => socket.destroy())
    for (const code of [ECHO, THROWS, REJECTS, 999]) {
      const request = createRequest(code)
      request.markOneway()
      socket.write(frame(request))
    }
    socket.write(frame(createRequest(ECHO), 5))
    await until(() => received().length > 0)
    expect(seen.length).toBe(2)
    expect(commands(received()).map((answer) => answer.opaque)).toEqual([5])
  })

  it('answers later and in any order', async () => {
    const { address, held } = await startServer()
    const client = newClient()
    const first = client.invoke(address, createRequest(LATER, { n: '1' }), 5000)
    const second = client.invoke(address, createRequest(LATER, { n: '2' }), 5000)
    await until(() => held.length === 2)
    for (const { connection, request } of held.reverse())
      connection.respond(request, createResponse(0, request.extFields?.['n']))
    expect([(await first).remark, (await second).remark]).toEqual(['1', '2'])
  })

  it('keeps the body of each request that waits, whatever arrives meanwhile', async () => {
    const { address, held } = await startServer()
    const clients = [newClient(), newClient()]
    const bodies = [40, 5_000, 40_000, 300_000].map((bytes, i) => Buffer.alloc(bytes, i + 1))
    const answers: Promise<RemotingCommand>[] = []
    for (const [i, body] of bodies.entries()) {
      answers.push((clients[i % 2] as RemotingClient).invoke(address, createRequest(LATER, undefined, body), 5000))
      await until(() => held.length === i + 1)
    }
    for (const { connection, request } of held)
      connection.respond(request, createResponse(0, undefined, undefined, request.body))
    const given = await Promise.all(answers)
    // The answers' bodies, too, are kept while others arrive.
    await clients[0]?.invoke(address, createRequest(ECHO, undefined, Buffer.alloc(60_000, 0xee)), 5000)
    for (const [i, { bodyBytes }] of given.entries()) expect(bodyBytes.equals(bodies[i] as Buffer)).toBe(true)
  })

  it('answers everybody, each in order, where connections take turns', async () => {
    const clock = new ManualClock()
    const costly: [number, Processor] = [777, () => (clock.advance(5), createResponse(0))]
    const { server, port } = await startServer({ clock }, [costly])
    const [clients, each] = [20, 10]
    const raw = await Promise.all(Array.from({ length: clients }, () => rawClient(port)))
    // One is accepted in each pass of the event loop: else they would never wait for each other.
    await until(() => server.connections.size === clients)
    for (const { socket } of raw) owned.push(() => socket.destroy())
    for (let i = 0; i < each; i++)
      for (const [client, { socket }] of raw.entries()) socket.write(frame(createRequest(777), 100 * client + i))
    await until(() => raw.every(({ received }) => commands(received()).length === each))
    for (const [client, { received }] of raw.entries()) {
      const opaques = commands(received()).map((answer) => answer.opaque)
      expect(opaques).toEqual(Array.from({ length: each }, (_, i) => 100 * client + i))
    }
  })

  it('forgets who hangs up while it waits for its turn', async () => {
    const clock = new ManualClock()
    const costly: [number, Processor] = [777, () => (clock.advance(30), createResponse(0))]
    const { port, closed } = await startServer({ clock }, [costly])
    const raw = await Promise.all(Array.from({ length: 10 }, () => rawClient(port)))
    for (const { socket } of raw) {
      owned.push(() => socket.destroy())
      socket.write(frame(createRequest(777), 1))
    }
    for (const { socket } of raw.slice(5)) socket.destroy()
    await until(() => closed.length === 5 && raw.slice(0, 5).every(({ received }) => commands(received()).length === 1))
  })

  it('does not answer twice', async () => {
    const { address, held } = await startServer()
    const answered = newClient().invoke(address, createRequest(LATER), 5000)
    await until(() => held.length === 1)
    const { connection, request } = held[0] as (typeof held)[0]
    connection.respond(request, createResponse(0))
    expect(() => connection.respond(request, createResponse(0))).toThrow('a request is answered once')
    await answered
  })

  it.each([
    { name: 'a frame over the limit', bytes: Buffer.from('7fffffff', 'hex') },
    { name: 'a senseless length', bytes: Buffer.alloc(4) },
    { name: 'a header that is no JSON', bytes: Buffer.from('00000008000000047b7b7b7b', 'hex') },
    { name: 'an HTTP request', bytes: Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n') },
  ])('closes the connection that sends $name, counts it, and harms no other', async ({ bytes }) => {
    const { port, address, server, closed } = await startServer()
    const client = newClient()
    await client.invoke(address, createRequest(ECHO), 1000)
    const bad = await rawClient(port)
    bad.socket.write(bytes)
    await bad.closed
    expect(server.counters.malformedFrames).toBe(1)
    await until(() => closed.length === 1)
    expect((await client.invoke(address, createRequest(ECHO), 1000)).code).toBe(0)
    expect(server.connections.size).toBe(1)
  })

  it('answers what came before the nonsense of others, and still serves after a hundred bad connections', async () => {
    const { port, address, server } = await startServer()
    for (let i = 0; i < 100; i++) {
      const bad = await rawClient(port)
      bad.socket.write(Buffer.from([i, 255, i, i, 7, 7]))
      bad.socket.end()
      await bad.closed
    }
    await until(() => server.connections.size === 0)
    expect((await newClient().invoke(address, createRequest(ECHO), 1000)).code).toBe(0)
  })

  it('closes a connection that was silent for 120 s, and not one that spoke meanwhile', async () => {
    const clock = new ManualClock()
    const { port, server, closed } = await startServer({ clock })
    const [silent, alive] = [await rawClient(port), await rawClient(port)]
    owned.push(() => alive.socket.destroy())
    await until(() => server.connections.size === 2)
    clock.advance(60_000)
    alive.socket.write(frame(createRequest(ECHO)))
    await until(() => alive.received().length > 0)
    clock.advance(59_999)
    expect(closed.length).toBe(0)
    clock.advance(10_001)
    await silent.closed
    expect(server.counters.idleConnections).toBe(1)
    expect(server.connections.size).toBe(1)
  })

  it('stops reading from a peer that does not take its answers, and goes on when it does', async () => {
    let served = 0
    const { port, server } = await startServer({ limits: { unwrittenBytesHigh: 1_000_000 } }, [
      [
        LARGE,
        () => {
          served++
          return createResponse(0, undefined, undefined, Buffer.alloc(500_000))
        },
      ],
    ])
    const { socket, received, receivedBytes } = await rawClient(port)
    owned.push(() => socket.destroy())
    socket.pause()
    const count = 100
    let sent = 0
    await until(() => server.connections.size === 1)
    const [connection] = server.connections as Set<Connection>
    while (sent < count && connection?.isReadingPaused === false) {
      socket.write(frame(createRequest(LARGE), sent++))
      await until(() => served === sent || connection.isReadingPaused)
    }
    // What the kernel takes comes on top of the limit; without it, it would be fifty megabytes.
    expect(served).toBeLessThan(count)
    while (sent < count) socket.write(frame(createRequest(LARGE), sent++))
    socket.resume()
    await until(() => receivedBytes() > count * 500_000)
    expect(commands(received()).map((answer) => answer.opaque)).toEqual(Array.from({ length: count }, (_, i) => i))
    expect(connection?.isReadingPaused).toBe(false)
  })

  it('handles no more of what it has read while too much waits to be written', async () => {
    let served = 0
    const bytes = 500_000
    const { port } = await startServer({ limits: { unwrittenBytesHigh: 1_000_000 } }, [
      [
        LARGE,
        () => {
          served++
          return createResponse(0, undefined, undefined, Buffer.alloc(bytes))
        },
      ],
    ])
    const { socket, received, receivedBytes } = await rawClient(port)
    owned.push(() => socket.destroy())
    const count = 100
    socket.pause()
    socket.write(Buffer.concat(Array.from({ length: count }, (_, i) => frame(createRequest(LARGE), i))))
    await until(() => served > 0)
    // All came in one piece; the rest of it waits.
    expect(served).toBeLessThan(10)
    await newClient().invoke(`127.0.0.1:${port}`, createRequest(ECHO, undefined, Buffer.alloc(60_000, 0xee)), 5000)
    socket.resume()
    await until(() => receivedBytes() > count * bytes)
    expect(commands(received()).map((answer) => answer.opaque)).toEqual(Array.from({ length: count }, (_, i) => i))
  })

  it('closes the slowest of those for which too much waits together, and no peer that reads', async () => {
    const { port, server, closed } = await startServer({ unwrittenBytesMax: 40_000_000 })
    const slow = await Promise.all([1, 2, 3].map(() => rawClient(port)))
    for (const { socket } of slow) owned.push(() => socket.destroy())
    for (const [i, { socket }] of slow.entries()) {
      socket.pause()
      socket.write(frame(createRequest(LARGE, { bytes: String(15_000_000 + i * 1_000_000) })))
    }
    await until(() => closed.length === 1)
    expect(server.connections.size).toBe(2)
    const { socket, received } = await rawClient(port)
    owned.push(() => socket.destroy())
    socket.write(frame(createRequest(ECHO), 7))
    await until(() => commands(received()).length === 1)
    expect([closed.length, server.connections.size]).toEqual([1, 3])
  })

  it('closes who leaves a frame unfinished, where others have no room for theirs, and nobody who finishes', async () => {
    const { port, server, address } = await startServer({ unfinishedBytesMax: 7_000_000 })
    const part = frame(createRequest(ECHO, {}, Buffer.alloc(4_000_000))).subarray(0, 3_900_000)
    const [first, second] = [await rawClient(port), await rawClient(port)]
    owned.push(() => first.socket.destroy())
    owned.push(() => second.socket.destroy())
    first.socket.write(part)
    const client = newClient()
    for (let i = 0; i < 5; i++) {
      const answer = await client.invoke(address, createRequest(ECHO, {}, Buffer.alloc(1_500_000)), 10_000)
      expect(answer.bodyBytes).toHaveLength(1_500_000)
    }
    expect(server.connections.size).toBe(3)
    second.socket.write(part)
    await first.closed
    expect((await client.invoke(address, createRequest(ECHO), 10_000)).code).toBe(0)
    expect(server.connections.size).toBe(2)
  })

  it('and a client that both have much to write do not wait for each other', async () => {
    const { port, server } = await startServer({ limits: { unwrittenBytesHigh: 1_000_000 } })
    const client = new RemotingClient()
    owned.push(() => client.close())
    const body = Buffer.alloc(1_000_000, 'x')
    const answers = await Promise.all(
      Array.from({ length: 60 }, () =>
        client.invoke(`127.0.0.1:${port}`, createRequest(ECHO, undefined, body), 20_000),
      ),
    )
    expect(answers.every((answer) => answer.bodyBytes.equals(body))).toBe(true)
    expect(server.connections.size).toBe(1)
  })

  it('closes a peer for which more than the limit waits', async () => {
    const { port, closed } = await startServer({ limits: { unwrittenBytesMax: 5_000_000 } })
    const { socket } = await rawClient(port)
    owned.push(() => socket.destroy())
    socket.pause()
    socket.write(frame(createRequest(LARGE, { bytes: '50000000' })))
    await until(() => closed.length === 1)
  })

  it('writes the answers of one pass in few pieces', async () => {
    const { port } = await startServer()
    const { socket, received } = await rawClient(port)
    owned.push(() => socket.destroy())
    let reads = 0
    socket.on('data', () => reads++)
    socket.write(Buffer.concat(Array.from({ length: 100 }, (_, i) => frame(createRequest(ECHO), i))))
    await until(() => commands(received()).length === 100)
    expect(reads).toBeLessThan(10)
  })

  it('refuses connections beyond its limit', async () => {
    const { port, server } = await startServer({ connectionsMax: 1 })
    const first = await rawClient(port)
    owned.push(() => first.socket.destroy())
    await until(() => server.connections.size === 1)
    await (
      await rawClient(port)
    ).closed
    expect(server.counters.refusedConnections).toBe(1)
  })

  it('listens on several ports', async () => {
    const { server } = await startServer({ ports: [0, 0] })
    const client = newClient()
    for (const port of server.ports) {
      expect((await client.invoke(`127.0.0.1:${port}`, createRequest(ECHO), 1000)).code).toBe(0)
    }
  })

  it('names the port that is taken, and leaves none of its own open', async () => {
    const { port } = await startServer()
    const other = new RemotingServer({ host: '127.0.0.1', ports: [0, port], processors: new Map() })
    await expect(other.start()).rejects.toMatchObject({ detail: { code: 'LISTEN_FAILED', host: '127.0.0.1', port } })
    expect(other.ports.filter((own) => own !== 0)).toEqual([])
  })

  it('sends out the last answers before it closes', async () => {
    const { address, held, server } = await startServer()
    const answered = newClient().invoke(address, createRequest(LATER), 5000)
    await until(() => held.length === 1)
    const { connection, request } = held[0] as (typeof held)[0]
    connection.respond(request, createResponse(0, 'last', undefined, Buffer.alloc(100_000)))
    await server.close()
    expect((await answered).remark).toBe('last')
  })

  it('sends them out whole to a peer that goes on sending', async () => {
    const { port, held, server } = await startServer()
    const { socket, receivedBytes, closed } = await rawClient(port)
    owned.push(() => socket.destroy())
    socket.write(frame(createRequest(LATER)))
    await until(() => held.length === 1)
    const { connection, request } = held[0] as (typeof held)[0]
    // The kernel has all of it, and its peer not: what is closed by a reset is forgotten.
    socket.pause()
    connection.respond(request, createResponse(0, undefined, undefined, Buffer.alloc(1_000_000)))
    await until(() => (connection as Connection).unwrittenBytes === 0)
    // Unread when the server ends the connection: to close it then would reset it.
    socket.write(Buffer.concat(Array.from({ length: 1_000 }, (_, i) => frame(createRequest(ECHO), i))))
    await server.close()
    socket.resume()
    await closed
    expect(receivedBytes()).toBeGreaterThan(1_000_000)
  })

  it('does not wait for a peer that takes nothing when it closes', async () => {
    const clock = new ManualClock()
    const { port, server } = await startServer({ clock })
    const { socket } = await rawClient(port)
    owned.push(() => socket.destroy())
    socket.pause()
    socket.write(frame(createRequest(LARGE, { bytes: '50000000' })))
    await until(() => server.connections.size === 1)
    const [connection] = server.connections
    await until(() => (connection as Connection).unwrittenBytes > 0)
    const closed = server.close()
    clock.advance(1000)
    await closed
    expect(server.connections.size).toBe(0)
  })

  it('shows IPv4 peers as IPv4, on a listener for both', async () => {
    const addresses: string[] = []
    const server = new RemotingServer({
      host: '::',
      ports: [0],
      processors: new Map(),
      connectionOpened: (connection) => addresses.push(connection.remoteIp),
    })
    await server.start()
    owned.push(() => server.close())
    const { socket } = await rawClient(server.ports[0] as number)
    owned.push(() => socket.destroy())
    await until(() => addresses.length === 1)
    expect(addresses).toEqual(['127.0.0.1'])
  })
})

describe('a server and its clients', () => {
  it('ask each other over one connection, with equal opaques under way in both directions', async () => {
    const asked: number[] = []
    const { address, server, held } = await startServer()
    const client = newClient({
      processors: new Map<number, Processor>([
        [
          40,
          (_, request) => {
            asked.push(request.opaque)
            return createResponse(0, 'from the client')
          },
        ],
      ]),
    })
    const answered = client.invoke(address, createRequest(LATER), 5000)
    await until(() => held.length === 1)
    const [connection] = server.connections
    const answer = await (connection as Connection).invoke(createRequest(40), 1000)
    expect(answer.remark).toBe('from the client')
    expect(asked).toEqual([held[0]?.request.opaque])
    connection?.respond((held[0] as (typeof held)[0]).request, createResponse(0, 'from the server'))
    expect((await answered).remark).toBe('from the server')
    ;(connection as Connection).oneway(createRequest(40))
    await until(() => asked.length === 2)
  })

  it('counts an answer that nobody waits for', async () => {
    const { port, server } = await startServer()
    const { socket } = await rawClient(port)
    owned.push(() => socket.destroy())
    socket.write(frame(createResponse(0), 77))
    await until(() => server.counters.strayResponses === 1)
  })
})

describe('a client', () => {
  it('keeps one connection to each address, and makes a new one after it was lost', async () => {
    const { address, server } = await startServer()
    const client = newClient()
    await Promise.all(Array.from({ length: 20 }, () => client.invoke(address, createRequest(ECHO), 1000)))
    expect(server.counters.acceptedConnections).toBe(1)
    client.closeAddress(address)
    expect(client.addresses).toEqual([])
    expect((await client.invoke(address, createRequest(ECHO), 1000)).code).toBe(0)
    expect(server.counters.acceptedConnections).toBe(2)
  })

  it('fails all that wait at once when the connection is lost', async () => {
    const { address, server, held } = await startServer()
    const client = newClient()
    const waiting = Array.from({ length: 10 }, () => codeOf(client.invoke(address, createRequest(LATER), 60_000)))
    await until(() => held.length === 10)
    for (const connection of server.connections) connection.close()
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['CONNECTION_LOST']))
  })

  it('fails at once when nobody listens', async () => {
    const { port, server } = await rawServer(() => {})
    await new Promise((resolve) => server.close(resolve))
    expect(await codeOf(newClient().invoke(`127.0.0.1:${port}`, createRequest(ECHO), 60_000))).toBe('CONNECT_FAILED')
  })

  it.each(['nonsense', 'host:', 'host:0', 'host:70000', ':80', ''])('fails for the address %j', async (address) => {
    expect(await codeOf(newClient().invoke(address, createRequest(ECHO), 60_000))).toBe('CONNECT_FAILED')
  })

  it('tells a request that its time is over, and survives the answer that comes later', async () => {
    const clock = new ManualClock()
    const { address, held } = await startServer()
    const client = newClient({ clock })
    const waiting = codeOf(client.invoke(address, createRequest(LATER), 3000))
    await until(() => held.length === 1)
    clock.advance(3000)
    expect(await waiting).toBe('TIMEOUT')
    const { connection, request } = held[0] as (typeof held)[0]
    connection.respond(request, createResponse(0))
    await until(() => client.counters.strayResponses === 1)
    expect((await client.invoke(address, createRequest(ECHO), 1000)).code).toBe(0)
  })

  it('takes an answer that came while this process stood still beyond its time', async () => {
    const { address } = await startServer({}, [
      [
        STALLS,
        () => {
          // Once the answer is with the kernel, which is at the end of this pass, nothing runs for a while.
          queueMicrotask(() => setImmediate(() => stall(400)))
          return createResponse(0)
        },
      ],
    ])
    const client = newClient()
    await client.invoke(address, createRequest(ECHO), 5_000)
    const answer = await client.invoke(address, createRequest(STALLS), 300)
    expect(answer.code).toBe(0)
    expect(await codeOf(client.invoke(address, createRequest(LATER), 1))).toBe('TIMEOUT')
  })

  it('gives up connecting after its time', async () => {
    const clock = new ManualClock()
    const { address } = await startServer()
    const client = newClient({ clock })
    const waiting = codeOf(client.invoke(address, createRequest(ECHO), 60_000))
    // Within this pass of the event loop, so before the connection can be there.
    clock.advance(3000)
    expect(['CONNECT_FAILED']).toContain(await waiting)
    expect(client.addresses).toEqual([])
  })

  it('refuses more than its limit without sending', async () => {
    const { address, held } = await startServer()
    const client = newClient({ limits: { pendingMax: 2 } })
    const waiting = [1, 2].map(() => codeOf(client.invoke(address, createRequest(LATER), 60_000)))
    expect(await codeOf(client.invoke(address, createRequest(LATER), 60_000))).toBe('BUSY')
    await until(() => held.length === 2)
    client.close()
    expect(await Promise.all(waiting)).toEqual(['CLOSED', 'CLOSED'])
    expect(await codeOf(client.invoke(address, createRequest(ECHO), 1000))).toBe('CLOSED')
  })

  it('tells of a request that no frame has room for, sends it not, and goes on', async () => {
    const { address, seen } = await startServer()
    const client = newClient()
    const tooLarge = [
      createRequest(ECHO, { topic: 'x'.repeat(17 * 1024 * 1024) }),
      createRequest(ECHO, {}, Buffer.alloc(16 * 1024 * 1024)),
    ]
    for (const request of tooLarge)
      expect(await codeOf(client.invoke(address, request, 10_000))).toBe('FRAME_TOO_LARGE')
    client.oneway(address, createRequest(ECHO, { topic: 'x'.repeat(17 * 1024 * 1024) }))
    const mixed = [createRequest(ECHO, {}, Buffer.alloc(16 * 1024 * 1024)), createRequest(ECHO)]
    const outcomes = await Promise.all(mixed.map((request) => codeOf(client.invoke(address, request, 10_000))))
    expect(outcomes).toEqual(['FRAME_TOO_LARGE', 'no error'])
    expect(seen).toHaveLength(1)
  })

  it('outlives a handler that throws', async () => {
    const { address } = await startServer()
    const logged: string[] = []
    const logger = { ...silentLogger, error: (_: unknown, event: string) => logged.push(event) }
    const client = newClient({ logger })
    const throws = () => {
      throw new RemotingError('not understood', { code: 'BAD_BODY', what: 'x' })
    }
    client.invokeCallback(address, createRequest(ECHO), 5000, { responded: throws, failed: throws })
    expect((await client.invoke(address, createRequest(ECHO), 5000)).code).toBe(0)
    expect(logged).toEqual(['a response handler failed'])
    expect(client.counters.malformedFrames).toBe(0)
  })

  it('is told that a connection is gone when a handler throws, and so are all who wait', async () => {
    const { address, server, held } = await startServer()
    const logged: string[] = []
    const logger = { ...silentLogger, error: (_: unknown, event: string) => logged.push(event) }
    const closed: string[] = []
    const client = newClient({ logger, connectionClosed: (of) => closed.push(of) })
    const throws = () => {
      throw new TypeError('no')
    }
    client.invokeCallback(address, createRequest(LATER), 60_000, { responded: throws, failed: throws })
    const waiting = codeOf(client.invoke(address, createRequest(LATER), 60_000))
    await until(() => held.length === 2)
    for (const connection of server.connections) connection.close()
    expect(await waiting).toBe('CONNECTION_LOST')
    expect([logged, closed, client.addresses]).toEqual([['a response handler failed'], [address], []])
  })

  it('keeps no more than its limit for an address while it connects', async () => {
    const { address } = await startServer()
    const client = newClient({ limits: { unwrittenBytesMax: 1_000 } })
    const waiting = codeOf(client.invoke(address, createRequest(ECHO, undefined, Buffer.alloc(900)), 60_000))
    client.oneway(address, createRequest(ECHO, undefined, Buffer.alloc(900)))
    expect(client.addresses).toEqual([])
    expect(await waiting).toBe('CONNECT_FAILED')
  })

  it('closes on nonsense from a server, and fails what waits', async () => {
    const { port, server } = await rawServer((socket: Socket) => {
      socket.once('data', () => socket.write(Buffer.from('ffffffff', 'hex')))
    })
    owned.push(() => server.close())
    const client = newClient()
    expect(await codeOf(client.invoke(`127.0.0.1:${port}`, createRequest(ECHO), 60_000))).toBe('FRAME_TOO_LARGE')
    expect(client.counters.malformedFrames).toBe(1)
  })

  it('sends one-way requests, and drops them when nobody listens', async () => {
    const { address, seen } = await startServer()
    const client = newClient()
    client.oneway(address, createRequest(ECHO))
    client.oneway('nonsense', createRequest(ECHO))
    await until(() => seen.length === 1)
    expect(seen[0]?.isOneway).toBe(true)
  })
})

describe('bodies that are lent', () => {
  const lent = (released: string[], name: string) => {
    const response = createResponse(0, undefined, undefined, [Buffer.alloc(50_000, 1), Buffer.alloc(50_000, 2)])
    response.releasable = { release: () => released.push(name) }
    return response
  }

  it('are given back when they are written, when the request was one-way, and when the connection is gone', async () => {
    const released: string[] = []
    const { address, held } = await startServer()
    const client = newClient()
    const answered = client.invoke(address, createRequest(LATER), 5000)
    client.oneway(address, createRequest(LATER))
    const lost = codeOf(client.invoke(address, createRequest(LATER), 5000))
    await until(() => held.length === 3)
    const [first, oneway, last] = held.splice(0) as [(typeof held)[0], (typeof held)[0], (typeof held)[0]]
    first.connection.respond(first.request, lent(released, 'written'))
    oneway.connection.respond(oneway.request, lent(released, 'one-way'))
    expect(released).toEqual(['one-way'])
    expect((await answered).bodyBytes.length).toBe(100_000)
    await until(() => released.length === 2)
    last.connection.close()
    last.connection.respond(last.request, lent(released, 'gone'))
    expect(released).toEqual(['one-way', 'written', 'gone'])
    expect(await lost).toBe('CONNECTION_LOST')
  })

  it('are given back when the connection closes before they are written', async () => {
    const released: string[] = []
    const { address, held } = await startServer()
    const lost = codeOf(newClient().invoke(address, createRequest(LATER), 5000))
    await until(() => held.length === 1)
    const { connection, request } = held[0] as (typeof held)[0]
    connection.respond(request, lent(released, 'unsent'))
    connection.close()
    expect(released).toEqual(['unsent'])
    expect(await lost).toBe('CONNECTION_LOST')
  })
})

describe('listeners of the end of a connection', () => {
  it('are called once, at once when it ended already, and not after they were taken back', async () => {
    const { address, held } = await startServer()
    const client = newClient()
    const lost = codeOf(client.invoke(address, createRequest(LATER), 5000))
    await until(() => held.length === 1)
    const { connection } = held[0] as (typeof held)[0]
    const calls: string[] = []
    connection.onClose(() => calls.push('a'))
    connection.onClose(() => calls.push('b'))()
    client.closeAddress(address)
    await until(() => connection.isClosed)
    connection.close()
    connection.onClose(() => calls.push('late'))
    expect(calls).toEqual(['a', 'late'])
    await lost
  })
})

it('a request that is made while its connection is being lost goes over a new one', async () => {
  const { address, held } = await startServer()
  const client = newClient()
  const answer = new Promise<RemotingCommand>((resolve, reject) => {
    client.invokeCallback(address, createRequest(LATER), 5_000, {
      responded: () => reject(new Error('nobody answers this')),
      failed: () => client.invokeCallback(address, createRequest(ECHO), 5_000, { responded: resolve, failed: reject }),
    })
  })
  await until(() => held.length === 1)
  held[0]?.connection.close()
  expect((await answer).code).toBe(0)
  expect(client.addresses).toEqual([address])
})
