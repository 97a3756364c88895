/**
 * Groups that share connections, under any order of deliveries, resets, stops and restarts: messages reach the member of their
 * group, whole, in order and at most once; and whatever happened, in the end every pair of members is connected.
 */
import { type Clock, silentLogger } from '@dledger-ts/base'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Message } from '../raft/messages.ts'
import { WIRE_VERSION } from '../transport/greeting.ts'
import type { Hello, Refusal, TransportHandler } from '../transport/transport.ts'
import type { GroupTransport } from './group-transport.ts'
import { DEFAULT_HOST_LIMITS } from './host-limits.ts'
import { Multiplexer } from './multiplexer.ts'
import { Board, CHANNELS, MemoryLinks } from './testing/memory-links.ts'

const NODES = ['n0', 'n1', 'n2']
const GROUPS = ['a', 'b', 'c']

/** What is deferred runs after the step that deferred it; timers run when the test says so. */
class HandClock implements Clock {
  #deferred: (() => void)[] = []
  #timers = new Set<() => void>()

  nowMs(): number {
    return 0
  }
  monotonicMs(): number {
    return 0
  }
  after(_delayMs: number, callback: () => void): () => void {
    const timer = (): void => callback()
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }
  defer(callback: () => void): void {
    this.#deferred.push(callback)
  }
  settle(): void {
    for (let next = this.#deferred.shift(); next !== undefined; next = this.#deferred.shift()) next()
  }
  runTimers(): void {
    const timers = this.#timers
    this.#timers = new Set()
    for (const timer of timers) timer()
  }
}

/** One opening of one group on one node. */
class Member implements TransportHandler {
  readonly hello: Hello
  readonly transport: GroupTransport
  readonly connected = new Set<string>()
  /** The last number heard from an opening of another member, by its store and the kind of message. */
  readonly #heard = new Map<string, number>()
  #sent = 0
  closed = false

  constructor(multiplexer: Multiplexer, group: string, opening: number) {
    const member = multiplexer.self
    this.hello = {
      wireVersion: WIRE_VERSION,
      group,
      member,
      storeId: `${group} of ${member}, opening ${opening}`,
      fileBytes: 1_024,
      advertised: '',
      incarnation: opening,
      formerIncarnations: [],
      leaseReads: false,
      standing: null,
    }
    this.transport = multiplexer.transport(group)
    this.transport.start(this.hello, this, (error) => expect(error).toBeNull())
  }

  judge(): null {
    return null
  }

  message(message: Message, payload: Buffer | null): void {
    expect(this.closed).toBe(false)
    expect(message.to).toBe(this.hello.member)
    expect(message.storeId).toContain(`${this.hello.group} of ${message.from}, `)
    expect(message.term).toBe(GROUPS.indexOf(this.hello.group) + 1)
    const number =
      message.type === 'AppendEntries' ? message.prevIndex : message.type === 'Heartbeat' ? message.round : -1
    const key = `${message.storeId} ${message.type}`
    expect(number).toBeGreaterThan(this.#heard.get(key) ?? -1)
    this.#heard.set(key, number)
    if (message.type === 'AppendEntries')
      expect(payload?.toString()).toBe(`${message.storeId}: ${'x'.repeat(number % 50)}`)
  }

  peerConnected(peer: string): void {
    expect(this.closed).toBe(false)
    this.connected.add(peer)
  }

  peerLost(peer: string): void {
    expect(this.closed).toBe(false)
    this.connected.delete(peer)
  }

  peerRefused(peer: string, { why }: Refusal): void {
    throw new Error(`${peer} is refused: ${why}`)
  }

  say(to: string, loaded: boolean): number {
    const { member: from, storeId, group } = this.hello
    const number = this.#sent++
    const term = GROUPS.indexOf(group) + 1
    if (!loaded) {
      const beat = { commitIndex: -1, round: number, leaderCommit: -1, freshRound: 0, freshIncarnation: 0 }
      this.transport.send({ type: 'Heartbeat', from, to, storeId, term, ...beat }, null)
      return number
    }
    const payload = [Buffer.from(`${storeId}: `), Buffer.from('x'.repeat(number % 50))]
    const bytes = (payload[0] as Buffer).length + (payload[1] as Buffer).length
    const entries = { prevIndex: number, prevTerm: 1, count: 1, entriesTerm: 1, bytes, commitIndex: -1 }
    this.transport.send({ type: 'AppendEntries', from, to, storeId, term, ...entries }, payload)
    return number
  }

  heardFrom(other: Member): number {
    return this.#heard.get(`${other.hello.storeId} Heartbeat`) ?? -1
  }

  close(): void {
    this.closed = true
    this.transport.close(() => {})
  }
}

class World {
  readonly clock = new HandClock()
  readonly board = new Board()
  readonly #multiplexers = new Map<string, Multiplexer>()
  readonly members = new Map<string, Member>()
  #openings = 0

