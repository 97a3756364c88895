/**
 * Three members of one store in one process, as three processes would run them: what one takes is on all, and when the leader
 * goes, another one takes over with everything. A send that is repeated at the new leader is not stored twice.
 *
 *   node three-members.mjs <directory>
 */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { MessageStore } from '@dledger-ts/store'

const dir = process.argv[2] ?? './three-members'
const ids = ['n0', 'n1', 'n2']

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

const peers = []
for (const id of ids) peers.push({ id, host: '127.0.0.1', port: await freePort() })
const members = await Promise.all(
  ids.map((self) =>
    MessageStore.open({
      dir: `${dir}/${self}`,
      self,
      peers,
      fileBytes: 16 * 1024 * 1024,
      duplicateSendWindowMs: 60_000,
    }),
  ),
)

/** The member among `open` that takes writes. */
async function leaderOf(open) {
  for (;;) {
    const ready = open.find((member) => member.isReady())
    if (ready !== undefined) return ready
    await Promise.race(open.map((member) => once(member.events, 'role')))
  }
}

const first = await leaderOf(members)
const payment = { topic: 'payments', body: Buffer.from('10 to Ann'), uniqueId: 'payment-1' }
const { queueOffset } = await first.store(payment)
console.log(`stored as message ${queueOffset}`)

const others = members.filter((member) => member !== first)
for await (const { body } of others[0].follow({ topic: 'payments' })) {
  console.log(`read from a follower: ${body.toString()}`)
  break
}

await first.close()
const second = await leaderOf(others)
console.log(`another member leads: ${second.status().self !== first.status().self}`)
const again = await second.store(payment)
console.log(`repeated, it is still message ${again.queueOffset} of ${second.maxOffset('payments', 0)}`)

await Promise.all(others.map((member) => member.close()))
