/** Two of three members whose connections go through proxies: one of them goes dead, while the others live. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { silentLogger, systemClock } from '@dledger-ts/base'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { DLedger } from './dledger.ts'
import { freePorts } from './testing/free-ports.ts'
import { IDS, LoopbackGroup } from './testing/loopback-group.ts'
import { TcpTransport } from './transport/tcp.ts'

let group: LoopbackGroup
const proxies = new Map<string, Proxy>()
beforeEach(async () => {
  group = await LoopbackGroup.create({ electionTimeoutMs: 1_000, proposalTimeoutMs: 20_000 })
})
afterEach(async () => {
  await group.close()
  for (const proxy of proxies.values()) proxy.close()
  proxies.clear()
})

/** Hands on what comes to a port; connections of one channel can be made to swallow everything from then on. */
class Proxy {
  readonly #server: Server
  readonly #dialed: { readonly socket: Socket; readonly onward: Socket; channel: string; isDead: boolean }[] = []

  constructor(port: number, target: number) {
    this.#server = createServer((socket) => {
      const onward = connect(target, '127.0.0.1')
      const connection = { socket, onward, channel: '', isDead: false }
      this.#dialed.push(connection)
      socket.on('data', (bytes: Buffer) => {
        if (connection.channel === '') connection.channel = bytes.includes('control') ? 'control' : 'data'
        if (!connection.isDead) onward.write(bytes)
      })
      onward.on('data', (bytes: Buffer) => {
        if (!connection.isDead) socket.write(bytes)
      })
      for (const [one, other] of [
        [socket, onward],
        [onward, socket],
      ] as const) {
        one.on('error', () => {})
        one.on('close', () => {
          if (!connection.isDead) other.destroy()
        })
      }
    })
    this.#server.listen(port, '127.0.0.1')
  }

  /** @returns how many connections are dead now. */
  kill(channel: string): number {
    const living = this.#dialed.filter((one) => one.channel === channel && !one.isDead && !one.socket.destroyed)
    for (const one of living) one.isDead = true
    return living.length
  }

  close(): void {
    this.#server.close()
    for (const { socket, onward } of this.#dialed) {
      socket.destroy()
      onward.destroy()
    }
  }
}

/** n0 and n1, each reaching the other through a proxy of its own. */
async function startBoth(): Promise<void> {
  const ports = await freePorts(5)
  const pair = ['n0', 'n1']
  for (const [i, id] of pair.entries()) {
    const other = pair[1 - i] as string
    const [own, proxied] = [ports[i] as number, ports[2 + i] as number]
    proxies.set(id, new Proxy(proxied, ports[1 - i] as number))
    // Nobody is there for the third one.
    const portOf = (peer: string): number => (peer === other ? proxied : peer === id ? own : (ports[4] as number))
    const peers = IDS.map((peer) => ({ id: peer, host: '127.0.0.1', port: portOf(peer) }))
    const options = { self: id, listenHost: '127.0.0.1', listenPort: own, clock: systemClock, logger: silentLogger }
    await group.start(id, { transport: new TcpTransport({ ...options, peers, limits: { dataSilenceMs: 500 } }) })
  }
}

test('what is appended is committed though the connection for log bytes went dead, and the leader stays', async () => {
  await startBoth()
  const leader: DLedger = await group.leader()
  await leader.append(Buffer.from('a'))
  await group.untilLevel()
  const { self, term } = leader.status()
  expect(proxies.get(self)?.kill('data')).toBe(1)
  const place = await leader.append(Buffer.from('b'))
  expect(place.term).toBe(term)
  await group.untilLevel()
})
