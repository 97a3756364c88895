/**
 * A counter that three members agree on, over TCP on loopback. Each entry adds a number; every member applies the same entries in the
 * same order, so every member ends with the same sum, also after the leader is gone.
 *
 *   node counter.mjs DIRECTORY [PORT,PORT,PORT]
 */
import { join } from 'node:path'
import { silentLogger, systemClock } from '@dledger-ts/base'
import { DLedger, TcpTransport } from '@dledger-ts/dledger'

const directory = process.argv[2] ?? './counter'
const ports = (process.argv[3] ?? '40951,40952,40953').split(',').map(Number)
const peers = ports.map((port, i) => ({ id: `n${i}`, host: '127.0.0.1', port }))

/** The state: a sum, and how far the log is applied. It lives in memory only, so it is built again at each start. */
class Counter {
  sum = 0
  appliedIndex = -1
  discard() {
    this.sum = 0
    this.appliedIndex = -1
  }
  apply(entries) {
    for (const entry of entries) {
      if (entry.kind === 'data') this.sum += Number(entry.body)
      this.appliedIndex = entry.index
    }
  }
  roleChanged() {}
  durable() {}
}

async function joinGroup(i) {
  const counter = new Counter()
  const self = `n${i}`
  const transport = new TcpTransport({
    self,
    listenHost: '127.0.0.1',
    listenPort: ports[i],
    peers,
    clock: systemClock,
    logger: silentLogger,
  })
  const log = await DLedger.open({
    directory: join(directory, self),
    group: 'counter',
    self,
    members: peers.map((peer) => peer.id),
    transport,
    stateMachine: counter,
    fileBytes: 16 * 1024 * 1024,
  })
  return { self, log, counter }
}

async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

let members = await Promise.all([0, 1, 2].map(joinGroup))
const leader = async () => {
  await until(() => members.some(({ log }) => log.status().ready))
  return members.find(({ log }) => log.status().ready)
}

const first = await leader()
for (let n = 1; n <= 10; n++) await first.log.append(Buffer.from(String(n)))
console.log(`${first.self} led; the sum is ${first.counter.sum}`)

await first.log.close()
members = members.filter((member) => member !== first)
const second = await leader()
await second.log.append(Buffer.from('45'))
await until(() => members.every(({ counter }) => counter.sum === second.counter.sum))
console.log(
  `${second.self === first.self ? 'the same member' : 'another member'} led; the sum is ${second.counter.sum}`,
)
await Promise.all(members.map(({ log }) => log.close()))
