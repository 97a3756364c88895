/** Many groups on three nodes over TCP on loopback and real files: elections, appends, a node that dies, one that stops. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DLedger } from '../dledger.ts'
import { bodiesOf } from '../testing/loopback-group.ts'
import { until, untilSeen } from '../testing/until.ts'
import { DLedgerHost, type GroupOptions, type HostOptions } from './dledger-host.ts'

const NODES = ['n0', 'n1', 'n2']
const small = {
  fileBytes: 64 * 1024,
  // Of fifty groups on one disk.
  diskReserveBytes: 64 * 1024,
  indexFileBytes: 32 * 1024,
  zeroFillBytes: 0,
  tickMs: 25,
  heartbeatMs: 50,
  electionTimeoutMs: 250,
}

/** For 150 members in one process: the work of a moment takes longer than an election timeout of one member alone. */
const PATIENT = { tickMs: 100, heartbeatMs: 200, electionTimeoutMs: 1_000 }

let root: string
let hosts: Map<string, DLedgerHost>
let proxies: Proxy[]
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'dledger-host-'))
  hosts = new Map()
  proxies = []
})
afterEach(async () => {
  await Promise.all([...hosts.values()].map((host) => host.close()))
  for (const proxy of proxies) proxy.die()
  rmSync(root, { recursive: true, force: true })
})

/** The way from one node to another; it can die, and then refuses as the port of a dead process does. */
class Proxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  targetPort = 0

  constructor() {
    this.#server = createServer((near) => {
      const far = connect(this.targetPort, '127.0.0.1')
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(socket)
        socket.on('error', () => {})
        socket.on('close', () => {
          this.#sockets.delete(socket)
          other.destroy()
        })
        socket.pipe(other)
      }
    })
    proxies.push(this)
  }

  listen(): Promise<number> {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => resolve((this.#server.address() as { port: number }).port))
    })
  }

  die(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }
}

async function startHost(node: string, options: Partial<HostOptions> = {}): Promise<DLedgerHost> {
  const host = await DLedgerHost.open({ node, listen: { host: '127.0.0.1', port: 0 }, peers: [], ...options })
  hosts.set(node, host)
  return host
}

async function startHosts(): Promise<DLedgerHost[]> {
  const all = await Promise.all(NODES.map((node) => startHost(node)))
  const peers = all.map((host, i) => ({ id: NODES[i] as string, host: '127.0.0.1', port: host.port }))
  for (const host of all) host.setPeers(peers)
  return all
}

function openOn(node: string, group: string, options: Partial<GroupOptions> = {}): Promise<DLedger> {
  const host = hosts.get(node) as DLedgerHost
  return host.open({ group, directory: join(root, node, group), members: NODES, ...small, ...options })
}

async function leaderOf(members: readonly DLedger[]): Promise<DLedger> {
  await until('a leader', members, () => members.some((member) => member.status().ready))
  return members.find((member) => member.status().ready) as DLedger
}

