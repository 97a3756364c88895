/** What every transport does: one suite, run by the one in memory, the one over TCP and those of groups that share connections. */
import { silentLogger, systemClock } from '@dledger-ts/base'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AppendEntries, Heartbeat, Message } from '../raft/messages.ts'
import { WIRE_VERSION } from './greeting.ts'
import { type HostFrame, CONTROL_VALUES_MAX } from '../host/host-frames.ts'
import { DEFAULT_HOST_LIMITS } from '../host/host-limits.ts'
import { Multiplexer } from '../host/multiplexer.ts'
import { MemoryNetwork, MemoryTransport } from './memory.ts'
import { type PeerSockets, tcpPeerSockets } from './sockets.ts'
import { tlsPeerSockets } from '../testing/tls-sockets.ts'
import { TcpLinks } from './tcp-links.ts'
import { TcpTransport } from './tcp.ts'
import type { Hello, Refusal, Transport, TransportHandler } from './transport.ts'

/** Keeps all that a transport tells, and lets a test wait for it. */
class Recorder implements TransportHandler {
  readonly messages: { message: Message; payload: Buffer | null }[] = []
  readonly connected: { peer: string; hello: Hello }[] = []
  readonly lost: string[] = []
  readonly refused: { peer: string; why: string }[] = []
  #waiters: { condition: () => boolean; done: () => void }[] = []

  message(message: Message, payload: Buffer | null): void {
    this.messages.push({ message, payload })
    this.#look()
  }
  peerConnected(peer: string, hello: Hello): void {
    this.connected.push({ peer, hello })
    this.#look()
  }
  peerLost(peer: string): void {
    this.lost.push(peer)
    this.#look()
  }
  judge(): null {
    return null
  }

  peerRefused(peer: string, { why }: Refusal): void {
    this.refused.push({ peer, why })
    this.#look()
  }
  until(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve()
    return new Promise((done) => this.#waiters.push({ condition, done }))
  }
  #look(): void {
    const waiters = this.#waiters
    this.#waiters = waiters.filter(({ condition }) => !condition())
    for (const waiter of waiters) if (!this.#waiters.includes(waiter)) waiter.done()
  }
}

interface Member {
  readonly hello: Hello
  readonly transport: Transport
  readonly recorder: Recorder
}

interface Rig {
  /** Starts members that know each other by these names; a name again is a restart. */
  start(hellos: readonly Hello[]): Promise<Member[]>
}

class MemoryRig implements Rig {
  readonly #network = new MemoryNetwork(systemClock)
  readonly #names: readonly string[]

  constructor(names: readonly string[]) {
    this.#names = names
  }

