/** Who knows the secret is heard; nobody else is, whatever was overheard. */
import { connect, createServer, type Socket } from 'node:net'
import { silentLogger, systemClock } from '@dledger-ts/base'
import { afterEach, describe, expect, it } from 'vitest'
import { decodeControl, encodeControl, type Scalar } from './control-part.ts'
import { encodeGreeting, FrameError, FrameReader, type FrameSink, GREETING_HEAD_BYTES } from './frame-codec.ts'
import { answerOf, answerValues, introductionValues, WIRE_VERSION } from './greeting.ts'
import { DEFAULT_TRANSPORT_LIMITS } from './limits.ts'
import { Doorkeeper, Visitor } from './secret.ts'
import { TcpTransport } from './tcp.ts'
import type { Hello, Refusal, TransportHandler } from './transport.ts'

const SECRET = 'known to the members only'
const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function hello(member: string): Hello {
  const storeId = `store of ${member}`
  return {
    wireVersion: WIRE_VERSION,
    group: 'g',
    member,
    storeId,
    fileBytes: 1_024,
    advertised: '',
    incarnation: 1,
    formerIncarnations: [],
    leaseReads: false,
    standing: null,
  }
}

class Events implements TransportHandler {
  readonly log: string[] = []
  readonly refusals: Refusal[] = []
  /** What is said to whoever says hello here. */
  refusal: Refusal | null = null
  #waiters: (() => void)[] = []

  judge(): Refusal | null {
    return this.refusal
  }
  message(): void {}
  peerConnected(peer: string): void {
    this.#add(`connected ${peer}`)
  }
  peerLost(): void {}
  peerRefused(peer: string, refusal: Refusal): void {
    this.refusals.push(refusal)
    this.#add(`refused ${peer}: ${refusal.why}`)
  }
  async first(): Promise<string> {
    while (this.log.length === 0) await new Promise<void>((done) => this.#waiters.push(done))
    return this.log[0] as string
  }
  #add(entry: string): void {
    this.log.push(entry)
    for (const done of this.#waiters.splice(0)) done()
  }
}

async function start(self: string, secret: string | null): Promise<{ transport: TcpTransport; events: Events }> {
  const listen = { listenHost: '127.0.0.1', listenPort: 0, peers: [] }
  const common = { self, clock: systemClock, logger: silentLogger, limits: { reconnectMinMs: 1, reconnectMaxMs: 20 } }
  const transport = new TcpTransport({ ...common, ...listen, ...(secret === null ? {} : { secret }) })
  const events = new Events()
  cleanups.push(() => new Promise((resolve) => transport.close(resolve)))
  await new Promise<void>((resolve, reject) => {
    transport.start(hello(self), events, (error) => (error === null ? resolve() : reject(error)))
  })
  return { transport, events }
}

async function pair(first: string | null, second: string | null) {
  const a = await start('n0', first)
  const b = await start('n1', second)
  const peers = [a, b].map(({ transport }, i) => ({ id: `n${i}`, address: `127.0.0.1:${transport.listeningPort}` }))
  for (const { transport } of [a, b]) transport.setPeers(peers)
  return { a, b }
}

describe('members with a shared secret', () => {
  it('connect when both know it', async () => {
    const { a, b } = await pair(SECRET, SECRET)
    expect([await a.events.first(), await b.events.first()]).toEqual(['connected n1', 'connected n0'])
    expect([a.transport.stats().refused, b.transport.stats().badFrames]).toEqual([0, 0])
  })

  it.each([
    { what: 'differs', second: 'known to somebody else', why: 'the shared secret differs from that of n0' },
    { what: 'is missing', second: null, why: 'n0 demands the shared secret' },
  ])('refuse one whose secret $what, and say so', async ({ second, why }) => {
    const { a, b } = await pair(SECRET, second)
    expect(await b.events.first()).toBe(`refused n0: ${why}`)
    expect(await a.events.first()).toMatch(/^refused n1: (the shared secret differs|n1 has no shared secret)/)
    expect([a.events.log, b.events.log].flat().filter((entry) => entry.startsWith('connected'))).toEqual([])
    expect(a.transport.stats().refused).toBeGreaterThan(0)
  })

  const outdated: Refusal = { kind: 'OUTDATED', why: 'another one leads', member: 'n1', configurationIndex: -1 }

  it('are told why they are refused by one that proves to know it', async () => {
    const a = await start('n0', SECRET)
    const b = await start('n1', SECRET)
    a.events.refusal = outdated
    b.transport.setPeers([{ id: 'n0', address: `127.0.0.1:${a.transport.listeningPort}` }])
    expect(await b.events.first()).toBe('refused n0: another one leads')
    expect(b.events.refusals).toMatchObject([outdated])
  })

  it('take the refusal of a stranger for no more than one: that a member was replaced or removed is proven', async () => {
    const stranger = createServer((socket) => {
      socket.on('error', () => {})
      socket.end(encodeGreeting(encodeControl(answerValues({ welcome: false, ...outdated }))))
    })
    await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve))
    cleanups.push(() => void stranger.close())
    const b = await start('n1', SECRET)
    b.transport.setPeers([{ id: 'n0', address: `127.0.0.1:${(stranger.address() as { port: number }).port}` }])
    expect(await b.events.first()).toBe('refused n0: another one leads')
    expect(b.events.refusals).toEqual([{ kind: 'STRANGER', why: outdated.why, member: '', configurationIndex: -1 }])
  })

  it('cannot be opened with a short one', () => {
    const options = { self: 'n0', listenHost: '127.0.0.1', listenPort: 0, peers: [] }
    expect(() => new TcpTransport({ ...options, clock: systemClock, logger: silentLogger, secret: 'short' })).toThrow(
      'a shared secret has at least 16 bytes',
    )
  })

