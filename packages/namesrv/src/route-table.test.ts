/** The rules of registration, one by one, and the table's invariants under random histories. */
import { topicConfig, type TopicConfig } from '@dledger-ts/remoting'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Registration, RouteTable } from './route-table.ts'

interface Given extends Partial<Omit<Registration, 'body'>> {
  topics?: Record<string, Partial<TopicConfig>>
  stateVersion?: number
  counter?: number
}

/** n0 of broker-a as master, with two topics, unless it says otherwise. */
function registration(given: Given = {}): Registration {
  const { topics = { A: {}, B: {} }, stateVersion = 1, counter = 1, ...rest } = given
  return {
    clusterName: 'c1',
    brokerName: 'broker-a',
    brokerId: 0,
    brokerAddr: '10.0.0.1:10911',
    haServerAddr: '10.0.0.1:10912',
    heartbeatTimeoutMs: undefined,
    enableActingMaster: undefined,
    zoneName: undefined,
    connectionId: 1,
    body: {
      dataVersion: { counter, stateVersion, timestamp: 0 },
      topics: new Map(
        Object.entries(topics).map(([topicName, config]) => [topicName, topicConfig({ topicName, ...config })]),
      ),
      filterServers: [],
    },
    ...rest,
  }
}

const n1 = { brokerAddr: '10.0.0.2:10911', haServerAddr: '10.0.0.2:10912', connectionId: 2 }
const n2 = { brokerAddr: '10.0.0.3:10911', haServerAddr: '10.0.0.3:10912', connectionId: 3 }

function tableOf(...registrations: Registration[]): RouteTable {
  const table = new RouteTable()
  for (const given of registrations) {
    table.register(given, 0)
    table.checkInvariants()
  }
  return table
}

function addresses(table: RouteTable, topic = 'A'): Record<string, string> {
  return Object.fromEntries(table.route(topic)?.brokerDatas[0]?.brokerAddrs ?? [])
}

function queue(table: RouteTable, topic = 'A') {
  return table.route(topic)?.queueDatas[0]
}

describe('a first registration', () => {
  it('lists the broker, its cluster and its topics', () => {
    const table = tableOf(
      registration({ topics: { A: { perm: 7, readQueueNums: 8, writeQueueNums: 4, topicSysFlag: 2 }, B: {} } }),
    )
    expect(table.route('A')).toEqual({
      queueDatas: [{ brokerName: 'broker-a', readQueueNums: 8, writeQueueNums: 4, perm: 7, topicSysFlag: 2 }],
      brokerDatas: [
        {
          cluster: 'c1',
          brokerName: 'broker-a',
          brokerAddrs: new Map([[0, '10.0.0.1:10911']]),
          enableActingMaster: false,
        },
      ],
      filterServerTable: new Map(),
    })
    expect(table.clusterInfo().clusterAddrTable).toEqual(new Map([['c1', ['broker-a']]]))
    expect(table.topics()).toEqual(['A', 'B'])
    expect(table.route('unknown')).toBeUndefined()
  })

  it('is refused, leaving nothing behind, when it brings a single topic', () => {
    const table = new RouteTable()
    expect(table.register(registration({ topics: { A: {} } }), 0)).toEqual({ kind: 'incomplete' })
    table.checkInvariants()
    expect(table.clusterInfo()).toEqual({ brokerAddrTable: new Map(), clusterAddrTable: new Map() })
  })

  it('is refused with a single topic for each new id of a known broker, too', () => {
    const table = tableOf(registration())
    expect(table.register(registration({ ...n1, brokerId: 1, topics: { A: {} } }), 0).kind).toBe('incomplete')
    expect(addresses(table)).toEqual({ 0: '10.0.0.1:10911' })
  })

  it('may be followed by one with a single topic', () => {
    const table = tableOf(registration(), registration({ topics: { C: {} }, counter: 2 }))
    expect(table.topics()).toEqual(['A', 'B', 'C'])
  })
})

