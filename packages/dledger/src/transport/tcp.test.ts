/** What only the TCP transport has to keep: sockets, limits, strangers, and a peer whose process ends or says nonsense. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { type Logger, silentLogger, systemClock } from '@dledger-ts/base'
import { afterEach, describe, expect, it } from 'vitest'
import type { AppendEntries, Heartbeat, Message } from '../raft/messages.ts'
import { decodeControl, encodeControl } from './control-part.ts'
import { encodeFrame, encodeGreeting, FrameReader, type FrameSink } from './frame-codec.ts'
import { answerOf, answerValues, type Channel, introductionOf, introductionValues, WIRE_VERSION } from './greeting.ts'
import { DEFAULT_TRANSPORT_LIMITS, type TransportLimits } from './limits.ts'
import { messageOf, messageValues } from './message-codec.ts'
import { TcpTransport } from './tcp.ts'
import type { Hello, Refusal, TransportHandler } from './transport.ts'

const HELLO: Hello = {
  wireVersion: WIRE_VERSION,
  group: 'g',
  member: 'n0',
  storeId: 'store of n0',
  fileBytes: 1_024,
  advertised: '',
  incarnation: 1,
  formerIncarnations: [],
  leaseReads: false,
  standing: null,
}
const PEER_HELLO: Hello = { ...HELLO, member: 'n1', storeId: 'store of n1' }
const MIB = 1024 * 1024

const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

class Events implements TransportHandler {
  readonly log: string[] = []
  readonly messages: Message[] = []
  #waiters: (() => void)[] = []

  judge: (hello?: Hello) => null = () => null
  message(message: Message): void {
    this.messages.push(message)
    this.#add(`message ${message.type}`)
  }
  peerConnected(peer: string): void {
    this.#add(`connected ${peer}`)
  }
  peerLost(peer: string): void {
    this.#add(`lost ${peer}`)
  }
  peerRefused(peer: string, { why }: Refusal): void {
    this.#add(`refused ${peer}: ${why}`)
  }
  /** Waits until `count` events begin with this. */
  async seen(event: string, count = 1): Promise<void> {
    while (this.log.filter((entry) => entry.startsWith(event)).length < count) {
      await new Promise<void>((done) => this.#waiters.push(done))
    }
  }
  #add(entry: string): void {
    this.log.push(entry)
    for (const done of this.#waiters.splice(0)) done()
  }
}

async function startTransport(
  limits: Partial<TransportLimits> = {},
  peerPort: number | null = null,
  logger: Logger = silentLogger,
): Promise<{ transport: TcpTransport; events: Events }> {
  const peers = peerPort === null ? [] : [{ id: 'n1', host: 'localhost', port: peerPort }]
  const transport = new TcpTransport({
    self: 'n0',
    listenHost: '127.0.0.1',
    listenPort: 0,
    peers,
    clock: systemClock,
    logger,
    limits,
  })
  const events = new Events()
  cleanups.push(() => new Promise((resolve) => transport.close(resolve)))
  await new Promise<void>((resolve, reject) => {
    transport.start(HELLO, events, (error) => (error === null ? resolve() : reject(error)))
  })
  return { transport, events }
}

/** The other side, made of bare sockets, so that it can misbehave. */
class FakePeer {
  readonly server: Server
  readonly accepted = new Map<Channel, Socket>()
  readonly received: Message[] = []
  readonly dialed = new Map<Channel, Socket>()
  /** Reads nothing from the data connection once it has greeted. */
  deaf = false
  greets = true
  #waiters: (() => void)[] = []