  constructor() {
    for (const node of NODES) this.startNode(node)
    for (const node of NODES) for (const group of GROUPS) this.open(node, group)
  }

  startNode(self: string): void {
    const links = new MemoryLinks(this.board, self)
    const common = { self, clock: this.clock, logger: silentLogger, limits: DEFAULT_HOST_LIMITS }
    const multiplexer = new Multiplexer({ ...common, nodes: NODES, links, runId: `run ${this.#openings++}` })
    multiplexer.start(() => {})
    this.#multiplexers.set(self, multiplexer)
  }

  open(node: string, group: string): void {
    const key = `${node} ${group}`
    if (this.members.has(key)) return
    this.members.set(key, new Member(this.#multiplexers.get(node) as Multiplexer, group, this.#openings++))
    this.clock.settle()
  }

  close(node: string, group: string): void {
    this.members.get(`${node} ${group}`)?.close()
    this.members.delete(`${node} ${group}`)
    this.clock.settle()
  }

  kill(node: string): void {
    this.board.remove(node)
    for (const group of GROUPS) {
      const member = this.members.get(`${node} ${group}`)
      if (member !== undefined) member.closed = true
      this.members.delete(`${node} ${group}`)
    }
  }

  each(visit: (from: string, to: string) => void): void {
    for (const from of NODES) for (const to of NODES) if (from !== to) visit(from, to)
  }

  heal(): void {
    for (const node of NODES) {
      if (!this.board.nodes.has(node)) this.startNode(node)
      for (const group of GROUPS) this.open(node, group)
    }
    for (let round = 0; round < 4; round++) {
      this.each((from, to) => {
        for (const channel of CHANNELS) this.board.dial(from, to, channel)
      })
      this.deliverAll()
      this.clock.runTimers()
    }
  }

  deliverAll(): void {
    for (let moved = true; moved;) {
      moved = false
      this.clock.settle()
      this.each((from, to) => {
        for (const channel of CHANNELS) while (this.board.step(from, to, channel, 1_000_000)) moved = true
      })
    }
  }
}

const node = fc.constantFrom(...NODES)
const group = fc.constantFrom(...GROUPS)
const channel = fc.constantFrom(...CHANNELS)
const way = { from: node, to: node, channel }
const action = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('say' as const), from: node, to: node, group, loaded: fc.boolean() }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('step' as const),
      ...way,
      bytesMax: fc.oneof(fc.constant(100_000), fc.integer({ min: 1, max: 60 })),
      times: fc.integer({ min: 1, max: 12 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('dial' as const), ...way }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cut' as const), ...way, silently: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('close' as const), node, group }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('open' as const), node, group }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), node }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('heal' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('timers' as const) }) },
)

it('messages reach their own group in order, and all members find each other in the end', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 120, size: 'max' }), (actions) => {
      const world = new World()
      for (const step of actions) {
        switch (step.do) {
          case 'say':
            if (step.from !== step.to) world.members.get(`${step.from} ${step.group}`)?.say(step.to, step.loaded)
            break
          case 'step':
            for (let i = 0; i < step.times; i++) world.board.step(step.from, step.to, step.channel, step.bytesMax)
            break
          case 'dial':
            if (step.from !== step.to) world.board.dial(step.from, step.to, step.channel)
            break
          case 'cut':
            if (step.from !== step.to) world.board.cut(step.from, step.to, step.channel, step.silently)
            break
          case 'close':
            world.close(step.node, step.group)
            break
          case 'open':
            if (world.board.nodes.has(step.node)) world.open(step.node, step.group)
            break
          case 'restart':
            world.kill(step.node)
            world.startNode(step.node)
            break
          case 'heal':
            world.heal()
            break
          case 'timers':
            world.clock.runTimers()
        }
        world.clock.settle()
      }
      world.heal()
      const last = new Map<Member, number>()
      for (const member of world.members.values()) {
        const others = NODES.filter((id) => id !== member.hello.member)
        expect([...member.connected].sort()).toEqual(others)
        for (const to of others) last.set(member, member.say(to, false))
      }
      world.deliverAll()
      for (const member of world.members.values()) {
        for (const other of world.members.values()) {
          if (other === member || other.hello.group !== member.hello.group) continue
          // Its last message went to the last of the others, the one before to the other.
          expect(member.heardFrom(other)).toBeGreaterThanOrEqual((last.get(other) as number) - 1)
        }
      }
    }),
    { numRuns: 300 },
  )
}, 60_000)