describe('topics', () => {
  it('are taken from id 0 only', () => {
    const table = tableOf(
      registration(),
      registration({ ...n1, brokerId: 1, topics: { A: { perm: 4 }, Z: {} }, counter: 9 }),
    )
    expect(table.topics()).toEqual(['A', 'B'])
    expect(queue(table)?.perm).toBe(6)
    expect(addresses(table)).toEqual({ 0: '10.0.0.1:10911', 1: '10.0.0.2:10911' })
  })

  it('are not read again while the data version is the same', () => {
    const table = tableOf(registration(), registration({ topics: { A: { perm: 4 }, B: {} } }))
    expect(queue(table)?.perm).toBe(6)
    table.register(registration({ topics: { A: { perm: 4 }, B: {} }, counter: 2 }), 0)
    expect(queue(table)?.perm).toBe(4)
  })

  it('are read although the data version is the same when they are not known', () => {
    const table = tableOf(registration(), registration({ topics: { A: {}, B: {}, C: {} } }))
    expect(table.topics()).toEqual(['A', 'B', 'C'])
  })

  it('are read from a new master whose data version is known from its time as a slave', () => {
    const table = tableOf(
      registration({ counter: 1 }),
      registration({ ...n1, brokerId: 1, topics: { A: { perm: 4 }, B: {} }, counter: 2 }),
      registration({ ...n1, brokerId: 0, topics: { A: { perm: 4 }, B: {} }, counter: 2 }),
    )
    expect(queue(table)?.perm).toBe(4)
  })

  it('stay while the broker has any address', () => {
    const table = tableOf(registration(), registration({ ...n1, brokerId: 1 }))
    table.unregister(registration())
    table.checkInvariants()
    expect(addresses(table)).toEqual({ 1: '10.0.0.2:10911' })
    expect(queue(table)?.perm).toBe(6)
    table.unregister(registration({ ...n1, brokerId: 1 }))
    table.checkInvariants()
    expect(table.topics()).toEqual([])
    expect(table.clusterInfo().clusterAddrTable.size).toBe(0)
  })

  it('of several brokers make one route, and go with their own broker', () => {
    const other = registration({ ...n1, brokerName: 'broker-b', topics: { A: { perm: 4 }, C: {} } })
    const table = tableOf(registration(), other)
    expect(table.route('A')?.queueDatas.map((data) => data.brokerName)).toEqual(['broker-a', 'broker-b'])
    expect(table.route('A')?.brokerDatas.map((data) => data.brokerName)).toEqual(['broker-a', 'broker-b'])
    table.unregister(registration())
    expect(table.topics()).toEqual(['A', 'C'])
    expect(table.route('A')?.queueDatas.map((data) => data.brokerName)).toEqual(['broker-b'])
  })

  it('can be deleted everywhere or in one cluster, and added on known brokers', () => {
    const table = tableOf(registration(), registration({ ...n1, brokerName: 'broker-b', clusterName: 'c2' }))
    table.deleteTopic('A', 'c2')
    table.deleteTopic('A', 'no such cluster')
    expect(table.route('A')?.queueDatas.map((data) => data.brokerName)).toEqual(['broker-a'])
    table.deleteTopic('B')
    expect(table.topics()).toEqual(['A'])
    const added = { brokerName: 'broker-b', readQueueNums: 1, writeQueueNums: 1, perm: 6, topicSysFlag: 0 }
    expect(table.registerTopic('N', [added])).toBe(true)
    expect(table.registerTopic('M', [{ ...added, brokerName: 'unknown' }])).toBe(false)
    expect(table.topics()).toEqual(['A', 'N'])
    table.deleteTopic('A', 'c1')
    table.checkInvariants()
    expect(table.topics()).toEqual(['N'])
  })
})