  constructor() {
    this.server = createServer((socket) => this.#accept(socket))
    cleanups.push(() => {
      for (const socket of [...this.accepted.values(), ...this.dialed.values()]) socket.destroy()
      this.server.close()
    })
  }

  listen(): Promise<number> {
    return new Promise((resolve) => {
      this.server.listen(0, 'localhost', () => resolve((this.server.address() as { port: number }).port))
    })
  }

  /** Dials both connections to `transport` and waits for both welcomes. */
  async dial(transport: TcpTransport): Promise<void> {
    for (const channel of ['control', 'data'] as const) {
      const { socket, answer } = await greet(transport, introductionValues({ hello: PEER_HELLO, to: 'n0', channel }))
      expect(answer?.welcome).toBe(true)
      this.dialed.set(channel, socket)
    }
  }

  say(channel: Channel, message: Message): void {
    this.dialed.get(channel)?.write(encodeFrame(encodeControl(messageValues(message)), null))
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((done) => this.#waiters.push(done))
  }

  #accept(socket: Socket): void {
    let greeted = false
    const sink: FrameSink = {
      controlRead: (control, payloadBytes) => {
        const values = decodeControl(control)
        if (greeted) {
          this.received.push(messageOf(values, { from: 'n0', to: 'n1', storeId: HELLO.storeId }, payloadBytes))
          return
        }
        greeted = true
        reader.greeted()
        const { channel } = introductionOf(values)
        this.accepted.set(channel, socket)
        if (this.greets) {
          socket.write(encodeGreeting(encodeControl(answerValues({ welcome: true, hello: PEER_HELLO }))))
        }
        if (channel === 'data' && this.deaf) socket.pause()
      },
      frameRead: () => {},
    }
    const reader = new FrameReader(DEFAULT_TRANSPORT_LIMITS, sink, 'greetings')
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      reader.push(chunk)
      for (const done of this.#waiters.splice(0)) done()
    })
  }
}

/** Dials and says these values first. @returns the answer, or null when the connection was closed without one. */
function greet(transport: TcpTransport, values: readonly (string | number | boolean)[]) {
  const socket = connect(transport.listeningPort, '127.0.0.1')
  cleanups.push(() => {
    socket.destroy()
  })
  socket.on('error', () => {})
  socket.write(encodeGreeting(encodeControl(values)))
  return new Promise<{ socket: Socket; answer: ReturnType<typeof answerOf> | null }>((resolve) => {
    const sink: FrameSink = {
      controlRead: (control) => resolve({ socket, answer: answerOf(decodeControl(control)) }),
      frameRead: () => {},
    }
    const reader = new FrameReader(DEFAULT_TRANSPORT_LIMITS, sink, 'greetings')
    socket.on('data', (chunk: Buffer) => reader.push(chunk))
    socket.on('close', () => resolve({ socket, answer: null }))
  })
}

/** Dials and writes bytes that greet nobody. @returns once the other side has closed. */
function intrude(transport: TcpTransport, bytes: Buffer): Promise<void> {
  const socket = connect(transport.listeningPort, '127.0.0.1', () => socket.write(bytes))
  socket.on('error', () => {})
  socket.resume()
  return new Promise((resolve) => socket.on('close', () => resolve()))
}

async function connected(limits: Partial<TransportLimits> = {}, deaf = false) {
  const peer = new FakePeer()
  peer.deaf = deaf
  const { transport, events } = await startTransport(limits, await peer.listen())
  await peer.dial(transport)
  await events.seen('connected n1')
  return { peer, transport, events }
}

function heartbeat(to: string, round: number): Heartbeat {
  const own = to === 'n1' ? HELLO : PEER_HELLO
  return {
    type: 'Heartbeat',
    from: own.member,
    to,
    storeId: own.storeId,
    term: 1,
    commitIndex: -1,
    round,
    leaderCommit: -1,
    freshRound: 0,
    freshIncarnation: 0,
  }
}

function append(bytes: number): AppendEntries {
  return {
    type: 'AppendEntries',
    from: 'n0',
    to: 'n1',
    storeId: HELLO.storeId,
    term: 1,
    prevIndex: 0,
    prevTerm: 1,
    count: bytes === 0 ? 0 : 1,
    entriesTerm: 1,
    bytes,
    commitIndex: -1,
  }
}

