/** One process of the bench of many groups: a host with its members, which tells what it used and appends when told to. */
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { type DLedger, DLedgerHost } from '@dledger-ts/dledger'
import { percentiles } from '../log/percentiles.ts'

/** What the parent asks for. */
export type GroupsWish =
  | { readonly ask: 'usage' }
  | { readonly ask: 'load'; readonly inFlight: number; readonly bytes: number; readonly seconds: number }

export interface Usage {
  readonly cpuMicros: number
  readonly framesSent: number
  readonly messagesSent: number
  readonly leads: number
  readonly ready: number
}

export interface GroupsLoad {
  readonly appends: number
  readonly seconds: number
  readonly p50: number
  readonly p99: number
  readonly readP50: number
  readonly readP99: number
}

const [directory = '', node = '', portList = '', count = '', syncsAtOnce = ''] = process.argv.slice(2)
const peers = portList.split(',').map((port, i) => ({ id: `n${i}`, host: '127.0.0.1', port: Number(port) }))
const own = peers.find((peer) => peer.id === node)
if (own === undefined) throw new Error(`no node ${node}`)

const host = await DLedgerHost.open({
  node,
  listen: own,
  peers,
  syncsAtOnce: Number(syncsAtOnce),
})
const logs: DLedger[] = []
for (let i = 0; i < Number(count); i++) {
  logs.push(
    await host.open({
      group: `g${i}`,
      directory: join(directory, node, `g${i}`),
      fileBytes: 64 * 1024 * 1024,
      indexFileBytes: 32 * 65_536,
      zeroFillBytes: 1024 * 1024,
      preferredLeader: `n${i % 3}`,
      preferredStableMs: 500,
    }),
  )
}

process.on('message', (wish: GroupsWish) => {
  if (wish.ask === 'usage') {
    const { user, system } = process.cpuUsage()
    const { framesSent, messagesSent } = host.status().stats
    const states = logs.map((log) => log.status())
    const usage: Usage = {
      cpuMicros: user + system,
      framesSent,
      messagesSent,
      leads: states.filter((state) => state.ready).length,
      ready: states.filter((state) => state.leader === `n${Number(state.group.slice(1)) % 3}`).length,
    }
    process.send?.({ usage })
    return
  }
  void load(wish.inFlight, wish.bytes, wish.seconds).then((result) => process.send?.({ result }))
})
process.on('disconnect', () => void host.close().then(() => process.exit()))
process.send?.({ opened: node })

/** Appends to every group that this node leads, and meanwhile reads what is no longer hot, as a lagging consumer would. */
async function load(inFlight: number, bytes: number, seconds: number): Promise<GroupsLoad> {
  const until = performance.now() + seconds * 1_000
  const began = performance.now()
  const took: number[] = []
  const reads: number[] = []
  let appends = 0
  const body = Buffer.alloc(bytes, 7)
  const leaders = logs.filter((log) => log.status().ready)
  const appender = (log: DLedger): Promise<void> =>
    new Promise((resolve, reject) => {
      const one = (): void => {
        const begun = performance.now()
        log.propose({
          bodyBytes: bytes,
          encodeBody: (target, at) => void body.copy(target, at),
          committed: () => {
            appends++
            took.push(performance.now() - begun)
            if (performance.now() < until) one()
            else resolve()
          },
          failed: reject,
        })
      }
      one()
    })
  const reader = async (): Promise<void> => {
    while (performance.now() < until) {
      const log = logs[randomInt(logs.length)] as DLedger
      const begun = performance.now()
      await new Promise<void>((resolve, reject) => {
        log.readBytes(0, 4_096, (error) => (error === null ? resolve() : reject(error)))
      })
      reads.push(performance.now() - begun)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }
  await Promise.all([reader(), ...leaders.flatMap((log) => Array.from({ length: inFlight }, () => appender(log)))])
  const append = percentiles(took.length === 0 ? [0] : took)
  const read = percentiles(reads)
  return {
    appends,
    seconds: (performance.now() - began) / 1_000,
    p50: append.p50,
    p99: append.p99,
    readP50: read.p50,
    readP99: read.p99,
  }
}
