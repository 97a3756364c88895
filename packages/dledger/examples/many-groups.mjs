/**
 * Three nodes that share four groups: one port and one set of connections for each node, however many groups there are. Here the
 * nodes are in one process; on three machines each would run its third of this.
 *
 *   node many-groups.mjs DIRECTORY [PORT,PORT,PORT]
 */
import { join } from 'node:path'
import { DLedgerHost } from '@dledger-ts/dledger'

const directory = process.argv[2] ?? './many-groups'
const ports = (process.argv[3] ?? '40961,40962,40963').split(',').map(Number)
const peers = ports.map((port, i) => ({ id: `n${i}`, host: '127.0.0.1', port }))
const names = ['orders', 'payments', 'audit', 'metrics']

const hosts = await Promise.all(
  peers.map((own) => DLedgerHost.open({ node: own.id, listen: own, peers, secret: 'of these three nodes' })),
)
const groups = new Map()
for (const [g, group] of names.entries()) {
  const members = hosts.map((host, i) =>
    host.open({
      group,
      directory: join(directory, `n${i}`, group),
      fileBytes: 16 * 1024 * 1024,
      // Each group would rather be led by another node: no node leads them all.
      preferredLeader: `n${g % hosts.length}`,
    }),
  )
  groups.set(group, await Promise.all(members))
}

async function leaderOf(group) {
  const members = groups.get(group)
  for (;;) {
    const leader = members.find((member) => member.status().ready)
    if (leader !== undefined) return leader
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

for (const group of names) {
  const { index } = await (await leaderOf(group)).append(Buffer.from(`first of ${group}`))
  console.log(`${group}: appended at ${index}`)
}
const { connectedNodes, groups: statuses } = hosts[0].status()
console.log(`${hosts[0].status().node} has ${statuses.length} groups and speaks with ${connectedNodes.join(' and ')}`)
await Promise.all(hosts.map((host) => host.close()))
