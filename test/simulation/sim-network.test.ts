/** What the simulated network does with messages between members. */
import type { Hello, Message } from '@dledger-ts/dledger/internals'
import { describe, expect, test } from 'vitest'
import { Decisions } from './decisions.ts'
import { EventQueue, type Process } from './sim-clock.ts'
import { CALM, type NetworkConditions, SimNetwork } from './sim-network.ts'

const STORMY: NetworkConditions = { ...CALM, lossPerMille: 200, duplicatePerMille: 200, delayUsMax: 50_000 }

class World {
  readonly events = new EventQueue()
  readonly processes: Process[] = [0, 1, 2].map((id) => ({ id, incarnation: 1, paused: false, heldBack: [] }))
  /** What each member was told, in order. */
  readonly told: string[][] = [[], [], []]
  readonly network: SimNetwork

  constructor(options: { streams: boolean; conditions?: NetworkConditions }) {
    this.network = new SimNetwork({
      events: this.events,
      decisions: new Decisions(5),
      streams: options.streams,
      hosts: this.processes.map((process, id) => ({ name: `n${id}`, process })),
      onSent: () => {},
      onDelivered: () => {},
      beforeSend: () => {},
    })
    for (const id of [0, 1, 2]) this.start(id)
    this.run(1_000)
    for (const told of this.told) told.length = 0
    this.network.conditions = options.conditions ?? CALM
  }

  start(id: number): void {
    const told = this.told[id] as string[]
    this.network.transportOf(id).start(
      hello(id),
      {
        message: (message, payload) => told.push(`${message.term}${payload === null ? '' : ` ${payload.toString()}`}`),
        peerConnected: (peer) => told.push(`+${peer}`),
        peerLost: (peer) => told.push(`-${peer}`),
        peerRefused: () => {},
        judge: () => null,
      },
      () => {},
    )
  }

  send(from: number, to: number, term: number, payload: readonly Buffer[] | null = null): void {
    this.network.transportOf(from).send(heartbeat(from, to, term), payload)
  }

  run(ms: number): void {
    const untilUs = this.events.nowUs + ms * 1000
    for (let event = this.events.next(untilUs); event !== null; event = this.events.next(untilUs)) event.run?.()
  }
}

function hello(id: number): Hello {
  return {
    wireVersion: 3,
    group: 'g',
    member: `n${id}`,
    storeId: `s${id}`,
    fileBytes: 1024,
    advertised: '',
    incarnation: 1,
    formerIncarnations: [],
    leaseReads: false,
    standing: null,
  }
}

function heartbeat(from: number, to: number, term: number): Message {
  return {
    type: 'Heartbeat',
    from: `n${from}`,
    to: `n${to}`,
    storeId: `s${from}`,
    term,
    commitIndex: -1,
    round: 0,
    leaderCommit: -1,
    freshRound: 0,
    freshIncarnation: 0,
  }
}

function numbers(told: readonly string[] | undefined): number[] {
  return (told ?? []).filter((line) => /^\d/.test(line)).map(Number)
}

describe.each([{ streams: true }, { streams: false }])('with %o', (mode) => {
  test('delivers to the right member, payload joined, and not within the call', () => {
    const world = new World(mode)
    world.send(0, 1, 7, [Buffer.from('ab'), Buffer.from('c')])
    expect(world.told[1]).toEqual([])
    world.run(100)
    expect(world.told).toEqual([[], ['7 abc'], []])
  })

  test('a cut direction delivers nothing, the other still does; healed, both do', () => {
    const world = new World(mode)
    world.network.cut(0, 1)
    world.send(0, 1, 1)
    world.send(1, 0, 2)
    world.run(100)
    world.network.heal(0, 1)
    world.send(0, 1, 3)
    world.run(100)
    expect([numbers(world.told[0]), numbers(world.told[1])]).toEqual([[2], [3]])
  })

  test('a dead process is lost to its peers, and connected again when it is back', () => {
    const world = new World(mode)
    ;(world.processes[2] as Process).incarnation++
    world.network.processDied(2, true)
    world.run(10)
    expect(world.told[0]).toContain('-n2')
    expect(world.told[1]).toContain('-n2')
    world.start(2)
    world.run(1_000)
    expect(world.told[0]?.at(-1)).toBe('+n2')
    expect(world.told[2]).toEqual(expect.arrayContaining(['+n0', '+n1']))
  })

  test('a machine without power is silent: nobody is told', () => {
    const world = new World(mode)
    ;(world.processes[2] as Process).incarnation++
    world.network.processDied(2, false)
    world.run(1_000)
    expect(world.told.slice(0, 2)).toEqual([[], []])
  })
})

test('streams keep the order, and lose only with the connection', () => {
  const world = new World({ streams: true, conditions: { ...STORMY, lossPerMille: 0 } })
  for (let term = 1; term <= 200; term++) world.send(0, 1, term)
  world.run(5_000)
  expect(numbers(world.told[1])).toEqual(Array.from({ length: 200 }, (_, i) => i + 1))
  world.network.conditions = { ...CALM, lossPerMille: 1_000 }
  for (let term = 201; term <= 400; term++) world.send(0, 1, term)
  world.run(5_000)
  expect(world.told[1]).toContain('-n0')
})

test('datagrams are lost, doubled and overtaken', () => {
  const world = new World({ streams: false, conditions: STORMY })
  for (let term = 1; term <= 200; term++) world.send(0, 1, term)
  world.run(5_000)
  const arrived = numbers(world.told[1])
  const different = new Set(arrived)
  expect(different.size).toBeLessThan(200)
  expect(different.size).toBeGreaterThan(120)
  expect(arrived.length).toBeGreaterThan(different.size)
  expect(arrived).not.toEqual([...arrived].sort((a, b) => a - b))
})

test.each([true, false])('a narrow link sends one after the other and nothing is lost, streams: %s', (streams) => {
  const world = new World({ streams })
  const bytes = [Buffer.alloc(900, 'x')]
  world.network.setBandwidth(0, 1, 10)
  for (let term = 1; term <= 5; term++) world.send(0, 1, term, bytes)
  world.run(250)
  expect(world.told[1]).toHaveLength(2)
  world.run(300)
  expect(world.told[1]?.map((line) => Number.parseInt(line, 10))).toEqual([1, 2, 3, 4, 5])
  world.network.setBandwidth(0, 1, null)
  world.send(0, 1, 6, bytes)
  world.run(1)
  expect(world.told[1]).toHaveLength(6)
})
