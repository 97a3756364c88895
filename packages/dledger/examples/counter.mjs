/**
 * A counter that three processes agree on, over TCP on loopback. Each entry adds a number; every member applies the same entries in
 * the same order, so every member ends with the same sum, also when the leader's process is killed.
 *
 *   node counter.mjs DIRECTORY [PORT,PORT,PORT]
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { silentLogger, systemClock } from '@dledger-ts/base'
import { DLedger, TcpTransport } from '@dledger-ts/dledger'

const [directory = './counter', portList = '40951,40952,40953', self] = process.argv.slice(2)
const ports = portList.split(',').map(Number)
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

/** One process: a member of the group. Its parent sends numbers to add and is told the sums. */
async function member() {
  const counter = new Counter()
  const transport = new TcpTransport({
    self,
    listenHost: '127.0.0.1',
    listenPort: peers.find((peer) => peer.id === self).port,
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
  process.on('message', (number) => {
    log.append(Buffer.from(String(number))).then(
      () => process.send({ added: number, sum: counter.sum }),
      (error) => process.send({ refused: number, why: error.code }),
    )
  })
  process.on('disconnect', () => void log.close().then(() => process.exit()))
  for await (const { ready, appliedIndex } of log.statuses()) {
    if (process.connected) process.send({ ready, appliedIndex, sum: counter.sum })
  }
}

/** Starts three members, counts, kills the one that leads, and counts on. */
async function main() {
  const script = fileURLToPath(import.meta.url)
  const children = new Map(peers.map(({ id }) => [id, fork(script, [directory, portList, id])]))
  const told = new Map()
  for (const [id, child] of children) child.on('message', (news) => 'ready' in news && told.set(id, news))

  const first = await leaderOf(children, told)
  let sum = 0
  for (let number = 1; number <= 10; number++) sum = await add(children.get(first), number)
  console.log(`${first} leads; the sum is ${sum}`)

  children.get(first).kill('SIGKILL')
  await once(children.get(first), 'exit')
  children.delete(first)
  told.clear()
  const second = await leaderOf(children, told)
  sum = await add(children.get(second), 45)
  console.log(`${first} was killed, ${second} leads; the sum is ${sum}`)

  while ([...children.keys()].some((id) => told.get(id)?.sum !== sum)) await news(children)
  for (const child of children.values()) child.disconnect()
}

async function leaderOf(children, told) {
  for (;;) {
    const ready = [...children.keys()].find((id) => told.get(id)?.ready)
    if (ready !== undefined) return ready
    await news(children)
  }
}

/** @returns the sum after it; refused is asked again, for it was not added. */
async function add(child, number) {
  for (;;) {
    child.send(number)
    const answer = await new Promise((resolve) => {
      const listener = (message) => {
        if (message.added !== number && message.refused !== number) return
        child.off('message', listener)
        resolve(message)
      }
      child.on('message', listener)
    })
    if (answer.added === number) return answer.sum
    if (answer.why === 'TIMEOUT') throw new Error(`nobody knows whether ${number} was added`)
  }
}

async function news(children) {
  await Promise.race([...children.values()].map((child) => once(child, 'message')))
}

if (self === undefined) await main()
else await member()