describe('a change of leader', () => {
  it('moves id 0 to the new address when its state version is not smaller, and the old one to its own id', () => {
    const table = tableOf(registration(), registration({ ...n1, brokerId: 2 }))
    const result = table.register(registration({ ...n1, brokerId: 0, stateVersion: 2 }), 0)
    expect(result).toEqual({ kind: 'registered', isNew: false, master: undefined })
    expect(addresses(table)).toEqual({ 0: '10.0.0.2:10911' })
    expect(table.register(registration({ brokerId: 1, stateVersion: 2 }), 0)).toEqual({
      kind: 'registered',
      isNew: true,
      master: { address: '10.0.0.2:10911', haServerAddr: '10.0.0.2:10912' },
    })
    expect(addresses(table)).toEqual({ 0: '10.0.0.2:10911', 1: '10.0.0.1:10911' })
  })

  it('is not undone by a late registration of the old leader', () => {
    const table = tableOf(registration({ ...n1, stateVersion: 2 }))
    expect(table.register(registration({ stateVersion: 1 }), 0)).toEqual({
      kind: 'outdated',
      liveAddr: '10.0.0.2:10911',
      liveStateVersion: 2,
    })
    expect(addresses(table)).toEqual({ 0: '10.0.0.2:10911' })
    expect(table.dataVersion('c1', '10.0.0.1:10911')).toBeUndefined()
  })

  it('takes the place of an old leader of the same state version', () => {
    const table = tableOf(registration(), registration(n1))
    expect(addresses(table)).toEqual({ 0: '10.0.0.2:10911' })
  })

  it('takes the place of an old leader that is dead, whatever its state version was', () => {
    const table = tableOf(registration({ stateVersion: 9 }), registration({ ...n1, brokerId: 1 }))
    table.connectionClosed(1)
    table.register(registration({ ...n1, stateVersion: 2 }), 0)
    expect(addresses(table)).toEqual({ 0: '10.0.0.2:10911' })
  })

  it('leaves the group listed without a master while it votes', () => {
    const table = tableOf(registration(), registration({ ...n1, brokerId: 2 }), registration({ ...n2, brokerId: 3 }))
    table.register(registration({ brokerId: 1 }), 0)
    expect(addresses(table)).toEqual({ 1: '10.0.0.1:10911', 2: '10.0.0.2:10911', 3: '10.0.0.3:10911' })
    expect(queue(table)?.perm).toBe(6)
  })

  it('lists ids in their order', () => {
    const table = tableOf(registration({ ...n2, brokerId: 3 }), registration({ ...n1, brokerId: 2 }), registration())
    expect([...(table.route('A')?.brokerDatas[0]?.brokerAddrs.keys() ?? [])]).toEqual([0, 2, 3])
  })
})