  start(hellos: readonly Hello[]): Promise<Member[]> {
    return Promise.all(
      hellos.map((hello) => {
        const self = hello.member
        const transport = new MemoryTransport({ self, network: this.#network, clock: systemClock, peers: this.#names })
        return started({ hello, transport, recorder: new Recorder() })
      }),
    )
  }
}

class TcpRig implements Rig {
  readonly #names: readonly string[]
  readonly #ports = new Map<string, number>()
  readonly #running = new Map<string, TcpTransport>()
  readonly #sockets: PeerSockets

  constructor(names: readonly string[], sockets: PeerSockets = tcpPeerSockets) {
    this.#names = names
    this.#sockets = sockets
  }

  async start(hellos: readonly Hello[]): Promise<Member[]> {
    const members: Member[] = []
    for (const hello of hellos) {
      const self = hello.member
      const listenPort = this.#ports.get(self) ?? 0
      const transport = new TcpTransport({
        self,
        listenHost: '127.0.0.1',
        listenPort,
        peers: [],
        clock: systemClock,
        logger: silentLogger,
        sockets: this.#sockets,
      })
      members.push(await started({ hello, transport, recorder: new Recorder() }))
      this.#ports.set(self, transport.listeningPort)
      this.#running.set(self, transport)
    }
    for (const transport of this.#running.values()) {
      transport.setPeers(
        this.#names
          .filter((id) => this.#ports.has(id))
          .map((id) => ({ id, address: `127.0.0.1:${this.#ports.get(id)}` })),
      )
    }
    return members
  }
}

/** Each member on a node of its own. The nodes outlive it, and other groups are busy on them. */
class SharedRig implements Rig {
  readonly #names: readonly string[]
  readonly #nodes = new Map<string, { multiplexer: Multiplexer; links: TcpLinks<HostFrame> }>()

  constructor(names: readonly string[]) {
    this.#names = names
  }

  async start(hellos: readonly Hello[]): Promise<Member[]> {
    for (const { member } of hellos) if (!this.#nodes.has(member)) await this.#startNode(member)
    const peers = [...this.#nodes].map(([id, { links }]) => ({ id, host: '127.0.0.1', port: links.listeningPort }))
    for (const { multiplexer, links } of this.#nodes.values()) {
      multiplexer.setNodes(peers.map(({ id }) => id))
      links.setPeers(peers)
    }
    return Promise.all(
      hellos.map((hello) => {
        const node = this.#nodes.get(hello.member) as { multiplexer: Multiplexer }
        return started({ hello, transport: node.multiplexer.transport(hello.group), recorder: new Recorder() })
      }),
    )
  }

  async #startNode(self: string): Promise<void> {
    const options = { self, clock: systemClock, logger: silentLogger, limits: DEFAULT_HOST_LIMITS }
    const listen = { listenHost: '127.0.0.1', listenPort: 0, peers: [], valuesMax: CONTROL_VALUES_MAX }
    const links = new TcpLinks<HostFrame>({ ...options, ...listen })
    const multiplexer = new Multiplexer({ ...options, nodes: this.#names, links, runId: `a run of ${self}` })
    await new Promise<void>((resolve, reject) => {
      multiplexer.start((error) => (error === null ? resolve() : reject(error)))
    })
    this.#nodes.set(self, { multiplexer, links })
    nodes.push(() => new Promise((resolve) => multiplexer.close(resolve)))
    await this.#startOther(self, multiplexer)
  }

  /** Another group on the same nodes: every member answers a heartbeat with the next, for ever. */
  async #startOther(self: string, multiplexer: Multiplexer): Promise<void> {
    const own = hello(self, { group: 'other', storeId: `other store of ${self}` })
    const transport = multiplexer.transport('other')
    const say = (to: string, round: number): void => {
      transport.send({ ...heartbeat({ hello: own }, to, round), term: 7 }, null)
      const part = Buffer.alloc(1 + (round % 10_000), round)
      transport.send({ ...append({ hello: own }, to, round, [part]), term: 7 }, [part])
    }
    const handler: TransportHandler = {
      judge: () => null,
      message: (message) => {
        expect([message.term, message.storeId]).toEqual([7, `other store of ${message.from}`])
        if (message.type === 'Heartbeat') say(message.from, message.round + 1)
      },
      peerConnected: (peer) => say(peer, 0),
      peerLost: () => {},
      peerRefused: () => {},
    }
    await new Promise<void>((resolve, reject) => {
      transport.start(own, handler, (error) => (error === null ? resolve() : reject(error)))
    })
    nodes.unshift(() => new Promise((resolve) => transport.close(resolve)))
  }
}

function started(member: Member): Promise<Member> {
  open.push(member)
  return new Promise((resolve, reject) => {
    member.transport.start(member.hello, member.recorder, (error) => (error === null ? resolve(member) : reject(error)))
  })
}

function closed(member: Member): Promise<void> {
  return new Promise((resolve) => member.transport.close(resolve))
}

let open: Member[] = []
/** Closes what the members share. */
let nodes: (() => Promise<void>)[] = []
beforeEach(() => {
  open = []
  nodes = []
})
afterEach(async () => {
  await Promise.all(open.map(closed))
  for (const close of nodes) await close()
})

function hello(member: string, changes: Partial<Hello> = {}): Hello {
  return {
    wireVersion: WIRE_VERSION,
    group: 'g',
    member,
    storeId: `store of ${member}`,
    fileBytes: 1_024,
    advertised: `10.0.0.1:${member.length}`,
    incarnation: 1,
    formerIncarnations: [],
    leaseReads: false,
    standing: null,
    ...changes,
  }
}

function append(from: Pick<Member, 'hello'>, to: string, prevIndex: number, payload: readonly Buffer[]): AppendEntries {
  const bytes = payload.reduce((sum, part) => sum + part.length, 0)
  const count = bytes === 0 ? 0 : 1
  const { member, storeId } = from.hello
  return {
    type: 'AppendEntries',
    from: member,
    to,
    storeId,
    term: 1,
    prevIndex,
    prevTerm: 1,
    count,
    entriesTerm: count,
    bytes,
    commitIndex: -1,
  }
}

function heartbeat(from: Pick<Member, 'hello'>, to: string, round: number): Heartbeat {
  return {
    type: 'Heartbeat',
    from: from.hello.member,
    to,
    storeId: from.hello.storeId,
    term: 1,
    commitIndex: -1,
    round,
    leaderCommit: -1,
    freshRound: 0,
    freshIncarnation: 0,
  }
}

async function connectedPair(rig: Rig, changes: Partial<Hello> = {}): Promise<[Member, Member]> {
  const [a, b] = (await rig.start([hello('n0'), hello('n1', changes)])) as [Member, Member]
  await a.recorder.until(() => a.recorder.connected.length > 0)
  await b.recorder.until(() => b.recorder.connected.length > 0)
  return [a, b]
}

describe.each([
  { name: 'in memory', make: (names: readonly string[]): Rig => new MemoryRig(names) },
  { name: 'over TCP', make: (names: readonly string[]): Rig => new TcpRig(names) },
  { name: 'over TLS', make: (names: readonly string[]): Rig => new TcpRig(names, tlsPeerSockets) },
  {
    name: 'of one group of several over shared connections',
    make: (names: readonly string[]): Rig => new SharedRig(names),
  },
])('a transport $name', ({ name, make }) => {
  it('tells each side the hello of the other once they are connected', async () => {
    const [a, b] = await connectedPair(make(['n0', 'n1']))
    expect(a.recorder.connected).toEqual([{ peer: 'n1', hello: b.hello }])
    expect(b.recorder.connected).toEqual([{ peer: 'n0', hello: a.hello }])
    expect([...a.recorder.lost, ...b.recorder.lost]).toEqual([])
  })

  it('connects every pair of three members', async () => {
    const members = await make(['n0', 'n1', 'n2']).start([hello('n0'), hello('n1'), hello('n2')])
    for (const { recorder } of members) await recorder.until(() => recorder.connected.length === 2)
    expect(members.map(({ recorder }) => recorder.connected.map(({ peer }) => peer).sort())).toEqual([
      ['n1', 'n2'],
      ['n0', 'n2'],
      ['n0', 'n1'],
    ])
  })

  it('delivers messages as they were sent, with the payload in one piece', async () => {
    const [a, b] = await connectedPair(make(['n0', 'n1']))
    const parts = [Buffer.from('one '), Buffer.from(''), Buffer.from('two '), Buffer.from('three')]
    a.transport.send(append(a, 'n1', 4, parts), parts)
    await b.recorder.until(() => b.recorder.messages.length === 1)
    expect(b.recorder.messages[0]).toEqual({
      message: append(a, 'n1', 4, parts),
      payload: Buffer.from('one two three'),
    })
  })

  it('delivers a probe and a control message with null for the payload', async () => {
    const [a, b] = await connectedPair(make(['n0', 'n1']))
    a.transport.send(append(a, 'n1', 4, []), [])
    await b.recorder.until(() => b.recorder.messages.length === 1)
    a.transport.send(heartbeat(a, 'n1', 9), null)
    await b.recorder.until(() => b.recorder.messages.length === 2)
    expect(b.recorder.messages).toEqual([
      { message: append(a, 'n1', 4, []), payload: null },
      { message: heartbeat(a, 'n1', 9), payload: null },
    ])
  })

  it('keeps the order of messages of one type, in both directions at once', async () => {
    const [a, b] = await connectedPair(make(['n0', 'n1']))
    for (let i = 0; i < 500; i++) {
      const payload = [Buffer.alloc(1 + ((i * 397) % 9_000), i)]
      a.transport.send(append(a, 'n1', i, payload), payload)
      a.transport.send(heartbeat(a, 'n1', i), null)
      b.transport.send(heartbeat(b, 'n0', i), null)
    }
    await b.recorder.until(() => b.recorder.messages.length === 1_000)
    await a.recorder.until(() => a.recorder.messages.length === 500)
    const expected = Array.from({ length: 500 }, (_, i) => i)
    const appends = b.recorder.messages.filter(({ message }) => message.type === 'AppendEntries')
    expect(appends.map(({ message }) => (message as AppendEntries).prevIndex)).toEqual(expected)
    expect(appends.every(({ payload }, i) => payload?.equals(Buffer.alloc(1 + ((i * 397) % 9_000), i)))).toBe(true)
    for (const { messages } of [a.recorder, b.recorder]) {
      const rounds = messages.flatMap(({ message }) => (message.type === 'Heartbeat' ? [message.round] : []))
      expect(rounds).toEqual(expected)
    }
  })

  it('carries a payload of 24 MiB and counts it as queued until it has left', async () => {
    const [a, b] = await connectedPair(make(['n0', 'n1']))
    const part = Buffer.alloc(1024 * 1024)
    for (let i = 0; i < part.length; i++) part[i] = i % 251
    const parts = Array.from({ length: 24 }, () => part)
    expect(a.transport.queuedBytes('n1')).toBe(0)
    a.transport.send(append(a, 'n1', 0, parts), parts)
    expect(a.transport.queuedBytes('n1')).toBeGreaterThan(1024 * 1024)
    await b.recorder.until(() => b.recorder.messages.length === 1)
    expect(b.recorder.messages[0]?.payload?.equals(Buffer.concat(parts))).toBe(true)
    a.transport.send(heartbeat(a, 'n1', 1), null)
    await b.recorder.until(() => b.recorder.messages.length === 2)
    expect(a.transport.queuedBytes('n1')).toBeLessThan(1_024)
  })

  it('delivers nothing from within send', async () => {
    const [a, b] = await connectedPair(make(['n0', 'n1']))
    a.transport.send(heartbeat(a, 'n1', 1), null)
    expect(b.recorder.messages).toEqual([])
    await b.recorder.until(() => b.recorder.messages.length === 1)
  })

  it('drops what is for nobody or for a peer that is not there', async () => {
    const [a] = (await make(['n0', 'n1']).start([hello('n0')])) as [Member]
    a.transport.send(heartbeat(a, 'n1', 1), null)
    a.transport.send(heartbeat(a, 'nobody', 1), null)
    expect([a.transport.queuedBytes('n1'), a.transport.queuedBytes('nobody')]).toEqual([0, 0])
  })

  it('tells that a peer is lost when it ends, and connects again when it is back', async () => {
    const rig = make(['n0', 'n1'])
    const [a, b] = await connectedPair(rig)
    await closed(b)
    await a.recorder.until(() => a.recorder.lost.length > 0)
    a.transport.send(heartbeat(a, 'n1', 1), null)

    const [back] = (await rig.start([hello('n1', { storeId: 'another store' })])) as [Member]
    await a.recorder.until(() => a.recorder.connected.length > 1)
    await back.recorder.until(() => back.recorder.connected.length > 0)
    a.transport.send(heartbeat(a, 'n1', 2), null)
    back.transport.send(heartbeat(back, 'n0', 3), null)
    await back.recorder.until(() => back.recorder.messages.length > 0)
    await a.recorder.until(() => a.recorder.messages.length > 0)

    expect(a.recorder.lost).toEqual(['n1'])
    expect(a.recorder.connected[1]).toEqual({ peer: 'n1', hello: back.hello })
    expect(back.recorder.messages.map(({ message }) => message)).toEqual([heartbeat(a, 'n1', 2)])
    expect(a.recorder.messages.map(({ message }) => message)).toEqual([heartbeat(back, 'n0', 3)])
    expect(b.recorder.messages).toEqual([])
  })

  const differences = [
    { what: 'group', changes: { group: 'h' }, own: '"g"', other: '"h"' },
    { what: 'file size', changes: { fileBytes: 2_048 }, own: '1024', other: '2048' },
    ...[WIRE_VERSION + 1, WIRE_VERSION - 1].map((wireVersion) => ({
      what: 'wire version',
      changes: { wireVersion },
      own: `${WIRE_VERSION}`,
      other: `${wireVersion}`,
    })),
  ]
  // Groups of other names may share the connections of a node.
  const refusedFor = name.startsWith('of one group') ? differences.slice(1) : differences
  it.each(refusedFor)(
    'refuses a peer whose $what differs, with a line on both sides that names both values',
    async (row) => {
      const [a, b] = (await make(['n0', 'n1']).start([hello('n0'), hello('n1', row.changes)])) as [Member, Member]
      await a.recorder.until(() => a.recorder.refused.length > 0)
      await b.recorder.until(() => b.recorder.refused.length > 0)
      for (const { recorder, hello: own } of [a, b]) {
        expect(recorder.refused[0]?.peer).toBe(own.member === 'n0' ? 'n1' : 'n0')
        const why = recorder.refused[0]?.why ?? ''
        for (const part of [`the ${row.what} differs`, 'n0', 'n1', row.own, row.other]) expect(why).toContain(part)
        expect(recorder.connected).toEqual([])
      }
      a.transport.send(heartbeat(a, 'n1', 1), null)
      expect(a.transport.queuedBytes('n1')).toBe(0)
    },
  )

  it('takes a peer that was refused for its wire version when it comes back with a program of this one', async () => {
    const rig = make(['n0', 'n1'])
    const older = hello('n1', { wireVersion: WIRE_VERSION - 1 })
    const [a, b] = (await rig.start([hello('n0'), older])) as [Member, Member]
    await a.recorder.until(() => a.recorder.refused.length > 0)
    await b.recorder.until(() => b.recorder.refused.length > 0)
    await closed(b)
    const [back] = (await rig.start([hello('n1')])) as [Member]
    await a.recorder.until(() => a.recorder.connected.length > 0)
    await back.recorder.until(() => back.recorder.connected.length > 0)
    back.transport.send(heartbeat(back, 'n0', 3), null)
    await a.recorder.until(() => a.recorder.messages.length > 0)
    expect(a.recorder.messages.map(({ message }) => message)).toEqual([heartbeat(back, 'n0', 3)])
  })

  it('says nothing more once it is closed, and closing twice is no harm', async () => {
    const [a, b] = await connectedPair(make(['n0', 'n1']))
    a.transport.send(heartbeat(a, 'n1', 1), null)
    const told = b.recorder.messages.length + b.recorder.lost.length
    await Promise.all([closed(b), closed(b)])
    await a.recorder.until(() => a.recorder.lost.length > 0)
    b.transport.send(heartbeat(b, 'n0', 1), null)
    await closed(b)
    expect(b.recorder.messages.length + b.recorder.lost.length).toBe(told)
    expect(a.recorder.messages).toEqual([])
  })
})

describe('a network in memory', () => {
  it('loses in silence what is sent on a link that is cut, in that direction only', async () => {
    const network = new MemoryNetwork(systemClock)
    const [a, b] = await connectedPair(networkRig(network))
    network.cut('n0', 'n1')
    a.transport.send(heartbeat(a, 'n1', 1), null)
    b.transport.send(heartbeat(b, 'n0', 2), null)
    await a.recorder.until(() => a.recorder.messages.length === 1)
    network.heal('n0', 'n1')
    a.transport.send(heartbeat(a, 'n1', 3), null)
    await b.recorder.until(() => b.recorder.messages.length === 1)
    expect(b.recorder.messages[0]?.message).toEqual(heartbeat(a, 'n1', 3))
    expect([...a.recorder.lost, ...b.recorder.lost]).toEqual([])
  })

  it('connects a member that started while it was isolated once the network is healed', async () => {
    const network = new MemoryNetwork(systemClock)
    network.isolate('n1')
    const rig = networkRig(network)
    const [a, b] = (await rig.start([hello('n0'), hello('n1')])) as [Member, Member]
    expect(a.recorder.connected).toEqual([])
    network.healAll()
    await a.recorder.until(() => a.recorder.connected.length === 1)
    await b.recorder.until(() => b.recorder.connected.length === 1)
  })

  it('tells both sides of a reset, and connects them again', async () => {
    const network = new MemoryNetwork(systemClock)
    const [a, b] = await connectedPair(networkRig(network))
    network.reset('n0', 'n1')
    for (const { recorder } of [a, b]) {
      await recorder.until(() => recorder.connected.length === 2)
      expect(recorder.lost).toHaveLength(1)
    }
  })

  it('drops what would wait beyond the limit', async () => {
    const network = new MemoryNetwork(systemClock)
    const [a, b] = await connectedPair(networkRig(network, 10_000))
    const payload = [Buffer.alloc(4_000)]
    for (let i = 0; i < 4; i++) a.transport.send(append(a, 'n1', i, payload), payload)
    expect(a.transport.queuedBytes('n1')).toBeLessThanOrEqual(10_000)
    await b.recorder.until(() => b.recorder.messages.length === 2)
    expect(a.transport.queuedBytes('n1')).toBe(0)
  })
})

function networkRig(network: MemoryNetwork, queuedBytesMax?: number): Rig {
  return {
    start: (hellos) =>
      Promise.all(
        hellos.map((own) => {
          const limit = queuedBytesMax === undefined ? {} : { queuedBytesMax }
          const options = { self: own.member, network, clock: systemClock, peers: ['n0', 'n1'], ...limit }
          return started({ hello: own, transport: new MemoryTransport(options), recorder: new Recorder() })
        }),
      ),
  }
}
