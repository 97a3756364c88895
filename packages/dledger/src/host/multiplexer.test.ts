/** What many groups on one set of connections owe each other: turns, limits, and nothing that strangers can break. */
import { silentLogger, systemClock } from '@dledger-ts/base'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Message } from '../raft/messages.ts'
import { FrameError } from '../transport/frame-codec.ts'
import { type Channel, WIRE_VERSION } from '../transport/greeting.ts'
import type { Hello, Refusal, Standing, TransportHandler } from '../transport/transport.ts'
import type { GroupTransport } from './group-transport.ts'
import { Bundle, hostFrameOf, joinValues, type Joined, leaveValues, loadedValues } from './host-frames.ts'
import { DEFAULT_HOST_LIMITS, type HostLimits } from './host-limits.ts'
import { Multiplexer } from './multiplexer.ts'
import { Board, CHANNELS, MemoryLinks } from './testing/memory-links.ts'

const MIB = 1024 * 1024

class Group implements TransportHandler {
  readonly received: Message[] = []
  readonly events: string[] = []
  refuses: string | null = null
  addsWhomItLetsIn = false
  readonly judged: Hello[] = []
  stands: Standing | null = null
  readonly hello: Hello
  transport!: GroupTransport

  constructor(hello: Hello) {
    this.hello = hello
  }

  judge(hello: Hello): Refusal | null {
    this.judged.push(hello)
    if (this.addsWhomItLetsIn) {
      this.addsWhomItLetsIn = false
      this.transport.setPeers()
    }
    if (this.refuses === null) return null
    return { kind: 'OTHER_STORE', why: this.refuses, member: hello.member, configurationIndex: -1 }
  }
  standing(): Standing | null {
    return this.stands
  }
  message(message: Message): void {
    this.received.push(message)
  }
  peerConnected(peer: string): void {
    this.events.push(`connected ${peer}`)
  }
  peerLost(peer: string): void {
    this.events.push(`lost ${peer}`)
  }
  peerRefused(peer: string, { why }: Refusal): void {
    this.events.push(`refused ${peer}: ${why}`)
  }
  beat(to: string, round: number): void {
    const { member: from, storeId } = this.hello
    const fields = { commitIndex: -1, leaderCommit: -1, freshRound: 0, freshIncarnation: 0 }
    this.transport.send({ type: 'Heartbeat', from, to, storeId, term: 1, round, ...fields }, null)
  }
  append(to: string, prevIndex: number, payload: Buffer): void {
    const { member: from, storeId } = this.hello
    const entries = { prevTerm: 1, count: 1, entriesTerm: 1, bytes: payload.length, commitIndex: -1 }
    this.transport.send({ type: 'AppendEntries', from, to, storeId, term: 1, prevIndex, ...entries }, [payload])
  }
}