describe('a broker is gone', () => {
  it('when the connection it registered on last closes, and not when an older one does', () => {
    const table = tableOf(registration({ connectionId: 7 }), registration({ connectionId: 8 }))
    expect(table.connectionClosed(7)).toEqual([])
    expect(addresses(table)).toEqual({ 0: '10.0.0.1:10911' })
    expect(table.connectionClosed(8)).toMatchObject([
      { brokerName: 'broker-a', brokerId: 0, brokerAddr: '10.0.0.1:10911' },
    ])
    table.checkInvariants()
    expect(table.route('A')).toBeUndefined()
  })

  it('when its address registers under another name: none is left listed that nothing would take out', () => {
    const table = tableOf(...Array.from({ length: 5 }, (_, i) => registration({ brokerName: `x${i}` })))
    expect([...table.clusterInfo().brokerAddrTable.keys()]).toEqual(['x4'])
    expect(table.unregister({ clusterName: 'c1', brokerName: 'other', brokerAddr: '10.0.0.1:10911' })).toBe(false)
    table.checkInvariants()
    table.connectionClosed(1)
    expect([table.clusterInfo().brokerAddrTable.size, table.topics()]).toEqual([0, []])
  })

  it('and room is free again, which one broker can take up by itself that moves from address to address', () => {
    const table = new RouteTable()
    const kinds = Array.from({ length: 20_002 }, (_, i) => {
      return table.register(registration({ brokerAddr: `h${i}:1`, topics: {} }), 0).kind
    })
    expect([kinds.indexOf('tooMany'), kinds.at(-1)]).toEqual([20_000, 'tooMany'])
    table.connectionClosed(1)
    expect(table.register(registration(), 0).kind).toBe('registered')
  })

  it('with thousands of others at once, whatever topics there are beside them', () => {
    const topics = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`T${i}`, {}]))
    const table = tableOf(registration({ topics }))
    for (let i = 0; i < 19_999; i++) {
      const broker = { brokerName: `x${i}`, brokerAddr: `x${i}`, connectionId: 2, enableActingMaster: true }
      table.register(registration({ ...broker, brokerId: i % 2, topics: {} }), 0)
    }
    expect(table.connectionClosed(2)).toHaveLength(19_999)
    table.checkInvariants()
    expect([table.topics().length, table.clusterInfo().brokerAddrTable.size]).toEqual([100_000, 1])
  })

  it('when it was silent for 120 s, or for what it announced', () => {
    const table = new RouteTable()
    table.register(registration(), 1000)
    table.register(registration({ ...n1, brokerId: 1, heartbeatTimeoutMs: 10_000 }), 1000)
    expect(table.expire(11_000)).toEqual([])
    expect(table.expire(11_001)).toMatchObject([{ brokerId: 1, connectionId: 2 }])
    expect(table.expire(121_000)).toEqual([])
    table.touch('c1', '10.0.0.1:10911', 121_000)
    table.touch('c1', 'unknown', 121_000)
    expect(table.expire(121_001)).toEqual([])
    expect(table.expire(241_001)).toMatchObject([{ brokerId: 0, connectionId: 1 }])
    table.checkInvariants()
    expect(table.topics()).toEqual([])
  })

  it('when it says so, under whatever id it stands', () => {
    const table = tableOf(registration({ brokerId: 3 }))
    expect(table.unregister(registration({ brokerId: 0 }))).toBe(true)
    expect(table.unregister(registration())).toBe(false)
    expect(table.clusterInfo().brokerAddrTable.size).toBe(0)
  })
})

describe('write permission', () => {
  it('is wiped until the data version changes', () => {
    const table = tableOf(registration(), registration({ ...n1, brokerName: 'broker-b' }))
    expect(table.wipeWritePerm('broker-a')).toBe(2)
    expect(queue(table)?.perm).toBe(4)
    expect(table.route('A')?.queueDatas[1]?.perm).toBe(6)
    table.register(registration(), 0)
    expect(queue(table)?.perm).toBe(4)
    table.register(registration({ counter: 2 }), 0)
    expect(queue(table)?.perm).toBe(6)
  })

  it('is given back', () => {
    const table = tableOf(registration())
    table.wipeWritePerm('broker-a')
    expect(table.addWritePerm('broker-a')).toBe(2)
    expect(queue(table)?.perm).toBe(6)
    expect(table.addWritePerm('unknown')).toBe(0)
  })
})

describe('acting masters', () => {
  it('let the smallest id speak for the topics, without write permission, while there is no master', () => {
    const acting = { enableActingMaster: true }
    const table = tableOf(registration(acting), registration({ ...n1, brokerId: 1, ...acting }))
    table.unregister(registration())
    expect(queue(table)?.perm).toBe(4)
    table.register(registration({ ...n1, brokerId: 1, ...acting, topics: { A: {}, B: {}, C: {} }, counter: 2 }), 0)
    expect(queue(table, 'C')?.perm).toBe(4)
    table.register(registration({ ...acting, counter: 3 }), 0)
    expect(queue(table)?.perm).toBe(6)
  })

  it('are none where the broker does not ask for them', () => {
    const table = tableOf(
      registration({ enableActingMaster: false }),
      registration({ ...n1, brokerId: 1, enableActingMaster: false }),
    )
    table.unregister(registration())
    table.register(
      registration({ ...n1, brokerId: 1, enableActingMaster: false, topics: { C: {}, D: {} }, counter: 2 }),
      0,
    )
    expect(table.topics()).toEqual(['A', 'B'])
    expect(queue(table)?.perm).toBe(6)
  })
})