describe('the TCP transport', () => {
  it('does not start on a port in use, and names it', async () => {
    const { transport } = await startTransport()
    const second = new TcpTransport({
      self: 'n0',
      listenHost: '127.0.0.1',
      listenPort: transport.listeningPort,
      peers: [],
      clock: systemClock,
      logger: silentLogger,
    })
    const error = await new Promise<Error | null>((resolve) => second.start(HELLO, new Events(), resolve))
    expect(error?.message).toBe(`cannot listen on 127.0.0.1:${transport.listeningPort}: the port is in use`)
    expect(error).toMatchObject({ code: 'INVALID' })
    await new Promise<void>((resolve) => second.close(resolve))
  })

  it('says once why a peer cannot be reached', async () => {
    const told: { peer: string; why: string }[] = []
    const logger = { ...silentLogger, warn: (facts: object) => void told.push(facts as { peer: string; why: string }) }
    const peer = new FakePeer()
    const port = await peer.listen()
    await new Promise((resolve) => peer.server.close(resolve))
    const { events } = await startTransport({ reconnectMinMs: 1, reconnectMaxMs: 5 }, port, logger)
    await events.seen('lost n1')
    await new Promise<void>((resolve) => void systemClock.after(100, resolve))
    expect(told).toEqual([
      { peer: 'n1', host: 'localhost', port, why: expect.stringMatching(/ECONNREFUSED/) as string },
    ])
  })

  it('says that the name of a peer is not known', async () => {
    const told: { why: string }[] = []
    const logger = { ...silentLogger, warn: (facts: object) => void told.push(facts as { why: string }) }
    const transport = new TcpTransport({
      self: 'n0',
      listenHost: '127.0.0.1',
      listenPort: 0,
      peers: [{ id: 'n1', host: 'no-such-host.invalid', port: 1 }],
      clock: systemClock,
      logger,
      limits: { connectTimeoutMs: 60_000 },
    })
    cleanups.push(() => new Promise((resolve) => transport.close(resolve)))
    await new Promise((resolve) => transport.start(HELLO, new Events(), resolve))
    const deadline = Date.now() + 20_000
    while (told.length === 0 && Date.now() < deadline) await new Promise((resolve) => setImmediate(resolve))
    expect(told[0]?.why).toMatch(/no-such-host.invalid/)
  })

  it('counts a peer as lost when its port refuses', async () => {
    const peer = new FakePeer()
    const port = await peer.listen()
    await new Promise((resolve) => peer.server.close(resolve))
    const { events } = await startTransport({}, port)
    await events.seen('lost n1')
  })

  it.each([
    { name: 'the control connection that we dialed', of: 'accepted', channel: 'control' },
    { name: 'the data connection that we dialed', of: 'accepted', channel: 'data' },
    { name: 'the control connection that the peer dialed', of: 'dialed', channel: 'control' },
    { name: 'the data connection that the peer dialed', of: 'dialed', channel: 'data' },
  ] as const)('counts a peer as lost when $name is reset or ends', async ({ of, channel }) => {
    for (const how of ['resetAndDestroy', 'end'] as const) {
      const { peer, events } = await connected()
      peer[of].get(channel)?.[how]()
      await events.seen('lost n1')
    }
  })

  it('tells a loss once for all four connections, and again after a word from the peer', async () => {
    const { peer, events } = await connected()
    peer.accepted.get('control')?.destroy()
    peer.accepted.get('data')?.destroy()
    peer.server.close()
    await events.seen('lost n1')
    peer.say('control', heartbeat('n0', 1))
    await events.seen('message Heartbeat')
    peer.dialed.get('control')?.destroy()
    await events.seen('lost n1', 2)
    peer.dialed.get('data')?.destroy()
    expect(events.log).toEqual(['connected n1', 'lost n1', 'message Heartbeat', 'lost n1'])
  })

  it('refuses a member that dialed the wrong address, one that it does not know, and itself', async () => {
    const { transport } = await connected()
    const rows = [
      { hello: PEER_HELLO, to: 'n2', why: 'n1 dialed "n2" and reached n0: an address is wrong' },
      { hello: { ...PEER_HELLO, member: 'n7' }, to: 'n0', why: '"n7" is not a peer of n0, whose peers are n1' },
      { hello: HELLO, to: 'n0', why: '"n0" is not a peer of n0, whose peers are n1' },
    ]
    for (const { hello, to, why } of rows) {
      const { answer } = await greet(transport, introductionValues({ hello, to, channel: 'control' }))
      expect(answer).toMatchObject({ welcome: false, why })
    }
    expect(transport.stats().refused).toBe(rows.length)
  })

  it('lets in whom the member adds to its peers on being asked, and dials it', async () => {
    const peer = new FakePeer()
    const port = await peer.listen()
    const { transport, events } = await startTransport()
    const standing = { lastTerm: 3, lastIndex: 70, address: `localhost:${port}`, stores: ['a', 'b'] }
    let said: Hello | null = null
    events.judge = (hello?: Hello) => {
      const address = hello?.standing?.address ?? null
      if (address === null) return null
      said = hello ?? null
      transport.setPeers([{ id: 'n1', address }])
      return null
    }
    const hello = { ...PEER_HELLO, standing }
    for (const channel of ['control', 'data'] as const) {
      const { answer } = await greet(transport, introductionValues({ hello, to: 'n0', channel }))
      expect(answer?.welcome).toBe(true)
    }
    await events.seen('connected n1')
    expect(said).toMatchObject({ member: 'n1', standing })
  })

  it.each([
    ['newer', WIRE_VERSION + 1, ['new', 'things', 12]],
    ['older', WIRE_VERSION - 1, []],
  ])('refuses a %s wire version whatever else its hello says', async (_, version, rest) => {
    const { transport } = await connected()
    const { answer } = await greet(transport, [101, version, 'g', 'n1', 'a store', 1_024, '', ...rest])
    const why = `the wire version differs: n0 speaks ${WIRE_VERSION}, n1 speaks ${version}`
    expect(answer).toMatchObject({ welcome: false, why })
  })

  it('closes a connection that speaks nonsense, counts it, and goes on with the others', async () => {
    const { peer, transport, events } = await connected({ helloTimeoutMs: 50 })
    const hello = encodeGreeting(encodeControl(introductionValues({ hello: PEER_HELLO, to: 'n0', channel: 'control' })))
    const payloadBeforeGreeting = Buffer.from(hello)
    payloadBeforeGreeting.writeUInt32BE(hello.readUInt32BE(0) + 10, 0)
    const nonsense = [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.alloc(4_096, 0xff),
      encodeGreeting(Buffer.from('not msgpack')),
      encodeGreeting(encodeControl(messageValues(heartbeat('n0', 1)))),
      payloadBeforeGreeting,
    ]
    for (const bytes of nonsense) await intrude(transport, bytes)
    expect(transport.stats().badFrames).toBe(nonsense.length)
    // Half a hello, and silence: closed by the time limit.
    await intrude(transport, hello.subarray(0, 20))
    peer.say('control', heartbeat('n0', 5))
    await events.seen('message Heartbeat')
    expect(events.log).toEqual(['connected n1', 'message Heartbeat'])
  })

  it('closes the connection of a peer that sends nonsense after its hello', async () => {
    const { peer, transport, events } = await connected()
    peer.dialed.get('control')?.write(encodeFrame(encodeControl([7, 1, -5, 1]), null))
    await events.seen('lost n1')
    expect(transport.stats()).toMatchObject({ badFrames: 1, received: 0 })
  })

  it('turns strangers away beyond the limit, and only those', async () => {
    const peer = new FakePeer()
    const limits = { greetingConnectionsMax: 2 }
    const { transport, events } = await startTransport(limits, await peer.listen())
    const strangers: Socket[] = []
    for (let i = 0; i < 2; i++) {
      await new Promise<void>((resolve) => {
        const socket = connect(transport.listeningPort, '127.0.0.1', resolve)
        strangers.push(socket)
        cleanups.push(() => void socket.destroy())
      })
    }
    await intrude(transport, Buffer.alloc(0))
    expect(transport.stats()).toMatchObject({ accepted: 3, refused: 1 })
    for (const stranger of strangers) await intrudeEnd(stranger)
    await peer.dial(transport)
    await events.seen('connected n1')
  })

  it('sends control messages past 64 MiB of data that a slow reader does not take', async () => {
    const { peer, transport } = await connected({}, true)
    const payload = [Buffer.alloc(MIB)]
    for (let i = 0; i < 100; i++) transport.send(append(MIB), payload)
    expect(transport.queuedBytes('n1')).toBeGreaterThan(32 * MIB)
    expect(transport.queuedBytes('n1')).toBeLessThan(66 * MIB)
    expect(transport.stats().dropped).toBeGreaterThan(0)
    transport.send(heartbeat('n1', 42), null)
    await peer.until(() => peer.received.length > 0)
    expect(peer.received).toEqual([heartbeat('n1', 42)])
    // The reader recovers: what was queued arrives whole.
    peer.accepted.get('data')?.resume()
    await peer.until(() => peer.received.length + transport.stats().dropped === 101)
    expect(transport.queuedBytes('n1')).toBeLessThan(MIB)
  })

  it('does not send a message that the other side would refuse for its length', async () => {
    const { peer, transport, events } = await connected({ payloadBytesMax: 1_000 })
    transport.send(append(1_001), [Buffer.alloc(1_001)])
    transport.send(append(1_000), [Buffer.alloc(1_000)])
    await peer.until(() => peer.received.length > 0)
    expect(peer.received).toEqual([append(1_000)])
    expect(transport.stats().dropped).toBe(1)
    expect(events.log).toEqual(['connected n1'])
  })

  it('gives a peer that answers nothing new connections, and does not call it lost', async () => {
    const { peer, transport, events } = await connected({ silenceMs: 60, reconnectMinMs: 1 })
    const before = peer.accepted.get('control')
    transport.send(heartbeat('n1', 1), null)
    await peer.until(() => peer.accepted.get('control') !== before && peer.accepted.size === 2)
    await events.seen('connected n1', 2)
    expect(events.log).toEqual(['connected n1', 'connected n1'])
  })

  describe('makes a data connection anew', () => {
    const LIMITS = { silenceMs: 30_000, dataSilenceMs: 60, dataSilenceMsMax: 100_000, reconnectMinMs: 1 }

    /** The peer speaks on the control connection all the while. */
    async function whileTalking<Result>(
      peer: FakePeer,
      transport: TcpTransport,
      work: Promise<Result>,
    ): Promise<Result> {
      let round = 0
      const cancel = setInterval(() => {
        transport.send(heartbeat('n1', ++round), null)
        peer.say('control', heartbeat('n0', round))
      }, 5)
      try {
        return await work
      } finally {
        clearInterval(cancel)
      }
    }

    it('on which alone nothing arrives, and leaves the control connection', async () => {
      const { peer, transport, events } = await connected(LIMITS, true)
      const before = new Map(peer.accepted)
      transport.send(append(0), null)
      await whileTalking(
        peer,
        transport,
        peer.until(() => peer.accepted.get('data') !== before.get('data')),
      )
      expect(peer.accepted.get('control')).toBe(before.get('control'))
      await events.seen('connected n1', 2)
      expect(events.log.filter((what) => what.startsWith('lost'))).toEqual([])
    })

    it('that takes no more, though much waits there', async () => {
      const { peer, transport } = await connected({ ...LIMITS, payloadBytesMax: 64 << 20 }, true)
      const before = new Map(peer.accepted)
      const bytes = 32 << 20
      transport.send(append(bytes), [Buffer.alloc(bytes)])
      await whileTalking(
        peer,
        transport,
        peer.until(() => peer.accepted.get('data') !== before.get('data')),
      )
      expect(peer.accepted.get('control')).toBe(before.get('control'))
    })

    it('but none whose entries are acknowledged, nor one on which nothing was asked', async () => {
      const { peer, transport } = await connected(LIMITS, true)
      const before = new Map(peer.accepted)
      const acknowledged: Message = {
        type: 'AppendEntriesResponse',
        from: 'n1',
        to: 'n0',
        storeId: PEER_HELLO.storeId,
        term: 1,
        success: true,
        matchIndex: 0,
        prevIndex: 0,
        lastIndex: 0,
        conflictTerm: 0,
        conflictFirstIndex: 0,
        incarnation: 1,
        recovering: false,
      }
      const answers = setInterval(() => {
        transport.send(append(0), null)
        peer.say('control', acknowledged)
      }, 5)
      const pause = (ms: number): Promise<void> => new Promise((resolve) => void systemClock.after(ms, resolve))
      await whileTalking(peer, transport, pause(400))
      clearInterval(answers)
      peer.say('control', acknowledged)
      await whileTalking(peer, transport, pause(300))
      expect(new Map(peer.accepted)).toEqual(before)
    })

    it('later each time where that does not help, so that what takes long on a slow way gets through', async () => {
      const { peer, transport } = await connected(LIMITS, true)
      let data = peer.accepted.get('data')
      const tookMs: number[] = []
      for (let i = 0; i < 4; i++) {
        const begunMs = performance.now()
        const cancel = setInterval(() => transport.send(append(0), null), 5)
        const former = data
        await whileTalking(
          peer,
          transport,
          peer.until(() => peer.accepted.get('data') !== former),
        )
        clearInterval(cancel)
        data = peer.accepted.get('data')
        tookMs.push(performance.now() - begunMs)
      }
      for (const [i, ms] of tookMs.entries()) expect(ms).toBeGreaterThan(55 * 2 ** i)
    })
  })

  it('does not take its own pause for the silence of a peer that has answered', async () => {
    const { peer, transport, events } = await connected({ silenceMs: 60, reconnectMinMs: 1 })
    const before = [peer.accepted.get('control'), peer.accepted.get('data')]
    transport.send(heartbeat('n1', 1), null)
    await peer.until(() => peer.received.length > 0)
    peer.say('control', heartbeat('n0', 1))
    const pauseEndsMs = performance.now() + 200
    while (performance.now() < pauseEndsMs);
    await events.seen('message Heartbeat')
    transport.send(heartbeat('n1', 2), null)
    await peer.until(() => peer.received.length > 1)
    expect([peer.accepted.get('control'), peer.accepted.get('data')]).toEqual(before)
  })

  it('dials again when a peer accepts and never answers the hello', async () => {
    const peer = new FakePeer()
    peer.greets = false
    const { transport, events } = await startTransport({ helloTimeoutMs: 30, reconnectMinMs: 1 }, await peer.listen())
    await peer.until(() => peer.accepted.size === 2)
    peer.greets = true
    await peer.dial(transport)
    await events.seen('connected n1')
    expect(events.log).toEqual(['connected n1'])
  })

  it('takes a new connection of a peer in place of its old one', async () => {
    const { peer, events, transport } = await connected()
    const former = peer.dialed.get('control') as Socket
    const over = new Promise((resolve) => former.on('close', resolve))
    await peer.dial(transport)
    await over
    peer.say('control', heartbeat('n0', 1))
    await events.seen('message Heartbeat')
    expect(events.log.filter((entry) => entry.startsWith('lost'))).toEqual([])
  })
})

function intrudeEnd(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on('close', () => resolve())
    socket.resume()
    socket.end()
  })
}