function helloOf(member: string, group: string): Hello {
  const storeId = `${group} of ${member}`
  return {
    wireVersion: WIRE_VERSION,
    group,
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

class Pair {
  readonly board = new Board()
  readonly nodes = new Map<string, Multiplexer>()
  #deferred: (() => void)[] = []
  #timers: (() => void)[] = []

  constructor(limits: Partial<HostLimits> = {}) {
    const clock = {
      ...systemClock,
      defer: (callback: () => void) => void this.#deferred.push(callback),
      after: (_: number, callback: () => void) => {
        this.#timers.push(callback)
        return () => {}
      },
    }
    for (const self of ['n0', 'n1']) {
      const links = new MemoryLinks(this.board, self)
      const common = { clock, logger: silentLogger, limits: { ...DEFAULT_HOST_LIMITS, ...limits } }
      const node = new Multiplexer({ ...common, self, nodes: ['n0', 'n1'], links, runId: self })
      node.start(() => {})
      this.nodes.set(self, node)
    }
    for (const channel of CHANNELS) {
      this.board.dial('n0', 'n1', channel)
      this.board.dial('n1', 'n0', channel)
    }
    this.run()
  }

  open(node: string, name: string, changes: Partial<Hello> = {}): Group {
    const group = new Group({ ...helloOf(node, name), ...changes })
    group.transport = (this.nodes.get(node) as Multiplexer).transport(name)
    group.transport.start(group.hello, group, (error) => {
      if (error !== null) group.events.push(error.message)
    })
    this.settle()
    return group
  }

  both(name: string): [Group, Group] {
    const pair: [Group, Group] = [this.open('n0', name), this.open('n1', name)]
    this.run()
    expect([pair[0].events, pair[1].events]).toEqual([['connected n1'], ['connected n0']])
    return pair
  }

  settle(): void {
    for (let next = this.#deferred.shift(); next !== undefined; next = this.#deferred.shift()) next()
  }

  /** Delivers on these channels until nothing moves; timers do not run. */
  run(channels: readonly Channel[] = CHANNELS): void {
    for (let moved = true; moved;) {
      moved = false
      this.settle()
      for (const channel of channels) {
        while (this.board.step('n0', 'n1', channel, MIB)) moved = true
        while (this.board.step('n1', 'n0', channel, MIB)) moved = true
      }
    }
  }

  runTimers(): void {
    for (const timer of this.#timers.splice(0)) timer()
  }
}

describe('groups on shared connections', () => {
  it('send the heartbeats of one pass in one frame, and the answers in another', () => {
    const pair = new Pair()
    const groups = Array.from({ length: 50 }, (_, i) => pair.both(`g${i}`))
    const node = pair.nodes.get('n0') as Multiplexer
    const before = node.stats()
    groups.forEach(([near], i) => near.beat('n1', i))
    pair.run()
    expect(node.stats().framesSent - before.framesSent).toBe(1)
    expect(node.stats().messagesSent - before.messagesSent).toBe(50)
    expect(groups.map(([, far]) => (far.received[0] as { round: number }).round)).toEqual(groups.map((_, i) => i))
  })

  it('send what is gathered at once when a pass would take too long, still in one frame', () => {
    const pair = new Pair()
    const groups = Array.from({ length: 3 }, (_, i) => pair.both(`g${i}`))
    const node = pair.nodes.get('n0') as Multiplexer
    const before = node.stats().framesSent
    groups.forEach(([near], i) => near.beat('n1', i))
    expect(node.stats().framesSent).toBe(before)
    node.flush()
    expect(node.stats().framesSent).toBe(before + 1)
    pair.run()
    for (const [, far] of groups) expect(far.received).toHaveLength(1)
  })

  it('split what is too much for one frame', () => {
    const pair = new Pair({ controlBytesMax: 400 })
    const groups = Array.from({ length: 50 }, (_, i) => pair.both(`g${i}`))
    groups.forEach(([near], i) => near.beat('n1', i))
    pair.run()
    for (const [, far] of groups) expect(far.received).toHaveLength(1)
  })

  it('do not starve each other: a busy one leaves the others their turn, and control passes all data', () => {
    const pair = new Pair()
    const [busy, far] = pair.both('busy')
    const [quiet, quietFar] = pair.both('quiet')
    const payload = Buffer.alloc(256 * 1024)
    for (let i = 0; i < 60; i++) busy.append('n1', i, payload)
    quiet.append('n1', 0, Buffer.alloc(1_000))
    quiet.beat('n1', 7)
    pair.run(['control'])
    expect(quietFar.received.map(({ type }) => type)).toEqual(['Heartbeat'])
    let before = 0
    for (; quietFar.received.length < 2; before = far.received.length) pair.board.step('n0', 'n1', 'data', MIB)
    // What the connection had taken before, and one turn.
    expect(before).toBeLessThan(4)
    pair.run()
    expect(far.received).toHaveLength(60)
    expect([busy.transport.queuedBytes('n1'), quiet.transport.queuedBytes('n1')]).toEqual([0, 0])
  })

  it('drop what one of them queues beyond its limit, and only that', () => {
    const pair = new Pair({ groupQueuedBytesMax: 4 * MIB })
    const [busy, far] = pair.both('busy')
    const [quiet, quietFar] = pair.both('quiet')
    for (let i = 0; i < 100; i++) busy.append('n1', i, Buffer.alloc(MIB))
    quiet.append('n1', 0, Buffer.alloc(MIB))
    expect(busy.transport.queuedBytes('n1')).toBeLessThan(6 * MIB)
    pair.run()
    expect(far.received.length).toBeLessThan(7)
    expect(far.received.length).toBeGreaterThan(3)
    expect(quietFar.received).toHaveLength(1)
    expect(pair.nodes.get('n0')?.stats().messagesDropped).toBe(100 - far.received.length)
  })

  it('are told when the other member leaves, and the last words come before that', () => {
    const pair = new Pair()
    const [near, far] = pair.both('a')
    const [, other] = pair.both('b')
    near.beat('n1', 1)
    near.transport.close(() => {})
    pair.run()
    expect([far.received.length, far.events, other.events]).toEqual([1, ['connected n0', 'lost n0'], ['connected n0']])
    const again = pair.open('n0', 'a')
    pair.run()
    expect([again.events, far.events.at(-1)]).toEqual([['connected n1'], 'connected n0'])
  })

  it('are refused one by one, told once, and asked again until it fits', () => {
    const pair = new Pair()
    const far = pair.open('n1', 'a')
    far.refuses = 'its disk was replaced'
    const near = pair.open('n0', 'a')
    pair.run()
    expect([near.events, far.events]).toEqual([
      ['refused n1: its disk was replaced'],
      ['refused n0: its disk was replaced'],
    ])
    near.beat('n1', 1)
    pair.runTimers()
    pair.run()
    expect([near.events.length, far.events.length, far.received.length]).toEqual([1, 1, 0])
    far.refuses = null
    pair.runTimers()
    pair.run()
    expect([near.events.at(-1), far.events.at(-1)]).toEqual(['connected n1', 'connected n0'])
  })

  it('say with each greeting where they stand then, and may let somebody in whom they did not talk to before', () => {
    const pair = new Pair()
    const far = pair.open('n1', 'a')
    far.refuses = 'it is behind'
    const near = pair.open('n0', 'a')
    pair.run()
    near.stands = { lastTerm: 3, lastIndex: 70, address: null, stores: ['s0', 's1'] }
    far.refuses = null
    far.addsWhomItLetsIn = true
    pair.runTimers()
    pair.run()
    expect(far.judged.at(-1)?.standing).toEqual(near.stands)
    expect([near.events.at(-1), far.events.at(-1)]).toEqual(['connected n1', 'connected n0'])
    expect(far.events.filter((event) => event.startsWith('connected'))).toHaveLength(1)
  })

  it('are not opened twice, nor beyond the limit', () => {
    const pair = new Pair({ groupsMax: 2 })
    pair.both('a')
    expect(pair.open('n0', 'a').events).toEqual(['group a is open on node n0 already'])
    pair.both('b')
    expect(pair.open('n0', 'c').events).toEqual(['node n0 has 2 groups already'])
  })
})

describe('what a node is told', () => {
  const between = { from: 'n1', to: 'n0', storeId: '' }
  const joined: Joined = { number: 3, hello: helloOf('n1', 'a'), between: { ...between, storeId: 'a of n1' } }
  const heartbeat: Message = {
    type: 'Heartbeat',
    ...joined.between,
    term: 1,
    round: 2,
    commitIndex: 3,
    leaderCommit: 4,
    freshRound: 0,
    freshIncarnation: 0,
  }
  const read = (channel: Channel, values: readonly unknown[], payloadBytes = 0) =>
    hostFrameOf(channel, between, values, payloadBytes, (number) => (number === 3 ? joined : undefined))

  it('is a frame or is refused as nonsense, whatever the values', () => {
    const scalar = fc.oneof(
      fc.integer({ min: 109, max: 118 }),
      fc.integer({ min: -1, max: 20 }),
      fc.constantFrom(3, 3, 3, true, false, '', 'n1', 'a', 2 ** 53, -0.5, Number.NaN),
      fc.string({ maxLength: 5 }),
    )
    const values = fc.oneof(
      fc.array(scalar, { maxLength: 24 }),
      fc.tuple(fc.constantFrom(...valid()), fc.array(fc.tuple(fc.nat(30), scalar), { maxLength: 3 })).map(spoil),
    )
    fc.assert(
      fc.property(fc.constantFrom(...CHANNELS), values, fc.constantFrom(0, 0, 10), (channel, given, payloadBytes) => {
        try {
          const frame = read(channel, given, payloadBytes)
          if (frame.kind === 'MESSAGES') for (const one of frame.deliveries) expect(one.joined).toBe(joined)
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError)
        }
      }),
      { numRuns: 3_000 },
    )
  })

  function valid(): (readonly unknown[])[] {
    const bundle = new Bundle()
    bundle.add(3, heartbeat, 10_000)
    bundle.add(3, heartbeat, 10_000)
    return [joinValues(9, joined.hello), leaveValues(3), bundle.take(), loadedValues(3, heartbeat)]
  }

  function spoil([values, changes]: [readonly unknown[], [number, unknown][]]): unknown[] {
    const spoiled = [...values]
    for (const [at, value] of changes) spoiled[at % (spoiled.length + 1)] = value
    return spoiled
  }

  it('is nonsense on the wrong channel, under a strange name, or with a number that nobody has', () => {
    const bundle = new Bundle()
    bundle.add(4, heartbeat, 10_000)
    const rows: [Channel, readonly unknown[], number, string][] = [
      ['data', valid()[2] as unknown[], 0, 'messages without a payload go on the control channel'],
      ['control', valid()[3] as unknown[], 0, 'loaded messages go on the data channel'],
      ['control', valid()[1] as unknown[], 5, 'only a loaded message carries a payload'],
      ['control', joinValues(9, helloOf('n2', 'a')), 0, 'a member of node "n1" has its name, not "n2"'],
      ['control', bundle.take(), 0, 'nobody has joined on this connection with number 4'],
    ]
    for (const [channel, values, payloadBytes, why] of rows)
      expect(() => read(channel, values, payloadBytes)).toThrow(why)
  })

  it('is nonsense when a group joins twice, a number changes its group, or there are too many', () => {
    const pair = new Pair({ groupsMax: 2 })
    const node = pair.nodes.get('n0') as Multiplexer
    const join = (number: number, group: string) => (): void => {
      const hello = helloOf('n1', group)
      node.received('n1', 'control', { kind: 'JOIN', joined: { number, hello, between } }, null)
    }
    join(1, 'a')()
    join(1, 'a')()
    expect(join(2, 'a')).toThrow('a group joins a connection once at a time')
    expect(join(1, 'b')).toThrow('a number is of one group')
    join(2, 'b')()
    expect(join(3, 'c')).toThrow('a node has at most 2 groups')
    expect(() => node.received('n1', 'control', { kind: 'LEAVE', number: 7 }, null)).toThrow('nobody has joined')
  })
})