describe('a host', () => {
  it('carries fifty groups of three nodes over one set of connections, also past the death of a node', async () => {
    await Promise.all(NODES.map((node) => startHost(node)))
    const ways = new Map<string, Proxy>()
    for (const from of NODES) {
      const peers = []
      for (const to of NODES.filter((node) => node !== from)) {
        const proxy = new Proxy()
        proxy.targetPort = (hosts.get(to) as DLedgerHost).port
        ways.set(`${from}>${to}`, proxy)
        peers.push({ id: to, host: '127.0.0.1', port: await proxy.listen() })
      }
      ;(hosts.get(from) as DLedgerHost).setPeers(peers)
    }
    await untilSeen('connected', () => [...hosts.values()].every((host) => host.status().connectedNodes.length === 2))
    const accepted = [...hosts.values()].map((host) => host.status().stats.accepted)
    const names = Array.from({ length: 50 }, (_, i) => `group-${i}`)
    const groups = new Map<string, Map<string, DLedger>>()
    await Promise.all(
      names.map(async (name) => {
        const members = await Promise.all(NODES.map((node) => openOn(node, name, PATIENT)))
        groups.set(name, new Map(members.map((member, i) => [NODES[i] as string, member])))
      }),
    )
    const append = async (name: string, what: string, without: string | null): Promise<void> => {
      const members = groups.get(name) as Map<string, DLedger>
      const alive = [...members].filter(([node]) => node !== without).map(([, member]) => member)
      for (;;) {
        const leader = await leaderOf(alive)
        try {
          await leader.append(Buffer.from(what))
          return
        } catch (error) {
          // TIMEOUT: nobody knows whether it is stored; then it may stand there twice.
          if (!['NOT_LEADER', 'TIMEOUT'].includes((error as { code?: string }).code ?? '')) throw error
        }
      }
    }
    await Promise.all(names.map((name) => append(name, `a of ${name}`, null)))
    // None of them brought connections of its own. One that is silent for too long on a busy machine is made anew.
    for (const [i, host] of [...hosts.values()].entries())
      expect(host.status().stats.accepted - (accepted[i] as number)).toBeLessThan(names.length / 5)
    for (const host of hosts.values()) expect(host.status().groups).toHaveLength(50)

    for (const [way, proxy] of ways) if (way.includes('n0')) proxy.die()
    await Promise.all(names.map((name) => append(name, `b of ${name}`, 'n0')))
    for (const name of names) {
      const members = groups.get(name) as Map<string, DLedger>
      const leader = await leaderOf([...members].filter(([node]) => node !== 'n0').map(([, member]) => member))
      expect([...new Set(await bodiesOf(leader))]).toEqual([`a of ${name}`, `b of ${name}`])
    }
  }, 60_000)

  it('closes one group and opens it again, and the others notice nothing', async () => {
    const all = await startHosts()
    const [a, b] = (await Promise.all(
      ['a', 'b'].map((group) => Promise.all(NODES.map((node) => openOn(node, group)))),
    )) as [DLedger[], DLedger[]]
    const first = await leaderOf(a)
    await first.append(Buffer.from('1'))
    const leader = await leaderOf(b)
    await leader.append(Buffer.from('1'))
    const term = leader.status().term
    const accepted = all.map((host) => host.status().stats.accepted)

    const stopped = a.indexOf(first)
    await first.close()
    const rest = a.filter((member) => member !== first)
    await (await leaderOf(rest)).append(Buffer.from('2'))
    const back = await openOn(NODES[stopped] as string, 'a')
    await until('the member has caught up', [back], () => back.commitIndex === rest[0]?.commitIndex)
    expect(await bodiesOf(back)).toEqual(['1', '2'])
    await leader.append(Buffer.from('2'))
    expect(leader.status().term).toBe(term)
    expect(all.map((host) => host.status().stats.accepted)).toEqual(accepted)
  })

  it('refuses the one group whose file size differs, and goes on with the others', async () => {
    await startHosts()
    const stopped: string[] = []
    const odd = await Promise.all(
      NODES.map((node) =>
        openOn(node, 'odd', {
          fileBytes: node === 'n2' ? 128 * 1024 : 64 * 1024,
          onFatal: (error) => stopped.push(`${node}: ${error.message}`),
        }),
      ),
    )
    const even = await Promise.all(NODES.map((node) => openOn(node, 'even')))
    await (await leaderOf(even)).append(Buffer.from('1'))
    await untilSeen('the odd one has stopped', () => stopped.some((line) => line.startsWith('n2')))
    expect(stopped.join('\n')).toMatch(/the file size differs/)
    await until('all have it', even, () => even.every((member) => member.commitIndex === even[0]?.lastIndex))
    await Promise.all(odd.map((member) => member.close()))
  })

  it('sends the heartbeats of all groups in one frame', async () => {
    const [host] = (await startHosts()) as [DLedgerHost]
    const names = Array.from({ length: 20 }, (_, i) => `g${i}`)
    const groups = await Promise.all(names.map((name) => Promise.all(NODES.map((node) => openOn(node, name)))))
    for (const members of groups) await leaderOf(members)
    await until('all are bound', groups.flat(), () => groups.flat().every((member) => member.appliedIndex >= 1))
    const before = host.status().stats
    await untilSeen('messages', () => host.status().stats.messagesSent - before.messagesSent >= 400)
    const after = host.status().stats
    expect(after.framesSent - before.framesSent).toBeLessThan((after.messagesSent - before.messagesSent) / 4)
  })

  it('says what is wrong with its options, and with a group that is open already', async () => {
    const host = await startHost('n0')
    const taken = DLedgerHost.open({ node: 'n1', listen: { host: '127.0.0.1', port: host.port }, peers: [] })
    await expect(taken).rejects.toMatchObject({
      code: 'INVALID',
      message: `cannot listen on 127.0.0.1:${host.port}: the port is in use`,
    })
    const peer = { id: 'n1', host: '127.0.0.1', port: 1 }
    const rows: [Partial<HostOptions>, string][] = [
      [{ node: '' }, 'a node has a name'],
      [{ peers: [peer, peer] }, 'node n1 is named twice among the peers n1, n1'],
      [{ peers: [{ ...peer, port: 0 }] }, 'node n1 has no port 0'],
      [{ limits: { groupsMax: 0 } }, 'the limit groupsMax is a whole number above 0, not 0'],
    ]
    for (const [options, message] of rows) {
      await expect(startHost('n0', options)).rejects.toMatchObject({ code: 'INVALID', message })
    }
    await openOn('n0', 'a', { members: ['n0'] })
    await expect(openOn('n0', 'a', { members: ['n0'] })).rejects.toMatchObject({
      code: 'INVALID',
      message: 'group a is open on node n0 already',
    })
    await host.close()
    await expect(openOn('n0', 'b')).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('tells its groups when a node is no longer dialed, and when it is again', async () => {
    const [host] = (await startHosts()) as [DLedgerHost]
    const peers = NODES.map((id) => ({ id, host: '127.0.0.1', port: (hosts.get(id) as DLedgerHost).port }))
    const members = await Promise.all(NODES.map((node) => openOn(node, 'a')))
    await leaderOf(members)
    const [member] = members as [DLedger]
    const isConnected = (id: string): boolean | undefined =>
      member.status().peers.find((peer) => peer.id === id)?.connected
    await until('all are connected', members, () => isConnected('n1') === true && isConnected('n2') === true)
    host.setPeers(peers.filter(({ id }) => id !== 'n2'))
    await until('it is told', members, () => isConnected('n2') === false)
    expect(host.status().connectedNodes).toEqual(['n1'])
    host.setPeers(peers)
    await until('it is told again', members, () => isConnected('n2') === true)
  })

  it('tells its groups when a node has another address and cannot be reached there', async () => {
    const [host] = (await startHosts()) as [DLedgerHost]
    const peers = NODES.map((id) => ({ id, host: '127.0.0.1', port: (hosts.get(id) as DLedgerHost).port }))
    const members = await Promise.all(NODES.map((node) => openOn(node, 'a')))
    await leaderOf(members)
    const [member] = members as [DLedger]
    const isConnected = (): boolean | undefined => member.status().peers.find(({ id }) => id === 'n2')?.connected
    await until('all are connected', members, () => isConnected() === true)
    host.setPeers(peers.map((peer) => (peer.id === 'n2' ? { ...peer, port: 1 } : peer)))
    await until('it is told', members, () => isConnected() === false)
    expect(host.status().connectedNodes).toEqual(['n1'])
    host.setPeers(peers)
    await until('it is told again', members, () => isConnected() === true)
  })

  it('opens a group anew whose first opening failed', async () => {
    await startHost('n0')
    await expect(openOn('n0', 'a', { members: ['n1'] })).rejects.toMatchObject({ code: 'INVALID' })
    const log = await openOn('n0', 'a', { members: ['n0'] })
    await log.append(Buffer.from('x'))
  })

  it('hands over and leaves nothing open when it closes', async () => {
    const count = (kind: string): number => process.getActiveResourcesInfo().filter((name) => name === kind).length
    await untilSeen('earlier tests have ended', () => count('TCPSocketWrap') === 0)
    const before = { servers: count('TCPServerWrap'), timers: count('Timeout') }
    const all = await startHosts()
    const groups = await Promise.all(['a', 'b'].map((name) => Promise.all(NODES.map((node) => openOn(node, name)))))
    for (const members of groups) await (await leaderOf(members)).append(Buffer.from('x'))
    await Promise.all(all.map((host) => host.close()))
    await untilSeen('no socket is left', () => count('TCPSocketWrap') === 0)
    await untilSeen('no port is left', () => count('TCPServerWrap') <= before.servers)
    await untilSeen('no timer is left', () => count('Timeout') <= before.timers)
  })
})