describe('lists', () => {
  const table = tableOf(
    registration({ topics: { U: { topicSysFlag: 1 }, S: { topicSysFlag: 2 }, X: { topicSysFlag: 3 } } }),
    registration({ ...n1, brokerName: 'broker-b', clusterName: 'c2', topics: { A: {}, B: {} }, zoneName: 'z' }),
  )
  it('have topics by cluster and by flag', () => {
    expect(table.topicsOfCluster('c2')).toEqual(['A', 'B'])
    expect(table.topicsOfCluster('c3')).toEqual([])
    expect(table.topicsByFlag((flag) => (flag & 1) !== 0)).toEqual(['U', 'X'])
  })
  it('have the names of clusters and brokers', () => {
    expect(table.systemTopics()).toEqual({ topics: ['c1', 'broker-a', 'c2', 'broker-b'], brokerAddr: '10.0.0.1:10911' })
    expect(new RouteTable().systemTopics()).toEqual({ topics: [], brokerAddr: undefined })
  })
  it('have the members of a group', () => {
    expect(table.memberGroup('c2', 'broker-b').brokerAddrs).toEqual(new Map([[0, '10.0.0.2:10911']]))
    expect(table.memberGroup('c2', 'unknown').brokerAddrs.size).toBe(0)
    expect(table.route('A')?.brokerDatas[0]?.zoneName).toBe('z')
  })
})

it('follows a broker that moves to another cluster', () => {
  const table = tableOf(registration(), registration({ clusterName: 'c2', counter: 2 }))
  expect(table.clusterInfo().clusterAddrTable).toEqual(new Map([['c2', ['broker-a']]]))
})

it('keeps what always holds, whatever comes in whatever order', () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('register' as const),
      brokerName: fc.constantFrom('broker-a', 'broker-b'),
      clusterName: fc.constantFrom('c1', 'c1', 'c1', 'c2'),
      brokerId: fc.constantFrom(-1, 0, 0, 1, 2),
      brokerAddr: fc.constantFrom('h1:1', 'h2:1', 'h3:1'),
      topics: fc.uniqueArray(fc.constantFrom('A', 'B', 'C'), { maxLength: 3 }),
      stateVersion: fc.nat(3),
      counter: fc.nat(3),
      connectionId: fc.nat(3),
      enableActingMaster: fc.constantFrom(undefined, false, true),
    }),
    fc.record({
      kind: fc.constant('unregister' as const),
      brokerName: fc.constantFrom('broker-a', 'broker-b'),
      clusterName: fc.constantFrom('c1', 'c2'),
      brokerAddr: fc.constantFrom('h1:1', 'h2:1', 'h3:1'),
    }),
    fc.record({ kind: fc.constant('close' as const), connectionId: fc.nat(3) }),
    fc.record({ kind: fc.constant('expire' as const), nowMs: fc.nat(200_000) }),
    fc.record({
      kind: fc.constant('deleteTopic' as const),
      topic: fc.constantFrom('A', 'B'),
      cluster: fc.constantFrom(undefined, 'c1'),
    }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const table = new RouteTable()
      for (const given of steps) {
        if (given.kind === 'register') {
          const { kind: _, topics, ...rest } = given
          const full = registration({ ...rest, topics: Object.fromEntries(topics.map((topic) => [topic, {}])) })
          const result = table.register(full, 0)
          if (result.kind === 'registered') {
            expect(table.memberGroup(full.clusterName, full.brokerName).brokerAddrs.get(full.brokerId)).toBe(
              full.brokerAddr,
            )
          }
        } else if (given.kind === 'unregister') table.unregister(given)
        else if (given.kind === 'close') table.connectionClosed(given.connectionId)
        else if (given.kind === 'expire') table.expire(given.nowMs)
        else table.deleteTopic(given.topic, given.cluster)
        table.checkInvariants()
      }
    }),
    { numRuns: 1000 },
  )
})