  it('are not fooled by what was overheard on another connection', async () => {
    const { a, b } = await pair(SECRET, SECRET)
    await a.events.first()
    await b.events.first()
    // Everything that n1 says when it dials, kept by somebody between the two.
    const overheard: Buffer[] = []
    const port = a.transport.listeningPort
    const spy = createServer((near) => {
      const far = connect(port, '127.0.0.1')
      near.on('data', (chunk: Buffer) => void (overheard.push(chunk), far.write(chunk)))
      far.on('data', (chunk: Buffer) => near.write(chunk))
      for (const socket of [near, far]) socket.on('error', () => {})
      cleanups.push(() => void (near.destroy(), far.destroy()))
    })
    await new Promise<void>((resolve) => spy.listen(0, '127.0.0.1', resolve))
    cleanups.push(() => void spy.close())
    const c = await start('n1', SECRET)
    await new Promise<void>((resolve) => b.transport.close(resolve))
    const spyPort = (spy.address() as { port: number }).port
    c.transport.setPeers([{ id: 'n0', address: `127.0.0.1:${spyPort}` }])
    a.transport.setPeers([{ id: 'n1', address: `127.0.0.1:${c.transport.listeningPort}` }])
    expect(await c.events.first()).toBe('connected n0')
    const { refused } = a.transport.stats()
    const replayed = connect(port, '127.0.0.1')
    cleanups.push(() => void replayed.destroy())
    const answers = await answersTo(replayed, overheard)
    expect(answers.at(-1)).toMatchObject({ welcome: false, why: 'the shared secret differs from that of n0' })
    expect(a.transport.stats().refused).toBe(refused + 1)
  })
})

/** Writes what was overheard of the first of two connections, and reads until the other side closes. */
function answersTo(socket: Socket, overheard: readonly Buffer[]): Promise<unknown[]> {
  const frames: Buffer[] = []
  const kept: FrameSink = {
    controlRead: (control) => void frames.push(encodeGreeting(Buffer.from(control))),
    frameRead: () => {},
  }
  const splitter = new FrameReader(DEFAULT_TRANSPORT_LIMITS, kept, 'greetings')
  for (const chunk of overheard) splitter.push(chunk)
  const first = (code: number): Buffer =>
    frames.find((frame) => decodeControl(frame.subarray(GREETING_HEAD_BYTES))[0] === code) as Buffer
  const answers: unknown[] = []
  const sink: FrameSink = {
    controlRead: (control) => {
      const values = decodeControl(control)
      answers.push(values[0] === 105 ? 'challenge' : answerOf(values))
    },
    frameRead: () => {},
  }
  const reader = new FrameReader(DEFAULT_TRANSPORT_LIMITS, sink, 'greetings')
  socket.write(first(104))
  socket.write(first(106))
  return new Promise((resolve) => {
    socket.on('data', (chunk: Buffer) => reader.push(chunk))
    socket.on('close', () => resolve(answers))
  })
}

describe('a greeting with a secret', () => {
  const said: Scalar[] = introductionValues({ hello: hello('n1'), to: 'n0', channel: 'control' })

  function upToTheSeal(): { keeper: Doorkeeper; visitor: Visitor; seal: Scalar[] } {
    const keeper = new Doorkeeper(SECRET, 'n0')
    const visitor = new Visitor(SECRET, 'n0', said)
    const challenge = keeper.hear(visitor.first())
    if (challenge.kind !== 'SAY') throw new Error('a challenge is expected')
    const step = visitor.hear(challenge.values, false)
    if (step.kind !== 'SAY') throw new Error('a sealed hello is expected')
    return { keeper, visitor, seal: step.values }
  }

  it('hands over the hello and the answer as they were said', () => {
    const { keeper, visitor, seal } = upToTheSeal()
    expect(keeper.hear(seal)).toEqual({ kind: 'HEARD', values: said })
    expect(visitor.hear(keeper.answer([1, 'yes']), false)).toEqual({ kind: 'HEARD', values: [1, 'yes'] })
  })

  it('shows nothing of a hello whose seal or text was changed anywhere', () => {
    const { seal } = upToTheSeal()
    for (const at of [1, 2]) {
      for (let i = 0; i < (seal[at] as string).length - 2; i++) {
        const { keeper, seal: own } = upToTheSeal()
        const text = own[at] as string
        own[at] = `${text.slice(0, i)}${text[i] === 'A' ? 'B' : 'A'}${text.slice(i + 1)}`
        expect(keeper.hear(own)).toEqual({ kind: 'REFUSE', why: 'the shared secret differs from that of n0' })
      }
    }
  })

  it('takes no seal of another connection, nor its own words back', () => {
    const earlier = upToTheSeal()
    const { keeper, visitor, seal } = upToTheSeal()
    expect(keeper.hear(earlier.seal).kind).toBe('REFUSE')
    expect(visitor.hear(seal, false).kind).toBe('REFUSE')
    expect(visitor.hear(earlier.keeper.answer([1]), false).kind).toBe('REFUSE')
    expect(visitor.hear([102, 'welcome'], false).kind).toBe('REFUSE')
  })

  it('is nonsense with a nonce that is none', () => {
    for (const values of [[104], [104, ''], [104, 7], [104, 'x'.repeat(45)], [104, ' '.repeat(44)]]) {
      expect(() => new Doorkeeper(SECRET, 'n0').hear(values)).toThrow(FrameError)
    }
    expect(encodeControl([104, 'x'.repeat(44)]).length).toBeLessThan(60)
  })
})
